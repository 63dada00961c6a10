"""Counters (ADR-49): messages whose payload is a number that grows by what the header ``Nats-Incr`` says, of any size."""

from __future__ import annotations

import json
import re

from midge.engine.errors import ApiError
from midge.engine.headers import add, remove, value_of

__all__ = ["counted"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_SOURCES = b"Nats-Counter-Sources"


def counted(before: tuple[bytes, bytes] | None, header: bytes, increment: int) -> tuple[bytes, bytes]:
    """Return header and payload of the message that adds to a subject's counter.

    Args:
        before: header and payload of the subject's last message, None where there is none.
        header: of the message that counts.

    Raises:
        ApiError: what is stored there is no counter (10172).
    """
    if before is None:
        return header, b'{"val":"%d"}' % increment
    try:
        value = json.loads(before[1])["val"]
        sources = value_of(before[0], _SOURCES)
        if sources:
            header = add(
                remove(header, _SOURCES), _SOURCES, json.dumps(json.loads(sources), separators=(",", ":"), sort_keys=True).encode()
            )
        total = int(value) if _INTEGER.fullmatch(value) else 0  # as Go reads it
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ApiError(10172) from None
    return header, b'{"val":"%d"}' % (total + increment)
