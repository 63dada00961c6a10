"""Connections for the raw load: a socket, or what looks like one over TLS, in the frames of a WebSocket, or both.

What a WebSocket sends is masked with a key of zeros, which costs the server as much as any other and us nothing.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Protocol

__all__ = ["Line", "open_line"]

REQUEST = (
    "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Line(Protocol):
    """What the load needs of a connection; BlockingIOError where there is nothing to read now."""

    def recv(self, size: int, /) -> bytes: ...
    def recv_into(self, buffer: Any, /) -> int: ...
    def send(self, data: Any, /) -> int: ...
    def sendall(self, data: Any, /) -> None: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def fileno(self) -> int: ...


def open_line(host: str, port: int, scheme: str, authority: str, timeout: float) -> Line:
    """Connect; INFO is what is read first, also over TLS, where it comes in plain text and once more."""
    sock = socket.create_connection((host, port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if scheme == "nats":
        return sock
    if scheme == "ws":
        return Framed(sock, host)
    if scheme == "wss":
        return Framed(Secured(sock, host, authority), host)
    greeting = b""
    while not greeting.endswith(b"\r\n"):
        greeting += sock.recv(1)
    return Secured(sock, host, authority, greeting)


class Secured:
    """A connection by TLS.

    Args:
        greeting: what came before the handshake, and is to be read first.
    """

    def __init__(self, sock: socket.socket, host: str, authority: str, greeting: bytes = b"") -> None:
        self._sock = ssl.create_default_context(cafile=authority).wrap_socket(sock, server_hostname=host)
        self._greeting = greeting
        self.send, self.sendall, self.fileno = self._sock.send, self._sock.sendall, self._sock.fileno
        self.setblocking, self.settimeout = self._sock.setblocking, self._sock.settimeout

    def recv(self, size: int, /) -> bytes:
        greeting, self._greeting = self._greeting, b""
        return greeting or self._sock.recv(size)

    def recv_into(self, buffer: Any, /) -> int:
        try:
            return self._sock.recv_into(buffer)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None


class Framed:
    """A connection in the frames of a WebSocket, cut as the server likes."""

    def __init__(self, line: Line, host: str) -> None:
        self._line = line
        self.setblocking, self.settimeout, self.fileno = line.setblocking, line.settimeout, line.fileno
        self._head = b""  # of a frame, where it is incomplete
        self._left = 0  # of a frame's payload
        line.sendall(REQUEST.format(host).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += line.recv(1)
        assert b" 101 " in answer, answer

    def recv(self, size: int, /) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(memoryview(buffer))])

    def recv_into(self, buffer: Any, /) -> int:
        """Read once, and leave of it what is payload."""
        while True:
            size = self._line.recv_into(buffer)
            if not size:
                return 0
            if filled := self._take_apart(buffer, size):
                return filled

    def send(self, data: Any, /) -> int:
        self.sendall(data)
        return len(data)

    def sendall(self, data: Any, /) -> None:
        size = len(data)
        head = bytes([0x82, 0x80 | 127]) + size.to_bytes(8, "big") + bytes(4)
        self._line.sendall(head + data if size < 4096 else head)
        if size >= 4096:
            self._line.sendall(data)

    def _take_apart(self, buffer: memoryview, size: int) -> int:
        at = filled = 0
        while at < size:
            if self._left:
                part = min(self._left, size - at)
                if filled != at:
                    buffer[filled : filled + part] = buffer[at : at + part]
                filled += part
                at += part
                self._left -= part
                continue
            self._head += buffer[at : at + 1]
            at += 1
            small = self._head[1] if len(self._head) > 1 else 0
            if len(self._head) == (4 if small == 126 else 10 if small == 127 else 2):
                self._left = int.from_bytes(self._head[2:], "big") if small > 125 else small
                assert self._head[0] == 0x82, self._head
                self._head = b""
        return filled
