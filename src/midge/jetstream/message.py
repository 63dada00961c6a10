"""StreamMessage: a message that a consumer delivers: what it says, where it comes from, and how to acknowledge it.

Acknowledgements are small messages to the subject that stands in place of a reply (ADR-13, 15). Each but ``in_progress`` is final: a second
one is refused, as the server would ignore it, and a program that sends two believes something that is not so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from midge.errors import LocalProtocolError, MidgeTimeoutError, NoRespondersError
from midge.jetstream.errors import AlreadyAcknowledgedError, NotAcknowledgedError
from midge.message import HeadersLike

if TYPE_CHECKING:
    import cython

    from midge.client.room import Answer
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.message import Message
else:
    from midge.message import Message

__all__ = ["Metadata", "StreamMessage", "stream_message", "with_subject"]

_ACK, _NAK, _PROGRESS, _TERM = b"+ACK", b"-NAK", b"+WPI", b"+TERM"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_V1, _V2 = 9, 11  # tokens of an acknowledgement's subject; the second form may have one more


class Metadata(NamedTuple):
    """Where a message comes from.

    Attributes:
        stream, consumer: their names.
        stream_seq: the message's sequence in the stream.
        consumer_seq: the number of this delivery.
        delivered: how often it was delivered by now, this time included.
        timestamp: when it was stored.
        pending: how many messages match that the consumer has not delivered yet.
        domain: the JetStream domain, "" for none.
    """

    stream: str
    consumer: str
    stream_seq: int
    consumer_seq: int
    delivered: int
    timestamp: datetime
    pending: int
    domain: str


class StreamMessage(Message):
    """A message of a stream, as a consumer delivers it. Where the consumer's ``ack_policy`` is "none", nothing need be acknowledged.

    All that acknowledges is sent without awaiting, too; awaiting only holds back who is faster than the server. Only ``ack_sync`` waits
    until the server has it.

    Attributes:
        is_acknowledged: something final was said about it here.
    """

    __slots__ = ("is_acknowledged",)

    def __init__(self, subject: str, data: bytes = b"", reply: str = "", headers: HeadersLike | None = None) -> None:
        super().__init__(subject, data, reply, headers)
        self.is_acknowledged = False

    @property
    def metadata(self) -> Metadata:
        """Where it comes from.

        Raises:
            LocalProtocolError: it was not delivered by a consumer.
        """
        tokens = self._reply.split(".")
        if len(tokens) < _V1 or tokens[:2] != ["$JS", "ACK"]:
            raise LocalProtocolError(f"the message on {self._subject!r} was not delivered by a consumer")
        domain = ""
        if len(tokens) >= _V2:
            domain = "" if tokens[2] == "_" else tokens[2]
            del tokens[2:4]
        delivered, stream_seq, consumer_seq, time, pending = map(int, tokens[4:9])
        moment = _EPOCH + timedelta(microseconds=time // 1_000)
        return Metadata(tokens[2], tokens[3], stream_seq, consumer_seq, delivered, moment, pending, domain)

    @property
    def sequences(self) -> tuple[int, int]:
        """The message's sequence in the stream, and the number of this delivery: what ``metadata`` says, sooner.

        Raises:
            LocalProtocolError: it was not delivered by a consumer.
        """
        tokens = self._reply.split(".")
        count = len(tokens)
        if count < _V1 or not self._reply.startswith("$JS.ACK."):
            raise LocalProtocolError(f"the message on {self._subject!r} was not delivered by a consumer")
        first = 5 if count < _V2 else 7
        return int(tokens[first]), int(tokens[first + 1])

    def ack(self) -> Answer:
        """It is done with: it is not delivered again.

        Raises:
            AlreadyAcknowledgedError: something final was said about it.
            LocalProtocolError: it was not delivered by a consumer, or is a copy.
            ConnectionClosedError: the connection is closed.
        """
        return self._say(_ACK)

    async def ack_sync(self, timeout: float | None = 5.0) -> None:
        """It is done with, and the server knows when this returns.

        Raises:
            NotAcknowledgedError: nobody confirmed it: it may be delivered again. It may be tried again.
            AlreadyAcknowledgedError, LocalProtocolError, ConnectionClosedError: as ``ack``.
        """
        self._check()
        self.is_acknowledged = True
        client: Any = self._publisher
        try:
            await client.request(self._reply, _ACK, timeout=timeout)
        except BaseException as error:
            self.is_acknowledged = False
            if isinstance(error, (MidgeTimeoutError, NoRespondersError)):
                raise NotAcknowledgedError(self._subject) from error
            raise

    def nak(self, delay: float | timedelta | None = None) -> Answer:
        """It could not be done: deliver it again, at once or after so many seconds.

        Raises: as ``ack``.
        """
        if delay is None:
            return self._say(_NAK)
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        if not seconds >= 0:
            raise ValueError(f"delay={delay!r}: expected 0 seconds or more")
        return self._say(b'-NAK {"delay":%d}' % round(seconds * 1e9))

    def in_progress(self) -> Answer:
        """It is being worked on: wait for as long again as the consumer's ``ack_wait`` before it is delivered again.

        Raises: as ``ack``.
        """
        self._check()
        answer: Answer = self._publisher.answer(self._reply, _PROGRESS)
        return answer

    def term(self, reason: str = "") -> Answer:
        """It will never be done: it is not delivered again, and who watches is told why.

        Raises: as ``ack``.
        """
        return self._say(b"+TERM " + reason.encode() if reason else _TERM)

    def ack_next(self, reply: str, request: dict[str, Any] | None = None) -> Answer:
        """It is done with; deliver the next one to a subject.

        Raises: as ``ack``.
        """
        self._check()
        self.is_acknowledged = True
        body = b"+NXT" if request is None else b"+NXT " + msgspec.json.encode(request)
        answer: Answer = self._publisher.publish(self._reply, body, reply=reply)
        return answer

    def _say(self, what: bytes) -> Answer:
        if self.is_acknowledged or self._publisher is None or not self._reply:
            self._check()
        answer: Answer = self._publisher.answer(self._reply, what)
        self.is_acknowledged = True
        return answer

    def _check(self) -> None:
        if self.is_acknowledged:
            raise AlreadyAcknowledgedError(self._subject)
        if self._publisher is None or not self._reply:
            raise LocalProtocolError(f"the message on {self._subject!r} was not delivered by a consumer, or is a copy")


def stream_message(message: Message) -> StreamMessage:
    """Return a message that was delivered by a consumer as what it is."""
    result = StreamMessage.__new__(StreamMessage)
    result._subject = message._subject
    result._data = message._data
    result._reply = message._reply
    result._block = message._block
    result._headers = message._headers
    result._publisher = message._publisher
    result.is_acknowledged = False
    return result


def with_subject(message: StreamMessage, subject: str) -> StreamMessage:
    """Return a message under another subject, to be acknowledged in place of the one it was made of."""
    result = stream_message(message)
    result._subject = subject
    return result
