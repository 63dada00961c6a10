"""RecentWrites: what one client has written lately, so that it reads nothing older.

Each server of a cluster that has a copy answers direct gets, also one that is a little behind the leader which has acknowledged a write.
An answer that is older than what was written is no answer: the leader is asked then. Only so many subjects are remembered.
"""

from __future__ import annotations

__all__ = ["RecentWrites"]

SUBJECTS = 1_024


class RecentWrites:
    """The last sequence that was written to each of the subjects of late."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # the oldest first

    def note(self, subject: str, seq: int) -> None:
        """This was written."""
        last = self._last
        if subject in last:
            del last[subject]
        elif len(last) >= SUBJECTS:
            del last[next(iter(last))]
        last[subject] = seq

    def last(self, subject: str) -> int:
        """Return the sequence of what was written last, 0 where that is not known."""
        return self._last.get(subject, 0)

    def forget(self, subject: str) -> None:
        """It is gone: somebody else has removed it, or its time was over."""
        self._last.pop(subject, None)
