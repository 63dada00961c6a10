"""Reader: messages from where they are: the blocks in memory, what the system has in memory, or the files.

Older messages are read in runs, not one by one, and by ``load`` away from the loop. Every record is checked; one that is not what was
written is kept, reported once, and missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from midge.store.base import ELSEWHERE, Elsewhere, Stored
from midge.store.files import Files
from midge.store.handles import Handles
from midge.store.record import GOOD, MESSAGE
from midge.store.recovery import Damage, keep
from midge.store.segment import Segment

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.index import Index
    from cython.cimports.midge.store.record import Record, length
    from cython.cimports.midge.store.shelf import Shelf
    from cython.cimports.midge.store.sight import Sight
else:
    from midge.store.index import Index
    from midge.store.record import Record, length
    from midge.store.shelf import Shelf
    from midge.store.sight import Sight

__all__ = ["Reader"]

_RUN = 1 << 20  # bytes read at once
_AHEAD = 64 << 10
_BLAMED = 1000  # messages that are reported one by one


class Reader(Sight):
    """Reads the messages of a store.

    Args:
        files, path: the disk, and the store's directory.
        shelf: where the records are.
        submit: runs a call in a worker.
        report: told of what is damaged.
        handles: opens segments.
    """

    def __init__(
        self,
        files: Files,
        path: str,
        shelf: Shelf,
        submit: Callable[[Callable[[], object], Callable[[object], None]], None],
        report: Callable[[Damage], None],
        handles: Handles,
    ) -> None:
        super().__init__(Index())
        self._files = files
        self._path = path
        self._shelf = shelf
        self._submit = submit
        self._report = report
        self._handles = handles
        self._record = Record()
        self._blamed: set[int] = set()
        self._window = bytearray()  # what peek has read last, ahead
        self._window_of: Segment | None = None
        self._window_base = self._peeked = 0

    def peek(self, sequence: int) -> Stored | Elsewhere | None:
        """Return a message, None where there is none, or ELSEWHERE where it is not in memory."""
        place = self.index.place_of(sequence)
        if place < 0:
            return None
        segment = self._shelf.segment_of(sequence)
        block = self._shelf.block_of(segment, place)
        if block is not None:
            return self._decoded(block.buf, place - block.base, block.fill, segment, sequence)
        record = self._record
        if segment is self._window_of and self._is_in_window(place, segment.head.seed):
            if record.sequence == sequence and record.kind == MESSAGE:
                self._peeked = sequence
                return Stored(sequence, record.time, record.subject(), record.header(), record.payload())
        size = length(self.index.size_of(sequence))
        if sequence == self._peeked + 1:  # somebody reads one after the other
            size = max(size, min(_AHEAD, segment.end - place))
        self._peeked = sequence
        try:
            data = self._files.pread_cached(self._handles.use(segment), size, place)
        except OSError:  # who loads it is told
            return ELSEWHERE
        if data is None or record.decode(data, 0, len(data), segment.head.seed) != GOOD:
            return ELSEWHERE  # short, or damaged: whoever reads it finds out
        self._window, self._window_of, self._window_base = data, segment, place
        return self._decoded(data, 0, len(data), segment, sequence)

    def look(self, sequence: int) -> bool:
        place = self.index.place_of(sequence)
        if place < 0:
            return False
        segment, record = self._shelf.segment_of(sequence), self._record
        block = self._shelf.block_of(segment, place)
        if block is not None:
            if record.decode(block.buf, place - block.base, block.fill, segment.head.seed) != GOOD:
                return False
        elif segment is self._window_of and self._is_in_window(place, segment.head.seed):
            self._peeked = sequence  # who looks at the messages one after the other reads them so, too
        else:
            return False
        if record.sequence != sequence or record.kind != MESSAGE:
            return False
        self.sequence, self.time, self.subject, self.buf = sequence, record.time, record.subject(), record.buf
        self.header_start, self.payload_start, self.payload_end = record.header_start, record.payload_start, record.payload_end
        return True

    def _is_in_window(self, place: int, seed: int) -> bool:
        """True if the record at a place could be read from what was read last."""
        at = place - self._window_base
        return 0 <= at < len(self._window) and self._record.decode(self._window, at, len(self._window), seed) == GOOD

    def load(self, sequences: list[int], call: Callable[[list[Stored | None] | Exception], None]) -> None:
        """Read messages in a worker, and call back in ``finish``: None for what is not there."""
        wanted: list[tuple[Segment, int, int, int]] = []
        found: dict[int, Stored | None] = {}
        for sequence in sequences:
            place = self.index.place_of(sequence)
            if place < 0:
                continue
            segment = self._shelf.segment_of(sequence)
            block = self._shelf.block_of(segment, place)
            if block is not None:
                found[sequence] = self._decoded(block.buf, place - block.base, block.fill, segment, sequence)
                continue
            wanted.append((segment, place, length(self.index.size_of(sequence)), sequence))

        def done(result: object) -> None:
            self._shelf.readers -= 1
            self._handles.take_back(segments)
            self._shelf.let_go()
            if isinstance(result, BaseException):
                call(result if isinstance(result, Exception) else RuntimeError(str(result)))
                return
            try:
                for sequence in [sequence for _, _, _, sequence in wanted if sequence not in found]:
                    found[sequence] = self.read(sequence)  # it has been moved, or is damaged
            except OSError as error:
                call(error)
                return
            call([found.get(sequence) for sequence in sequences])

        segments = [segment for segment, _, _, _ in wanted]
        self._handles.lend(segments)
        self._shelf.readers += 1
        self._submit(lambda: found.update(_read_runs(self._files, wanted)), done)

    def read(self, sequence: int) -> Stored | None:
        """Return a message, however long that takes."""
        place = self.index.place_of(sequence)
        if place < 0:
            return None
        segment = self._shelf.segment_of(sequence)
        block = self._shelf.block_of(segment, place)
        if block is not None:
            return self._decoded(block.buf, place - block.base, block.fill, segment, sequence)
        data = self._files.pread(self._handles.use(segment), length(self.index.size_of(sequence)), place)
        return self._decoded(data, 0, len(data), segment, sequence)

    def scan(self, start: int = 1) -> Iterator[Stored]:
        """Return all messages from a sequence on, in order."""
        sequence = self.index.after(start)
        while sequence:
            segment = self._shelf.segment_of(sequence)
            place = self.index.place_of(sequence)
            block = self._shelf.block_of(segment, place)
            if block is not None:
                data, base, stop = block.buf, block.base, block.fill
            else:
                size = max(min(_RUN, segment.end - place), length(self.index.size_of(sequence)))
                data, base = self._files.pread(self._handles.use(segment), size, place), place
                stop = len(data)
            while sequence:
                stored = self._decoded(data, place - base, stop, segment, sequence)
                if stored is not None:
                    yield stored
                sequence = self.index.after(sequence + 1)
                place, size = self.index.place_of(sequence), length(self.index.size_of(sequence))
                if not base <= place <= base + stop - size or self._shelf.segment_of(sequence) is not segment:
                    break

    def _decoded(self, buf: bytearray, at: int, stop: int, segment: Segment, sequence: int) -> Stored | None:
        """Return the message at a place of a buffer; None, and a report, where it is not there."""
        record = self._record
        if record.decode(buf, at, stop, segment.head.seed) == GOOD and record.sequence == sequence and record.kind == MESSAGE:
            return Stored(sequence, record.time, record.subject(), record.header(), record.payload())
        if sequence not in self._blamed and len(self._blamed) < _BLAMED:
            self._blamed.add(sequence)
            self._blame(segment, sequence)
        return None

    def _blame(self, segment: Segment, sequence: int) -> None:
        """Keep what was found there, in a worker, and report it then."""
        place, size = self.index.place_of(sequence), length(self.index.size_of(sequence))

        def done(result: object) -> None:
            self._shelf.readers -= 1
            self._handles.take_back([segment])
            self._shelf.let_go()
            if isinstance(result, BaseException) and not isinstance(result, OSError):
                raise result
            kept = result if isinstance(result, str) else ""  # the report matters more, and the bytes are still where they were
            self._report(Damage(segment.path, place, sequence, sequence, "a message is not what was written", kept))

        self._handles.lend([segment])
        self._shelf.readers += 1
        self._submit(lambda: keep(self._files, self._path, segment, place, place + size), done)


def _read_runs(files: Files, wanted: list[tuple[Segment, int, int, int]]) -> dict[int, Stored]:
    """Read messages, those that are near each other at once; what is not there is left out. In a worker."""
    record, found = Record(), {}
    data, base, of = bytearray(), 0, None
    ordered = sorted(wanted, key=lambda each: (each[0].head.number, each[1]))
    for at, (segment, place, size, sequence) in enumerate(ordered):
        if segment is not of or place + size > base + len(data):
            end = place + size
            for other, next_place, next_size, _ in ordered[at + 1 :]:
                if other is not segment or next_place + next_size > place + max(_RUN, size):
                    break
                end = next_place + next_size
            data, base, of = files.pread(segment.opened(), end - place, place), place, segment
        if record.decode(data, place - base, len(data), segment.head.seed) == GOOD and record.sequence == sequence:
            found[sequence] = Stored(sequence, record.time, record.subject(), record.header(), record.payload())
    return found
