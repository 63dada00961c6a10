"""How long a message lives: the header ``Nats-TTL`` (ADR-43)."""

from __future__ import annotations

import re

from midge.durations import parse_duration
from midge.engine.errors import ApiError
from midge.engine.headers import add, remove
from midge.model.stream import StreamConfig

__all__ = ["NEVER", "parse_ttl", "with_least_ttl"]

NEVER = -1  # it does not expire, though others do
_SECONDS = re.compile(rb"[0-9]{1,18}")


def parse_ttl(text: bytes) -> int:
    """Return the seconds, or NEVER.

    Raises:
        ApiError: it is neither a number of seconds, nor a duration of at least one, nor "never" (10165).
    """
    if text.lower() == b"never":
        return NEVER
    if _SECONDS.fullmatch(text) and text != b"0":  # 0 is a duration, and too short
        return int(text)
    try:
        seconds = parse_duration(text.decode("utf-8", "surrogateescape"))
    except ValueError:
        raise ApiError(10165) from None
    if seconds < 1:
        raise ApiError(10165)
    return int(seconds)


def with_least_ttl(config: StreamConfig, ttl: int, header: bytes) -> tuple[int, bytes]:
    """Return the seconds that a message lives and its header: no shorter than a delete marker, so that none outlives what follows it."""
    least = config.subject_delete_marker_ttl // 1_000_000_000
    if 0 < ttl < least and config.max_msgs_per_subject != 1:
        return least, add(remove(header, b"Nats-TTL"), b"Nats-TTL", b"%d" % least)
    return ttl, header
