"""What is published while there is no link: kept within a bound, in order, for the next one.

A waiting session takes what the application says, so that publishing costs the same as ever and asks nothing more; its outbox is the
buffer. What the lost link had not sent comes first: those publishes were accepted already, and are kept however many they are.

What does not fit (``reconnect_buffer``) is refused ("raise"), waited for ("block": as with an open link, a publish that is not awaited
is queued, up to ``outbound_limit``), or makes room for itself ("drop_old": the oldest publishes go, and are counted).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from midge.client.encoder import PublishEncoder
from midge.client.options import Options
from midge.client.publisher import Publisher
from midge.client.room import READY, Answer, Room, Turn
from midge.client.session import FLUSH_AT, Session
from midge.errors import LocalProtocolError, MaxPayloadError, OutboundFullError, ReconnectBufferFullError
from midge.wire.frames import drop_oldest, payload_size, publishes_left
from midge.wire.outbox import Outbox

__all__ = ["Backlog"]

_NO_LIMIT = 1 << 62
_OVERHEAD = 64  # what a publish costs us beside its payload, when it is asked whether others should have a turn


class Backlog:
    """What waits for the next link.

    Args:
        last: the session that had the last link, or none yet.
        options: the client's.
        publisher: what messages answer through.
        report: is told of publishes that are not kept.

    Attributes:
        session: takes what the application says.
    """

    def __init__(self, last: Session, options: Options, publisher: Publisher, report: Callable[[Exception], None]) -> None:
        self._report = report
        self._limit = options.reconnect_buffer
        self._policy = options.reconnect_buffer_full
        encoder = self._new_encoder(options.outbound_limit)
        encoder.max_payload = last.encoder.max_payload
        encoder.has_headers = last.encoder.has_headers
        self.session = Session(last.interest, encoder, last.counters, publisher)
        self.session.wait(last.info, self._limit > 0)
        self._dropped = 0  # publishes that had to make room
        self._reported = 0  # and how many of them were reported
        self._worked = 0  # what had been published when the others last had a turn
        self._has_forgotten = False  # somebody has stopped waiting for an answer

    def _new_encoder(self, outbound_limit: int) -> PublishEncoder:
        if self._policy == "raise":
            return PublishEncoder(self._limit, ReconnectBufferFullError)
        return PublishEncoder(outbound_limit if self._policy == "block" else _NO_LIMIT, OutboundFullError)

    def keep(self, outbox: Outbox, begun: int, with_requests: bool) -> None:
        """Take over the publishes that a link has not begun to send, so many bytes more than it has told; the caller removes them there.
        Requests go where their callers have been told of the loss.
        """
        is_request = self.session.interest.is_request
        for frame in publishes_left(outbox, begun):
            if with_requests or not is_request(frame):
                self.session.outbox.write(frame)

    def is_full(self) -> bool:
        """True if publishers should wait."""
        return self._policy == "block" and len(self.session.outbox) >= self._limit

    def make_room(self, wait: Callable[[], Coroutine[Any, Any, None]]) -> Answer:
        """Something was published: drop the oldest where it is too much; return what the publisher is to await.

        An eighth more than allowed may wait, so that what is dropped need not be looked for at every publish.
        """
        self._drop(self._limit // 8)
        if self._dropped and not self._reported:
            self._report_dropped()
        if self.is_full():
            return Room(wait)
        counters = self.session.counters
        work: int = counters.out_bytes + _OVERHEAD * counters.out_msgs
        if work - self._worked < FLUSH_AT:
            return READY
        self._worked = work
        return Turn()

    def forget_request(self) -> None:
        """Somebody waits for an answer no more: a request that is still here is not sent."""
        self._has_forgotten = True

    def hand_over(self, session: Session) -> None:
        """Give everything to a session that is open, save what its server does not take."""
        self._drop(0)
        self.report_rest()
        mine, theirs = self.session.encoder, session.encoder
        if theirs.max_payload >= mine.max_payload and theirs.has_headers >= mine.has_headers and not self._has_forgotten:
            session.outbox.adopt(self.session.outbox)
        else:
            self._hand_over_what_fits(session)

    def report_rest(self) -> None:
        """Nothing more will be dropped: tell of what has not been reported yet."""
        if self._dropped > self._reported:
            self._report_dropped()

    def _hand_over_what_fits(self, session: Session) -> None:
        encoder = session.encoder
        refused: list[Exception] = []
        for frame in publishes_left(self.session.outbox):
            size = payload_size(frame)
            if self._has_forgotten and session.interest.is_forgotten(frame):
                continue
            if size > encoder.max_payload:
                refused.append(MaxPayloadError(size, encoder.max_payload))
            elif frame.startswith(b"H") and not encoder.has_headers:
                refused.append(LocalProtocolError("the server does not support headers"))
            else:
                session.outbox.write(frame)
        self.session.outbox.clear()
        for error in refused:
            self._report(error)

    def _drop(self, slack: int) -> None:
        surplus = len(self.session.outbox) - self._limit
        if self._policy == "drop_old" and surplus > slack and self._limit:
            self._dropped += drop_oldest(self.session.outbox, surplus)

    def _report_dropped(self) -> None:
        self._reported = self._dropped
        self._report(ReconnectBufferFullError(len(self.session.outbox), self._limit, self._dropped))
