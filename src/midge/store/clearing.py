"""Clearing: the files of a store that is gone are removed in workers, a few at a time, so that no other store waits long.

Their directory's name goes first, so that none is seen without the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from midge.store.files import Files

if TYPE_CHECKING:
    from midge.store.log import FileStore

__all__ = ["GONE", "Clearing", "Departures", "hide"]

GONE = ".gone"  # what the name of a directory ends with whose store is gone
_SOME = 64  # files that are removed in one call of a worker


class Clearing:
    """The removal of one store's files. ``begin`` begins it.

    Args:
        steps: removes a file in each step, in workers: ``_removal`` or ``_retirement``.
        submit: runs a call in a worker, and gives what it returned or raised to the second one.
        hidden: told when the directory's name is gone, or cannot be removed; what is short is over then, too.
        done: told when all is over, with None or with why something is left.
    """

    def __init__(
        self,
        steps: Iterator[None],
        submit: Callable[[Callable[[], object], Callable[[object], None]], None],
        hidden: Callable[[], None],
        done: Callable[[BaseException | None], None],
    ) -> None:
        self._submit = submit
        self._steps = steps
        self._hidden: Callable[[], None] | None = hidden
        self._done = done

    def begin(self) -> None:
        self._submit(self._remove_some, self._removed)

    def _remove_some(self) -> bool:
        """Remove some files, in a worker. True where there are more."""
        return sum(1 for _ in islice(self._steps, _SOME)) == _SOME

    def _removed(self, result: object) -> None:
        if result is True:
            self.begin()
        else:
            self._done(result if isinstance(result, BaseException) else None)
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            hidden()
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result


class Departures:
    """The stores of a directory that are deleted: the files of each go when no worker uses them any more.

    Args:
        files, submit: as ``Clearing`` has them.
        report: told of a path that cannot be removed.
        forget: told the id of a store of which nothing is left.
    """

    def __init__(
        self,
        files: Files,
        submit: Callable[[Callable[[], object], Callable[[object], None]], None],
        report: Callable[[str, BaseException], None],
        forget: Callable[[int], None],
    ) -> None:
        self._files = files
        self._submit = submit
        self._report = report
        self._forget = forget
        self._used: dict[FileStore, tuple[int, str, Callable[[], None]]] = {}
        self._clearings = 0

    def __len__(self) -> int:
        """How many there are of which something is left."""
        return len(self._used) + self._clearings

    def add(self, store: FileStore, id: int, path: str, told: Callable[[], None]) -> None:
        """Let a store go; tell when its directory's name is gone."""
        self._used[store] = id, path, told
        self.look()

    def look(self) -> None:
        """See which are not used any more."""
        for store in [store for store in self._used if not store.is_busy and not store.is_loading]:
            id, path, told = self._used.pop(store)
            store.release_files()
            self._begin(path, _retirement(self._files, path), told, id)

    def finish(self, path: str) -> None:
        """Remove a directory of which the process that began with that has not removed all."""
        self._begin(path, _removal(self._files, path), lambda: None, 0)

    def _begin(self, path: str, steps: Iterator[None], told: Callable[[], None], id: int) -> None:
        def removed(error: BaseException | None) -> None:
            self._clearings -= 1
            if error is not None:
                self._report(path, error)
            elif id:
                self._forget(id)

        self._clearings += 1
        Clearing(steps, self._submit, told, removed).begin()


def _removal(files: Files, path: str) -> Iterator[None]:
    """Remove a directory with all that a store has put there, one file in each step.

    Raises:
        OSError: it cannot be removed, or is somebody else's.
    """
    for name in files.names(path):
        if name == "quarantine":
            yield from _removal(files, f"{path}/{name}")
        else:
            files.unlink(f"{path}/{name}")
            yield
    files.remove_directory(path)


def _retirement(files: Files, path: str) -> Iterator[None]:
    """The same with a store's directory that has its name yet, or is not there, or was being removed when the process ended."""
    hide(files, path)
    if files.exists(path + GONE):
        yield from _removal(files, path + GONE)


def hide(files: Files, path: str) -> None:
    """Take a store's directory its name, and wait until that is on disk.

    Raises:
        OSError: it keeps it, perhaps.
    """
    if files.exists(path):
        files.rename(path, path + GONE)
        files.sync_directory(os.path.dirname(path))
