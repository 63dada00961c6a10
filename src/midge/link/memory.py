"""MemoryLink: the two ends of a connection inside one process, in one event loop or in two threads' loops, without a socket.

What one end sends is handed over in pieces, the outbox's own blocks, without a copy. A piece is *under way* until its receiver has taken
it: one in each turn, so that everybody else gets theirs in between. No more than UNDER_WAY bytes of blocks are under way at a time (and one
piece more); then the end is blocked, and what follows waits in its outbox, where its owner sees it.

Only ``_arrive`` and ``_depart`` are called from the other side, and always in this end's own loop. Both only note what happened:
the owner is told by ``_turn``. What one end has sent before it closed reaches the other, as with a socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from midge.link import LinkOwner, Readiness
from midge.wire.outbox import Outbox, give_back

__all__ = ["UNDER_WAY", "MemoryLink"]

UNDER_WAY = 1 << 20


class MemoryLink:
    """One of two ends. ``pair`` makes both; each needs its outbox before it is started."""

    __slots__ = (
        "_arrived", "_closed", "_outbox", "_owner", "_paused", "_peer", "_readiness", "_receiving", "_scheduled",
        "_unblocked", "_under_way", "blocked", "error",
    )  # fmt: skip

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._outbox = Outbox()
        self._peer: MemoryLink | None = None
        self._owner: LinkOwner | None = None
        self._arrived: deque[tuple[bytearray, int] | None] = deque()  # None: the peer has closed
        self._under_way = 0
        self._paused = False
        self._receiving = False  # the owner is busy; it may run the event loop inside our call, and must not be told the next piece
        self._unblocked = False
        self._scheduled = False
        self._closed = False
        self.blocked = False
        self.error: OSError | None = None

    @classmethod
    def pair(cls, one: Readiness, other: Readiness) -> tuple[MemoryLink, MemoryLink]:
        """Return the two ends of one connection, for owners in these loops."""
        ends = cls(one), cls(other)
        ends[0]._peer, ends[1]._peer = ends[1], ends[0]
        return ends

    def carry(self, outbox: Outbox) -> None:
        """Send what this outbox holds."""
        self._outbox = outbox

    def start(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._schedule()

    def flush(self) -> None:
        outbox = self._outbox
        while len(outbox) and self._peer is not None:
            if self._under_way >= UNDER_WAY:
                self.blocked = True
                return
            piece, size = outbox.take()
            self._under_way += len(piece)
            if not self._tell(self._peer, self._peer._arrive, (piece, size)):
                self._arrive(None)  # the peer's loop is gone: after what came before, that is the end

    def begun(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._schedule()

    def close(self) -> None:
        peer = self._shut()
        if peer is not None:
            self._tell(peer, peer._arrive, None)

    def hand_to(self, owner: LinkOwner) -> None:
        self._owner = owner

    def abandon(self) -> None:
        self._shut()  # where the peer lives is another process

    # Between the ends

    def _tell(self, peer: MemoryLink, call: Callable[..., None], *args: Any) -> bool:
        """Run a method of the peer in the peer's loop. False where that loop is closed and nobody is left to hear."""
        if peer._readiness.loop is self._readiness.loop:
            call(*args)
            return True
        try:
            peer._readiness.loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            return False
        return True

    def _arrive(self, piece: tuple[bytearray, int] | None) -> None:
        """The peer has sent a piece, or closed."""
        if not self._closed:
            if piece is None:
                self._peer = None  # it takes nothing any more: whoever waits for that, must not
                self._unblocked = self.blocked
            self._arrived.append(piece)
            self._schedule()

    def _depart(self, size: int) -> None:
        """The peer has taken a piece whose block has this size."""
        self._under_way -= size
        if self.blocked and self._under_way < UNDER_WAY:
            self._unblocked = True
            self._schedule()

    # In this end's loop

    def _schedule(self) -> None:
        if self._scheduled or self._owner is None:
            return
        if self._unblocked or (self._arrived and not self._paused and not self._receiving):
            self._scheduled = True
            self._readiness.defer(self._turn)

    def _turn(self) -> None:
        """Send what had to wait, then hand over one piece."""
        self._scheduled = False
        try:
            if self._unblocked:
                self._resume_sending()
            if self._arrived and not self._paused and not self._receiving and self._owner is not None:
                self._hand_over(self._owner)
        finally:
            self._schedule()

    def _resume_sending(self) -> None:
        self._unblocked = False
        self.blocked = False
        self.flush()
        if self._owner is not None:
            self._owner.link_progress()

    def _hand_over(self, owner: LinkOwner) -> None:
        arrived = self._arrived.popleft()
        if arrived is None:
            self._shut()
            owner.link_lost(None)
            return
        piece, size = arrived
        if self._peer is not None:
            self._tell(self._peer, self._peer._depart, len(piece))
        self._receiving = True
        try:
            if owner.link_received(piece, size):
                give_back(piece)
        finally:
            self._receiving = False

    def _shut(self) -> MemoryLink | None:
        """Close this end; return the peer, if it has not been told."""
        peer, self._peer = self._peer, None
        self._closed = True
        self.blocked = False
        self._unblocked = False
        self._owner = None
        self._arrived.clear()
        return peer
