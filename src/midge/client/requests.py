"""Requests: those under way, and the one timer that all their deadlines share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from midge.client.session import Session
from midge.message import Message

__all__ = ["Request", "Requests"]


class Request:
    """One request under way: a future for its answer, and when it is too late."""

    __slots__ = ("deadline", "future")

    def __init__(self, future: asyncio.Future[Message], deadline: float | None) -> None:
        self.future = future
        self.deadline = deadline

    def receive(self, message: Message) -> None:
        """The answer came."""
        if not self.future.done():
            self.future.set_result(message)

    def fail(self, error: Exception) -> None:
        """No answer will come."""
        if not self.future.done():
            self.future.set_exception(error)


class Requests:
    """The requests of one session.

    The timer is set for the earliest deadline; most requests are answered long before that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, session: Session) -> None:
        self._loop = loop
        self._session = session
        self._deadline = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._session.requests)

    def add(self, subject: str, data: bytes, headers: Any, deadline: float | None) -> tuple[str, asyncio.Future[Message]]:
        """Queue a request. Returns its token for ``remove``, and the future that gets the answer, a TimeoutError, or worse."""
        future: asyncio.Future[Message] = self._loop.create_future()
        token: str = self._session.request(subject, data, headers, Request(future, deadline))
        if deadline is not None:
            self._watch(deadline)
        return token, future

    def remove(self, token: str) -> None:
        """Nobody waits for this one any more."""
        self._session.requests.pop(token, None)

    async def wait(self) -> None:
        """Return when those that are under way now are done."""
        await asyncio.wait([request.future for request in self._session.requests.values()])

    def fail(self, error: Callable[[], Exception]) -> None:
        """No answer will come: each gets an error of its own."""
        for request in list(self._session.requests.values()):
            request.fail(error())

    def stop(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deadline = float("inf")

    def _watch(self, deadline: float) -> None:
        if deadline < self._deadline:
            self.stop()
            self._deadline = deadline
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self.stop()
        now = self._loop.time()
        earliest = float("inf")
        for request in list(self._session.requests.values()):
            if request.deadline is None or request.future.done():
                continue
            if request.deadline <= now:
                request.fail(TimeoutError())
            elif request.deadline < earliest:
                earliest = request.deadline
        if earliest != float("inf"):
            self._watch(earliest)
