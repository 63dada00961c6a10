"""The application's functions, each plain or a coroutine function, and called here wherever a client asks or tells one.

That what such a function waits for is cancelled is an error of its own, and ends nobody else's task; that we are cancelled is none.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["call", "is_cancelled"]


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or what it is awaited for.

    Raises:
        RuntimeError: what it waited for was cancelled.
        BaseException: what it raised.
    """
    try:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError as cancelled:
        if is_cancelled():
            raise
        raise RuntimeError(f"it waited for something that was cancelled: {cancelled!r}") from None


def is_cancelled() -> bool:
    """True if the current task was asked to stop; a CancelledError can also come from what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
