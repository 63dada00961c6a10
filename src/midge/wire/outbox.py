"""Outbox: the bytes that one connection has yet to send, in one growing buffer.

Writers reserve room and then write at ``fill``; the driver sends from the buffer's own memory (``view``) and says how much
went (``advance``). ``buf[start:fill]`` is what waits. The buffer moves or grows only inside ``reserve``, never while a view
of it is out, so a view must be released before anything is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import put
else:
    from midge.wire.octets import put

__all__ = ["Outbox"]

SMALLEST = 4096
KEEP = 1 << 20  # a buffer that grew past this is given back when it is empty


class Outbox:
    """A growing buffer of bytes to send."""

    __slots__ = ("buf", "fill", "start")

    def __init__(self) -> None:
        self.buf = bytearray()
        self.start = 0
        self.fill = 0

    def __len__(self) -> int:
        return self.fill - self.start

    def reserve(self, size: int) -> None:
        """Make room for size bytes at ``fill``."""
        if self.fill + size > len(self.buf):
            self.grow(size)

    def grow(self, size: int) -> None:
        """Move what waits to the front if that frees half of the buffer, else at least double the buffer."""
        waiting = self.fill - self.start
        capacity = len(self.buf)
        if self.start and waiting + size <= capacity // 2:
            self.buf[:waiting] = self.buf[self.start : self.fill]
        else:
            capacity = max(SMALLEST, 2 * capacity, waiting + size)
            bigger = bytearray(capacity)
            bigger[:waiting] = memoryview(self.buf)[self.start : self.fill]
            self.buf = bigger
        self.start = 0
        self.fill = waiting

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self.reserve(len(data))
        self.fill = put(self.buf, self.fill, data)

    def view(self) -> memoryview:
        """Return what waits; release the view before the next write."""
        return memoryview(self.buf)[self.start : self.fill]

    def advance(self, size: int) -> None:
        """Forget the first size bytes: they are sent."""
        self.start += size
        if self.start >= self.fill:
            self.clear()

    def clear(self) -> None:
        """Forget everything that waits."""
        self.start = 0
        self.fill = 0
        if len(self.buf) > KEEP:
            self.buf = bytearray()

    def trim(self) -> None:
        """Give the buffer back if nothing waits: for a connection that has been idle."""
        if self.start == self.fill:
            self.buf = bytearray()

    def take(self) -> bytearray:
        """Hand over what waits, without a copy where possible, and start anew."""
        taken = self.buf
        if self.start == 0:
            del taken[self.fill :]
        else:
            taken = taken[self.start : self.fill]
        self.buf = bytearray()
        self.start = 0
        self.fill = 0
        return taken
