"""Replay: takes over the plain records of a log, a buffer at a time; what is not plain is left to ``store.recovery``.

Opening a store after its process was killed reads what was written since the last checkpoints: this is the loop that does it, for each
record the least that is possible. Plain are messages that follow, outside of batches; removals that overwrite nothing; drops and skips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.index import Index
    from cython.cimports.midge.store.octets import checksum, get16, get32, get64
    from cython.cimports.midge.store.record import Record
    from cython.cimports.midge.store.tail import weight
else:
    from midge.store.index import Index
    from midge.store.octets import checksum, get16, get32, get64
    from midge.store.record import Record
    from midge.store.tail import weight

__all__ = ["Replay", "collect_removals"]

_HEAD = 36
_GOOD = 0
_MESSAGE, _REMOVE, _DROP, _SKIP = 1, 2, 3, 4


class Replay:
    """What is known of a log up to a place.

    Args:
        index: of the messages.

    Attributes:
        index: as given.
        last: the highest sequence that is used up.
        floor: all messages below it have been dropped.
    """

    __slots__ = ("_record", "floor", "index", "last")

    def __init__(self, index: Index) -> None:
        self.index = index
        self.last = index.last
        self.floor = 0
        self._record = Record()

    def take(self, buf: bytearray, at: int, base: int, seed: int) -> int:
        """Take over plain records from buf[at:] on; return where the first one begins that is not plain, or not all there.

        Args:
            base: where in the file the buffer begins.
        """
        record, stop = self._record, len(buf)
        while record.decode(buf, at, stop, seed) == _GOOD:
            if record.kind == _MESSAGE:
                if record.flags or record.sequence <= self.last:
                    break
                size = weight(record.size(), record.has_header())
                self.index.add(record.sequence, base + at, size, 0, record.time, buf, record.subject_start, record.header_start)
                self.last = record.sequence
            elif not self._change(record):
                break
            at = record.end
        return at

    def remove(self, first: int, last: int) -> None:
        """Take over that the messages from one to another are gone."""
        sequence = self.index.after(first)
        while 0 < sequence <= last:
            self.index.remove(sequence)
            sequence = self.index.after(sequence + 1)

    def drop(self, below: int) -> None:
        """Take over that all before a sequence is gone."""
        self.floor = max(self.floor, below)
        self.index.drop(self.floor)
        self.last = max(self.last, self.floor - 1)

    def skip(self, sequence: int, time: int) -> None:
        """Take over that all sequences up to one are used up."""
        self.last = max(self.last, sequence)
        self.index.skip(sequence, time)

    def _change(self, record: Record) -> bool:
        """Do what a record says that is no message. False where it is not plain: nothing was done."""
        size = record.payload_end - record.payload_start
        if record.flags or record.kind > _SKIP or size & 7 or record.kind == _REMOVE and size & 15 or record.kind == _DROP and size != 8:
            return False
        self.skip(record.sequence, record.time)
        if record.kind == _DROP:
            self.drop(get64(record.buf, record.payload_start))
        elif record.kind == _REMOVE:
            for at in range(record.payload_start, record.payload_end, 16):
                self.remove(get64(record.buf, at), get64(record.buf, at + 8))
        return True


def collect_removals(buf: bytearray, at: int, seed: int, below: int, found: bytearray) -> int:
    """Add what records from buf[at:] on remove of before a sequence to ``found``, as pairs of i64.

    Return where the next record begins that is not all there, which may be behind the buffer; -1 where there is no record.
    """
    stop = len(buf)
    while at + _HEAD <= stop:
        size, subject = get32(buf, at + 8), get16(buf, at + 16)
        if get32(buf, at) != checksum(buf, at + 4, at + _HEAD, seed) or buf[at + 18] == 0 or subject > size:
            return -1
        if buf[at + 18] == _REMOVE:
            end = at + ((_HEAD + size + 7) & ~7)
            if end > stop:
                break
            if get32(buf, at + 4) != checksum(buf, at + _HEAD, end, 0):
                return -1
            for place in range(at + _HEAD, at + _HEAD + size - 15, 16):
                if get64(buf, place) < below:
                    found += buf[place : place + 16]
        at += (_HEAD + size + 7) & ~7
    return at
