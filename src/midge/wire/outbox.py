"""Outbox: the bytes that one connection has yet to send, in a chain of blocks.

    _full: [block, block]   buf: the last block, where writers write
            ^start                        ^fill      ^size

Writers make sure of their room (``grow`` where ``fill + need > size``) and then write at ``fill``; what they write at once always lies in
one block, so every block begins with a whole frame. The driver sends from the blocks' own memory (``views``) and says how much
went (``advance``). So an outbox grows without copying, shrinks at once, and holds no block when nothing waits.

Blocks come from two short process-wide lists of free ones, which every outbox gives them back to: as with ``malloc``, whose work
they save, sharing them is invisible. A frame that is larger than a block gets a block of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import new_buffer, put, put_slice
else:
    from midge.wire.octets import new_buffer, put, put_slice

__all__ = ["LARGE_BLOCK", "MAX_VIEWS", "SMALL_BLOCK", "Outbox", "give_back"]

SMALL_BLOCK = 4096  # what a connection that says little gets
LARGE_BLOCK = 135168  # two messages of 64 KiB, with their lines
MAX_VIEWS = 16  # blocks that are sent at once
_SMALL = SMALL_BLOCK
_LARGE = LARGE_BLOCK
_KEEP_SMALL = 256
_KEEP_LARGE = 64
_NOTHING = bytearray()  # stands for the block of an empty outbox; it has no room, so nobody writes to it

_small: list[bytearray] = []
_large: list[bytearray] = []


class Outbox:
    """A chain of blocks with bytes to send.

    Attributes:
        buf: the block that is written to.
        fill: where the next byte goes.
        size: how many bytes the block can hold.
        start: the first byte of the first block that is not sent.
        before: bytes in the blocks before that one. What waits is ``before + fill - start``.
    """

    __slots__ = ("_full", "_grew", "_is_busy", "before", "buf", "fill", "size", "start")

    def __init__(self) -> None:
        self.buf = _NOTHING
        self.fill = 0
        self.size = 0
        self.start = 0
        self._full: list[tuple[bytearray, int]] | None = None
        self.before = 0
        self._grew = False  # one block has not been enough since nothing waited
        self._is_busy = False  # a small block was not enough, the last time that something waited

    def __len__(self) -> int:
        return self.before + self.fill - self.start

    def waiting(self) -> int:
        """Return how many bytes wait."""
        return self.before + self.fill - self.start

    # For writers

    def reserve(self, size: int) -> None:
        """Make room for size bytes at ``fill``."""
        if self.fill + size > self.size:
            self.grow(size)

    def grow(self, size: int) -> None:
        """Go on in a new block, which has room for size bytes at least."""
        if self.fill:
            self._put_aside()
        elif self.size:
            give_back(self.buf)
        if size <= _SMALL and not (self._grew or self._is_busy):
            self.buf = _small.pop() if _small else new_buffer(_SMALL)
            self.size = _SMALL
        elif size <= _LARGE:
            self.buf = _large.pop() if _large else new_buffer(_LARGE)
            self.size = _LARGE
        else:
            self.buf = new_buffer(size)
            self.size = size

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self.reserve(len(data))
        self.fill = put(self.buf, self.fill, data)

    def adopt(self, other: Outbox) -> None:
        """Append what waits in another outbox, which is empty afterwards: blocks change hands, few bytes are copied."""
        waiting = other.waiting()
        if waiting == 0:
            return
        if other._full is None and self.fill + waiting <= self.size:
            self.fill = put_slice(self.buf, self.fill, other.buf, other.start, other.fill)
            other.clear()
            return
        while other.waiting():
            block, size = other.take()
            if self.fill:
                self._put_aside()
            elif self.size:
                give_back(self.buf)
            self.buf = block
            self.fill = size
            self.size = len(block)

    # For drivers

    def views(self) -> list[memoryview]:
        """Return what waits, MAX_VIEWS blocks at most. Release the views before the next write and before ``advance``."""
        if self._full is None:
            return [memoryview(self.buf)[self.start : self.fill]]
        views = [memoryview(block)[:fill] for block, fill in self._full[:MAX_VIEWS]]
        if len(views) < MAX_VIEWS:
            views.append(memoryview(self.buf)[: self.fill])
        if self.start:
            views[0] = views[0][self.start :]
        return views

    def advance(self, size: int) -> None:
        """Forget the first size bytes: they are sent. Blocks that are done with are given back."""
        start = self.start + size
        while self._full is not None:
            block, fill = self._full[0]
            if start < fill:
                self.start = start
                return
            start -= fill
            self._drop_first()
            give_back(block)
        if start >= self.fill:
            self._release()
        else:
            self.start = start

    def clear(self) -> None:
        """Forget everything that waits."""
        while self._full is not None:
            give_back(self._full[0][0])
            self._drop_first()
        self._release()

    def cut(self, size: int) -> None:
        """Forget what waits behind the first size bytes."""
        end = self.start + size
        if not size:
            self.clear()
            return
        blocks = self.blocks()
        kept = 0
        while end > blocks[kept][1]:
            end -= blocks[kept][1]
            kept += 1
        for block, _ in blocks[kept + 1 :]:
            give_back(block)
        self._full = blocks[:kept] or None
        self.before = sum(fill for _, fill in blocks[:kept])
        self.buf = blocks[kept][0]
        self.fill = end
        self.size = len(self.buf)

    def take(self) -> tuple[bytearray, int]:
        """Hand over the first block: its bytes are block[:size]. Whoever is done with it may ``give_back`` it."""
        start = self.start
        self.start = 0
        if self._full is not None:
            block, fill = self._full[0]
            self._drop_first()
        else:
            block, fill = self.buf, self.fill
            self._is_busy = self._grew or fill > _SMALL
            self._grew = False
            self.buf = _NOTHING
            self.fill = self.size = 0
        if start:
            block[: fill - start] = block[start:fill]
        return block, fill - start

    def take_all(self) -> bytes:
        """Return a copy of everything that waits, and forget it: for those who send by other means than ``views``."""
        start = self.start
        parts = []
        for block, fill in self.blocks():
            parts.append(bytes(block[start:fill]))
            start = 0
        self.clear()
        return b"".join(parts)

    def first(self) -> tuple[bytearray, int]:
        """Return the first block with its fill. ``start`` bytes of it are sent already."""
        return (self.buf, self.fill) if self._full is None else self._full[0]

    def blocks(self) -> list[tuple[bytearray, int]]:
        """Return every block with its fill. ``start`` bytes of the first are sent already."""
        return [*(self._full or ()), (self.buf, self.fill)]

    # Private

    def _put_aside(self) -> None:
        if self._full is None:
            self._full = []
        self._full.append((self.buf, self.fill))
        self.before += self.fill
        self._grew = True
        self.fill = 0

    def _drop_first(self) -> None:
        assert self._full is not None
        self.before -= self._full[0][1]
        del self._full[0]
        if not self._full:
            self._full = None
        self.start = 0

    def _release(self) -> None:
        """Give the last block back: nothing waits."""
        if self.size:
            self._is_busy = self._grew or self.fill > _SMALL
            self._grew = False
            give_back(self.buf)
            self.buf = _NOTHING
        self.start = self.fill = self.size = 0


def give_back(block: bytearray) -> None:
    """Take a block that nobody needs any more; it is kept for the next outbox where it is of a usual size."""
    size = len(block)
    if size == _LARGE:
        if len(_large) < _KEEP_LARGE:
            _large.append(block)
    elif size == _SMALL and len(_small) < _KEEP_SMALL:
        _small.append(block)
