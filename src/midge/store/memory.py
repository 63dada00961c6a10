"""A store in memory: nothing of it outlives the process, and everything is committed at once.

``store.index`` knows the messages, ``store.shelves`` has their bytes: about 24 bytes of memory a message beside those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from midge.store.base import Elsewhere, Stored
from midge.store.index import Index
from midge.store.indexed import IndexedStore, doomed
from midge.store.shelves import Shelves, weight
from midge.wire.publication import Publication

__all__ = ["MemoryStore"]


class MemoryStore(IndexedStore):
    """Messages in memory.

    Args:
        first: the sequence of the first message to come.
        call_soon: calls a function later in this thread; ``settle`` and ``load`` answer by it.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], first: int = 1) -> None:
        self._call_soon = call_soon
        self._index = Index(first)
        self._shelves = self.sight = Shelves(self._index)
        self.failure = None
        self.is_pending = False

    @property
    def committed(self) -> int:  # type: ignore[override]
        return self._index.last

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
        return sum(self._shelves.remove(sequence) for sequence in doomed(self._index, filter, below, keep))

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

    def weight(self, subject: int, header: int, payload: int) -> int:
        return weight(subject, header, payload)

    def close(self) -> None:
        self._index = Index()
        self._shelves = Shelves(self._index)

    def delete(self, told: Callable[[], None]) -> None:
        self.close()
        told()
