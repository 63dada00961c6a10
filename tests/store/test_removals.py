"""Removals do not pile up: they are told together, and left out of copies when no file holds their messages any more."""

import random

import pytest
from store.disks import LoneHome, MemoryFiles, PowerCut, RecordingFiles, message

from midge.store.folder import Folder
from midge.store.log import FileStore
from midge.store.record import DROP, MESSAGE, REMOVE
from midge.store.segment import Scan, read_head


def opened(disk: MemoryFiles, segment_size: int = 8000) -> tuple[LoneHome, FileStore]:
    home = LoneHome(disk, segment_size=segment_size)
    return home, FileStore(home, Folder(home.files, "/s"), 3)


def records(disk: MemoryFiles, kind: int) -> list[bytes]:
    """The payloads of all records of a kind."""
    found = []
    for path in sorted(disk.paths):
        if path.endswith(".seg"):
            fd = disk.open(path)
            found += [record.payload() for record in Scan(disk, fd, disk.size(fd), 3) if record.kind == kind]
    return found


def content(store: FileStore) -> dict[int, bytes]:
    return {stored.sequence: stored.payload for stored in store.scan()}


def used(store: FileStore) -> int:
    return sum(segment.end for segment in store._shelf.segments)


def test_those_of_one_round_are_one_record_of_ranges() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, 1 << 20)
    for number in range(1, 101):
        store.append(message(b"a", b"%d" % number), number)
    for number in [7, 5, 6, 50, 52, 51, 99]:
        assert store.remove(number)
    home.turn(store)
    ranges = [int.from_bytes(payload[at : at + 8], "little") for payload in records(disk, REMOVE) for at in range(0, len(payload), 8)]
    assert ranges == [5, 7, 50, 52, 99, 99]
    expected = content(store)
    disk.forget_checkpoints()
    assert content(opened(disk)[1]) == expected


def test_in_order_it_is_only_said_what_the_first_one_is() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, 1 << 20)
    for number in range(1, 101):
        store.append(message(b"a"), number)
    for number in range(1, 51):
        store.remove(number)
    home.turn(store)
    assert records(disk, REMOVE) == [] and records(disk, DROP) == [(51).to_bytes(8, "little")]
    assert opened(disk)[1].first == 51


@pytest.mark.parametrize("order", ["all", "one stays", "random"])
def test_what_is_overwritten_takes_a_small_multiple_of_what_is_alive(order: str) -> None:
    """A few keys, each new value removing the one before; in the end as after a kill."""
    disk, dice = MemoryFiles(), random.Random(5)
    home, store = opened(disk)
    last: dict[int, int] = {}
    if order == "one stays":
        store.append(message(b"first"), 1)
    most = 0
    for number in range(8000):
        key = dice.randrange(40) if order == "random" else number % 40
        sequence = store.append(message(b"k.%d" % key, b"%d" % number), number)
        if key in last:
            store.remove(last[key])
        last[key] = sequence
        if number % 5 == 0:
            home.turn(store)
            most = max(most, used(store) - 128 * len(store._shelf.segments))
    for _ in range(20):
        store.settle(lambda error: None)
        home.turn(store)
    assert most < 4 * 40 * 56 + 3 * 8000, most
    assert sum(len(each) for each in records(disk, REMOVE)) < 8000
    expected = content(store)
    assert len(expected) == 40 + (order == "one stays")
    assert content(opened(disk)[1]) == expected
    disk.forget_checkpoints()
    home, store = opened(disk)
    assert content(store) == expected and home.damages == []


