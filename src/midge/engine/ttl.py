"""How long a message lives: the header ``Nats-TTL`` (ADR-43), and durations as Go writes them."""

from __future__ import annotations

import re

from midge.engine.errors import ApiError

__all__ = ["NEVER", "parse_ttl", "show_seconds"]

NEVER = -1  # it does not expire, though others do
_UNITS = {b"ns": 1, b"us": 1_000, "µs".encode(): 1_000, "μs".encode(): 1_000, b"ms": 10**6, b"s": 10**9, b"m": 60 * 10**9, b"h": 3600 * 10**9}
_PIECE = re.compile(rb"([0-9]{0,18})(?:\.([0-9]{0,18}))?([^0-9.]+)")
_SECONDS = re.compile(rb"[0-9]{1,18}")


def parse_ttl(text: bytes) -> int:
    """Return the seconds, or NEVER.

    Raises:
        ApiError: it is neither a number of seconds, nor a duration of at least one, nor "never" (10165).
    """
    if text.lower() == b"never":
        return NEVER
    duration = _duration(text)
    if duration is not None:
        if duration < 10**9:
            raise ApiError(10165)
        return duration // 10**9
    if not _SECONDS.fullmatch(text):
        raise ApiError(10165)
    return int(text)


def show_seconds(seconds: int) -> bytes:
    """Return whole seconds as a time.Duration shows them: ``1h0m5s``."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    front = f"{hours}h{minute}m" if hours else f"{minute}m" if minute else ""
    return f"{front}{second}s".encode()


def _duration(text: bytes) -> int | None:
    """Return the nanoseconds of a duration, None where it is none."""
    rest = text[1:] if text[:1] in (b"+", b"-") else text
    if rest == b"0":
        return 0
    if not rest or len(rest) > 200:
        return None
    total = 0
    while rest:
        found = _PIECE.match(rest)
        if found is None or not (found[1] or found[2]) or found[3] not in _UNITS:
            return None
        scale, fraction = _UNITS[found[3]], found[2] or b""
        total += int(found[1] or b"0") * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)
        rest = rest[found.end() :]
    if total >= 1 << 63:
        return None
    return -total if text[:1] == b"-" else total
