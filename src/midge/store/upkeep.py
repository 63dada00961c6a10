"""Upkeep: what is done for a store's files while nobody waits for it, one thing at a time.

Segments are copied without what is of no use, those that nothing is left in are joined, and those that are not appended to any more get
checkpoints, so that opening the store after a crash reads little.

A segment is copied when half of its bytes would be freed. A checkpoint is written a part at a time: the loop looks up some thousand
messages, a worker writes them; what is told in it has to be as safe as the store promises before it gets its name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from midge.store.checkpoint import CheckpointFile, checkpoint_name
from midge.store.compaction import Compaction
from midge.store.folder import Folder
from midge.store.home import Home
from midge.store.index import Index
from midge.store.joining import Joining
from midge.store.segment import HEAD_SIZE, Segment
from midge.store.shelf import Shelf
from midge.store.waste import Waste

__all__ = ["Upkeep"]

_SOME, _MANY = 8 << 10, 1 << 20  # messages of a part of a checkpoint: while others wait for the loop, and while nobody does
_SMALL = 16 << 20  # a segment that is appended to is ended early where it has more bytes, and half of them are of no use


class Upkeep:
    """Keeps the files of one store small and soon read.

    Args:
        home: gives the disk, workers and handles.
        path: of the store's directory.
        shelf: of the store.
        settle: calls back when all changes so far are safe, or have failed.
        replaced: told of a segment that a copy has taken the place of.
    """

    def __init__(
        self,
        home: Home,
        path: str,
        shelf: Shelf,
        settle: Callable[[Callable[[Exception | None], None]], None],
        replaced: Callable[[Segment], None],
    ) -> None:
        self.waste = Waste()
        self._home = home
        self._path = path
        self._shelf = shelf
        self._settle = settle
        self._replaced = replaced
        self._compaction: Compaction | None = None
        self._noting: _Noting | None = None
        self._joining: Joining | None = None
        self._freed: dict[int, int] = {}
        self._empty: set[int] = set()  # segments of which the copy had nothing to keep,
        self._emptied: list[int] = []  # and those of them whose neighbours are to be looked at
        self._unnoted: dict[int, None] = {}  # segments that have no checkpoint, or one that tells of a part

    def begin_again(self, index: Index) -> None:
        """Know of the segments what an index tells, which was read from the files."""
        self.waste = Waste()
        self._empty.clear()
        self._emptied.clear()
        segments = self._shelf.segments
        self._unnoted = {segment.head.number: None for segment in segments[:-1]}
        for segment, after in zip(segments, segments[1:]):
            count, size = index.alive(segment.head.base, after.head.base - 1)
            self.waste.add(segment.head.number, max(0, segment.end - HEAD_SIZE - size - 10 * count))  # a record has some bytes more

    def work(self, index: Index, durable: tuple[int, int], end: tuple[int, int], floor: int) -> None:
        """Begin what is worth it, unless something is under way.

        Args:
            index: of the store.
            durable: a segment's number, and a place in it: all before it is on disk.
            end: the same of where the next record goes.
            floor: all messages below it have been dropped, and that is on disk.
        """
        if self._compaction is not None or self._noting is not None or self._joining is not None:
            return
        for number in [number for number in self.waste.grown if number < durable[0]]:
            segment = self._shelf.numbered(number)
            self.waste.grown.discard(number)
            if segment is not None and self._is_worth_copying(segment):
                self._copy(segment, index, end)
                return
        if self._join():
            return
        while (number := next(iter(self._unnoted), durable[0])) < durable[0]:
            segment = self._shelf.numbered(number)
            del self._unnoted[number]
            if segment is not None and segment.noted < segment.end:
                self._note(segment, index, floor)
                return

    def name(self, folder: Folder) -> None:
        """Let a worker see to it that a new directory is on disk; where that fails, the first round does it."""

        def named(result: object) -> None:
            self._shelf.readers -= 1

        self._shelf.readers += 1
        self._home.submit(folder.sync, named)

    def sealed(self, number: int) -> None:
        """A segment is not appended to any more, once all of it is on disk."""
        self._unnoted[number] = None

    def should_roll(self, segment: Segment) -> bool:
        """True if a segment that is appended to is better ended, so that it can be copied."""
        return segment.end > _SMALL and self._is_worth_copying(segment)

    def cancel(self) -> None:
        """Change no file and no place from here on."""
        if self._compaction is not None:
            self._compaction.cancel()
        if self._noting is not None:
            self._noting.cancel()
        if self._joining is not None:
            self._joining.cancel()

    def cancel_copy(self) -> None:
        """Move no message from here on."""
        if self._compaction is not None:
            self._compaction.cancel()

    def remove(self, segments: list[Segment]) -> None:
        """Remove the files of segments that have gone from the shelf."""
        for segment in segments:
            self.waste.dropped(segment.head.number)
            self._empty.discard(segment.head.number)
        files = self._home.files

        def work() -> None:
            for segment in segments:
                if segment.space:  # a segment may go before anything was written to it
                    files.unlink(segment.path)
                if segment.noted:
                    files.unlink(f"{self._path}/{checkpoint_name(segment.head.number)}")
            files.sync_directory(self._path)

        self._home.submit(work, self._removed)

    def _removed(self, result: object) -> None:
        """What could not be removed is removed when the store is opened the next time: everything in it was dropped."""
        self._shelf.let_go()
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result

    def note(self, index: Index, floor: int) -> None:
        """Write the checkpoints that are missing. Nothing is under way, and everything is on disk; this waits for it."""
        segments = [segment for segment in self._shelf.segments if segment.space]
        tells = [(after.head.base - 1, after.head.last_time) for after in segments[1:]] + [(index.last, index.last_time)]
        for segment, (last, last_time) in zip(segments, tells):
            if segment.noted == segment.end:
                continue
            file = CheckpointFile(self._home.files, self._path, index, segment, floor, last, last_time)
            try:
                with suppress(OSError):  # then the segment is read
                    while part := file.dump(_MANY):
                        file.write(part)
                    file.write(b"")
                    file.finish(sync=False)
            finally:
                file.close()

    def _copy(self, segment: Segment, index: Index, end: tuple[int, int]) -> None:
        self._freed = self.waste.owed_to(segment.head.number)
        self._compaction = Compaction(self._home, self._path, index, self._shelf, segment, end, self._settle, self._compacted)
        self._compaction.begin()

    def _note(self, segment: Segment, index: Index, floor: int) -> None:
        after = self._shelf.after(segment)
        file = CheckpointFile(self._home.files, self._path, index, segment, floor, after.head.base - 1, after.head.last_time)
        self._noting = _Noting(self._home, self._shelf, segment, file, self._settle, self._noted)
        self._noting.step(None)

    def _is_worth_copying(self, segment: Segment) -> bool:
        return 2 * self.waste.of(segment.head.number) > segment.end - HEAD_SIZE

    def _compacted(self, kept: dict[int, int] | None) -> None:
        compaction, self._compaction = self._compaction, None
        assert compaction is not None
        segment = compaction.segment
        if kept is None:
            self.waste.given_up(segment.head.number)
        else:
            self.waste.replaced(segment.head.number, self._freed, kept)
            self.sealed(segment.head.number)
            if compaction.is_empty:
                self._empty.add(segment.head.number)
                self._emptied.append(segment.head.number)
            self._replaced(segment)

    def _join(self) -> bool:
        """Let an empty segment go where the one before it is empty, too. False where there is none."""
        segments = self._shelf.segments
        while self._emptied:
            segment = self._shelf.numbered(self._emptied[-1])
            at = 0 if segment is None else segments.index(segment)
            for first, second in zip(segments[max(0, at - 1) : at + 1], segments[max(1, at) : at + 2]):
                if first.head.number in self._empty and second.head.number in self._empty:
                    self._joining = Joining(self._home, self._path, self._shelf, first, second, self._joined)
                    self._joining.begin()
                    return True
            self._emptied.pop()
        return False

    def _joined(self, is_one: bool) -> None:
        joining, self._joining = self._joining, None
        assert joining is not None
        self._empty.discard(joining.second.head.number)  # not again, where that failed
        if is_one:
            self._emptied.append(joining.first.head.number)
            self.waste.dropped(joining.second.head.number)
            self._unnoted.pop(joining.second.head.number, None)
            self._replaced(joining.second)
        self.sealed(joining.first.head.number)

    def _noted(self) -> None:
        self._noting = None


class _Noting:
    """The writing of one checkpoint.

    Args:
        home, shelf: of the store.
        segment: what it is of.
        file: the checkpoint.
        settle: as ``Upkeep`` has it.
        done: told when it is over.
    """

    def __init__(
        self,
        home: Home,
        shelf: Shelf,
        segment: Segment,
        file: CheckpointFile,
        settle: Callable[[Callable[[Exception | None], None]], None],
        done: Callable[[], None],
    ) -> None:
        self._home = home
        self._shelf = shelf
        self._segment = segment
        self._file = file
        self._settle = settle
        self._done = done
        self._is_over = self._is_settling = False
        home.handles.lend([segment])

    def step(self, result: object) -> None:
        """Go on: the worker has written a part, or failed."""
        if self._is_over or isinstance(result, BaseException):
            self._end(result)
            return
        part = self._file.dump(_SOME)
        if part:
            self._submit(lambda: self._file.write(part), self.step)
        else:
            self._is_settling = True
            self._settle(self._settled)

    def cancel(self) -> None:
        """Change nothing from here on."""
        if self._is_settling and not self._is_over:
            self._end(None)
        self._is_over = True

    def _settled(self, error: Exception | None) -> None:
        if self._is_over:
            return
        self._is_settling = False
        if error is not None:
            self._end(None)
            return

        def work() -> None:
            self._file.write(b"")
            self._file.finish(sync=not self._home.always)

        self._submit(work, self._end)

    def _submit(self, call: Callable[[], None], done: Callable[[object], None]) -> None:
        def taken(result: object) -> None:
            self._shelf.readers -= 1
            done(result)

        self._shelf.readers += 1
        self._home.submit(call, taken)

    def _end(self, result: object) -> None:
        self._is_over = True
        self._file.close()
        self._home.handles.take_back([self._segment])
        self._done()  # where it was not written, the next start or stop will do that
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result
