"""Tail: the end of a log, in memory. What is appended is encoded here, in blocks, and written by rounds later.

A block is a run of one segment as it is, or will be, in the file. It is never made longer or moved, so a worker may write its first bytes
while more are put behind them. ``append`` is the hot path of a stream: no object is made for a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.index import Index
    from cython.cimports.midge.store.record import encode, encode_publication, length
    from cython.cimports.midge.wire.octets import new_buffer
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.store.index import Index
    from midge.store.record import encode, encode_publication, length
    from midge.wire.octets import new_buffer
    from midge.wire.publication import Publication

__all__ = ["Block", "Tail", "weight"]


class Block:
    """A run of one segment.

    Attributes:
        number: of the segment.
        base: where in the file it begins.
        buf: the bytes.
        fill: how many of them hold records.
        written: how many were given to a round.
    """

    __slots__ = ("base", "buf", "fill", "number", "written")

    def __init__(self, number: int, base: int, size: int) -> None:
        self.number = number
        self.base = base
        self.buf = new_buffer(size)
        self.fill = self.written = 0

    def cut(self, fill: int) -> None:
        """Forget what was put behind the first ``fill`` bytes."""
        self.fill = fill
        self.written = min(self.written, fill)

    def take(self) -> int:
        """Give what was not given to a round yet to one; return where it begins."""
        start = self.written
        self.written = self.fill
        return start


class Tail:
    """Encodes records into a block and notes the messages in an index.

    Args:
        index: where messages are noted.
        seed: of the checks of the records' heads.
        block: where records go, until ``block`` is set to another one.
    """

    __slots__ = ("block", "index", "seed")

    def __init__(self, index: Index, seed: int, block: Block) -> None:
        self.index = index
        self.seed = seed
        self.block = block

    def append(self, publication: Publication, time: int, flags: int) -> int:
        """Add a message and return its sequence, or 0 where the block has no room for it."""
        block = self.block
        size = publication.subject_end - publication.subject_start + publication.payload_end - publication.payload_start
        if block.fill + length(size) > len(block.buf):
            return 0
        index = self.index
        sequence = index.last + 1
        latest = index.last_time
        if time < latest:
            time = latest
        place = block.base + block.fill
        fill = encode_publication(block.buf, block.fill, self.seed, flags, sequence, time, publication)
        size = weight(size, publication.header_size > 0)
        index.add_publication(sequence, place, size, 0, time, publication)
        block.fill = fill
        return sequence

    def note(self, kind: int, flags: int, time: int, payload: bytes) -> bool:
        """Add a record that is no message, of the sequence that is the last one. False where the block has no room for it."""
        block = self.block
        if block.fill + length(len(payload)) > len(block.buf):
            return False
        block.fill = encode(block.buf, block.fill, self.seed, kind, flags, self.index.last, time, b"", b"", payload)
        return True


def weight(size: int, has_header: bool) -> int:
    """Return what a message counts for whose subject, header and payload have so many bytes: as in nats-server's file store."""
    return size + 34 if has_header else size + 30
