"""Damage log: the lines about what a store has found damaged, a few at a time, however much it is."""

from __future__ import annotations

import logging

from midge.store.recovery import Damage

__all__ = ["DamageLog"]

LINES = 20  # within
SECONDS = 60.0

log = logging.getLogger("midge.server")


class DamageLog:
    """Logs a list that grows.

    Args:
        found: what was found; more is appended to it.

    Attributes:
        seen: how much of it was looked at.
    """

    def __init__(self, found: list[Damage]) -> None:
        self.found = found
        self.seen = 0
        self._since = -SECONDS
        self._lines = 0

    def tell(self, now: float) -> None:
        """Log what is new, or how much it is."""
        if now - self._since >= SECONDS:
            self._since, self._lines = now, 0
        was_full = self._lines > LINES
        room = max(LINES - self._lines, 0)
        fresh = self.found[self.seen :]
        self.seen += len(fresh)
        for damage in fresh[:room]:
            log.error("JetStream found damage: %s", damage)
        self._lines += min(len(fresh), room + 1)
        if len(fresh) > room and not was_full:
            log.error("JetStream found more damage, %d times and counting: midge check tells all of it", len(fresh) - room)
