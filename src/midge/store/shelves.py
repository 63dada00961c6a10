"""Shelves: the bytes of messages in memory, one behind the other in blocks, with an index that knows where each is.

A shelf holds a range of sequences, so that a bisection finds it, and ``place`` in the index is where on the shelf a message begins. What
has a header is marked by a flag, and begins with the header's size in 4 bytes. A shelf that is less than half full of what is still there
is copied to a smaller one; one that is empty goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.store.base import Stored
from midge.store.index import Index
from midge.wire.publication import Publication

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import copy, get32, put32
    from cython.cimports.midge.store.sight import Sight
    from cython.cimports.midge.wire.octets import cut, new_buffer, put_slice, resize
else:
    from midge.store.cells import copy, get32, put32
    from midge.store.sight import Sight
    from midge.wire.octets import cut, new_buffer, put_slice, resize

__all__ = ["Shelf", "Shelves", "weight"]

MAX_WEIGHT = (1 << 28) - 1

_SHELF = 256 * 1024  # bytes; a larger message has a shelf of its own
_SMALL = 1024  # what the first one begins with
_HEADED = 1  # the flag of what has a header
_OVERHEAD = 16  # what nats-server's memory store counts beside the bytes
_MAX_WEIGHT = MAX_WEIGHT


class Shelf:
    """Messages from sequence ``first`` on, in ``buf`` up to ``fill``; ``size`` is what they counted for, ``alive`` what is left."""

    __slots__ = ("alive", "buf", "fill", "first", "size")

    def __init__(self, first: int, room: int) -> None:
        self.first = first
        self.buf = new_buffer(room)
        self.fill = self.size = self.alive = 0


class Shelves(Sight):
    """The messages of one stream. Changes to them are made here, and here tell the index.

    Args:
        index: an empty one.
    """

    __slots__ = ("_shelves",)

    def __init__(self, index: Index) -> None:
        super().__init__(index)
        self._shelves: list[Shelf] = []

    def append(self, publication: Publication, time: int) -> int:
        """Keep a message, and return its sequence.

        Raises:
            ValueError: it counts for 2**28 bytes or more.
        """
        body = publication.payload_end - publication.payload_start
        is_headed = publication.header_size > 0
        size = weight(publication.subject_end - publication.subject_start, 0, body)
        if size > _MAX_WEIGHT:
            raise ValueError(f"a message of {size} bytes cannot be kept: the most is {MAX_WEIGHT}")
        sequence = self.index.last + 1
        shelf = self._room_for(sequence, body + 4 if is_headed else body)
        place = shelf.fill
        self.index.add_publication(sequence, place, size, _HEADED if is_headed else 0, time, publication)
        if is_headed:
            put32(shelf.buf, place, publication.header_size)
        at = place + 4 if is_headed else place
        shelf.fill = put_slice(shelf.buf, at, publication.buf, publication.payload_start, publication.payload_end)
        shelf.size += size
        shelf.alive += size
        return sequence

    def get(self, sequence: int) -> Stored | None:
        """Return a message, None where there is none."""
        entry = self.index.entry(sequence)
        if entry is None:
            return None
        place, size, flags, time, subject = entry
        shelf = self._shelves[self._at(sequence)]
        body = size - _OVERHEAD - len(subject)
        if flags & _HEADED:
            header = get32(shelf.buf, place)
            start = place + 4
            return Stored(sequence, time, subject, cut(shelf.buf, start, start + header), cut(shelf.buf, start + header, start + body))
        return Stored(sequence, time, subject, b"", cut(shelf.buf, place, place + body))

    def look(self, sequence: int) -> bool:
        entry = self.index.entry(sequence)
        if entry is None:
            return False
        place, size, flags, time, subject = entry
        shelf = self._shelves[self._at(sequence)]
        header = get32(shelf.buf, place) if flags & _HEADED else 0
        start = place + 4 if flags & _HEADED else place
        self.sequence, self.time, self.subject, self.buf = sequence, time, subject, shelf.buf
        self.header_start, self.payload_start = start, start + header
        self.payload_end = start + size - _OVERHEAD - len(subject)
        return True

    def remove(self, sequence: int) -> bool:
        """Let go of a message. False where there is none."""
        size = self.index.size_of(sequence)
        if not self.index.remove(sequence):
            return False
        number = self._at(sequence)
        shelf = self._shelves[number]
        shelf.alive -= size
        self._tidy(number)
        return True

    def erase(self, sequence: int) -> bool:
        """Overwrite a message and let go of it. False where there is none."""
        entry = self.index.entry(sequence)
        if entry is None:
            return False
        place, size, flags, _, subject = entry
        shelf = self._shelves[self._at(sequence)]
        length = size - _OVERHEAD - len(subject) + (4 if flags & _HEADED else 0)
        shelf.buf[place : place + length] = bytes(length)
        return self.remove(sequence)

    def drop(self, below: int) -> int:
        """Let go of all messages before a sequence, as ``Index.drop``."""
        shelves = self._shelves
        if below > self.index.last:
            shelves.clear()
        while len(shelves) > 1:
            shelf = shelves[1]
            if shelf.first > below:
                break
            del shelves[0]
        if shelves:
            shelf = shelves[0]
            shelf.alive -= self.index.alive(shelf.first, below - 1)[1]
        dropped = self.index.drop(below)
        if shelves:
            self._tidy(0)
        return dropped

    def clear(self) -> None:
        self._shelves.clear()

    # Private

    def _at(self, sequence: int) -> int:
        """Return the number of the shelf that a message is on."""
        low, high = 0, len(self._shelves)
        while high - low > 1:
            middle = (low + high) >> 1
            shelf = self._shelves[middle]
            if shelf.first <= sequence:
                low = middle
            else:
                high = middle
        return low

    def _room_for(self, sequence: int, size: int) -> Shelf:
        """Return the last shelf, with room for so many bytes."""
        if self._shelves:
            shelf = self._shelves[-1]
            need = shelf.fill + size
            if need <= len(shelf.buf):
                return shelf
            if need <= _SHELF:
                resize(shelf.buf, min(_SHELF, max(2 * len(shelf.buf), need)))
                return shelf
        shelf = Shelf(sequence, max(size, _SHELF if self._shelves else _SMALL))
        self._shelves.append(shelf)
        return shelf

    def _tidy(self, number: int) -> None:
        """Let a shelf go that is empty, and copy what is left of one that is more than half empty."""
        shelf = self._shelves[number]
        if shelf.alive == 0:
            del self._shelves[number]
        elif 2 * shelf.alive < shelf.size and shelf.fill > _SMALL and number + 1 < len(self._shelves):
            after = self._shelves[number + 1]
            self._shelves[number] = self._copied(shelf, after.first)

    def _copied(self, shelf: Shelf, below: int) -> Shelf:
        """Return a shelf with what is left of another, whose sequences are below this one."""
        smaller = Shelf(shelf.first, shelf.alive)
        sequence = self.index.after(shelf.first)
        while 0 < sequence < below:
            entry = self.index.entry(sequence)
            assert entry is not None
            place, size, flags, _, subject = entry
            length = size - _OVERHEAD - len(subject) + (4 if flags & _HEADED else 0)
            copy(smaller.buf, smaller.fill, shelf.buf, place, length)
            self.index.move(sequence, smaller.fill)
            smaller.fill += length
            smaller.size += size
            sequence = self.index.after(sequence + 1)
        smaller.alive = smaller.size
        return smaller


def weight(subject: int, header: int, payload: int) -> int:
    """Return what a message with parts of so many bytes counts for (nats-server's memStoreMsgSize)."""
    return subject + header + payload + _OVERHEAD
