"""The addresses of servers: URLs in every spelling that NATS clients take, parsed into host, port and credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

__all__ = ["DEFAULT_PORT", "Address", "parse_servers"]

DEFAULT_PORT = 4222
_LATER = ("tls", "ws", "wss")


@dataclass(frozen=True, slots=True)
class Address:
    """One server. Credentials of the URL win over the options'."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nats://{host}:{self.port}"


def parse_servers(servers: str | Iterable[str]) -> list[Address]:
    """Parse one URL, several separated by commas, or a list of such.

    Raises:
        ValueError: a URL makes no sense, there is none, or its scheme is not supported.
    """
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
        raise ValueError(f"bad server URL {_redact(url)!r}: its port is not a number from 0 to 65535") from None
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
