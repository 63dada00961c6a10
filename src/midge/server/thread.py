"""ServerThread: a thread with an event loop of its own, in which a server runs from when it is started until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractAsyncContextManager
from typing import Any
from weakref import WeakSet

__all__ = ["ServerThread", "is_own_loop", "new_event_loop"]

log = logging.getLogger("midge.server")

_own: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


class ServerThread:
    """One thread.

    Args:
        server: is entered when the thread starts, and left when it is stopped.
        name: the thread's name.
    """

    def __init__(self, server: AbstractAsyncContextManager[Any], name: str) -> None:
        self._server = server
        self._ready: Future[None] = Future()
        self._leave: Future[None] = Future()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start; the server is ready when it returns.

        Raises:
            BaseException: what entering the server raised.
        """
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Leave the server and end the thread. May be called again, from several threads at once, and where the start failed.

        Raises:
            BaseException: what ended the thread before its time; one caller is told.
        """
        if self._thread.ident is None:  # it could not even be started
            return
        try:
            self._leave.set_result(None)
        except InvalidStateError:
            pass  # somebody else stops it, too
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
                return
            log.critical("the server's thread has ended: %r", error, exc_info=error)
            self._failure = error

    async def _serve(self) -> None:
        async with self._server:
            self._ready.set_result(None)
            await asyncio.wrap_future(self._leave)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop if it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    _own.add(loop)
    return loop


def is_own_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """True if it was made by ``new_event_loop``: nobody but a server has to wait when it waits."""
    return loop in _own
