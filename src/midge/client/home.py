"""Home: the one event loop, thread and process that a client may be used in.

Another thread is refused, but may hand a publish to the client's event loop: ``run_coroutine_threadsafe(nc.publish(...), loop)``. The
child after a fork is refused everything: it must not touch the socket and the selector that it shares with its parent.
"""

from __future__ import annotations

import asyncio
import opcode
import os
import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any
from weakref import WeakSet

from midge.client.publisher import Publisher
from midge.client.room import Answer, Elsewhere
from midge.client.session import Session
from midge.client.states import SessionState
from midge.errors import ConnectionClosedError

__all__ = ["Home"]

_homes: WeakSet[Home] = WeakSet()


class Home:
    """Where a client may be used.

    Args:
        publisher: the client's, which asks only whether the thread is the right one.

    Attributes:
        is_forked: this is the copy in a forked child.
    """

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.is_forked = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, session: Session) -> None:
        """The client publishes through this session from now on, in this thread and in the event loop that runs."""
        self._loop = asyncio.get_running_loop()
        self.publisher.use_session(session, get_ident())
        _homes.add(self)

    def leave(self) -> None:
        """We are the copy in a forked child: nobody may use the client here."""
        self.is_forked = True
        self.publisher.use_session(self.publisher._session, 0)

    def check(self) -> None:
        """Let only the client's own thread and process go on.

        Raises:
            ConnectionClosedError: the client is not connected yet.
            RuntimeError: another thread, another event loop or a forked process called.
        """
        if self.publisher.is_here():
            self.check_loop()
            return
        if self.is_forked:
            raise RuntimeError("this client belongs to the process that this one was forked from: connect() again here")
        if self._loop is None:
            raise ConnectionClosedError("not connected yet")
        raise RuntimeError(
            "this client was called in another thread than its event loop's: hand a coroutine to its loop, as in "
            "asyncio.run_coroutine_threadsafe(nc.publish(...), loop), or connect() in this thread"
        )

    def check_loop(self) -> None:
        """Let only the client's own event loop go on, or who calls while none runs; the thread is the right one.

        Raises:
            RuntimeError: another event loop runs, or the client's is closed.
        """
        if self.publisher._session.state == SessionState.CLOSED:  # which is told to whoever asks
            return
        running = asyncio._get_running_loop()
        if self._loop is not None and (self._loop.is_closed() or (running is not self._loop and running is not None)):
            raise RuntimeError("this client belongs to another event loop, the one that it was connected in: connect() again in this one")

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the client's own thread: at once, or in a turn of its event loop; nowhere if that is gone. Never raises."""
        if self.publisher.is_here():
            function(*arguments)
        elif self._loop is not None and not self.is_forked and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:  # it was closed in this moment: there is nobody to tell
                return

    def publish_from_elsewhere(self, subject: str, data: Any, reply: str | None, headers: Any) -> Answer:
        """Publish for who may not do so here: return what publishes when the client's event loop awaits it.

        Raises:
            ConnectionClosedError: the client is not connected yet.
            RuntimeError: called in a forked process, or in another thread by one who awaits nothing.
        """
        if self._loop is None or self.is_forked or _is_thrown_away(sys._getframe(0)):
            self.check()

        async def publish() -> None:
            self.check()
            await self.publisher.publish(subject, data, reply=reply, headers=headers)

        return Elsewhere(publish, f"publish({subject!r})")


def _is_thrown_away(frame: Any) -> bool:
    """True if what called the client's method throws away what it returns: then nobody will ever await it."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("midge.client.", "midge.message")):
        frame = frame.f_back
    if frame is None:
        return False
    code, at = frame.f_code.co_code, frame.f_lasti + 2
    while at < len(code) and code[at] == opcode.opmap["CACHE"]:
        at += 2
    return bool(at < len(code) and code[at] == opcode.opmap["POP_TOP"])


def _leave_homes() -> None:
    for home in list(_homes):
        home.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_homes)
