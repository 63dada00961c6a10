"""Subjects: a number for each different subject of a stream, found by its bytes, and its bytes by the number.

Names lie in a pool, found by a hash table whose slots hold number and hash. From a few thousand subjects on there are 256 tables, each of
which grows on its own, so that no append waits for a million names to find new places. Numbers of subjects that went are used again.

    record: address of the name 4 | its length 4 | hash 4 | next free number, plus one 4        slot: number plus one 4 | hash 4
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.store.pool import Pool

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import copy, covers, get32, get64, hash_of, prefetch, put32, put64, same_as
    from cython.cimports.midge.wire.octets import cut, resize
else:
    from midge.store.cells import copy, covers, get32, get64, hash_of, prefetch, put32, put64, same_as
    from midge.wire.octets import cut, resize

__all__ = ["Subjects"]

_ONE_TABLE = 4096  # subjects; beyond, tables are chosen by the upper byte of the hash
_SLOTS = 16  # of a new table
_SOME = 64  # names that are looked for together


class Subjects:
    """The subjects of one stream.

    Args:
        pool: where names are kept.

    Attributes:
        count: how many there are.
        top: above all numbers that are in use.
    """

    __slots__ = ("_counts", "_free", "_last", "_pool", "_records", "_tables", "count", "top")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._records = bytearray(16)
        self._tables = [bytearray(8 * _SLOTS)]
        self._counts = bytearray(4)  # of each table, how many slots are taken
        self._free = 0
        self._last = -1  # the number that was asked for last: the next message often has it, too
        self.count = self.top = 0

    def find(self, buf: bytearray, start: int, end: int) -> int:
        """Return the number of the subject in buf[start:end], -1 where there is none."""
        if self._last >= 0 and self._is_name(self._last, buf, start, end):
            return self._last
        number = self._search(buf, start, end, hash_of(buf, start, end))
        if number >= 0:
            self._last = number
        return number

    def find_all(self, buf: bytearray, lengths: int, count: int, numbers: bytearray) -> None:
        """Find many names: a subject's number, plus one, or 0 where there is none, goes to ``numbers``, 4 bytes for each.

        Some at a time, in steps: while the memory for one is waited for, that for the others is on its way.

        Args:
            buf, lengths: where in it the lengths of the names stand, 4 bytes each, behind which the names are.
            count: of the names.
        """
        at, guesses = lengths + 4 * count, bytearray(4 * _SOME)
        for start in range(0, count, _SOME):
            stop = min(start + _SOME, count)
            end = at
            for name in range(start, stop):
                size = get32(buf, lengths + 4 * name)
                put32(numbers, 4 * name, hash_of(buf, end, end + size))
                self._expect_slot(get32(numbers, 4 * name))
                end += size
            for name in range(start, stop):
                number = self._guess(get32(numbers, 4 * name))
                put32(guesses, 4 * (name - start), number)
                prefetch(self._records, 16 * number)
            for name in range(stop - start):
                prefetch(self._pool.buf, get32(self._records, 16 * get32(guesses, 4 * name)) << 4)
            for name in range(start, stop):
                size = get32(buf, lengths + 4 * name)
                put32(numbers, 4 * name, self._search(buf, at, at + size, get32(numbers, 4 * name)) + 1)
                at += size

    def intern(self, buf: bytearray, start: int, end: int) -> int:
        """Return the number of the subject in buf[start:end], which is a new one where there was none."""
        number = self.find(buf, start, end)
        if number < 0:
            number = self._last = self._new(buf, start, end)
        return number

    def release(self, number: int) -> None:
        """Forget a subject: no message has it any more."""
        records, at = self._records, 16 * number
        self._take_out(number, get32(records, at + 8))
        self._pool.release(get32(records, at), get32(records, at + 4))
        put32(records, at, 0)
        put32(records, at + 12, self._free)
        self._free = number + 1
        self.count -= 1
        if self._last == number:
            self._last = -1

    def name(self, number: int) -> bytes:
        start = get32(self._records, 16 * number) << 4
        return cut(self._pool.buf, start, start + get32(self._records, 16 * number + 4))

    def is_there(self, number: int) -> bool:
        """True if a number below ``top`` is in use."""
        return get32(self._records, 16 * number) != 0

    def is_covered(self, number: int, pattern: bytes) -> bool:
        """True if the pattern matches the subject."""
        start = get32(self._records, 16 * number) << 4
        return covers(pattern, self._pool.buf, start, start + get32(self._records, 16 * number + 4))

    # Private

    def _expect_slot(self, hash: int) -> None:
        """Have brought near where a hash is looked for first."""
        table = self._tables[hash >> 24 if len(self._tables) > 1 else 0]
        prefetch(table, 8 * (hash & ((len(table) >> 3) - 1)))

    def _guess(self, hash: int) -> int:
        """Return the number in the slot where a hash is looked for first; 0 where there is none."""
        table = self._tables[hash >> 24 if len(self._tables) > 1 else 0]
        number = get32(table, 8 * (hash & ((len(table) >> 3) - 1)))
        return number - 1 if number else 0

    def _is_name(self, number: int, buf: bytearray, start: int, end: int) -> bool:
        records, at, size = self._records, 16 * number, end - start
        return get32(records, at + 4) == size and same_as(self._pool.buf, get32(records, at) << 4, buf, start, size)

    def _search(self, buf: bytearray, start: int, end: int, hash: int) -> int:
        table = self._tables[hash >> 24 if len(self._tables) > 1 else 0]
        mask = (len(table) >> 3) - 1
        slot = hash & mask
        while True:
            number = get32(table, 8 * slot) - 1
            if number < 0:
                return -1
            if get32(table, 8 * slot + 4) == hash and self._is_name(number, buf, start, end):
                return number
            slot = (slot + 1) & mask

    def _new(self, buf: bytearray, start: int, end: int) -> int:
        size, hash = end - start, hash_of(buf, start, end)
        address = self._pool.allocate(size)
        copy(self._pool.buf, address << 4, buf, start, size)
        if self._free:
            number = self._free - 1
            self._free = get32(self._records, 16 * number + 12)
        else:
            number = self.top
            self.top += 1
            if 16 * self.top > len(self._records):
                resize(self._records, 16 * (self.top + (self.top >> 2) + 4))
        records, at = self._records, 16 * number
        put32(records, at, address)
        put32(records, at + 4, size)
        put32(records, at + 8, hash)
        self.count += 1
        if self.count > _ONE_TABLE and len(self._tables) == 1:
            self._split()
        self._put_in(number, hash)
        return number

    def _put_in(self, number: int, hash: int) -> None:
        which = hash >> 24 if len(self._tables) > 1 else 0
        table = self._tables[which]
        taken = get32(self._counts, 4 * which) + 1
        put32(self._counts, 4 * which, taken)
        if 4 * taken > 3 * (len(table) >> 3):
            table = self._tables[which] = _rehashed(table, len(table) >> 2)
        _insert(table, number + 1, hash)

    def _take_out(self, number: int, hash: int) -> None:
        """Empty a slot, and move up those behind it that could stand nearer to where they belong."""
        which = hash >> 24 if len(self._tables) > 1 else 0
        table = self._tables[which]
        put32(self._counts, 4 * which, get32(self._counts, 4 * which) - 1)
        mask = (len(table) >> 3) - 1
        hole = hash & mask
        while get32(table, 8 * hole) != number + 1:
            hole = (hole + 1) & mask
        slot = (hole + 1) & mask
        while get32(table, 8 * slot):
            home = get32(table, 8 * slot + 4) & mask
            if (slot - home) & mask >= (slot - hole) & mask:
                put64(table, 8 * hole, get64(table, 8 * slot))
                hole = slot
            slot = (slot + 1) & mask
        put64(table, 8 * hole, 0)

    def _split(self) -> None:
        """Go from one table to 256."""
        old = self._tables[0]
        self._tables = [bytearray(16 * _SLOTS) for _ in range(256)]
        self._counts = bytearray(4 * 256)
        for slot in range(len(old) >> 3):
            number = get32(old, 8 * slot)
            if number:
                self._put_in(number - 1, get32(old, 8 * slot + 4))


def _rehashed(old: bytearray, slots: int) -> bytearray:
    """Return a table of so many slots with what is in another."""
    table = bytearray(8 * slots)
    for slot in range(len(old) >> 3):
        number = get32(old, 8 * slot)
        if number:
            _insert(table, number, get32(old, 8 * slot + 4))
    return table


def _insert(table: bytearray, number: int, hash: int) -> None:
    mask = (len(table) >> 3) - 1
    slot = hash & mask
    while get32(table, 8 * slot):
        slot = (slot + 1) & mask
    put32(table, 8 * slot, number)
    put32(table, 8 * slot + 4, hash)
