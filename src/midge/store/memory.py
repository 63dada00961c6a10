"""A store in memory: nothing of it outlives the process, and everything is committed at once.

``store.index`` knows the messages, ``store.shelves`` has their bytes: about 24 bytes of memory a message beside those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from midge.store.base import Elsewhere, Store, Stored, Total
from midge.store.index import Index
from midge.store.shelves import Shelves, weight
from midge.wire.publication import Publication

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Messages in memory.

    Args:
        first: the sequence of the first message to come.
        call_soon: calls a function later in this thread; ``settle`` and ``load`` answer by it.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], first: int = 1) -> None:
        self._call_soon = call_soon
        self._index = Index(first)
        self._shelves = Shelves(self._index)
        self.failure = None

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
    def committed(self) -> int:  # type: ignore[override]
        return self._index.last

    @property
    def subjects(self) -> int:  # type: ignore[override]
        return self._index.subjects

    def append(self, publication: Publication, time: int) -> int:
        return self._shelves.append(publication, time)

    def append_all(self, publications: list[Publication], time: int) -> int:
        if not publications:
            raise ValueError("no messages")
        for publication in publications:
            last = self._shelves.append(publication, time)
        return last

    def skip(self, sequence: int, time: int) -> None:
        self._index.skip(sequence, time)

    def remove(self, sequence: int) -> bool:
        return self._shelves.remove(sequence)

    def erase(self, sequence: int) -> bool:
        return self._shelves.erase(sequence)

    def drop(self, below: int) -> int:
        return self._shelves.drop(below)

    def purge(self, filter: bytes | None = None, below: int = 0, keep: int = 0) -> int:
        if filter is None and not keep:
            return self._shelves.drop(min(below, self._index.last + 1) if below else self._index.last + 1)
        return sum(self._shelves.remove(sequence) for sequence in self._index.doomed(filter, below, keep))

    def settle(self, call: Callable[[Exception | None], None]) -> None:
        self._call_soon(lambda: call(None))

    def peek(self, sequence: int) -> Stored | Elsewhere | None:
        return self._shelves.get(sequence)

    def load(self, sequences: list[int], call: Callable[[list[Stored | None] | Exception], None]) -> None:
        found = [self._shelves.get(sequence) for sequence in sequences]
        self._call_soon(lambda: call(found))

    def read(self, sequence: int) -> Stored | None:
        return self._shelves.get(sequence)

    def scan(self, start: int = 1) -> Iterator[Stored]:
        sequence = self._index.after(start)
        while sequence:
            stored = self._shelves.get(sequence)
            if stored is not None:
                yield stored
            sequence = self._index.after(sequence + 1)

    def subject_of(self, sequence: int) -> bytes | None:
        return self._index.subject_of(sequence)

    def time_of(self, sequence: int) -> int:
        return self._index.time_of(sequence)

    def size_of(self, sequence: int) -> int:
        return self._index.size_of(sequence)

    def weight(self, subject: int, header: int, payload: int) -> int:
        return weight(subject, header, payload)

    def at_time(self, time: int) -> int:
        return self._index.at_time(time)

    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        return self._index.next(filters, start)

    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        return self._index.previous(filters, start)

    def total(self, subject: bytes) -> Total | None:
        return self._index.total(subject)

    def totals(self, filter: bytes) -> Iterator[tuple[bytes, Total]]:
        return self._index.totals(filter)

    def pending(self, filters: tuple[bytes, ...], start: int, *, last_per_subject: bool = False) -> int:
        return self._index.pending(filters, start, last_per_subject=last_per_subject)

    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        return self._index.lasts(filters, up_to)

    def gaps(self) -> Iterable[tuple[int, int]]:
        return self._index.gaps()

    @property
    def deleted(self) -> int:
        return self._index.deleted

    def close(self) -> None:
        self._index = Index()
        self._shelves = Shelves(self._index)

    def delete(self) -> None:
        self.close()
