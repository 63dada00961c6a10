"""Compaction: a segment of which less than half is alive is copied without what is not, a slice at a time, and replaced.

A worker reads a slice, the loop looks which of its messages are still there, a worker writes those to ``NUMBER.seg.new``; that is synced
and renamed to the segment's name. A crash leaves the old file or the new one, both whole. Removals of messages that an earlier segment's
file still holds are copied, too: the head of a copy says how far in the log removals were applied to it. Then the index learns the new
places, some messages a turn; meanwhile the segment stands on the shelf twice, for the sequences that have moved and for the others.

A segment with damage is left as it is. What gets in the way (an erasure in the segment, a failing disk, the segment's removal, the end
of the store) cancels: then nothing has happened, or everything that is left to do is done at once.
"""

from __future__ import annotations

from bisect import bisect_right
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
        end: a segment's number, and a place in it: where the next record goes.
        settle: calls back when all changes so far are safe, or have failed.
        done: told when it is over: None where all is as it was; where the old segment has gone from the shelf, how many bytes of removals
            are in the copy, by the segments for which they are kept.

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
        end: tuple[int, int],
        settle: Callable[[Callable[[Exception | None], None]], None],
        done: Callable[[dict[int, int] | None], None],
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
        self._last = shelf.after(segment).head.base - 1
        self._targets = [
            (each.head.number, each.head.base, after.head.base - 1, (each.head.applied, each.head.applied_end))
            for each, after in zip(shelf.segments, shelf.segments[1:])
            if each.head.number < segment.head.number
        ]
        self._bases = [base for _, base, _, _ in self._targets]
        self._is_again = segment.head.applied > 0 or segment.head.applied_end > 0  # it is a copy
        self._removals: dict[int, int] = {}
        self._record = Record()
        self._copy = Segment(home.files, directory, segment.head._replace(applied=end[0], applied_end=end[1]))
        self._at = HEAD_SIZE
        self._size = _SLICE
        self._moves: list[tuple[int, int]] = []
        self._moved = 0
        self._is_settling = self._is_moving = self._is_over = False

    @property
    def is_empty(self) -> bool:
        """True if the copy has no message and no removal."""
        return not self._moves and not self._removals

    def begin(self) -> None:
        """Make the copy, and read the first slice."""
        self._handles.lend([self.segment])
        self._run(bytearray(self._copy.head.encode()), 0)

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
            self.segment.noted = 0  # it tells where records are in the old file
            forget_checkpoint(self._files, self._directory, self.segment.head.number)  # and all copies before this one are on disk
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
            if record.kind == MESSAGE and self._index.place_of(record.sequence) == self._at + at:
                self._moves.append((record.sequence, self._copy.end + len(kept)))
                kept += data[at : record.end]
            elif record.kind == REMOVE:
                kept += self._needed(record, (self.segment.head.number, self._at + at))
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

    def _needed(self, record: Record, place: tuple[int, int]) -> bytes | bytearray:
        """Return a removal without what is in no file any more; nothing where nothing is left. Drops are said by later segments' heads."""
        payload, needed = record.payload(), b""
        for at in range(0, len(payload), 16):
            first, last = (int.from_bytes(payload[each : each + 8], "little", signed=True) for each in (at, at + 8))
            target = self._target_of(first, last, place)
            if target:
                needed += payload[at : at + 16]
                self._removals[target] = self._removals.get(target, 0) + (16 if len(needed) > 16 else length(16))
        if not needed:
            return b""
        data = bytearray(length(len(needed)))
        encode(data, 0, self.segment.head.seed, REMOVE, record.flags, record.sequence, record.time, b"", b"", needed)
        return data

    def _target_of(self, first: int, last: int, place: tuple[int, int]) -> int:
        """Return the number of a segment whose file may hold messages that were removed at a place of the log, 0 where none does.

        What a copy has kept is at other places than it was when an earlier segment was copied: there it is needed until that one is
        copied again, when the log is already behind this segment.
        """
        at = max(bisect_right(self._bases, first) - 1, 0)
        while at < len(self._targets):
            number, base, end, applied = self._targets[at]
            if base > last:
                break
            if first <= end and (applied <= place or (self._is_again and applied[0] == place[0])):
                return number
            at += 1
        return 0

    def _give_up(self, result: object) -> None:
        self._is_over = True
        self._handles.take_back([self.segment])
        self._copy.close()
        if self._files.exists(f"{self._copy.path}.new"):
            with suppress(OSError):  # the next one, or the next start, removes it
                self._files.unlink(f"{self._copy.path}.new")
        self._done(None)
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
        self._done(self._removals)

    def _next_moves(self, result: object) -> None:
        self._shelf.readers -= 1
        if not self._is_over:
            self._move(_MOVES)


def _ignore(result: object) -> None:
    """Whether the new name is on disk does not matter yet: the old file has all that the new one has."""


def _nothing() -> None:
    """What a worker does for who only wants to be called in a later turn."""
