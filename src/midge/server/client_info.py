"""What the server tells others of a client: the services that it asks (``Nats-Request-Info``) and those who measure them. Pure.

JSON as Go writes it: no blanks, empty fields left out, ``<``, ``>`` and ``&`` escaped.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

__all__ = ["REQUEST_INFO", "describe", "go_json", "issuer_of", "nanoseconds", "timestamp", "with_header"]

REQUEST_INFO = b"Nats-Request-Info"
_VERSION_LINE = b"NATS/1.0\r\n"
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def describe(session: Any, server_name: str, epoch: float) -> dict[str, object]:
    """Return all that those may know of a client to whom its account shows it. ``epoch`` is the time of day when the clock was 0."""
    connect = session.connect
    host = session.address.rpartition(":")[0].strip("[]")
    user = connect.nkey or connect.user or ("[REDACTED]" if connect.auth_token else "")
    found = {
        "start": timestamp(epoch + session.started),
        "host": host,
        "id": session.cid,
        "acc": session.account.name,
        "svc": "",  # its place, for requests that go through several accounts
        "user": user,
        "name": connect.name,
        "lang": connect.lang,
        "ver": connect.version,
        "rtt": nanoseconds(session.rtt),
        "server": server_name,
        "issuer_key": issuer_of(session),
        "kind": session.kind,
        "client_type": "websocket" if session.origin.kind == "WEBSOCKET" else "nats",
    }
    return {name: value for name, value in found.items() if value or name == "svc"}


def issuer_of(session: Any) -> str:
    """Return who vouches for a client that has signed with an nkey: without operators, nats-server names the account of its user."""
    nkey = session.connect.nkey
    return str(session.identity.account) if nkey and nkey == session.identity.name else ""


def go_json(value: object) -> bytes:
    """Return a value as Go encodes it. What is no UTF-8 becomes the replacement character."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


def nanoseconds(seconds: float | None) -> int:
    """Return a duration as Go counts it; nothing is 0."""
    return 0 if seconds is None else max(0, int(seconds * 1e9))


def timestamp(seconds: float) -> str:
    """Return a time of day as Go writes it, in UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def with_header(header: bytes, name: bytes, value: bytes) -> bytes:
    """Return a header block, which may be empty, in which one header has this value and nothing else has its name."""
    if len(header) <= 2:
        return b"%b%b: %b\r\n\r\n" % (_VERSION_LINE, name, value)
    kept = header[:-2]
    mark = b"\r\n%b:" % name
    pieces = []  # once through, however often it has the name: there is room for fifty thousand in a message
    start = search = 0
    while (at := kept.find(mark, search)) >= 0 and (end := kept.find(b"\r\n", at + 2)) >= 0:
        pieces.append(kept[start : at + 2])
        start, search = end + 2, end
    kept = b"".join((*pieces, kept[start:]))
    return b"%b%b: %b\r\n\r\n" % (kept if len(kept) > len(_VERSION_LINE) else _VERSION_LINE, name, value)
