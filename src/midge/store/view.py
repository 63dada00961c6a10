"""View: a store directory that is only looked at, by whoever is not its server. Not a byte of it is changed.

Opening a stream is the same recovery that its server would make, on files that only pretend to be written: what the server would find
damaged is found here, and stays as it is. A server and a view keep each other away by the lock, views do not.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from midge.errors import StoreDamagedError, StoreLockedError, StoreVersionError
from midge.store.base import Stored
from midge.store.checkpoint import checkpoint_name, is_checkpoint, is_whole_checkpoint
from midge.store.commit import outcome
from midge.store.files import Files
from midge.store.folder import id_of
from midge.store.handles import Handles
from midge.store.reader import Reader
from midge.store.recovery import Damage, Recovery
from midge.store.segment import number_of
from midge.store.shelf import Shelf
from midge.store.state import ConsumerRow, State, StreamRow

__all__ = ["LogView", "Place", "ReadFiles", "StoreView", "UnindexedFiles"]


class ReadFiles(Files):
    """Files that are read, and only pretend to be written.

    Args:
        progress: told of the bytes that each read has read.
    """

    def __init__(self, progress: Callable[[int], None] = lambda size: None) -> None:
        self._progress = progress

    def create(self, path: str) -> int:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def pread(self, fd: int, size: int, offset: int) -> bytearray:
        data = super().pread(fd, size, offset)
        self._progress(len(data))
        return data

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        pass

    def fdatasync(self, fd: int) -> None:
        pass

    def fallocate(self, fd: int, offset: int, size: int) -> None:
        pass

    def truncate(self, fd: int, size: int) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass

    def rename(self, source: str, target: str) -> None:
        pass

    def unlink(self, path: str) -> None:
        pass

    def make_directory(self, path: str) -> None:
        pass

    def remove_directory(self, path: str) -> None:
        pass


class UnindexedFiles(ReadFiles):
    """The same without checkpoints: every record is read."""

    def exists(self, path: str) -> bool:
        return not is_checkpoint(path) and super().exists(path)


class Place(NamedTuple):
    """Where a stream is.

    Attributes:
        account, stream: its names; empty where nobody says.
        id: the name of its directory.
        path: its directory.
    """

    account: str
    stream: str
    id: str
    path: str


class LogView:
    """The messages of one stream.

    Attributes:
        index: of the messages.
        damages: what is wrong, told as a server would tell it; ``kept_as`` only where the bytes are kept already.
        segments: how many files there are.
        seed: of the store.

    Raises:
        OSError: the files cannot be read; StoreVersionError: a later version wrote them.
    """

    def __init__(self, files: Files, path: str) -> None:
        self._shelf = Shelf()
        recovery = Recovery(files, path, 0)
        try:
            recovery.run()
        finally:
            recovery.close()  # opened again where somebody reads
        self._shelf.fill(recovery.segments)
        self.index = recovery.index
        self.segments = len(recovery.segments)
        self.seed = recovery.seed
        self.damages: list[Damage] = []
        for damage in recovery.damages:
            self._note(damage)
        self._reader = Reader(files, path, self._shelf, _at_once, self._note, Handles())
        self._reader.index = recovery.index

    def scan(self, start: int = 1) -> Iterator[Stored]:
        """Return all messages from a sequence on, in order; damaged ones are left out, and noted in ``damages``."""
        return self._reader.scan(start)

    def unfit(self, files: Files, path: str) -> list[str]:
        """Return the checkpoints that are damaged, or do not fit what is there."""
        found = []
        for segment in self._shelf.segments:
            name = f"{path}/{checkpoint_name(segment.head.number)}"
            segment.opened()
            if files.exists(name) and not is_whole_checkpoint(files, path, segment):
                found.append(name)
        return found

    def close(self) -> None:
        self._shelf.close()

    def _note(self, damage: Damage) -> None:
        self.damages.append(damage if os.path.exists(damage.kept_as) else damage._replace(kept_as=""))


class StoreView:
    """A store directory.

    Args:
        path: of the directory.

    Attributes:
        streams: where all streams are, by account and name.
        configs: the configurations of streams, as the engine wrote them.
        consumers: of each of those, by name.
        damages: what is wrong with what is not a stream's.
        before: the streams that were created before this have had a directory; in nanoseconds.

    Raises:
        FileNotFoundError: there is no store.
        StoreLockedError: a server has it open.
        StoreVersionError: a later version wrote it.
        OSError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.damages: list[Damage] = []
        if not os.path.isdir(f"{self.path}/streams"):
            raise FileNotFoundError(f"there is no store at {path}")
        self._lock = self._locked()
        self.before = (1 << 63) - 1 if self._lock < 0 else os.fstat(self._lock).st_mtime_ns
        try:
            self.configs: dict[tuple[str, str], StreamRow] = {}
            self.consumers: dict[tuple[str, str], list[ConsumerRow]] = {}
            rows = self._state()
            self.streams = self._places(rows)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let a server in again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def size_of(self, place: Place) -> int:
        """Return the bytes of a stream's segments, with the space that is set aside for more."""
        return _size(place.path, lambda name: number_of(name) is not None)

    def kept_of(self, place: Place) -> int:
        """Return the bytes in a stream's quarantine."""
        return _size(f"{place.path}/quarantine", lambda name: True)

    # Inside

    def _locked(self) -> int:
        """Keep a server away; -1 where nobody ever locked it, as in a copy."""
        try:
            fd = os.open(f"{self.path}/lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(fd, 20).strip()
            os.close(fd)
            raise StoreLockedError(self.path, int(owner) if owner.isdigit() else 0) from error
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _state(self) -> dict[int, tuple[str, str]]:
        """Read ``state``, and return who has a store: in a copy, as SQLite finishes in the file what a process that was killed has left."""
        path = f"{self.path}/state.db"
        if not os.path.exists(path):
            self.damages.append(Damage(path, 0, 0, -1, "it is missing: streams are known by their own files only", ""))
            return {}
        with tempfile.TemporaryDirectory(prefix="midge-") as directory:
            for suffix in ("", "-wal"):
                if os.path.exists(path + suffix):
                    shutil.copyfile(path + suffix, f"{directory}/state.db{suffix}")
            try:
                state = State(f"{directory}/state.db")
            except StoreVersionError as error:
                raise StoreVersionError(path, error.version, error.known) from error
            except StoreDamagedError as error:
                self.damages.append(Damage(path, 0, 0, -1, error.reason, ""))
                return {}
            try:
                stores = state.stores()
                self.configs = {(row.account, row.name): row for row in state.streams()}
                self.consumers = {key: state.consumers(*key) for key in self.configs}
                return stores
            except StoreDamagedError as error:
                self.damages.append(Damage(path, 0, 0, -1, error.reason, ""))
                return {}
            finally:
                state.close()

    def _places(self, rows: dict[int, tuple[str, str]]) -> list[Place]:
        """Find the streams by their directories."""
        found = []
        for name in sorted(os.listdir(f"{self.path}/streams")):
            id, path = id_of(name), f"{self.path}/streams/{name}"
            if id is not None:
                found.append(Place(*(rows.get(id) or self._says(path)), name, path))
        return sorted(found)

    def _says(self, path: str) -> tuple[str, str]:
        """Return the account and the name that a stream's own file says."""
        try:
            with open(f"{path}/store.json", "rb") as file:
                says = json.load(file)
            return str(says["account"]), str(says["stream"])
        except (FileNotFoundError, NotADirectoryError):
            why = "it is missing, and nobody else says whose store this is"
        except (ValueError, TypeError, KeyError, RecursionError, OSError):
            why = "it does not say whose store this is"
        self.damages.append(Damage(f"{path}/store.json", 0, 0, -1, why, ""))
        return "", ""


def _size(path: str, counts: Callable[[str], bool]) -> int:
    """Return the bytes of some files in a directory, as far as they can be seen."""
    size = 0
    with suppress(OSError):
        for name in filter(counts, os.listdir(path)):
            with suppress(OSError):
                size += os.stat(f"{path}/{name}").st_size
    return size


def _at_once(call: Callable[[], object], done: Callable[[object], None]) -> None:
    """A view has no workers, and nobody who would have to wait."""
    done(outcome(call))
