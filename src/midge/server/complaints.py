"""Complaints: bounds the log lines that one connection is worth.

A client may be refused thousands of subscriptions or publishes a second, and the disk must not fill with what it does wrong. The first
lines of each second are written, the others counted; the count is written with the next line, or when the connection ends.
"""

from __future__ import annotations

__all__ = ["Complaints"]

MAX_LINES = 10  # within
SECONDS = 1.0


class Complaints:
    """What was logged of one connection lately. Made with the first complaint, so that most connections have none.

    Attributes:
        left_out: lines that were not written since the last one that was.
    """

    __slots__ = ("_lines", "_since", "left_out")

    def __init__(self) -> None:
        self._since = 0.0
        self._lines = 0
        self.left_out = 0

    def admit(self, now: float) -> bool:
        """Count one more. True where it is to be written: next, ``take_left_out``."""
        if now - self._since >= SECONDS or self._lines == 0:
            self._since = now
            self._lines = 0
        if self._lines >= MAX_LINES:
            self.left_out += 1
            return False
        self._lines += 1
        return True

    def take_left_out(self) -> int:
        """Return how many lines were not written, and forget them."""
        left_out, self.left_out = self.left_out, 0
        return left_out
