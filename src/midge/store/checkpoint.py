"""Checkpoint: what one segment's records say, so that opening need not read them: ``NUMBER.idx`` beside the segment.

     0  8s   b"midgeidx"             32  i64  end: where in the segment the records end that it tells of
     8  u32  version, 1              40  i64  floor, last sequence, and time of the last message, as of there
    12  u32  seed                    64  u32  how many parts
    16  u64  number of the segment   68  u32  bytes of the removals, and their CRC-32
    24  i64  base                    76  u32  CRC-32 of all that is before

The parts follow, each its size (u32) and a run of messages (``Index.dump``, which has a check), then the removals: pairs of i64, the
messages of earlier segments that records in this one remove. Messages that were removed since may be in it or not; a later segment tells.

It stays true while the segment is appended to. It is removed before a copy of the segment takes its place, and where there is no such
segment. One that is damaged, or does not fit the segment, is not used, and never waited for to be on disk: the segment says the same.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from midge.store.files import Files
from midge.store.index import Index
from midge.store.replay import Replay, collect_removals
from midge.store.segment import HEAD_SIZE, Segment

__all__ = [
    "Checkpoint",
    "CheckpointFile",
    "checkpoint_name",
    "forget_checkpoint",
    "is_checkpoint",
    "is_whole_checkpoint",
    "read_checkpoint",
]

_MAGIC = b"midgeidx"
_HEAD = struct.Struct("<8sIIQqqqqqIII")
_START = _HEAD.size + 4
_WIDEST = 1 << 31
_WINDOW = 256 << 10


class Checkpoint(NamedTuple):
    """The head of one that fits its segment."""

    path: str
    end: int
    floor: int
    last: int
    last_time: int
    parts: int
    size: int
    check: int

    def restore(self, files: Files, replay: Replay) -> None:
        """Take over what it tells.

        Raises:
            ValueError: it is damaged; some of it may have been taken over.
        """
        fd = files.open(self.path)
        try:
            at, room = _START, files.size(fd)
            for _ in range(self.parts):
                size = int.from_bytes(files.pread(fd, 4, at), "little")
                replay.index.restore(files.pread(fd, min(size, room), at + 4))
                at += 4 + size
            removals = files.pread(fd, self.size, at)
        finally:
            files.close(fd)
        if len(removals) != self.size or zlib.crc32(removals) != self.check:
            raise ValueError("the removals in a checkpoint are damaged")
        for first, last in struct.iter_unpack("<qq", removals):
            replay.remove(first, last)
        replay.drop(self.floor)
        replay.skip(self.last, self.last_time)


class CheckpointFile:
    """One that is being written: some ``dump`` in turn with ``write``, then ``finish``. All but ``dump`` may run in a worker.

    Args:
        files, path: the disk, and the directory of the segment.
        index: of the store.
        segment: which one; records are only added to it meanwhile.
        floor, last, last_time: as of its end, now.
    """

    def __init__(self, files: Files, path: str, index: Index, segment: Segment, floor: int, last: int, last_time: int) -> None:
        self._files = files
        self._name = f"{path}/{checkpoint_name(segment.head.number)}"
        self._index = index
        self._segment = segment
        self._end = segment.end
        self._tells = min(floor, last + 1), last, last_time
        self._next = segment.head.base
        self._fd = -1
        self._at = _START
        self._parts = 0

    def dump(self, most: int) -> bytes:
        """Return the next part, of about so many messages at most; empty behind the last one."""
        index, last = self._index, self._tells[1]
        first, span = index.after(self._next), most
        if not 0 < first <= last:
            return b""
        while span < _WIDEST and first + span <= last and index.alive(first, first + 2 * span - 1)[0] <= most:
            span *= 2
        self._next = min(first + span, last + 1)
        return index.dump(first, self._next - 1)

    def write(self, part: bytes) -> None:
        """Write a part."""
        if self._fd < 0:
            if self._files.exists(f"{self._name}.new"):
                self._files.unlink(f"{self._name}.new")
            self._fd = self._files.create(f"{self._name}.new")
        if part:
            self._files.pwrite(self._fd, len(part).to_bytes(4, "little") + part, self._at)
            self._at += 4 + len(part)
            self._parts += 1

    def finish(self, *, sync: bool) -> None:
        """Write the rest, and give it its name.

        Args:
            sync: wait until the segment is on disk first.
        """
        files, segment, head = self._files, self._segment, self._segment.head
        if sync:
            files.fdatasync(segment.opened())
        removals = bytearray()
        for found in _removals(files, segment, self._end):
            removals += found
        data = _HEAD.pack(
            _MAGIC, 1, head.seed, head.number, head.base, self._end, *self._tells, self._parts, len(removals), zlib.crc32(removals)
        )
        files.pwrite(self._fd, removals, self._at)
        files.pwrite(self._fd, data + struct.pack("<I", zlib.crc32(data)), 0)
        self.close()
        files.rename(f"{self._name}.new", self._name)
        segment.noted = self._end

    def close(self) -> None:
        """Let go of the file; without ``finish`` there is none, but what is left of it is removed at the next start."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._files.close(fd)


def checkpoint_name(number: int) -> str:
    """Return the name of a segment's checkpoint."""
    return f"{number:010d}.idx"


def is_checkpoint(name: str) -> bool:
    """True if a file of this name is one."""
    return name.endswith(".idx")


def forget_checkpoint(files: Files, path: str, number: int) -> None:
    """Remove the one of a segment, and wait until that is on disk, as all that was renamed before."""
    name = f"{path}/{checkpoint_name(number)}"
    if files.exists(name):
        files.unlink(name)
    files.sync_directory(path)


def read_checkpoint(files: Files, path: str, segment: Segment) -> Checkpoint | None:
    """Return what there is of a segment; None where there is nothing, or its head is damaged, or not of this segment."""
    name, head = f"{path}/{checkpoint_name(segment.head.number)}", segment.head
    if not files.exists(name):
        return None
    fd = files.open(name)
    try:
        data = files.pread(fd, _START, 0)
        room = files.size(fd) - _START
    finally:
        files.close(fd)
    if len(data) < _START or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    magic, version, seed, number, base, end, floor, last, last_time, parts, size, check = _HEAD.unpack(data[:-4])
    if (magic, version, seed, number, base) != (_MAGIC, 1, head.seed, head.number, head.base):
        return None
    if not HEAD_SIZE <= end <= segment.space or size > room or size % 16:
        return None
    return Checkpoint(name, end, floor, last, last_time, parts, size, check)


def is_whole_checkpoint(files: Files, path: str, segment: Segment) -> bool:
    """True if what there is of a segment fits it, and all of it can be read."""
    checkpoint = read_checkpoint(files, path, segment)
    try:
        if checkpoint is not None:
            checkpoint.restore(files, Replay(Index(segment.head.base)))
    except ValueError:
        return False
    return checkpoint is not None


def _removals(files: Files, segment: Segment, end: int) -> Iterator[bytearray]:
    """Return what the records of a segment remove of earlier ones.

    Raises:
        OSError: there is damage.
    """
    at, size = HEAD_SIZE, _WINDOW
    while at < end:
        data = files.pread(segment.opened(), min(size, end - at), at)
        found = bytearray()
        moved = collect_removals(data, 0, segment.head.seed, segment.head.base, found)
        if moved < 0 or moved == 0 and size >= end - at:
            raise OSError(f"{segment.path}: this is no record, at byte {at}")
        yield found
        at, size = at + moved, 2 * size if moved == 0 else _WINDOW
