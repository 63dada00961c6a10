"""Compaction: segments are copied without what is gone, in slices, while the store is used; and whatever gets in the way."""

import random

import pytest
from store.disks import LoneHome, PowerCut, RecordingFiles, message

from midge.store.folder import Folder
from midge.store.log import FileStore


class Steps(LoneHome):
    """A home that does one thing at a time."""

    def step(self) -> bool:
        """Finish one call of a worker. False where there is none."""
        if self.results:
            done, result = self.results.pop(0)
            done(result)
            return True
        return False


def filled(count: int = 40, size: int = 100) -> tuple[RecordingFiles, Steps, FileStore]:
    disk = RecordingFiles()
    home = Steps(disk, segment_size=2000)
    store = FileStore(home, Folder(home.files, "/s"), 5)
    for sequence in range(1, count + 1):
        store.append(message(b"a.%d" % (sequence % 3), b"<%04d>" % sequence + bytes(size)), sequence)
    home.turn(store)
    return disk, home, store


def used(disk: RecordingFiles) -> int:
    return sum(len(disk.contents[number].rstrip(b"\0")) for path, number in disk.paths.items() if path.endswith(".seg"))


def content(store: FileStore) -> dict[int, bytes]:
    return {stored.sequence: stored.payload for stored in store.scan()}


def reopened(disk: RecordingFiles) -> dict[int, bytes]:
    home = LoneHome(disk)
    store = FileStore(home, Folder(home.files, "/s"), 5)
    found = content(store)
    assert home.damages == []
    store.close()
    return found


def test_space_is_given_back() -> None:
    disk, home, store = filled()
    before = used(disk)
    expected = content(store)
    for sequence in range(2, 30):
        if sequence % 4:
            store.remove(sequence)
            del expected[sequence]
    home.turn(store)
    for sequence in range(41, 44):  # the next rounds find the other segments
        store.append(message(b"b"), sequence)
        home.turn(store)
        expected[sequence] = b""
    assert used(disk) < before  # although the removals were written, too
    assert content(store) == expected == reopened(disk)
    assert [stored for stored in map(store.read, expected) if stored is None] == []
    assert not [path for path in disk.paths if path.endswith(".new")]


def test_the_last_messages_of_a_segment_are_not_missed() -> None:
    disk, home, store = filled()
    for sequence in range(3, 30):
        store.remove(sequence)
    for _ in range(4):
        store.settle(lambda error: None)
        home.turn(store)
    assert reopened(disk).keys() == {1, 2, *range(30, 41)}


def test_removals_of_what_earlier_segments_hold_stay() -> None:
    """A segment with removals is copied before the segment that holds the messages is: they do not come back."""
    disk, home, store = filled(10)
    store.remove(2)
    for sequence in range(11, 41):
        store.append(message(b"b", bytes(100)), sequence)
    home.turn(store)
    for sequence in range(11, 36):
        store.remove(sequence)
    for _ in range(6):
        store.settle(lambda error: None)
        home.turn(store)
    assert reopened(disk).keys() == {1, *range(3, 11), *range(36, 41)}


@pytest.mark.parametrize("steps", range(7))
@pytest.mark.parametrize("what", ["append", "erase", "drop", "close", "purge"])
def test_whatever_happens_meanwhile(steps: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.store.compaction._SLICE", 512)
    monkeypatch.setattr("midge.store.compaction._MOVES", 2)
    disk, home, store = filled()
    for sequence in range(1, 13):
        if sequence % 3:
            store.remove(sequence)
    store.start()
    for _ in range(steps + 1):
        home.step()
    expected = content(store)
    if what == "append":
        expected[store.append(message(b"z", b"!"), 99)] = b"!"
    elif what == "erase":
        assert store.erase(9)
        del expected[9]
    elif what == "drop":
        store.drop(20)
        expected = {sequence: payload for sequence, payload in expected.items() if sequence >= 20}
    elif what == "purge":
        store.purge(b"a.0")
        expected = {sequence: payload for sequence, payload in expected.items() if sequence % 3}
    else:
        home.turn(store)
        store.close()
        assert reopened(disk) == expected
        return
    assert content(store) == expected
    home.turn(store)
    assert content(store) == expected == reopened(disk)
    if what == "erase":
        assert not [path for path, number in disk.paths.items() if number and b"<0009>" in disk.contents[number]]


def test_a_power_cut_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.store.compaction._SLICE", 512)
    disk, home, store = filled()
    for sequence in range(1, 30):
        if sequence % 4:
            store.remove(sequence)
    store.start()
    home.step()
    acked, expected = len(disk.ops), content(store)
    home.turn(store)
    assert any(op.name == "rename" for op in disk.ops[acked:])
    for cut in range(acked, len(disk.ops) + 1):
        for chance in (0.0, 0.5, 1.0):
            after = LoneHome(PowerCut(disk.ops[:cut], chance, random.Random(cut)).disk())
            assert content(FileStore(after, Folder(after.files, "/s"), 5)) == expected, (cut, chance)
            assert after.damages == []


def test_a_damaged_segment_is_left_alone() -> None:
    disk, home, store = filled()
    path = "/s/0000000001.seg"
    disk.contents[disk.paths[path]][600] ^= 1
    before = bytes(disk.contents[disk.paths[path]])
    for sequence in range(1, 12):
        store.remove(sequence)
    home.turn(store)
    assert bytes(disk.contents[disk.paths[path]]) == before


def test_messages_longer_than_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.store.compaction._SLICE", 64)
    disk, home, store = filled(40, 300)
    for sequence in range(1, 6):
        store.remove(sequence)
    home.turn(store)
    store.settle(lambda error: None)
    home.turn(store)
    assert reopened(disk).keys() == set(range(6, 41))
