"""Heartbeat: the PINGs that tell whether the server is still there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from midge.client.session import Session
from midge.errors import ConnectionClosedError

__all__ = ["Heartbeat"]


class Heartbeat:
    """Sends a PING every interval, until too many of its own are unanswered.

    The PINGs of ``flush`` are not counted: any number of them may be under way, which says nothing of the server.

    Args:
        send: sends what the session has to send.
        lose: is told, once, that the server is gone.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, session: Session, interval: float, max_out: int,
        send: Callable[[], None], lose: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self._session = session
        self._interval = interval
        self._max_out = max_out
        self._send = send
        self._lose = lose
        self._unanswered: deque[int] = deque()
        self._timer = loop.call_later(interval, self._beat)

    def stop(self) -> None:
        """Send no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        while self._unanswered and self._unanswered[0] <= self._session.pongs:
            self._unanswered.popleft()
        if len(self._unanswered) >= self._max_out:
            self._lose(ConnectionClosedError(f"the server left {self._max_out} PINGs unanswered"))
            return
        self._unanswered.append(self._session.ping())
        self._timer = self._loop.call_later(self._interval, self._beat)
        self._send()