def test_a_copy_says_what_was_applied_to_it_unless_that_was_lost() -> None:
    """Where the end of the log is gone, others will stand there, and those have not been applied."""
    disk = MemoryFiles()
    home, store = opened(disk, 1000)
    for number in range(1, 31):
        store.append(message(b"a", bytes(100)), number)
    home.turn(store)
    for number in (2, 3, 4, 5):
        store.remove(number)
        home.turn(store)
    for _ in range(5):
        store.settle(lambda error: None)
        home.turn(store)
    first = disk.contents[disk.paths["/s/0000000001.seg"]]
    head = read_head(first[:128])
    assert head is not None and head.applied == store._shelf.end[0]
    for path in sorted(disk.paths):
        if path.endswith(".seg") and path != "/s/0000000001.seg":
            del disk.paths[path]
    opened(disk)
    head = read_head(first[:128])
    assert head is not None and (head.applied, head.applied_end) == (0, 1)
    assert MESSAGE == 1


def test_a_removal_is_needed_wherever_the_second_copy_finds_it() -> None:
    """A copy has what it keeps at other places than those that the heads of earlier segments tell of."""
    disk = MemoryFiles()
    home, store = opened(disk, 4000)
    for number in range(1, 51):  # of the second segment there is much when the first one is copied
        store.append(message(b"a", bytes(100)), number)
    home.turn(store)
    for number in range(2, 18):
        store.remove(number)
    home.turn(store)
    head = read_head(disk.contents[disk.paths["/s/0000000001.seg"]][:128])
    assert head is not None and head.applied == 2 and head.applied_end > 3000
    store.remove(20)
    home.turn(store)
    for number in range(51, 120):
        store.append(message(b"a", bytes(100)), number)
    home.turn(store)
    for kept in (42, 49):
        for number in range(30, kept):
            store.remove(number)
        for _ in range(3):
            store.settle(lambda error: None)
            home.turn(store)
    expected = content(store)
    assert 20 not in expected
    for path in [path for path in disk.paths if path.endswith(".idx")]:
        del disk.paths[path]
    home, store = opened(disk)
    assert content(store) == expected and home.damages == []


def emptied(disk: MemoryFiles, count: int = 600) -> tuple[LoneHome, FileStore]:
    """A message that stays, much that came and went, and a message more."""
    home, store = opened(disk, 1000)
    store.append(message(b"first"), 1)
    for number in range(count):
        sequence = store.append(message(b"a", bytes(100)), number)
        if number % 5 == 0:
            home.turn(store)
        if number < count - 1:
            store.remove(sequence)
    for _ in range(60):
        store.settle(lambda error: None)
        home.turn(store)
    return home, store


def test_segments_in_the_middle_go_when_nothing_is_in_them() -> None:
    disk = MemoryFiles()
    home, store = emptied(disk)
    expected = content(store)
    assert expected.keys() == {1, 601}
    files = [path for path in disk.paths if path.endswith(".seg")]
    assert len(files) <= 4, files
    for forget in (False, True, False):
        if forget:
            disk.forget_checkpoints()
        home, store = opened(disk, 1000)
        assert content(store) == expected and home.damages == [] and store.last == 601
        store.settle(lambda error: None)
        home.turn(store)
        store.close()


def test_a_power_cut_while_empty_segments_are_joined() -> None:
    disk = RecordingFiles()
    home, store = emptied(disk, 60)
    joins = [at for at, op in enumerate(disk.ops) if op.name == "unlink" and op.path.endswith(".seg")]
    assert joins
    for cut in {each for at in joins for each in range(max(0, at - 12), min(len(disk.ops), at + 4))}:
        for chance in (0.0, 0.5, 1.0):
            after = LoneHome(PowerCut(disk.ops[:cut], chance, random.Random(cut)).disk())
            found = content(FileStore(after, Folder(after.files, "/s"), 3))
            assert found[1] == b"" and after.damages == [], (cut, chance)


def test_a_segment_that_is_missing_behind_joined_ones_is_missed() -> None:
    disk = MemoryFiles()
    _, store = emptied(disk)
    store.close()
    middle = sorted(path for path in disk.paths if path.endswith(".seg"))[1:-1]
    for path in middle:
        number = disk.paths.pop(path)
        home, _ = opened(disk, 1000)
        assert [damage.why for damage in home.damages] == ["segments behind it are missing"], path
        disk.paths[path] = number
