"""Chance: numbers at random for what is chosen on the message path. Pure: it begins where it is told to. Not for secrets."""

from __future__ import annotations

__all__ = ["Chance"]

_MULTIPLIER = 2685821657736338717
_MASK = 0xFFFFFFFFFFFFFFFF


class Chance:
    """A sequence of random numbers: xorshift64*.

    Args:
        seed: where it begins.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK or 1

    def bits(self) -> int:
        """Return 64 bits, of which the upper half is the better one."""
        state = self._state
        state ^= state >> 12
        state ^= (state << 25) & _MASK
        state ^= state >> 27
        self._state = state
        return (state * _MULTIPLIER) & _MASK

    def below(self, count: int) -> int:
        """Return a number from 0 to count - 1; the count has 32 bits at most."""
        return ((self.bits() >> 32) * count) >> 32
