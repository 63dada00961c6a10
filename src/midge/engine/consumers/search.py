"""Search: how far it has been looked for a request that may be served, where others are passed over: who does not keep up, and whoever
has to wait for others of its group.

A slice looks at so many; what is left is looked at in the next one. All were looked at when as many were passed over, one after the other,
as wait: then nobody is to be served until something changes. What changes between two slices may have let those be served that were passed
over before: then all are looked at again.
"""

from __future__ import annotations

from midge.engine.consumers.rests import Rests

__all__ = ["PASSES", "Search"]

PASSES = 4_096  # requests that are passed over in one slice


class Search:
    """One search, through as many slices as it takes.

    Args:
        state: see ``begin_slice``.

    Attributes:
        rests: those who do not keep up.
    """

    __slots__ = ("_among", "_left", "_passed", "_state", "rests")

    def __init__(self, state: object) -> None:
        self.rests = Rests()
        self._left = PASSES
        self._passed = self._among = 0
        self._state = state

    def begin_slice(self, wall: int, state: object) -> None:
        """Another slice has begun.

        Args:
            state: what decides who may be served, beside who keeps up.
        """
        self._left = PASSES
        if state != self._state or 0 < self.rests.due <= wall:
            self._passed = 0
            self._state = state
        if not self._passed:
            self.rests.due = 0

    def found(self) -> None:
        """One was served: whoever was passed over may be looked at again."""
        self._passed = 0

    def passed(self, waiting: int) -> bool:
        """One was passed over, of so many that wait. True where all were."""
        if waiting < self._among:
            self._passed = 0  # some are gone, and it is not known whether they were counted
        self._among = waiting
        self._passed += 1
        self._left -= 1
        if self._passed < waiting:
            return False
        self._passed = 0
        return True

    @property
    def is_tired(self) -> bool:
        """True if no more may be passed over in this slice."""
        return self._left <= 0
