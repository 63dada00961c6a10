"""Pool: many small pieces of memory in one buffer, for names and runs of sequences, without an object for each.

A piece has an address, which stands for 16 bytes at ``address << 4`` of ``buf``; address 0 is no piece. What is released is kept by its
size and handed out again, so the pool never holds more than the most there has been of each size. ``buf`` stays the same object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import get32, put32
    from cython.cimports.midge.wire.octets import resize
else:
    from midge.store.cells import get32, put32
    from midge.wire.octets import resize

__all__ = ["Pool"]

_FIRST = 16  # so that no piece has address 0
_CLASSES = 48  # by 16 bytes up to 256, then by doubling


class Pool:
    """Pieces of memory.

    Attributes:
        buf: the buffer that all of them are in. It grows: take no pointer into it, and no view.
    """

    __slots__ = ("_fill", "_free", "buf")

    def __init__(self) -> None:
        self.buf = bytearray(_FIRST)
        self._fill = _FIRST
        self._free = bytearray(4 * _CLASSES)  # of each class the address of a free piece, which holds that of the next

    def allocate(self, size: int) -> int:
        """Return the address of a piece of at least so many bytes, with any content."""
        kind = _class_of(size)
        address = get32(self._free, 4 * kind)
        if address:
            put32(self._free, 4 * kind, get32(self.buf, address << 4))
            return address
        size = kind << 4 if kind <= 16 else 256 << (kind - 16)
        need = self._fill + size
        if need > len(self.buf):
            resize(self.buf, need + (need >> 2) + 64)
        address = self._fill >> 4
        self._fill = need
        return address

    def release(self, address: int, size: int) -> None:
        """Take a piece back that was allocated with this size."""
        kind = _class_of(size)
        put32(self.buf, address << 4, get32(self._free, 4 * kind))
        put32(self._free, 4 * kind, address)


def _class_of(size: int) -> int:
    """Return 1 to 16 for so many times 16 bytes, more for 256 bytes times a power of two."""
    if size <= 256:
        return (size + 15) >> 4 if size else 1
    kind = 17
    while 256 << (kind - 16) < size:
        kind += 1
    return kind
