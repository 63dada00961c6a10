"""Counters (ADR-49): messages whose payload is a number that grows by what the header ``Nats-Incr`` says, of any size."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.engine.headers import replaced, value_of

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["combined", "counted"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_SOURCES = b"Nats-Counter-Sources"


def counted(stream: Stream, subject: bytes, header: bytes, increment: int) -> tuple[bytes, bytes]:
    """Return header and payload of the message that adds to a subject's counter.

    Raises:
        ApiError: what is stored there is no counter (10172).
    """
    last = _last(stream, subject)
    if last is None:
        return header, _text(increment)
    total, sources = last
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
    total, sources = _last(stream, subject) or (0, {})
    its = _value(payload)
    fields = value_of(header, b"Nats-Stream-Source").decode("utf-8", "surrogateescape").split(" ")
    origin, name = fields[0], fields[4] if len(fields) > 4 else subject.decode("utf-8", "surrogateescape")
    counters = sources.setdefault(origin, {})
    before = counters.get(name, "")
    increment = its - (int(before) if _INTEGER.fullmatch(before) else 0)
    counters[name] = str(its)
    header = replaced(header, b"Nats-Incr", b"%d" % increment)
    return _with_sources(header, sources), _text(total + increment)


def _last(stream: Stream, subject: bytes) -> tuple[int, dict[str, dict[str, str]]] | None:
    """Return a subject's counter and what its sources' were; None where it has none yet."""
    last = stream.last_of(subject)
    message = stream.store.read(last) if last else None
    if message is None:
        return None
    try:
        sources = json.loads(value_of(message.header, _SOURCES) or b"{}") or {}
        if all(isinstance(name, str) for each in sources.values() for name in each.values()):
            return _value(message.payload), sources
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
