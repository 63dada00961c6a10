"""Sizes and durations as people type them and read them: ``10MB``, ``1d12h``, ``-1`` for no limit.

What is typed is nats-server's JSON at once: whole bytes, whole nanoseconds.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from midge.durations import show_duration
from midge.model.base import time_of

if TYPE_CHECKING:
    _Kind = click.ParamType[Any]
else:
    _Kind = click.ParamType

__all__ = ["DURATION", "FUTURE", "PAST", "SIZE", "read_duration", "shown_duration", "shown_moment", "shown_size"]

_DAY = 86_400
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600,
    "d": _DAY, "D": _DAY, "w": 7 * _DAY, "W": 7 * _DAY, "M": 30 * _DAY, "y": 365 * _DAY, "Y": 365 * _DAY,
}  # fmt: skip
_PIECE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|[smhdDwWMyY])")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtKMGT]?)(?:i?[bB])?")
_MOST = (1 << 63) - 1


def read_duration(text: str) -> int:
    """Return the nanoseconds.

    Raises:
        ValueError: it is no duration.
    """
    if text == "0":
        return 0
    total = end = 0
    for piece in _PIECE.finditer(text):
        if piece.start() != end:
            break
        total += round(float(piece[1]) * _SECONDS[piece[2]] * 1e9)
        end = piece.end()
    if not text or end != len(text) or total > _MOST:
        raise ValueError(f"{text!r} is not a duration such as 90s, 1h30m or 7d")
    return total


class _Duration(_Kind):
    """Nanoseconds; -1 is none."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        try:
            return 0 if value == "-1" else read_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Size(_Kind):
    """Bytes, in units of 1,024; -1 is no limit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        if value == "-1":
            return -1
        found = _SIZE.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not a size such as 1024, 10MB or 1GiB", param, ctx)
        number = float(found[1]) * 1024.0 ** (" KMGT".index(found[2].upper() or " "))
        if not math.isfinite(number) or number > _MOST:
            self.fail(f"{value!r} is more than a server can count", param, ctx)
        return int(number)


class _Moment(_Kind):
    """A time of RFC 3339, or a duration, which is so long ago, or so long from now."""

    name = "time"

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, datetime):
            return value
        try:
            if re.fullmatch("[0-9.]+[a-zA-Zµμ].*", value) or value == "0":
                return datetime.now(UTC) + self._sign * timedelta(microseconds=read_duration(value) // 1000)
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.astimezone()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 1h", param, ctx)


DURATION = _Duration()
SIZE = _Size()
PAST = _Moment(-1)
FUTURE = _Moment(1)


def shown_size(count: float) -> str:
    """Return bytes in the unit that reads best."""
    if abs(count) < 1024:
        return f"{count:,.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if abs(count) < 1024:
            return f"{count:,.1f} {unit}"
    return f"{count / 1024:,.1f} TiB"


def shown_duration(nanoseconds: int) -> str:
    """Return it as people read it: days and the rest."""
    days, rest = divmod(abs(nanoseconds), _DAY * 10**9)
    sign = "-" if nanoseconds < 0 else ""
    if not days:
        return sign + show_duration(rest / 1e9)
    return f"{sign}{days}d" + (show_duration(rest / 1e9) if rest else "")


def shown_moment(text: str) -> str:
    """Return a time of JSON as people read it, in the local time zone; ``never`` for Go's zero time."""
    if text.startswith("0001-01-01"):
        return "never"
    try:
        return datetime.fromtimestamp(time_of(text) / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return text
