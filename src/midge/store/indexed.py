"""Indexed: the part of a store that its index answers, and no file is read for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midge.store.base import ELSEWHERE, Elsewhere, Store, Total
from midge.store.index import Index
from midge.store.tail import weight
from midge.wire.publication import Publication

__all__ = ["IndexedStore", "doomed"]


class IndexedStore(Store):
    """A store that has an ``Index``; one in files has another after it went back to what is on disk."""

    _index: Index

    @property
    def messages(self) -> int:  # type: ignore[override]
        return self._index.messages

    @property
    def size(self) -> int:  # type: ignore[override]
        return self._index.size

    @property
    def first(self) -> int:  # type: ignore[override]
        return self._index.first

    @property
    def last(self) -> int:  # type: ignore[override]
        return self._index.last

    @property
    def first_time(self) -> int:  # type: ignore[override]
        return self._index.first_time

    @property
    def last_time(self) -> int:  # type: ignore[override]
        return self._index.last_time

    @property
    def subjects(self) -> int:  # type: ignore[override]
        return self._index.subjects

    @property
    def deleted(self) -> int:
        return self._index.deleted

    def compose(self, sequence: int, head: bytes, count: int, delivery: int, left: int) -> Publication | Elsewhere | None:
        found = self.peek(sequence)
        if found is None or found is ELSEWHERE:
            return found
        _, time, subject, header, payload = found
        return Publication.compose(subject, b"%b%d.%d.%d.%d.%d" % (head, count, sequence, delivery, time, left), header, payload)

    def subject_of(self, sequence: int) -> bytes | None:
        return self._index.subject_of(sequence)

    def time_of(self, sequence: int) -> int:
        return self._index.time_of(sequence)

    def size_of(self, sequence: int) -> int:
        return self._index.size_of(sequence)

    def weight(self, subject: int, header: int, payload: int) -> int:
        return weight(subject + header + payload, header > 0)

    def at_time(self, time: int) -> int:
        return self._index.at_time(time)

    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        return self._index.next(filters, start)

    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        return self._index.previous(filters, start)

    def total(self, subject: bytes) -> Total | None:
        return self._index.total(subject)

    def totals(self, filter: bytes, place: int, count: int) -> tuple[list[tuple[bytes, int]], int]:
        return self._index.totals(filter, place, count)

    def prepare(self, filters: tuple[bytes, ...], start: int = 0) -> bool:
        return self._index.prepare(filters, start)

    def pending(self, filters: tuple[bytes, ...], start: int, *, last_per_subject: bool = False) -> int:
        return self._index.pending(filters, start, last_per_subject=last_per_subject)

    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        return self._index.lasts(filters, up_to)

    def some_lasts(self, filters: tuple[bytes, ...], place: int, count: int, up_to: int) -> tuple[list[int], int]:
        return self._index.some_lasts(filters, place, count, up_to)

    def gaps(self, start: int = 1) -> Iterable[tuple[int, int]]:
        return self._index.gaps(start)


def doomed(index: Index, filter: bytes | None = None, below: int = 0, keep: int = 0) -> Iterator[int]:
    """Return the sequences of the messages that ``Store.purge`` removes, in order. Each may be removed before the next is asked for."""
    filters = () if filter is None else (filter,)
    left = index.pending(filters, 1) - keep
    sequence = index.next(filters, 1)
    while sequence and left > 0 and (sequence < below or not below):
        yield sequence
        left -= 1
        sequence = index.next(filters, sequence + 1)
