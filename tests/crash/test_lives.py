"""Lives of one store that end at any call, by kill -9 or by a power cut, also while it is being opened: what it has shown stays.

After a kill the next life reads what was written, though nobody has waited for it to be on disk. What it finds there, it serves: so a power
cut may not take that back. ``MIDGE_LONG`` makes it ten thousand lives.
"""

import errno
import os
import random
from collections.abc import Callable

import pytest
from store.disks import LoneHome, MemoryFiles, Op, PowerCut, RecordingFiles, message
from trials import LONG, trials

from midge.store.folder import Folder
from midge.store.log import FileStore

TRIALS = trials(300)
LIVES = 10  # of each store
PATH = "/streams/s"
pytestmark = pytest.mark.timeout(36_000 if LONG else 60)


class Killed(BaseException):
    """The process ends here."""


class Ops(list[Op]):
    """Calls of a disk, after so many of which the process ends."""

    until = 1 << 60

    def append(self, op: Op) -> None:
        super().append(op)
        if len(self) >= self.until:
            raise Killed


class MortalFiles(RecordingFiles):
    """A disk whose process ends after some call.

    Args:
        before: what is there, and on disk.
    """

    def __init__(self, before: MemoryFiles) -> None:
        super().__init__()
        self.ops = self.mortal = Ops()
        for path, number in sorted(before.paths.items()):
            if number == 0:
                self.make_directory(path)
            else:
                fd = self.create(path)
                self.pwrite(fd, before.contents[number], 0)
                self.fdatasync(fd)
                self.close(fd)
        for directory in {os.path.dirname(path) for path in before.paths}:
            self.sync_directory(directory)

    def ends_after(self, calls: int) -> None:
        self.mortal.until = len(self.ops) + calls


class Life:
    """A store that lives again and again.

    Attributes:
        shown: sequence: payload, of what was acknowledged or found when it was opened.
        gone: what was acknowledged to be removed, or found to be.
        tried: sequence: what was ever given it.
        count: messages that were shown.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.files = MortalFiles(MemoryFiles())
        self.size = self.dice.choice([500, 2_000, 20_000])
        self.shown: dict[int, bytes] = {}
        self.gone: set[int] = set()
        self.tried: dict[int, set[bytes]] = {}
        self.last = self.count = 0
        self._removing: set[int] = set()
        self._was_cut = False
        self._appending = self.dice.choice([0.8, 0.5])

    def live(self) -> None:
        """Open it, work, and end at some call."""
        self.files.ends_after(self.dice.choice([1, 2, 3, 5, 10, 20, 50, 100]))
        try:
            home = LoneHome(self.files, segment_size=self.size)
            store = self._opened(home)
            while True:
                self._turn(home, store)
                if self.dice.random() < 0.05:
                    store.close()
                    store = self._opened(home)
        except Killed:
            if self.dice.random() < 0.5:
                self._was_cut = True
                self.files = MortalFiles(PowerCut(self.files.ops, self.dice.choice([0.0, 0.5, 0.9]), self.dice).disk())
        self.files.mortal.until = Ops.until

    def _opened(self, home: LoneHome) -> FileStore:
        folder = Folder(home.files, PATH)
        home.files.make_directory("/streams")
        if folder.owner() is None:
            folder.give_to(("A", "S", 7))
        store = FileStore(home, folder, 7)
        self._check(store)
        assert self._was_cut or home.damages == []  # of what nobody has waited for, the end may be there without the beginning
        return store

    def _check(self, store: FileStore) -> None:
        """Look that nothing is missing that was shown; and what is there now is shown."""
        found = {stored.sequence: stored.payload for stored in store.scan()}
        assert store.last >= self.last, f"the last sequence was {self.last}, and is {store.last}"
        for sequence, payload in self.shown.items():
            assert sequence in self._removing or found.get(sequence) == payload, f"{sequence} is lost"
        assert not self.gone & found.keys()
        assert all(payload in self.tried[sequence] for sequence, payload in found.items())
        self.gone |= {sequence for sequence in self._removing - found.keys() if sequence <= store.last}
        self.count += len(found.keys() - self.shown.keys())
        self.shown, self.last = found, store.last
        self._removing = set()

    def _turn(self, home: LoneHome, store: FileStore) -> None:
        dice, added = self.dice, {}
        for _ in range(dice.choice([1, 1, 3, 20])):
            what = dice.random()
            if what < self._appending or not store.messages:
                payload = dice.randbytes(dice.choice([0, 5, 100, 100, 3000]))
                sequence = store.append(message(b"a", payload), 1000)
                self.tried.setdefault(sequence, set()).add(payload)
                added[sequence] = payload
                continue
            before = {stored.sequence for stored in store.scan()}
            if what < 0.95:
                (store.erase if what > 0.85 else store.remove)(dice.randint(store.first, store.last))
            else:
                store.drop(store.first + dice.randint(1, 5))
            self._removing |= before - {stored.sequence for stored in store.scan()}
        told: list[Exception | None] = []
        store.settle(told.append)
        last = store.last
        home.turn(store)
        assert told == [None]
        self.shown.update(added)
        for sequence in self._removing:
            self.shown.pop(sequence, None)
        self.gone |= self._removing
        self._removing, self.last = set(), last
        self.count += len(added)


def test_what_was_shown_stays(figure: Callable[[str], None]) -> None:
    shown = 0
    for seed in range(TRIALS // LIVES):
        life = Life(seed)
        for number in range(LIVES):
            try:
                life.live()
            except BaseException as error:
                error.add_note(f"store {seed}, life {number}")
                raise
        shown += life.count
    figure(f"{TRIALS} lives, {shown} messages shown")


class Forgetful(RecordingFiles):
    """A disk whose first sync fails, and what that was to write is taken for written from then on."""

    has_failed = False

    def fdatasync(self, fd: int) -> None:
        if self.has_failed:
            super().fdatasync(fd)
            return
        self.has_failed = True
        self.ops = [op for op in self.ops if op.name == "create" or op.file != self.number(fd)]
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_sync_that_fails_while_it_is_opened() -> None:
    """It is read, refuses, and is written again when that works."""
    files = Forgetful()
    home, files.has_failed = LoneHome(files), True
    store = FileStore(home, Folder(files, PATH), 7)
    store.append(message(b"a", b"kept"), 1)
    home.turn(store)
    files.has_failed = False
    home = LoneHome(files)
    store = FileStore(home, Folder(files, PATH), 7)
    found = store.read(1)
    assert found is not None and found.payload == b"kept" and home.is_failing
    with pytest.raises(OSError):
        store.append(message(b"a"), 1)
    done: list[bool] = []
    store.repair(done.append)
    home.turn(store)
    assert done == [True] and store.failure is None
    disk = PowerCut(files.ops, 0.0, random.Random(0)).disk()
    assert [stored.payload for stored in FileStore(LoneHome(disk), Folder(disk, PATH), 7).scan()] == [b"kept"]
