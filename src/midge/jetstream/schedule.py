"""Schedule: a message that the stream publishes again, at a time or at many (ADR-51); the stream needs ``allow_msg_schedules``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from midge.durations import show_duration
from midge.jetstream.ttl import ttl_text

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Schedule"]


class Schedule:
    """When a message is published again, and as what: made by ``at``, ``every`` or ``cron``.

    Args:
        pattern: as the header has it.
        target: the subject to publish to, which is one of the stream's.
        source: a subject of the stream: the last message there is what is published, in place of the scheduled one.
        ttl: seconds that what is published lives, or "never".
        time_zone: the name of the zone that ``cron`` counts in, such as "Europe/Berlin".
        rollup: "sub" keeps only the last message on the target.
    """

    __slots__ = ("pattern", "rollup", "source", "target", "time_zone", "ttl")

    def __init__(
        self,
        pattern: str,
        target: str,
        *,
        source: str | None = None,
        ttl: float | str | None = None,
        time_zone: str | None = None,
        rollup: str | None = None,
    ) -> None:
        self.pattern = pattern
        self.target = target
        self.source = source
        self.ttl = ttl
        self.time_zone = time_zone
        self.rollup = rollup

    @classmethod
    def at(cls, when: datetime, target: str, *, source: str | None = None, ttl: float | str | None = None) -> Self:
        """Once, at a time, which has a time zone.

        Raises:
            ValueError: it has none.
        """
        if when.tzinfo is None:
            raise ValueError(f"{when!r} has no time zone: datetime.now(UTC), for example, has one")
        return cls(f"@at {when.astimezone(UTC).isoformat().replace('+00:00', 'Z')}", target, source=source, ttl=ttl)

    @classmethod
    def every(
        cls, period: float | timedelta, target: str, *, source: str | None = None, ttl: float | str | None = None, rollup: str | None = None
    ) -> Self:
        """Again and again, so many seconds from 1 on after each other.

        Raises:
            ValueError: that is less.
        """
        seconds = period.total_seconds() if isinstance(period, timedelta) else period
        if not seconds >= 1:
            raise ValueError(f"every {seconds} s: the shortest is a second")
        return cls(f"@every {show_duration(seconds)}", target, source=source, ttl=ttl, rollup=rollup)

    @classmethod
    def cron(
        cls,
        pattern: str,
        target: str,
        *,
        time_zone: str | None = None,
        source: str | None = None,
        ttl: float | str | None = None,
        rollup: str | None = None,
    ) -> Self:
        """When a pattern of six fields says so (second, minute, hour, day, month, weekday), or ``@hourly``, ``@daily`` and the like."""
        return cls(pattern, target, source=source, ttl=ttl, time_zone=time_zone, rollup=rollup)

    def headers(self) -> dict[str, str]:
        """Return the headers that say so."""
        lines = {
            "Nats-Schedule": self.pattern,
            "Nats-Schedule-Target": self.target,
            "Nats-Schedule-Source": self.source,
            "Nats-Schedule-TTL": None if self.ttl is None else ttl_text(self.ttl),
            "Nats-Schedule-Time-Zone": self.time_zone,
            "Nats-Schedule-Rollup": self.rollup,
        }
        return {name: text for name, text in lines.items() if text is not None}

    def __repr__(self) -> str:
        return f"<Schedule {self.pattern!r} to {self.target!r}>"
