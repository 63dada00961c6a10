"""Pace: when the next message of a consumer may leave, where that does not depend on the receiver.

``Bucket`` keeps a rate: full it lets a burst through, and then as much as runs in. ``Replay`` keeps the gaps that there were between
messages when they were stored, until the consumer has caught up with where the stream was when the replay began. Both are asked first
(``due``) and told afterwards (``took``), so a message that has to wait is not taken from anywhere meanwhile. Times are wall nanoseconds.
"""

from __future__ import annotations

__all__ = ["Bucket", "Replay", "moved"]

_SECOND = 1_000_000_000
_SHORTEST = 1_000_000  # nanoseconds of a gap that is kept: nats-server waits for no shorter one


def moved(time: int, by: int) -> int:
    """Return a time as it is by a clock that was set, by so many nanoseconds; 0, which is none, stays."""
    return max(time + by, 1) if time else 0


class Bucket:
    """A rate limit, as a bucket of bytes that fills.

    It is one number: the time at which it was, or will be, empty if nothing more is taken. A message larger than a full bucket waits
    for a full one and leaves a debt. (nats-server's consumer never sends another message then.)

    Args:
        bits: a second.
        burst: bytes of a full one.
        wall: the time; it begins full.
    """

    __slots__ = ("_bits", "_depth", "_empty")

    def __init__(self, bits: int, burst: int, wall: int) -> None:
        self._bits = bits
        self._depth = self._time(burst)
        self._empty = wall - self._depth

    def due(self, size: int, wall: int) -> int:
        """Return when so many bytes may leave."""
        return max(wall, self._filled(wall) + min(self._time(size), self._depth))

    def took(self, size: int, wall: int) -> None:
        """So many bytes have left."""
        self._empty = self._filled(wall) + self._time(size)

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds."""
        self._empty += by

    def _filled(self, wall: int) -> int:
        """When it was empty, with no more in it than it holds, nor missing than one debt where the clock was turned back."""
        return min(max(self._empty, wall - self._depth), wall + self._depth)

    def _time(self, size: int) -> int:
        return size * 8 * _SECOND // self._bits


class Replay:
    """The gaps between messages.

    Args:
        last: the stream's last sequence when the replay begins; it ends behind it.
    """

    __slots__ = ("_last", "_sent", "_time")

    def __init__(self, last: int) -> None:
        self._last = last
        self._time = 0  # of the last message that was sent
        self._sent = 0  # when that was

    def due(self, time: int, wall: int) -> int:
        """Return when a message may leave that was stored at this time."""
        gap = time - self._time if self._time else 0
        return max(wall, self._sent + gap) if gap > _SHORTEST else wall

    def took(self, time: int, wall: int) -> None:
        """A message has left."""
        self._time, self._sent = time, wall

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds."""
        self._sent = moved(self._sent, by)

    def is_over(self, following: int) -> bool:
        """True if the next message of the consumer, at this sequence or behind it, came after the replay began."""
        return following > self._last
