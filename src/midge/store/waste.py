"""Waste: how many bytes of each segment nobody needs any more, so that it is known which one is worth a copy without them.

Of no use are messages that were removed, and removals of messages that are in no file any more. A removal is needed as long as the segment
that holds its message was not copied since: so each segment owes its removals to other ones, and with each that is copied or dropped it
is free of those. What removals elsewhere take up because of a segment counts for that segment, too: the copy would free them. So all
files together are a small multiple of what is alive.
"""

from __future__ import annotations

__all__ = ["Waste"]


class Waste:
    """Segments are told by their numbers. What is not known of a segment is taken for waste, and found out by the copy.

    Attributes:
        grown: the segments of which more is of no use than when somebody looked.
    """

    def __init__(self) -> None:
        self.grown: set[int] = set()
        self._useless: dict[int, int] = {}
        self._owed: dict[int, dict[int, int]] = {}  # of a segment: the bytes of its removals, by the segment of the messages
        self._caused: dict[int, int] = {}  # by a segment: the sum of what others owe to it

    def add(self, number: int, size: int) -> None:
        """Count bytes of a segment that are of no use."""
        self._useless[number] = self._useless.get(number, 0) + size
        self.grown.add(number)

    def owe(self, number: int, target: int, size: int) -> None:
        """Count bytes of a segment that remove messages of another one, or of itself."""
        if number == target:
            self.add(number, size)
            return
        owed = self._owed.setdefault(number, {})
        owed[target] = owed.get(target, 0) + size
        self._caused[target] = self._caused.get(target, 0) + size
        self.grown.add(target)

    def of(self, number: int) -> int:
        """Return the bytes that copying a segment frees, in the end."""
        return self._useless.get(number, 0) + self._caused.get(number, 0)

    def owed_to(self, number: int) -> dict[int, int]:
        """Return how many bytes each segment keeps for one."""
        return {holder: owed[number] for holder, owed in self._owed.items() if number in owed}

    def replaced(self, number: int, freed: dict[int, int], kept: dict[int, int]) -> None:
        """A segment was copied.

        Args:
            number: which one.
            freed: what ``owed_to`` said when that was begun.
            kept: bytes of the removals in the copy, by the segments that they are kept for.
        """
        self._useless[number] = 0
        self._forgive(number)
        for holder, size in freed.items():
            self._free(holder, number, size)
        for target, size in kept.items():
            self.owe(number, target, size)

    def given_up(self, number: int) -> None:
        """A segment could not be copied: it is not tried again before there is more to gain."""
        self._useless[number] = -self._caused.get(number, 0)

    def dropped(self, number: int) -> None:
        """A segment is gone."""
        for holder, size in self.owed_to(number).items():
            self._free(holder, number, size)
        self.grown.discard(number)
        self._useless.pop(number, None)
        self._caused.pop(number, None)
        self._forgive(number)

    def _forgive(self, holder: int) -> None:
        """A segment's removals are gone with it."""
        for target, size in self._owed.pop(holder, {}).items():
            self._caused[target] -= size

    def _free(self, holder: int, target: int, size: int) -> None:
        """So many bytes of a segment are not kept for another one any more."""
        owed = self._owed.get(holder)
        if owed is None or target not in owed:
            return
        size = min(size, owed[target])
        self.add(holder, size)
        self._caused[target] -= size
        owed[target] -= size
        if owed[target] == 0:
            del owed[target]
