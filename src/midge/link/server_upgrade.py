"""The server's part in opening a WebSocket, with nats-server's checks in its order and its answers, byte for byte up to the Date.

What is no HTTP/1 at all is refused as Go's HTTP server refuses it, which is what stands in front of nats-server's checks. Any answer but
101 is the last thing that is said on the connection. Bytes that come behind the request before it is answered are nobody's: the
connection is closed without a word.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable

from midge.errors import UpgradeError
from midge.link.upgrade import MAX_HEAD, take_head

__all__ = ["Request", "ServerUpgrade"]

BROWSER_FRAME = 4096  # browsers cope better with frames of this size (nats-server's wsFrameSizeForBrowsers)
WINDOW_BITS = 15
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_TARGET = re.compile(rb"(?:/|[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\x00-\x20\x7f%]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(rb"[A-Za-z0-9!$%&'()*+,\-.:;=@\[\]_~]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LINE_END = re.compile(rb"\r?\n")
_STATUS = {400: b"Bad Request", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed"}


class Request:
    """The head of an HTTP request.

    Attributes:
        method, target: as they were sent.
        is_old: it is HTTP/1.0.
        fields: names in lower case and values, in their order; several of one name may be there.
    """

    __slots__ = ("fields", "is_old", "method", "target")

    def __init__(self, method: bytes, target: bytes, is_old: bool, fields: list[tuple[bytes, bytes]]) -> None:
        self.method = method
        self.target = target
        self.is_old = is_old
        self.fields = fields

    def first(self, name: bytes) -> bytes:
        """Return the first field of this name; empty where there is none."""
        return next((value for key, value in self.fields if key == name), b"")

    def has(self, name: bytes, token: bytes) -> bool:
        """Return whether one of the fields of this name lists the token, in upper or lower case."""
        lists = (value.split(b",") for key, value in self.fields if key == name)
        return any(part.strip(b" \t").lower() == token for parts in lists for part in parts)

    @property
    def path(self) -> bytes:
        """The target without scheme, host and query."""
        path = self.target.partition(b"?")[0]
        return path if path.startswith(b"/") else b"/" + path.partition(b"://")[2].partition(b"/")[2]


class ServerUpgrade:
    """One connection's upgrade.

    Args:
        compress: agree to permessage-deflate where it is offered.
        refuse_origin: given the request, says why its origin is not welcome, or None; nobody's is unwelcome without it.
        headers: lines for the answer, each with its end.

    Attributes:
        request: the client's request, when the upgrade is done.
        complaint: what to log of a request that was refused; empty where it was not even HTTP.
    """

    __slots__ = (
        "_compress", "_head", "_headers", "_refuse_origin", "answer", "complaint", "frame_size", "masks", "peer_masks", "request",
        "window_bits",
    )  # fmt: skip

    def __init__(self, compress: bool, refuse_origin: Callable[[Request], str | None] | None = None, headers: bytes = b"") -> None:
        self._compress = compress
        self._refuse_origin = refuse_origin
        self._headers = headers
        self._head = bytearray()
        self.request: Request | None = None
        self.complaint = ""
        self.masks = False
        self.peer_masks = True
        self.frame_size = 0
        self.answer = b""
        self.window_bits: tuple[int, int] | None = None

    def begin(self) -> bytes:
        return b""

    def receive(self, chunk: bytearray, size: int) -> int:
        used = take_head(self._head, chunk, size)
        if used < 0:
            if len(self._head) >= MAX_HEAD:
                raise self._malformed(431, "Request Header Fields Too Large")
            return -1
        request = self._parse(bytes(self._head))
        self._head.clear()
        self._check(request)
        if used < size:
            raise self._refuse(request, 0, "client sent data before handshake is complete")
        self._accept(request)
        return used

    # HTTP

    def _parse(self, head: bytes) -> Request:
        """Return the request, where it is one that Go's HTTP server would hand on."""
        line, *lines = _LINE_END.split(head)[:-2]
        method, _, rest = line.partition(b" ")
        target, blank, protocol = rest.partition(b" ")
        version = _VERSION.fullmatch(protocol)
        if not blank or version is None or not _TOKEN.fullmatch(method):
            raise self._malformed(400, "Bad Request")
        if version[1] != b"1":
            raise self._malformed(505, "HTTP Version Not Supported: unsupported protocol version")
        if not _TARGET.fullmatch(target):
            raise self._malformed(400, "Bad Request")
        fields = self._fields(lines)
        is_old = version[2] == b"0"
        hosts = [value for name, value in fields if name == b"host"]
        if not hosts and not is_old:
            raise self._malformed(400, "Bad Request: missing required Host header")
        if len(hosts) > 1:
            raise self._malformed(400, "Bad Request")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise self._malformed(400, "Bad Request: malformed Host header")
        return Request(method, target, is_old, fields)

    def _fields(self, lines: list[bytes]) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = []
        for line in lines:
            if line[:1] in (b" ", b"\t"):  # it goes on with the line before
                if not fields:
                    raise self._malformed(400, "Bad Request")
                fields[-1] = fields[-1][0], fields[-1][1] + b" " + line.strip(b" \t")
                continue
            name, colon, value = line.partition(b":")
            if not colon or _CONTROL.search(value):
                raise self._malformed(400, "Bad Request")
            if not _TOKEN.fullmatch(name):
                raise self._malformed(400, "Bad Request: invalid header name")
            fields.append((name.lower(), value.strip(b" \t")))
        return fields

    def _malformed(self, status: int, text: str) -> UpgradeError:
        """Refuse what is no request, as Go's HTTP server does."""
        line = f"{status} {text}"
        head = f"HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        self.answer = f"{head}{line}".encode()
        return UpgradeError(status, text)

    # What makes it a WebSocket

    def _check(self, request: Request) -> None:
        """Make nats-server's checks, in its order (``wsUpgrade``)."""
        if request.path.endswith(b"/mqtt"):
            raise self._refuse(request, 404, "mqtt websocket endpoint not enabled")
        if request.method != b"GET":
            raise self._refuse(request, 405, "request method must be GET")
        if not request.first(b"host"):
            raise self._refuse(request, 400, "'Host' missing in request")
        if not request.has(b"upgrade", b"websocket"):
            raise self._refuse(request, 400, "invalid value for header 'Upgrade'")
        if not request.has(b"connection", b"upgrade"):
            raise self._refuse(request, 400, "invalid value for header 'Connection'")
        key = request.first(b"sec-websocket-key")
        if not key:
            raise self._refuse(request, 400, "key missing")
        if not _is_key(key):
            raise self._refuse(request, 400, "invalid websocket key")
        if not request.has(b"sec-websocket-version", b"13"):
            raise self._refuse(request, 400, "invalid version")
        reason = self._refuse_origin(request) if self._refuse_origin is not None else None
        if reason is not None:
            raise self._refuse(request, 403, f"origin not allowed: {reason}")

    def _refuse(self, request: Request, status: int, complaint: str) -> UpgradeError:
        """Refuse a request; with status 0, without an answer."""
        self.complaint = f"websocket handshake error: {complaint}"
        if status:
            from email.utils import formatdate  # a few milliseconds, which no start has to wait for

            text = _STATUS[status]
            lines = (
                b"HTTP/1.%d %d %b" % (not request.is_old, status, text),
                b"Content-Type: text/plain; charset=utf-8",
                b"Sec-Websocket-Version: 13",
                b"X-Content-Type-Options: nosniff",
                b"Date: " + formatdate(usegmt=True).encode(),
                b"Content-Length: %d" % (len(text) + 1),
                b"",
                text + b"\n" if request.method != b"HEAD" else b"",
            )
            self.answer = b"\r\n".join(lines)
        return UpgradeError(status or None, complaint)

    def _accept(self, request: Request) -> None:
        self.request = request
        offers = (part.strip(b" \t").lower() for key, value in request.fields if key == b"sec-websocket-extensions"
                  for offer in value.split(b",") for part in offer.split(b";"))  # fmt: skip
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + base64.b64encode(hashlib.sha1(request.first(b"sec-websocket-key") + _GUID).digest()),
        ]
        if self._compress and b"permessage-deflate" in offers:
            lines.append(b"Sec-WebSocket-Extensions: " + _DEFLATE)
            self.window_bits = WINDOW_BITS, WINDOW_BITS
        if request.first(b"nats-no-masking") == b"true":
            lines.append(b"Nats-No-Masking: true")
            self.peer_masks = False
        if request.first(b"user-agent").startswith(b"Mozilla/"):
            self.frame_size = BROWSER_FRAME
        self.answer = b"\r\n".join(lines) + b"\r\n" + self._headers + b"\r\n"
        if request.path.endswith(b"/leafnode"):  # nats-server, too, finds out only now that it has none
            self.complaint = "Not configured to accept leaf node connections"
            raise UpgradeError(None, "leaf node connections are not accepted")


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
