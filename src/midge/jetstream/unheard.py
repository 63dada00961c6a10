"""Unheard: says that something has failed when whoever could have asked is gone and has not asked."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Unheard"]


class Teller(Protocol):
    """Who is told."""

    def note_unheard(self, error: Exception) -> None:
        """Nobody has asked. Called in whichever thread the garbage collector runs."""


class Unheard:
    """Belongs to what has failed, and to nobody else, so that it goes with it.

    Args:
        teller: who is told when it goes.
        error: why it has failed.
    """

    __slots__ = ("_error", "_teller")

    def __init__(self, teller: Teller, error: Exception) -> None:
        self._teller: Teller | None = teller
        self._error = error

    def hear(self) -> None:
        """Somebody has asked."""
        self._teller = None

    def __del__(self) -> None:
        if self._teller is not None:
            self._teller.note_unheard(self._error)
