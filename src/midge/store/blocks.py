"""Blocks: what is known of each message, by sequence, in flat arrays of 20 bytes a message.

A block holds a range of sequences. While most of them have a message it is *dense*: the place in the arrays follows from the sequence, and
what was removed leaves a hole. When three of four are gone it becomes *sparse*: only what is there, with the sequences beside it; small
sparse neighbours become one. So memory follows the messages there are, and finding one takes a step or a bisection.

    times 8 | places 4 | sizes and flags 4 | subjects 4 | sequences less the block's first 4 (sparse alone)     times ``capacity`` each
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import copy, find32, find64, get32, get64, has_bit, put32, put64
    from cython.cimports.midge.wire.octets import new_buffer
else:
    from midge.store.cells import copy, find32, find64, get32, get64, has_bit, put32, put64
    from midge.wire.octets import new_buffer

__all__ = ["Block", "Blocks"]

BLOCK = 4096  # messages of a block
NOTHING = 0xFFFFFFFF  # in place of a subject: there is no message

_BLOCK, _NOTHING = BLOCK, NOTHING
_SMALL = 64  # messages that a stream's first block begins with
_FEW = 1024  # sparse neighbours with no more messages become one
_SIZE = 0x0FFFFFFF  # a size without the flags above it


class Block:
    """The messages of a range of sequences.

    Attributes:
        first: no entry has a sequence before it; in a dense block that of the first entry, message or hole.
        used: how many entries are filled; holes count.
        alive: how many of them are messages.
        size: the sum of the sizes of those.
        capacity: how many entries there is room for.
        is_sparse: entries tell their sequence.
        cells: the arrays, one behind the other.
    """

    __slots__ = ("alive", "capacity", "cells", "first", "is_sparse", "size", "used")

    def __init__(self, first: int, capacity: int, is_sparse: bool) -> None:
        self.first = first
        self.capacity = capacity
        self.is_sparse = is_sparse
        self.cells = new_buffer(capacity * (24 if is_sparse else 20))
        self.used = self.alive = self.size = 0

    def find(self, sequence: int) -> int:
        """Return the index of the first entry at or after a sequence; ``used`` where there is none."""
        offset = sequence - self.first
        if offset <= 0:
            return 0
        if self.is_sparse:
            return find32(self.cells, 20 * self.capacity, self.used, offset)
        return offset if offset < self.used else self.used

    def sequence(self, at: int) -> int:
        return self.first + (get32(self.cells, 20 * self.capacity + 4 * at) if self.is_sparse else at)

    def time(self, at: int) -> int:
        return get64(self.cells, 8 * at)

    def place(self, at: int) -> int:
        return get32(self.cells, 8 * self.capacity + 4 * at)

    def measure(self, at: int) -> int:
        """Return size and, in bits 28 to 31, flags."""
        return get32(self.cells, 12 * self.capacity + 4 * at)

    def subject(self, at: int) -> int:
        """Return the number of the subject, or NOTHING."""
        return get32(self.cells, 16 * self.capacity + 4 * at)

    def put(self, sequence: int, time: int, place: int, measure: int, subject: int) -> None:
        """Fill the next entry, for which there is room."""
        at = self.used
        put64(self.cells, 8 * at, time)
        put32(self.cells, 8 * self.capacity + 4 * at, place)
        put32(self.cells, 12 * self.capacity + 4 * at, measure)
        put32(self.cells, 16 * self.capacity + 4 * at, subject)
        if self.is_sparse:
            put32(self.cells, 20 * self.capacity + 4 * at, sequence - self.first)
        self.used = at + 1
        if subject != _NOTHING:
            self.alive += 1
            self.size += measure & _SIZE

    def put_place(self, at: int, place: int) -> None:
        put32(self.cells, 8 * self.capacity + 4 * at, place)

    def clear(self, at: int) -> None:
        """Make a hole of a message."""
        self.size -= self.measure(at) & _SIZE
        self.alive -= 1
        put32(self.cells, 16 * self.capacity + 4 * at, _NOTHING)

    def next(self, at: int) -> int:
        """Return the index of the first message at or after an index; ``used`` where there is none."""
        base, used = 16 * self.capacity, self.used
        while at < used and get32(self.cells, base + 4 * at) == _NOTHING:
            at += 1
        return at

    def previous(self, at: int) -> int:
        """Return the index of the last message at or before an index, -1 where there is none."""
        base = 16 * self.capacity
        while at >= 0 and get32(self.cells, base + 4 * at) == _NOTHING:
            at -= 1
        return at

    def grow(self, capacity: int) -> None:
        """Make room for more entries."""
        old, cells, used = self.capacity, new_buffer((24 if self.is_sparse else 20) * capacity), self.used
        copy(cells, 0, self.cells, 0, 8 * used)
        copy(cells, 8 * capacity, self.cells, 8 * old, 4 * used)
        copy(cells, 12 * capacity, self.cells, 12 * old, 4 * used)
        copy(cells, 16 * capacity, self.cells, 16 * old, 4 * used)
        if self.is_sparse:
            copy(cells, 20 * capacity, self.cells, 20 * old, 4 * used)
        self.cells, self.capacity = cells, capacity

    def take(self, other: Block) -> None:
        """Copy the messages of a block that follows; this one is sparse."""
        need = self.used + other.alive
        if need > self.capacity:
            self.grow(max(need, min(2 * self.capacity, _FEW)))
        index = other.next(0)
        while index < other.used:
            self.put(other.sequence(index), other.time(index), other.place(index), other.measure(index), other.subject(index))
            index = other.next(index + 1)


class Blocks:
    """The messages of one stream. An entry is named by its block and index, or by its sequence.

    Attributes:
        blocks: in the order of sequences; those without a message are not kept, the last one excepted.
    """

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def add(self, sequence: int, time: int, place: int, measure: int, subject: int) -> None:
        """Add a message behind all others."""
        block = self._room_for(sequence, time)
        block.put(sequence, time, place, measure, subject)

    def at(self, sequence: int) -> int:
        """Return the number of the block that a sequence belongs to: the last one that does not begin behind it, -1 before all."""
        blocks = self.blocks
        high = len(blocks) - 1
        if high < 0:
            return -1
        block = blocks[high]
        if block.first <= sequence:
            return high
        block = blocks[0]
        if sequence < block.first:
            return -1
        low = (sequence - block.first) // _BLOCK  # right where nothing was removed
        if low < high:
            block, after = blocks[low], blocks[low + 1]
            if block.first <= sequence < after.first:
                return low
        low = 0  # blocks[low] does not begin behind it, blocks[high] does
        while high - low > 1:
            middle = (low + high) >> 1
            block = blocks[middle]
            if block.first <= sequence:
                low = middle
            else:
                high = middle
        return low

    def lookup(self, sequence: int) -> int:
        """Return the index of a message in block ``at(sequence)``, -1 where there is no such message."""
        number = self.at(sequence)
        if number < 0:
            return -1
        block = self.blocks[number]
        index = block.find(sequence)
        if index >= block.used or block.subject(index) == _NOTHING or block.sequence(index) != sequence:
            return -1
        return index

    def remove(self, number: int, index: int) -> None:
        """Remove a message; blocks may move then."""
        block = self.blocks[number]
        block.clear(index)
        if number == len(self.blocks) - 1:
            if block.alive == 0:
                block.used = 0
                if block.capacity > _SMALL:
                    self.blocks[number] = Block(block.first, _SMALL, False)
        elif block.alive == 0:
            del self.blocks[number]
        elif number and block.alive < block.used >> (1 if block.is_sparse else 2):  # the first one goes soon
            self._thin(number)

    def after(self, sequence: int) -> int:
        """Return the first sequence at or after this one that has a message, 0 where there is none."""
        number = self.at(sequence)
        if number < 0:
            number = 0
        for number in range(number, len(self.blocks)):
            block = self.blocks[number]
            index = block.next(block.find(sequence))
            if index < block.used:
                return block.sequence(index)
        return 0

    def before(self, sequence: int) -> int:
        """Return the last sequence at or before this one that has a message, 0 where there is none."""
        for number in range(self.at(sequence), -1, -1):
            block = self.blocks[number]
            index = block.previous(block.find(sequence + 1) - 1)
            if index >= 0:
                return block.sequence(index)
        return 0

    def alive(self, first: int, last: int) -> tuple[int, int]:
        """Return how many messages there are from first to last, both included, and the sum of their sizes."""
        messages = size = 0
        number = self.at(first)
        if number < 0:
            number = 0
        for number in range(number, len(self.blocks)):
            block = self.blocks[number]
            if block.first > last:
                break
            start, stop = block.find(first), block.find(last + 1)
            if start == 0 and stop == block.used:
                messages += block.alive
                size += block.size
                continue
            for index in range(start, stop):
                if block.subject(index) != _NOTHING:
                    messages += 1
                    size += block.measure(index) & _SIZE
        return messages, size

    def count(self, start: int) -> int:
        """Return how many messages there are at or after a sequence."""
        messages = 0
        number = self.at(start)
        for number in range(number + 1, len(self.blocks)):
            block = self.blocks[number]
            messages += block.alive
        number = self.at(start)
        if number >= 0:
            block = self.blocks[number]
            for index in range(block.find(start), block.used):
                if block.subject(index) != _NOTHING:
                    messages += 1
        return messages

    def at_time(self, time: int) -> int:
        """Return the sequence of the first message of this time or later, 0 where there is none."""
        low, high = 0, len(self.blocks)  # blocks before low end earlier, those from high on do not
        while low < high:
            middle = (low + high) >> 1
            block = self.blocks[middle]
            if block.used == 0 or block.time(block.used - 1) >= time:
                high = middle
            else:
                low = middle + 1
        for number in range(low, len(self.blocks)):
            block = self.blocks[number]
            index = block.next(find64(block.cells, 0, 8, block.used, time))
            if index < block.used:
                return block.sequence(index)
        return 0

    def flagged(self, mask: int, start: int) -> int:
        """Return the first sequence at or after start of a message with one of the flags, 0 where there is none."""
        mask <<= 28
        number = self.at(start)
        if number < 0:
            number = 0
        for number in range(number, len(self.blocks)):
            block = self.blocks[number]
            for index in range(block.find(start), block.used):
                if block.measure(index) & mask and block.subject(index) != _NOTHING:
                    return block.sequence(index)
        return 0

    def hole(self, sequence: int) -> int:
        """Return the first sequence at or after this one that has no message."""
        number = self.at(sequence)
        while 0 <= number < len(self.blocks):
            block = self.blocks[number]
            index = block.find(sequence)
            while index < block.used and block.subject(index) != _NOTHING and block.sequence(index) == sequence:
                index += 1
                sequence += 1
            if index < block.used:
                break
            number += 1
        return sequence

    # Of some subjects: those whose numbers are set in ``bits``

    def after_in(self, bits: bytearray, sequence: int, steps: int) -> int:
        """Return the first such message's sequence at or after this one, 0 where there is none.

        Looks at about so many entries, then gives up and returns where to go on, as a negative number.
        """
        number = self.at(sequence)
        if number < 0:
            number = 0
        for number in range(number, len(self.blocks)):
            block = self.blocks[number]
            start = block.find(sequence)
            for index in range(start, block.used):
                subject = block.subject(index)
                if subject != _NOTHING and has_bit(bits, subject):
                    return block.sequence(index)
                if index - start == steps:
                    return -block.sequence(index)
            steps -= block.used - start
            if steps < 0:
                return -(block.sequence(block.used - 1) + 1)
        return 0

    def before_in(self, bits: bytearray, sequence: int, steps: int) -> int:
        """Return the last such message's sequence at or before this one, as ``after_in`` does."""
        number = self.at(sequence)
        for number in range(number, -1, -1):
            block = self.blocks[number]
            index = start = block.find(sequence + 1) - 1
            while index >= 0:
                subject = block.subject(index)
                if subject != _NOTHING and has_bit(bits, subject):
                    return block.sequence(index)
                if start - index == steps:
                    return -block.sequence(index)
                index -= 1
            steps -= start + 1
            if steps < 0:
                return -max(block.first, 1)
        return 0

    def count_in(self, bits: bytearray, sequence: int) -> int:
        """Return how many such messages there are at or after a sequence."""
        count = 0
        number = self.at(sequence)
        if number < 0:
            number = 0
        for number in range(number, len(self.blocks)):
            block = self.blocks[number]
            for index in range(block.find(sequence), block.used):
                subject = block.subject(index)
                if subject != _NOTHING and has_bit(bits, subject):
                    count += 1
        return count

    # Private

    def _room_for(self, sequence: int, time: int) -> Block:
        """Return the last block, made so that this sequence is its next entry."""
        if self.blocks:
            block = self.blocks[-1]
            if block.used == 0 and not block.is_sparse:
                block.first = sequence
                return block
            if not block.is_sparse and sequence - block.first < _BLOCK:
                offset = sequence - block.first
                if offset >= block.capacity:
                    block.grow(min(_BLOCK, max(2 * block.capacity, offset + 1)))
                while block.used < offset:
                    block.put(block.first + block.used, time, 0, 0, _NOTHING)
                return block
            self._close_last()
        is_next = self.blocks and not block.is_sparse and sequence - block.first == _BLOCK
        block = Block(sequence, _BLOCK if is_next else _SMALL, False)
        self.blocks.append(block)
        return block

    def _close_last(self) -> None:
        """Make the last block one among the others."""
        number = len(self.blocks) - 1
        block = self.blocks[number]
        if block.alive == 0:
            del self.blocks[number]
        elif block.alive < block.capacity >> 2:
            self._thin(number)

    def _thin(self, number: int) -> None:
        """Make a block sparse, of what is left in it, and join it to a sparse one before or behind where both have few."""
        block = self.blocks[number]
        if number:
            before = self.blocks[number - 1]
            if _fit(before, block):
                before.take(block)
                del self.blocks[number]
                return
        thin = Block(block.first, block.alive, True)
        thin.take(block)
        self.blocks[number] = thin
        if number + 1 < len(self.blocks):
            after = self.blocks[number + 1]
            if after.is_sparse and _fit(thin, after):
                thin.take(after)
                del self.blocks[number + 1]


def _fit(block: Block, after: Block) -> bool:
    """True if a sparse block can take the messages of the one behind it."""
    return block.is_sparse and block.used + after.alive <= _FEW and after.sequence(after.used - 1) - block.first < _NOTHING
