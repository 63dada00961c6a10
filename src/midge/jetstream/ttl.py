"""A message's time to live as its header has it (ADR-43)."""

from __future__ import annotations

from datetime import timedelta

from midge.durations import parse_duration, show_duration

__all__ = ["ttl_text"]


def ttl_text(ttl: float | timedelta | str) -> str:
    """Return the text of the header.

    Args:
        ttl: seconds, or "never", or a duration such as "1h30m".

    Raises:
        TypeError, ValueError: it is none; the server knows no less than a second.
    """
    if isinstance(ttl, str):
        if ttl == "never":
            return ttl
        seconds, text = parse_duration(ttl), ttl
    elif isinstance(ttl, bool) or not isinstance(ttl, (int, float, timedelta)):
        raise TypeError(f"a ttl is a number of seconds, not {ttl!r}")
    else:
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        text = show_duration(seconds) if seconds == seconds else ""
    if not seconds >= 1:
        raise ValueError(f"ttl={ttl!r}: the shortest is a second")
    return text
