"""Rounds, copies of segments, trims and repairs that overlap as the dice say, on a disk that may fail at any call.

Other tests let a worker finish before anything else happens. Here calls run and end in any order. What was acknowledged is there, what
was acknowledged as removed is not, and opening finds no damage, in both ways to sync. ``MIDGE_LONG`` makes it ten thousand histories.
"""

import errno
import random
from collections.abc import Callable

import pytest
from store.disks import FailingFiles, LoneHome, MemoryFiles, message
from trials import LONG, trials

from midge.store.files import Files
from midge.store.folder import Folder
from midge.store.log import FileStore

TRIALS = trials(900)
pytestmark = pytest.mark.timeout(36_000 if LONG else 60)


class FailingMemory(FailingFiles, MemoryFiles):
    """A disk in memory that fails when told."""

    def __init__(self) -> None:
        MemoryFiles.__init__(self)
        FailingFiles.__init__(self)


class Overlapping(LoneHome):
    """A home where calls run, end, and begin in any order."""

    def __init__(self, files: Files, dice: random.Random, *, always: bool) -> None:
        super().__init__(files, always=always, segment_size=dice.choice([600, 2000, 20_000]))
        self._dice = dice
        self._calls: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    def submit(self, call: Callable[[], object], done: Callable[[object], None]) -> None:
        self._calls.append((call, done))

    def step(self, store: FileStore) -> bool:
        """One thing happens. False where there is nothing to do."""
        steps = [self._run] * bool(self._calls) + [self._take] * bool(self.results)
        if store.is_dirty and not store.is_busy:
            steps.append(store.start)
        if steps:
            self._dice.choice(steps)()
        return bool(steps)

    def turn(self, store: FileStore) -> None:
        while self.step(store):
            pass

    def forget(self, store: FileStore) -> None:
        self.turn(store)
        store.checkpoint()
        store.release_files()

    def _run(self) -> None:
        call, done = self._calls.pop(self._dice.randrange(len(self._calls)))
        super().submit(call, done)

    def _take(self) -> None:
        done, result = self.results.pop(0)
        done(result)


class History:
    """A store that is worked with, and what it has acknowledged.

    Attributes:
        stored: sequence: every payload that it was ever given for.
        acked: sequence: the payload, of what was acknowledged.
        removed: the sequences whose removal was acknowledged.
    """

    def __init__(self, seed: int, rate: float, *, always: bool) -> None:
        self.dice = random.Random(seed)
        self.disk = FailingMemory()
        self.home = Overlapping(self.disk, self.dice, always=always)
        self.store = FileStore(self.home, Folder(self.home.files, "/s"), 7)
        self.stored: dict[int, set[bytes]] = {}
        self.acked: dict[int, bytes] = {}
        self.removed: set[int] = set()
        self._appending = self.dice.choice([0.8, 0.5])
        self.disk.fails = lambda name, number: errno.EIO if self.dice.random() < rate else 0

    def turn(self) -> None:
        """Some changes, and some of what comes of them."""
        added: dict[int, bytes] = {}
        removed: set[int] = set()
        for _ in range(self.dice.choice([1, 3, 20])):
            if self.store.failure is None:
                self._change(added, removed)

        def told(error: Exception | None) -> None:
            if error is None:
                self.removed -= added.keys()
                self.acked.update(added)
                self.removed |= removed

        self.store.settle(told)
        for _ in range(self.dice.choice([0, 2, 5, 1000])):
            if not self.home.step(self.store):
                break
        if self.home.is_failing and self.dice.random() < 0.6:
            self.repair()

    def _change(self, added: dict[int, bytes], removed: set[int]) -> None:
        store, what = self.store, self.dice.random()
        if what < self._appending or not store.messages:
            payload = self.dice.randbytes(self.dice.choice([0, 5, 100, 100, 1500]))
            sequence = store.append(message(b"a", payload), 1)
            added[sequence] = payload
            self.stored.setdefault(sequence, set()).add(payload)
        elif what < 0.95:
            sequence = self.dice.randint(store.first, store.last)
            if (store.erase if what > 0.9 else store.remove)(sequence):
                removed.add(sequence)
        else:
            below = store.first + self.dice.randint(1, 8)
            removed |= {sequence for sequence in range(store.first, min(below, store.last + 1)) if store.size_of(sequence)}
            store.drop(below)

    def repair(self) -> None:
        self.home.is_failing = False
        done: list[bool] = []
        self.store.repair(done.append)
        self.home.turn(self.store)
        self.home.is_failing = self.home.is_failing or done != [True]

    def end(self) -> None:
        """The disk is well again."""
        self.disk.fails = lambda name, number: 0
        self.home.turn(self.store)
        for _ in range(20):
            if self.home.is_failing:
                self.repair()
        told: list[Exception | None] = []
        self.store.settle(told.append)
        self.home.turn(self.store)
        assert told == [None]
        found = self.check(self.store)
        self.store.close()
        assert self.home.damages == []
        home = LoneHome(self.disk)
        store = FileStore(home, Folder(home.files, "/s"), 1)
        assert self.check(store) == found and home.damages == []
        store.close()

    def check(self, store: FileStore) -> dict[int, bytes]:
        found = {stored.sequence: stored.payload for stored in store.scan()}
        assert store.last >= max(self.acked, default=0), "the last sequence went back"
        assert all(payload in self.stored[sequence] for sequence, payload in found.items())
        for sequence, payload in self.acked.items():
            assert sequence in self.removed or found.get(sequence) == payload, f"{sequence} was acknowledged, and is lost"
        assert not self.removed & found.keys()
        return found


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1])
def test_whatever_overlaps_nothing_is_lost(
    rate: float, always: bool, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    monkeypatch.setattr("midge.store.compaction._MOVES", 3)  # the index learns new places in several turns
    acked = 0
    for seed in range(TRIALS // 6):
        try:
            history = History(seed, rate, always=always)
            for _ in range(history.dice.randint(5, 40)):
                history.turn()
            history.end()
            acked += len(history.acked)
        except BaseException as error:
            error.add_note(f"history {seed}")
            raise
    figure(f"{TRIALS // 6} histories, {acked} messages acknowledged")
