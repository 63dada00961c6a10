"""Links: how the bytes of one connection travel under asyncio. Client and server use the same two.

``SocketLink`` is a non-blocking TCP socket driven by readiness callbacks: it reads into one buffer that its owner reuses and
sends straight from the outbox's memory, which is several times faster than an asyncio transport (``docs/performance.md``).
``MemoryLink`` joins two ends in one process, in one event loop or in two threads' loops, without a socket.

A link belongs to an *owner* and tells it what happens; it never calls its owner from inside ``flush`` except to say that the
connection is lost. Reading can be paused. Sending never waits: what the peer does not take stays in the outbox, the link is
*blocked*, and its owner is told of progress and, by a socket, of the lack of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from midge.wire.outbox import Outbox

__all__ = ["CHUNK_SIZE", "Link", "LinkOwner", "MemoryLink", "SocketLink"]

CHUNK_SIZE = 65536
MEMORY_HIGH = 1 << 20  # bytes on their way to the other end of a MemoryLink before it stops taking more
PIECE_SIZE = MEMORY_HIGH + CHUNK_SIZE  # what a MemoryLink hands over whole: the largest usual message, with what goes before it


class LinkOwner(Protocol):
    """What a link expects of its owner. Every call comes from the link's own event loop."""

    def link_received(self, chunk: bytearray, size: int) -> None:
        """Bytes came: chunk[:size]; the chunk may be reused after the call."""

    def link_progress(self) -> None:
        """Some of the outbox was sent after the link had been blocked."""

    def link_stuck(self) -> None:
        """The link has been blocked without progress for as long as its owner allows."""

    def link_lost(self, error: OSError | None) -> None:
        """Nothing more comes: the peer has ended its side (None), or the connection broke. The owner must close the link.

        A peer that has only ended its side of a socket may still take what the outbox holds.
        """


class Link(Protocol):
    """One end of a connection."""

    blocked: bool

    def start(self, owner: LinkOwner) -> None:
        """Begin to read."""

    def flush(self) -> None:
        """Send what the outbox holds, as far as the peer takes it; the rest follows by itself."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Close at once. What is not sent is lost; the owner hears nothing more."""


class SocketLink:
    """A connected TCP socket.

    Args:
        loop: the running event loop; it must have ``add_reader``.
        sock: the socket; the link owns it from now on.
        outbox: what to send.
        chunk: the buffer to read into; links of one loop may share it.
        write_deadline: seconds without progress before the owner is told, None for never.

    Raises:
        OSError: the socket is no longer connected.
    """

    __slots__ = (
        "_chunk", "_closed", "_deadline", "_fd", "_loop", "_outbox", "_owner", "_paused", "_progress", "_sock", "_write_deadline",
        "blocked",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, outbox: Outbox, chunk: bytearray, write_deadline: float | None
    ) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._outbox = outbox
        self._chunk = chunk
        self._owner: LinkOwner | None = None
        self._write_deadline = write_deadline
        self._deadline: asyncio.TimerHandle | None = None
        self._progress = 0.0
        self._paused = True
        self._closed = False
        self.blocked = False

    def start(self, owner: LinkOwner) -> None:
        self._owner = owner
        self.resume_reading()

    def flush(self) -> None:
        if self.blocked or self._closed:
            return
        self._send()
        if len(self._outbox) and not self._closed:
            self.blocked = True
            self._loop.add_writer(self._fd, self._on_writable)
            self._watch()

    def pause_reading(self) -> None:
        if not self._paused and not self._closed:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if self._paused and not self._closed:
            self._paused = False
            self._loop.add_reader(self._fd, self._on_readable)

    def close(self) -> None:
        if self._closed:
            return
        if not self._loop.is_closed():
            self.pause_reading()
            self._unblock()
        self._closed = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._sock.close()
        self._owner = None

    def _on_readable(self) -> None:
        try:
            size = self._sock.recv_into(self._chunk)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        assert self._owner is not None
        if size:
            self._owner.link_received(self._chunk, size)
        else:
            self.pause_reading()
            self._owner.link_lost(None)

    def _on_writable(self) -> None:
        before = len(self._outbox)
        self._send()
        if self._closed:
            return
        if not len(self._outbox):
            self._unblock()
        elif len(self._outbox) < before:
            self._watch()
        assert self._owner is not None
        self._owner.link_progress()

    def _send(self) -> None:
        """Send once: a partial send means that the kernel's buffer is full."""
        outbox = self._outbox
        if not len(outbox):
            return
        views = outbox.views()
        try:
            sent = self._sock.send(views[0]) if len(views) == 1 else self._sock.sendmsg(views)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        finally:
            for view in views:
                view.release()
        outbox.advance(sent)

    def _watch(self) -> None:
        """Note the time of the last progress. One timer runs at most; it is not set anew each time, that would cost more."""
        if self._write_deadline is not None:
            self._progress = self._loop.time()
            if self._deadline is None:
                self._deadline = self._loop.call_later(self._write_deadline, self._check_progress)

    def _check_progress(self) -> None:
        self._deadline = None
        if not self.blocked:
            return
        assert self._write_deadline is not None and self._owner is not None
        due = self._progress + self._write_deadline
        if self._loop.time() < due:
            self._deadline = self._loop.call_at(due, self._check_progress)
        else:
            self._owner.link_stuck()

    def _unblock(self) -> None:
        if self.blocked:
            self.blocked = False
            self._loop.remove_writer(self._fd)

    def _break(self, error: OSError) -> None:
        owner = self._owner
        self.close()
        if owner is not None:
            owner.link_lost(error)


