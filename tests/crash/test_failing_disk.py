"""A disk that is full, and one that fails to sync: nothing is acknowledged falsely, reads go on, and service resumes.

Each call that changes something fails once, or from then on until there is room again. ``MIDGE_LONG`` tries ten thousand histories.
"""

import errno
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store.disks import FailingFiles, LoneHome, MemoryFiles, message
from trials import LONG, trials

from midge.store.directory import StoreDirectory
from midge.store.folder import Folder
from midge.store.log import FileStore

TRIALS = trials(90)
pytestmark = pytest.mark.timeout(36_000 if LONG else 60)


class FailingMemory(FailingFiles, MemoryFiles):
    """A disk in memory that fails when told."""

    def __init__(self, fails: Callable[[str, int], int]) -> None:
        MemoryFiles.__init__(self)
        FailingFiles.__init__(self, fails)


class Trial:
    """A store on a disk that will fail.

    Attributes:
        acked: sequence: payload, of what was acknowledged and not removed.
        refused: how many rounds were.
    """

    def __init__(self, seed: int, fails: Callable[[str, int], int]) -> None:
        self.dice = random.Random(seed)
        self.disk = FailingMemory(lambda name, number: 0)
        self.home = LoneHome(self.disk, segment_size=self.dice.choice([500, 3000, 100_000]), waits=self.dice.random() < 0.5)
        self.store = FileStore(self.home, Folder(self.home.files, "/s"), 7)
        self.disk.fails = fails
        self.acked: dict[int, bytes] = {}
        self.refused = 0
        self._appending = self.dice.choice([0.8, 0.55])  # the other way round, segments are compacted

    def turn(self) -> None:
        """Some changes in one round, and what came of it."""
        store, dice = self.store, self.dice
        hoped = dict(self.acked)
        for _ in range(dice.choice([1, 1, 5, 30])):
            if dice.random() < self._appending or not store.messages:
                payload = dice.randbytes(dice.choice([0, 10, 200, 6000]))
                hoped[store.append(message(b"a", payload), 1)] = payload
            elif dice.random() < 0.9:
                sequence = dice.choice(sorted(hoped))
                assert store.erase(sequence) if dice.random() < 0.5 else store.remove(sequence)
                del hoped[sequence]
            else:
                below = store.first + dice.randint(1, 4)
                store.drop(below)
                hoped = {sequence: payload for sequence, payload in hoped.items() if sequence >= below}
        told: list[Exception | None] = []
        store.settle(told.append)
        self.home.turn(store)
        for _ in range(200):
            if told:
                break
            self.repair()  # logged, and not overwritten yet what was to be
        assert len(told) == 1
        if told[0] is None:
            self.acked = hoped
        else:
            assert isinstance(told[0], OSError) and store.failure is told[0]
            self.refused += 1
        self.compare(store)

    def refuse(self) -> None:
        """Nothing is taken while writing fails, and all that is there is read."""
        with pytest.raises(OSError):
            self.store.append(message(b"a"), 1)
        for change in (self.store.remove, self.store.erase, self.store.drop):
            with pytest.raises(OSError):
                change(1)
        self.compare(self.store)

    def repair(self) -> bool:
        """Try to go on, as the directory does."""
        done: list[bool] = []
        self.store.repair(done.append)
        self.home.turn(self.store)
        assert len(done) == 1 and (done[0] or self.store.failure is not None)
        return self.store.failure is None

    def compare(self, store: FileStore) -> None:
        assert {stored.sequence: stored.payload for stored in store.scan()} == self.acked
        assert store.messages == len(self.acked)
        assert store.committed == store.last >= max(self.acked, default=0)

    def reopen(self) -> None:
        """What a restart finds."""
        self.store.close()
        self.disk.fails = lambda name, number: 0
        self.home = LoneHome(self.disk, segment_size=self.home.segment_size)
        self.store = FileStore(self.home, Folder(self.home.files, "/s"), 7)
        self.compare(self.store)


def histories(kinds: tuple[str, ...], error: int, lasts: Callable[[random.Random], int]) -> Iterator[Trial]:
    for seed in range(TRIALS):
        dice = random.Random(seed)
        start, length = dice.randint(1, 60), lasts(dice)
        trial = Trial(seed, lambda name, number, a=start, b=length: error if name in kinds and a <= number < a + b else 0)  # type: ignore[misc]
        for _ in range(12):
            try:
                trial.turn()
                attempts = 0
                while trial.store.failure is not None:
                    trial.refuse()
                    trial.repair()
                    attempts += 1
                    assert attempts < 200
                if dice.random() < 0.1:
                    trial.reopen()
            except BaseException as problem:
                problem.add_note(f"history {seed}: {kinds} fail from call {start}, {length} times")
                raise
        trial.reopen()
        assert trial.home.damages == []
        yield trial


def test_a_full_disk(figure: Callable[[str], None]) -> None:
    """ENOSPC at any call that needs room, half of what was to be written being there, for a while."""
    kinds = ("create", "pwrite", "fallocate", "make_directory")
    refused = sum(trial.refused for trial in histories(kinds, errno.ENOSPC, lambda dice: dice.randint(1, 30)))
    figure(f"{TRIALS} histories, {refused} rounds refused")
    assert refused > TRIALS // 4


def test_a_sync_that_fails_once(figure: Callable[[str], None]) -> None:
    refused = sum(trial.refused for trial in histories(("fdatasync", "sync_directory"), errno.EIO, lambda dice: 1))
    figure(f"{TRIALS} histories, {refused} rounds refused")
    assert refused > TRIALS // 10


def test_a_disk_that_fails_altogether_for_a_while(figure: Callable[[str], None]) -> None:
    kinds = ("create", "pwrite", "fallocate", "fdatasync", "sync_directory", "truncate", "unlink", "rename")
    refused = sum(trial.refused for trial in histories(kinds, errno.EIO, lambda dice: dice.randint(1, 30)))
    figure(f"{TRIALS} histories, {refused} rounds refused")
    assert refused > TRIALS // 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where one may be mounted."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_a_file_system_that_is_full(small_disk: Path) -> None:
    """A real one: refused with ENOSPC, and after something is removed it goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    directory = StoreDirectory(str(small_disk / "store"), wake=lambda: None, workers=0)
    store = directory.open("A", "S")
    told: list[Exception | None] = []
    while store.failure is None:
        store.append(message(b"a", bytes(20_000)), 1)
        store.settle(told.append)
        directory.begin()
        directory.finish()
    assert isinstance(store.failure, OSError) and store.failure.errno == errno.ENOSPC
    stored = told.count(None)
    assert stored and store.messages == stored == store.last
    assert len([1 for _ in store.scan()]) == stored
    deadline = directory.next_deadline()
    assert deadline is not None
    ballast.unlink()
    directory.handle_timeout(deadline)
    directory.finish()
    assert store.failure is None and directory.next_deadline() is None
    assert store.append(message(b"a", bytes(20_000)), 1) == stored + 1
    directory.begin()
    directory.finish()
    assert store.committed == stored + 1
    directory.close()
