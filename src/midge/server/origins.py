"""Which web pages may open a WebSocket, by the Origin that their browser says. Pure; the rules are nats-server's."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Origins", "read_origin"]

Origin = tuple[str, str, int]
_PORTS = {"http": 80, "https": 443}


class Origins:
    """The origins that are welcome: the server's own, those of a list, or what is both.

    Args:
        same: only the request's own host.
        allowed: only these URLs, of which scheme, host and port count.
        secure: the port has TLS.
    """

    def __init__(self, same: bool, allowed: Iterable[str], secure: bool) -> None:
        self._same = same
        self._allowed = {read_origin(each) for each in allowed}
        self._scheme = "https" if secure else "http"

    def refuse(self, origin: str, host: str) -> str | None:
        """Say why an origin is not welcome, None where it is. Who has none is no browser, and would be free to say anything.

        Args:
            host: what the request says in Host.
        """
        if not origin or not (self._same or self._allowed):
            return None
        try:
            found = read_origin(origin)
            own = read_origin(f"{self._scheme}://{host}")
        except ValueError as error:
            return str(error)
        if self._same and found != own:
            return "not same origin"
        if self._allowed and found not in self._allowed:
            return "not in the allowed list"
        return None


def read_origin(url: str) -> Origin:
    """Return scheme, host and port.

    Raises:
        ValueError: it is no URL of the web.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise ValueError("allowed origins must be absolute URLs with http or https scheme")
    if not parts.hostname:
        raise ValueError("host is required")
    return scheme, parts.hostname.lower(), parts.port or _PORTS[scheme]
