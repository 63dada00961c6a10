"""Segment: one append-only file of records. It is numbered, and holds the sequences from its base up to the next segment's base.

A segment begins with the same head twice, so that one damaged byte costs nothing; the records follow at HEAD_SIZE. Behind the last of
them there may be zeros, where space was set aside. The head says what the segments before it would have told, had they not been removed:

     0  8s   b"midgeseg"               24  i64  base: all sequences in this file are at or above it
     8  u32  version, 1                32  i64  floor: all messages below it were dropped when this file was begun
    12  u32  seed of the head checks   40  i64  time of the last message before
    16  u32  number of the segment     48  u64  applied: a segment's number
    20  u32  follows: a number         56  u32  and a place in it
                                       60  u32  CRC-32 of the bytes before

``applied`` is of a segment that was copied: what the log removed before that place is not in it. So who copies another segment may leave
such removals out. Where it is not known any more it is (0, 1), and where the segment is no copy (0, 0). ``follows`` is the number of the
next segment where those between the two had no message and are gone; otherwise 0, and the next number follows.

``Scan`` reads the records in order and steps over what is damaged; what it has stepped over is in ``damages``, and ``end`` is where the
last record ended. Where something stands behind ``end`` that is not zero, it ``is_torn``: a write that was cut off, or damage of the last
record; which of the two, nobody can tell. Nothing here changes a file but ``Segment``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from midge.errors import StoreVersionError
from midge.store.files import Files
from midge.store.folder import Folder
from midge.store.record import DAMAGED, GOOD, HEAD, SHORT, Record, find

__all__ = ["HEAD_SIZE", "Head", "Scan", "Segment", "VERSION", "file_name", "number_of", "read_head"]

VERSION = 1
HEAD_SIZE = 128
_MAGIC = b"midgeseg"
_HEAD = struct.Struct("<8sIIIIqqqQI")
_WINDOW = 256 << 10  # bytes that are read at once, and gone over while no other thread runs
_FIRST_STEP, _LAST_STEP = 64 << 10, 8 << 20


class Head(NamedTuple):
    """What a segment says of itself, and of what was before it."""

    number: int
    seed: int
    base: int
    floor: int
    last_time: int
    applied: int = 0
    applied_end: int = 0
    follows: int = 0

    @property
    def next_number(self) -> int:
        """The number of the segment behind it, where there is one."""
        return self.follows or self.number + 1

    def encode(self) -> bytes:
        """Return the head, twice."""
        data = _HEAD.pack(_MAGIC, VERSION, self.seed, self.number, self.follows, *self[2:-1])
        return 2 * (data + struct.pack("<I", zlib.crc32(data)))


def read_head(data: bytes | bytearray) -> Head | None:
    """Return the head of a segment from the first HEAD_SIZE bytes of its file, None where both copies are damaged.

    Raises:
        StoreVersionError: a later version wrote it.
    """
    for copy in (data[:64], data[64:HEAD_SIZE]):
        if len(copy) == 64 and copy[:8] == _MAGIC and zlib.crc32(copy[:60]) == int.from_bytes(copy[60:], "little"):
            _, version, seed, number, follows, *rest = _HEAD.unpack(copy[:60])
            if version != VERSION:
                raise StoreVersionError(file_name(number), version, VERSION)
            return Head(number, seed, *rest)._replace(follows=follows)
    return None


def file_name(number: int) -> str:
    """Return the name of a segment's file."""
    return f"{number:010d}.seg"


def number_of(name: str) -> int | None:
    """Return the number of the segment whose file has this name, None where it is none."""
    stem, dot, suffix = name.partition(".")
    return int(stem) if dot and suffix == "seg" and len(stem) == 10 and stem.isdecimal() else None


