"""Entry: one revision of a key: a value, or a marker that it is deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from midge.message import Headers

__all__ = ["Entry", "Operation", "operation_of", "value_size"]

Operation = Literal["PUT", "DEL", "PURGE"]
_DIGITS = 18  # of a number that is taken for one
_OPERATION, _REASON, _SIZE = "KV-Operation", "Nats-Marker-Reason", "Nats-Msg-Size"


class Entry(NamedTuple):
    """What a bucket says of a key.

    Attributes:
        bucket, key: whose.
        value: the value; b"" for a marker, and where only the rest was asked for.
        revision: its number, which no other entry of the bucket has; later ones are greater.
        created: when it was stored.
        delta: how many of what was asked for come after it: 0 for the latest.
        operation: "PUT"; or "DEL" or "PURGE" for a marker, which the user has made, or the server where a lifetime has ended.
        size: bytes of the value as it is stored, also where it was not asked for.
    """

    bucket: str
    key: str
    value: bytes
    revision: int
    created: datetime
    delta: int
    operation: Operation
    size: int

    @property
    def is_deleted(self) -> bool:
        """True for a marker."""
        return self.operation != "PUT"


def operation_of(headers: Headers) -> Operation:
    """Return what the headers of a message say that it is (ADR-8, 48); a marker of a kind that nobody knows yet deletes, too."""
    operation = headers.get(_OPERATION)
    if operation is not None:
        return "PURGE" if operation == "PURGE" else "DEL"
    reason = headers.get(_REASON)
    if reason is None:
        return "PUT"
    return "PURGE" if reason in ("MaxAge", "Purge") else "DEL"


def value_size(headers: Headers, data: bytes) -> int:
    """Return the bytes of a value that may have been left out: then the server has added a header, behind those of the publisher."""
    sizes = None if data else headers.get_all(_SIZE)
    return int(sizes[-1]) if sizes and len(sizes[-1]) <= _DIGITS and sizes[-1].isdecimal() else len(data)
