"""What a client may put into the request that opens a WebSocket: headers and the path. All of it is checked before it is sent."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping

from midge.errors import InvalidHeaderError

__all__ = ["HeadersSource", "WebSocketHeaders", "check_path", "check_source", "read_headers"]

WebSocketHeaders = Mapping[str, str | Iterable[str]] | Iterable[tuple[str, str]]
HeadersSource = WebSocketHeaders | Callable[[], WebSocketHeaders | Awaitable[WebSocketHeaders]]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # no CR, LF or other control character: nobody adds a header or a request of their own
_PATH = re.compile(r"/?[\x21\x22\x24-\x7e]+")  # one line, no space, no fragment
_OURS = ("host", "upgrade", "connection", "content-length", "transfer-encoding")


def read_headers(headers: object) -> list[tuple[str, str]]:
    """Return headers as pairs of name and value. A name of a mapping may have several values.

    Raises:
        TypeError: they are no mapping of names to values, nor pairs.
        InvalidHeaderError: one cannot be sent, or belongs to the upgrade itself. Values are secrets and not shown.
    """
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(
            f"ws_headers is a mapping of names to values, or pairs, or a callback that gives such, not {type(headers).__name__}"
        )
    pairs: list[tuple[str, str]] = []
    for item in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError("ws_headers: each header is a pair of name and value")
        name, values = item
        for value in [values] if isinstance(values, str) or not isinstance(values, Iterable) else values:
            _check(name, value)
            pairs.append((name, value))
    return pairs


def check_source(headers: object) -> None:
    """Check the option ``ws_headers``; what a callback gives is checked when it does. Raises what ``read_headers`` raises."""
    if headers is not None and not callable(headers):
        read_headers(headers)


def check_path(path: object) -> None:
    """Check the option ``ws_proxy_path``.

    Raises:
        TypeError: it is no str.
        ValueError: it cannot stand in a request.
    """
    if path is None:
        return
    if not isinstance(path, str):
        raise TypeError(f"ws_proxy_path is a str, not {type(path).__name__}")
    if not _PATH.fullmatch(path):
        raise ValueError(f"ws_proxy_path {path!r}: a path is ASCII without spaces, such as /nats; escape what is not")


def _check(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"ws_headers: a name and its values are str, not {type(name).__name__} and {type(value).__name__}")
    if not _NAME.fullmatch(name):
        raise InvalidHeaderError(name, "no name of an HTTP header")
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        raise InvalidHeaderError(name, "it belongs to the upgrade itself")
    if not _VALUE.fullmatch(value):
        raise InvalidHeaderError(name, "its value holds what cannot stand in an HTTP header")
