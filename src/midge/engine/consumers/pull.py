"""Pull: delivers to those who ask: pull requests, in turns (nats-server's ``processNextMsgRequest``, ``nextWaiting``, ``processWaiting``).

Requests wait in an inbox until the end of the turn: they come while messages are routed, when nothing may be sent. Each is refused with a
status or put into the queue, where it ends when its batch is complete, its bytes are used up, its time is over, nobody listens any more,
or with the stream where it does not wait. Where the consumer has priority groups, they have their say.

All is bounded in a turn, however many come or wait: what is due is found by ``Dues``, who does not wait is known, and whether those that
wait are listened for is looked at in slices. Where most are passed over (those of other clients than the pinned one), the search for whom
to serve goes on in the next slice.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from midge.durations import show_duration
from midge.engine.advisories import limit_reached
from midge.engine.consumers.dues import Dues
from midge.engine.consumers.groups import WRONG_PIN, Claim, Groups, Verdict, refusal
from midge.engine.consumers.pace import moved
from midge.engine.consumers.ranked import Ranked
from midge.engine.consumers.search import Search
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
_TAKEN = 256  # requests that are taken in one slice
_SLACK = 64  # that are over and may always stay among those that end with the stream
_LOOK = 1_024  # those whose time is over, or that are listened for or not, in one slice


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

    __slots__ = (
        "_chosen", "_dues", "_ending", "_inbox", "_looked", "_reply", "_search", "_unseen", "asked", "consumer", "groups",
        "requests",
    )  # fmt: skip

    def __init__(self, consumer: Consumer, config: ConsumerConfig) -> None:
        self.consumer = consumer
        self.groups: Groups | None = None
        self.requests = Ranked() if config.priority_policy == "prioritized" else Waiting()
        self._group(config)
        self.asked = 0
        self._inbox: deque[Arrival] | None = None  # what came in since the last turn
        self._chosen: Request | None = None
        self._reply = b""  # where the last message went
        self._dues: Dues | None = None  # when requests end and heartbeats are due, once there was one
        self._ending: dict[Request, None] | None = None  # those that end with the stream
        self._search: Search | None = None  # for whom to serve, once one was passed over, or did not keep up
        self._looked = 0  # when those that wait were looked through
        self._unseen: list[Request] | None = None  # those that are still to be, the first last; empty where all were in this turn

    def receive(self, arrival: Arrival) -> None:
        """Take a request, to be seen to at the end of the turn."""
        if self._inbox is None:
            self._inbox = deque()
        engine = self.consumer.engine
        if len(self._inbox) >= engine.settings.max_requests:
            limit_reached(engine, self.consumer.stream.account.name, 1)
            return
        self._inbox.append(arrival)
        self.consumer.wake()

    # What a target does

    @property
    def waiting(self) -> int:
        if len(self.requests) > _LOOK:
            return len(self.requests)  # as far as it is known: too many to ask for each whether somebody listens
        wall = self.consumer.engine.wall
        return sum(self._is_heard(request) for request in self.requests if not 0 < request.expires < wall)

    def work(self, wall: int) -> None:
        if self._search is not None:
            self._search.begin_slice(wall, self._state())
        if self._unseen:
            self._look_on(wall)
        else:
            self._unseen = None
        inbox = self._inbox
        if inbox:
            for _ in range(min(len(inbox), _TAKEN)):
                self._take(inbox.popleft()._replace(wall=wall))  # it is told another time where the clock was set meanwhile
        if not inbox:
            self._inbox = None
        if inbox or self._unseen:
            self.consumer.wake()

    def choose(self, size: int) -> Any:
        requests, wall = self.requests, self.consumer.delivery.wall
        rests = None if self._search is None else self._search.rests
        if self.groups is None and rests is None and len(requests):  # most of them
            request = requests.first
            if request.size == 0 and not 0 < request.expires <= wall:
                self._chosen = request
                self._reply = request.reply
                return request.route
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
                if self._has_searched():
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
        if self._search is not None:
            self._search.found()
        if request.size > 0:
            request.size -= size
            if request.size == 0:  # it may have no more
                self.requests.limit(request, 1)
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
        if request.no_wait:
            self._end_with_stream(request)
        if self.groups is None and request.size == 0 and len(self.requests) == 1:
            delivery = self.consumer.delivery
            delivery.granted, delivery.room = request.left - 1, _ANY  # the last one ends it

    def followed(self, messages: int, size: int) -> None:
        request = self._chosen
        assert request is not None
        self.requests.took(request, messages)

    def crowded(self, wall: int) -> bool:
        if self._search is None:
            self._search = Search(self._state())
        self._search.rests.add(self._reply, wall)
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
        if not stalled:
            self._at_end()

    def next_deadline(self) -> int:
        if not len(self.requests):
            return 0
        rest = 0 if self._search is None else self._search.rests.due
        due = 0 if self._dues is None else self._dues.first()
        return min(due, rest) if due and rest else due or rest

    def handle_timeout(self, wall: int) -> None:
        request = None if self._dues is None else self._dues.take(wall)
        if request is None:
            return
        assert self._dues is not None
        self._at_end()  # as nats-server, whatever there is: who does not wait need not wait longer
        for _ in range(_LOOK):
            self._see_to(request, wall)
            request = self._dues.take(wall)
            if request is None:
                break
        else:
            self._dues.add(request, len(self.requests))
        self.consumer.delivery.wanted = len(self.requests) > 0

    def set_clock(self, by: int) -> None:
        self._search = None
        self._looked, self.asked = moved(self._looked, by), moved(self.asked, by)
        for request in self.requests:
            request.received = moved(request.received, by)
            request.beat = moved(request.beat, by)
            request.expires = moved(request.expires, by)
        if self._dues is not None:
            self._dues = Dues()
            for request in self.requests:
                if request.expires or request.beat:
                    self._dues.add(request, len(self.requests))
        if self.groups is not None and self.groups.due is not None:
            self.groups.due += by

    def update(self, config: ConsumerConfig, wall: int) -> None:
        self._group(config)

    def stop(self, status: bytes) -> None:
        self._inbox = None
        self._unseen = None
        for request in self.requests:
            if status == DELETED:
                self._tell(request, status)
            else:
                self._tell_short(request, status)
        self.requests.clear()
        self._dues = None
        self._ending = None
        self.consumer.delivery.wanted = False

    # Requests

    def look_through(self, wall: int) -> None:
        """Let those go that nobody listens for, once in a turn; of very many, a slice in each turn."""
        if self._unseen is None:
            self._looked = wall
            self._unseen = list(self.requests)
            self._unseen.reverse()
            self._look_on(wall)

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
        if request.no_wait and not request.expires:
            self._end_with_stream(request)
        if request.expires or request.beat:
            if self._dues is None:
                self._dues = Dues()
            self._dues.add(request, len(self.requests))
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
        most = self.consumer.config.max_waiting
        if len(self.requests) >= most and abs(wall - self._looked) > SECOND:
            self.look_through(wall)
        return len(self.requests) >= most

    def _nothing_for(self, request: Request) -> bytes:
        """Return the status of a request that does not wait and would get nothing, empty where it may."""
        delivery = self.consumer.delivery
        left = delivery.count() + delivery.ledger.queued
        if left == 0:
            return b"" if request.expires else b"404 No Messages"
        if left < self.requests.wanted:
            self.look_through(request.received)
        return b"408 Requests Pending" if left < self.requests.wanted else b""

    def _look_on(self, wall: int) -> None:
        """Look at some of those that are still to be looked at."""
        unseen = self._unseen or []
        for _ in range(min(len(unseen), _LOOK)):
            request = unseen.pop()
            if request.is_over:
                continue
            if 0 < request.expires < wall:
                self._see_to(request, wall)
            elif not self._is_heard(request):
                self.requests.end(request)
        self.consumer.delivery.wanted = len(self.requests) > 0

    def _end_with_stream(self, request: Request) -> None:
        """A request that waits does so no longer than there is something for it."""
        ending = self._ending or {}
        if len(ending) > 2 * len(self.requests) + _SLACK:
            ending = {each: None for each in ending if not each.is_over}
        ending[request] = None
        self._ending = ending

    def _at_end(self) -> None:
        """The stream's end was reached: who does not wait for more gets no more."""
        ending, self._ending = self._ending, None
        if ending is None:
            return
        for request in ending:
            if not request.is_over:
                self._tell(request, b"404 No Messages")
                self.requests.end(request)
        self.consumer.delivery.wanted = len(self.requests) > 0

    def _see_to(self, request: Request, wall: int) -> None:
        """Do what is due for a request, if it still waits: end it where its time is over, else send a heartbeat."""
        if request.is_over:
            return
        if 0 < request.expires < wall:
            self._tell_short(request, b"408 Request Timeout")
            self.requests.end(request)
            return
        if 0 < request.beat <= wall:
            self._send(request, self.consumer.heartbeat())
            request.beat = wall + request.heartbeat
        if self._dues is not None:
            self._dues.add(request, len(self.requests))

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

    def _state(self) -> tuple[int, int, int, str]:
        """Return what has to change before another verdict is possible."""
        store = self.consumer.stream.store
        return store.last, store.messages, self.consumer.ledger.pending, "" if self.groups is None else self.groups.id

    def _has_searched(self) -> bool:
        """Count one that was passed over. True where all were, or as many as may be in this slice: then it goes on in another."""
        if self._search is None:
            self._search = Search(self._state())
        if self._search.passed(len(self.requests)):
            return True
        if self._search.is_tired:
            self.consumer.wake()
        return self._search.is_tired

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
