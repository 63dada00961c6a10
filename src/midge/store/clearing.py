"""Clearing: the files of a store that is gone are removed in workers, a few at a time, so that no other store waits long.

Their directory's name goes first, so that none is seen without the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice

from midge.store.files import Files

__all__ = ["GONE", "Clearing", "hide", "removal", "retirement"]

GONE = ".gone"  # what the name of a directory ends with whose store is gone
_SOME = 64  # files that are removed in one call of a worker


class Clearing:
    """The removal of one store's files. ``begin`` begins it.

    Args:
        steps: removes a file in each step, in workers: ``removal`` or ``retirement``.
        submit: runs a call in a worker, and gives what it returned or raised to the second one.
        hidden: told when the directory's name is gone, or cannot be removed; what is short is over then, too.
        done: told when all is over, with None or with why something is left.
    """

    def __init__(
        self,
        steps: Iterator[None],
        submit: Callable[[Callable[[], object], Callable[[object], None]], None],
        hidden: Callable[[], None],
        done: Callable[[OSError | None], None],
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
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result
        if result is True:
            self.begin()
        else:
            self._done(result if isinstance(result, OSError) else None)
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            hidden()


def removal(files: Files, path: str) -> Iterator[None]:
    """Remove a directory with all that a store has put there, one file in each step.

    Raises:
        OSError: it cannot be removed, or is somebody else's.
    """
    for name in files.names(path):
        if name == "quarantine":
            yield from removal(files, f"{path}/{name}")
        else:
            files.unlink(f"{path}/{name}")
            yield
    files.remove_directory(path)


def retirement(files: Files, path: str) -> Iterator[None]:
    """The same with a store's directory that has its name yet, or is not there, or was being removed when the process ended."""
    hide(files, path)
    if files.exists(path + GONE):
        yield from removal(files, path + GONE)


def hide(files: Files, path: str) -> None:
    """Take a store's directory its name, and wait until that is on disk.

    Raises:
        OSError: it keeps it, perhaps.
    """
    if files.exists(path):
        files.rename(path, path + GONE)
        files.sync_directory(os.path.dirname(path))
