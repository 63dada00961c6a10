"""Requests: those under way, and the one timer that all their deadlines share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from midge.message import Message

__all__ = ["Request", "Requests"]

SPARE = 64  # deadlines of requests that are done, which are kept beside those under way before all of those are thrown away


class Request:
    """One request under way: a future for its answer.

    Attributes:
        is_lost_with_link: it fails where the link is lost, whatever the client's options say.
    """

    __slots__ = ("future",)
    is_lost_with_link = False

    def __init__(self, future: asyncio.Future[Message]) -> None:
        self.future = future

    def receive(self, message: Message) -> bool:
        """The answer came. False: no more is wanted."""
        if not self.future.done():
            self.future.set_result(message)
        return False

    def expire(self) -> None:
        """No answer came in time."""
        self.fail(TimeoutError())

    def fail(self, error: Exception) -> None:
        """No answer will come."""
        if not self.future.done():
            self.future.set_exception(error)


class Requests:
    """The deadlines of the requests under way; most are answered long before theirs.

    They are in a heap, which costs an append where deadlines come in order, as they mostly do. A request that is done leaves its
    deadline behind, until it has come or those left behind are more than those that matter.

    Args:
        loop: the running event loop.
        under_way: the requests by token, an Interest's. Each has a ``future`` that is done when it is, and can ``fail`` and ``expire``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, under_way: dict[str, Any]) -> None:
        self._loop = loop
        self._under_way = under_way
        self._deadlines: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, token: str, deadline: float) -> None:
        """Let the request expire at the deadline, if it is still under way."""
        deadlines = self._deadlines
        if len(deadlines) > 2 * len(self._under_way) + SPARE:
            deadlines[:] = [entry for entry in deadlines if entry[1] in self._under_way]
            heapify(deadlines)
        heappush(deadlines, (deadline, token))
        if self._timer is None or deadline < self._timer.when():
            self._set_timer(deadline)

    async def wait(self) -> None:
        """Return when those that are under way now are done."""
        await asyncio.wait([request.future for request in list(self._under_way.values())])  # replies may be thrown away meanwhile

    def fail(self, error: Callable[[], Exception]) -> None:
        """No answer will come: each gets an error of its own."""
        for request in list(self._under_way.values()):
            request.fail(error())

    def lose(self, error: Callable[[], Exception]) -> bool:
        """The link is lost, and with it the answers to some of them: those fail. True if there were any."""
        lost = [request for request in self._under_way.values() if request.is_lost_with_link]
        for request in lost:
            request.fail(error())
        return bool(lost)

    def stop(self) -> None:
        """Forget the deadlines."""
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now or deadlines[0][1] not in self._under_way):
            request = self._under_way.get(heappop(deadlines)[1])
            if request is not None:
                request.expire()
        if deadlines:
            self._set_timer(deadlines[0][0])
