"""Rests: receivers that do not keep up, and for how long each is passed over, so that the others do not wait for it.

A receiver is known by its reply subjects: where they have three tokens or more, the requests of one client differ in the last one. The
rest is short at first and grows while the receiver is found to be full each time. Times are wall nanoseconds.
"""

from __future__ import annotations

__all__ = ["Rests"]

_FIRST, _LAST = 1_000_000, 100_000_000  # nanoseconds
_MANY = 1_024  # receivers that are remembered


class Rests:
    """Who rests.

    Attributes:
        due: when the first of those that were passed over need not be any more; 0 where there was none since it was set to that.
    """

    __slots__ = ("_resting", "due")

    def __init__(self) -> None:
        self._resting: dict[bytes, tuple[int, int]] = {}  # until when, and for how long that is
        self.due = 0

    def __len__(self) -> int:
        return len(self._resting)

    def add(self, reply: bytes, wall: int) -> None:
        """The receiver behind a reply subject is full."""
        until, pause = self._resting.pop(_receiver(reply), (0, 0))
        pause = min(2 * pause, _LAST) if pause and abs(wall - until) <= _LAST else _FIRST
        if len(self._resting) >= _MANY:
            self._resting.clear()
        self._resting[_receiver(reply)] = wall + pause, pause

    def is_resting(self, reply: bytes, wall: int) -> bool:
        """True if what goes to a reply subject has to wait."""
        found = self._resting.get(_receiver(reply))
        if found is None:
            return False
        until, pause = found
        if wall < until <= wall + pause:
            self.due = min(self.due or until, until)
            return True
        if not until <= wall <= until + _LAST:
            del self._resting[_receiver(reply)]  # it keeps up again, or the clock was turned back
        return False


def _receiver(reply: bytes) -> bytes:
    return reply.rpartition(b".")[0] if reply.count(b".") > 1 else reply
