"""Dues: when something is due for the requests that wait: a heartbeat, or their end. Times are wall nanoseconds.

Each request is in a heap once, with a time at which nothing was due before: who has got a message meanwhile, and so needs no heartbeat yet,
is put back when its time comes, and who does not wait any more is left out. So a request costs the logarithm of how many there are.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from midge.engine.consumers.waiting import Request

__all__ = ["Dues"]

_SLACK = 64  # requests that are over and may always stay


class Dues:
    """The heap of one consumer."""

    __slots__ = ("_heap", "_number")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Request]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, request: Request, waiting: int) -> None:
        """Something is due for a request.

        Args:
            waiting: how many requests wait; no more than about twice as many are kept.
        """
        if len(self._heap) > 2 * waiting + _SLACK:
            self._heap = [each for each in self._heap if not each[2].is_over]
            heapify(self._heap)
        self._number += 1
        heappush(self._heap, (_due(request), self._number, request))

    def first(self) -> int:
        """Return when something may be due, 0 for never."""
        heap = self._heap
        while heap and heap[0][2].is_over:
            heappop(heap)
        return heap[0][0] if heap else 0

    def take(self, wall: int) -> Request | None:
        """Return a request for which something is due; next: ``add``, if it goes on waiting. None where there is none."""
        heap = self._heap
        while heap and heap[0][0] <= wall:
            _, number, request = heappop(heap)
            if request.is_over:
                continue
            due = _due(request)
            if due <= wall:
                return request
            heappush(heap, (due, number, request))
        return None


def _due(request: Request) -> int:
    """Return when a heartbeat is due or the time is over: a nanosecond after it ends."""
    end = request.expires + 1
    return min(request.beat, end) if request.beat and request.expires else request.beat or end
