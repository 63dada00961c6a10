"""Verdicts: finds out what takes a while to know, as whom a client is let in, without holding up the event loop.

What has to be computed (bcrypt) goes to a few threads of the server's own, so that neither the loop nor the application's threads are kept
busy by whoever knocks; what somebody else decides is awaited. One question at most is open for each client. It is dropped when the client
goes: a computation that has not begun is never made, a coroutine is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from midge.server.identity import Awaited, Computed, Identity

__all__ = ["Verdicts"]

THREADS = 2


class Verdicts:
    """The open questions of one server.

    Args:
        loop: the server's event loop.
    """

    __slots__ = ("_loop", "_threads")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads: ThreadPoolExecutor | None = None

    def ask(self, pending: Computed | Awaited, tell: Callable[[Identity | None], None]) -> Callable[[], object]:
        """Find out; ``tell`` is called with the verdict, in a later turn of the loop. Returns what to call to drop the question."""
        answer: asyncio.Future[Any]
        if isinstance(pending, Computed):
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, "midge-verdict")
            answer = self._loop.run_in_executor(self._threads, pending.compute)
            conclude: Callable[[Any], Identity | None] = _as_computed
        else:
            answer = self._begin(pending)
            conclude = pending.conclude
        dropped: list[bool] = []

        def drop() -> None:
            dropped.append(True)
            answer.cancel()

        answer.add_done_callback(partial(_finish, dropped, conclude, tell))
        return drop

    def _begin(self, pending: Awaited) -> asyncio.Future[Any]:
        try:
            return asyncio.ensure_future(pending.answer, loop=self._loop)
        except (RuntimeError, TypeError, ValueError) as error:  # what is to be awaited belongs to another event loop
            answer = self._loop.create_future()
            answer.set_exception(error)
            return answer

    def close(self) -> None:
        """Compute nothing more. What is just being computed ends by itself, and nobody hears of it."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _as_computed(verdict: Any) -> Identity | None:
    if isinstance(verdict, BaseException):
        raise verdict
    return verdict if isinstance(verdict, Identity) else None


def _finish(
    dropped: list[bool], conclude: Callable[[Any], Identity | None], tell: Callable[[Identity | None], None], answer: asyncio.Future[Any]
) -> None:
    if answer.cancelled():
        if not dropped:  # it has cancelled itself: that is no answer
            tell(None)
        return
    error = answer.exception()
    if not dropped:
        tell(conclude(answer.result() if error is None else error))
