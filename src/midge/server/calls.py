"""Calls into the thread of an event loop, from any thread: to tell it something, and to ask it something and wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar

from midge.errors import ServerStartError

__all__ = ["ask", "is_here", "tell"]

ANSWER_SECONDS = 0.1  # how often those who wait for the server's thread see whether it still runs
T = TypeVar("T")


def ask(loop: asyncio.AbstractEventLoop | None, question: Callable[[], T]) -> T:
    """Call it in the loop's own thread and return its result.

    Raises:
        ServerStartError: the server's loop is None, closed, or does not run.
    """
    if is_here(loop):
        return question()
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:
            answer.set_exception(error)

    running = tell(loop, call)
    while not answer.done():
        wait_for([answer], ANSWER_SECONDS)
        if not answer.done() and not running.is_running():
            raise ServerStartError("the server's event loop does not run")
    return answer.result()


def tell(loop: asyncio.AbstractEventLoop | None, call: Callable[[], None]) -> asyncio.AbstractEventLoop:
    """Call it in the loop's own thread, soon; return the loop.

    Raises:
        ServerStartError: the server's loop is None or closed.
    """
    if loop is None:
        raise ServerStartError("the server is not running")
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError as error:
        raise ServerStartError("the server's event loop is closed") from error
    return loop


def is_here(loop: asyncio.AbstractEventLoop | None) -> bool:
    """True where this loop runs the caller."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
