"""What the verbs of a store mean, in the plainest form: a dict of messages, and every answer found by looking at all of them."""

from collections.abc import Iterator

from midge.store.base import Store, Stored, Total
from midge.store.index import Index
from midge.subject import matches


class Plain:
    """The messages of one stream. ``weights`` tells what each counts for, as the store to compare with has it."""

    def __init__(self) -> None:
        self.stored: dict[int, Stored] = {}
        self.weights: dict[int, int] = {}
        self.first = self.last = self.last_time = 0

    @property
    def messages(self) -> int:
        return len(self.stored)

    @property
    def size(self) -> int:
        return sum(self.weights.values())

    @property
    def first_time(self) -> int:
        return self.stored[self.first].time if self.stored else 0

    @property
    def subjects(self) -> int:
        return len({stored.subject for stored in self.stored.values()})

    @property
    def deleted(self) -> int:
        return sum(last - first + 1 for first, last in self.gaps())

    def append(self, subject: bytes, header: bytes, payload: bytes, time: int, weight: int) -> int:
        self.last += 1
        self.last_time = max(time, self.last_time)
        self.stored[self.last] = Stored(self.last, self.last_time, subject, header, payload)
        self.weights[self.last] = weight
        self._find_first()
        return self.last

    def skip(self, sequence: int, time: int) -> None:
        if sequence > self.last:
            self.last, self.last_time = sequence, max(time, self.last_time)
            self._find_first()

    def remove(self, sequence: int) -> bool:
        if self.stored.pop(sequence, None) is None:
            return False
        del self.weights[sequence]
        self._find_first()
        return True

    def drop(self, below: int) -> int:
        dropped = sum(self.remove(sequence) for sequence in list(self.stored) if sequence < below)
        self.skip(below - 1, self.last_time)
        return dropped

    def doomed(self, filter: bytes | None, below: int, keep: int) -> list[int]:
        found = [sequence for sequence in self.matching(() if filter is None else (filter,))]
        found = found[: max(len(found) - keep, 0)]
        return [sequence for sequence in found if sequence < below or not below]

    def matching(self, filters: tuple[bytes, ...]) -> Iterator[int]:
        """All sequences whose subjects match, in order."""
        for sequence, stored in self.stored.items():
            if not filters or any(matches(filter.decode(), stored.subject.decode()) for filter in filters):
                yield sequence

    def at_time(self, time: int) -> int:
        return next((stored.sequence for stored in self.stored.values() if stored.time >= time), self.last + 1)

    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        return next((sequence for sequence in self.matching(filters) if sequence >= start), 0)

    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        return max((sequence for sequence in self.matching(filters) if sequence <= start), default=0)

    def totals(self, filter: bytes) -> dict[bytes, Total]:
        found: dict[bytes, list[int]] = {}
        for sequence in self.matching((filter,)):
            found.setdefault(self.stored[sequence].subject, []).append(sequence)
        return {subject: Total(len(sequences), sequences[0], sequences[-1]) for subject, sequences in found.items()}

    def counts(self, filter: bytes) -> dict[bytes, int]:
        return {subject: total.messages for subject, total in self.totals(filter).items()}

    def pending(self, filters: tuple[bytes, ...], start: int, last_per_subject: bool = False) -> int:
        return sum(sequence >= start for sequence in (self.lasts(filters) if last_per_subject else self.matching(filters)))

    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        found = {self.stored[sequence].subject: sequence for sequence in self.matching(filters) if sequence <= up_to or not up_to}
        return sorted(found.values())

    def gaps(self) -> Iterator[tuple[int, int]]:
        before = self.first - 1
        for sequence in [*self.stored, self.last + 1] if self.stored else []:
            if sequence > before + 1:
                yield before + 1, sequence - 1
            before = sequence

    def _find_first(self) -> None:
        self.first = next(iter(self.stored), self.last + 1 if self.last else 0)


def totals(store: Store | Index, filter: bytes, count: int = 7) -> dict[bytes, int]:
    """All subjects of a store that match, and how many messages each has, asked for so many at a time."""
    found: dict[bytes, int] = {}
    place = 0
    while place >= 0:
        page, place = store.totals(filter, place, count)
        assert len(page) <= count and (place < 0 or len(page) == count) and not found.keys() & dict(page).keys()
        found.update(page)
    return found
