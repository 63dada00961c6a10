"""How Go writes things, for those who read what nats-server says: times, durations, JSON, and its errors about numbers.

Tools parse these texts, so they are Go's to the letter: ``669µs``, ``1d2h3m4s``, ``2026-11-26T01:36:28.0426Z``, and ``\\u003c`` for ``<``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from midge.quote import quote

__all__ = ["duration", "escaped", "json_plain", "parse_bool", "parse_int", "parse_uint", "size", "timestamp", "uptime", "wall_time"]

_INT_BITS = 63
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_UNITS = ((1_000, "µs"), (1_000_000, "ms"))
_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def duration(nanoseconds: int) -> str:
    """Return a time.Duration of less than an hour as Go's String writes it: ``0s``, ``12ns``, ``1.5ms``, ``2m3.004s``."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 1_000:
        return f"{nanoseconds}ns"
    for unit, name in _UNITS:
        if nanoseconds < unit * 1_000:
            return f"{_fraction(nanoseconds, unit)}{name}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    return (f"{minutes}m" if minutes else "") + f"{_fraction(rest, 1_000_000_000)}s"


def size(count: int) -> str:
    """Return bytes as nats-server's log shows them: ``12 B``, ``1.50 KB``, where a KB is 1,024 of them."""
    if count < 1024:
        return f"{count} B"
    value, at = float(count), -1
    while value >= 1024 and at < 5:
        value, at = value / 1024, at + 1
    return f"{value:.2f} {'KMGTPE'[at]}B"


def uptime(seconds: float) -> str:
    """Return a time as nats-server shows it in uptime and idle: ``3s``, ``1h2m3s``, ``1y2d3h4m5s``."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    years, day = divmod(days, 365)
    parts = ((years, f"{years}y"), (days, f"{day}d"), (hours, f"{hour}h"), (minutes, f"{minute}m"))
    return "".join(text for total, text in parts if total) + f"{second}s"


def timestamp(nanoseconds: int) -> str:
    """Return a time since the epoch in UTC, as RFC 3339 with as many digits as it needs."""
    return _date(datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC), nanoseconds)


def wall_time(nanoseconds: int) -> str:
    """The same in the zone of this machine: so nats-server shows when a connection began and ended."""
    return _date(datetime.fromtimestamp(nanoseconds // 1_000_000_000).astimezone(), nanoseconds)


def escaped(text: bytes) -> bytes:
    """Escape what Go escapes, lest a browser takes a name for markup. Outside of strings there is none of it."""
    for plain, escape in _ESCAPES:
        text = text.replace(plain, escape)
    return text


def json_plain(value: Mapping[str, Any]) -> bytes:
    """Return a value as json.Marshal writes it. A float that has no fraction must be an int."""
    return escaped(msgspec.json.encode(value))


def parse_bool(text: str) -> bool:
    """Raise ValueError with strconv.ParseBool's text where it is none."""
    if text not in _TRUE + _FALSE:
        raise ValueError(f"strconv.ParseBool: parsing {_quoted(text)}: invalid syntax")
    return text in _TRUE


def parse_int(text: str) -> int:
    """Raise ValueError with strconv.Atoi's text where it is no number, or none that fits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not _is_number(digits):
        raise ValueError(f"strconv.Atoi: parsing {_quoted(text)}: invalid syntax")
    # The sizes are compared before the number is made: thousands of digits are a slow way to be refused.
    if len(digits.lstrip("0")) > 19 or not -(1 << _INT_BITS) <= int(text) < 1 << _INT_BITS:
        raise ValueError(f"strconv.Atoi: parsing {_quoted(text)}: value out of range")
    return int(text)


def parse_uint(text: str) -> int:
    """Raise ValueError with strconv.ParseUint's text where it is no number of 64 bits."""
    if not _is_number(text):
        raise ValueError(f"strconv.ParseUint: parsing {_quoted(text)}: invalid syntax")
    if len(text.lstrip("0")) > 20 or int(text) >> 64:
        raise ValueError(f"strconv.ParseUint: parsing {_quoted(text)}: value out of range")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _fraction(nanoseconds: int, unit: int) -> str:
    whole, rest = divmod(nanoseconds, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _date(at: datetime, nanoseconds: int) -> str:
    whole, zone = at.isoformat()[:19], at.isoformat()[19:]
    digits = f"{nanoseconds % 1_000_000_000:09d}".rstrip("0")
    return f"{whole}{f'.{digits}' if digits else ''}{'Z' if zone == '+00:00' else zone}"


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"))
