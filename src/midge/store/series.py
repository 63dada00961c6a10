"""Series: the many sequences of one subject, as runs of at most 512 in the pool, with a table that says where each begins.

In the table, 16 bytes each:

    base 8 | address of the run 4 | how many 4
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.store.pool import Pool

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import find32, find64, get32, get64, put32, put64, shift
    from cython.cimports.midge.wire.octets import resize
else:
    from midge.store.cells import find32, find64, get32, get64, put32, put64, shift
    from midge.wire.octets import resize

__all__ = ["Series"]

_RUN = 512
_FEW = 128  # a run of fewer joins a neighbour
_JOINED = 384  # where both together are no more
_REACH = 0xFFFFFFFF


class Series:
    """The sequences of one subject. Whoever holds it knows how many there are.

    Args:
        pool: where the runs are.
    """

    __slots__ = ("_pool", "_rows", "_used")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rows = bytearray(16 * 4)
        self._used = 0

    def add(self, sequence: int) -> None:
        """Add a sequence behind all others."""
        row = 16 * (self._used - 1)
        if self._used == 0 or get32(self._rows, row + 12) == _RUN or sequence - get64(self._rows, row) > _REACH:
            row = self._add_run(sequence)
        count = get32(self._rows, row + 12)
        put32(self._pool.buf, (get32(self._rows, row + 8) << 4) + 4 * count, sequence - get64(self._rows, row))
        put32(self._rows, row + 12, count + 1)

    def remove(self, sequence: int) -> None:
        """Remove a sequence, which is there."""
        which = self._at(sequence)
        row = 16 * which
        run, count = get32(self._rows, row + 8) << 4, get32(self._rows, row + 12) - 1
        index = find32(self._pool.buf, run, count, sequence - get64(self._rows, row))
        shift(self._pool.buf, run + 4 * index, run + 4 * index + 4, 4 * (count - index))
        put32(self._rows, row + 12, count)
        if count == 0:
            self._drop_run(which)
        elif count < _FEW and not (which and self._join(which - 1)) and which + 1 < self._used:
            self._join(which)

    def next(self, start: int) -> int:
        """Return the first sequence at or after start, 0 where there is none."""
        which = self._at(start)
        if which < 0:
            return self._get(0, 0) if self._used else 0
        index = self._index(which, start)
        if index < get32(self._rows, 16 * which + 12):
            return self._get(which, index)
        return self._get(which + 1, 0) if which + 1 < self._used else 0

    def previous(self, start: int) -> int:
        """Return the last sequence at or before start, 0 where there is none."""
        which = self._at(start)
        index = self._index(which, start + 1) if which >= 0 else 0
        if index == 0:  # the first of a run may be gone, then its base is before all that is in it
            which -= 1
            if which < 0:
                return 0
            index = get32(self._rows, 16 * which + 12)
        return self._get(which, index - 1)

    def rest(self, start: int, total: int) -> int:
        """Return how many of the total are at or after start."""
        which = self._at(start)
        if which < 0:
            return total
        index = self._index(which, start)
        if 2 * which > self._used:
            return self._count(which, self._used) - index
        return total - self._count(0, which) - index

    def clear(self) -> None:
        """Give all runs back."""
        for which in range(self._used):
            self._pool.release(get32(self._rows, 16 * which + 8), 4 * _RUN)
        self._used = 0

    # Private

    def _at(self, sequence: int) -> int:
        """Return which run a sequence belongs to, -1 where it is before all."""
        return find64(self._rows, 0, 16, self._used, sequence + 1) - 1

    def _index(self, which: int, sequence: int) -> int:
        """Return how many sequences of a run are before this one."""
        row = 16 * which
        return find32(self._pool.buf, get32(self._rows, row + 8) << 4, get32(self._rows, row + 12), sequence - get64(self._rows, row))

    def _get(self, which: int, index: int) -> int:
        row = 16 * which
        return get64(self._rows, row) + get32(self._pool.buf, (get32(self._rows, row + 8) << 4) + 4 * index)

    def _count(self, which: int, stop: int) -> int:
        """Return how many sequences some runs have."""
        count = 0
        for row in range(which, stop):
            count += get32(self._rows, 16 * row + 12)
        return count

    def _add_run(self, base: int) -> int:
        row = 16 * self._used
        if row + 16 > len(self._rows):
            resize(self._rows, row + (row >> 2) + 64)
        put64(self._rows, row, base)
        put32(self._rows, row + 8, self._pool.allocate(4 * _RUN))
        put32(self._rows, row + 12, 0)
        self._used += 1
        return row

    def _drop_run(self, which: int) -> None:
        self._pool.release(get32(self._rows, 16 * which + 8), 4 * _RUN)
        self._used -= 1
        shift(self._rows, 16 * which, 16 * which + 16, 16 * (self._used - which))

    def _join(self, which: int) -> bool:
        """Move a run to the end of the one before it, ``which``, where both fit into one. False where they do not."""
        row, other = 16 * which, 16 * which + 16
        count, more = get32(self._rows, row + 12), get32(self._rows, other + 12)
        base, far = get64(self._rows, row), get64(self._rows, other)
        if count + more > _JOINED or self._get(which + 1, more - 1) - base > _REACH:
            return False
        run, source = get32(self._rows, row + 8) << 4, get32(self._rows, other + 8) << 4
        for index in range(more):
            put32(self._pool.buf, run + 4 * (count + index), far + get32(self._pool.buf, source + 4 * index) - base)
        put32(self._rows, row + 12, count + more)
        self._drop_run(which + 1)
        return True
