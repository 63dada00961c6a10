"""Links: how the bytes of one connection travel under asyncio. Client and server use the same two.

``SocketLink`` is a non-blocking TCP socket driven by readiness callbacks: it reads into one buffer that its owner reuses and
sends straight from the outbox's memory, which is several times faster than an asyncio transport (``docs/performance.md``).
``MemoryLink`` joins two ends in one process, in one event loop or in two threads' loops, without a socket.

A link belongs to an *owner* and tells it what happens; it never calls its owner from inside ``flush`` except to say that the
connection is lost. Reading can be paused. Sending never blocks: what the peer does not take stays in the outbox.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Protocol

from midge.wire.outbox import Outbox

__all__ = ["CHUNK_SIZE", "Link", "LinkOwner", "MemoryLink", "SocketLink"]

CHUNK_SIZE = 65536
MEMORY_HIGH = 1 << 20  # bytes on their way to the other end of a MemoryLink before it stops taking more


class LinkOwner(Protocol):
    """What a link expects of its owner. Every call comes from the link's own event loop."""

    def link_received(self, chunk: bytearray, size: int) -> None:
        """Bytes came: chunk[:size]; the chunk may be reused after the call."""

    def link_progress(self) -> None:
        """Some of the outbox was sent after the link had been blocked."""

    def link_stuck(self) -> None:
        """The link has been blocked without progress for as long as its owner allows."""

    def link_lost(self, error: OSError | None) -> None:
        """The connection ended: by the peer (None) or by an error. The link is closed."""


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
    """

    __slots__ = ("_chunk", "_closed", "_deadline", "_fd", "_loop", "_outbox", "_owner", "_paused", "_sock", "_write_deadline", "blocked")

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
        self._write_deadline = write_deadline
        self._deadline: asyncio.TimerHandle | None = None
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
        self.pause_reading()
        self._closed = True
        self._unblock()
        self._sock.close()

    def _on_readable(self) -> None:
        try:
            size = self._sock.recv_into(self._chunk)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if size:
            self._owner.link_received(self._chunk, size)
        else:
            self._lose(None)

    def _on_writable(self) -> None:
        before = len(self._outbox)
        self._send()
        if self._closed:
            return
        if not len(self._outbox):
            self._unblock()
        elif len(self._outbox) < before:
            self._watch()
        self._owner.link_progress()

    def _send(self) -> None:
        """Send once: a partial send means that the kernel's buffer is full."""
        outbox = self._outbox
        if not len(outbox):
            return
        view = outbox.view()
        try:
            sent = self._sock.send(view)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            view.release()
            self._lose(error)
            return
        finally:
            view.release()
        outbox.advance(sent)

    def _watch(self) -> None:
        """Start the write deadline anew."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._write_deadline is not None:
            self._deadline = self._loop.call_later(self._write_deadline, self._stuck)

    def _stuck(self) -> None:
        self._deadline = None
        self._owner.link_stuck()

    def _unblock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.blocked:
            self.blocked = False
            self._loop.remove_writer(self._fd)

    def _lose(self, error: OSError | None) -> None:
        self.close()
        self._owner.link_lost(error)


class MemoryLink:
    """One of two ends in the same process; each lives in the event loop of its owner.

    Args:
        loop: the loop of this end's owner.
        outbox: what this end sends.
    """

    __slots__ = ("_arrived", "_closed", "_loop", "_on_the_way", "_outbox", "_owner", "_paused", "_peer", "_scheduled", "blocked")

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._loop = loop
        self._outbox = outbox
        self._peer: MemoryLink = self
        self._owner: LinkOwner | None = None
        self._arrived: deque[bytearray | None] = deque()
        self._on_the_way = 0
        self._paused = False
        self._scheduled = False
        self._closed = False
        self.blocked = False

    def join(self, peer: MemoryLink) -> None:
        """Make the two ends of one connection."""
        self._peer = peer
        peer._peer = self

    def start(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._schedule()

    def flush(self) -> None:
        if self._closed or not len(self._outbox):
            return
        if self._on_the_way >= MEMORY_HIGH:
            self.blocked = True
            return
        self._on_the_way += len(self._outbox)
        self._tell_peer(self._peer._arrive, self._outbox.take())

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._schedule()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._tell_peer(self._peer._arrive, None)

    def _tell_peer(self, call: object, *args: object) -> None:
        """Run a method of the peer in the peer's loop, or drop it where that loop is gone and nobody is left to hear."""
        if self._peer._loop is self._loop:
            call(*args)  # type: ignore[operator]
            return
        try:
            self._peer._loop.call_soon_threadsafe(call, *args)  # type: ignore[arg-type]
        except RuntimeError:
            if not self._closed:
                self._loop.call_soon(self._lose)

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
        if data is None:
            self._lose()
            return
        assert self._owner is not None
        self._tell_peer(self._peer._departed, len(data))
        self._owner.link_received(data, len(data))
        self._schedule()

    def _departed(self, size: int) -> None:
        """The peer has taken size bytes."""
        self._on_the_way -= size
        if self.blocked and self._on_the_way < MEMORY_HIGH and not self._closed:
            self.blocked = False
            self.flush()
            if self._owner is not None:
                self._owner.link_progress()

    def _lose(self) -> None:
        if not self._closed:
            self._closed = True
            if self._owner is not None:
                self._owner.link_lost(None)
