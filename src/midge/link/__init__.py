"""Links: how the bytes of one connection travel. Client and server use the same ones; this module says what all of them promise.

    socket.py     a TCP socket, by readiness            readiness.py  readiness by the event loop itself, for a client's one link
    memory.py     two ends in one process               reactor.py    readiness, turns and deadlines for a server's thousands
    tls.py        TLS over a TCP socket                 websocket.py  a WebSocket's frames over any other link, whose owner it is

A link sends what is in its outbox and hands what it reads to its *owner*. Sending never waits: what the peer does not take stays in
the outbox, and the link is *blocked* until the peer takes more. The rules:

- Everything happens in the thread of the link's event loop.
- ``flush`` never calls the owner, so whoever flushes a thousand links never finds itself inside another owner's code. A link that
  breaks while it sends marks itself (``error``) and tells its owner in a later turn of the loop.
- ``link_lost`` comes once at most. After ``close`` the owner hears nothing more.
- Pausing, resuming and closing may be repeated, and called at any time, also from inside the owner's own calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["READ", "WRITE", "Link", "LinkOwner", "Readiness", "Watched"]

READ = 1  # what a link is watched for: EPOLLIN and EPOLLOUT
WRITE = 4


class LinkOwner(Protocol):
    """What a link expects of its owner. Every call comes from the link's own event loop, and never from inside ``flush``."""

    def link_received(self, chunk: bytearray, size: int) -> bool:
        """Bytes came: chunk[:size]. True: the owner has done with the chunk, which may be overwritten.

        False: the owner keeps the chunk, and gives it back later (``Readiness.give_back``) or drops it. The link reads the next bytes
        into another one; an owner that wants none before it has done with these pauses reading.
        """

    def link_progress(self) -> None:
        """The link had been blocked, and some of the outbox was sent; or it broke after its end had been told (``error``).

        A link over TLS is blocked until its handshake is done, and says so once it is, also when nothing waits to be sent.
        """

    def link_stuck(self) -> None:
        """The link has been blocked without progress for as long as its write deadline allows. Said once for each time it is blocked."""

    def link_lost(self, error: OSError | None) -> None:
        """Nothing more comes: the peer has ended its side (None), or the connection broke. The owner must close the link.

        A peer that has only ended its side of a socket may still take what the outbox holds.
        """


class Link(Protocol):
    """One end of a connection. It is given its outbox when it is made.

    Attributes:
        blocked: the peer takes no more for now; the link goes on by itself when it does.
        error: why the connection broke, None as long as it has not. What is flushed then goes nowhere.
    """

    blocked: bool
    error: OSError | None

    def start(self, owner: LinkOwner) -> None:
        """Begin to read."""

    def flush(self) -> None:
        """Send what the outbox holds, as far as the peer takes it now; the rest follows by itself. Does not call the owner."""

    def begun(self) -> int:
        """Return how many bytes of those that wait in the outbox are in a record or a frame already, which is not all sent.

        They will be sent as they were then, and must stay; who wants no more sent cuts the outbox behind them.
        """

    def pause_reading(self) -> None:
        """Hand over nothing more from now on, also nothing of this turn."""

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Close at once, for every process that holds a copy. What is not sent is lost; the owner hears nothing more."""

    def hand_to(self, owner: LinkOwner) -> None:
        """Tell another owner from now on what there is to tell. Only for a link that is started."""

    def abandon(self) -> None:
        """In a forked child: let go of our copy. The connection goes on in the parent, which must not notice."""


class Watched(Protocol):
    """What can be watched for readiness: a link on a socket, a listener.

    Attributes:
        fd: the descriptor; it does not change while it is watched.
        watched: READ and WRITE, as they are watched for; 0 in the beginning. Kept by the readiness.
    """

    fd: int
    watched: int

    def on_readable(self) -> None: ...

    def on_writable(self) -> None: ...

    def close(self) -> None: ...


class Readiness(Protocol):
    """Tells links when they can read and write, and what time it is; lends them what they read into. One for each event loop or link.

    Attributes:
        loop: the event loop that everything happens in.
    """

    loop: asyncio.AbstractEventLoop

    def watch(self, link: Watched, read: bool, write: bool) -> None:
        """Watch for exactly this from now on. May be called at any time; what is not watched for any more is not told."""

    def forget(self, link: Watched) -> None:
        """Watch for nothing any more. To be called before the descriptor is closed."""

    def take_chunk(self) -> bytearray:
        """Lend a buffer to read into, of the same size each time."""

    def give_back(self, chunk: bytearray) -> None:
        """Take back a buffer that nobody reads any more."""

    def time(self) -> float:
        """Seconds of the event loop's clock."""

    def defer(self, call: Callable[[], None]) -> None:
        """Call it in a later turn of the loop."""

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call it when it is that late, and not before; a call that waits already is moved. Equal calls are one call."""

    def cancel(self, call: Callable[[], None]) -> None:
        """Do not make this call, if it waits."""
