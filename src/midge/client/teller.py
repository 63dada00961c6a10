"""Teller: calls one of the application's functions with one thing after the other, in a task of its own.

Off the read path and in order: so the function may take its time, flush, request, drain or close without holding up the connection
or waiting for itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from midge.client.callbacks import call

__all__ = ["Teller"]

T = TypeVar("T")


class Teller(Generic[T]):
    """Tells one callback.

    Args:
        callback: a plain function or a coroutine function.
        run: starts a task that somebody looks after.
        failed: is told what the callback raised.

    Attributes:
        waiting: what the callback is to be told yet. It is for whoever fills it to bound it.
        task: the one that tells, once it has begun.
    """

    def __init__(
        self, callback: Callable[[T], Awaitable[Any] | None], run: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        failed: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self.waiting: deque[T] = deque()
        self.task: asyncio.Task[None] | None = None
        self._callback = callback
        self._run = run
        self._failed = failed
        self._is_telling = False

    def tell(self, thing: T) -> None:
        """Call the callback with this, when it is done with what came before and the loop has had a turn."""
        self.waiting.append(thing)
        if not self._is_telling:
            self._is_telling = True
            self.task = self._run(self._tell())

    async def _tell(self) -> None:
        try:
            await asyncio.sleep(0)  # an eager task would begin inside the call that reports
            while self.waiting:
                await self._tell_one(self.waiting.popleft())
        finally:
            self._is_telling = False

    async def _tell_one(self, thing: T) -> None:
        try:
            await call(self._callback, thing)
        except Exception as failure:
            self._failed(failure)
