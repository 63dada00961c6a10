"""What a server's -ERR means: which error it is, what it concerns, and which subscription.

A server says ``-ERR 'text'`` and the text is all there is. Whether the connection goes on is for the server to decide: it closes
the connection itself where it does not, so a text that we do not know is reported and ends nothing. TABLE holds what we know, as
nats-server 2.15 says it; the case of letters does not count.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from typing import NamedTuple

from midge.errors import (
    AuthorizationError,
    InvalidOperationError,
    PermissionsViolationError,
    ServerDisconnectError,
    ServerError,
    TooManySubscriptionsError,
)

__all__ = ["Concern", "Refusal", "read_refusal"]


class Concern(Enum):
    """What an -ERR concerns, and what comes of it."""

    OPERATION = "one operation: the connection goes on"
    AUTHORIZATION = "our credentials: the server closes, and may let us in with others"
    CONNECTION = "the connection: the server closes, and it or another may let us in again"
    FATAL = "something that we sent: the server closes, and will again if we repeat it"
    UNKNOWN = "nobody knows: the connection goes on unless the server closes it"


# What a text holds, in lower case; the first row that fits.
TABLE: tuple[tuple[str, type[ServerError], Concern], ...] = (
    ("permissions violation", PermissionsViolationError, Concern.OPERATION),
    ("maximum subscriptions exceeded", TooManySubscriptionsError, Concern.OPERATION),
    ("invalid subject", InvalidOperationError, Concern.OPERATION),
    ("invalid publish subject", InvalidOperationError, Concern.OPERATION),
    ("message headers not supported", InvalidOperationError, Concern.OPERATION),
    ("authorization violation", AuthorizationError, Concern.AUTHORIZATION),
    ("authentication timeout", AuthorizationError, Concern.AUTHORIZATION),
    ("authentication expired", AuthorizationError, Concern.AUTHORIZATION),  # of a user or of an account
    ("authentication revoked", AuthorizationError, Concern.AUTHORIZATION),
    ("stale connection", ServerDisconnectError, Concern.CONNECTION),
    ("maximum connections exceeded", ServerDisconnectError, Concern.CONNECTION),
    ("maximum account active connections exceeded", ServerDisconnectError, Concern.CONNECTION),
    ("connection throttling is active", ServerDisconnectError, Concern.CONNECTION),
    ("server shutdown", ServerDisconnectError, Concern.CONNECTION),
    ("slow consumer", ServerDisconnectError, Concern.FATAL),
    ("maximum payload violation", ServerDisconnectError, Concern.FATAL),
    ("maximum control line exceeded", ServerDisconnectError, Concern.FATAL),
    ("parser error", ServerDisconnectError, Concern.FATAL),
    ("unknown protocol operation", ServerDisconnectError, Concern.FATAL),
    ("invalid client protocol", ServerDisconnectError, Concern.FATAL),
    ("no responders requires headers support", ServerDisconnectError, Concern.FATAL),
    ("secure connection - tls required", ServerDisconnectError, Concern.FATAL),
    ("attempted to connect to", ServerDisconnectError, Concern.FATAL),  # the port of routes, gateways or leaf nodes
)
# A quoted name ends at the first quotation mark that is not escaped: there is nothing to search, however long a hostile text is.
_NAME = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_SUBSCRIPTION = re.compile(
    rf'permissions violation for subscription to {_NAME}(?: using queue {_NAME})?(?: \(sid "?(\d{{1,18}})"?\))?', re.I
)
_PUBLISH = re.compile(rf"permissions violation for publish (to|with reply of) {_NAME}", re.I)
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)")
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_TOO_MANY_TOKENS = "too many tokens"  # said of a subscription with or without a queue group, which is not named


class Refusal(NamedTuple):
    """An -ERR.

    Attributes:
        error: what to raise or report.
        concern: what it concerns.
        subject, queue: the subscription that was refused, None where it is not about one.
        sid: the subscription's id, where the server says it: nats-server does so of subscriptions that it takes back.
        any_queue: the text does not say of which queue group the subscription is.
    """

    error: ServerError
    concern: Concern = Concern.UNKNOWN
    subject: str | None = None
    queue: str | None = None
    sid: int | None = None
    any_queue: bool = False


def read_refusal(text: str) -> Refusal:
    """Read the text of an -ERR."""
    folded = text.lower()
    kind, concern = next(((kind, concern) for part, kind, concern in TABLE if part in folded), (ServerError, Concern.UNKNOWN))
    if kind is not PermissionsViolationError:
        return Refusal(kind(text), concern)
    if (found := _SUBSCRIPTION.match(text)) is not None:
        subject, queue = _unquote(found[1]), None if found[2] is None else _unquote(found[2])
        error = PermissionsViolationError(text, "subscribe", subject, queue)
        return Refusal(error, concern, subject, queue, None if found[3] is None else int(found[3]), _TOO_MANY_TOKENS in folded)
    if (found := _PUBLISH.match(text)) is not None:
        return Refusal(PermissionsViolationError(text, "publish" if found[1].lower() == "to" else "reply", _unquote(found[2])), concern)
    return Refusal(PermissionsViolationError(text), concern)


def _unquote(quoted: str) -> str:
    """Undo what Go's %q does to a text, and to bytes that are none."""
    return _ESCAPE.sub(_unescape, quoted.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _unescape(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    if len(escape) == 1:
        return _LETTERS.get(escape, escape)
    code = int(escape[1:], 16)
    return bytes([code]) if escape[:1] == b"x" else chr(min(code, sys.maxunicode)).encode("utf-8", "replace")
