"""Index: what is known of each message of a stream without reading it, and which messages a subject has.

Per message: where it is (``place``, a number of the store's own), what it counts for (``size``), four flags of the store's own, its time
and its subject. An index reads no file and keeps no payload. ``dump`` turns a run of messages into bytes that ``restore`` takes back, for a
file beside the messages, with a checksum: what was damaged is refused and can be made again from the messages.

``place`` has 32 bits: where in its segment a message begins. The segment follows from the sequence, as each holds a range of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from midge.store.base import Total

__all__ = ["Index"]

_MAX_PLACE, _MAX_SIZE, _MAX_FLAGS = (1 << 32) - 1, (1 << 28) - 1, 15


class Index:
    """The messages of one stream.

    Args:
        first: the sequence of the first message to come.

    Attributes:
        messages, size, first, last, first_time, last_time, subjects: as ``Store`` has them; ``size`` is the sum of all sizes.
    """

    def __init__(self, first: int = 1) -> None:
        self._entries: dict[int, tuple[int, int, int, int, bytes]] = {}
        self._by_subject: dict[bytes, list[int]] = {}
        self.messages = self.size = self.first_time = self.last_time = 0
        self.last = first - 1
        self.first = first if first > 1 else 0

    @property
    def subjects(self) -> int:
        return len(self._by_subject)

    @property
    def deleted(self) -> int:
        """How many sequences between ``first`` and ``last`` have no message."""
        return self.last - self.first + 1 - self.messages if self.messages else 0

    # Changes

    def add(self, sequence: int, place: int, size: int, flags: int, time: int, buf: bytearray, start: int, end: int) -> None:
        """Note a message.

        Args:
            sequence: above ``last``; what is between is a gap.
            place: where it is, below 2**32.
            size: what it counts for, below 2**28.
            flags: 0 to 15.
            time: nanoseconds since the epoch; an earlier one than ``last_time`` becomes that.
            buf: holds the subject, from start to end.

        Raises:
            ValueError: a number is out of its range.
        """
        if sequence <= self.last or not (0 <= place <= _MAX_PLACE and 0 <= size <= _MAX_SIZE and 0 <= flags <= _MAX_FLAGS):
            raise ValueError(f"message {sequence} behind {self.last}, at {place}, of {size} bytes, flags {flags}")
        subject = bytes(buf[start:end])
        time = self.last_time = max(time, self.last_time)
        self._entries[sequence] = (place, size, flags, time, subject)
        self._by_subject.setdefault(subject, []).append(sequence)
        if not self.messages:
            self.first, self.first_time = sequence, time
        self.messages += 1
        self.size += size
        self.last = sequence

    def skip(self, sequence: int, time: int) -> None:
        """Use up all sequences up to this one without a message; nothing where they are used."""
        if sequence > self.last:
            self.last = sequence
            self.last_time = max(time, self.last_time)
            if not self.messages:
                self.first = sequence + 1

    def remove(self, sequence: int) -> bool:
        """Forget a message. False where there is none of that sequence."""
        entry = self._entries.pop(sequence, None)
        if entry is None:
            return False
        sequences = self._by_subject[entry[4]]
        sequences.remove(sequence)
        if not sequences:
            del self._by_subject[entry[4]]
        self.messages -= 1
        self.size -= entry[1]
        if sequence == self.first:
            self.first = next(iter(self._entries), self.last + 1)
            self.first_time = self.time_of(self.first)
        return True

    def drop(self, below: int) -> int:
        """Forget all messages before a sequence, which may be past the last one: then those before it are used up. Return how many."""
        dropped = 0
        while self.messages and self.first < below:
            self.remove(self.first)
            dropped += 1
        self.skip(below - 1, self.last_time)
        return dropped

    def move(self, sequence: int, place: int) -> None:
        """Note that a message is elsewhere now; nothing where there is none of that sequence."""
        entry = self._entries.get(sequence)
        if entry is not None:
            self._entries[sequence] = (place, *entry[1:])

    # One message

    def has(self, sequence: int) -> bool:
        return sequence in self._entries

    def place_of(self, sequence: int) -> int:
        """Return where a message is, -1 where there is none."""
        entry = self._entries.get(sequence)
        return -1 if entry is None else entry[0]

    def size_of(self, sequence: int) -> int:
        """Return what a message counts for, 0 where there is none."""
        entry = self._entries.get(sequence)
        return 0 if entry is None else entry[1]

    def flags_of(self, sequence: int) -> int:
        """Return the flags of a message, 0 where there is none."""
        entry = self._entries.get(sequence)
        return 0 if entry is None else entry[2]

    def time_of(self, sequence: int) -> int:
        """Return the time of a message, 0 where there is none."""
        entry = self._entries.get(sequence)
        return 0 if entry is None else entry[3]

    def subject_of(self, sequence: int) -> bytes | None:
        """Return the subject of a message, None where there is none."""
        entry = self._entries.get(sequence)
        return None if entry is None else entry[4]

    # Many

    def after(self, sequence: int) -> int:
        """Return the first sequence at or after this one that has a message, 0 where there is none."""
        return self.next((), sequence)

    def flagged(self, flags: int, start: int) -> int:
        """Return the first sequence at or after start whose message has one of these flags, 0 where there is none."""
        return next((sequence for sequence, entry in self._entries.items() if sequence >= start and entry[2] & flags), 0)

    def alive(self, first: int, last: int) -> tuple[int, int]:
        """Return how many messages there are from first to last, both included, and the sum of their sizes."""
        found = [entry[1] for sequence, entry in self._entries.items() if first <= sequence <= last]
        return len(found), sum(found)

    def at_time(self, time: int) -> int:
        """Return the sequence of the first message of this time or later; ``last + 1`` where there is none."""
        return next((sequence for sequence, entry in self._entries.items() if entry[3] >= time), self.last + 1)

    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        """Return the sequence of the first message at or after start whose subject matches one of the filters, 0 where there is none."""
        return next((sequence for sequence, entry in self._entries.items() if sequence >= start and _matches(filters, entry[4])), 0)

    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        """Return the sequence of the last such message at or before start, 0 where there is none."""
        found = [sequence for sequence, entry in self._entries.items() if sequence <= start and _matches(filters, entry[4])]
        return found[-1] if found else 0

    def total(self, subject: bytes) -> Total | None:
        """Return what there is of one literal subject."""
        sequences = self._by_subject.get(subject)
        return None if sequences is None else Total(len(sequences), sequences[0], sequences[-1])

    def totals(self, filter: bytes) -> Iterator[tuple[bytes, Total]]:
        """Return every subject that matches, in no order, with what there is of it. Ends where the index changes meanwhile."""
        for subject, sequences in list(self._by_subject.items()):
            if _matches((filter,), subject):
                yield subject, Total(len(sequences), sequences[0], sequences[-1])

    def pending(self, filters: tuple[bytes, ...], start: int, *, last_per_subject: bool = False) -> int:
        """Return how many messages at or after start match; of each subject only the last one, where that is asked for."""
        if last_per_subject:
            return sum(sequence >= start for sequence in self.lasts(filters))
        return sum(_matches(filters, entry[4]) for sequence, entry in self._entries.items() if sequence >= start)

    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        """Return the sequence of the last message of every matching subject, sorted; of those at or before ``up_to``, unless 0."""
        found = []
        for subject, sequences in self._by_subject.items():
            kept = [sequence for sequence in sequences if not 0 < up_to < sequence]
            if kept and _matches(filters, subject):
                found.append(kept[-1])
        return sorted(found)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Return the ranges (first, last) of sequences between ``first`` and ``last`` that have no message."""
        before = self.first - 1
        for sequence in list(self._entries):
            if sequence > before + 1:
                yield before + 1, sequence - 1
            before = sequence
        if before < self.last and self.messages:
            yield before + 1, self.last

    # Files

    def dump(self, first: int, last: int) -> bytes:
        """Return all that is known of the messages from first to last, both included, for ``restore``."""
        lines = [b"%d %d %d %d %d %s" % (sequence, *entry) for sequence, entry in self._entries.items() if first <= sequence <= last]
        data = b"\n".join(lines)
        return b"%08x" % zlib.crc32(data) + data

    def restore(self, data: bytes) -> None:
        """Add the messages of a ``dump``, which are all above ``last``.

        Raises:
            ValueError: it is no dump, or was damaged, or is of messages that are not above ``last``; nothing was added.
        """
        if data[:8] != b"%08x" % zlib.crc32(data[8:]):
            raise ValueError("the checksum is wrong")
        lines = [line.split(b" ", 5) for line in data[8:].split(b"\n")] if data[8:] else []
        if lines and int(lines[0][0]) <= self.last:
            raise ValueError(f"message {int(lines[0][0])} behind {self.last}")
        for *numbers, subject in lines:
            sequence, place, size, flags, time = map(int, numbers)
            self.add(sequence, place, size, flags, time, bytearray(subject), 0, len(subject))


def _matches(filters: tuple[bytes, ...], subject: bytes) -> bool:
    return not filters or any(_covers(filter.split(b"."), subject.split(b".")) for filter in filters)


def _covers(pattern: list[bytes], subject: list[bytes]) -> bool:
    if pattern[-1] == b">":
        return len(subject) >= len(pattern) and _covers(pattern[:-1], subject[: len(pattern) - 1]) if len(pattern) > 1 else True
    return len(pattern) == len(subject) and all(mine in (b"*", its) for mine, its in zip(pattern, subject))
