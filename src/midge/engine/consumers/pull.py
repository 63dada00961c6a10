"""Pull: delivers to those who ask: pull requests, in turns (nats-server's ``processNextMsgRequest``, ``nextWaiting``, ``processWaiting``).

Requests wait in an inbox until the end of the turn: they come while messages are routed, when nothing may be sent. Each is refused with a
status or put into the queue, where it ends when its batch is complete, its bytes are used up, its time is over, nobody listens any more,
or with the stream where it does not wait. Where the consumer has priority groups, they have their say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from midge.durations import show_duration
from midge.engine.consumers.groups import WRONG_PIN, Claim, Groups, Verdict, refusal
from midge.engine.consumers.ranked import Ranked
from midge.engine.consumers.rests import Rests
from midge.engine.consumers.waiting import Request, Waiting
from midge.engine.decoding import decode
from midge.engine.errors import ApiError
from midge.engine.headers import value_of
from midge.model.requests import ConsumerNextRequest
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.model.consumer import ConsumerConfig

__all__ = ["DELETED", "Arrival", "Pull"]

DELETED = b"409 Consumer Deleted"

SECOND = 1_000_000_000

_NUMBER = re.compile(rb"[+-]?[0-9]{1,18}")
_ANY = 1 << 40  # bytes: as many as there are
_LAST = 10_000 * 365 * 86_400 * 10**9  # no wait is longer


class Arrival(NamedTuple):
    """A request as it came."""

    reply: bytes
    header: bytes
    body: bytes
    wall: int


class Pull:
    """Those who pull from one consumer.

    Attributes:
        requests: those that wait.
        groups: what priority groups say; None where there are none.
        asked: when the last request came, or got a message; 0 for never.
    """

    __slots__ = ("_chosen", "_due", "_inbox", "_looked", "_reply", "_rests", "_short", "asked", "consumer", "groups", "requests")

    def __init__(self, consumer: Consumer, config: ConsumerConfig) -> None:
        self.consumer = consumer
        self.groups: Groups | None = None
        self.requests = Ranked(config.max_waiting) if config.priority_policy == "prioritized" else Waiting(config.max_waiting)
        self._group(config)
        self.asked = 0
        self._inbox: list[Arrival] | None = None  # what came in since the last turn
        self._chosen: Request | None = None
        self._reply = b""  # where the last message went
        self._rests: Rests | None = None  # those who do not keep up, once there was one
        self._due = 0  # a time before which no request ends and no heartbeat is due; 0 where there is none
        self._looked = 0  # when those that wait were looked through
        self._short = False  # there may be requests that do not wait

    def receive(self, arrival: Arrival) -> None:
        """Take a request, to be seen to at the end of the turn."""
        if self._inbox is None:
            self._inbox = []
        self._inbox.append(arrival)
        self.consumer.wake()

    # What a target does

    @property
    def waiting(self) -> int:
        wall = self.consumer.engine.wall
        return sum(self._is_heard(request) for request in self.requests if not 0 < request.expires < wall)

    def work(self, wall: int) -> None:
        if self._rests is not None:
            self._rests.due = 0
        if self._inbox:
            inbox, self._inbox = self._inbox, None
            for arrival in inbox:
                self._take(arrival._replace(wall=wall))  # what comes in is told another time where the clock was set meanwhile

    def choose(self, size: int) -> Any:
        requests, wall, rests = self.requests, self.consumer.delivery.wall, self._rests
        if self.groups is None and rests is None and len(requests):  # most of them
            request = requests.first
            if request.size == 0 and not 0 < request.expires <= wall:
                self._chosen = request
                self._reply = request.reply
                return request.route
        passed = 0
        while len(requests):
            request = requests.first
            if 0 < request.expires <= wall:
                self._end_short(request, b"408 Request Timeout")
                continue
            if rests is not None and rests.is_resting(request.reply, wall):
                verdict = Verdict.PASS
            else:
                verdict = Verdict.SERVE if self.groups is None else self._verdict(self.groups, request)
            if verdict is Verdict.PASS:
                requests.pass_over()
                passed += 1
                if passed >= len(requests):
                    return None
                continue
            if verdict is Verdict.WRONG:
                self._end_short(request, WRONG_PIN)
                continue
            if 0 < request.size < size:
                self._end_short(request, b"409 Message Size Exceeds MaxBytes")
                continue
            if verdict is Verdict.PIN:
                self.consumer.pin(request)
            self._chosen = request
            self._reply = request.reply
            return request.route
        self.consumer.delivery.wanted = False
        return None

    def served(self, size: int) -> None:
        request, wall = self._chosen, self.consumer.delivery.wall
        assert request is not None
        if request.size > 0:
            request.size -= size
            if request.size == 0:  # it may have no more
                request.left = 1
        self.requests.serve()
        self.asked = wall
        if request.left <= 0:
            self._chosen = None
            self.consumer.delivery.wanted = len(self.requests) > 0
            if request.size > 0:
                self._tell_short(request, b"409 Batch Completed")
            return
        if request.heartbeat:
            request.beat = wall + request.heartbeat
        if self.groups is None and request.size == 0 and len(self.requests) == 1:
            delivery = self.consumer.delivery
            delivery.granted, delivery.room = request.left - 1, _ANY  # the last one ends it

    def followed(self, messages: int, size: int) -> None:
        request = self._chosen
        assert request is not None
        request.left -= messages
        request.done += messages

    def crowded(self, wall: int) -> bool:
        if self._rests is None:
            self._rests = Rests()
        self._rests.add(self._reply, wall)
        return True

    def lost(self) -> None:
        self.requests.drop()
        self.consumer.delivery.wanted = len(self.requests) > 0

    def decorated(self, publication: Publication) -> Publication:
        groups = self.groups
        if groups is None or not groups.id:
            return publication
        header = publication.header() if publication.header_size > 0 else b""
        header = b"%bNats-Pin-Id: %b\r\n\r\n" % (header[:-2] if header else b"NATS/1.0\r\n", groups.id.encode())
        return publication.redirected(publication.subject(), publication.reply(), header)

    def rested(self, wall: int, stalled: bool) -> None:
        if self._short and not stalled:
            self._look_through(wall, at_end=True)

    def next_deadline(self) -> int:
        if not len(self.requests):
            return 0
        rest = 0 if self._rests is None else self._rests.due
        return min(self._due, rest) if self._due and rest else self._due or rest

    def handle_timeout(self, wall: int) -> None:
        if 0 < self._due <= wall:
            self._look_through(wall, at_end=True)

    def update(self, config: ConsumerConfig, wall: int) -> None:
        self.requests.most = config.max_waiting
        self._group(config)

    def stop(self, status: bytes) -> None:
        self._inbox = None
        for request in self.requests:
            if status == DELETED:
                self._tell(request, status)
            else:
                self._tell_short(request, status)
        self.requests.keep([])
        self.consumer.delivery.wanted = False

    # Requests

    def expect(self) -> int:
        """Let those go that nobody listens for, and return how many messages the others want."""
        return self._look_through(self.consumer.stream.engine.wall, at_end=False)

    def _take(self, arrival: Arrival) -> None:
        """Let a request wait, or refuse it; in nats-server's order of checks."""
        consumer = self.consumer
        request = Request(arrival.reply, consumer.route(arrival.reply), arrival.wall)
        status = self._read(request, arrival) or self._refusal(request)
        if not status and request.no_wait:
            status = self._nothing_for(request)
            if status:
                self.asked = arrival.wall
        if not status and self._is_full(arrival.wall):
            if request.heartbeat:
                return  # who hears nothing asks again later
            status = b"409 Exceeded MaxWaiting"
        if status:
            self._tell(request, status)
            return
        self.requests.add(request)
        self._looked = arrival.wall
        self.asked = arrival.wall
        self._short = self._short or request.no_wait
        for due in (request.expires, request.beat):
            if due and (due < self._due or not self._due or len(self.requests) == 1):
                self._due = due
        consumer.delivery.wanted = True

    def _read(self, request: Request, arrival: Arrival) -> bytes:
        """Fill a request with what its body says; return the status that it is refused with, empty for none."""
        level = value_of(arrival.header, b"Nats-Required-Api-Level")
        if level and (not level.isdigit() or int(level[:9]) > self.consumer.engine.api_level):
            return b"412 Required Api Level"
        body = arrival.body.strip(b" \t\r\n\v\f")
        if not body.startswith(b"{"):
            if _NUMBER.fullmatch(body):
                request.left = int(body)
            return b""
        try:
            says = decode(ConsumerNextRequest, body, strict=False)
        except ApiError as error:
            return b"400 Bad Request - " + error.description.removeprefix("invalid JSON: ").encode("utf-8", "surrogateescape")
        if says.idle_heartbeat > 0:
            if 2 * says.idle_heartbeat > says.expires:
                return b"400 Bad Request - heartbeat value too large"
            request.heartbeat = says.idle_heartbeat
            request.beat = arrival.wall + says.idle_heartbeat
        request.left, request.size, request.no_wait = says.batch, says.max_bytes, says.no_wait
        if says.expires:
            request.expires = min(arrival.wall + says.expires, _LAST) if says.expires > 0 else 1  # which is over
        request.claim = Claim(says.group, says.min_pending, says.min_ack_pending, says.id, says.priority)
        return b""

    def _refusal(self, request: Request) -> bytes:
        """Return the status of a request that asks for more than it may, empty for none."""
        config = self.consumer.config
        if 0 < config.max_batch < request.left:
            return b"409 Exceeded MaxRequestBatch of %d" % config.max_batch
        if 0 < config.max_expires < request.expires - request.received:
            return b"409 Exceeded MaxRequestExpires of %b" % show_duration(config.max_expires / 1e9).encode()
        if 0 < config.max_bytes < request.size:
            return b"409 Exceeded MaxRequestMaxBytes of %d" % config.max_bytes
        if self.groups is not None:
            return self.groups.refusal(request.claim, request.received)
        return b"" if request.claim is None else refusal(request.claim, "", ())

    def _is_full(self, wall: int) -> bool:
        """True if no more may wait. Whether there are some that nobody listens for is looked at once a second at most, as there."""
        if self.requests.is_full and wall - self._looked > SECOND:
            self._look_through(wall, at_end=False)
        return self.requests.is_full

    def _nothing_for(self, request: Request) -> bytes:
        """Return the status of a request that does not wait and would get nothing, empty where it may."""
        delivery = self.consumer.delivery
        left = delivery.count() + delivery.ledger.queued
        if left == 0:
            return b"" if request.expires else b"404 No Messages"
        return b"408 Requests Pending" if len(self.requests) and left < self.expect() else b""

    def _look_through(self, wall: int, *, at_end: bool) -> int:
        """End what is over, send heartbeats that are due; return how many messages are wanted.

        Args:
            at_end: the stream's end was reached: who does not wait for more gets no more.
        """
        kept: list[Request] = []
        self._due, self._short, self._looked, wanted = 0, False, wall, 0
        for request in self.requests:
            if 0 < request.expires < wall:
                self._tell_short(request, b"408 Request Timeout")
            elif at_end and request.no_wait and (not request.expires or request.done):
                self._tell(request, b"404 No Messages")
            elif self._is_heard(request):
                kept.append(request)
                wanted += request.left
                self._short = self._short or request.no_wait
                self._beat(request, wall)
        self.requests.keep(kept)
        self.consumer.delivery.wanted = bool(kept)
        return wanted

    def _beat(self, request: Request, wall: int) -> None:
        """Send a heartbeat where one is due, and note what is due next."""
        if 0 < request.beat <= wall:
            self._send(request, self.consumer.heartbeat())
            request.beat = wall + request.heartbeat
        for due in (request.beat, request.expires + 1 if request.expires else 0):
            if due and (due < self._due or not self._due):
                self._due = due

    def _group(self, config: ConsumerConfig) -> None:
        """Let the configuration say which groups there are."""
        if not config.priority_groups or not config.priority_policy:
            self.groups = None
        elif self.groups is None:
            self.groups = Groups(config.priority_policy, config.priority_groups, config.priority_timeout)
        else:
            self.groups.update(config.priority_policy, config.priority_groups, config.priority_timeout)
        self.consumer.delivery.decorated = config.priority_policy == "pinned_client"

    def _verdict(self, groups: Groups, request: Request) -> Verdict:
        delivery = self.consumer.delivery
        return groups.verdict(request.claim, delivery.count(), delivery.ledger.pending)

    def _end_short(self, request: Request, status: bytes) -> None:
        """Take out the first request, and say why, and what it did not get."""
        self._tell_short(request, status)
        self.requests.drop()

    def _is_heard(self, request: Request) -> bool:
        engine = self.consumer.stream.engine
        return engine.outside.has_interest(self.consumer.stream.account.name, request.reply)

    def _tell(self, request: Request, status: bytes) -> None:
        """Send a status."""
        self._send(request, b"NATS/1.0 %b\r\n\r\n" % status)

    def _tell_short(self, request: Request, status: bytes) -> None:
        """Send a status, and what a request did not get."""
        lines = b"NATS/1.0 %b\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: %d\r\n\r\n"
        self._send(request, lines % (status, request.left, request.size))

    def _send(self, request: Request, header: bytes) -> None:
        self.consumer.stream.engine.outside.deliver(request.route, Publication.compose(request.reply, b"", header, b""))
