"""Where servers are: URLs in every spelling that NATS clients take, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from midge.client.secrets import text_problem

__all__ = ["DEFAULT_PORT", "Address", "parse_servers"]

DEFAULT_PORT = 4222
DEFAULT_PORTS = {"nats": DEFAULT_PORT, "tls": DEFAULT_PORT, "ws": 80, "wss": 443}
WEBSOCKET_SCHEMES = ("ws", "wss")
_ONE_SLASH = re.compile(r"[a-z]+:/(?!/)", re.I)


@dataclass(frozen=True, slots=True)
class Address:
    """One server.

    Attributes:
        host, port: where it is.
        user, password, token: credentials of the URL; they win over the options'.
        scheme: "nats", "tls", "ws" or "wss".
        path: what follows the port, for a WebSocket only.
        server_name: the name that its certificate must hold, where that is not ``host``: a server that was discovered by its IP address
            is known by the name of the one that told of it.
        discovered: another server told of it; the application did not.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    scheme: str = "nats"
    path: str = ""
    server_name: str | None = None
    discovered: bool = False

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return str(self)

    @property
    def is_websocket(self) -> bool:
        return self.scheme in WEBSOCKET_SCHEMES

    @property
    def wants_tls(self) -> bool:
        """True if the URL asks for TLS; a server that has none must not be spoken to."""
        return self.scheme in ("tls", "wss")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_servers(servers: str | Iterable[str]) -> list[Address]:
    """Parse one URL, several separated by commas, or a list of such.

    Raises:
        ValueError: a URL makes no sense, there is none, or some are WebSockets and some are not.
        TypeError: no URL, nor a list of such.
    """
    if not isinstance(servers, Iterable) or isinstance(servers, (bytes, bytearray)):
        raise TypeError(f"servers: a URL such as nats://127.0.0.1:4222, a list of such, or a midge.Server, not {servers!r}")
    texts = [servers] if isinstance(servers, str) else list(servers)
    addresses = [_parse(url.strip()) for text in texts for url in _split(text)]
    if not addresses:
        raise ValueError("no server given")
    if len({address.is_websocket for address in addresses}) > 1:
        raise ValueError("servers: either all are WebSockets (ws://, wss://) or none is")
    return addresses


def _split(text: object) -> list[str]:
    if not isinstance(text, str):
        raise ValueError(f"a server is a URL such as nats://127.0.0.1:4222, not {text!r}")
    return [part for part in text.split(",") if part.strip()]


def _parse(url: str) -> Address:
    if typo := _ONE_SLASH.match(url):
        raise ValueError(f"bad server URL: it begins with {typo[0]!r} instead of {typo[0] + '/'!r}")
    if "://" not in url:
        url = f"nats://{url}"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # its text may hold the whole URL, and so a password
        raise ValueError(f"bad server URL {_redact(url)!r}: it is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"server URL {_redact(url)!r}: unknown scheme {parts.scheme!r}, expected nats://, tls://, ws:// or wss://")
    if not host or any(character.isspace() or not character.isprintable() for character in host):
        raise ValueError(f"bad server URL {_redact(url)!r}: it names no host")
    try:
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:  # its text names what stands for the port: part of a password, where that holds a slash or a comma
        reason = "what follows the host is no port from 0 to 65535 (not shown, as it may be part of a password)"
        raise ValueError(f"bad server URL {_redact(url)!r}: {reason}") from None
    path = parts.path if parts.scheme in WEBSOCKET_SCHEMES and parts.path != "/" else ""
    if (parts.path not in ("", "/") and not path) or parts.query or parts.fragment:
        raise ValueError(f"bad server URL {_redact(url)!r}: nothing may follow the port")
    user = password = token = None
    if parts.password or (parts.username and parts.password is not None):
        user, password = unquote(parts.username or ""), unquote(parts.password)
    elif parts.username:
        token = unquote(parts.username)
    if problem := text_problem((user or "") + (password or "") + (token or "")):
        raise ValueError(f"bad server URL {_redact(url)!r}: what stands before the host {problem}")
    return Address(host, port, user, password, token, parts.scheme, path)


def _redact(url: str) -> str:
    """Return the URL without what may be a secret: it goes into an error, and errors go into logs.

    That is everything before the last ``@``, and everything after the host that is not a port.
    """
    scheme, _, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    host = re.match(r"(?:\[[^\]]*\]|[^:/?#]*)(?::[0-9]+)?", place)
    assert host is not None
    return f"{scheme}://{'***@' if at else ''}{host[0]}{'***' if host.end() < len(place) else ''}"
