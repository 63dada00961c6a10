"""Sight: one message where it lies in memory, without copying it: what is sent on as it was stored is composed straight from there.

A store has one (``Store.sight``). It shows the message that ``look`` was called for last, and only until the store is asked for anything
else or changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.index import Index
    from cython.cimports.midge.wire.octets import cut
else:
    from midge.store.index import Index
    from midge.wire.octets import cut

__all__ = ["Sight"]


class Sight:
    """A look at the messages of a store.

    Attributes:
        index: of the messages; set anew when the store has another one.
        sequence, time, subject: of the message.
        buf: holds header and payload, the one right behind the other.
        header_start, payload_start, payload_end: where in it; a message without a header has none between the first two.
    """

    __slots__ = ("buf", "header_start", "index", "payload_end", "payload_start", "sequence", "subject", "time")

    def __init__(self, index: Index) -> None:
        self.index = index
        self.buf = bytearray()
        self.subject = b""
        self.sequence = self.time = self.header_start = self.payload_start = self.payload_end = 0

    def look(self, sequence: int) -> bool:
        """Show a message. False where it is not in memory, or nowhere: ``Store.peek`` tells which."""
        raise NotImplementedError

    def header(self) -> bytes:
        """Return the header block, empty where there is none."""
        return cut(self.buf, self.header_start, self.payload_start)

    def payload(self) -> bytes:
        return cut(self.buf, self.payload_start, self.payload_end)
