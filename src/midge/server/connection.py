"""The driver of one client connection on the server's side: joins a Session to a Link, and to one timer.

It decides nothing about the protocol. Its one rule: after every call into the hub, flush the hub, then see whether this session
is closing, stalled or has another deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import Any

from midge.link import Link
from midge.server.hub import Hub
from midge.server.session import CLIENT_CLOSED, Session

__all__ = ["Connection"]

STALL_SECONDS = 0.01  # how long a publisher is held back at most for one read (nats-server's stallTotalAllowed)
READ_ERROR = "Read Error"
INTERNAL_ERROR = "Internal Error"

log = logging.getLogger("midge.server")


class Connection:
    """One client. ``on_closed`` is called once, when the link is gone."""

    __slots__ = ("_closed", "_deadline", "_held_back", "_hub", "_lingers", "_loop", "_on_closed", "_timer", "link", "session")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hub: Hub, session: Session, link: Link, on_closed: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._hub = hub
        self._on_closed = on_closed
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = inf
        self._held_back: dict[Connection, None] = {}
        self._lingers = False
        self._closed = False
        self.session = session
        self.link = link
        session.transport = self

    # What the server and the hub say

    def start(self) -> None:
        """Greet the client and begin to read."""
        self._guard(self._start)

    def flush(self) -> None:
        """Send what the session has to send; called by the hub. Never raises: a fan-out goes on whatever happens to one of many."""
        self._guard(self._flush)

    def shut_down(self, reason: str) -> None:
        """Close the session for a reason of the server's own, sending what waits."""
        self._guard(self._shut_down, reason)

    def abort(self, reason: str = CLIENT_CLOSED) -> None:
        """Close at once, whatever waits."""
        self.session.abandon = True
        try:
            self.session.close(reason)
        finally:
            self._finish()

    # What the link says

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self._guard(self._receive, chunk, size)
        return True

    def link_progress(self) -> None:
        self._guard(self._go_on)

    def link_stuck(self) -> None:
        self._guard(self._give_up)

    def link_lost(self, error: OSError | None) -> None:
        self._guard(self._lose, error)

    # Private

    def _guard(self, call: Callable[..., None], *args: Any) -> None:
        """The driver's safety net: a bug of ours costs this client its connection, and nobody else anything."""
        try:
            call(*args)
        except Exception:
            log.exception("%s - internal error, closing the connection", self.session.peer)
            self.abort(INTERNAL_ERROR)
            self._hub.flush()

    def _start(self) -> None:
        self.session.start()
        self.link.start(self)
        self._after()

    def _receive(self, chunk: bytearray, size: int) -> None:
        self._hub.receive(self.session, chunk, size, self._loop.time())
        self._after()

    def _shut_down(self, reason: str) -> None:
        self.session.close(reason)
        self._after()

    def _lose(self, error: OSError | None) -> None:
        if error is not None:
            self.session.abandon = True
        self.session.close(CLIENT_CLOSED if error is None else READ_ERROR)
        self._after()

    def _give_up(self) -> None:
        """The client takes nothing. Whether it was closing anyway or not: that is the end."""
        if self.session.closing is None:
            self.session.stuck(len(self.session.outbox))
        self.abort()
        self._hub.flush()

    def _go_on(self) -> None:
        session = self.session
        session.blocked = self.link.blocked
        if self._held_back and len(session.outbox) <= self._hub.stall_at:
            self._release()
        if session.closing is not None:
            self._finish()

    def _flush(self) -> None:
        self.link.flush()
        self.session.blocked = self.link.blocked
        if self.session.closing is not None:
            self._finish()

    def _after(self) -> None:
        """The rule of the module."""
        self._hub.flush()
        session = self.session
        if session.closing is not None:
            self._finish()
            return
        if session.stalled_by is not None:
            self._stall(session.stalled_by)
        deadline = session.next_deadline()
        if deadline is not None and deadline < self._deadline:
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = self._loop.call_at(deadline, self._guard, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._deadline = inf
        self.session.handle_timeout(self._loop.time())
        self._after()
        if not self._closed:
            self.session.rest()

    def _stall(self, slow: Session) -> None:
        """Stop reading until the slow client has caught up, for STALL_SECONDS at most."""
        self.session.stalled_by = None
        if slow.closing is not None or slow is self.session or not isinstance(slow.transport, Connection):
            return
        self.link.pause_reading()
        slow.transport._held_back[self] = None
        self._loop.call_later(STALL_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if not self._closed and self.session.closing is None:
            self.link.resume_reading()

    def _release(self) -> None:
        held_back, self._held_back = self._held_back, {}
        for connection in held_back:
            connection._read_on()

    def _finish(self) -> None:
        """The session is closing: close the link once everything is sent, or at once where nothing is worth sending."""
        if self._closed:
            return
        session = self.session
        if self.link.blocked and not session.abandon:
            self._linger()
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self.link.close()
        finally:
            session.ended()
            self._release()
            self._on_closed(self)

    def _linger(self) -> None:
        """Let the client take the rest. However slowly it does, it has write_deadline in all: it counts for no limit any more."""
        if self._lingers:
            return
        self._lingers = True
        self.link.pause_reading()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._hub.options.write_deadline, self._guard, self._give_up)
