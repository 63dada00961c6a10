"""Counters (ADR-49): messages whose payload is a number that grows by what the header ``Nats-Incr`` says, of any size."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.engine.headers import replaced, value_of

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["combined", "counted", "last_count"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_SOURCES = b"Nats-Counter-Sources"


def last_count(stream: Stream, subject: bytes) -> tuple[bytes, bytes] | None:
    """Return header and payload of a subject's last message, None where it has none."""
    last = stream.last_of(subject)
    message = stream.store.read(last) if last else None
    return None if message is None else (message.header, message.payload)


def counted(before: tuple[bytes, bytes] | None, header: bytes, increment: int) -> tuple[bytes, bytes]:
    """Return header and payload of the message that adds to a subject's counter.

    Args:
        before: header and payload of the subject's last message, None where there is none.
        header: of the message that counts.

    Raises:
        ApiError: what is stored there is no counter (10172).
    """
    if before is None:
        return header, _text(increment)
    total, sources = _read(before)
    if sources:
        header = _with_sources(header, sources)
    return header, _text(total + increment)


def combined(stream: Stream, subject: bytes, header: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """Return header and payload of the message that adds to a subject's counter what the counter of a source has grown by.

    The header ``Nats-Counter-Sources`` says what each source's counters were, by stream and subject there.

    Raises:
        ApiError: one of them is no counter (10172), or its message has no increment (10169).
    """
    if not _INTEGER.fullmatch(value_of(header, b"Nats-Incr").decode("ascii", "replace")):
        raise ApiError(10171 if value_of(header, b"Nats-Incr") else 10169)
    before = last_count(stream, subject)
    total, sources = (0, {}) if before is None else _read(before)
    its = _value(payload)
    fields = value_of(header, b"Nats-Stream-Source").decode("utf-8", "surrogateescape").split(" ")
    origin, name = fields[0], fields[4] if len(fields) > 4 else subject.decode("utf-8", "surrogateescape")
    counters = sources.setdefault(origin, {})
    had = counters.get(name, "")
    increment = its - (int(had) if _INTEGER.fullmatch(had) else 0)
    counters[name] = str(its)
    header = replaced(header, b"Nats-Incr", b"%d" % increment)
    return _with_sources(header, sources), _text(total + increment)


def _read(message: tuple[bytes, bytes]) -> tuple[int, dict[str, dict[str, str]]]:
    """Return a counter, and what its sources' were."""
    try:
        sources = json.loads(value_of(message[0], _SOURCES) or b"{}") or {}
        if all(isinstance(name, str) for each in sources.values() for name in each.values()):
            return _value(message[1]), sources
    except (ValueError, AttributeError, RecursionError):
        pass
    raise ApiError(10172)


def _value(payload: bytes) -> int:
    """Return the number of a counter's message."""
    try:
        value = json.loads(payload)["val"]
        return int(value) if _INTEGER.fullmatch(value) else 0  # as Go reads it
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ApiError(10172) from None


def _text(value: int) -> bytes:
    return b'{"val":"%d"}' % value


def _with_sources(header: bytes, sources: dict[str, dict[str, str]]) -> bytes:
    text = json.dumps(sources, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return replaced(header, _SOURCES, text.encode("utf-8", "surrogateescape"))
