"""Deadlines: what is to be called, and when, for thousands of connections that each wait for something and hardly ever see it happen.

Pure: it is told the time. Deadlines that fall into the same twentieth of a second share a bucket, and a heap holds the buckets' numbers, so
adding, moving and removing cost one or two dictionary entries whatever the number. A bucket stays until its time has come, even when it is
empty: there are no more of them than twentieths of a second until the last deadline, however often deadlines are moved.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

__all__ = ["GRANULARITY", "Deadlines"]

GRANULARITY = 0.05  # seconds

Call = Callable[[], None]


class Deadlines:
    """Calls by the time they are due. A call has one deadline at most; two that are equal, such as the same bound method, are one."""

    __slots__ = ("_buckets", "_heap", "_ticks")

    def __init__(self) -> None:
        self._ticks: dict[Call, int] = {}
        self._buckets: dict[int, dict[Call, None]] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, call: Call, when: float) -> None:
        """Set a call's deadline, or move it. It is never due earlier, and at most GRANULARITY later. Next: see ``next``."""
        tick = int(when / GRANULARITY) + 1
        before = self._ticks.get(call)
        if before == tick:
            return
        if before is not None:
            del self._buckets[before][call]
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heappush(self._heap, tick)
        bucket[call] = None
        self._ticks[call] = tick

    def remove(self, call: Call) -> None:
        """Forget a call, if it is there."""
        tick = self._ticks.pop(call, None)
        if tick is not None:
            del self._buckets[tick][call]

    def next(self) -> float | None:
        """Return when the next call is due, None without any."""
        while self._heap and not self._buckets[self._heap[0]]:
            del self._buckets[heappop(self._heap)]
        return self._heap[0] * GRANULARITY if self._heap else None

    def pop_due(self, now: float) -> Call | None:
        """Return one call that is due and forget it; None without any. To be asked until it says None."""
        due = self.next()
        if due is None or due > now:
            return None
        call, _ = self._buckets[self._heap[0]].popitem()
        del self._ticks[call]
        return call