class MemoryLink:
    """One of two ends in the same process; each lives in the event loop of its owner. ``pair`` makes both.

    Only ``_arrive`` and ``_departed`` are ever called from the other side, and always in this end's own loop. What one end has sent
    before it closed reaches the other, as with a socket.

    Attributes:
        piece_size: what is handed over at once, and without a copy; what has piled up beyond that goes in smaller pieces, so that
            nobody else waits long for their turn.
    """

    __slots__ = (
        "_arrived", "_closed", "_loop", "_on_the_way", "_outbox", "_owner", "_paused", "_peer", "_scheduled", "blocked", "piece_size",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outbox = Outbox()
        self._peer: MemoryLink = self
        self._owner: LinkOwner | None = None
        self._arrived: deque[bytearray | None] = deque()
        self._on_the_way = 0
        self._paused = False
        self._scheduled = False
        self._closed = False
        self.blocked = False
        self.piece_size = PIECE_SIZE

    @classmethod
    def pair(cls, one: asyncio.AbstractEventLoop, other: asyncio.AbstractEventLoop) -> tuple[MemoryLink, MemoryLink]:
        """Return the two ends of one connection, for owners in these loops. Each needs its outbox before it is started."""
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
        while len(outbox) and not self._closed:
            if self._on_the_way >= MEMORY_HIGH:
                self.blocked = True
                return
            piece, size = outbox.take()
            del piece[size:]
            self._on_the_way += len(piece)
            if not self._tell(self._peer._arrive, piece):
                self._arrive(None)  # the peer's loop is gone: after what came before, that is the end
                return

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._schedule()

    def close(self) -> None:
        if not self._closed:
            self._shut()
            if not self._loop.is_closed():
                self._tell(self._peer._arrive, None)

    def _tell(self, call: Callable[..., None], *args: Any) -> bool:
        """Run a method of the peer in the peer's loop. False where that loop is closed and nobody is left to hear."""
        if self._peer._loop is self._loop:
            call(*args)
            return True
        try:
            self._peer._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            return False
        return True

    def _arrive(self, data: bytearray | None) -> None:
        if not self._closed:
            self._arrived.append(data)
            self._schedule()

    def _schedule(self) -> None:
        if self._arrived and not self._scheduled and not self._paused and self._owner is not None:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Hand over one piece a turn: the peer and everybody else get theirs in between."""
        self._scheduled = False
        if self._closed or self._paused or not self._arrived:
            return
        data = self._arrived.popleft()
        owner = self._owner
        assert owner is not None
        if data is None:
            self._shut()
            owner.link_lost(None)
            return
        self._tell(self._peer._departed, len(data))
        owner.link_received(data, len(data))
        self._schedule()

    def _departed(self, size: int) -> None:
        """The peer has taken size bytes."""
        self._on_the_way -= size
        if self.blocked and self._on_the_way < MEMORY_HIGH and not self._closed:
            self.blocked = False
            self.flush()
            if self._owner is not None:
                self._owner.link_progress()

    def _shut(self) -> None:
        self._closed = True
        self.blocked = False
        self._owner = None
        self._arrived.clear()
