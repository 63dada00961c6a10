"""Times as requests write them, read as Go reads RFC 3339, with its words for what is wrong."""

from __future__ import annotations

import re
from calendar import monthrange

from midge.model.base import time_of, time_text

__all__ = ["in_utc", "read_time"]

_LAYOUT = '"2006-01-02T15:04:05Z07:00"'
_PARTS = (  # what a part looks like, and what it is called in the layout; the hour may have one digit
    (re.compile(r"[0-9]{4}"), "2006"), (re.compile("-"), "-"), (re.compile(r"[0-9]{2}"), "01"), (re.compile("-"), "-"),
    (re.compile(r"[0-9]{2}"), "02"), (re.compile("T"), "T"), (re.compile(r"[0-9]{1,2}"), "15"), (re.compile(":"), ":"),
    (re.compile(r"[0-9]{2}"), "04"), (re.compile(":"), ":"), (re.compile(r"[0-9]{2}"), "05"),
)  # fmt: skip
_FRACTION = re.compile(r"[.,]([0-9]+)")
_ZONE = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")


def read_time(text: str) -> str:
    """Return a time as Go would write it again.

    Raises:
        ValueError: it is none; the text is Go's.
    """
    at, numbers = 0, []
    for part, name in _PARTS:
        found = part.match(text, at)
        if found is None:
            raise _unread(text, at, name)
        at = found.end()
        if name.isdigit():
            numbers.append(int(found[0]))
            if name in _BOUNDS and not _BOUNDS[name][1] <= numbers[-1] <= _BOUNDS[name][2]:
                raise _out_of_range(text, _BOUNDS[name][0])
    fraction = _FRACTION.match(text, at)
    at = fraction.end() if fraction else at
    zone = _ZONE.match(text, at)
    if zone is None and text[at : at + 1] != "Z":
        raise _unread(text, at, "Z07:00")
    at = zone.end() if zone else at + 1
    minutes = _offset(text, zone)
    if at < len(text):
        raise ValueError(f"parsing time {_quoted(text)}: extra text: {_quoted(text[at:])}")
    year, month, day, hour, minute, second = numbers
    if not 1 <= day <= monthrange(year or 4, month)[1]:  # the year 0 is a leap year
        raise _out_of_range(text, "day")
    digits = fraction[1][:9].rstrip("0") if fraction else ""
    sign, minutes = ("-" if minutes < 0 else "+"), abs(minutes)
    offset = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "Z"
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{f'.{digits}' if digits else ''}{offset}"


def in_utc(text: str) -> str:
    """Return a time that was read as it is in UTC."""
    return text if text.endswith("Z") else time_text(time_of(text))


_BOUNDS = {"01": ("month", 1, 12), "15": ("hour", 0, 23), "04": ("minute", 0, 59), "05": ("second", 0, 59)}


def _offset(text: str, zone: re.Match[str] | None) -> int:
    """Return how many minutes a zone is before or behind UTC."""
    if zone is None:
        return 0
    hours, minutes = int(zone[2]), int(zone[3])
    if hours > 24:
        raise _out_of_range(text, "time zone offset hour")
    if minutes > 60:
        raise _out_of_range(text, "time zone offset minute")
    return (hours * 60 + minutes) * (-1 if zone[1] == "-" else 1)


def _unread(text: str, at: int, name: str) -> ValueError:
    return ValueError(f"parsing time {_quoted(text)} as {_LAYOUT}: cannot parse {_quoted(text[at:])} as {_quoted(name)}")


def _out_of_range(text: str, what: str) -> ValueError:
    return ValueError(f"parsing time {_quoted(text)}: {what} out of range")


def _quoted(text: str) -> str:
    """Go's quoting in the errors of its package time: control characters and bytes that are not ASCII are numbers."""
    plain = (chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}" for byte in text.encode())
    return '"' + "".join("\\" + character if character in '"\\' else character for character in plain) + '"'
