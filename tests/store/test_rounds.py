"""Rounds of stores in files: what may happen while one is under way, or keeps one from beginning."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from store.disks import FailingFiles, LoneHome, MemoryFiles, message

from midge.store.base import ELSEWHERE, Stored
from midge.store.commit import Workers
from midge.store.directory import StoreDirectory
from midge.store.files import Files
from midge.store.folder import Folder
from midge.store.handles import Handles
from midge.store.log import FileStore
from midge.store.segment import Head, Segment


class FewFiles(MemoryFiles):
    """A disk whose files cannot be opened while ``is_out_of_handles``."""

    is_out_of_handles = False

    def open(self, path: str) -> int:
        if self.is_out_of_handles:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return super().open(path)


def turn(directory: StoreDirectory) -> None:
    directory.begin()
    directory.finish()


def test_memory_is_bounded_while_a_round_is_always_under_way(tmp_path: Path) -> None:
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, memory=1 << 20, files=MemoryFiles())
    store = directory.open("A", "S")
    for _ in range(40):
        for _ in range(100):
            store.append(message(b"a", bytes(1000)), 1)
        directory.finish()  # takes what the last round came to, and begins the next one
    held = {id(block.buf): len(block.buf) for block in directory._held._stores}
    assert sum(held.values()) == directory._held.size <= 2 << 20
    assert [stored.sequence for stored in store.scan()] == list(range(1, 4001))
    directory.close()


@pytest.mark.parametrize("sync", [2.0, "os"])
def test_segments_that_went_before_they_were_synced_are_not_synced(tmp_path: Path, sync: float | str) -> None:
    directory = StoreDirectory(str(tmp_path), sync=sync, wake=lambda: None, workers=0, segment_size=2000, files=MemoryFiles())
    store = directory.open("A", "S")
    for _ in range(40):
        store.append(message(b"a", bytes(200)), 1)
        turn(directory)
    store.drop(35)
    turn(directory)
    store.want_sync()
    turn(directory)
    assert store.failure is None and not store.is_unsynced
    directory.close()


def test_a_file_that_cannot_be_opened_for_an_erasure_loses_nothing() -> None:
    disk = FewFiles()
    home = LoneHome(disk, segment_size=2000)
    store = FileStore(home, Folder(home.files, "/s"), 7)
    for _ in range(30):
        store.append(message(b"a", bytes(200)), 1)
    home.turn(store)
    store.close()
    store = FileStore(home, Folder(home.files, "/s"), 7)
    disk.is_out_of_handles = True
    store.erase(3)
    store.append(message(b"a", b"refused"), 1)
    told: list[Exception | None] = []
    store.settle(told.append)
    home.turn(store)
    assert len(told) == 1 and isinstance(told[0], OSError) and store.failure is not None
    disk.is_out_of_handles = False
    repaired: list[bool] = []
    while True not in repaired:
        store.repair(repaired.append)
        home.turn(store)
    assert (store.messages, store.last) == (30, 30)
    assert store.append(message(b"a", b"taken"), 1) == 31
    home.turn(store)
    store.close()
    store = FileStore(home, Folder(home.files, "/s"), 7)
    assert [stored.sequence for stored in store.scan()] == list(range(1, 32)) and home.damages == []
    store.close()


@pytest.mark.parametrize("below", [1 << 63, 1 << 64, 1 << 80])
def test_a_drop_of_more_than_there_can_be(below: int) -> None:
    home = LoneHome(MemoryFiles())
    store = FileStore(home, Folder(home.files, "/s"), 7)
    store.append(message(b"a"), 1)
    assert store.drop(below) == 1
    home.turn(store)
    last = store.last
    store.close()
    store = FileStore(home, Folder(home.files, "/s"), 7)
    assert store.messages == 0 and store.last == last
    store.close()


def test_a_segment_may_go_before_it_has_a_file() -> None:
    home = LoneHome(MemoryFiles(), segment_size=500)
    store = FileStore(home, Folder(home.files, "/s"), 7)
    for _ in range(10):
        store.append(message(b"a", bytes(400)), 1)
    store.drop(11)
    store.append(message(b"a"), 1)
    home.turn(store)
    assert store.committed == 11 and store.failure is None
    store.close()
    store = FileStore(home, Folder(home.files, "/s"), 7)
    assert store.first == store.last == 11 and home.damages == []
    store.close()


def test_a_system_without_threads_still_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    workers = Workers(4, lambda: None)
    results: list[object] = []
    calls: list[Callable[[], object]] = [lambda: 1, lambda: 2]
    for call in calls:
        workers.submit(call, results.append)
    workers.finish()
    assert results == [1, 2]
    workers.close()


def test_the_last_sequence_is_never_lost_with_a_segment_that_was_dropped(tmp_path: Path) -> None:
    """All of a segment goes while the next one is not on disk yet; then the process ends."""
    disk = MemoryFiles()
    directory = StoreDirectory(str(tmp_path / "one"), wake=lambda: None, workers=0, segment_size=500, files=disk)
    store = directory.open("A", "S")
    store.append(message(b"a", bytes(200)), 1)
    turn(directory)
    store.drop(2)
    directory.begin()  # its outcome is not taken yet
    store.append(message(b"a", bytes(300)), 1)
    directory._workers.finish()  # and now it is, and nothing else is begun
    directory._workers.finish()
    home = LoneHome(disk, segment_size=500)
    again = FileStore(home, Folder(home.files, f"{tmp_path}/one/streams/00000001"), 7)
    assert (again.last, again.messages, home.damages) == (1, 0, [])
    directory.state.close()


def test_no_more_files_are_open_than_there_may_be(tmp_path: Path) -> None:
    directory = StoreDirectory(str(tmp_path), sync="os", wake=lambda: None, workers=0, segment_size=1000)
    directory.handles = Handles(10)
    before = len(os.listdir("/dev/fd"))
    store = directory.open("A", "S")
    for _ in range(60):
        store.append(message(b"a", bytes(800)), 1)
        turn(directory)
    assert [stored.sequence for stored in store.scan()] == list(range(1, 61))
    store.load(list(range(1, 61)), lambda found: None)
    turn(directory)
    assert len(os.listdir("/dev/fd")) <= before + 10 + 60 and len(directory.handles._open) <= 10
    store.append(message(b"a"), 1)
    turn(directory)
    assert len(os.listdir("/dev/fd")) <= before + 12
    directory.close()
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, segment_size=1000)
    assert directory.open("A", "S").messages == 61
    assert len(os.listdir("/dev/fd")) <= before + 12
    directory.close()


def test_going_back_after_a_failure_is_a_workers_work() -> None:
    """It reads all files of the stream, and nothing else may wait for that."""
    disk = FailingMemory()
    home = Later(disk)
    store = FileStore(home, Folder(home.files, "/s"), 7)
    store.append(message(b"a", b"kept"), 1)
    home.turn(store)
    disk.fails = lambda name, number: errno.ENOSPC if name == "pwrite" else 0
    store.append(message(b"a", b"undone"), 1)
    told: list[Exception | None] = []
    store.settle(told.append)
    store.start()
    home.run()  # the round, which fails
    assert store.failure is not None and told == [] and store.is_busy and home.calls
    stored = store.read(1)
    assert stored is not None and store.committed == 1
    repaired: list[bool] = []
    store.repair(repaired.append)
    assert repaired == [False]
    home.run()
    assert len(told) == 1 and isinstance(told[0], OSError) and (store.last, store.is_busy) == (1, False)


class FailingMemory(FailingFiles, MemoryFiles):
    """A disk in memory that fails when told."""

    def __init__(self) -> None:
        MemoryFiles.__init__(self)
        FailingFiles.__init__(self)


class Later(LoneHome):
    """A home whose calls wait until they are run."""

    def __init__(self, disk: MemoryFiles) -> None:
        super().__init__(disk)
        self.calls: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    def submit(self, call: Callable[[], object], done: Callable[[object], None]) -> None:
        self.calls.append((call, done))

    def run(self) -> None:
        """One call, and what comes of it."""
        super().submit(*self.calls.pop(0))
        done, result = self.results.pop(0)
        done(result)

    def turn(self, store: FileStore) -> None:
        while store.is_dirty or self.calls:
            if store.is_dirty and not store.is_busy:
                store.start()
            if self.calls:
                self.run()


def test_what_is_half_empty_is_copied_after_a_restart_too() -> None:
    disk = MemoryFiles()
    home = LoneHome(disk, segment_size=3000)
    store = FileStore(home, Folder(home.files, "/s"), 7)
    for _ in range(40):
        store.append(message(b"a", bytes(200)), 1)
    home.turn(store)
    for sequence in range(2, 40):
        if sequence % 5 == 0 or sequence % 5 == 1:
            store.remove(sequence)  # less than half: nothing is copied
    home.turn(store)
    before = disk.contents[disk.paths["/s/0000000002.seg"]]
    store.close()
    store = FileStore(home, Folder(home.files, "/s"), 7)
    for sequence in range(2, 40):
        if sequence % 5 == 2:
            store.remove(sequence)
    home.turn(store)
    after = disk.contents[disk.paths["/s/0000000002.seg"]]
    assert len(bytes(after).rstrip(b"\0")) < len(bytes(before).rstrip(b"\0")) * 3 // 4
    store.close()


class Unreadable(MemoryFiles):
    """A disk that cannot be read, or where what is read first is wrong."""

    is_bad = is_wrong = False

    def pread(self, fd: int, size: int, offset: int) -> bytearray:
        if self.is_wrong:
            self.is_wrong, self.is_bad = False, True
            return bytearray(size)
        if self.is_bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pread(fd, size, offset)

    def pread_cached(self, fd: int, size: int, offset: int) -> bytearray | None:
        return self.pread(fd, size, offset)


@pytest.mark.parametrize("is_wrong", [False, True])
def test_a_disk_that_cannot_be_read_is_told_to_who_loads(is_wrong: bool) -> None:
    disk = Unreadable()
    home = LoneHome(disk)
    store = FileStore(home, Folder(home.files, "/s"), 7)
    store.append(message(b"a", b"x"), 1)
    home.turn(store)
    store.close()
    store = FileStore(home, Folder(home.files, "/s"), 7)
    disk.is_wrong, disk.is_bad = is_wrong, not is_wrong
    if not is_wrong:
        assert store.peek(1) is ELSEWHERE
    answers: list[list[Stored | None] | Exception] = []
    store.load([1], answers.append)
    home.turn(store)
    assert len(answers) == 1 and isinstance(answers[0], OSError)


def test_a_file_that_two_threads_open_at_once_is_open_once(tmp_path: Path) -> None:
    class Meeting(Files):
        """Two who open a file wait for each other."""

        def open(self, path: str) -> int:
            fd = super().open(path)
            meeting.wait(10)
            return fd

    meeting = threading.Barrier(2)
    Segment(Files(), str(tmp_path), Head(1, 7, 1, 0, 0)).make(Folder(Files(), str(tmp_path)))
    segment = Segment(Meeting(), str(tmp_path), Head(1, 7, 1, 0, 0))
    before = len(os.listdir("/dev/fd"))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(segment.opened())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == 2 * [segment.fd] and len(os.listdir("/dev/fd")) == before + 1
    segment.close()


def submitted(directory: StoreDirectory, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note what is given to the workers."""
    calls: list[object] = []
    submit = directory.submit

    def noted(call: Callable[[], object], done: Callable[[object], None]) -> None:
        calls.append(call)
        submit(call, done)

    monkeypatch.setattr(directory, "submit", noted)
    return calls


