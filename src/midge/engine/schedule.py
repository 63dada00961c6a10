"""Schedule: when a message that is a schedule is due, and what is sent then (ADR-51). What its headers say, and nothing of a stream.

Nats-Schedule            @at <time>, @every <duration>, @hourly ... @yearly, or six fields (``cron``)
Nats-Schedule-Time-Zone  of the fields
Nats-Schedule-Target     the subject that is published to
Nats-Schedule-Source     the subject whose last message is sent, in place of the schedule's own
Nats-Schedule-TTL, Nats-Schedule-Rollup  for what is sent
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from midge.durations import parse_duration
from midge.engine.cron import next_time
from midge.engine.errors import ApiError
from midge.engine.headers import add
from midge.engine.times import read_time
from midge.model.base import time_of, time_text

__all__ = ["NEXT", "PATTERN", "SCHEDULER", "ZONE", "due", "sent"]

PATTERN, ZONE, NEXT, SCHEDULER = b"Nats-Schedule", b"Nats-Schedule-Time-Zone", b"Nats-Schedule-Next", b"Nats-Scheduler"
_SECOND = 1_000_000_000
_ZERO_TIME = -62_135_596_800 * _SECOND  # Go's zero time, which is no time
_NAMED = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_NOT_SENT = (b"Nats-Schedule", b"Nats-Expected-", b"Nats-Msg-Id:", b"Nats-TTL:", b"Nats-Rollup:")


def due(values: dict[bytes, bytes], time: int, wall: int) -> tuple[int, bool] | None:
    """Return when a schedule is due the first time after ``time``, and whether it goes on after that; None where there is no schedule.

    What would be due before ``wall`` more than once is due once, after it.

    Raises:
        ApiError: the pattern is none (10189), or the time zone (10223).
    """
    zone = _zone(values)
    pattern = values.get(PATTERN, b"").decode("utf-8", "surrogateescape")
    if not pattern:
        return None
    try:
        if pattern.startswith("@at ") and zone is None:
            at = time_of(read_time(pattern[4:]))
            return None if at == _ZERO_TIME else (at, False)
        if pattern.startswith("@every ") and zone is None:
            return _every(parse_duration(pattern[7:]), time, wall), True
        if pattern.startswith(("@at ", "@every ")):
            raise ValueError("a time zone is for fields only")
        fields = _NAMED.get(pattern, pattern)
        at = next_time(fields, zone or UTC, time)
        return (at if at >= wall else next_time(fields, zone or UTC, _whole(wall))), True
    except ValueError:
        raise ApiError(10189) from None


def sent(subject: bytes, header: bytes, values: dict[bytes, bytes], next: int, goes_on: bool) -> bytes:
    """Return the header of what a schedule sends.

    Args:
        subject: of the schedule.
        header: of the message that is sent: its own, or that of the source.
        values: the schedule's headers.
        next: when it is due again, where it goes on.
    """
    lines = [line for line in header.split(b"\r\n")[1:-2] if not line.startswith(_NOT_SENT)]
    block = b"\r\n".join([b"NATS/1.0", *lines, b"", b""])
    block = add(block, SCHEDULER, subject)
    block = add(block, NEXT, _shown(next, _zone(values)) if goes_on else b"purge")
    if b"Nats-Schedule-TTL" in values:
        block = add(block, b"Nats-TTL", values[b"Nats-Schedule-TTL"])
    if b"Nats-Schedule-Rollup" in values:
        block = add(block, b"Nats-Rollup", values[b"Nats-Schedule-Rollup"])
    return block


def _zone(values: dict[bytes, bytes]) -> tzinfo | None:
    name = values.get(ZONE)
    if name is None:
        return None
    try:
        return ZoneInfo(name.decode())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ApiError(10223) from None


def _every(seconds: float, time: int, wall: int) -> int:
    if seconds < 1:
        raise ValueError("too often")
    next = _whole(time) + int(seconds * _SECOND)
    return next if next >= wall else _whole(wall) + int(seconds * _SECOND)


def _whole(time: int) -> int:
    """Return the nearest second."""
    return (time + _SECOND // 2) // _SECOND * _SECOND


def _shown(time: int, zone: tzinfo | None) -> bytes:
    """Return a time as it is written in a zone."""
    if zone is None:
        return time_text(time).encode()
    return read_time(datetime.fromtimestamp(time // _SECOND, zone).isoformat()).encode()
