"""Folder: the directory of one store, and the file in it that says whose it is, ``store.json``.

Where it is new, it is there, and its ``store.json`` under another name, without having waited for the disk. ``sync`` sees to the rest
together with the first file that is made in it: before that there is nothing in it whose owner anybody could want to know.
"""

from __future__ import annotations

import json
import os
import threading
import zlib

from midge.errors import StoreDamagedError
from midge.store.files import Files

__all__ = ["Folder", "Owner", "folder_name", "id_of"]

_UNNAMED = "store.json.made"  # not one of the names that a store removes when it is opened
_LONGEST = 18  # digits of a number that none of ours reaches
Owner = tuple[str, str, int]  # account, stream, seed


class Folder:
    """One store's directory.

    Args:
        files: the disk.
        path: the directory, which need not be there.

    Attributes:
        is_new: that it is there, and whose it is, may not be on disk.
    """

    def __init__(self, files: Files, path: str) -> None:
        self.path = path
        self._files = files
        self._lock = threading.Lock()
        self.is_new = False

    def owner(self) -> Owner | None:
        """Return whose it is; None where that has not been said yet.

        Raises:
            StoreDamagedError: what says it is damaged.
        """
        path, files = f"{self.path}/store.json", self._files
        if not files.exists(path):
            return None
        fd = files.open(path)
        try:
            says = json.loads(files.pread(fd, files.size(fd), 0))
            if says.pop("check") != _check(says):
                raise ValueError("it is not what was written")
            return str(says["account"]), str(says["stream"]), int(says["seed"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StoreDamagedError(path, "it does not say whose store this is") from error
        finally:
            files.close(fd)

    def give_to(self, owner: Owner) -> None:
        """Say whose it is, in a directory that is made where it is missing. Next, in a worker: ``sync``.

        Raises:
            OSError: it cannot be written.
        """
        files, name = self._files, f"{self.path}/{_UNNAMED}"
        files.make_directory(self.path)
        if files.exists(name):
            files.unlink(name)
        account, stream, seed = owner
        says: dict[str, object] = {"account": account, "seed": seed, "stream": stream, "version": 1}
        fd = files.create(name)
        try:
            files.pwrite(fd, json.dumps({**says, "check": _check(says)}, sort_keys=True).encode() + b"\n", 0)
        finally:
            files.close(fd)
        self.is_new = True

    def put_aside(self) -> str:
        """Move what does not say whose it is to ``quarantine``; return where it is now."""
        kept = f"{self.path}/quarantine/store.json"
        self._files.make_directory(f"{self.path}/quarantine")
        self._files.rename(f"{self.path}/store.json", kept)
        return kept

    def sync(self) -> None:
        """Wait until it is on disk which names it has, and, where it is new, whose it is. In a worker; two may do it at the same time.

        Raises:
            OSError: it is not.
        """
        with self._lock:
            if self.is_new:
                self._name()
            self._files.sync_directory(self.path)
            if self.is_new:
                self._files.sync_directory(os.path.dirname(self.path))
                self.is_new = False

    def _name(self) -> None:
        """Give ``store.json`` its name, when what is in it is on disk."""
        files, new, name = self._files, f"{self.path}/{_UNNAMED}", f"{self.path}/store.json"
        if files.exists(name) and not files.exists(new):  # the attempt before this one came so far
            return
        fd = files.open(new)
        try:
            files.fdatasync(fd)
        finally:
            files.close(fd)
        files.rename(new, name)


def folder_name(id: int) -> str:
    """Return the name of the directory of a store."""
    return f"{id:08d}"


def id_of(name: str) -> int | None:
    """Return the number of the store whose directory has this name; None where it is somebody else's."""
    is_number = name.isascii() and name.isdecimal() and len(name) < _LONGEST
    return int(name) if is_number and folder_name(int(name)) == name else None


def _check(says: dict[str, object]) -> int:
    return zlib.crc32(json.dumps(says, sort_keys=True).encode())
