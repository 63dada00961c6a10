"""Restart: a store that could not write cuts off what was not committed, and begins another segment.

A segment that failed is never written to again: a later sync that succeeds proves nothing about what an earlier one has lost.
"""

from __future__ import annotations

from collections.abc import Callable

from midge.store.folder import Folder
from midge.store.home import Home
from midge.store.index import Index
from midge.store.recovery import keep
from midge.store.replay import Replay
from midge.store.segment import Scan, Segment, number_of
from midge.store.shelf import Shelf

__all__ = ["Restart"]


class Restart:
    """One attempt, in a worker. ``begin`` begins it.

    Args:
        home: gives the disk, workers and handles.
        folder: the store's directory.
        shelf: of the store.
        durable: a segment's number, and a place in it: what is behind was not committed.
        fresh: the segment that is begun; its number is the next one.
        done: told when it is over: None, or why it has failed.
    """

    def __init__(
        self,
        home: Home,
        folder: Folder,
        shelf: Shelf,
        durable: tuple[int, int],
        fresh: Segment,
        done: Callable[[OSError | None], None],
    ) -> None:
        self._files = home.files
        self._handles = home.handles
        self._submit = home.submit
        self._folder = folder
        self._path = folder.path
        self._shelf = shelf
        self._number, self._end = durable
        self._failed = shelf.numbered(self._number)
        self._fresh = fresh
        self._done = done
        self._segments = [fresh] if self._failed is None else [self._failed, fresh]

    def begin(self) -> None:
        self._handles.lend(self._segments)
        self._shelf.readers += 1
        self._submit(self._work, self._finish)

    def _work(self) -> None:
        for name in self._files.names(self._path):
            if (number_of(name) or 0) > self._number:  # nothing in it was committed
                self._files.unlink(f"{self._path}/{name}")
        if self._failed is not None and self._failed.opened() >= 0:
            self._cut(self._failed)
        self._fresh.make(self._folder)

    def _cut(self, segment: Segment) -> None:
        """Cut off what was not committed, and keep what is no record before that, should there be any."""
        self._files.truncate(segment.fd, self._end)
        self._files.fdatasync(segment.fd)
        segment.space = self._end
        scan, replay, seed = Scan(self._files, segment.fd, self._end, segment.head.seed), Replay(Index()), segment.head.seed
        scan.advance(lambda buf, at, base: replay.take(buf, at, base, seed))
        if any(False for _ in scan) or scan.end < self._end:
            keep(self._files, self._path, segment, scan.end, self._end)

    def _finish(self, result: object) -> None:
        self._shelf.readers -= 1
        self._handles.take_back(self._segments)
        if isinstance(result, OSError):
            self._fresh.close()
            self._done(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            self._done(None)
