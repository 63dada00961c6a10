"""Ranked: the waiting queue of a consumer whose requests have priorities: those of a lower number are served first.

Within a number it is as without them: in turns, one message at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from midge.engine.consumers.groups import LAST, rank
from midge.engine.consumers.waiting import Request, Waiting

__all__ = ["Ranked"]


class Ranked(Waiting):
    """The queue: one for each number, the last for requests that say nothing."""

    __slots__ = ("_count", "_ranks")

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._ranks: list[deque[Request]] = [deque() for _ in range(LAST + 1)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Request]:
        return (request for queue in self._ranks for request in queue)

    @property
    def is_full(self) -> bool:
        return self._count >= self.most

    @property
    def first(self) -> Request:
        return self._first()[0]

    def add(self, request: Request) -> None:
        self._ranks[rank(request.claim, "prioritized")].append(request)
        self._count += 1

    def pass_over(self) -> None:
        self._first().rotate(-1)

    def drop(self) -> Request:
        self._count -= 1
        return self._first().popleft()

    def serve(self) -> Request:
        queue = self._first()
        request = queue[0]
        request.done += 1
        request.left -= 1
        if request.left <= 0:
            queue.popleft()
            self._count -= 1
        else:
            queue.rotate(-1)
        return request

    def keep(self, requests: list[Request]) -> None:
        for queue in self._ranks:
            queue.clear()
        self._count = 0
        for request in requests:
            self.add(request)

    def _first(self) -> deque[Request]:
        """The first queue in which somebody waits; there is one."""
        return next(queue for queue in self._ranks if queue)
