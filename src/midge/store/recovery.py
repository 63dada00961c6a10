"""Recovery: from the segments of a stream, what its store knew. The same code opens a store and takes back what could not be written.

The records are read in order. What is found wrong is one of these, and none is ever corrected by removing what may be good:

- **a torn tail**: behind the last record of the last segment something stands that is no record. It was not acknowledged, unless the
  disk has changed it afterwards: it is copied to ``quarantine`` and cut off. So is an atomic batch whose last message is not there.
- **a lost range**: what is no record, and records follow. It is copied to ``quarantine``, stepped over and left where it is. Messages
  that had been removed anyway are not reported.
- **missing segments, a segment that cannot be read**: a lost range as well; what cannot be read is moved to ``quarantine`` as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from midge.store.checkpoint import Checkpoint, checkpoint_name, is_checkpoint, read_checkpoint
from midge.store.commit import erase_record
from midge.store.files import Files
from midge.store.index import Index
from midge.store.record import DROP, ERASED, HEAD, MESSAGE, MORE, OVERWRITE, REMOVE, SKIP, Record, encode, length
from midge.store.replay import Replay
from midge.store.segment import HEAD_SIZE, Head, Scan, Segment, file_name, number_of, read_head
from midge.store.tail import weight

__all__ = ["Damage", "Recovery", "keep"]

_COPY = 1 << 20
_QUARANTINE = "quarantine"
Limit = tuple[int, int]


class Damage(NamedTuple):
    """Something that was found wrong.

    Attributes:
        file: where.
        offset: in bytes.
        first, last: the sequences of the messages that are lost by it; 0 and -1 where none is, or none that anybody knows of.
        why: in words.
        kept_as: the file that holds the bytes now, empty where there were none.
    """

    file: str
    offset: int
    first: int
    last: int
    why: str
    kept_as: str

    def __str__(self) -> str:
        lost = ""
        if self.first <= self.last:
            is_one = self.first == self.last
            lost = f": message {self.first} is lost" if is_one else f": messages {self.first} to {self.last} are lost"
        at = f" at byte {self.offset}" if self.offset else ""
        return f"{self.file}{at}: {self.why}{lost}{f' (kept as {self.kept_as})' if self.kept_as else ''}"


class _DamagedCheckpoint(Exception):
    """A checkpoint could not be used, and some of it was."""


class _Lost(NamedTuple):
    """A lost range before its bytes are kept: (start, end) in a segment, and the sequences."""

    segment: Segment
    start: int
    end: int
    first: int
    last: int
    why: str


class Recovery:
    """Reads a store's directory.

    Args:
        files: the disk.
        path: the directory.
        seed: of the store, unless a segment's head knows better.
        limit: a segment's number and an offset: what is behind is looked at by nobody, and nothing is changed. None to read all.

    Attributes:
        index: of the messages.
        segments: in order.
        seed: of the store.
        damages: what was wrong.
        floor: all messages below it have been dropped.
        failure: why what is wrong could not be kept, or what is there is not safe: it was left as it is, and nothing may be written; None
            where nothing failed.
    """

    def __init__(self, files: Files, path: str, seed: int, limit: Limit | None = None) -> None:
        self._files = files
        self._path = path
        self._limit = limit
        self.seed = seed
        self.segments: list[Segment] = []
        self.damages: list[Damage] = []
        self.failure: OSError | None = None
        self._headless: list[Segment] = []
        self._begin_again()

    def _begin_again(self) -> None:
        """Know nothing of what the records say."""
        self._replay = Replay(Index())
        for segment in self.segments:
            segment.noted = 0
        self._pending: list[tuple[Segment, int, int, str]] = []
        self._lost: list[_Lost] = []
        self._gone: list[tuple[int, int, bool]] = []  # (first, last, to be overwritten) of messages that were looked for in vain
        self._erase: list[tuple[Segment, int, int]] = []
        self._group: list[tuple[int, int, int, int, bytes]] = []
        self._group_start = -1

    def run(self) -> None:
        """Read everything.

        Raises:
            OSError: a file cannot be read; StoreVersionError: a later version wrote it.
        """
        found = self._open_segments()
        try:
            self._read(found, self._checkpoints(found))
        except _DamagedCheckpoint:
            self._begin_again()
            self._read(found, {})
        if self._limit is None:
            if self.segments and self.floor < self.segments[0].head.base > 1:
                first, last = max(self.floor, 1), self.segments[0].head.base - 1
                self._lost.append(_Lost(self.segments[0], HEAD_SIZE, HEAD_SIZE, first, last, "segments before it are missing"))
            self._report()
            self._overwrite()
            self._disown()
            self._settle()

    def _read(self, found: list[tuple[Segment, bool]], checkpoints: dict[int, Checkpoint]) -> None:
        """Read the segments, of those that have a checkpoint what is behind it."""
        for at, (segment, is_whole) in enumerate(found):
            start = HEAD_SIZE
            self._begin(segment)
            if segment.head.number in checkpoints:
                start = self._restore(segment, checkpoints[segment.head.number])
            segment.end = start
            stop = self._limit[1] if self._limit is not None and at == len(found) - 1 else segment.space
            scan = Scan(self._files, segment.opened(), stop, self.seed, start)
            self._take_records(segment, scan)
            if not is_whole:
                self._heal_head(segment, scan)
            if at < len(found) - 1:
                self._flush_group()
                if scan.is_torn:
                    self._pending.append((segment, scan.end, stop, "this is no record"))
            else:
                self._end(segment, scan)
            segment.close()

    def _restore(self, segment: Segment, checkpoint: Checkpoint) -> int:
        """Take over a checkpoint, and return how far in the segment that is."""
        try:
            checkpoint.restore(self._files, self._replay)
        except ValueError as error:
            raise _DamagedCheckpoint from error
        segment.noted = checkpoint.end
        return checkpoint.end

    @property
    def index(self) -> Index:
        return self._replay.index

    @property
    def floor(self) -> int:
        return self._replay.floor

    def close(self) -> None:
        """Close what was opened."""
        for segment in self.segments:
            segment.close()

    # Segments

    def _open_segments(self) -> list[tuple[Segment, bool]]:
        """Open all segments, and tell of each whether its head could be read."""
        numbers = []
        for name in self._files.names(self._path):
            number = number_of(name)
            if number is not None and (self._limit is None or number <= self._limit[0]):
                numbers.append(number)
            elif name.endswith(".new") and self._limit is None:
                self._files.unlink(f"{self._path}/{name}")  # a copy that was never finished
        heads = {number: self._head_of(number) for number in numbers}
        self.seed = next((head.seed for head, _ in heads.values() if head is not None), self.seed)
        found = []
        for number in numbers:
            head, is_whole = heads[number]
            segment = Segment(self._files, self._path, Head(number, self.seed, 0, 0, 0) if head is None else head)
            segment.opened()
            segment.close()  # there may be more of them than files may be open: what is needed is opened then
            if head is not None or self._has_records(segment, number == numbers[-1]):
                self.segments.append(segment)
                if head is None:
                    self._headless.append(segment)
                found.append((segment, is_whole))
        return found

    def _checkpoints(self, found: list[tuple[Segment, bool]]) -> dict[int, Checkpoint]:
        """Return the checkpoints that fit, by the numbers of their segments."""
        checkpoints: dict[int, Checkpoint] = {}
        segments = {checkpoint_name(segment.head.number): segment for segment, is_whole in found if is_whole}
        stale = []
        for name in self._files.names(self._path):
            segment = segments.get(name)
            checkpoint = None if segment is None else read_checkpoint(self._files, self._path, segment)
            if segment is None or checkpoint is None:
                stale += [name] if is_checkpoint(name) else []
            elif self._limit is None or (segment.head.number, checkpoint.end) <= self._limit:
                checkpoints[segment.head.number] = checkpoint
        if stale and self._limit is None:
            if not found:
                self.damages.append(Damage(self._path, 0, 0, -1, "all its segments are missing, and with them all messages", ""))
            for name in stale:
                self._files.unlink(f"{self._path}/{name}")
            self._files.sync_directory(self._path)  # what is written from here on may not become what one of them seems to tell of
        return checkpoints

    def _head_of(self, number: int) -> tuple[Head | None, bool]:
        """Return the head of a segment, and whether both copies of it are good."""
        fd = self._files.open(f"{self._path}/{file_name(number)}")
        try:
            data = self._files.pread(fd, HEAD_SIZE, 0)
        finally:
            self._files.close(fd)
        head = read_head(data)
        if head is None or head.number != number:
            return None, False
        return head, data == head.encode()

    def _has_records(self, segment: Segment, is_last: bool) -> bool:
        """Look whether a segment with a damaged head holds records; move it away where it does not."""
        scan = Scan(self._files, segment.opened(), segment.space, self.seed)
        if any(True for _ in scan):
            return True
        nothing = not self._files.pread(segment.fd, HEAD_SIZE, 0).strip(b"\0") and not scan.is_torn
        segment.close()
        if is_last and nothing:
            self._files.unlink(segment.path)  # it was being made, and nothing had been written to it
            return False
        self._files.make_directory(f"{self._path}/{_QUARANTINE}")
        kept = f"{self._path}/{_QUARANTINE}/{file_name(segment.head.number)}"
        self._files.rename(segment.path, kept)
        self._files.sync_directory(self._path)
        self.damages.append(Damage(segment.path, 0, 0, -1, "neither its head nor any record can be read", kept))
        return False

    def _begin(self, segment: Segment) -> None:
        """Take over what a segment's head says of those before it."""
        head = segment.head
        before = self.segments[self.segments.index(segment) - 1] if segment is not self.segments[0] else None
        if before is not None and head.number > before.head.next_number:
            self._pending.append((before, before.end, before.end, "segments behind it are missing"))
        if head.base == 0:
            return
        if before is not None and not self._pending and self._replay.last < head.base - 1:
            self._pending.append((before, before.end, before.end, "records are missing at its end"))
        self._resolve(head.base)
        self._replay.drop(head.floor)
        self._replay.skip(head.base - 1, head.last_time)

    def _heal_head(self, segment: Segment, scan: Scan) -> None:
        """Write a head anew that could not be read, so that the next damage does not cost the segment."""
        if self._limit is not None:
            return
        if segment in self._headless:
            segment.head = Head(segment.head.number, self.seed, self._first_of(segment, scan), self.floor, self.index.last_time)
        self._files.pwrite(segment.fd, segment.head.encode(), 0)
        self._files.fdatasync(segment.fd)
        self.damages.append(Damage(segment.path, 0, 0, -1, "its head was damaged", ""))

    def _first_of(self, segment: Segment, scan: Scan) -> int:
        again = Scan(self._files, segment.fd, scan.end, self.seed)
        return next((record.sequence for record in again if record.kind in (MESSAGE, ERASED)), self._replay.last + 1)

    # Records

    def _take_records(self, segment: Segment, scan: Scan) -> None:
        damages = 0
        if segment.head.base == 0:
            segment.head = segment.head._replace(base=self._replay.last + 1)
        self._take_plain(scan)
        for record in scan:
            if len(scan.damages) > damages:
                self._flush_group()
                self._pending += [(segment, start, end, "this is no record") for start, end in scan.damages[damages:]]
                damages = len(scan.damages)
            if record.kind == MESSAGE:
                self._message(segment, scan.place, record)
            else:
                self._flush_group()
                self._change(record)
            self._take_plain(scan)
            segment.end = scan.end
        segment.end = scan.end

    def _take_plain(self, scan: Scan) -> None:
        """Take over what follows in a way that is much faster than record by record, unless something is open."""
        if not (self._group or self._pending or self._lost):
            scan.advance(self._take_some)

    def _take_some(self, buf: bytearray, at: int, base: int) -> int:
        return self._replay.take(buf, at, base, self.seed)

    def _message(self, segment: Segment, place: int, record: Record) -> None:
        if record.sequence <= self._replay.last:
            self._pending.append((segment, place, place + record.end - record.start, f"message {record.sequence} is out of order"))
            return
        self._resolve(record.sequence)
        self._replay.last = record.sequence
        size = weight(record.size(), record.has_header())
        if record.flags & MORE or self._group:
            if not self._group:
                self._group_start = place
            self._group.append((record.sequence, place, size, record.time, record.subject()))
            if not record.flags & MORE:
                self._flush_group()
            return
        self.index.add(record.sequence, place, size, 0, record.time, record.buf, record.subject_start, record.header_start)

    def _flush_group(self) -> None:
        for sequence, place, size, time, subject in self._group:
            self.index.add(sequence, place, size, 0, time, bytearray(subject), 0, len(subject))
        self._group.clear()

    def _change(self, record: Record) -> None:
        """Do what a record says that is no message."""
        self._resolve(record.sequence + (record.kind != ERASED))
        payload = record.payload()
        numbers = [int.from_bytes(payload[at : at + 8], "little", signed=True) for at in range(0, len(payload), 8)]
        self._replay.skip(record.sequence, record.time)
        if record.kind == REMOVE:
            for first, last in zip(numbers[::2], numbers[1::2]):
                self._remove(first, last, bool(record.flags & OVERWRITE))
        elif record.kind == DROP and numbers:
            self._replay.drop(numbers[0])
        elif record.kind not in (SKIP, ERASED):
            raise OSError(f"a record of kind {record.kind} in {self._path}: a later version wrote it")

    def _remove(self, first: int, last: int, overwrite: bool) -> None:
        if self._lost or self._pending:
            self._gone.append((first, last, overwrite))
        sequence = self.index.after(first)
        while 0 < sequence <= last:
            if overwrite:
                self._erase.append((self._segment_of(sequence), self.index.place_of(sequence), sequence))
            self.index.remove(sequence)
            sequence = self.index.after(sequence + 1)

    def _segment_of(self, sequence: int) -> Segment:
        return [segment for segment in self.segments if segment.head.base <= sequence][-1]

    def _resolve(self, next_sequence: int) -> None:
        """Tell the sequences that are lost by what was stepped over, as the next one is known now."""
        first, last = self._replay.last + 1, next_sequence - 1
        for segment, start, end, why in self._pending:
            known = (first, last) if first <= last else (0, -1)
            self._lost.append(_Lost(segment, start, end, *known, why))
            first = last + 1
        self._pending.clear()

    # The end

    def _end(self, segment: Segment, scan: Scan) -> None:
        """Cut off the tail of the last segment, where it is torn."""
        self._resolve(self._replay.last + 1)
        end, why = scan.end, "a torn tail"
        if self._group:
            end, why = self._group_start, "an atomic batch without its end"
            self._replay.last = self._group[0][0] - 1
            self._group.clear()
        segment.end = end
        if self._limit is not None or end == scan.end and not scan.is_torn:
            return
        try:
            kept = keep(self._files, self._path, segment, end, segment.space)
            self._files.truncate(segment.fd, end)
            self._files.fdatasync(segment.fd)
        except OSError as error:  # what is before it can be read
            self.failure = error
            return
        segment.space = end
        self.damages.append(Damage(segment.path, end, 0, -1, why, kept))

    def _disown(self) -> None:
        """Let no copy of a segment say that removals were applied to it which stand behind the end of the log, where others will stand."""
        end = (self.segments[-1].head.number, self.segments[-1].end) if self.segments else (0, 0)
        for segment in self.segments:
            if (segment.head.applied, segment.head.applied_end) > end:
                segment.head = segment.head._replace(applied=0, applied_end=1)  # it is a copy all the same
                self._files.pwrite(segment.opened(), segment.head.encode(), 0)
                self._files.fdatasync(segment.fd)
                segment.close()

    def _settle(self) -> None:
        """Wait until on disk is what was read: who wrote it may have been killed before that, and whoever is shown it now counts on it.

        What a checkpoint tells of is on disk. After a clean stop there is nothing else.
        """
        unsettled = [segment for segment in self.segments if segment.noted < segment.end]
        try:
            for segment in unsettled:
                self._files.fdatasync(segment.opened())
                segment.close()
            if unsettled:
                self._files.sync_directory(self._path)
        except OSError as error:
            self.failure = self.failure or error
            for segment in unsettled:
                self._write_again(segment)

    def _write_again(self, segment: Segment) -> None:
        """Let the next attempt sync more than nothing: a system may take for written what it could not write."""
        with suppress(OSError):  # then that one fails, too
            for at in range(0, segment.end, _COPY):
                self._files.pwrite(segment.opened(), self._files.pread(segment.fd, min(_COPY, segment.end - at), at), at)

    def _report(self) -> None:
        """Keep the bytes of what is lost, unless all of it had been removed."""
        for lost in self._lost:
            if self._had_gone(lost, lambda overwrite: True):
                continue
            kept = ""
            if lost.end > lost.start:
                with suppress(OSError):  # the bytes stay where they are, too
                    kept = keep(self._files, self._path, lost.segment, lost.start, lost.end)
            self.damages.append(Damage(lost.segment.path, lost.start, lost.first, lost.last, lost.why, kept))

    def _overwrite(self) -> None:
        """Finish what was to be overwritten when the process ended."""
        written = set()
        for segment, place, sequence in self._erase:
            erase_record(self._files, segment.opened(), place, self.seed, sequence)
            written.add(segment)
        for lost in self._lost:
            size = lost.end - lost.start - HEAD
            if size >= 0 and self._had_gone(lost, lambda overwrite: overwrite):
                buf = bytearray(length(size))
                encode(buf, 0, self.seed, ERASED, 0, lost.last, 0, b"", b"", bytes(size))
                self._files.pwrite(lost.segment.opened(), buf, lost.start)
                written.add(lost.segment)
        for segment in written:
            self._files.fdatasync(segment.opened())

    def _had_gone(self, lost: _Lost, counts: Callable[[bool], bool]) -> bool:
        """True if all that is lost had been removed before."""
        if lost.first > lost.last:
            return False
        at = lost.first
        for first, last, overwrite in sorted(self._gone):
            if first <= at <= last and counts(overwrite):
                at = last + 1
        return at > lost.last or (counts(False) and lost.last < self.floor)


def keep(files: Files, path: str, segment: Segment, start: int, end: int) -> str:
    """Copy a range of a segment to ``quarantine``, wait until it is on disk, and return the file's path; once is enough."""
    files.make_directory(f"{path}/{_QUARANTINE}")
    kept = f"{path}/{_QUARANTINE}/{segment.head.number:010d}-{start}-{end}"
    if files.exists(kept):
        return kept
    if files.exists(f"{kept}.new"):
        files.unlink(f"{kept}.new")
    fd = files.create(f"{kept}.new")
    try:
        for at in range(start, end, _COPY):
            files.pwrite(fd, files.pread(segment.opened(), min(_COPY, end - at), at), at - start)
        files.fdatasync(fd)
    finally:
        files.close(fd)
    files.rename(f"{kept}.new", kept)
    files.sync_directory(f"{path}/{_QUARANTINE}")
    files.sync_directory(path)
    return kept
