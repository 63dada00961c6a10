"""Postings: the sequences of each subject, in order, so that the next, the last and how many are left is found without a look at others.

One or two sequences stand in the subject's record. Up to 512 are a run of 4-byte differences to ``base`` in the pool, which doubles as it
grows. More are a ``Series``: a row of such runs. To remove in the middle moves the rest of one run, 2 KiB at most.

    record: first 8 | last 8 | base 8 | count 4 | address of the run, or which series 4 | room of the run 4 | 4 unused
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.store.pool import Pool
from midge.store.series import Series

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import copy, find32, get32, get64, prefetch, put32, put64, shift
    from cython.cimports.midge.wire.octets import resize
else:
    from midge.store.cells import copy, find32, get32, get64, prefetch, put32, put64, shift
    from midge.wire.octets import resize

__all__ = ["Postings"]

_RECORD = 40
_RUN = 512  # sequences of the longest run
_SERIES = 0xFFFFFFFF  # in place of the room of a run: it is a series
_REACH = 0xFFFFFFFF  # the highest difference that fits
_END = (1 << 63) - 2  # above all sequences
_COLLAPSE = 128  # a series of so few becomes a run again


class Postings:
    """The sequences of every subject, by its number.

    Args:
        pool: where runs are kept.
    """

    __slots__ = ("_free", "_pool", "_records", "_series")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._records = bytearray()
        self._series: list[Series | None] = []
        self._free: list[int] = []  # places in _series

    def begin(self, number: int) -> None:
        """Make room for a new subject, which has no sequence yet."""
        at = _RECORD * number
        if at + _RECORD > len(self._records):
            resize(self._records, at + (at >> 2) + 4 * _RECORD)
        put32(self._records, at + 24, 0)
        put32(self._records, at + 32, 0)

    def count(self, number: int) -> int:
        return get32(self._records, _RECORD * number + 24)

    def first(self, number: int) -> int:
        return get64(self._records, _RECORD * number)

    def last(self, number: int) -> int:
        return get64(self._records, _RECORD * number + 8)

    def expect(self, number: int) -> None:
        """Have the record of a subject brought near: it is asked for soon."""
        prefetch(self._records, _RECORD * number)

    def expect_more(self, number: int) -> None:
        """Have brought near what ``add`` touches beside the record, which is near."""
        records, at = self._records, _RECORD * number
        room = get32(records, at + 32)
        if room and room != _SERIES:
            prefetch(self._pool.buf, (get32(records, at + 28) << 4) + 4 * get32(records, at + 24))

    def add(self, number: int, sequence: int) -> None:
        """Add a sequence behind all others."""
        records, at = self._records, _RECORD * number
        count = get32(records, at + 24)
        if count == 0:
            put64(records, at, sequence)
        elif count > 1:
            self._add_third(at, count, sequence)
        put64(records, at + 8, sequence)
        put32(records, at + 24, count + 1)

    def remove(self, number: int, sequence: int) -> int:
        """Remove a sequence, which is there, and return how many are left."""
        records, at = self._records, _RECORD * number
        count = get32(records, at + 24) - 1
        put32(records, at + 24, count)
        room = get32(records, at + 32)
        if room == _SERIES:
            self._remove_from_series(at, count, sequence)
        elif room:
            self._remove_from_run(at, count, room, sequence)
        elif sequence == get64(records, at):
            put64(records, at, get64(records, at + 8))
        else:
            put64(records, at + 8, get64(records, at))
        return count

    def next(self, number: int, start: int) -> int:
        """Return the first sequence at or after start, 0 where there is none."""
        records, at = self._records, _RECORD * number
        if start <= get64(records, at):
            return get64(records, at)
        if start > get64(records, at + 8):
            return 0
        room = get32(records, at + 32)
        if room == 0:
            return get64(records, at + 8)
        if room == _SERIES:
            return self._series_at(at).next(start)
        base, run = get64(records, at + 16), get32(records, at + 28) << 4
        return base + get32(self._pool.buf, run + 4 * find32(self._pool.buf, run, get32(records, at + 24), start - base))

    def previous(self, number: int, start: int) -> int:
        """Return the last sequence at or before start, 0 where there is none."""
        records, at = self._records, _RECORD * number
        if start >= get64(records, at + 8):
            return get64(records, at + 8)
        if start < get64(records, at):
            return 0
        room = get32(records, at + 32)
        if room == 0:
            return get64(records, at)
        if room == _SERIES:
            return self._series_at(at).previous(start)
        base, run = get64(records, at + 16), get32(records, at + 28) << 4
        return base + get32(self._pool.buf, run + 4 * find32(self._pool.buf, run, get32(records, at + 24), start + 1 - base) - 4)

    def rest(self, number: int, start: int) -> int:
        """Return how many sequences there are at or after start."""
        records, at = self._records, _RECORD * number
        count = get32(records, at + 24)
        if start <= get64(records, at):
            return count
        if start > get64(records, at + 8):
            return 0
        room = get32(records, at + 32)
        if room == 0:
            return 1
        if room == _SERIES:
            return self._series_at(at).rest(start, count)
        return count - find32(self._pool.buf, get32(records, at + 28) << 4, count, start - get64(records, at + 16))

    # Private

    def _series_at(self, at: int) -> Series:
        return self._series[get32(self._records, at + 28)]  # type: ignore[return-value]

    def _add_third(self, at: int, count: int, sequence: int) -> None:
        """Add a sequence to a record that has two or more."""
        records = self._records
        room = get32(records, at + 32)
        if room == 0:
            room = self._make_run(at, count)
        if room != _SERIES and (count == room or sequence - get64(records, at + 16) > _REACH):
            room = self._widen(at, count, room, sequence)
        if room == _SERIES:
            self._series_at(at).add(sequence)
        else:
            put32(self._pool.buf, (get32(records, at + 28) << 4) + 4 * count, sequence - get64(records, at + 16))

    def _make_run(self, at: int, count: int) -> int:
        """Make a run of the two sequences in the record; return its room, or _SERIES where they are too far from each other."""
        records = self._records
        first, last = get64(records, at), get64(records, at + 8)
        if last - first > _REACH:
            series = self._make_series(at)
            series.add(first)
            series.add(last)
            return _SERIES
        run = self._pool.allocate(16)
        put64(records, at + 16, first)
        put32(records, at + 28, run)
        put32(records, at + 32, 4)
        put32(self._pool.buf, run << 4, 0)
        put32(self._pool.buf, (run << 4) + 4, last - first)
        return 4

    def _widen(self, at: int, count: int, room: int, sequence: int) -> int:
        """Give a run twice the room, or make it a series; return the room."""
        records, run = self._records, get32(self._records, at + 28)
        base = get64(records, at + 16)
        if room < _RUN and sequence - base <= _REACH:
            self._move(at, count, run, room, 2 * room)
            return 2 * room
        series = self._make_series(at)
        for index in range(count):
            series.add(base + get32(self._pool.buf, (run << 4) + 4 * index))
        self._pool.release(run, 4 * room)
        return _SERIES

    def _move(self, at: int, count: int, run: int, room: int, new_room: int) -> None:
        """Put a run where there is another room for it."""
        new_run = self._pool.allocate(4 * new_room)
        copy(self._pool.buf, new_run << 4, self._pool.buf, run << 4, 4 * count)
        self._pool.release(run, 4 * room)
        put32(self._records, at + 28, new_run)
        put32(self._records, at + 32, new_room)

    def _make_series(self, at: int) -> Series:
        series = Series(self._pool)
        if self._free:
            which = self._free.pop()
            self._series[which] = series
        else:
            which = len(self._series)
            self._series.append(series)
        put32(self._records, at + 28, which)
        put32(self._records, at + 32, _SERIES)
        return series

    def _remove_from_run(self, at: int, count: int, room: int, sequence: int) -> None:
        records, buf = self._records, self._pool.buf
        base, address = get64(records, at + 16), get32(records, at + 28)
        run = address << 4
        index = find32(buf, run, count + 1, sequence - base)
        shift(buf, run + 4 * index, run + 4 * index + 4, 4 * (count - index))
        put64(records, at, base + get32(buf, run))
        put64(records, at + 8, base + get32(buf, run + 4 * count - 4))
        if count == 2:
            self._pool.release(address, 4 * room)
            put32(records, at + 32, 0)
        elif 4 * count <= room:
            self._move(at, count, address, room, room >> 1)

    def _remove_from_series(self, at: int, count: int, sequence: int) -> None:
        records = self._records
        series = self._series_at(at)
        series.remove(sequence)
        first, last = series.next(0), series.previous(_END)
        put64(records, at, first)
        put64(records, at + 8, last)
        if count > _COLLAPSE or (count > 2 and last - first > _REACH):
            return
        which = get32(records, at + 28)
        self._series[which] = None
        self._free.append(which)
        put32(records, at + 32, 0)
        if count > 2:
            run = self._pool.allocate(4 * _COLLAPSE)
            put64(records, at + 16, first)
            put32(records, at + 28, run)
            put32(records, at + 32, _COLLAPSE)
            sequence = first
            for index in range(count):
                put32(self._pool.buf, (run << 4) + 4 * index, sequence - first)
                sequence = series.next(sequence + 1)
        series.clear()
