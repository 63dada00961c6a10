"""Ledger: what one consumer has delivered, and what of that is still to be acknowledged.

A delivered message that is not acknowledged is an *entry*: its sequence in the stream, the delivery sequence it had first, when it was
delivered last, how often again, and its ticket in the queue of what is to be delivered again. Entries lie in one flat array in the order
of their sequences (a first delivery never goes back), so finding one is a guess or a bisection and none is a Python object. An entry that
is done with stays as a hole until the head passes it or the array is packed. Who leaves the queue (``redelivery``) keeps no ticket.

The rules are nats-server's: the entry keeps its first delivery sequence, floors move as in ``moveAckFloor``, expiry as in ``checkPending``.
As there, what is told of the floors (and outlives the process) stays where a message was given up: only acknowledgements move it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.engine.consumers.redelivery import RedeliveryQueue
    from cython.cimports.midge.store.cells import copy, get64, put64
    from cython.cimports.midge.wire.octets import new_buffer
else:
    from midge.engine.consumers.redelivery import RedeliveryQueue
    from midge.store.cells import copy, get64, put64
    from midge.wire.octets import new_buffer

__all__ = ["Ledger"]

_STRIDE = 40  # bytes of an entry: five numbers of eight bytes
_DELIVERY, _TIME, _COUNT, _TICKET = 8, 16, 24, 32  # where they are, behind the sequence
_FEW = 8  # entries of the first array
_KEPT = 16  # entries of an array that is kept when it is empty: what nobody uses takes no memory
_PAUSE = 1_000_000  # nanoseconds: what expires within it expires at once, as with nats-server
_PACE = 100  # nanoseconds of pause for each entry: looking through them takes a small part of the time
_SCAN = 65_536  # entries that one call of ``expire`` looks at
_ALL = 0x3FFF_FFFF_FFFF_FFFF
_LONGEST = 1 << 61  # nanoseconds that are waited for an acknowledgement: 73 years
_NOTHING = bytearray()  # nothing is ever put into it: most consumers have nothing pending most of the time


class Ledger:
    """The deliveries of one consumer. Times and waits are nanoseconds.

    Attributes:
        next: the stream's sequence to look at next.
        last: the highest stream sequence that was delivered, or what came before the first.
        delivered: the last delivery sequence.
        floor, stream_floor: everything up to these delivery and stream sequences is acknowledged, or given up.
        told_floor, told_stream_floor: the floors as they are told.
        pending: how many entries there are.
        redelivered: how many messages were delivered more than once and are not acknowledged.
        queued: how many wait to be delivered again.
        ack_wait: after which an entry expires; 0 for never.
        backoff: the same for the first, the second ... delivery, the last for all others; empty for ``ack_wait``.
        max_deliver: how often a message is delivered, -1 or 0 for any number.
        resume: the sequence behind which it goes on where the last messages of subjects are delivered first; 0 where they are not, or were.
        exceeded: messages that were delivered as often as that and not acknowledged: redeliveries by sequence.
    """

    __slots__ = (
        "_at", "_capacity", "_entries", "_head", "_is_gone", "_nearest", "_order", "_queue", "_shift", "_tail",
        "ack_wait", "backoff", "delivered", "exceeded", "floor", "last", "max_deliver", "next", "pending", "queued", "redelivered",
        "resume", "stream_floor", "told_floor", "told_stream_floor",
    )  # fmt: skip

    def __init__(self) -> None:
        self._entries = _NOTHING
        self._queue = RedeliveryQueue()
        self.exceeded: dict[int, int] = {}
        self.ack_wait = 0
        self.backoff: tuple[int, ...] = ()
        self.max_deliver = -1
        self._capacity = 0
        self.resume = 0
        self.start(1)

    def start(self, next: int) -> None:
        """Begin anew at a sequence of the stream: nothing was delivered."""
        self.next = next
        self.last = self.stream_floor = next - 1
        self.told_stream_floor = self.stream_floor
        self.delivered = self.floor = self.told_floor = 0
        self.pending = self.redelivered = self.queued = 0
        self._head = self._tail = self._at = self._nearest = self._shift = 0
        self._is_gone = False  # something was, since ``_tell``
        self.exceeded.clear()
        self._order: list[int] | None = None  # those, the first last; some may be forgiven
        self._let_go()

    # Deliveries

    def deliver(self, sequence: int, wall: int) -> int:
        """A message is delivered for the first time, and expects an acknowledgement. Return its delivery sequence."""
        self.delivered += 1
        self.next = max(self.next, sequence + 1)
        self.last = max(self.last, sequence)
        self.put(sequence, self.delivered, wall, 0)
        return self.delivered

    def deliver_only(self, sequence: int) -> int:
        """A message is delivered that expects none. Return its delivery sequence."""
        self.delivered += 1
        self.next = max(self.next, sequence + 1)
        self.last = max(self.last, sequence)
        self.floor = self.told_floor = self.delivered
        self.stream_floor = self.told_stream_floor = sequence
        return self.delivered

    def deliver_again(self, sequence: int, wall: int) -> int:
        """A message is delivered again, and is off the queue. Return the sequence of this delivery."""
        self.delivered += 1
        at = self._find(sequence)
        if at >= 0:
            self._unqueue(at)
            put64(self._entries, at + _TIME, wall)
            count = get64(self._entries, at + _COUNT)
            if count == 0:
                self.redelivered += 1
            put64(self._entries, at + _COUNT, count + 1)
        return self.delivered

    def count_of(self, sequence: int) -> int:
        """Return how often a message has been delivered again."""
        at = self._find(sequence)
        return get64(self._entries, at + _COUNT) if at >= 0 else 0

    def first_queued(self) -> int:
        """Return the sequence that is to be delivered again next, 0 where there is none."""
        queue = self._queue
        while self.queued:
            sequence = queue.first()
            at = self._find(sequence)
            if at >= 0 and get64(self._entries, at + _TICKET) == queue.front + 1:
                return sequence
            queue.skip()
        queue.skip_all()
        return 0

    def give_up(self, sequence: int) -> int:
        """A queued message was delivered as often as it may be: expect nothing more. Return its redeliveries, with this one not made."""
        at = self._find(sequence)
        if at < 0:
            return 0
        count = get64(self._entries, at + _COUNT) + 1
        delivery = get64(self._entries, at + _DELIVERY)
        self._remove(at)
        self.exceed(sequence, count)
        self._move_floor(delivery, sequence)
        return count

    # Acknowledgements

    def ack(self, sequence: int) -> int:
        """A message is done with. Return its delivery sequence, 0 where nothing was expected of it."""
        at = self._find(sequence)
        if at < 0:
            if self.exceeded:
                self.forgive(sequence)
            return 0
        delivery = get64(self._entries, at + _DELIVERY)
        self._remove(at)
        self._move_floor(delivery, sequence)
        self._move_told(delivery, sequence)
        return delivery

    def ack_all(self, sequence: int, delivery: int) -> int:
        """Everything up to a message is done with. Return how many entries that were, -1 where it is below the floors: nothing happens."""
        if delivery <= self.floor or sequence <= self.stream_floor:
            return -1
        self.floor, self.stream_floor = delivery, sequence
        self.told_floor, self.told_stream_floor = delivery, sequence
        before = self.pending
        self._remove_to(sequence)
        if self.exceeded:
            self._forgive_to(sequence)
        return before - self.pending

    def nak(self, sequence: int) -> bool:
        """Queue an entry to be delivered again, unless it is already. False where there is none."""
        at = self._find(sequence)
        if at < 0:
            return False
        if not get64(self._entries, at + _TICKET):
            self._enqueue(at)
        return True

    def postpone(self, sequence: int, time: int) -> bool:
        """Let an entry expire as if it had been delivered then, and take it off the queue. False where there is none."""
        at = self._find(sequence)
        if at < 0:
            return False
        self._unqueue(at)
        put64(self._entries, at + _TIME, time)
        return True

    def progress(self, sequence: int, wall: int) -> bool:
        """Somebody works on a message: its time begins anew. False where nothing is expected of it."""
        at = self._find(sequence)
        if at < 0:
            return False
        put64(self._entries, at + _TIME, wall)
        return True

    # Time

    def expire(self, wall: int, first: int) -> tuple[int, list[int]]:
        """Queue what has expired, in the order of the stream; forget what is before ``first``, as the stream has it no more.

        A call looks at a bounded number of entries, and the next one goes on behind them.

        Returns:
            when the next call is due, 0 where nothing can expire, and the messages that were delivered as often as they may be.
        """
        given_up: list[int] = []
        if not self.pending or not self.ack_wait:
            self._at = 0
            return 0, given_up
        if self._at == 0:
            self._nearest = self._shift = 0
        at, left = self._from(self._at), _SCAN
        while at < self._tail and left > 0:
            if get64(self._entries, at + _DELIVERY):
                self._look_at(at, wall, first, given_up)
            at += _STRIDE
            left -= 1
        if at < self._tail:
            self._at = get64(self._entries, at)
            return wall, given_up
        self._at = 0
        if not self.pending:
            self._move_floor(0, 0)
        if self._is_gone:
            self.tell()
        if not self.pending:
            return 0, given_up
        return max(self._nearest, wall) + _PAUSE + _PACE * self.pending, given_up

    def wait_of(self, count: int) -> int:
        """Return after what time an entry expires that was delivered again so often; no longer than can be added to any time."""
        backoff, wait = self.backoff, self.ack_wait
        if backoff:
            wait = backoff[count] if count < len(backoff) else backoff[-1]
        return wait if wait < _LONGEST else _LONGEST

    def expire_all(self, wall: int) -> list[int]:
        """Queue everything that may be delivered again now, whatever its time; return what may not."""
        given_up: list[int] = []
        at, shift = self._head, 0
        while at < self._tail:
            if get64(self._entries, at + _DELIVERY) and not get64(self._entries, at + _TICKET):
                time = get64(self._entries, at + _TIME)
                if not self._is_over(at, given_up):
                    shift = shift or wall - time
                    put64(self._entries, at + _TIME, time + shift)
                    self._enqueue(at)
            at += _STRIDE
        return given_up

    # What there is

    def sequences(self, start: int = 0, count: int = _ALL) -> list[int]:
        """Return the sequences of the entries from one on, so many at most."""
        found: list[int] = []
        at = self._from(start)
        while at < self._tail and len(found) < count:
            if get64(self._entries, at + _DELIVERY):
                found.append(get64(self._entries, at))
            at += _STRIDE
        return found

    def entry(self, sequence: int) -> tuple[int, int, int, bool] | None:
        """Return an entry's delivery sequence, time, redeliveries and whether it is queued; None where there is none."""
        at = self._find(sequence)
        if at < 0:
            return None
        on = self._entries
        return get64(on, at + _DELIVERY), get64(on, at + _TIME), get64(on, at + _COUNT), get64(on, at + _TICKET) > 0

    def has(self, sequence: int) -> bool:
        """True if a message is expected to be acknowledged."""
        return self._find(sequence) >= 0

    def put(self, sequence: int, delivery: int, time: int, count: int) -> None:
        """Add an entry behind all others: a new one, or one as it was when it was kept."""
        if self._tail == self._capacity:
            self._make_room()
        at = self._tail
        put64(self._entries, at, sequence)
        put64(self._entries, at + _DELIVERY, delivery)
        put64(self._entries, at + _TIME, time)
        put64(self._entries, at + _COUNT, count)
        put64(self._entries, at + _TICKET, 0)
        self._tail = at + _STRIDE
        self.pending += 1
        self.redelivered += count > 0

    def exceed(self, sequence: int, count: int) -> None:
        """A message was delivered as often as it may be, and is expected no more."""
        self.exceeded[sequence] = count
        self.redelivered += 1
        self._order = None

    def drop(self, sequence: int) -> bool:
        """Forget an entry and leave the floors alone. False where there is none."""
        at = self._find(sequence)
        if at >= 0:
            self._remove(at)
        return at >= 0

    def purge(self, first: int) -> int:
        """The stream has nothing more for the consumer before ``first``. Return the highest delivery sequence that goes; next: ``tell``."""
        self.next = max(self.next, first)
        self.stream_floor = max(self.stream_floor, first - 1)
        return self._remove_to(first - 1)

    def tell(self) -> None:
        """Tell all as it is."""
        self._is_gone = False
        self.last = self.next - 1
        self.told_floor, self.told_stream_floor = self.floor, self.stream_floor

    def forgive(self, sequence: int) -> None:
        """Forget a message that was delivered as often as it may be, if it is one."""
        if self.exceeded.pop(sequence, 0):
            self.redelivered -= 1

    # Inside

    def _look_at(self, at: int, wall: int, first: int, given_up: list[int]) -> None:
        """See whether an entry has expired, or is of a message that is gone."""
        entries = self._entries
        sequence, delivery = get64(entries, at), get64(entries, at + _DELIVERY)
        if sequence < first or sequence <= self.stream_floor:
            self._remove(at)
            self.stream_floor = max(self.stream_floor, sequence)
            self.floor = max(self.floor, delivery)
            self._is_gone = True
            return
        time = get64(entries, at + _TIME)
        due = time + self.wait_of(get64(entries, at + _COUNT))
        if due <= wall:
            if get64(entries, at + _TICKET) or self._is_over(at, given_up):
                return
            if self._shift == 0:
                self._shift = wall - time
            time += self._shift  # and not the time itself: what came later comes later again
            put64(self._entries, at + _TIME, time)
            self._enqueue(at)
            due = time + self.wait_of(get64(self._entries, at + _COUNT) + 1)
        if due < self._nearest or self._nearest == 0:
            self._nearest = due

    def _is_over(self, at: int, given_up: list[int]) -> bool:
        """True if an entry was delivered as often as it may be, in nats-server's way of counting: then it is expected no more."""
        count = max(get64(self._entries, at + _COUNT), 1)
        if self.max_deliver <= 0 or count < self.max_deliver:
            return False
        sequence, delivery = get64(self._entries, at), get64(self._entries, at + _DELIVERY)
        if count == self.max_deliver:
            given_up.append(sequence)
        self._remove(at)
        self.exceed(sequence, count)
        self._move_floor(delivery, sequence)
        return True

    def _remove_to(self, sequence: int) -> int:
        """Remove all entries up to a sequence. Return the highest of their delivery sequences, 0 where there is none."""
        highest = 0
        while self._head < self._tail:
            at = self._head
            if get64(self._entries, at) > sequence:
                break
            if get64(self._entries, at + _DELIVERY):
                highest = max(highest, get64(self._entries, at + _DELIVERY))
                self._remove(at)
            else:
                self._head += _STRIDE
        return highest

    def _move_floor(self, delivery: int, sequence: int) -> None:
        """Move the floors past an entry that has gone."""
        if self.pending == 0:
            self.floor = self.delivered
            self.stream_floor = self.next - 1
        elif delivery == self.floor + 1:
            at = self._live(sequence + 1)
            self.floor = get64(self._entries, at + _DELIVERY) - 1 if at >= 0 else delivery
            self.stream_floor = get64(self._entries, at) - 1 if at >= 0 else sequence

    def _move_told(self, delivery: int, sequence: int) -> None:
        """The same with those that are told."""
        if self.pending == 0:
            self.told_floor, self.told_stream_floor = self.delivered, self.last
        elif delivery == self.told_floor + 1:
            at = self._live(sequence + 1)
            self.told_floor = get64(self._entries, at + _DELIVERY) - 1 if at >= 0 else delivery
            self.told_stream_floor = get64(self._entries, at) - 1 if at >= 0 else sequence

    def _forgive_to(self, sequence: int) -> None:
        """Forgive all up to a sequence. They are sorted once for all acknowledgements that come before there are others."""
        order = self._order
        if order is None:
            order = self._order = sorted(self.exceeded, reverse=True)
        while order and order[-1] <= sequence:
            self.forgive(order.pop())

    def _live(self, sequence: int) -> int:
        """Return where the first entry at or behind a sequence is, -1 where there is none."""
        at = self._from(sequence)
        while at < self._tail and not get64(self._entries, at + _DELIVERY):
            at += _STRIDE
        return at if at < self._tail else -1

    def _from(self, sequence: int) -> int:
        """Return where the first entry, or hole, at or behind a sequence is; ``_tail`` where there is none."""
        entries = self._entries
        low, high = self._head, self._tail
        if low < high:  # most streams have no gaps: then this is where it is
            guess = sequence - get64(entries, low)
            if 0 <= guess < (high - low) // _STRIDE and get64(entries, low + guess * _STRIDE) == sequence:
                return low + guess * _STRIDE
        while low < high:
            middle = low + (high - low) // _STRIDE // 2 * _STRIDE
            if get64(entries, middle) < sequence:
                low = middle + _STRIDE
            else:
                high = middle
        return low

    def _find(self, sequence: int) -> int:
        """Return where an entry is, -1 where there is none."""
        at = self._from(sequence)
        if at < self._tail and get64(self._entries, at) == sequence and get64(self._entries, at + _DELIVERY):
            return at
        return -1

    def _remove(self, at: int) -> None:
        """Make a hole of an entry, and let the head pass the holes before the first entry."""
        entries = self._entries
        self._unqueue(at)
        self.redelivered -= get64(entries, at + _COUNT) > 0
        put64(entries, at + _DELIVERY, 0)
        self.pending -= 1
        if self.pending == 0 and self._at == 0:
            self._head = self._tail = 0
            self._let_go()
            return
        if at == self._head:
            while self._head < self._tail and get64(entries, self._head + _DELIVERY) == 0:
                self._head += _STRIDE

    def _make_room(self) -> None:
        """Pack the entries, in a longer array where they take more than half of this one."""
        live = self.pending * _STRIDE
        capacity = max(self._capacity, _FEW * _STRIDE)
        if 2 * live > self._capacity:
            capacity = max(2 * self._capacity, _FEW * _STRIDE)
        packed = new_buffer(capacity)
        fill, at = 0, self._head
        while at < self._tail:
            if get64(self._entries, at + _DELIVERY):
                copy(packed, fill, self._entries, at, _STRIDE)
                fill += _STRIDE
            at += _STRIDE
        self._entries = packed
        self._capacity = capacity
        self._head, self._tail = 0, fill

    def _let_go(self) -> None:
        """Nothing is pending: keep no large arrays."""
        if self._capacity > _KEPT * _STRIDE:
            self._entries = _NOTHING
            self._capacity = 0
        self._queue.clear()

    def _enqueue(self, at: int) -> None:
        """Put an entry at the end of the queue."""
        if self._queue.is_full():
            self._pack_queue()
        put64(self._entries, at + _TICKET, self._queue.append(get64(self._entries, at)))
        self.queued += 1

    def _unqueue(self, at: int) -> None:
        """Take an entry off the queue, if it is there."""
        if get64(self._entries, at + _TICKET):
            put64(self._entries, at + _TICKET, 0)
            self.queued -= 1

    def _pack_queue(self) -> None:
        """Leave out of the queue what has no ticket any more; make it longer where little of it is."""
        old = self._queue.renew(self.queued)
        while old.front < old.rear:
            sequence = old.first()
            at = self._find(sequence)
            if at >= 0 and get64(self._entries, at + _TICKET) == old.front + 1:
                put64(self._entries, at + _TICKET, self._queue.append(sequence))
            old.skip()
