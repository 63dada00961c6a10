"""Durations as Go writes and reads them: ``1h30m``, ``250ms``."""

from __future__ import annotations

import re

from midge.quote import quote

__all__ = ["parse_duration", "show_duration"]

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PIECE = re.compile(r"([0-9]*)(?:\.([0-9]*))?")
_UNIT = re.compile(r"[^0-9.]+")
_LIMIT = 1 << 63


def parse_duration(text: str) -> float:
    """Return the seconds.

    Raises:
        ValueError: it is no duration; the text is Go's.
    """
    name = quote(text.encode("utf-8", "surrogateescape"))
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not rest or len(rest) > 200:
        raise ValueError(f"time: invalid duration {name}")
    total = 0
    while rest:
        found = _PIECE.match(rest)
        if found is None or not (found[1] or found[2]):
            raise ValueError(f"time: invalid duration {name}")
        rest = rest[found.end() :]
        unit = _UNIT.match(rest)
        if unit is None:
            raise ValueError(f"time: missing unit in duration {name}")
        rest = rest[unit.end() :]
        if unit[0] not in _UNITS:
            raise ValueError(f"time: unknown unit {quote(unit[0].encode())} in duration {name}")
        scale, fraction = _UNITS[unit[0]], found[2] or ""
        total += int(found[1] or "0") * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)
        if total >= _LIMIT:
            raise ValueError(f"time: invalid duration {name}")
    return (-total if text[0] == "-" else total) / 1e9


def show_duration(seconds: float) -> str:
    """Return it as Go shows it."""
    nanos = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 else ""
    if nanos == 0:
        return "0s"
    if nanos < 10**9:
        unit, scale = ("ns", 1) if nanos < 1_000 else ("µs", 1_000) if nanos < 1_000_000 else ("ms", 1_000_000)
        return f"{sign}{_decimal(nanos, scale)}{unit}"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    front = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{front}{_decimal(rest, 10**9)}s"


def _decimal(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    return f"{whole}.{str(rest).zfill(len(str(scale)) - 1).rstrip('0')}" if rest else str(whole)
