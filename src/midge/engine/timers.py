"""Timers: what is due when, one heap for a whole engine. Times are wall nanoseconds, handed in.

A timer that is cancelled stays in the heap until its time comes, or until more than half of it is cancelled: then it is built anew, so
a stream that arms and cancels for ever holds no more than twice what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

__all__ = ["Timer", "Timers"]

_SLACK = 64  # cancelled timers that may always stay


class Timer:
    """One call at one time. ``call`` is None when it was made or cancelled."""

    __slots__ = ("call", "number", "when")

    def __init__(self, when: int, number: int, call: Callable[[int], None]) -> None:
        self.when = when
        self.number = number
        self.call: Callable[[int], None] | None = call

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.number) < (other.when, other.number)


class Timers:
    """The timers of one engine."""

    __slots__ = ("_cancelled", "_heap", "_number")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._number = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, when: int, call: Callable[[int], None]) -> Timer:
        """Call it with the time when it is due. What is due at the same time is called in the order of ``add``."""
        self._number += 1
        timer = Timer(when, self._number, call)
        heappush(self._heap, timer)
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Do not make the call; nothing where there is none, or it was made."""
        if timer is None or timer.call is None:
            return
        timer.call = None
        self._cancelled += 1
        if self._cancelled > _SLACK and 2 * self._cancelled > len(self._heap):
            self._heap = [each for each in self._heap if each.call is not None]
            heapify(self._heap)
            self._cancelled = 0

    def shift(self, by: int) -> None:
        """The clock was set, by so many nanoseconds: what is due in a while is still due in that while."""
        for timer in self._heap:
            timer.when += by

    def next(self) -> int | None:
        """Return when the next call is due."""
        heap = self._heap
        while heap and heap[0].call is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0].when if heap else None

    def run(self, wall: int, count: int) -> None:
        """Make the calls that are due, so many at most; what they add waits for the next run where it is due already."""
        last = self._number
        for _ in range(count):
            when = self.next()
            if when is None or when > wall or self._heap[0].number > last:
                return
            timer = heappop(self._heap)
            call, timer.call = timer.call, None
            assert call is not None
            call(wall)
