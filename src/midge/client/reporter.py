"""Reporter: where errors go that no caller can be given.

They are logged, and told to the error callback: in order, one at a time, by a task of its own, so that a callback may take its
time, flush, drain or close without holding up the connection.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from midge.client.options import ErrorCallback

__all__ = ["Reporter", "is_cancelled"]

log = logging.getLogger("midge.client")

MAX_WAITING = 1024  # errors that wait for a slow callback; it is not told of more, the log is


class Reporter:
    """Tells one error callback.

    Args:
        callback: a plain function or a coroutine function, or None for the log alone.
        run: starts a task that somebody looks after.
    """

    def __init__(self, callback: ErrorCallback | None, run: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        self.task: asyncio.Task[None] | None = None
        self._callback = callback
        self._run = run
        self._waiting: deque[Exception] = deque()
        self._is_telling = False

    def report(self, error: Exception) -> None:
        """Log an error and tell the callback."""
        log.error("%s: %s", type(error).__name__, error, exc_info=error if error.__traceback__ is not None else None)
        if self._callback is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            log.error("the error callback is slow: it is not told of the error above")
            return
        self._waiting.append(error)
        if not self._is_telling:
            self._is_telling = True
            self.task = self._run(self._tell(self._callback))

    def report_callback(self, subject: str, error: BaseException) -> None:
        """Report what a subscription's callback raised."""
        if not isinstance(error, Exception):
            cause, error = error, RuntimeError(f"the callback ended with {type(error).__name__}")
            error.__cause__ = cause
        note = f"in the callback of the subscription to {subject!r}"
        if note not in getattr(error, "__notes__", ()):  # the same error may be raised again and again
            error.add_note(note)
        self.report(error)

    async def _tell(self, callback: ErrorCallback) -> None:
        try:
            while self._waiting:
                await self._tell_one(callback, self._waiting.popleft())
        finally:
            self._is_telling = False

    async def _tell_one(self, callback: ErrorCallback, error: Exception) -> None:
        try:
            result = callback(error)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            log.exception("the error callback waited for something that was cancelled")
        except Exception:  # an error callback that fails has nobody left to tell but the log
            log.exception("the error callback raised")


def is_cancelled() -> bool:
    """True if the current task was asked to stop; a CancelledError can also come from what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
