"""The servers of one client: URLs in every spelling that NATS clients take, and the pool of those that may be connected to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["DEFAULT_PORT", "Address", "ServerPool", "parse_servers"]

DEFAULT_PORT = 4222
_LATER = ("tls", "ws", "wss")
_ONE_SLASH = re.compile(r"[a-z]+:/(?!/)", re.I)


@dataclass(frozen=True, slots=True)
class Address:
    """One server. Credentials of the URL win over the options'."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return str(self)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nats://{host}:{self.port}"


class ServerPool:
    """The servers that a client may connect to, in the order in which they are tried, and what each refused last.

    Args:
        servers: addresses, or a server of this process; each says where it is in its ``url``.
    """

    def __init__(self, servers: Iterable[Any]) -> None:
        self._servers = list(servers)
        self._refusals: dict[int, BaseException] = {}

    def candidates(self) -> list[Any]:
        """Return the servers in the order in which they are to be tried."""
        return list(self._servers)

    def note_refusal(self, server: Any, error: BaseException) -> None:
        """An attempt has failed."""
        self._refusals[self._servers.index(server)] = error

    def note_success(self, server: Any) -> None:
        """An attempt has succeeded: what the server refused before is forgotten."""
        self._refusals.pop(self._servers.index(server), None)

    def refusals(self) -> list[tuple[str, BaseException]]:
        """Return (url, error) of each server that refused last time it was tried."""
        return [(server.url, self._refusals[i]) for i, server in enumerate(self._servers) if i in self._refusals]


def parse_servers(servers: str | Iterable[str]) -> list[Address]:
    """Parse one URL, several separated by commas, or a list of such.

    Raises:
        ValueError: a URL makes no sense, there is none, or its scheme is not supported.
        TypeError: no URL, nor a list of such.
    """
    if not isinstance(servers, Iterable) or isinstance(servers, (bytes, bytearray)):
        raise TypeError(f"servers: a URL such as nats://127.0.0.1:4222, a list of such, or a midge.Server, not {servers!r}")
    texts = [servers] if isinstance(servers, str) else list(servers)
    addresses = [_parse(url.strip()) for text in texts for url in _split(text)]
    if not addresses:
        raise ValueError("no server given")
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
    if parts.scheme in _LATER:
        raise ValueError(f"server URL {_redact(url)!r}: {parts.scheme}:// is not supported yet, only nats://")
    if parts.scheme != "nats":
        raise ValueError(f"server URL {_redact(url)!r}: unknown scheme {parts.scheme!r}, expected nats://")
    if not host or any(character.isspace() for character in host):
        raise ValueError(f"bad server URL {_redact(url)!r}: it names no host")
    try:
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:  # its text names what stands for the port: part of a password, where that holds a slash or a comma
        reason = "what follows the host is no port from 0 to 65535 (not shown, as it may be part of a password)"
        raise ValueError(f"bad server URL {_redact(url)!r}: {reason}") from None
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"bad server URL {_redact(url)!r}: nothing may follow the port")
    if not parts.username and not parts.password:
        return Address(host, port)
    user = unquote(parts.username or "")
    if parts.password is None:
        return Address(host, port, token=user)
    return Address(host, port, user=user, password=unquote(parts.password))


def _redact(url: str) -> str:
    """Return the URL without what may be a secret: it goes into an error, and errors go into logs.

    That is everything before the last ``@``, and everything after the host that is not a port.
    """
    scheme, _, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    host = re.match(r"(?:\[[^\]]*\]|[^:/?#]*)(?::[0-9]+)?", place)
    assert host is not None
    return f"{scheme}://{'***@' if at else ''}{host[0]}{'***' if host.end() < len(place) else ''}"
