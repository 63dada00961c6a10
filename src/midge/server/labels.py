"""Labels: how the log names a client, by what it says of itself and as whom it was let in. Nothing secret is in them."""

from __future__ import annotations

from midge.server.connect import Connect
from midge.server.identity import WEBSOCKET, Origin
from midge.server.quote import quote

__all__ = ["came_from", "describe", "who_tried"]


def came_from(address: str, cid: int, origin: Origin) -> str:
    """Return how a log line begins: WebSockets are numbered ``wid``, and may have come by a proxy that says for whom."""
    if origin.kind != WEBSOCKET:
        return f"{address} - cid:{cid}"
    return f"{origin.forwarded_for}/{address} - wid:{cid}" if origin.forwarded_for else f"{address} - wid:{cid}"


def describe(connect: Connect, user: str, account: str) -> str:
    """Return the part of the log prefix that names the client: ``"v1.2:go:name"``, then ``"$G/user:bob"``.

    Args:
        connect: what it said when it came.
        user: as whom it was let in, where nobody had to be named in CONNECT.
        account: the name of its account.
    """
    parts = ([f"v{connect.version}"] if connect.version else []) + [part for part in (connect.lang, connect.name) if part]
    who = f" - {_in_quotes(':'.join(parts))}" if parts else ""
    if connect.nkey:
        return f"{who} - {_in_quotes(f'{account}/nkey:{connect.nkey}')}"
    if connect.user or user:
        return f"{who} - {_in_quotes(f'{account}/user:{connect.user or user}')}"
    return f"{who} - {_in_quotes(f'{account}/token')}" if connect.auth_token else who


def who_tried(connect: Connect) -> str:
    """Return what the log says of a client that presented the wrong credentials."""
    if connect.nkey:
        return f" - Nkey {_in_quotes(connect.nkey)}"
    if connect.user:
        return f" - User {_in_quotes(connect.user)}"
    return ' - Token "[REDACTED]"' if connect.auth_token else ""


def _in_quotes(text: str) -> str:
    """Quote what a client says of itself: it must not be able to write log lines of its own."""
    return quote(text.encode("utf-8", "replace"))
