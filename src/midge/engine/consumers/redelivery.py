"""Redelivery queue: the messages of one consumer that wait to be delivered again, in the order in which they are to be.

It keeps their sequences in a ring of eight bytes each. Places are absolute and count from 0; a *ticket* is a place and one, so that 0 is
none. Nobody is taken out of the middle: whoever leaves gives its ticket up, and the ledger, which knows the tickets, skips what stands in a
place without one, and leaves it out when the ring is full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import get64, put64
    from cython.cimports.midge.wire.octets import new_buffer
else:
    from midge.store.cells import get64, put64
    from midge.wire.octets import new_buffer

__all__ = ["RedeliveryQueue"]

_FEW = 8  # places of the first ring; each one has a power of two
_KEPT = 16  # places of a ring that is kept when it is empty
_NOTHING = bytearray()  # nothing is ever put into it: most consumers deliver nothing again


class RedeliveryQueue:
    """A ring of sequences.

    Attributes:
        front: the first place; what stands there is ``first``.
        rear: the place behind the last one.
    """

    __slots__ = ("_ring", "front", "rear")

    def __init__(self) -> None:
        self._ring = _NOTHING
        self.front = self.rear = 0

    def first(self) -> int:
        """Return what stands in the first place. There must be one."""
        return get64(self._ring, 8 * (self.front & (len(self._ring) // 8 - 1)))

    def skip(self) -> None:
        """Leave the first place behind."""
        self.front += 1

    def skip_all(self) -> None:
        """Leave every place behind: nobody has a ticket."""
        self.front = self.rear

    def is_full(self) -> bool:
        """True where there is no place for one more: ``renew`` it first."""
        return self.rear - self.front == len(self._ring) // 8

    def append(self, sequence: int) -> int:
        """Put a sequence into the next place, which there must be, and return its ticket."""
        put64(self._ring, 8 * (self.rear & (len(self._ring) // 8 - 1)), sequence)
        self.rear += 1
        return self.rear

    def renew(self, queued: int) -> RedeliveryQueue:
        """Begin anew with nothing, in a ring twice as long where half of the places or more have tickets.

        Returns:
            the queue as it was, whose places with tickets are to be appended again.
        """
        old = RedeliveryQueue()
        old._ring, old.front, old.rear = self._ring, self.front, self.rear
        room = len(self._ring) // 8
        self._ring = new_buffer(8 * (max(2 * room, _FEW) if 2 * queued >= room else room))
        self.front = self.rear = 0
        return old

    def clear(self) -> None:
        """Nobody has a ticket: begin anew, and keep no large ring."""
        if len(self._ring) > 8 * _KEPT:
            self._ring = _NOTHING
        self.front = self.rear = 0
