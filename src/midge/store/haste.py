"""Haste: whether who begins a small round writes and syncs it, too, in place of a worker.

A worker costs two switches of threads for each round, about as much as a quick disk takes for the sync. Where one publisher waits for
each acknowledgement that is half of its time; so the loop waits for the disk itself, as long as nobody else has to wait with it and the
disk is quick. What is known of the disk is the average of its last syncs, by whomever, and a disk that is slow is left to the workers.
So it is for a while after one sync that took long: a disk that stops now and then holds the loop for a small part of the time at most.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["QUICK", "Haste"]

QUICK = 2_000_000  # nanoseconds that a sync takes on average at most: as long as the loop does any other thing without looking up
_WEIGHT = 8  # the last sync counts for one of so many
_LONG = 10  # a sync of more than so many times QUICK took long:
_REST = 50  # for so many times as long nobody waits but workers


class Haste:
    """What is known of the disk, and of who else waits.

    Args:
        is_alone: True if nobody has to wait when the caller of ``begin`` does; None where there is always somebody.
        clock: the time in nanoseconds, from whenever.

    Attributes:
        rounds: how many the caller begins now.
    """

    def __init__(self, is_alone: Callable[[], bool] | None, clock: Callable[[], int]) -> None:
        self._is_alone = is_alone
        self._clock = clock
        self._average = 2 * QUICK  # until more is known
        self._until = 0  # workers alone wait up to then
        self.rounds = 0

    def may_wait(self) -> bool:
        """True if the caller of ``begin`` may sync a small round itself."""
        if self._average > QUICK or self.rounds != 1 or self._is_alone is None:
            return False
        return self._clock() >= self._until and self._is_alone()

    def note(self, took: int) -> None:
        """A round was synced, which took so many nanoseconds."""
        self._average += (took - self._average) // _WEIGHT
        if took > _LONG * QUICK:
            self._until = max(self._until, self._clock() + _REST * took)
