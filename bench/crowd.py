"""Many raw connections in one process: opened hundreds at a time, and read without looking at what comes.

Each connection waits for INFO, says CONNECT, its own commands and PING, and is open once the PONG is there. A connection
is closed by a reset, so that ten thousand of them leave no port behind in TIME_WAIT; where one loopback address has too
few ports, the next one is used. Needs Linux: epoll, 127.0.0.0/8, and TCP that can drop what it received.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Sequence

from load import BUFFER, CONNECT, PING, PONG
from workers import LoadError

IN_FLIGHT = 500
PORTS_EACH = 10_000  # of some 28,000: beyond half of them the system looks long for a free one
RESET = struct.pack("ii", 1, 0)
DROP = socket.MSG_TRUNC
EVENTS = 512


class Opening:
    """One connection on its way: what it will say, and whether it has said it."""

    __slots__ = ("sock", "commands", "index", "heard", "said")

    def __init__(self, sock: socket.socket, commands: bytes, index: int) -> None:
        self.sock = sock
        self.commands = commands
        self.index = index
        self.heard = b""
        self.said = False

    def read(self) -> bool:
        """Take what is there and answer INFO; True when the server has taken everything."""
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise LoadError(f"connection {self.index}: {error}") from error
        self.heard += data
        if not data or b"-ERR" in self.heard:
            raise LoadError(f"connection {self.index} was refused, last words {self.heard[-80:]!r}")
        if self.said:
            opened = PONG in self.heard  # messages may follow at once
            self.heard = self.heard[-len(PONG) :]
            return opened
        if self.heard.endswith(b"\r\n"):
            self.said = True
            self.heard = b""
            if self.sock.send(self.commands) != len(self.commands):
                raise LoadError(f"connection {self.index}: no room for its first {len(self.commands)} bytes")
        return False


def open_many(host: str, port: int, commands: Sequence[bytes], in_flight: int = IN_FLIGHT, timeout: float = 60.0) -> list[socket.socket]:
    """One connection for each item of `commands`, in their order; all non-blocking, all answered."""
    lines = [CONNECT + item + PING for item in commands]
    opened: list[socket.socket] = [dial(host, port, index) for index in range(min(in_flight, len(lines)))]
    ready = select.epoll()
    waiting: dict[int, Opening] = {}
    deadline = time.monotonic() + timeout
    try:
        for index, sock in enumerate(opened):
            waiting[sock.fileno()] = Opening(sock, lines[index], index)
            ready.register(sock, select.EPOLLIN)
        while waiting:
            events = ready.poll(max(0.0, deadline - time.monotonic()), EVENTS)
            if not events:
                raise LoadError(f"{len(waiting)} of {len(lines)} connections are not open after {timeout:.0f} s")
            for fd, _ in events:
                if not waiting[fd].read():
                    continue
                del waiting[fd]
                ready.unregister(fd)
                if len(opened) < len(lines):
                    index = len(opened)
                    opened.append(dial(host, port, index))
                    waiting[opened[index].fileno()] = Opening(opened[index], lines[index], index)
                    ready.register(opened[index], select.EPOLLIN)
    except BaseException:
        reset_all(opened)
        raise
    finally:
        ready.close()
    return opened


def dial(host: str, port: int, index: int) -> socket.socket:
    """A connection under way; a loopback server is called from an address that has ports left."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if index >= PORTS_EACH:
        sock.bind((f"127.0.0.{1 + index // PORTS_EACH}", 0))
    refused = sock.connect_ex((host, port))
    if refused not in (0, errno.EINPROGRESS):
        sock.close()
        raise LoadError(f"connection {index}: {errno.errorcode[refused]}")
    return sock


def reset_all(socks: Sequence[socket.socket]) -> None:
    """Close by reset: the server hears of it at once, whatever is on its way."""
    for sock in socks:
        sock.close()


class Readers:
    """Reads and drops what comes on many connections; knows how many bytes each has had."""

    def __init__(self, socks: Sequence[socket.socket]) -> None:
        self._ready = select.epoll(len(socks) + 1)
        self._socks = {sock.fileno(): sock for sock in socks}
        self._buffer = bytearray(BUFFER)
        self.heard = dict.fromkeys(self._socks, 0)
        for sock in socks:
            self._ready.register(sock, select.EPOLLIN)

    def read(self, timeout: float) -> bool:
        """What is there now, or comes within `timeout`; whether anything came."""
        events = self._ready.poll(timeout, EVENTS)
        for fd, _ in events:
            try:
                size = self._socks[fd].recv_into(self._buffer, BUFFER, DROP)
            except OSError as error:
                raise LoadError(f"a subscriber after {self.heard[fd]} bytes: {error}") from error
            if not size:
                raise LoadError(f"the server closed a subscriber after {self.heard[fd]} bytes")
            self.heard[fd] += size
        return bool(events)

    def read_until(self, least: int, timeout: float) -> None:
        """Until every connection has had `least` bytes."""
        deadline = time.monotonic() + timeout
        while min(self.heard.values()) < least:
            if not self.read(max(0.0, deadline - time.monotonic())):
                raise LoadError(f"a subscriber got {min(self.heard.values())} of {least} bytes, then nothing for {timeout:.0f} s")

    def close(self) -> None:
        self._ready.close()
