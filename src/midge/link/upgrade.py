"""How a connection becomes a WebSocket (RFC 6455, section 4): one HTTP request, one answer, on the ``websockets`` library's sans-I/O half.

An upgrade is told what comes until it knows where the head of the HTTP message ends; from there on the bytes are frames. It takes
16 KiB of head at most, and of an answer that refuses nothing behind the head.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Protocol

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from midge.errors import UpgradeError

__all__ = ["MAX_HEAD", "ClientUpgrade", "ServerUpgrade", "Upgrade"]

MAX_HEAD = 16384
_BEGINNING = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r\n")
_REASON_SIZE = 200
_QUIET = logging.Logger("midge.link.upgrade", logging.CRITICAL + 1)  # the library would log headers, and they may hold secrets


class Upgrade(Protocol):
    """One side's part.

    Attributes:
        masks: frames sent from this side are masked: it is the client's.
        answer: what to send when ``receive`` has returned, or has raised.
        window_bits: the windows for what this side deflates and inflates, None where messages are not deflated.
    """

    masks: bool
    answer: bytes
    window_bits: tuple[int, int] | None

    def begin(self) -> bytes:
        """Return what is to be sent first."""

    def receive(self, chunk: bytearray, size: int) -> int:
        """Take chunk[:size]; return how much of it belongs to the upgrade, which is done then, or -1 if more is to come.

        Raises:
            UpgradeError: there will be no WebSocket.
        """


class ClientUpgrade:
    """The client's part.

    Args:
        host, port, secure: whom to ask, for the header Host.
        path: for the request line; a query may follow it.
        headers: more headers, as they are to be sent; checked by who gives them.
        compress: offer permessage-deflate.
    """

    __slots__ = ("_head", "_protocol", "_request", "answer", "masks", "window_bits")

    def __init__(self, host: str, port: int, secure: bool, path: str, headers: Iterable[tuple[str, str]], compress: bool) -> None:
        extensions = None
        if compress:  # no context takeover, which nats-server demands as well; nothing of windows, as nats.go does
            extensions = [ClientPerMessageDeflateFactory(True, True, None, None)]
        self._protocol = ClientProtocol(WebSocketURI(secure, host, port, path, ""), extensions=extensions, logger=_QUIET)
        request = self._protocol.connect()
        for name, value in headers:
            request.headers[name] = value
        self._request = request.serialize()
        self._head = bytearray()
        self.masks = True
        self.answer = b""
        self.window_bits: tuple[int, int] | None = None

    def begin(self) -> bytes:
        return self._request

    def receive(self, chunk: bytearray, size: int) -> int:
        used = _take_head(self._head, chunk, size)
        head = bytes(self._head)
        if not head.startswith(_BEGINNING[: len(head)]):
            raise UpgradeError(None, "what answers does not speak HTTP; is it another port, or one with TLS?")
        if used < 0:
            if len(head) >= MAX_HEAD:
                raise UpgradeError(None, f"the answer's headers are longer than {MAX_HEAD} bytes")
            return -1
        status = _STATUS.match(head)
        if status is None:
            raise UpgradeError(None, "what answers does not speak HTTP/1.1")
        if status[1] != b"101":
            raise UpgradeError(int(status[1]), _readable(status[2] or b""))
        self._protocol.receive_data(head)
        if self._protocol.handshake_exc is not None:
            problem = self._protocol.handshake_exc
            raise UpgradeError(101, _readable(str(problem).encode("latin-1", "replace"))) from problem.with_traceback(None)
        self.window_bits = _window_bits(self._protocol.extensions)
        return used


class ServerUpgrade:
    """The server's part. Any path, and any origin, is welcome.

    Args:
        compress: agree to permessage-deflate where it is offered.

    Attributes:
        request: the client's request, when the upgrade is done.
    """

    __slots__ = ("_head", "_protocol", "answer", "masks", "request", "window_bits")

    def __init__(self, compress: bool) -> None:
        extensions = [ServerPerMessageDeflateFactory(True, True)] if compress else None
        self._protocol = ServerProtocol(extensions=extensions, logger=_QUIET)
        self._head = bytearray()
        self.request: Request | None = None
        self.masks = False
        self.answer = b""
        self.window_bits: tuple[int, int] | None = None

    def begin(self) -> bytes:
        return b""

    def receive(self, chunk: bytearray, size: int) -> int:
        used = _take_head(self._head, chunk, size)
        if used < 0:
            if len(self._head) >= MAX_HEAD:
                self._refuse(431, "Request Header Fields Too Large")
            return -1
        self._protocol.receive_data(bytes(self._head))
        requests = self._protocol.events_received()
        if not requests or not isinstance(requests[0], Request):
            self._refuse(400, "Bad Request")
        else:
            self.request = requests[0]
            response = self._protocol.accept(self.request)
            self._protocol.send_response(response)
            self.answer = b"".join(self._protocol.data_to_send())
            if self._protocol.handshake_exc is not None:
                raise UpgradeError(response.status_code, _readable(str(self._protocol.handshake_exc).encode()))
            self.window_bits = _window_bits(self._protocol.extensions)
        return used

    def _refuse(self, status: int, reason: str) -> None:
        self.answer = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
        raise UpgradeError(status, reason)


def _take_head(head: bytearray, chunk: bytearray, size: int) -> int:
    """Take as much of chunk[:size] as belongs to the head of the HTTP message; return how much, or -1 if that is not all of it.

    At most MAX_HEAD bytes are taken in all.
    """
    before = len(head)
    head += memoryview(chunk)[: min(size, MAX_HEAD - before)]
    end = head.find(b"\r\n\r\n", max(0, before - 3))
    if end < 0:
        return -1
    del head[end + 4 :]
    return end + 4 - before


def _window_bits(extensions: Iterable[object]) -> tuple[int, int] | None:
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate):
            return extension.local_max_window_bits, extension.remote_max_window_bits
    return None


def _readable(reason: bytes) -> str:
    """Return a reason as it may be shown: it is the peer's."""
    return "".join(character if character.isprintable() else "?" for character in reason[:_REASON_SIZE].decode("latin-1"))
