"""Silence: a call when something has not been heard of for a while. Hearing of it costs nothing but setting ``heard``."""

from __future__ import annotations

from collections.abc import Callable

from midge.engine.timers import Timer, Timers

__all__ = ["Silence"]


class Silence:
    """One thing that is listened to.

    Args:
        timers: of the engine.
        wall: the time.
        timeout: nanoseconds of silence after which the call is made, once.

    Attributes:
        heard: when it was heard of the last time.
    """

    __slots__ = ("_call", "_timeout", "_timer", "_timers", "heard")

    def __init__(self, timers: Timers, wall: int, timeout: int, call: Callable[[], None]) -> None:
        self.heard = wall
        self._timers = timers
        self._timeout = timeout
        self._call = call
        self._timer: Timer = timers.add(wall + timeout, self._look)

    def stop(self) -> None:
        """Make no call."""
        self._timers.cancel(self._timer)

    def _look(self, now: int) -> None:
        due = min(self.heard, now) + self._timeout  # the clock may have been turned back
        if due > now:
            self._timer = self._timers.add(due, self._look)
        else:
            self._call()
