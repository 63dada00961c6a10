"""SniffLink: a socket of which it is to be seen how the peer begins before anybody reads. Nothing is taken out of the socket."""

from __future__ import annotations

import socket
from collections.abc import Callable

from midge.link import Readiness
from midge.link.socket import SocketLink
from midge.wire.outbox import Outbox

__all__ = ["SniffLink"]


class SniffLink(SocketLink):
    """A TCP socket that is written to and not read from. ``detach`` it, and make the link that is to read.

    Args:
        readiness, write_deadline, sock, outbox: as for a SocketLink.
        heard: called with the first byte that waits to be read, or with none where the peer has ended its side; detach or close then.
    """

    __slots__ = ("_heard", "_peeked")

    def __init__(
        self, readiness: Readiness, write_deadline: float | None, sock: socket.socket, outbox: Outbox, heard: Callable[[bytes], None]
    ) -> None:
        super().__init__(readiness, write_deadline, sock, outbox)
        self._peeked = sock
        self._heard = heard

    def on_readable(self) -> None:
        """Look, and tell."""
        try:
            first = self._peeked.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # whoever reads or writes next finds out what it is
            first = b""
        self._heard(first)
