"""One block of Snappy or S2 (klauspost's extension of it: offsets that repeat, longer copies), encoded and decoded. Pure.

A block is the length of what it holds, and then elements: bytes as they are, or a copy of bytes that came before. Nothing in it is
believed: what it claims to hold is bounded before anything is allocated, and every copy lies inside of what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import new_buffer, put_slice
else:
    from midge.wire.octets import new_buffer, put_slice

__all__ = ["MAX_BLOCK", "S2Block"]

MAX_BLOCK = 4 << 20  # what S2 allows to be in one block


class S2Block:
    """A block that is being decoded, a piece in each call.

    Args:
        src: it is in src[start:stop], which lies inside; it is left as it is.

    Attributes:
        out: what is decoded, as far as ``fill``; all of it when that is ``size``.

    Raises:
        ValueError: it claims to hold too much, or does not say.
    """

    __slots__ = ("_at", "_copy", "_left", "_offset", "_src", "_stop", "fill", "out", "size")

    def __init__(self, src: bytearray, start: int, stop: int) -> None:
        self._src = src
        self._at = start
        self._stop = stop
        self._offset = 0
        self._left = 0  # bytes of the element that is under way
        self._copy = False  # it is a copy
        self.fill = 0
        self.size = self._length()
        self.out = new_buffer(self.size)

    def work(self, budget: int) -> bool:
        """Decode so many bytes more, or up to the end. True where all is decoded.

        Raises:
            ValueError: it is damaged.
        """
        limit = min(self.fill + budget, self.size)
        while self.fill < limit:
            if self._left == 0:
                self._next()
            count = min(self._left, limit - self.fill)
            if self._copy:
                self._repeat(count)
            else:
                self.fill = put_slice(self.out, self.fill, self._src, self._at, self._at + count)
                self._at += count
            self._left -= count
        if self.fill < self.size:
            return False
        if self._left or self._at != self._stop:
            raise ValueError("s2: corrupt input")
        return True

    def _length(self) -> int:
        """Read how much the block holds."""
        value = shift = 0
        while self._at < self._stop and shift < 35:
            byte = self._src[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > MAX_BLOCK:
                    raise ValueError("s2: decoded block is too large")
                return value
            shift += 7
        raise ValueError("s2: corrupt input")

    def _next(self) -> None:
        """Read the head of the next element."""
        if self._at >= self._stop:
            raise ValueError("s2: corrupt input")
        tag = self._src[self._at]
        self._at += 1
        kind, high = tag & 3, tag >> 2
        self._copy = kind != 0
        if kind == 0:
            self._left = high + 1 if high < 60 else self._number(high - 59) + 1
            if self._left > self._stop - self._at:
                raise ValueError("s2: corrupt input")
        elif kind == 1:
            self._short_copy(high)
        else:
            self._left = high + 1
            self._offset = self._number(2 if kind == 2 else 4)
        if self._left > self.size - self.fill or (self._copy and not 0 < self._offset <= self.fill):
            raise ValueError("s2: corrupt input")

    def _short_copy(self, high: int) -> None:
        """Read the rest of an element that is a copy by an offset of 11 bits; by the last one again where that is 0."""
        offset = (high >> 3) << 8 | self._number(1)
        length = high & 7
        if offset:
            self._offset = offset
        elif length >= 5:
            length = self._number(length - 4) + (4, 256, 65536)[length - 5]
        self._left = length + 4

    def _number(self, size: int) -> int:
        """Read a number of so many bytes."""
        if self._stop - self._at < size:
            raise ValueError("s2: corrupt input")
        value = 0
        for place in range(size):
            byte = self._src[self._at + place]
            value |= byte << 8 * place
        self._at += size
        return value

    def _repeat(self, count: int) -> None:
        """Copy bytes from before; where they reach into what is being written, they are what was just written."""
        start = self.fill - self._offset
        end = self.fill + count
        while self.fill < end:
            size = min(end - self.fill, self.fill - start)
            self.fill = put_slice(self.out, self.fill, self.out, start, start + size)
