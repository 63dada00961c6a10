"""What a clean stop leaves, so that opening reads the log from there on only; and when it may not be used."""

from typing import Any

import pytest
from store.disks import LoneHome, MemoryFiles, message
from store.plain import totals

from midge.store.folder import Folder
from midge.store.log import FileStore

LAST = "/s/{:010d}.idx"


class CountingFiles(MemoryFiles):
    """Counts the bytes that are read."""

    read = 0

    def pread(self, fd: int, size: int, offset: int) -> bytearray:
        data = super().pread(fd, size, offset)
        self.read += len(data)
        return data


def opened(disk: MemoryFiles) -> tuple[LoneHome, FileStore]:
    home = LoneHome(disk, segment_size=2000)
    return home, FileStore(home, Folder(home.files, "/s"), 3)


def filled() -> CountingFiles:
    disk = CountingFiles()
    home, store = opened(disk)
    for number in range(1, 101):
        store.append(message(b"a.%d" % (number % 3), b"%d" % number + bytes(100)), number)
    store.remove(50)
    store.drop(10)
    home.turn(store)
    store.close()
    return disk


def state(store: FileStore) -> tuple[Any, ...]:
    whole = [(stored.sequence, stored.time, stored.subject, stored.payload) for stored in store.scan()]
    numbers = store.messages, store.size, store.first, store.last, store.first_time, store.last_time, store.subjects, store.deleted
    return whole, numbers, list(store.gaps()), totals(store, b">"), store.committed


def rebuilt(disk: MemoryFiles) -> tuple[Any, ...]:
    """What the log alone says."""
    disk.forget_checkpoints()
    return state(opened(disk)[1])


def test_it_says_what_the_log_says_and_opening_reads_no_payload() -> None:
    disk = filled()
    disk.read = 0
    home, store = opened(disk)
    segments = sum(len(disk.contents[number]) for path, number in disk.paths.items() if path.endswith(".seg"))
    ends = sum(segment.end for segment in store._shelf.segments)
    checkpoints = sum(len(disk.contents[disk.paths[path]]) for path in disk.checkpoints())
    assert disk.read < segments - ends + 2 * checkpoints and ends > 12_000
    found = state(store)
    assert found == rebuilt(disk) and home.damages == []


def test_after_a_kill_only_the_open_segment_is_read() -> None:
    """Each segment has one as soon as nothing is added to it any more."""
    disk = CountingFiles()
    home, store = opened(disk)
    for number in range(1, 201):
        store.append(message(b"a.%d" % (number % 3), bytes(100)), number)
        if number % 10 == 0:
            store.remove(number - 15) if number > 20 else None
            home.turn(store)
    for _ in range(30):  # each round leaves time for one
        store.settle(lambda error: None)
        home.turn(store)
    expected = state(store)
    segments = store._shelf.segments
    assert len(segments) > 10 and [segment.noted for segment in segments[:-1]] == [segment.end for segment in segments[:-1]]
    disk.read = 0
    home, store = opened(disk)
    spare = sum(segment.space - segment.end for segment in store._shelf.segments)
    assert disk.read < spare + 2 * sum(len(disk.contents[disk.paths[path]]) for path in disk.checkpoints()) + 5000
    assert state(store) == expected == rebuilt(disk) and home.damages == []


def test_one_tells_of_no_removal_that_is_not_committed() -> None:
    """What is found out for it waits until it is safe; a crash before leaves the message."""
    disk = MemoryFiles()
    home, store = opened(disk)
    for number in range(1, 60):
        store.append(message(b"a", bytes(100)), number)
    store.start()
    store.remove(3)  # before the loop looks at the messages of the first segment
    done, result = home.results.pop(0)
    done(result)
    assert [name for name in disk.paths if name.endswith(".idx.new")], "one is being written"
    while home.results:
        done, result = home.results.pop(0)
        done(result)
    assert disk.checkpoints() == []
    home.turn(store)
    assert disk.checkpoints() != []


