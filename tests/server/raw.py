"""Blocking sockets that speak to a server byte by byte, and a way to look into a server that runs in another thread."""

import json
import socket
import struct
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from midge.server.server import Server

PATIENCE = 30.0  # only bounds the wait for a server that says nothing
T = TypeVar("T")


def ask(server: Server, question: Callable[[], T]) -> T:
    """Call a function in the server's own thread and return its result."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:
            answer.set_exception(error)

    assert server._loop is not None
    server._loop.call_soon_threadsafe(call)
    return answer.result(PATIENCE)


def until(server: Server, condition: Callable[[], object]) -> None:
    """Return when the condition holds in the server; each look takes a turn of its event loop."""
    while not ask(server, condition):
        pass


class Raw:
    """One connection: INFO is read when it is made, the rest when asked for."""

    def __init__(self, server: Server, connect: bool = True, receive_buffer: int | None = None, **fields: Any) -> None:
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect((server.host, server.port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        self.info: dict[str, Any] = json.loads(self.line()[5:])
        if connect:
            self.send(b"CONNECT " + json.dumps({"verbose": False, "pedantic": False} | fields).encode() + b"\r\n")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        """Read one line, and return it without its CRLF; nothing at the end of the stream."""
        while b"\r\n" not in self.unread:
            if not self._read():
                return b""
        line, _, self.unread = self.unread.partition(b"\r\n")
        return line

    def take(self, size: int) -> bytes:
        """Read that many bytes."""
        parts = [self.unread]
        missing = size - len(self.unread)
        while missing > 0:
            part = self.socket.recv(min(missing, 1 << 16))
            assert part, "the server closed the connection"
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        self.unread = data[size:]
        return data[:size]

    def sync(self, data: bytes = b"") -> bytes:
        """Send data and a PING, and return what comes before the PONG."""
        self.send(data + b"PING\r\n")
        while b"PONG\r\n" not in self.unread:
            assert self._read(), f"the server closed the connection: {self.unread[-200:]!r}"
        before, _, self.unread = self.unread.partition(b"PONG\r\n")
        return before

    def rest(self) -> bytes:
        """Read to the end of the stream."""
        while self._read():
            pass
        rest, self.unread = self.unread, b""
        return rest

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close so that the server gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self) -> bool:
        try:
            part = self.socket.recv(1 << 16)
        except ConnectionResetError:  # how a close looks to one whose last bytes went unread
            part = b""
        self.unread += part
        return bool(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()
