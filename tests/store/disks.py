"""Disks for tests of the store: one that fails when it is told to, and one that a power cut can be replayed on."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from typing import NamedTuple

from midge.store.files import Files
from midge.store.handles import Handles
from midge.store.haste import Haste
from midge.store.log import FileStore
from midge.store.recovery import Damage
from midge.store.tail import Block
from midge.wire.publication import Publication

PAGE = 4096


def message(subject: bytes, payload: bytes = b"", header: bytes = b"") -> Publication:
    """A message as a publisher sends it."""
    return Publication.compose(subject, b"", header, payload)


class FailingFiles(Files):
    """Fails at the calls that it is told to.

    Attributes:
        fails: says for a call's name and its number, from 1, which errno it fails with; 0 for none.
        calls: how many there were of those that change something.
    """

    def __init__(self, fails: Callable[[str, int], int] = lambda name, number: 0) -> None:
        self.fails = fails
        self.calls = 0

    def _may(self, name: str) -> None:
        self.calls += 1
        number = self.fails(name, self.calls)
        if number:
            raise OSError(number, os.strerror(number))

    def create(self, path: str) -> int:
        self._may("create")
        return super().create(path)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        try:
            self._may("pwrite")
        except OSError as error:
            if error.errno == errno.ENOSPC:  # some of it was written
                super().pwrite(fd, bytes(data[: len(data) // 2]), offset)
            raise
        super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self._may("fdatasync")

    def fallocate(self, fd: int, offset: int, size: int) -> None:
        self._may("fallocate")
        super().fallocate(fd, offset, size)

    def truncate(self, fd: int, size: int) -> None:
        self._may("truncate")
        super().truncate(fd, size)

    def sync_directory(self, path: str) -> None:
        self._may("sync_directory")

    def rename(self, source: str, target: str) -> None:
        self._may("rename")
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._may("unlink")
        super().unlink(path)

    def make_directory(self, path: str) -> None:
        self._may("make_directory")
        super().make_directory(path)


class Op(NamedTuple):
    """One call: what, of which file (a number that stays when it is renamed) or directory, and with what."""

    name: str
    file: int
    path: str = ""
    offset: int = 0
    data: bytes = b""
    target: str = ""


class MemoryFiles(Files):
    """A disk in memory.

    Attributes:
        paths: path: number of the file, 0 for a directory.
        contents: number: what the file holds.
    """

    def __init__(self) -> None:
        self.paths: dict[str, int] = {}
        self.contents: dict[int, bytearray] = {}
        self._open: dict[int, int] = {}
        self._next = 1

    def create(self, path: str) -> int:
        if path in self.paths:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.paths[path] = max(self.contents, default=0) + 1
        self.contents[self.paths[path]] = bytearray()
        return self.open(path)

    def open(self, path: str) -> int:
        if not self.paths.get(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._next += 1
        self._open[self._next] = self.paths[path]
        return self._next

    def number(self, fd: int) -> int:
        """Return the number of the file that a descriptor is of."""
        if fd not in self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._open[fd]

    def close(self, fd: int) -> None:
        self.number(fd)
        del self._open[fd]

    def size(self, fd: int) -> int:
        return len(self.contents[self.number(fd)])

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        _put(self.contents[self.number(fd)], offset, data)

    def pread(self, fd: int, size: int, offset: int) -> bytearray:
        return self.contents[self.number(fd)][offset : offset + size]

    def pread_cached(self, fd: int, size: int, offset: int) -> bytearray | None:
        return self.pread(fd, size, offset)

    def fdatasync(self, fd: int) -> None:
        self.number(fd)

    def fallocate(self, fd: int, offset: int, size: int) -> None:
        _put(self.contents[self.number(fd)], offset + size, b"")

    def truncate(self, fd: int, size: int) -> None:
        content = self.contents[self.number(fd)]
        del content[size:]
        _put(content, size, b"")

    def sync_directory(self, path: str) -> None:
        pass

    def rename(self, source: str, target: str) -> None:
        _rename(self.paths, Op("rename", 0, source, target=target))

    def unlink(self, path: str) -> None:
        if path not in self.paths:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        del self.paths[path]

    def make_directory(self, path: str) -> None:
        self.paths.setdefault(path, 0)

    def remove_directory(self, path: str) -> None:
        del self.paths[path]

    def names(self, path: str) -> list[str]:
        return sorted(name[len(path) + 1 :] for name in self.paths if name.startswith(f"{path}/") and "/" not in name[len(path) + 1 :])

    def exists(self, path: str) -> bool:
        return path in self.paths

    def checkpoints(self) -> list[str]:
        """Return the paths of all checkpoints."""
        return [path for path in self.paths if path.endswith(".idx")]

    def forget_checkpoints(self) -> None:
        """As after a kill, before any was written."""
        for path in self.checkpoints():
            del self.paths[path]


class RecordingFiles(MemoryFiles):
    """A disk in memory that writes down what is done to it, in ``ops``."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Op] = []

    def create(self, path: str) -> int:
        fd = super().create(path)
        self.ops.append(Op("create", self.number(fd), path))
        return fd

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        super().pwrite(fd, data, offset)
        self.ops.append(Op("write", self.number(fd), offset=offset, data=bytes(data)))

    def fdatasync(self, fd: int) -> None:
        self.ops.append(Op("sync", self.number(fd)))

    def fallocate(self, fd: int, offset: int, size: int) -> None:
        super().fallocate(fd, offset, size)
        self.ops.append(Op("grow", self.number(fd), offset=offset + size))

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self.ops.append(Op("truncate", self.number(fd), offset=size))

    def sync_directory(self, path: str) -> None:
        self.ops.append(Op("sync_directory", 0, path))

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self.ops.append(Op("rename", 0, source, target=target))

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self.ops.append(Op("unlink", 0, path))

    def make_directory(self, path: str) -> None:
        if path not in self.paths:
            super().make_directory(path)
            self.ops.append(Op("mkdir", 0, path))


