"""Listeners: the ports where clients knock. Opens them on every address that a name has, and accepts in small batches.

No host, 0.0.0.0 and :: all stand for every interface, by IPv4 and IPv6, as they do in Go.

A listener knows nothing of the protocol: it hands each new socket over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from midge.errors import ServerStartError
from midge.link import Readiness

__all__ = ["Adopt", "Listener", "MonitorStartError", "open_sockets"]

BACKLOG = 1024
ACCEPT_BATCH = 16  # connections accepted before everybody else has a turn
SHORTEST_PAUSE = 0.01  # seconds to wait where the process has no file descriptor left; doubled each time, as in nats-server
LONGEST_PAUSE = 1.0
PORT_TRIES = 20  # free ports of one address that may turn out to be taken on another
EVERYWHERE = ("", "0.0.0.0", "::", "[::]")
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)

log = logging.getLogger("midge.server")

Adopt = Callable[[socket.socket, str], None]


class MonitorStartError(ServerStartError):
    """The monitoring port cannot be opened; it is here because not every server has a monitor."""


async def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of the host, all on one port; port 0 takes one that is free on all of them.

    The name is looked up without holding up the event loop. An address that this machine does not have is passed over where there
    is another.

    Raises:
        ServerStartError: there is no address to listen on.
    """
    if host in EVERYWHERE:
        return [_bind_everywhere(host, port)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # ValueError: a name that no name can be
        raise ServerStartError(f"cannot listen on {host}:{port}: {error}") from error
    addresses = list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))
    for tries_left in reversed(range(PORT_TRIES)):
        try:
            return _bind_all(addresses, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port or not tries_left or len(addresses) == 1:
                raise ServerStartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    raise AssertionError("the last try returns or raises")


def _bind_everywhere(host: str, port: int) -> socket.socket:
    """Listen on every interface, by one socket for IPv4 and IPv6; by IPv4 alone where this machine has nothing else."""
    try:
        try:
            return _bind(socket.AF_INET6, "::", port, shared=False)
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
            return _bind(socket.AF_INET, "0.0.0.0", port, shared=False)
    except OSError as error:
        raise ServerStartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _bind_all(addresses: list[tuple[int, str]], port: int) -> list[socket.socket]:
    """Listen on all of the addresses that there are, on one port."""
    listening: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            try:
                listening.append(_bind(family, address, port, shared=len(addresses) > 1))
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error
            else:
                port = listening[-1].getsockname()[1]
        if missing is not None and not listening:
            raise missing
    except OSError:
        for sock in listening:
            sock.close()
        raise
    return listening


def _bind(family: int, address: str, port: int, shared: bool) -> socket.socket:
    """Listen on one address. Where others share the port, one of IPv6 keeps to IPv6; where none do, it is for IPv4 too."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, shared)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


class Listener:
    """One listening socket.

    Args:
        readiness: tells when somebody knocks.
        sock: the socket; the listener owns it from now on.
        adopt: called with each new socket, and the client's address as "host:port".

    Raises:
        NotImplementedError: the event loop cannot watch sockets.
    """

    def __init__(self, readiness: Readiness, sock: socket.socket, adopt: Adopt) -> None:
        self._readiness = readiness
        self._sock = sock
        self._adopt = adopt
        self._pause = SHORTEST_PAUSE
        self.fd = sock.fileno()
        self.watched = 0
        self._listen()

    def close(self) -> None:
        """Free the port, also where a forked process has a copy of the socket."""
        if self._sock.fileno() < 0:
            return
        self._readiness.cancel(self._listen)
        self._readiness.forget(self)
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # how some systems answer for a socket that only listens
                raise
        finally:
            self._sock.close()

    def on_readable(self) -> None:
        """Let in who knocks."""
        for _ in range(ACCEPT_BATCH):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._wait(error)
                return
            self._pause = SHORTEST_PAUSE
            host = address[0].removeprefix("::ffff:")  # who comes by IPv4 to a socket for both
            try:
                self._adopt(sock, f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}")
            except Exception:  # the safety net: a bug of ours costs this client its connection, and not everybody the port
                log.exception("internal error, closing the connection")
                sock.close()

    def on_writable(self) -> None:
        raise AssertionError("nobody writes to a listening socket")

    def _listen(self) -> None:
        self._readiness.watch(self, True, False)

    def _wait(self, error: OSError) -> None:
        """Leave the port alone for a moment: as long as there is no descriptor to be had, it would stay readable for nothing."""
        log.error("Temporary Client Accept Error (%s), sleeping %dms", error, self._pause * 1000)
        self._readiness.watch(self, False, False)
        self._readiness.call_at(self._readiness.time() + self._pause, self._listen)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
