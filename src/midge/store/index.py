"""Index: what is known of each message of a stream without reading it, and which messages a subject has.

Per message: where it is (``place``, a number of the store's own), what it counts for (``size``), four flags of the store's own, its time
and its subject. An index reads no file and keeps no payload.

``place`` has 32 bits: where in its segment a message begins. The segment follows from the sequence, as each holds a range of them. All is
in flat arrays (``store.blocks`` by sequence, ``store.postings`` by subject): 24 bytes a message, some 100 a subject. What subjects
took is kept for those to come, until there is no message.

What matches a filter is found by the cheaper of two ways: asking each matching subject for its sequences, or passing over the messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from midge.store.base import Total
from midge.store.blocks import Block, Blocks
from midge.store.dump import decode, encode, fill
from midge.store.glance import Glance
from midge.store.pool import Pool
from midge.store.postings import Postings
from midge.store.selections import Selection, Selections
from midge.store.subjects import Subjects
from midge.wire.publication import Publication

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import get32, has_bit, is_wild, put32
    from cython.cimports.midge.wire.octets import put, resize
else:
    from midge.store.cells import get32, has_bit, is_wild, put32
    from midge.wire.octets import put, resize

__all__ = ["Index"]

LAST_SEQUENCE, MAX_SIZE = (1 << 63) - 2, (1 << 28) - 1
_LAST_SEQUENCE, _MAX_SIZE, _MAX_PLACE, _MAX_FLAGS, _NOTHING = LAST_SEQUENCE, MAX_SIZE, (1 << 32) - 1, 15, 0xFFFFFFFF
_GLANCE = 512  # messages that are looked at before the subjects are asked
_SOON = 4_096  # messages that are compared in no time
_AHEAD = 16  # messages of a dump: what is known of their subjects is on its way to the processor meanwhile
_ASKING = 16  # to ask one subject costs as much as to look at so many messages


class Index:
    """The messages of one stream.

    Args:
        first: the sequence of the first message to come.

    Attributes:
        messages, size, first, last, first_time, last_time: as ``Store`` has them; ``size`` is the sum of all sizes.
    """

    __slots__ = (
        "_blocks", "_changes", "_glance", "_name", "_pool", "_postings", "_selections", "_subjects", "first", "first_time", "last",
        "last_time", "messages", "size",
    )  # fmt: skip

    def __init__(self, first: int = 1) -> None:
        self.size = self.first_time = self.last_time = 0
        self.last = first - 1
        self._name = bytearray(64)  # a subject that is asked for
        self._changes = 0
        self._empty()
        if first <= 1:
            self.first = 0

    @property
    def subjects(self) -> int:
        """How many different subjects the messages have."""
        return self._subjects.count

    @property
    def deleted(self) -> int:
        """How many sequences between ``first`` and ``last`` have no message."""
        return self.last - self.first + 1 - self.messages if self.messages else 0

    # Changes

    def add(self, sequence: int, place: int, size: int, flags: int, time: int, buf: bytearray, start: int, end: int) -> None:
        """Note a message.

        Args:
            sequence: above ``last``; what is between is a gap.
            place: where it is, below 2**32.
            size: what it counts for, below 2**28.
            flags: 0 to 15.
            time: nanoseconds since the epoch; an earlier one than ``last_time`` becomes that.
            buf: holds the subject, from start to end.

        Raises:
            ValueError: a number is out of its range, or OverflowError where that is far out; nothing was noted.
        """
        if not self.last < sequence <= _LAST_SEQUENCE or not 0 <= start <= end <= len(buf):
            raise ValueError(f"message {sequence} behind {self.last}, subject from {start} to {end} of {len(buf)}")
        if not (0 <= place <= _MAX_PLACE and 0 <= size <= _MAX_SIZE and 0 <= flags <= _MAX_FLAGS):
            raise ValueError(f"message {sequence} at {place}, of {size} bytes, flags {flags}")
        self._note(sequence, place, flags << 28 | size, time, self._number_of(buf, start, end))

    def add_publication(self, sequence: int, place: int, size: int, flags: int, time: int, publication: Publication) -> None:
        """Note a message whose subject is that of a publication; see ``add``."""
        self.add(sequence, place, size, flags, time, publication.buf, publication.subject_start, publication.subject_end)

    def skip(self, sequence: int, time: int) -> None:
        """Use up all sequences up to this one without a message; nothing where they are used. The highest there can be is 2**63 - 2."""
        sequence = min(sequence, LAST_SEQUENCE)
        if sequence > self.last:
            self._changes += 1
            self.last = sequence
            self.last_time = max(time, self.last_time)
            if not self.messages:
                self.first = sequence + 1

    def remove(self, sequence: int) -> bool:
        """Forget a message. False where there is none of that sequence."""
        sequence = _bounded(sequence)
        index = self._blocks.lookup(sequence)
        if index < 0:
            return False
        self._remove(self._blocks.at(sequence), index, sequence)
        if sequence == self.first:
            self._find_first()
        return True

    def drop(self, below: int) -> int:
        """Forget all messages before a sequence, which may be past the last one: then those before it are used up. Return how many."""
        if below > LAST_SEQUENCE:
            below = LAST_SEQUENCE + 1
        before = self.messages
        if below > self.last:
            if before:
                self._changes += 1
                self._empty()
            self.skip(below - 1, self.last_time)
        elif below > self.first and before:
            self._drop_before(below)
        return before - self.messages

    def move(self, sequence: int, place: int) -> None:
        """Note that a message is elsewhere now; nothing where there is none of that sequence."""
        index = self._blocks.lookup(_bounded(sequence))
        if index >= 0:
            block = self._block_of(sequence)
            block.put_place(index, place)

    # One message

    def has(self, sequence: int) -> bool:
        return self._blocks.lookup(_bounded(sequence)) >= 0

    def place_of(self, sequence: int) -> int:
        """Return where a message is, -1 where there is none."""
        index = self._blocks.lookup(_bounded(sequence))
        return -1 if index < 0 else self._block_of(sequence).place(index)

    def size_of(self, sequence: int) -> int:
        """Return what a message counts for, 0 where there is none."""
        index = self._blocks.lookup(_bounded(sequence))
        return 0 if index < 0 else self._block_of(sequence).measure(index) & _MAX_SIZE

    def flags_of(self, sequence: int) -> int:
        """Return the flags of a message, 0 where there is none."""
        index = self._blocks.lookup(_bounded(sequence))
        return 0 if index < 0 else self._block_of(sequence).measure(index) >> 28

    def time_of(self, sequence: int) -> int:
        """Return the time of a message, 0 where there is none."""
        index = self._blocks.lookup(_bounded(sequence))
        return 0 if index < 0 else self._block_of(sequence).time(index)

    def subject_of(self, sequence: int) -> bytes | None:
        """Return the subject of a message, None where there is none."""
        index = self._blocks.lookup(_bounded(sequence))
        return None if index < 0 else self._subjects.name(self._block_of(sequence).subject(index))

    def entry(self, sequence: int) -> tuple[int, int, int, int, bytes] | None:
        """Return place, size, flags, time and subject of a message, None where there is none."""
        index = self._blocks.lookup(_bounded(sequence))
        if index < 0:
            return None
        block = self._block_of(sequence)
        measure = block.measure(index)
        return block.place(index), measure & _MAX_SIZE, measure >> 28, block.time(index), self._subjects.name(block.subject(index))

    # Many

    def after(self, sequence: int) -> int:
        """Return the first sequence at or after this one that has a message, 0 where there is none."""
        return self._blocks.after(_bounded(sequence))

    def flagged(self, flags: int, start: int) -> int:
        """Return the first sequence at or after start whose message has one of these flags, 0 where there is none: by passing over them."""
        return self._blocks.flagged(flags, _bounded(start))

    def alive(self, first: int, last: int) -> tuple[int, int]:
        """Return how many messages there are from first to last, both included, and the sum of their sizes."""
        return self._blocks.alive(_bounded(first), _bounded(last))

    def at_time(self, time: int) -> int:
        """Return the sequence of the first message of this time or later; ``last + 1`` where there is none."""
        if time > self.last_time:
            return self.last + 1
        return self._blocks.at_time(max(time, 0)) or self.last + 1

    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        """Return the sequence of the first message at or after start whose subject matches one of the filters, 0 where there is none."""
        at = _bounded(start)
        if not filters:
            return self._blocks.after(at)
        if len(filters) == 1 and not is_wild(filters[0]):
            number = self._find(filters[0])
            return self._postings.next(number, at) if number >= 0 else 0
        found = self._glance.next(filters, at, self.last)
        return found if found >= 0 else self._next_of(self._selections.of(filters), at)

    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        """Return the sequence of the last such message at or before start, 0 where there is none."""
        at = _bounded(start)
        if not filters:
            return self._blocks.before(at)
        if len(filters) == 1 and not is_wild(filters[0]):
            number = self._find(filters[0])
            return self._postings.previous(number, at) if number >= 0 else 0
        return self._previous_of(self._selections.of(filters), at)

    def total(self, subject: bytes) -> Total | None:
        """Return what there is of one literal subject."""
        number = self._find(subject)
        return None if number < 0 else self._total_of(number)

    def totals(self, filter: bytes, place: int, count: int) -> tuple[list[tuple[bytes, int]], int]:
        """Return some of the subjects that match, each with how many messages it has, and where to go on; see ``Store.totals``."""
        found: list[tuple[bytes, int]] = []
        selection = self._selections.of((filter,))
        number = selection.next(place)
        while number >= 0 and len(found) < count:
            found.append((self._subjects.name(number), self._postings.count(number)))
            number = selection.next(number + 1)
        return found, number

    def prepare(self, filters: tuple[bytes, ...], start: int) -> bool:
        """Do a part of what has to be done before these filters are answered fast; see ``Store.prepare``."""
        if not filters or (len(filters) == 1 and not is_wild(filters[0])):
            return True
        is_soon = self.last - start < _SOON and self._glance.is_enough(filters, _bounded(start), self.last)
        return is_soon or self._selections.prepare(filters)

    def pending(self, filters: tuple[bytes, ...], start: int, *, last_per_subject: bool = False) -> int:
        """Return how many messages at or after start match; of each subject only the last one, where that is asked for."""
        at = _bounded(start)
        return self._count_lasts(self._selections.of(filters or (b">",)), at) if last_per_subject else self._pending(filters, at)

    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        """Return the sequence of the last message of every matching subject, sorted; of those at or before ``up_to``, unless 0."""
        return self._lasts_of(self._selections.of(filters or (b">",)), _bounded(up_to) or _LAST_SEQUENCE)

    def some_lasts(self, filters: tuple[bytes, ...], place: int, count: int, up_to: int) -> tuple[list[int], int]:
        """Return the last sequences of some of the subjects that match, in no order, and where to go on; see ``Store.some_lasts``."""
        found: list[int] = []
        at, selection = _bounded(up_to), self._selections.of(filters or (b">",))
        number = selection.next(place)
        while number >= 0 and count > 0:
            sequence = self._postings.previous(number, at)
            if sequence:
                found.append(sequence)
            count -= 1
            number = selection.next(number + 1)
        return found, number

    def gaps(self, start: int = 1) -> Iterator[tuple[int, int]]:
        """Return the ranges (first, last) of sequences between ``first``, or start, and ``last`` without a message. A change ends it."""
        changes = self._changes
        hole = self._blocks.hole(max(self.first, _bounded(start))) if self.messages else self.last + 1
        while hole <= self.last and self._changes == changes:
            after = self._blocks.after(hole) or self.last + 1
            yield hole, after - 1
            hole = self._blocks.hole(after)

    # Files

    def dump(self, first: int, last: int) -> bytes:
        """Return all that is known of the messages from first to last, both included and less than 2**32 apart, for ``restore``."""
        at, end = max(_bounded(first), 1), _bounded(last)
        run = Block(at, self._blocks.alive(at, end)[0], True)
        return encode(run, fill(run, end, self._blocks, self._subjects))

    def restore(self, data: bytes | bytearray) -> None:
        """Add the messages of a ``dump``, which are all above ``last``.

        Raises:
            ValueError: it is no dump, or was damaged, or is of messages that are not above ``last``; nothing was added.
        """
        buf = data if isinstance(data, bytearray) else bytearray(data)
        run, lengths, names = decode(buf)
        self._take(run, buf, lengths, names)

    # Private: files

    def _take(self, run: Block, buf: bytearray, lengths: int, names: int) -> None:
        """Note the messages of a dump, whose names stand in a buffer."""
        if run.used and run.sequence(0) <= self.last:
            raise ValueError(f"a dump from {run.sequence(0)} on, behind {self.last}")
        numbers = bytearray(4 * names)  # of each name the one it has here, plus one
        self._subjects.find_all(buf, lengths, names, numbers)
        at = lengths + 4 * names
        for name in range(names):
            size = get32(buf, lengths + 4 * name)
            if get32(numbers, 4 * name) == 0:
                put32(numbers, 4 * name, self._number_of(buf, at, at + size) + 1)
            at += size
        for index in range(run.used):
            if index + _AHEAD < run.used:
                self._postings.expect(get32(numbers, 4 * run.subject(index + _AHEAD)) - 1)
                self._postings.expect_more(get32(numbers, 4 * run.subject(index + (_AHEAD >> 1))) - 1)
            number = get32(numbers, 4 * run.subject(index)) - 1
            self._note(run.sequence(index), run.place(index), run.measure(index), run.time(index), number)

    # Private: changes

    def _empty(self) -> None:
        """Forget all messages."""
        self._pool = Pool()
        self._subjects = Subjects(self._pool)
        self._postings = Postings(self._pool)
        self._selections = Selections(self._subjects)
        self._blocks = Blocks()
        self._glance = Glance(self._subjects, self._blocks, self._selections)
        self.messages = self.size = self.first_time = 0
        self.first = self.last + 1

    def _number_of(self, buf: bytearray, start: int, end: int) -> int:
        """Return the number of a subject, which may be new."""
        count = self._subjects.count
        number = self._subjects.intern(buf, start, end)
        if self._subjects.count != count:
            self._postings.begin(number)
            self._selections.opened(number)
        return number

    def _note(self, sequence: int, place: int, measure: int, time: int, number: int) -> None:
        self._changes += 1
        if time > self.last_time:
            self.last_time = time
        self._blocks.add(sequence, self.last_time, place, measure, number)
        self._postings.add(number, sequence)
        if self.messages == 0:
            self.first = sequence
            self.first_time = self.last_time
        self.messages += 1
        self.size += measure & _MAX_SIZE
        self.last = sequence

    def _remove(self, number: int, index: int, sequence: int) -> None:
        """Forget a message, but leave ``first`` as it is."""
        self._changes += 1
        block = self._blocks.blocks[number]
        subject = block.subject(index)
        self.size -= block.measure(index) & _MAX_SIZE
        self.messages -= 1
        self._blocks.remove(number, index)
        if self._postings.remove(subject, sequence) == 0:
            self._selections.closed(subject)
            self._subjects.release(subject)

    def _drop_before(self, below: int) -> None:
        """Forget the messages before a sequence, of which the first is one."""
        sequence = self.first
        while 0 < sequence < below:
            number = self._blocks.at(sequence)
            self._remove(number, self._blocks.lookup(sequence), sequence)
            sequence = self._blocks.after(sequence)
        self._find_first()

    def _find_first(self) -> None:
        self.first = self._blocks.after(self.first) or self.last + 1
        index = self._blocks.lookup(self.first)
        self.first_time = self._block_of(self.first).time(index) if index >= 0 else 0

    # Private: finding

    def _pending(self, filters: tuple[bytes, ...], start: int) -> int:
        if not filters:
            return self.messages if start <= self.first else self._blocks.count(start)
        if len(filters) == 1 and not is_wild(filters[0]):
            number = self._find(filters[0])
            return self._postings.rest(number, start) if number >= 0 else 0
        found = self._glance.count(filters, start, self.last)
        return found if found >= 0 else self._rest_of(self._selections.of(filters), start)

    def _block_of(self, sequence: int) -> Block:
        return self._blocks.blocks[self._blocks.at(sequence)]

    def _find(self, subject: bytes) -> int:
        """Return the number of a literal subject, -1 where there is none."""
        size = len(subject)
        if size > len(self._name):
            resize(self._name, 2 * size)
        put(self._name, 0, subject)
        return self._subjects.find(self._name, 0, size)

    def _total_of(self, number: int) -> Total:
        return Total(self._postings.count(number), self._postings.first(number), self._postings.last(number))

    def _next_of(self, selection: Selection, start: int) -> int:
        if selection.count == self._subjects.count:
            return self._blocks.after(start)
        if selection.count == 0:
            return 0
        found = self._blocks.after_in(selection.bits, start, _GLANCE)
        if found >= 0:
            return found
        start = -found
        if _ASKING * selection.count > self.last - start:
            return self._blocks.after_in(selection.bits, start, _LAST_SEQUENCE)
        nearest = 0
        number = selection.next(0)
        while number >= 0:
            found = self._postings.next(number, start)
            if found and (found < nearest or not nearest):
                nearest = found
            number = selection.next(number + 1)
        return nearest

    def _previous_of(self, selection: Selection, start: int) -> int:
        if selection.count == self._subjects.count:
            return self._blocks.before(start)
        if selection.count == 0:
            return 0
        found = self._blocks.before_in(selection.bits, start, _GLANCE)
        if found >= 0:
            return found
        start = -found
        if _ASKING * selection.count > start - self.first:
            return self._blocks.before_in(selection.bits, start, _LAST_SEQUENCE)
        nearest = 0
        number = selection.next(0)
        while number >= 0:
            found = self._postings.previous(number, start)
            if found > nearest:
                nearest = found
            number = selection.next(number + 1)
        return nearest

    def _rest_of(self, selection: Selection, start: int) -> int:
        """Return how many messages of a selection there are at or after start."""
        if selection.count == self._subjects.count:
            return self.messages if start <= self.first else self._blocks.count(start)
        if start > self.first and _ASKING * selection.count > self.last - start:
            return self._blocks.count_in(selection.bits, start)
        count = 0
        number = selection.next(0)
        while number >= 0:
            count += self._postings.rest(number, start)
            number = selection.next(number + 1)
        return count

    def _count_lasts(self, selection: Selection, start: int) -> int:
        count = 0
        number = selection.next(0)
        while number >= 0:
            if self._postings.last(number) >= start:
                count += 1
            number = selection.next(number + 1)
        return count

    def _lasts_of(self, selection: Selection, up_to: int) -> list[int]:
        found: list[int] = []
        if up_to >= self.last and _ASKING * selection.count > self.messages:
            self._collect_lasts(selection, found)
            return found
        number = selection.next(0)
        while number >= 0:
            sequence = self._postings.previous(number, up_to)
            if sequence:
                found.append(sequence)
            number = selection.next(number + 1)
        found.sort()
        return found

    def _collect_lasts(self, selection: Selection, found: list[int]) -> None:
        """Pass over all messages, and append those that are the last of a selected subject."""
        for block in self._blocks.blocks:
            index = block.next(0)
            while index < block.used:
                number = block.subject(index)
                sequence = block.sequence(index)
                if self._postings.last(number) == sequence and has_bit(selection.bits, number):
                    found.append(sequence)
                index = block.next(index + 1)


def _bounded(sequence: int) -> int:
    """Return a sequence that someone asks for as one that there could be."""
    return 0 if sequence < 0 else LAST_SEQUENCE if sequence > LAST_SEQUENCE else sequence