class PowerCut:
    """What a disk may hold when the power went after some calls.

    What was synced is there. Of what was not, each page of each write and each change of a directory is there or not, as the dice
    say; a file that was synced, but not the directory that it is in, may have no name.

    Args:
        ops: the calls that happened.
        chance: how likely each thing that was not synced is to be there.
        dice: say it.
    """

    def __init__(self, ops: list[Op], chance: float, dice: random.Random) -> None:
        self._chance, self._dice = chance, dice
        self._files: dict[int, bytearray] = {}
        self._pending: dict[int, list[Op]] = {}
        self._names: dict[str, int] = {}
        self._changes: list[Op] = []
        for op in ops:
            self._take(op)

    def disk(self) -> MemoryFiles:
        """Return the disk."""
        disk = MemoryFiles()
        disk.paths = dict(self._names)
        for op in self._changes:
            if self._lucky():
                _rename(disk.paths, op)
        for number, synced in self._files.items():
            content = disk.contents[number] = bytearray(synced)
            for op in self._pending[number]:
                for piece in _pages(op):
                    if self._lucky():
                        _write(content, piece)
        return disk

    def _lucky(self) -> bool:
        return self._dice.random() < self._chance

    def _take(self, op: Op) -> None:
        if op.name == "create":
            self._files[op.file], self._pending[op.file] = bytearray(), []
        if op.name in ("create", "rename", "unlink", "mkdir"):
            self._changes.append(op)
        elif op.name == "sync":
            for pending in self._pending[op.file]:
                _write(self._files[op.file], pending)
            self._pending[op.file].clear()
        elif op.name == "sync_directory":
            for change in [change for change in self._changes if op.path == os.path.dirname(change.path)]:
                _rename(self._names, change)
                self._changes.remove(change)
        else:
            self._pending[op.file].append(op)


def _rename(names: dict[str, int], op: Op) -> None:
    if op.name == "rename":
        moved = [name for name in names if name == op.path or name.startswith(f"{op.path}/")]
        for name in moved:
            names[op.target + name[len(op.path) :]] = names.pop(name)
    elif op.name == "unlink":
        names.pop(op.path, None)
    else:
        names[op.path] = op.file


def _pages(op: Op) -> list[Op]:
    """A write, page by page."""
    if op.name != "write":
        return [op]
    pieces, at = [], op.offset
    while at < op.offset + len(op.data):
        end = min((at // PAGE + 1) * PAGE, op.offset + len(op.data))
        pieces.append(op._replace(offset=at, data=op.data[at - op.offset : end - op.offset]))
        at = end
    return pieces


def _write(content: bytearray, op: Op) -> None:
    if op.name == "truncate":
        del content[op.offset :]
    _put(content, op.offset, op.data)


def _put(content: bytearray, offset: int, data: bytes | bytearray | memoryview) -> None:
    end = offset + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[offset:end] = data


class LoneHome:
    """Stands for a directory that has one store: rounds run at once.

    Args:
        waits: small rounds are not given to ``submit``.

    Attributes:
        damages: what was reported.
    """

    def __init__(
        self, files: Files | None = None, *, always: bool = True, segment_size: int = 1 << 20, waits: bool = False
    ) -> None:  # fmt: skip
        self.files = Files() if files is None else files
        self.always = always
        self.segment_size = segment_size
        self.handles = Handles(4)
        self.haste = Haste(lambda: waits, lambda: 0)
        self.haste.rounds = 1
        self.haste.note(-(1 << 60))  # whatever the disk takes
        self.damages: list[Damage] = []
        self.results: list[tuple[Callable[[object], None], object]] = []
        self.is_failing = False

    def changed(self, store: FileStore) -> None:
        pass

    def hold(self, store: FileStore, block: Block) -> None:
        pass

    def submit(self, call: Callable[[], object], done: Callable[[object], None]) -> None:
        try:
            self.results.append((done, call()))
        except OSError as error:
            self.results.append((done, error))

    def report(self, damage: Damage) -> None:
        self.damages.append(damage)

    def failed(self, store: FileStore) -> None:
        self.is_failing = True

    def forget(self, store: FileStore) -> None:
        if not store.is_dirty and not store.is_busy:
            store.checkpoint()
        store.release_files()

    def discard(self, store: FileStore, told: Callable[[], None]) -> None:
        store.release_files()
        told()

    def finish(self) -> None:
        """Tell who waits of what its workers have done."""
        while self.results:
            done, result = self.results.pop(0)
            done(result)

    def turn(self, store: FileStore) -> None:
        """What a directory does in a turn of the loop: until nothing waits."""
        while store.is_dirty or self.results:
            self.finish()
            if store.is_dirty and not store.is_busy:
                store.start()
