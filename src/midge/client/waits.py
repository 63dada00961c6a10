"""What tasks wait for: the answer to a PING, the link to get on, a turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

__all__ = ["TURN", "Pongs", "Progress", "Room", "Turn"]


class Turn:
    """An awaitable that gives everybody else one turn of the event loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = Turn()


class Room:
    """An awaitable that may be awaited any number of times, or never: the wait is made when it is."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()


class Pongs:
    """Those who wait for PONGs, which answer PINGs in order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def wait(self, number: int) -> None:
        """Return when the PING of this number is answered. Numbers must not fall from call to call."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, waiter))
        await waiter

    def reach(self, number: int) -> None:
        """The PINGs up to this number are answered."""
        while self._waiting and self._waiting[0][0] <= number:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, error: Callable[[], Exception]) -> None:
        """No PONG will come: everybody gets an error of their own."""
        while self._waiting:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_exception(error())


class Progress:
    """Those who wait for the link to get on; they look for themselves how far it got."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def wait(self) -> None:
        """Return at the next ``wake``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            self._waiting.pop(waiter, None)

    def wake(self) -> None:
        """Something was sent, or nothing ever will be."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
