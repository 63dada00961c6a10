"""Ranked: the waiting queue of a consumer whose requests have priorities: those of a lower number are served first.

Within a number it is as without them: in turns, one message at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

from midge.engine.consumers.groups import LAST, rank
from midge.engine.consumers.waiting import Request, Waiting

__all__ = ["Ranked"]


class Ranked(Waiting):
    """The queue: one for each number, the last for requests that say nothing."""

    __slots__ = ("_count", "_ranks")

    def __init__(self) -> None:
        super().__init__()
        self._ranks = [Waiting() for _ in range(LAST + 1)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Request]:
        return (request for queue in self._ranks for request in queue)

    @property
    def first(self) -> Request:
        return self._first().first

    def add(self, request: Request) -> None:
        self._of(request).add(request)
        self.wanted += request.left
        self._count += 1

    def pass_over(self) -> None:
        self._first().pass_over()

    def drop(self) -> Request:
        request = self._first().drop()
        self.wanted -= request.left
        self._count -= 1
        return request

    def end(self, request: Request) -> None:
        self._of(request).end(request)
        self.wanted -= request.left
        self._count -= 1

    def clear(self) -> None:
        for queue in self._ranks:
            queue.clear()
        self.wanted = self._count = 0

    def _of(self, request: Request) -> Waiting:
        return self._ranks[rank(request.claim, "prioritized")]

    def _first(self) -> Waiting:
        """The first queue in which somebody waits; there is one."""
        return next(queue for queue in self._ranks if len(queue))
