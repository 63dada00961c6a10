"""Inactivity: when a consumer that nobody uses is deleted.

A pull consumer is used by requests, deliveries and acknowledgements, and while a request waits whose sender is there, or somebody may
still be working on a message. A push consumer is used while its deliver subject has interest, and by acknowledgements. Pure: who owns it
asks ``due`` when to look, and looks with ``is_over``. Times are wall nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["DEFAULT", "Inactivity", "patience"]

DEFAULT = 5_000_000_000  # nanoseconds that a consumer has which is not durable and does not say
_JITTER = 900  # milliseconds, so that a thousand do not end at once
_LEAST = 100
_MILLI = 1_000_000


def patience(threshold: int, is_durable: bool, is_push: bool, choose: Callable[[int], int]) -> int:
    """Return the nanoseconds without use after which a consumer ends, 0 for never; with jitter where nats-server has some.

    Args:
        threshold: the configured one, 0 where there is none.
        choose: returns a random number below the one that is given.
    """
    if is_durable and threshold <= 0:
        return 0
    if is_push and threshold > 0:
        return threshold
    return (threshold if threshold > 0 else DEFAULT) + (_LEAST + choose(_JITTER)) * _MILLI


class Inactivity:
    """How long a consumer has not been used.

    Attributes:
        patience: see ``patience``; 0 for ever.
        used: when it was used the last time.
        is_held: used now, and so never over.
    """

    __slots__ = ("is_held", "patience", "used")

    def __init__(self, patience: int, wall: int) -> None:
        self.patience = patience
        self.used = wall
        self.is_held = False

    @property
    def due(self) -> int | None:
        """When to look whether it is over, None for never."""
        return None if self.is_held or not self.patience else self.used + self.patience

    def is_over(self, wall: int, last: int) -> bool:
        """True if the consumer ends now. False where it does not: see ``due``.

        Args:
            last: when the last message expires that is delivered and not acknowledged, 0 where there is none: until then, and for
                as long again as the patience, somebody may be working on it.
        """
        if last and last > self.used:
            self.used = last
        due = self.due
        return due is not None and due <= wall

    def release(self, wall: int) -> None:
        """It is not held any more: its time begins."""
        self.is_held = False
        self.used = wall