def test_one_of_a_segment_that_is_lost_is_not_for_the_next_of_its_number() -> None:
    disk = filled()
    last = max(path for path in disk.paths if path.endswith(".seg"))
    disk.unlink(last)
    home, store = opened(disk)
    assert last.replace("seg", "idx") not in disk.paths
    assert home.damages == [] and store.last == store._index.last < 100


@pytest.mark.parametrize("far", [10**6, 1 << 31, 10**12])
def test_sequences_that_are_far_apart(far: int) -> None:
    disk = MemoryFiles()
    home, store = opened(disk)
    store.append(message(b"a", b"1"), 1)
    store.skip(far, 2)
    store.append(message(b"b", b"2"), 3)
    home.turn(store)
    expected = state(store)
    store.close()
    assert state(opened(disk)[1]) == expected == rebuilt(disk)


def test_what_followed_is_done_on_top_of_it() -> None:
    """And the process was killed then: nothing was closed."""
    disk = filled()
    home, store = opened(disk)
    for number in range(101, 140):
        store.append(message(b"b", bytes(100)), number)
    store.remove(60)
    store.erase(61)
    store.drop(20)
    store.purge(b"a.1", keep=3)
    store.skip(150, 150)
    home.turn(store)
    expected = state(store)
    assert disk.checkpoints()
    home, store = opened(disk)
    assert state(store) == expected == rebuilt(disk) and home.damages == []


def test_it_is_gone_before_a_segment_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = filled()
    home, store = opened(disk)
    segment = store._shelf.segment_of(30)
    name, renamed = LAST.format(segment.head.number), []
    rename = disk.rename
    monkeypatch.setattr(disk, "rename", lambda source, target: (renamed.append((target, name in disk.paths)), rename(source, target)))
    for number in range(30, 45):
        store.remove(number)
    home.turn(store)
    assert (segment.path, False) in renamed
    expected = state(store)
    store.close()
    assert name in disk.paths
    assert state(opened(disk)[1]) == expected


def test_one_from_before_a_drop_serves() -> None:
    disk = filled()
    home, store = opened(disk)
    store.drop(70)
    home.turn(store)
    home, store = opened(disk)
    assert store.first == 70 and state(store) == rebuilt(disk) and home.damages == []


@pytest.mark.parametrize("what", ["changed", "a part", "short", "empty", "other seed", "short segment"])
def test_one_that_does_not_fit_is_not_used(what: str) -> None:
    disk = filled()
    number = disk.paths[max(disk.checkpoints())]
    if what == "changed":
        disk.contents[number][-1] ^= 1
    elif what == "a part":
        disk.contents[number][120] ^= 1
    elif what == "short":
        del disk.contents[number][200:]
    elif what == "empty":
        disk.contents[number].clear()
    elif what == "other seed":
        disk.contents[number][12] ^= 1
    else:
        last = max(path for path in disk.paths if path.endswith(".seg"))
        del disk.contents[disk.paths[last]][300:]
    found = state(opened(disk)[1])
    if what == "short segment":  # it said that messages were dropped, which others have taken notice of
        assert found[0] == [stored for stored in rebuilt(disk)[0] if stored[0] >= 10 and stored[0] != 50]
    else:
        assert found == rebuilt(disk)


def test_a_failing_store_goes_back_to_it_and_what_followed() -> None:
    disk = filled()
    home, store = opened(disk)
    store.append(message(b"b", b"kept"), 200)
    home.turn(store)
    expected = state(store)
    store.append(message(b"b", b"lost"), 200)
    store.drop(90)
    store.start()
    home.results.clear()
    assert store._round is not None
    store._round.is_logged = False  # what was written is there, and nobody knows
    store.finished(OSError(28, "no space"))
    home.turn(store)  # the files are read by a worker
    assert state(store) == expected
