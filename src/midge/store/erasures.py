"""Erasures: messages that are to be overwritten where they stand, after their removal is in the log, and before anybody is told.

Where overwriting fails the removal is safe, so that is no failure of a round: it is tried again with the next one, and told then.
"""

from __future__ import annotations

from collections.abc import Callable

from midge.store.commit import Erasure
from midge.store.shelf import Shelf

__all__ = ["Erasures", "Told"]

Told = Callable[[Exception | None], None]


class Erasures:
    """Those of a store."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._waiting: list[Erasure] = []
        self._overdue: list[Erasure] = []  # given to a round, or left by one that could not
        self._kept = 0
        self._patient: list[Told] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._overdue)

    @property
    def is_overdue(self) -> bool:
        """True if some were given to a round, and are not known to be done."""
        return bool(self._overdue)

    def add(self, sequence: int, place: int) -> None:
        """Have one more: a message, and where in its segment it is."""
        self._waiting.append(Erasure(self._shelf.segment_of(sequence), place, sequence))

    def take(self) -> list[Erasure]:
        """Return all for a round that begins; those whose segment has gone are done."""
        self._kept = len(self._overdue)  # the others are undone, should the round fail
        self._overdue += self._waiting
        self._waiting = []
        found = []
        for erasure in self._overdue:
            segment = self._shelf.numbered(erasure.segment.head.number)  # another one, where all was read again
            if segment is not None:
                erasure.segment = segment
                found.append(erasure)
        return found

    def undo(self) -> None:
        """The round was not logged: what it was the first to be given was not removed."""
        del self._overdue[self._kept :]

    def forget(self) -> None:
        """Nothing is to be overwritten that no round was given."""
        self._waiting = []

    def delay(self, waiting: list[Told]) -> None:
        """The round was logged, and could not overwrite: who waits for it waits for the next one."""
        self._patient += waiting

    def done(self, erased: list[Erasure], waiting: list[Told]) -> list[Told]:
        """A round has done all; return who is told, those who have waited longest first."""
        for erasure in erased:
            self._shelf.blank(erasure.segment, erasure.place)
        told, self._overdue, self._patient = self._patient + waiting, [], []
        return told