class Segment:
    """The file of a segment, as the writing side knows it. Made by the loop; its file is made and grown in a worker.

    Attributes:
        head: as it is written.
        path: the file.
        fd: open for reading and writing, -1 where it is not.
        end: where the last record ends that was given to it.
        space: bytes set aside for it, 0 where there is no file yet.
        noted: how far its checkpoint tells of it, 0 where it has none.
        users: how many workers' calls may use the file now: it is not closed meanwhile.
    """

    __slots__ = ("_first", "end", "fd", "files", "head", "noted", "path", "space", "users")

    def __init__(self, files: Files, directory: str, head: Head) -> None:
        self.files = files
        self.head = head
        self.path = f"{directory}/{file_name(head.number)}"
        self.fd = -1
        self._first: dict[int, int] = {}  # what ``opened`` has opened
        self.end = HEAD_SIZE
        self.space = self.noted = self.users = 0

    def make(self, folder: Folder) -> None:
        """Make the file and wait until it is on disk under its name, in the directory that it is to be in."""
        files = self.files
        self.fd = files.create(self.path)
        files.pwrite(self.fd, self.head.encode(), 0)
        self.reserve(HEAD_SIZE)
        files.fdatasync(self.fd)
        folder.sync()

    def opened(self) -> int:
        """Return the file's descriptor, opening it where it is not; in any thread."""
        if self.fd < 0:
            fd = self.files.open(self.path)
            kept = self._first.setdefault(0, fd)  # a worker and the loop may open it at the same moment: one of them has
            if kept == fd:
                self.space = self.files.size(fd)
            else:
                self.files.close(fd)
            self.fd = kept
        return self.fd

    def reserve(self, end: int) -> None:
        """Set space aside up to ``end`` and, where there is so much, a step further: a file that need not grow is synced faster."""
        if end <= self.space:
            return
        step = min(max(_FIRST_STEP, self.space), _LAST_STEP)
        for target in (end + step, end):
            try:
                self.files.fallocate(self.fd, self.space, target - self.space)
            except OSError:
                if target == end:
                    raise
            else:
                self.space = target
                return

    def close(self) -> None:
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            self._first.clear()
            self.files.close(fd)


class Scan:
    """Reads the records of one file in order.

    Args:
        files: reads the file.
        fd: the file.
        stop: where to stop, at the latest: the size of the file.
        seed: of the head checks.
        start: where the first record begins.

    Attributes:
        record: the one that was found last, while iterating; it is used again.
        place: where in the file that one begins.
        damages: (start, end) of what was stepped over, because records followed.
        end: where the last record ended.
        is_torn: something stands behind the last one that is not zero.
    """

    def __init__(self, files: Files, fd: int, stop: int, seed: int, start: int = HEAD_SIZE) -> None:
        self._files = files
        self._fd = fd
        self._stop = stop
        self._seed = seed
        self._window = bytearray()
        self._base = start
        self.record = Record()
        self.place = start
        self.damages: list[tuple[int, int]] = []
        self.end = start
        self.is_torn = False

    def __iter__(self) -> Iterator[Record]:
        record, damaged, at = self.record, -1, self.end
        while self._covers(at, HEAD):
            found = record.decode(self._window, at - self._base, len(self._window), self._seed)
            size = record.end - record.start
            if found == SHORT and self._covers(at, size):
                found = record.decode(self._window, at - self._base, len(self._window), self._seed)
            if found == GOOD:
                if damaged >= 0:
                    self.damages.append((damaged, at))
                    damaged = -1
                self.place = at
                self.end = at + size
                yield record
                at = self.end
            elif damaged < 0 and self._is_zero(at):
                return
            else:
                damaged = at if damaged < 0 else damaged
                at = at + size if found == DAMAGED else self._search(at + 8)
        self.is_torn = not self._is_zero(self.end)

    def advance(self, take: Callable[[bytearray, int, int], int]) -> None:
        """Let somebody else take records, while none is being iterated.

        Args:
            take: gets a buffer, where the next record begins in it, and where in the file the buffer begins; returns where the first
                record begins that it has not taken.
        """
        while self._covers(self.end, HEAD):
            at = take(self._window, self.end - self._base, self._base) + self._base
            if at == self.end:
                return
            self.end = at

    def _covers(self, at: int, size: int) -> bool:
        """Have so many bytes from ``at`` in the window. False where the file has fewer."""
        if at + size <= self._base + len(self._window):
            return True
        if at + size > self._stop:
            return False
        self._window = self._files.pread(self._fd, min(max(size, _WINDOW), self._stop - at), at)
        self._base = at
        return size <= len(self._window)

    def _search(self, at: int) -> int:
        """Return where the next head of a record stands at or behind ``at``, ``stop`` where none does."""
        while self._covers(at, HEAD):
            found = find(self._window, at - self._base, len(self._window), self._seed)
            if found >= 0:
                return self._base + found
            at = self._base + ((len(self._window) - HEAD + 8) & ~7)
        return self._stop

    def _is_zero(self, at: int) -> bool:
        """True if there is nothing but zeros from ``at`` on."""
        while at < self._stop:
            if self._base <= at < self._base + len(self._window):
                data = self._window[at - self._base :]
            else:
                data = self._files.pread(self._fd, min(_WINDOW, self._stop - at), at)
            if not data or data != bytes(len(data)):
                return not data
            at += len(data)
        return True
