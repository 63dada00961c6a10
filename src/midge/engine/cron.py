"""Cron: when a pattern of six fields fits the next time: second, minute, hour, day of the month, month, day of the week.

A field is a list of numbers, ranges ``a-b``, ``*`` or ``?``, each with ``/step``; months and days of the week have names, too. A day fits
where both fields of days do; where neither of them is ``*``, one of them is enough. Times are those that a clock in the zone shows: one
that is left out when clocks are put forward is not found, one that comes twice is found twice.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo

__all__ = ["next_time"]

YEARS = 5  # what does not fit within them never does
LAST_YEAR = 9998
_SECOND = 1_000_000_000
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_MONTHS = {name: at for at, name in enumerate(("jan feb mar apr may jun jul aug sep oct nov dec").split(), 1)}
_DAYS = {name: at for at, name in enumerate("sun mon tue wed thu fri sat".split())}
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _DAYS))


def next_time(pattern: str, zone: tzinfo, time: int) -> int:
    """Return when the pattern fits the next time, in nanoseconds since the epoch: a whole second after ``time``.

    Raises:
        ValueError: it is none, or fits never.
    """
    fields = pattern.split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(f"a pattern has 6 fields, not {len(fields)}")
    (seconds, _), (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = (
        _read(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)
    )
    if not (seconds and minutes and hours and months):
        raise ValueError("the pattern never fits")
    instant = time // _SECOND + 1
    local = _local(instant, zone)
    last = min(local.year + YEARS, LAST_YEAR)

    def fits(day: date) -> bool:
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        return in_month and in_week if any_day or any_weekday else in_month or in_week

    while local.year <= last:
        if local.month not in months or not fits(local.date()):
            instant = _midnight(_next_day(local.date(), months, fits, last), zone)
        elif local.hour not in hours:
            instant += 3600 - local.minute * 60 - local.second
        elif local.minute not in minutes:
            instant += 60 - local.second
        elif local.second not in seconds:
            instant += 1
        else:
            return instant * _SECOND
        local = _local(instant, zone)
    raise ValueError("the pattern never fits")


def _next_day(day: date, months: set[int], fits: Callable[[date], bool], last: int) -> date:
    """Return the next day that fits."""
    while day.year <= last:
        day = day + timedelta(days=1)
        if day.month not in months:
            day = day.replace(day=monthrange(day.year, day.month)[1])
        elif fits(day):
            return day
    raise ValueError("the pattern never fits")


def _local(instant: int, zone: tzinfo) -> datetime:
    try:
        return datetime.fromtimestamp(instant, UTC).astimezone(zone)
    except (OverflowError, OSError) as error:
        raise ValueError("the pattern never fits") from error


def _midnight(day: date, zone: tzinfo) -> int:
    """Return when a day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _read(field: str, low: int, high: int, names: dict[str, int]) -> tuple[set[int], bool]:
    """Return the numbers that a field names, and whether it says that any is welcome."""
    numbers: set[int] = set()
    is_any = False
    for piece in field.split(","):
        if piece:
            first, last, step = _range(piece, low, high, names)
            numbers.update(range(first, last + 1, step))
            is_any = is_any or (piece[0] in "*?" and step == 1)
    return numbers, is_any


def _range(piece: str, low: int, high: int, names: dict[str, int]) -> tuple[int, int, int]:
    """Return first, last and step of one piece of a field."""
    ends, *steps = piece.split("/")
    begin, *others = ends.split("-")
    if len(steps) > 1:
        raise ValueError(f"too many steps: {piece}")
    step = _number(steps[0], {}) if steps else 1
    if begin in ("*", "?"):
        first, last = low, high
    else:
        first = _number(begin, names)
        if len(others) > 1:
            raise ValueError(f"too many ends: {piece}")
        last = _number(others[0], names) if others else high if steps else first
    if not low <= first <= last <= high or step < 1:
        raise ValueError(f"out of range: {piece}")
    return first, last, step


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"no number: {text}")
    return int(text)
