"""A power cut at any moment: what was acknowledged is there, what was not is whole or is not there.

A store works on a disk that writes down every call. Then the disk is made as it may be when the power goes after some of them: what was
synced is there, and of what was not any page. ``MIDGE_LONG`` makes it ten thousand trials.
"""

import random
from collections.abc import Callable

import pytest
from store.disks import LoneHome, PowerCut, RecordingFiles, message
from trials import LONG, trials

from midge.store.folder import Folder
from midge.store.log import FileStore

TRIALS = trials(240)
CUTS = 8  # of each history


class History:
    """A store with random work, and what it had acknowledged when.

    Attributes:
        stored: sequence: the payload of each message.
        acked: sequence: after how many calls it was acknowledged.
        removed: sequence: after how many calls its removal was begun, and was acknowledged.
    """

    def __init__(self, dice: random.Random, *, always: bool = True) -> None:
        self.files = RecordingFiles()
        self.home = LoneHome(self.files, always=always, segment_size=dice.choice([2_000, 20_000, 200_000]), waits=dice.random() < 0.5)
        self.store = FileStore(self.home, Folder(self.home.files, "/s"), dice.getrandbits(32))
        self.stored: dict[int, bytes] = {}
        self.acked: dict[int, int] = {}
        self.removed: dict[int, tuple[int, int]] = {}
        self._appending = dice.choice([0.8, 0.45])  # the other way round, segments are compacted
        for _ in range(dice.randint(1, 25)):
            self._turn(dice)

    def _turn(self, dice: random.Random) -> None:
        removing = set()
        begun = len(self.files.ops)
        for _ in range(dice.choice([1, 1, 3, 20])):
            what = dice.random()
            if what < self._appending or not self.store.messages:
                payload = dice.randbytes(dice.choice([0, 5, 100, 100, 100, 5000, 20_000]))
                sequence = self.store.append(message(dice.choice([b"a", b"a.b", b"c.d.e"]), payload), 1000)
                self.stored[sequence] = payload
            elif what < 0.9:
                removing |= self._without(lambda: self.store.remove(dice.randint(self.store.first, self.store.last)))
            elif what < 0.94:
                removing |= self._without(lambda: self.store.erase(dice.randint(self.store.first, self.store.last)))
            elif what < 0.97:
                removing |= self._without(lambda: self.store.drop(self.store.first + dice.randint(1, 10)))
            else:
                removing |= self._without(lambda: self.store.purge(b"a", keep=dice.randint(0, 2)))
        told: list[Exception | None] = []
        self.store.settle(told.append)
        self.home.turn(self.store)
        assert told == [None]
        now = len(self.files.ops)
        if dice.random() < 0.1:  # a clean stop
            self.store.close()
            self.store = FileStore(self.home, Folder(self.home.files, "/s"), 1)
        for sequence in self.stored:
            self.acked.setdefault(sequence, now)
        for sequence in removing:
            self.removed[sequence] = begun, now

    def _without(self, change: object) -> set[int]:
        before = {stored.sequence for stored in self.store.scan()}
        change()  # type: ignore[operator]
        after = {stored.sequence for stored in self.store.scan()}
        return before - after


def check(history: History, cut: int, dice: random.Random) -> None:
    """Make the disk of a power cut and open the store on it."""
    disk = PowerCut(history.files.ops[:cut], dice.choice([0.0, 0.5, 0.9, 1.0]), dice).disk()
    home = LoneHome(disk, segment_size=20_000)
    store = FileStore(home, Folder(home.files, "/s"), 1)
    found = {stored.sequence: stored.payload for stored in store.scan()}
    for sequence, payload in history.stored.items():
        begun, gone = history.removed.get(sequence, (cut + 1, cut + 1))
        if history.acked[sequence] <= cut < begun:
            assert found.get(sequence) == payload, f"{sequence} was acknowledged before the cut at {cut}, and is lost"
        if gone <= cut:
            assert sequence not in found, f"the removal of {sequence} was acknowledged before the cut at {cut}"
        assert found.get(sequence, payload) == payload
    assert found.keys() <= history.stored.keys()
    last = max((sequence for sequence, acked in history.acked.items() if acked <= cut), default=0)
    assert store.last >= last and store.committed == store.last
    assert store.messages == len(found)
    sequence = store.append(message(b"z", b"more"), 2000)
    assert sequence == store.last > last
    home.turn(store)
    assert store.committed == sequence
    store.close()
    home = LoneHome(disk)
    store = FileStore(home, Folder(home.files, "/s"), 1)
    assert {stored.sequence: stored.payload for stored in store.scan()} == {**found, sequence: b"more"}
    store.close()


@pytest.mark.timeout(36_000 if LONG else 60)
def test_what_was_acknowledged_survives(figure: Callable[[str], None]) -> None:
    acked = 0
    for seed in range(TRIALS // CUTS):
        dice = random.Random(seed)
        history = History(dice)
        history.store.close()
        ops = len(history.files.ops)
        acked += len(history.acked)
        for trial, cut in enumerate([ops, *(dice.randint(0, ops) for _ in range(CUTS - 1))]):
            try:
                check(history, cut, dice)
            except BaseException as error:
                error.add_note(f"history {seed}, trial {trial}, cut {cut} of {ops}")
                raise
    figure(f"{TRIALS} power cuts, {acked} messages acknowledged")
