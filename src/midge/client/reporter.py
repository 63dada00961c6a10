"""Reporter: where errors go that no caller can be given.

They are logged, and told to the error callback: in order, one at a time, by a task of its own, so that a callback may take its
time, flush, drain or close without holding up the connection. What happens again and again is logged in full at first, then counted.
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
MAX_LINES = 10  # log lines about errors of one kind from one place, within
LOG_SECONDS = 1.0  # this long; then one line says how many more there were
MAX_KINDS = 256


class Reporter:
    """Tells one error callback, and the log.

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
        self._counts: dict[tuple[str, str], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def report(self, error: Exception, where: str = "") -> None:
        """Log an error and tell the callback; ``where`` says what it belongs to."""
        self._log(error, where)
        if self._callback is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._count("errors that the error callback is too slow for, so that it is not told of them", "", 0)
            return
        self._waiting.append(error)
        if not self._is_telling:
            self._is_telling = True
            self.task = self._run(self._tell(self._callback))

    def report_callback(self, subject: str, error: BaseException) -> None:
        """Report what a subscription's callback raised."""
        if not isinstance(error, Exception):
            cause, error = error, RuntimeError(f"the callback ended with {type(error).__name__}").with_traceback(error.__traceback__)
            error.__cause__ = cause
        where = f"in the callback of the subscription to {subject!r}"
        _note(error, where)
        self.report(error, where)

    def close(self) -> None:
        """Log what was counted, and count no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._log_counts()

    # Private

    def _log(self, error: Exception, where: str) -> None:
        kind = type(error).__name__
        seen = self._count(kind, where, MAX_LINES)
        if seen <= MAX_LINES:
            has_trace = seen == 1 and error.__traceback__ is not None
            log.error("%s: %s%s", kind, error, f" ({where})" if where else "", exc_info=error if has_trace else None)

    def _count(self, kind: str, where: str, lines: int) -> int:
        """Count one more of this kind, of which so many are logged one by one. Returns how many there were lately."""
        key = (kind, where)
        if key not in self._counts and len(self._counts) >= MAX_KINDS:
            key = ("errors", "of many kinds")
        seen = self._counts[key] = self._counts.get(key, MAX_LINES - lines) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOG_SECONDS, self._log_counts)
        return seen

    def _log_counts(self) -> None:
        self._timer = None
        counts, self._counts = self._counts, {}
        for (kind, where), seen in counts.items():
            if seen > MAX_LINES:
                log.error("%d more: %s%s", seen - MAX_LINES, kind, f" ({where})" if where else "")

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
        except asyncio.CancelledError as cancelled:
            if is_cancelled():
                raise
            self._log(RuntimeError(f"the error callback waited for something that was cancelled: {cancelled!r}"), "")
        except Exception as failure:  # an error callback that fails has nobody left to tell but the log
            self._log(failure, "in the error callback")


def _note(error: BaseException, where: str) -> None:
    """Note where an error was raised, unless it is an error of the application's that lets nobody; the log says it in any case."""
    try:
        if where not in getattr(error, "__notes__", ()):  # the same error may be raised again and again
            error.add_note(where)
    except Exception as refusal:  # a frozen dataclass, for one
        log.debug("%s takes no note: %r", type(error).__name__, refusal)


def is_cancelled() -> bool:
    """True if the current task was asked to stop; a CancelledError can also come from what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
