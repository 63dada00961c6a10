"""SocketLink: a connected TCP socket, driven by readiness.

It reads into a buffer that it borrows for the moment of reading, and sends straight from the outbox's memory, which is several times
faster than an asyncio transport (``docs/performance.md``). One system call for each time it is told that it can read or write, so that
a peer that is fast has its turn like the others.

    paused, ended   not watched for READ        blocked    watched for WRITE, and for the write deadline
    closed          watched for nothing         error      closed as well; the owner is told in a later turn

``_recv`` and ``_send`` are all that knows how bytes get into the socket and out of it: TlsLink has others.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from midge.link import READ, LinkOwner, Readiness

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.wire.outbox import Outbox

__all__ = ["SocketLink"]

_READ = READ


class SocketLink:
    """A non-blocking TCP socket.

    Args:
        readiness: tells when the socket can be read and written.
        write_deadline: seconds without progress before the owner is told, None for never.
        sock: the socket; the link owns it from now on.
        outbox: what to send.

    Raises:
        OSError: the socket is no longer connected.
    """

    __slots__ = (
        "_closed", "_ended", "_outbox", "_owner", "_paused", "_progress", "_readiness", "_receiving", "_sock", "_write_deadline",
        "blocked", "error", "fd", "watched",
    )  # fmt: skip

    def __init__(self, readiness: Readiness, write_deadline: float | None, sock: socket.socket, outbox: Outbox) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readiness = readiness
        self._write_deadline = write_deadline
        self._sock = sock
        self._outbox = outbox
        self._owner: LinkOwner | None = None
        self._progress = 0.0
        self._paused = True
        self._ended = False
        self._receiving = False
        self._closed = False
        self.blocked = False
        self.error: OSError | None = None
        self.fd = sock.fileno()
        self.watched = 0

    def start(self, owner: LinkOwner) -> None:
        self._owner = owner
        self.resume_reading()

    def flush(self) -> None:
        if self.blocked or self._closed or not len(self._outbox):
            return
        self._send_once()
        if len(self._outbox) and not self._closed:
            self.blocked = True
            self._watch()
            if self._write_deadline is not None:
                self._progress = self._readiness.time()
                self._readiness.call_at(self._progress + self._write_deadline, self._check_progress)

    def begun(self) -> int:
        return 0

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self._watch()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._watch()

    def close(self) -> None:
        self._owner = None
        self._shut()

    def abandon(self) -> None:
        self._owner = None
        self._closed = True
        self.blocked = False
        self.watched = 0
        self._sock.close()

    def hand_to(self, owner: LinkOwner) -> None:
        self._owner = owner

    def detach(self) -> socket.socket:
        """Let go of the socket, for a link of another kind: it stays open, is the caller's, and nothing is told of it any more.

        Raises:
            OSError: the link is closed.
        """
        if self._closed:
            raise self.error or OSError("the link is closed")
        assert not self.blocked, "what waits to be sent belongs to this link"
        self._owner = None
        self._closed = True
        self._readiness.forget(self)
        return self._sock

    # What the readiness says

    def on_readable(self) -> None:
        """Read once, and hand it over."""
        if self._receiving:  # the owner is still busy, and runs the event loop inside our call: what it reads must not be overtaken
            self._readiness.watch(self, False, self.blocked)
            return
        owner = self._owner
        assert owner is not None
        chunk = self._readiness.take_chunk()
        try:
            size = self._recv(chunk)
        except (BlockingIOError, InterruptedError):
            self._readiness.give_back(chunk)
            return
        except OSError as error:
            self._readiness.give_back(chunk)
            self._break(error)
            return
        if size:
            self._hand_over(owner, chunk, size)
        else:
            self._readiness.give_back(chunk)
            self._ended = True
            self._watch()
            owner.link_lost(None)

    def on_writable(self) -> None:
        """Send once; see whether that was all."""
        before = len(self._outbox)
        if before:
            self._send_once()
        if self._closed:
            return
        left = len(self._outbox)
        if not left:
            self._unblock()
            self._watch()
        elif left < before and self._write_deadline is not None:
            self._progress = self._readiness.time()
        assert self._owner is not None
        self._owner.link_progress()

    # Private

    def _recv(self, chunk: bytearray) -> int:
        """Read into the chunk; 0 at the end. BlockingIOError where there is nothing to read now."""
        return self._sock.recv_into(chunk)

    def _send(self, views: list[memoryview]) -> int:
        """Send of these what is taken now, from the front. BlockingIOError where nothing is."""
        return self._sock.send(views[0]) if len(views) == 1 else self._sock.sendmsg(views)

    def _hand_over(self, owner: LinkOwner, chunk: bytearray, size: int) -> None:
        self._receiving = True
        try:
            if owner.link_received(chunk, size):
                self._readiness.give_back(chunk)
        finally:
            self._receiving = False
            if not self.watched & _READ:
                self._watch()

    def _send_once(self) -> None:
        """Send once: a partial send means that the kernel's buffer is full, and others want to send as well."""
        views = self._outbox.views()
        try:
            sent = self._send(views)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        finally:
            for view in views:
                view.release()
        self._outbox.advance(sent)

    def _watch(self) -> None:
        """Be watched for what we want to know."""
        if self._closed:
            return
        try:
            self._readiness.watch(self, not (self._paused or self._ended), self.blocked)
        except OSError as error:  # the system has no room for one more
            self._break(error)

    def _check_progress(self) -> None:
        """The write deadline, put off by any progress. It is not set anew each time there is some, that would cost more."""
        assert self.blocked and self._write_deadline is not None and self._owner is not None
        due = self._progress + self._write_deadline
        if self._readiness.time() < due:
            self._readiness.call_at(due, self._check_progress)
        else:
            self._owner.link_stuck()

    def _unblock(self) -> None:
        if self.blocked:
            self.blocked = False
            if self._write_deadline is not None:
                self._readiness.cancel(self._check_progress)

    def _break(self, error: OSError) -> None:
        """The connection is no more. The owner is told when nobody is in the middle of something."""
        self.error = error.with_traceback(None)  # which leads to this link, in a circle
        self._shut()
        self._readiness.defer(self._tell_lost)

    def _tell_lost(self) -> None:
        if self._owner is None:
            return
        if self._ended:  # it knows already that nothing comes, but may wait for the rest to be sent
            self._owner.link_progress()
        else:
            self._ended = True
            self._owner.link_lost(self.error)

    def _shut(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._unblock()
        self._readiness.forget(self)
        try:
            self._sock.shutdown(socket.SHUT_RDWR)  # closing alone would leave it open as long as a forked process has a copy
        except OSError:
            pass  # not connected any more, so there is nothing to shut down
        self._sock.close()
