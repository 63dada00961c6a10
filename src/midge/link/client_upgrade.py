"""How a client opens a WebSocket (RFC 6455, section 4.1): one HTTP request, one answer, on the ``websockets`` library's sans-I/O half.

It is told what comes until it knows where the head of the answer ends; from there on the bytes are frames. Of an answer that refuses,
nothing behind the head is read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.uri import WebSocketURI

from midge.errors import UpgradeError
from midge.link.upgrade import MAX_HEAD, readable, take_head

__all__ = ["ClientUpgrade"]

_BEGINNING = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r\n")
_QUIET = logging.Logger("midge.link.upgrade", logging.CRITICAL + 1)  # the library would log headers, and they may hold secrets


class ClientUpgrade:
    """The client's part.

    Args:
        host, port, secure: whom to ask, for the header Host.
        path: for the request line; a query may follow it.
        headers: more headers, as they are to be sent; checked by who gives them.
        compress: offer permessage-deflate.
    """

    __slots__ = ("_head", "_protocol", "_request", "answer", "frame_size", "masks", "peer_masks", "window_bits")

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
        self.peer_masks = False
        self.frame_size = 0
        self.answer = b""
        self.window_bits: tuple[int, int] | None = None

    def begin(self) -> bytes:
        return self._request

    def receive(self, chunk: bytearray, size: int) -> int:
        used = take_head(self._head, chunk, size)
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
            raise UpgradeError(int(status[1]), readable(status[2] or b""))
        self._protocol.receive_data(head)
        if self._protocol.handshake_exc is not None:
            problem = self._protocol.handshake_exc
            raise UpgradeError(101, readable(str(problem).encode("latin-1", "replace"))) from problem.with_traceback(None)
        self.window_bits = _window_bits(self._protocol.extensions)
        return used


def _window_bits(extensions: Iterable[object]) -> tuple[int, int] | None:
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate):
            return extension.local_max_window_bits, extension.remote_max_window_bits
    return None
