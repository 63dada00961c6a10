"""A store in memory: nothing of it outlives the process, and everything is committed at once."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from midge.store.base import Elsewhere, Store, Stored, Total
from midge.wire.publication import Publication

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Messages in a dict.

    Args:
        first: the sequence of the first message to come.
        call_soon: calls a function later in this thread; ``settle`` and ``load`` answer by it.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], first: int = 1) -> None:
        self._call_soon = call_soon
        self._messages: dict[int, Stored] = {}
        self._by_subject: dict[bytes, deque[int]] = {}
        self.messages = self.size = self.first_time = self.last_time = 0
        self.last = self.committed = first - 1
        self.first = first if first > 1 else 0
        self.failure = None

    @property
    def subjects(self) -> int:  # type: ignore[override]
        return len(self._by_subject)

    def append(self, publication: Publication, time: int) -> int:
        time = max(time, self.last_time)
        self.last += 1
        stored = Stored(self.last, time, publication.subject(), publication.header(), publication.payload())
        self._messages[self.last] = stored
        self._by_subject.setdefault(stored.subject, deque()).append(self.last)
        if self.messages == 0:
            self.first, self.first_time = self.last, time
        self.messages += 1
        self.size += self._weight_of(stored)
        self.last_time = time
        self.committed = self.last
        return self.last

    def skip(self, sequence: int, time: int) -> None:
        if sequence > self.last:
            self.last = self.committed = sequence
            self.last_time = max(time, self.last_time)
            self._find_first()

    def remove(self, sequence: int) -> bool:
        stored = self._messages.pop(sequence, None)
        if stored is None:
            return False
        sequences = self._by_subject[stored.subject]
        sequences.remove(sequence)
        if not sequences:
            del self._by_subject[stored.subject]
        self.messages -= 1
        self.size -= self._weight_of(stored)
        if sequence == self.first:
            self._find_first()
        return True

    def erase(self, sequence: int) -> bool:
        return self.remove(sequence)

    def drop(self, below: int) -> int:
        if below > self.last + 1:
            self.skip(below - 1, self.last_time)
        return self.purge(below=below)

    def purge(self, filter: bytes | None = None, below: int = 0, keep: int = 0) -> int:
        filters = () if filter is None else (filter,)
        doomed = [stored.sequence for stored in self._messages.values() if _matches(filters, stored.subject)]
        doomed = doomed[: len(doomed) - keep] if keep else doomed
        doomed = doomed[: bisect_left(doomed, below)] if below else doomed
        return sum(self.remove(sequence) for sequence in doomed)

    def settle(self, call: Callable[[Exception | None], None]) -> None:
        self._call_soon(lambda: call(None))

    def peek(self, sequence: int) -> Stored | Elsewhere | None:
        return self._messages.get(sequence)

    def load(self, sequences: list[int], call: Callable[[list[Stored | None] | Exception], None]) -> None:
        found = [self._messages.get(sequence) for sequence in sequences]
        self._call_soon(lambda: call(found))

    def read(self, sequence: int) -> Stored | None:
        return self._messages.get(sequence)

    def scan(self, start: int = 1) -> Iterator[Stored]:
        return iter([stored for stored in self._messages.values() if stored.sequence >= start])

    def subject_of(self, sequence: int) -> bytes | None:
        stored = self._messages.get(sequence)
        return None if stored is None else stored.subject

    def time_of(self, sequence: int) -> int:
        stored = self._messages.get(sequence)
        return 0 if stored is None else stored.time

    def size_of(self, sequence: int) -> int:
        stored = self._messages.get(sequence)
        return 0 if stored is None else self._weight_of(stored)

    def weight(self, subject: int, header: int, payload: int) -> int:
        return subject + header + payload + 16

    def at_time(self, time: int) -> int:
        return next((stored.sequence for stored in self._messages.values() if stored.time >= time), self.last + 1)

    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        found = (stored.sequence for stored in self.scan(start) if _matches(filters, stored.subject))
        return next(found, 0)

    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        stored = [stored.sequence for stored in self._messages.values() if stored.sequence <= start and _matches(filters, stored.subject)]
        return stored[-1] if stored else 0

    def total(self, subject: bytes) -> Total | None:
        sequences = self._by_subject.get(subject)
        return None if sequences is None else Total(len(sequences), sequences[0], sequences[-1])

    def totals(self, filter: bytes) -> Iterator[tuple[bytes, Total]]:
        for subject, sequences in self._by_subject.items():
            if _matches((filter,), subject):
                yield subject, Total(len(sequences), sequences[0], sequences[-1])

    def pending(self, filters: tuple[bytes, ...], start: int, *, last_per_subject: bool = False) -> int:
        if last_per_subject:
            return sum(sequence >= start for sequence in self.lasts(filters))
        return sum(_matches(filters, stored.subject) for stored in self.scan(start))

    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        found: dict[bytes, int] = {}
        for stored in self._messages.values():
            if _matches(filters, stored.subject) and not 0 < up_to < stored.sequence:
                found[stored.subject] = stored.sequence
        return sorted(found.values())

    def gaps(self) -> Iterable[tuple[int, int]]:
        before = self.first - 1
        for sequence in self._messages:
            if sequence > before + 1:
                yield before + 1, sequence - 1
            before = sequence
        if before < self.last and self.messages:
            yield before + 1, self.last

    @property
    def deleted(self) -> int:
        return self.last - self.first + 1 - self.messages if self.messages else 0

    def close(self) -> None:
        self._messages.clear()

    def delete(self) -> None:
        self.close()

    def _find_first(self) -> None:
        stored = next(iter(self._messages.values()), None)
        self.first, self.first_time = (self.last + 1, 0) if stored is None else (stored.sequence, stored.time)

    def _weight_of(self, stored: Stored) -> int:
        return self.weight(len(stored.subject), len(stored.header), len(stored.payload))


def _matches(filters: tuple[bytes, ...], subject: bytes) -> bool:
    return not filters or any(_covers(filter.split(b"."), subject.split(b".")) for filter in filters)


def _covers(pattern: list[bytes], subject: list[bytes]) -> bool:
    if pattern[-1] == b">":
        return len(subject) >= len(pattern) and _covers(pattern[:-1], subject[: len(pattern) - 1]) if len(pattern) > 1 else True
    return len(pattern) == len(subject) and all(mine in (b"*", its) for mine, its in zip(pattern, subject))
