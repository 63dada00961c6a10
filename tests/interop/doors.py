"""The same listeners twice: nats-server by a configuration file, ours by options; and what both say on them, in a form to compare."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from certificates import client_context
from nodes import Node, started

import midge

PATIENCE = 10.0
INFO_FIELDS = ("host", "proto", "headers", "auth_required", "tls_required", "tls_verify", "tls_available", "max_payload", "client_ip")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x11\x22\x33\x44"
WEBSOCKET = re.compile(r"websocket clients on wss?://(\S+):(\d+)")


class Doors(NamedTuple):
    """Where the two servers listen: client ports and WebSocket ports, nats-server's first."""

    ports: tuple[int, int]
    websockets: tuple[int, int]
    log: list[str]


@contextmanager
def doors(config: str, **options: Any) -> Iterator[Doors]:
    """Both servers; the configuration and the options say the same."""
    node = Node(config)
    with started(node), midge.Server(port=-1, **options) as server:
        found = next((found for line in node.log if (found := WEBSOCKET.search(line))), None)
        websocket = (int(found[2]), int(server.ws_url.rpartition(":")[2])) if found and server.ws_url else (0, 0)
        yield Doors((node.port, server.port), websocket, node.log)


def hear(port: int, data: bytes, *, end: bool = False) -> bytes:
    """Connect, send, and return all that comes until the server closes; with ``end``, our side is ended after what is sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        if data:
            sock.sendall(data)
        if end:
            sock.shutdown(socket.SHUT_WR)
        return rest(sock)


def rest(sock: socket.socket) -> bytes:
    """Read to the end."""
    heard = b""
    try:
        while part := sock.recv(65536):
            heard += part
    except ConnectionResetError:  # how a close looks to one whose last bytes went unread
        pass
    return heard


def upgrade(more: bytes = b"", path: bytes = b"/", host: bytes = b"h") -> bytes:
    """A request for a WebSocket."""
    head = b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" % (path, host)
    return head + b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n%b\r\n" % (KEY, more)


def frame(payload: bytes = b"", first: int = 0x82, *, masked: bool = True) -> bytes:
    """A frame as a client sends it."""
    bit = 128 if masked else 0
    size = bytes([bit | len(payload)]) if len(payload) < 126 else bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload)) if masked else payload
    return bytes([first]) + size + (MASK if masked else b"") + body


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """What a server's frames say: first bytes and payloads. How much of a message is in one frame is up to each; so they are joined."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        first, size = data[at], data[at + 1] & 127
        at += 2
        if size == 126:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        elif size == 127:
            size, at = int.from_bytes(data[at : at + 8], "big"), at + 8
        payload = data[at : at + size]
        at += size
        if found and found[-1][0] == first == 0x82:
            found[-1] = first, found[-1][1] + payload
        else:
            found.append((first, payload))
    return found


def level(text: bytes) -> bytes:
    """A server's words with INFO reduced to what must be the same."""
    return re.sub(rb"INFO (\{.*?\}) \r\n", lambda found: b"INFO " + reduce_info(found[1]) + b" \r\n", text)


def reduce_info(info: bytes) -> bytes:
    fields = json.loads(info)
    return json.dumps({name: fields[name] for name in INFO_FIELDS if name in fields}).encode()


class Secured:
    """A client by TLS, after INFO or at once.

    Attributes:
        greeting: what came in plain text before the handshake.
    """

    def __init__(self, port: int, *, first: bool = False, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.greeting = b""
        while not first and not self.greeting.endswith(b"\r\n"):
            part = plain.recv(1)
            if not part:
                break
            self.greeting += part
        self.socket = (context or client_context()).wrap_socket(plain, server_hostname="localhost")

    def talk(self, data: bytes) -> bytes:
        """Send, and return what comes up to a PONG, or to the end."""
        self.socket.sendall(data)
        heard = b""
        while b"PONG\r\n" not in heard:
            part = self.socket.recv(65536)
            if not part:
                break
            heard += part
        return heard

    def close(self) -> None:
        self.socket.close()
