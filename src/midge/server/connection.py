"""The driver of one client connection on the server's side: joins a Session to a Link and to the server's turns.

It decides nothing about the protocol. It answers two questions: when is the client read from, and when is the link closed.

    read from    unless the last chunk is not finished, or the client is stalled for the sake of a slow one, or it is closing
    closed       when the session is closing and nothing waits, or at once where nothing that waits is worth sending; a closing
                 client has write_deadline in all to take what waits

Every call comes from the event loop, never from inside another call into the same connection: a link tells of its end in a
later turn, and the hub's flush only ever sends. What a call has produced for others is sent at the end of the turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from midge.errors import RemoteProtocolError
from midge.link import Link
from midge.server.identity import Identity
from midge.server.peer import Peer
from midge.server.reasons import CLIENT_CLOSED, INTERNAL_ERROR, READ_ERROR
from midge.server.session import Session
from midge.server.turns import Turns

__all__ = ["Connection"]

MAX_HELD = 65536  # bytes that are read from a client while it is found out who it is, behind the chunk that has its CONNECT
STALL_SECONDS = 0.01  # how long a publisher is held back at most for one read (nats-server's stallTotalAllowed)

log = logging.getLogger("midge.server")


class Connection:
    """One client. ``on_closed`` is called once, when the link is closed."""

    __slots__ = (
        "_chunk", "_closed", "_deadline", "_drop_question", "_held_back", "_lingers", "_on_closed", "_patience", "_stall", "_turns",
        "link", "session",
    )  # fmt: skip

    def __init__(self, turns: Turns, session: Session, link: Link, on_closed: Callable[[Connection], None]) -> None:
        self._turns = turns
        self._on_closed = on_closed
        self._deadline: float | None = None
        self._held_back: set[Connection] | None = None  # the publishers that are stalled for the sake of this client
        self._stall: tuple[Connection, asyncio.TimerHandle, float] | None = None  # for whose sake this one is, until when, since when
        self._patience = STALL_SECONDS  # how long this one may yet be stalled for what was read last
        self._chunk: bytearray | None = None  # what the session has not done with yet
        self._drop_question: Callable[[], object] | None = None  # while it is found out who the client is
        self._lingers = False
        self._closed = False
        self.session = session
        self.link = link
        session.transport = self

    # What the server and the hub say

    def start(self) -> None:
        """Greet the client and begin to read."""
        self._guard(self._start)

    def take_over(self) -> None:
        """Go on with a session that was greeted, over a link that was started for somebody else."""
        self._guard(self._take_over)

    def flush(self) -> None:
        """Send what the session has to send; called by the hub. Never raises: a fan-out goes on whatever happens to one of many."""
        self._guard(self._flush)

    def renew_deadline(self) -> None:
        """The session may be due earlier than it was: the server goes on with other options."""
        if self.session.closing is None:
            self._guard(self._set_deadline)

    def close(self, reason: str) -> None:
        """Close for a reason of the server's own, sending what waits."""
        self._guard(self.session.close, reason)
        self._turns.reactor.schedule()

    def abort(self, reason: str = CLIENT_CLOSED) -> None:
        """Close at once, whatever waits."""
        try:
            self.session.abort(reason)
        finally:
            self._close_link()

    # What the link and the clock say

    def link_received(self, chunk: bytearray, size: int) -> bool:
        return self._guard(self._receive, chunk, size) is not False

    def link_progress(self) -> None:
        self._guard(self._progress)

    def link_stuck(self) -> None:
        self._guard(self._expire)

    def link_lost(self, error: OSError | None) -> None:
        if isinstance(error, RemoteProtocolError):  # of what carries the protocol: the client can still be told
            self._guard(self.session.log, logging.ERROR, "read error: %s", error)
            self.close(READ_ERROR)
        elif error is not None:
            self._guard(self.abort, READ_ERROR)
        else:
            self.close(CLIENT_CLOSED)

    # Private

    def _guard(self, call: Callable[..., Any], *args: Any) -> Any:
        """The driver's safety net: a bug of ours costs this client its connection, and nobody else anything."""
        try:
            return call(*args)
        except Exception:
            log.exception("%s - internal error, closing the connection", self.session.address)
            self.abort(INTERNAL_ERROR)
            self._turns.reactor.schedule()
            return None

    def _start(self) -> None:
        self._turns.set_clock()
        self.session.start()
        self._set_deadline()
        self.link.start(self)

    def _take_over(self) -> None:
        self._set_deadline()
        self.link.hand_to(self)
        self.session.blocked = self.link.blocked
        self._turns.reactor.schedule()

    def _receive(self, chunk: bytearray, size: int) -> bool:
        turns = self._turns
        self._patience = STALL_SECONDS
        if turns.delay:
            self._keep(chunk)
            turns.reactor.loop.call_later(turns.delay, self._guard, self._receive_late, chunk, size)
            return False
        done = turns.hub.receive(self.session, chunk, size, turns.time())
        if not done:
            self._keep(chunk)
        self._settle()
        return done

    def _receive_late(self, chunk: bytearray, size: int) -> None:
        """Take a chunk that was held back for a while."""
        if self._closed:
            return
        turns = self._turns
        if turns.hub.receive(self.session, chunk, size, turns.time()):
            self._give_back()
        self._settle()
        turns.reactor.schedule()

    def _proceed(self) -> None:
        """Go on with the chunk, in a turn of its own."""
        self._turns.unfinished -= 1
        self._guard(self._proceed_now)

    def _proceed_now(self) -> None:
        turns = self._turns
        if self._closed or self._chunk is None:
            return
        if turns.hub.proceed(self.session, turns.time()):
            self._give_back()
        self._settle()

    def _settle(self) -> None:
        """The session has been told something: see what it wants now."""
        session = self.session
        if session.closing is not None:
            return
        if session.pending is not None:
            self._find_out()
        slow = session.stalled_by
        if slow is not None:
            session.stalled_by = None
            self._stall_for(slow)
        if self._chunk is not None:
            self._hear_more()
        if session.next_deadline() != self._deadline:
            self._set_deadline()

    def _find_out(self) -> None:
        """It takes a while to know who the client is. It is read from meanwhile, so that its end is seen, but not for ever."""
        session = self.session
        if self._drop_question is None:
            assert session.pending is not None
            self._drop_question = self._turns.verdicts.ask(session.pending, partial(self._guard, self._resolve))
        if session.held is not None and len(session.held) > MAX_HELD:
            self.link.pause_reading()

    def _resolve(self, identity: Identity | None) -> None:
        """It is known who the client is."""
        self._drop_question = None
        turns = self._turns
        if self._closed:
            return
        held = turns.hub.admission.resolve(self.session, identity, turns.time())
        if held and not turns.hub.receive(self.session, held, len(held), turns.time()):
            self._keep(held)
        self._settle()
        if self._chunk is None and self.session.pending is None:
            self._hear_more()
        turns.reactor.schedule()

    def _keep(self, chunk: bytearray) -> None:
        self._chunk = chunk
        self.link.pause_reading()

    def _give_back(self) -> None:
        """The session has done with its chunk."""
        if self._chunk is not None:
            self._turns.reactor.give_back(self._chunk)
            self._chunk = None
            self._hear_more()

    def _hear_more(self) -> None:
        """Go on with the chunk, or read another, unless something keeps the client from being heard."""
        if self._closed or self._stall is not None or self.session.closing is not None:
            return
        if self._chunk is not None:
            self._turns.unfinished += 1
            self._turns.reactor.defer(self._proceed)
        else:
            self.link.resume_reading()

    def _set_deadline(self) -> None:
        self._deadline = self.session.next_deadline()
        if self._deadline is not None:
            self._turns.reactor.call_at(self._deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        self._guard(self._expire if self._lingers else self._handle_timeout)

    def _handle_timeout(self) -> None:
        self.session.handle_timeout(self._turns.time())
        self._set_deadline()

    def _progress(self) -> None:
        session = self.session
        session.blocked = self.link.blocked
        if self._held_back and len(session.outbox) <= self._turns.hub.stall_at:
            self._let_go()
        if session.closing is not None:
            self._close_link()

    def _flush(self) -> None:
        session = self.session
        self.link.flush()
        session.blocked = self.link.blocked
        if session.closing is not None:
            self._close_link()

    # Holding publishers back

    def _stall_for(self, slow: Peer) -> None:
        """Do not go on until the slow client has caught up; for STALL_SECONDS at most, all that one read causes taken together."""
        other = slow.transport
        if slow.closing is not None or other is self or not isinstance(other, Connection):
            self.session.hurried = True
            return
        if other._held_back is None:
            other._held_back = set()
        other._held_back.add(self)
        self.session.stalls += 1
        self._turns.hub.stalls += 1
        self.link.pause_reading()
        timer = self._turns.reactor.loop.call_later(self._patience, self._guard, self._run_out)
        self._stall = other, timer, self._turns.time()

    def _run_out(self) -> None:
        """The slow client has not caught up in time."""
        self.session.hurried = True
        self._end_stall()

    def _end_stall(self) -> None:
        if self._stall is not None:
            other, timer, since = self._stall
            timer.cancel()
            self._patience = max(0.0, self._patience - (self._turns.time() - since))
            if other._held_back is not None:
                other._held_back.discard(self)
            self._stall = None
            self._hear_more()

    def _let_go(self) -> None:
        """Whoever was held back for the sake of this client goes on."""
        held_back, self._held_back = self._held_back, None
        for connection in held_back or ():
            connection._guard(connection._end_stall)

    # The end

    def _expire(self) -> None:
        """The client takes nothing. Whether it was closing anyway or not: that is the end."""
        if self.session.closing is None:
            self.session.expire()
        self.abort()

    def _close_link(self) -> None:
        """The session is closing: close the link once everything is sent, or at once where nothing is worth sending."""
        if self._closed:
            return
        session = self.session
        if self.link.blocked and not session.aborted:
            self._linger()
            return
        self._closed = True
        self._turns.reactor.cancel(self._on_deadline)
        if self._drop_question is not None:
            self._drop_question()
        self._end_stall()
        try:
            self.link.close()
        finally:
            session.release()
            self._let_go()
            self._on_closed(self)

    def _linger(self) -> None:
        """Let the client take the rest. However slowly it does, it has write_deadline in all: it counts for no limit any more."""
        if not self._lingers:
            self._lingers = True
            self.link.pause_reading()
            self._turns.reactor.call_at(self._turns.time() + self._turns.hub.options.write_deadline, self._on_deadline)
