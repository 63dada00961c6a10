"""Haste: whether who begins a small round writes and syncs it, too, in place of a worker.

A worker costs two switches of threads for each round, about as much as a quick disk takes for the sync. Where one publisher waits for
each acknowledgement that is half of its time; so the loop waits for the disk itself, as long as nobody else has to wait with it and the
disk is quick. What is known of the disk is the average of its last syncs, by whomever: one that took very long is remembered for
a while, and a disk that is slow is left to the workers.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["QUICK", "Haste"]

QUICK = 2_000_000  # nanoseconds that a sync takes on average at most: as long as the loop does any other thing without looking up
_WEIGHT = 8  # the last sync counts for one of so many


class Haste:
    """What is known of the disk, and of who else waits.

    Args:
        is_alone: True if nobody has to wait when the caller of ``begin`` does; None where there is always somebody.

    Attributes:
        rounds: how many the caller begins now.
    """

    def __init__(self, is_alone: Callable[[], bool] | None) -> None:
        self._is_alone = is_alone
        self._average = 2 * QUICK  # until more is known
        self.rounds = 0

    def may_wait(self) -> bool:
        """True if the caller of ``begin`` may sync a small round itself."""
        return self._average <= QUICK and self.rounds == 1 and self._is_alone is not None and self._is_alone()

    def note(self, took: int) -> None:
        """A round was synced, which took so many nanoseconds."""
        self._average += (took - self._average) // _WEIGHT
