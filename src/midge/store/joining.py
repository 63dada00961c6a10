"""Joining: of two segments without any message, one behind the other, the second one goes, and the head of the first one says so.

Segments in the middle cannot simply go: one that is missing between others is damage. So the first one is written anew, as a copy that says
which segment follows and that all sequences up to that one are used up; it is synced and renamed, and then the other file is removed.
A crash leaves both files or the first one only, and either is whole. So there are never many files without a message.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from midge.store.checkpoint import checkpoint_name, forget_checkpoint
from midge.store.home import Home
from midge.store.record import SKIP, encode, length
from midge.store.segment import HEAD_SIZE, Segment
from midge.store.shelf import Shelf

__all__ = ["Joining"]


class Joining:
    """The joining of two empty segments. ``begin`` begins it.

    Args:
        home: gives the disk and workers.
        directory: of the store.
        shelf: of the store.
        first, second: one behind the other, neither the last one, both copies that nothing was worth keeping in.
        done: told when it is over, whether the two are one now.
    """

    def __init__(self, home: Home, directory: str, shelf: Shelf, first: Segment, second: Segment, done: Callable[[bool], None]) -> None:
        self.first = first
        self.second = second
        self._files = home.files
        self._submit = home.submit
        self._directory = directory
        self._shelf = shelf
        self._done = done
        after = shelf.after(second).head
        applied = second.head.applied, second.head.applied_end
        head = first.head._replace(applied=applied[0], applied_end=applied[1], follows=after.number)
        self._joined = Segment(home.files, directory, head)
        self._last = after.base - 1
        self._is_cancelled = False

    def begin(self) -> None:
        """Write the one that stays."""
        files, joined = self._files, self._joined
        record = bytearray(length(0))
        encode(record, 0, joined.head.seed, SKIP, 0, self._last, 0, b"", b"", b"")
        data = joined.head.encode() + record

        def work() -> None:
            if files.exists(f"{joined.path}.new"):
                files.unlink(f"{joined.path}.new")
            joined.fd = files.create(f"{joined.path}.new")
            files.pwrite(joined.fd, data, 0)
            files.fdatasync(joined.fd)
            self.first.noted = 0  # it tells of a shorter one
            forget_checkpoint(files, self._directory, joined.head.number)

        self._shelf.readers += 1
        self._submit(work, self._written)

    def cancel(self) -> None:
        """Change nothing from here on, unless it has happened."""
        self._is_cancelled = True

    def _written(self, result: object) -> None:
        self._shelf.readers -= 1
        files, joined = self._files, self._joined
        joined.close()
        try:
            if self._is_cancelled or isinstance(result, BaseException):
                raise InterruptedError
            files.rename(f"{joined.path}.new", joined.path)
        except OSError:
            with suppress(OSError):  # the next one, or the next start, removes it
                if files.exists(f"{joined.path}.new"):
                    files.unlink(f"{joined.path}.new")
            self._done(False)
            if isinstance(result, BaseException) and not isinstance(result, OSError):
                raise result from None
            return
        joined.space = joined.end = HEAD_SIZE + length(0)
        shelf = self._shelf
        shelf.put_before(joined, self.first)
        shelf.take_away(self.first)
        shelf.take_away(self.second)

        def work() -> None:
            files.sync_directory(self._directory)
            files.unlink(self.second.path)
            name = f"{self._directory}/{checkpoint_name(self.second.head.number)}"
            if files.exists(name):
                files.unlink(name)

        shelf.readers += 1
        self._submit(work, self._removed)

    def _removed(self, result: object) -> None:
        """Where the file could not be removed, it does no harm, and the next start finds it."""
        self._shelf.readers -= 1
        self._shelf.let_go()
        self._done(True)
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result
