"""Shelf: where the records of a store are: its segments in order, and the blocks of them that are in memory."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from midge.store.index import LAST_SEQUENCE
from midge.store.record import GOOD, Record
from midge.store.segment import HEAD_SIZE, Segment

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.tail import Block
else:
    from midge.store.tail import Block

__all__ = ["Shelf"]


class Shelf:
    """The segments and the blocks of a store.

    Attributes:
        segments: in order; sequences from a segment's base up to the next one's are in it.
        readers: how many workers use files.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.readers = 0
        self._bases: list[int] = []
        self._blocks: list[Block] = []
        self._keys: list[int] = []  # of the blocks: where each begins
        self._retired: list[Segment] = []

    # Segments

    def fill(self, segments: list[Segment]) -> None:
        """Have these segments in place of all there were."""
        self._retired += self.segments
        self.segments = segments
        self._bases = [segment.head.base for segment in segments]

    def add(self, segment: Segment) -> None:
        """Have a segment more, behind the others."""
        self.segments.append(segment)
        self._bases.append(segment.head.base)

    def segment_of(self, sequence: int) -> Segment:
        """Return the segment that has a sequence, if any has."""
        return self.segments[bisect_right(self._bases, sequence) - 1]

    def range_of(self, sequence: int) -> tuple[int, int]:
        """Return the base of the segment that has a sequence, and that of the next one."""
        at = bisect_right(self._bases, sequence)
        return self._bases[at - 1], self._bases[at] if at < len(self._bases) else LAST_SEQUENCE + 1

    def numbered(self, number: int) -> Segment | None:
        """Return a segment by its number."""
        return next((segment for segment in self.segments if segment.head.number == number), None)

    def after(self, segment: Segment) -> Segment:
        """Return the segment behind one that is not the last."""
        return self.segments[self.segments.index(segment) + 1]

    @property
    def end(self) -> tuple[int, int]:
        """The number of the last segment, and where its records end."""
        return (self.segments[-1].head.number, self.segments[-1].end) if self.segments else (0, HEAD_SIZE)

    def put_before(self, copy: Segment, segment: Segment) -> None:
        """Have a copy of a segment, for the sequences below those that ``rebase`` says."""
        at = self.segments.index(segment)
        self.segments.insert(at, copy)
        self._bases.insert(at, segment.head.base)

    def rebase(self, segment: Segment, base: int) -> None:
        """Ask the copy for all sequences before this one."""
        self._bases[self.segments.index(segment)] = base

    def take_away(self, segment: Segment) -> None:
        """Have a segment no longer."""
        at = self.segments.index(segment)
        del self.segments[at], self._bases[at]
        self._retired.append(segment)
        self.let_go()

    def may_trim(self, floor: int, number: int) -> bool:
        """True if the first segment holds nothing from ``floor`` on, and is before the one with this number."""
        return len(self._bases) > 1 and self._bases[1] <= floor and self.segments[0].head.number < number

    def trim(self, floor: int, number: int) -> list[Segment]:
        """Take away the segments at the head that hold nothing from ``floor`` on and are before the one with this number; return them."""
        count = 0
        while count < len(self.segments) - 1 and self._bases[count + 1] <= floor and self.segments[count].head.number < number:
            count += 1
        victims = self.segments[:count]
        if victims:
            del self.segments[:count], self._bases[:count]
            number = self.segments[0].head.number
            self._keep([block for block in self._blocks if block.number >= number])
            self._retired += victims
        return victims

    def let_go(self) -> None:
        """Close the files that were taken away, unless somebody reads."""
        if self.readers == 0:
            for segment in self._retired:
                segment.close()
            self._retired.clear()

    def close(self) -> None:
        """Close all files."""
        self.fill([])
        self._keep([])
        self.readers = 0
        self.let_go()

    # Blocks

    def hold(self, block: Block) -> None:
        """Have a block more, of the end of the last segment."""
        self._blocks.append(block)
        self._keys.append(_key(block.number, block.base))

    def holds(self, block: Block) -> bool:
        return block in self._blocks

    def drop(self, block: Block) -> None:
        """Forget a block."""
        at = self._blocks.index(block)
        del self._blocks[at], self._keys[at]

    def drop_segment(self, number: int) -> None:
        """Forget the blocks of a segment."""
        self._keep([block for block in self._blocks if block.number != number])

    def block_of(self, segment: Segment, place: int) -> Block | None:
        """Return the block that holds a place of a segment."""
        number = segment.head.number
        if self._blocks:  # the last one has what is read while it is written
            block = self._blocks[-1]
            if block.number == number and block.base <= place:
                return block if place < block.base + block.fill else None
        at = bisect_right(self._keys, _key(number, place)) - 1
        if at < 0:
            return None
        block = self._blocks[at]
        return block if block.number == number and place < block.base + block.fill else None

    def blank(self, segment: Segment, place: int) -> None:
        """Overwrite a message in memory, as it has been in the file."""
        block, record = self.block_of(segment, place), Record()
        if block is not None and record.decode(block.buf, place - block.base, block.fill, segment.head.seed) == GOOD:
            with memoryview(block.buf) as view:
                view[record.subject_start : record.payload_end] = bytes(record.size())

    def cut(self, number: int, end: int) -> None:
        """Forget what is in memory behind a place of a segment."""
        for block in self._blocks:
            if block.number == number and block.base + block.fill > end:
                block.cut(max(0, end - block.base))
        self._keep([block for block in self._blocks if block.number <= number and block.fill > 0])

    def _keep(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._keys = [_key(block.number, block.base) for block in blocks]


def _key(number: int, place: int) -> int:
    return number << 32 | place
