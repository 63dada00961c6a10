"""Glance: the next message that matches some filters, where so few follow that each is compared: no selection is made for them.

A selection is made of all subjects, and kept for those who ask often. Of thousands that ask in turn, each for the last few messages, none
would find its own again: what each of them costs would be all subjects.
"""

from __future__ import annotations

from midge.store.blocks import Block, Blocks
from midge.store.selections import Selections
from midge.store.subjects import Subjects

__all__ = ["Glance"]

NOTHING = 0xFFFFFFFF  # see ``blocks``
FEW = 16  # comparisons that cost less than looking for a selection
_NOTHING, _FEW = NOTHING, FEW


class Glance:
    """What compares messages.

    Args:
        subjects, blocks: of the index.
        selections: what is kept of the subjects.
    """

    __slots__ = ("_blocks", "_selections", "_subjects")

    def __init__(self, subjects: Subjects, blocks: Blocks, selections: Selections) -> None:
        self._subjects = subjects
        self._blocks = blocks
        self._selections = selections

    def next(self, filters: tuple[bytes, ...], start: int, last: int) -> int:
        """Return the first message at or after start that matches, 0 where there is none; -1 where too many follow, up to the last one."""
        if not self.is_enough(filters, start, last):
            return -1
        number = max(self._blocks.at(start), 0)
        for number in range(number, len(self._blocks.blocks)):
            block: Block = self._blocks.blocks[number]
            for index in range(block.find(start), block.used):
                if self._matches(block, index, filters):
                    return block.sequence(index)
        return 0

    def count(self, filters: tuple[bytes, ...], start: int, last: int) -> int:
        """Return how many messages at or after start match, -1 where too many follow."""
        if not self.is_enough(filters, start, last):
            return -1
        count = 0
        number = max(self._blocks.at(start), 0)
        for number in range(number, len(self._blocks.blocks)):
            block: Block = self._blocks.blocks[number]
            for index in range(block.find(start), block.used):
                if self._matches(block, index, filters):
                    count += 1
        return count

    def is_enough(self, filters: tuple[bytes, ...], start: int, last: int) -> bool:
        """True if comparing all messages from start to last costs less than a selection."""
        span = last - start + 1
        if span > _FEW and span >= self._subjects.count:  # so many that the product below might be too much for 64 bits
            return False
        work = span * len(filters)
        return work <= _FEW or (work < self._subjects.count and not self._selections.has(filters))

    def _matches(self, block: Block, index: int, filters: tuple[bytes, ...]) -> bool:
        subject = block.subject(index)
        if subject == _NOTHING:
            return False
        for each in filters:
            if self._subjects.is_covered(subject, each):
                return True
        return False
