"""Delivery: what is delivered next, to whom, and what comes of it: the message path of a consumer, and of acknowledgements.

A run goes on until there is nothing to deliver, nobody to deliver to, or its share of the turn is used up. For each message: the one that
is to be delivered again first, else the next of the stream that matches; its publication is composed from where the store has it; the
target says who gets it; only when somebody did is it noted in the ledger. (nats-server notes first and takes back; nobody sees that.)

Only committed messages are delivered. What is not in memory is asked for in runs by the consumer, which runs again when it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.store.base import ELSEWHERE

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.engine.consumers.ledger import Ledger
    from cython.cimports.midge.store.sight import Sight
    from cython.cimports.midge.wire.octets import new_buffer, put, put_blank, put_crlf, put_number, put_slice
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.engine.consumers.ledger import Ledger
    from midge.store.sight import Sight
    from midge.wire.octets import new_buffer, put, put_blank, put_crlf, put_number, put_slice
    from midge.wire.publication import Publication

__all__ = ["BUSY", "DONE", "FULL", "IDLE", "LOADING", "NONE", "STALLED", "Delivery"]

# Why a run has ended
BUSY = 0  # its share is used up, and there may be more
DONE = 1  # nothing more is there that could be delivered
STALLED = 2  # too much waits to be acknowledged
IDLE = 3  # nobody wants anything
LOADING = 4  # the message ``missing`` is not in memory
FULL = 5  # the receiver has more waiting for it than is good
_BUSY, _DONE, _STALLED, _IDLE, _LOADING, _FULL = BUSY, DONE, STALLED, IDLE, LOADING, FULL

# What ``Outside.deliver`` says
NONE = 0  # nobody is there
_NONE, _CROWDED = NONE, 2

# How messages are acknowledged
_BY_NONE, _EXPLICIT, _ALL = 0, 1, 2
_DOT = 46
_NUMBERS = 160  # bytes of all numbers, dots and blanks of a message's first line
_POLICIES = {"none": _BY_NONE, "explicit": _EXPLICIT, "all": _ALL, "flow_control": _ALL}


class Delivery:
    """The deliveries of one consumer.

    Args:
        consumer: the Consumer. It is asked for everything that does not happen with each message.
        store: of the stream.
        outside: the server.

    Attributes:
        ledger: what was delivered.
        target: who gets the messages: ``choose(size)`` returns the route of a message of so many bytes, None where nobody wants it;
            ``served(size)`` is told that it was delivered, ``lost()`` that nobody was there.
        granted: so many more messages, of ``room`` bytes at most, may go by the route that was chosen last without asking; the target
            says so when it is ``served``, and is told with ``followed(messages, size)`` before anything else is asked of it.
        wanted: the target may want something; it says so.
        filters: subjects that match; empty for all.
        ahead: where the stream's ``Hunger`` says what matches: those messages, in order, up to its ``seen``; None where it does not.
        head: what reply subjects begin with, up to the count of deliveries.
        skips: the sequences to deliver first, the first last; ``ledger.resume`` says where to go on behind them.
        max_pending: how many messages may wait to be acknowledged; 0 for any number.
        policy: how messages are acknowledged: 0 not at all, 1 each, 2 all up to one.
        headers_only: payloads are not delivered.
        paced: a message may have to wait for its time: ``consumer.may_leave(sequence)`` says so, ``consumer.left(sequence)`` is told.
        sampled: the consumer wants to hear of each acknowledgement.
        decorated: the target adds to headers: ``target.decorated(publication)`` returns what is to be sent.
        retains: the stream wants to know what is acknowledged: ``consumer.retention.done(sequence)`` and ``done_all``.
        changed: something happened since the consumer was told by ``consumer.touched()``.
        stalled: the last run ended because too much waited to be acknowledged.
        missing: the message that is to be loaded; ``loaded`` holds those that were, by sequence.
        wall: of the run.
        heard: when something came to an acknowledgement's subject; 0 for never, as the others.
        acked: when something was acknowledged the last time.
        sent: when the last message went.
    """

    __slots__ = (
        "_committed", "_counted", "_followed", "_followed_size", "_holes", "_left", "_message", "_sight", "acked", "ahead", "changed",
        "consumer", "decorated", "filters", "granted", "head", "headers_only", "heard", "ledger", "loaded", "max_pending", "missing",
        "outside", "paced", "policy", "retains", "room", "sampled", "sent", "skips", "stalled", "store", "target", "wall", "wanted",
    )  # fmt: skip

    def __init__(self, consumer: Any, store: Any, outside: Any) -> None:
        self.consumer = consumer
        self.store = store
        self.outside = outside
        self.ledger = Ledger()
        self.target: Any = None
        self.filters: tuple[bytes, ...] = ()
        self.head = b""
        self.skips: list[int] | None = None
        self.loaded: dict[int, Any] | None = None
        self.max_pending = self.missing = self.wall = self.heard = self.acked = self.sent = 0
        self.policy = _EXPLICIT
        self.wanted = self.headers_only = self.decorated = self.retains = self.changed = self.stalled = False
        self.paced = self.sampled = False
        self.granted = self.room = 0
        self._left = self._counted = 0
        self.ahead: tuple[int, ...] | None = None
        self._holes = -1
        self._sight: Sight = store.sight
        self._committed = self._followed = self._followed_size = 0
        self._message: Publication | None = None

    def set_policy(self, name: str) -> None:
        """Say how messages are acknowledged."""
        self.policy = _POLICIES[name]

    def run(self, messages: int, size: int, wall: int) -> int:
        """Deliver so many messages, or about so many bytes, at most; return why no more."""
        self.wall = wall
        self.stalled = False
        if not self.wanted:
            return _IDLE
        if self.ahead is None:
            self.count()
        else:
            self._count_ahead()
        self._committed = self.store.committed
        self._message = Publication()
        try:
            return self._run(messages, size)
        finally:
            self._message = None
            self.granted = 0
            self._tell_target()

    def _run(self, messages: int, size: int) -> int:
        ledger, carry, route = self.ledger, self.outside.deliver, None
        while messages > 0 and size > 0:
            messages -= 1
            if not self.wanted:
                return _IDLE
            sequence = ledger.first_queued() if ledger.queued else 0
            again = sequence > 0
            if again:
                if 0 < ledger.max_deliver <= ledger.count_of(sequence) + 1:
                    self._give_up(sequence)
                    continue
            else:
                if 0 < self.max_pending <= ledger.pending:
                    self.stalled = True
                    return _STALLED
                sequence = self._next()
                if sequence == 0:
                    return _DONE
            if self.paced and not self.consumer.may_leave(sequence):
                return _IDLE
            publication = self._composed(sequence, again)
            if publication is None:
                if self.missing:
                    return _LOADING
                self._gone(sequence, again)
                continue
            taken = publication.payload_end - publication.payload_start + publication.subject_end + publication.reply_end
            taken -= publication.subject_start + publication.reply_start
            is_granted = self.granted > 0 and taken <= self.room
            if not is_granted:
                self.granted = 0
                self._tell_target()
                route = self.target.choose(taken)
                if route is None:
                    return _IDLE
            if self.decorated:
                publication = self.target.decorated(publication)
            outcome: int = carry(route, publication)
            if outcome == _NONE:
                self.granted = 0
                self._tell_target()
                self.target.lost()
                continue
            self._delivered(sequence, again)
            if self.paced:
                self.consumer.left(sequence)
            if is_granted:
                self.granted -= 1
                self.room -= taken
                self._followed += 1
                self._followed_size += taken
            else:
                self.target.served(taken)
            size -= taken
            if outcome == _CROWDED:
                return _FULL
        return _BUSY

    def _tell_target(self) -> None:
        """Let the target know what went by the route that was chosen last without asking."""
        if self._followed:
            followed, size = self._followed, self._followed_size
            self._followed = self._followed_size = 0
            self.target.followed(followed, size)

    # Acknowledgements

    def ack(self, sequence: int, delivery: int) -> int:
        """A message was acknowledged. Return its delivery sequence, 0 where nothing was expected of it."""
        ledger = self.ledger
        if not 0 <= sequence < ledger.next or self.policy == _BY_NONE:
            return 0
        was_full = 0 < self.max_pending <= ledger.pending
        self.acked = self.heard
        if self.policy == _EXPLICIT:
            delivery = ledger.ack(sequence)
            if self.retains:
                self.consumer.retention.done(sequence)
            if delivery == 0:
                self.touch()  # it may be one that was delivered as often as it may be
                return 0
        else:
            first = ledger.stream_floor + 1
            if ledger.ack_all(sequence, min(delivery, ledger.delivered)) < 0:  # or who makes one up would keep all others from counting
                return 0
            if self.retains:
                self.consumer.retention.done_all(self.filters, first, sequence)
        self.touch()
        if was_full:
            self.consumer.wake()
        return delivery

    def touch(self) -> None:
        """Something has changed that is kept."""
        if not self.changed:
            self.changed = True
            self.consumer.touched()

    # What is left

    def strike_out(self) -> None:
        """Nobody says any more what matches: look for it from here on."""
        if self.ahead is not None:
            self._pass_by()
            self.ahead = None

    def count(self) -> int:
        """Return how many messages are still to be delivered for the first time."""
        store = self.store
        last, holes = store.last, store.last - store.messages
        if self._holes != holes:
            self.recount()
        elif last > self._counted:
            self._left += store.pending(self.filters, max(self._counted + 1, self.ledger.next))
            self._counted = last
        return self._left

    def recount(self) -> None:
        """Count anew: messages have been removed, or others match."""
        store = self.store
        self._holes = store.last - store.messages
        self._counted = store.last
        start = self.ledger.next
        self._left = 0
        if self.skips is not None:
            self._left = len(self.skips)
            start = self.ledger.resume + 1
        if start <= store.last:
            self._left += store.pending(self.filters, start)

    def doubt(self) -> None:
        """What is left is not what was counted: count anew when it is asked for."""
        self._holes = -1

    def skip(self, sequences: list[int]) -> None:
        """Deliver these first, from the end of the list on; then go on behind ``ledger.resume``. The list is not used by others."""
        self.skips = sequences
        if not sequences:
            self.go_on()

    def go_on(self) -> None:
        """What was to be delivered first is: go on behind all that was there then."""
        ledger = self.ledger
        self.skips = None
        if ledger.next <= ledger.resume:
            ledger.next = ledger.resume + 1
        ledger.resume = 0

    def restart(self) -> None:
        """The ledger begins anew. Where the last messages of subjects are delivered first, those that are left still are, as there."""
        self.loaded = None
        self.sent = self.acked = 0
        self.recount()
        if self.skips is not None:
            self._left = self.store.pending(self.filters, self.ledger.next, last_per_subject=True)
        self.touch()

    # Inside

    def _next(self) -> int:
        """Return the next message for a first delivery, 0 where none is there yet."""
        skips = self.skips
        if skips:
            return skips[-1] if skips[-1] <= self.store.committed else 0
        ledger = self.ledger
        if self.ahead is not None:
            self._pass_by()
            return self.ahead[0] if self.ahead else 0
        if ledger.next > self._committed:
            self._committed = self.store.committed
            if ledger.next > self._committed:
                return 0  # what is stored but not committed is not looked at
        sequence = self._sight.index.next(self.filters, ledger.next)
        if 0 < sequence <= self._committed:
            return sequence
        self._committed = self.store.committed  # there may be more by now
        if 0 < sequence <= self._committed:
            return sequence
        if ledger.next <= self._committed:
            ledger.next = self._committed + 1
        return 0

    def _pass_by(self) -> None:
        """Go on to the next of the messages that are known to match, or behind all that is known not to."""
        ahead, ledger = self.ahead, self.ledger
        assert ahead is not None
        while ahead and ahead[0] < ledger.next:
            ahead = ahead[1:]
        self.ahead = ahead
        ledger.next = max(ledger.next, ahead[0] if ahead else self.consumer.stream.hungry.seen + 1)

    def _count_ahead(self) -> None:
        """Do as ``count``, without a look at messages, and up to where it is known which match."""
        self._pass_by()
        seen: int = self.consumer.stream.hungry.seen
        if self._holes != self.store.last - self.store.messages:
            self.recount()
        elif self._counted < seen:
            for sequence in self.ahead or ():
                if sequence > self._counted:
                    self._left += 1
            self._counted = seen

    def _composed(self, sequence: int, again: bool) -> Publication | None:
        """Return the message as it is delivered. None where it is gone, or has to be loaded: then ``missing`` says so."""
        ledger = self.ledger
        count = ledger.count_of(sequence) + 2 if again else 1
        left = self._left if again else max(self._left - 1, 0)
        if self.loaded is None and not self.headers_only and self._sight.look(sequence):
            return self._seen(count, left)
        if self.loaded is not None and sequence in self.loaded:
            message = self.loaded[sequence]
        elif self.headers_only:
            message = self.store.peek(sequence)
        else:
            message = self.store.compose(sequence, self.head, count, ledger.delivered + 1, left)
            if message is not ELSEWHERE:
                return message  # type: ignore[no-any-return]
        if message is None:
            return None
        if message is ELSEWHERE:
            self.missing = sequence
            return None
        _, time, subject, header, payload = message
        reply = b"%b%d.%d.%d.%d.%d" % (self.head, count, sequence, ledger.delivered + 1, time, left)
        if self.headers_only:
            header = b"%bNats-Msg-Size: %d\r\n\r\n" % (header[:-2] if header else b"NATS/1.0\r\n", len(payload))
            payload = b""
        return Publication.compose(subject, reply, header, payload)

    def _seen(self, count: int, left: int) -> Publication:
        """Return the message that is seen as it is delivered; valid until the next one."""
        sight, ledger, publication = self._sight, self.ledger, self._message
        assert publication is not None
        header, size = sight.payload_start - sight.header_start, sight.payload_end - sight.header_start
        room = len(sight.subject) + len(self.head) + size + _NUMBERS
        buf = publication.buf
        if len(buf) < room:
            buf = publication.buf = new_buffer(room + room // 4)
        at = publication.subject_end = put(buf, 0, sight.subject)
        at = publication.reply_start = publication.tail_start = put_blank(buf, at)
        at = _put_dot(buf, put_number(buf, put(buf, at, self.head), count))
        at = _put_dot(buf, put_number(buf, at, sight.sequence))
        at = _put_dot(buf, put_number(buf, at, ledger.delivered + 1))
        at = publication.reply_end = put_number(buf, _put_dot(buf, put_number(buf, at, sight.time)), left)
        at = put_blank(buf, at)
        publication.header_size = -1
        if header:
            publication.header_size = header
            at = put_blank(buf, put_number(buf, at, header))
        at = publication.payload_start = put_crlf(buf, put_number(buf, at, size))
        at = publication.payload_end = put_slice(buf, at, sight.buf, sight.header_start, sight.payload_end)
        publication.end = put_crlf(buf, at)
        return publication

    def _delivered(self, sequence: int, again: bool) -> None:
        ledger = self.ledger
        if again:
            ledger.deliver_again(sequence, self.wall)
        elif self.policy == _BY_NONE:
            ledger.deliver_only(sequence)
            self._advance(sequence)
            if self.retains:
                self.consumer.retention.done(sequence)
        else:
            ledger.deliver(sequence, self.wall)
            self._advance(sequence)
        self.sent = self.wall
        if self.loaded is not None:
            self.loaded.pop(sequence, None)
        self.touch()

    def _advance(self, sequence: int) -> None:
        """Go on behind a message that was delivered for the first time, or is gone."""
        if self._left > 0:
            self._left -= 1
        skips = self.skips
        if skips is not None:
            skips.pop()
            if not skips:
                self.go_on()

    def _gone(self, sequence: int, again: bool) -> None:
        """A message that was to be delivered is not there any more."""
        if again:
            self.consumer.removed(sequence)
            return
        if self.skips is not None:
            self._advance(sequence)
        if self.ledger.next <= sequence:
            self.ledger.next = sequence + 1

    def _give_up(self, sequence: int) -> None:
        """A message was delivered as often as it may be."""
        count = self.ledger.give_up(sequence)
        if count == self.ledger.max_deliver:
            self.consumer.exceeded(sequence, count)
        self.touch()


def _put_dot(buf: bytearray, at: int) -> int:
    buf[at] = _DOT
    return at + 1
