"""Compaction: a segment of which less than half is alive is copied without what is not, a slice at a time, and replaced.

A worker reads a slice, the loop looks which of its messages are still there, a worker writes those to ``NUMBER.seg.new``; that is synced
and renamed to the segment's name. A crash leaves the old file or the new one, both whole. Removals of messages in earlier segments
are copied, as those files still hold them. Then the index learns the new places, some messages a turn; meanwhile the segment stands on
the shelf twice, for the sequences that have moved and for those that have not.

A segment with damage is left as it is. What gets in the way (an erasure in the segment, a failing disk, the segment's removal, the end
of the store) cancels: then nothing has happened, or everything that is left to do is done at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from midge.store.checkpoint import forget_checkpoint
from midge.store.home import Home
from midge.store.index import Index
from midge.store.record import DAMAGED, GOOD, HEAD, MESSAGE, REMOVE, SKIP, TORN, Record, encode, length
from midge.store.segment import HEAD_SIZE, Segment
from midge.store.shelf import Shelf

__all__ = ["Compaction"]

_SLICE = 256 << 10
_MOVES = 2000  # places that the index learns at once


class Compaction:
    """The copying of one segment, which is not the last one. ``step`` begins it.

    Args:
        home: gives the disk, workers and handles.
        directory: of the store.
        index, shelf: of the store.
        segment: what is copied.
        settle: calls back when all changes so far are safe, or have failed.
        done: told when it is over: the old segment has gone from the shelf (True), or all is as it was.

    Attributes:
        segment: as given.
    """

    def __init__(
        self,
        home: Home,
        directory: str,
        index: Index,
        shelf: Shelf,
        segment: Segment,
        settle: Callable[[Callable[[Exception | None], None]], None],
        done: Callable[[bool], None],
    ) -> None:
        self.segment = segment
        self._files = home.files
        self._handles = home.handles
        self._directory = directory
        self._index = index
        self._shelf = shelf
        self._submit = home.submit
        self._settle = settle
        self._done = done
        self._last = shelf.last_of(segment)
        self._record = Record()
        self._copy = Segment(home.files, directory, segment.head)
        self._at = HEAD_SIZE
        self._size = _SLICE
        self._moves: list[tuple[int, int]] = []
        self._moved = 0
        self._is_settling = self._is_moving = self._is_over = False

    def begin(self) -> None:
        """Make the copy, and read the first slice."""
        self._handles.lend([self.segment])
        self._run(bytearray(self.segment.head.encode()), 0)

    def cancel(self) -> None:
        """Change nothing from here on; ``done`` is told at once, or when the worker's call has ended."""
        if self._is_moving:
            self._move(len(self._moves))
        elif self._is_settling and not self._is_over:
            self._give_up(None)
        else:
            self._is_over = True

    def _run(self, data: bytearray, place: int) -> None:
        """Write what was kept of a slice, and read the next one."""
        at, size = self._at, min(self._size, self.segment.end - self._at)

        def work() -> bytearray:
            if self._copy.fd < 0:
                if self._files.exists(f"{self._copy.path}.new"):
                    self._files.unlink(f"{self._copy.path}.new")  # of one that was cancelled
                self._copy.fd = self._files.create(f"{self._copy.path}.new")
            self._files.pwrite(self._copy.fd, data, place)
            if size:
                return self._files.pread(self.segment.opened(), size, at)
            self._files.fdatasync(self._copy.fd)
            forget_checkpoint(self._files, self._directory)  # it tells where records are in the old file
            return bytearray()

        self._shelf.readers += 1
        self._submit(work, self._took)

    def _took(self, result: object) -> None:
        self._shelf.readers -= 1
        if self._is_over or not isinstance(result, bytearray):
            self._give_up(result)
        elif not result:
            self._is_settling = True
            self._settle(self._settled)
        else:
            kept = self._kept(result)
            if kept is None:
                self._give_up(None)
                return
            place = self._copy.end
            self._copy.end += len(kept)
            self._run(kept, place)

    def _settled(self, error: Exception | None) -> None:
        if self._is_over:
            return
        self._is_settling = False
        if error is None:
            self._replace()
        else:
            self._give_up(None)

    def _kept(self, data: bytearray) -> bytearray | None:
        """Return what of a slice is copied; None where it is damaged."""
        record, kept, at = self._record, bytearray(), 0
        while at < len(data):
            found = record.decode(data, at, len(data), self.segment.head.seed)
            if found == DAMAGED or found == TORN and at + HEAD <= len(data):
                return None
            if found != GOOD:
                break  # the rest of it is in the next slice
            if self._is_kept(record, self._at + at):
                if record.kind == MESSAGE:
                    self._moves.append((record.sequence, self._copy.end + len(kept)))
                kept += data[at : record.end]
            at = record.end
        if at < len(data) and self._at + len(data) >= self.segment.end:
            return None
        if at == 0:
            self._size *= 2  # one message is longer than a slice
            return kept
        self._size = _SLICE
        self._at += at
        if self._at == self.segment.end:
            end = bytearray(length(0))
            encode(end, 0, self.segment.head.seed, SKIP, 0, self._last, 0, b"", b"", b"")
            kept += end  # so that what was removed last is not missed as lost
        return kept

    def _is_kept(self, record: Record, place: int) -> bool:
        if record.kind == MESSAGE:
            return self._index.place_of(record.sequence) == place
        if record.kind != REMOVE:
            return False  # dropped: the heads of later segments say it
        firsts = record.payload()
        return any(int.from_bytes(firsts[at : at + 8], "little", signed=True) < self.segment.head.base for at in range(0, len(firsts), 16))

    def _give_up(self, result: object) -> None:
        self._is_over = True
        self._handles.take_back([self.segment])
        self._copy.close()
        if self._files.exists(f"{self._copy.path}.new"):
            with suppress(OSError):  # the next one, or the next start, removes it
                self._files.unlink(f"{self._copy.path}.new")
        self._done(False)
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result

    def _replace(self) -> None:
        """Put the copy in the segment's place. Renaming is quick, and whichever of the two a crash leaves will do."""
        try:
            self._files.rename(f"{self._copy.path}.new", self._copy.path)
            self._copy.space = self._files.size(self._copy.fd)
        except OSError as error:
            self._give_up(error)
            return
        self._is_moving = True
        self._handles.lend([self._copy])
        self._shelf.drop_segment(self.segment.head.number)
        self._shelf.put_before(self._copy, self.segment)
        self._submit(lambda: self._files.sync_directory(self._directory), _ignore)
        self._move(_MOVES)

    def _move(self, count: int) -> None:
        """Tell the index some new places."""
        index, shelf = self._index, self._shelf
        for sequence, place in self._moves[self._moved : self._moved + count]:
            index.move(sequence, place)
        self._moved += count
        if self._moved < len(self._moves):
            shelf.rebase(self.segment, self._moves[self._moved][0])
            shelf.readers += 1
            self._submit(_nothing, self._next_moves)
            return
        self._handles.take_back([self.segment, self._copy])
        shelf.take_away(self.segment)
        self._is_moving = False
        self._is_over = True
        self._done(True)

    def _next_moves(self, result: object) -> None:
        self._shelf.readers -= 1
        if not self._is_over:
            self._move(_MOVES)


def _ignore(result: object) -> None:
    """Whether the new name is on disk does not matter yet: the old file has all that the new one has."""


def _nothing() -> None:
    """What a worker does for who only wants to be called in a later turn."""
