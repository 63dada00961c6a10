"""Removals: the messages that were removed since the last round, which are told together: as few ranges as there can be."""

from __future__ import annotations

from collections.abc import Iterator

from midge.store.index import Index
from midge.store.record import length
from midge.store.shelf import Shelf
from midge.store.waste import Waste

__all__ = ["Removals"]

_RANGES = 4096  # in one record
_MOST = 8192  # messages


class Removals:
    """What waits to be told.

    Args:
        shelf: of the store.
        waste: learns what the removals take up, and because of which segment.
    """

    def __init__(self, shelf: Shelf, waste: Waste) -> None:
        self._shelf = shelf
        self._waste = waste
        self._sequences: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._sequences)

    def add(self, sequence: int) -> bool:
        """Have one more. True if there are so many that they are better told now."""
        self._sequences.append(sequence)
        return len(self._sequences) >= _MOST

    def clear(self) -> None:
        self._sequences.clear()

    @property
    def lowest(self) -> int:
        return min(self._sequences)

    def records(self, index: Index, floor: int) -> Iterator[list[int]]:
        """Return what is told: of each record the first and the last sequence of ranges; nothing below the floor. None waits then.

        A range is of one segment, and may go over sequences without a message.
        """
        sequences = sorted(self._sequences)
        self._sequences.clear()
        ranges: list[int] = []
        base = end = 0  # of the segment that the last range is of
        for sequence in sequences:
            if sequence < floor:
                continue
            if ranges and sequence < end and (sequence == ranges[-1] + 1 or not 0 < index.after(ranges[-1] + 1) < sequence):
                ranges[-1] = sequence
                continue
            if len(ranges) >= 2 * _RANGES:
                yield ranges
                ranges = []
            if not base <= sequence < end:
                base, end = self._shelf.range_of(sequence)
            self._waste.owe(self._shelf.end[0], self._shelf.segment_of(sequence).head.number, 16 if ranges else length(16))
            ranges += [sequence, sequence]
        if ranges:
            yield ranges