@pytest.mark.parametrize("sync", [10.0, "os"])
def test_a_little_that_is_not_synced_needs_no_worker(tmp_path: Path, sync: float | str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = StoreDirectory(str(tmp_path), sync=sync, wake=lambda: None, workers=0)
    directory.handle_timeout(1)
    store = directory.open("A", "S")
    calls = submitted(directory, monkeypatch)
    store.append(message(b"a", b"x"), 1)
    directory.begin()
    assert (len(calls), store.committed) == (1, 0)  # the file has to be made
    directory.finish()
    assert store.committed == 1
    calls.clear()
    told: list[object] = []
    for size in (1, 1_000, 16_000):
        store.append(message(b"a", bytes(size)), 1)
        store.settle(told.append)
        directory.begin()
        assert store.committed == store.last
    assert (calls, told) == ([], [None, None, None])
    store.append(message(b"a", bytes(17_000)), 1)
    directory.begin()
    assert (len(calls), store.committed) == (1, store.last - 1)  # that is not a little
    directory.finish()
    calls.clear()
    for _ in range(2_000):  # past the space that was set aside, which takes the system longer
        store.append(message(b"a", bytes(10_000)), 1)
        directory.begin()
        directory.finish()
    assert 0 < len(calls) < 40
    assert [each.sequence for each in store.scan()] == list(range(1, store.last + 1))
    directory.close()


def test_whatever_is_synced_is_a_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0)
    store = directory.open("A", "S")
    calls = submitted(directory, monkeypatch)
    for number in range(1, 5):
        store.append(message(b"a", b"x"), 1)
        directory.begin()
        assert (len(calls), store.committed) == (number, number - 1)
        directory.finish()
        assert store.committed == number
    directory.close()


def test_a_little_that_cannot_be_written_is_undone_as_much_would_be(tmp_path: Path) -> None:
    full = False
    files = FailingFiles(lambda name, number: errno.ENOSPC if full and name == "pwrite" else 0)
    directory = StoreDirectory(str(tmp_path), sync="os", wake=lambda: None, workers=0, files=files)
    store = directory.open("A", "S")
    store.append(message(b"a", b"kept"), 1)
    turn(directory)
    full = True
    told: list[Exception | None] = []
    store.append(message(b"a", b"lost"), 1)
    store.settle(told.append)
    turn(directory)
    assert isinstance(told[0], OSError) and told[0].errno == errno.ENOSPC
    assert (store.last, store.committed) == (1, 1)
    full = False
    assert store.failure is not None
    directory.handle_timeout(1 << 62)
    turn(directory)
    assert store.failure is None
    store.append(message(b"a", b"after"), 1)
    turn(directory)
    assert [each.payload for each in store.scan()] == [b"kept", b"after"]
    directory.close()
