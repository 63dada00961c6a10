"""A directory of stores: the lock, rounds in turns of a loop, the three ways to sync, memory, failure, and what is left behind."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from store.disks import FailingFiles, RecordingFiles, message

from midge.errors import StoreDamagedError, StoreLockedError
from midge.store.base import ELSEWHERE, Stored
from midge.store.directory import StoreDirectory
from midge.store.files import Files
from midge.store.state import ConsumerRow


def opened(path: Path, *, sync: str | float = "always", files: Files | None = None, memory: int = 64 << 20) -> StoreDirectory:
    """A directory whose workers work at once."""
    return StoreDirectory(str(path), sync=sync, wake=lambda: None, workers=0, files=files, memory=memory)


def turn(directory: StoreDirectory) -> None:
    directory.begin()
    directory.finish()


def test_it_is_locked(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(StoreLockedError) as caught:
        opened(tmp_path)
    assert caught.value.pid == os.getpid()
    assert str(caught.value) == f"the store at {tmp_path} is in use by process {os.getpid()}"
    first.close()
    opened(tmp_path).close()


def test_another_process_is_told_who_has_it(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    code = f"from midge.store.directory import StoreDirectory; StoreDirectory({str(tmp_path)!r}, wake=print)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 1 and f"is in use by process {os.getpid()}" in outcome.stderr
    directory.close()


def test_names_may_have_any_character(tmp_path: Path) -> None:
    names = [("$G", "ORDERS"), ("$G", "../../x"), ("a/b", "\x01\n"), ("", ""), ("$G", "ünï cödé 漢"), ("$G", "orders")]
    directory = opened(tmp_path)
    for at, (account, stream) in enumerate(names):
        store = directory.open(account, stream)
        assert directory.open(account, stream) is store
        store.append(message(b"a", b"%d" % at), 1)
    turn(directory)
    directory.close()
    directory = opened(tmp_path)
    for at, (account, stream) in enumerate(names):
        stored = directory.open(account, stream).read(1)
        assert stored is not None and stored.payload == b"%d" % at
    directory.close()
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "state.db", "streams"}


def test_nothing_is_committed_before_it_is_synced(tmp_path: Path) -> None:
    woken = threading.Event()
    directory = StoreDirectory(str(tmp_path), wake=woken.set)
    store = directory.open("A", "S")
    told: list[tuple[int, Exception | None]] = []
    for _ in range(3):
        sequence = store.append(message(b"a"), 1)
        store.settle(lambda error, sequence=sequence: told.append((sequence, error)))  # type: ignore[misc]
        assert store.committed == sequence - 1 and len(told) == sequence - 1
        directory.begin()
        while len(told) < sequence:
            assert woken.wait(10)
            woken.clear()
            directory.finish()
        assert store.committed == sequence
    assert told == [(1, None), (2, None), (3, None)]
    directory.close()


def test_what_arrives_during_a_round_is_the_next_one(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    store = directory.open("A", "S")
    store.append(message(b"a"), 1)
    directory.begin()  # under way, and its outcome not taken
    store.append(message(b"a"), 1)
    directory.begin()
    assert store.committed == 0
    directory.finish()
    assert store.committed == 1
    directory.finish()
    assert store.committed == 2
    directory.close()


def test_settle_never_answers_within_the_call_and_with_nothing_to_write(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    store = directory.open("A", "S")
    told: list[Exception | None] = []
    store.settle(told.append)
    assert told == []
    turn(directory)
    assert told == [None]
    directory.close()


def syncs(files: RecordingFiles) -> int:
    return sum(op.name == "sync" for op in files.ops)


def test_syncing_in_intervals(tmp_path: Path) -> None:
    files = RecordingFiles()
    directory = opened(tmp_path, sync=2.0, files=files)
    store = directory.open("A", "S")
    directory.handle_timeout(1_000_000_000)
    store.append(message(b"a"), 1)
    turn(directory)
    assert store.committed == 1
    before = syncs(files)
    deadline = directory.next_deadline()
    assert deadline == 3_000_000_000
    directory.handle_timeout(deadline - 1)
    turn(directory)
    assert syncs(files) == before
    directory.handle_timeout(deadline)
    turn(directory)
    assert syncs(files) == before + 1
    assert directory.next_deadline() is None
    directory.close()


def test_the_system_decides_when_to_sync(tmp_path: Path) -> None:
    files = RecordingFiles()
    directory = opened(tmp_path, sync="os", files=files)
    store = directory.open("A", "S")
    turn(directory)
    store.append(message(b"a"), 1)
    turn(directory)
    before = syncs(files)
    store.append(message(b"a"), 1)
    turn(directory)
    assert store.committed == 2 and syncs(files) == before and directory.next_deadline() is None
    directory.close()
    assert syncs(files) == before + 1  # a clean stop: the log


def test_sync_must_be_one_of_three(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected always, os or seconds"):
        opened(tmp_path, sync="never")


def test_memory_is_bounded_over_all_stores(tmp_path: Path) -> None:
    directory = opened(tmp_path, memory=100_000)
    stores = [directory.open("A", f"S{at}") for at in range(4)]
    for sequence in range(1, 101):
        for store in stores:
            store.append(message(b"a", b"%d" % sequence + bytes(1000)), sequence)
        turn(directory)
    held = sum(len(block.buf) for store in stores for block in store._shelf._blocks)
    assert held < 4 * 40_000 + 100_000
    for store in stores:
        found = [store.read(sequence) for sequence in range(1, 101)]
        assert [stored.payload[:-1000] for stored in found if stored] == [b"%d" % sequence for sequence in range(1, 101)]
    directory.close()


def test_peek_and_load(tmp_path: Path) -> None:
    directory = opened(tmp_path, memory=0)
    store = directory.open("A", "S")
    for sequence in range(1, 6):
        store.append(message(b"a", b"%d" % sequence * 3000, b"NATS/1.0\r\n\r\n"), sequence)
    turn(directory)
    other = directory.open("A", "T")
    other.append(message(b"a"), 1)  # takes the memory
    expected = Stored(1, 1, b"a", b"NATS/1.0\r\n\r\n", b"1" * 3000)
    assert store.peek(1) in (expected, ELSEWHERE)
    assert store.peek(6) is None and store.peek(0) is None
    answers: list[object] = []
    store.load([5, 1, 9, 1], answers.append)
    assert answers == []
    directory.finish()
    fifth = store.read(5)
    assert answers == [[fifth, expected, None, expected]] and fifth is not None and fifth.payload == b"5" * 3000
    directory.close()


def test_a_failure_is_tried_again_with_more_and_more_time(tmp_path: Path) -> None:
    files = FailingFiles()
    directory = opened(tmp_path, files=files)
    store = directory.open("A", "S")
    store.append(message(b"a", b"kept"), 1)
    turn(directory)
    files.fails = lambda name, number: errno.ENOSPC if name in ("pwrite", "create", "fallocate") else 0
    store.append(message(b"a", b"lost"), 1)
    told: list[Exception | None] = []
    store.settle(told.append)
    now = 10**18
    directory.handle_timeout(now)
    turn(directory)
    assert isinstance(told[0], OSError) and told[0].errno == errno.ENOSPC and store.failure is told[0]
    assert (store.last, store.committed, store.messages) == (1, 1, 1)
    waits = []
    for _ in range(8):
        deadline = directory.next_deadline()
        assert deadline is not None
        waits.append(round((deadline - now) / 1e9, 3))
        now = deadline
        directory.handle_timeout(now)
        turn(directory)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    with pytest.raises(OSError):
        store.append(message(b"a"), 1)
    store.settle(told.append)
    turn(directory)
    assert told[1] is store.failure
    files.fails = lambda name, number: 0
    deadline = directory.next_deadline()
    assert deadline is not None
    directory.handle_timeout(deadline)
    turn(directory)
    assert store.failure is None and directory.next_deadline() is None
    assert store.append(message(b"a", b"again"), 1) == 2
    turn(directory)
    directory.close()
    directory = opened(tmp_path)
    assert [stored.payload for stored in directory.open("A", "S").scan()] == [b"kept", b"again"]
    assert directory.quarantine == []
    directory.close()


def test_one_that_fails_to_begin_holds_up_no_other(tmp_path: Path) -> None:
    """Two stores cannot begin a round, one because of who waits for it: the rounds of the others begin, and the driver is told."""
    disk = FailingFiles()
    directory = opened(tmp_path, files=disk)
    stores = [directory.open("A", f"S{number}") for number in range(4)]
    disk.fails = lambda name, number: errno.EIO if name == "fdatasync" else 0
    for store in stores[:2]:
        store.append(message(b"a"), 1)
    turn(directory)
    assert [store.failure is None for store in stores] == [False, False, True, True]
    disk.fails = lambda name, number: 0
    told: list[object] = []

    def fail(error: Exception | None) -> None:
        told.append(error)
        raise RuntimeError("who waits")

    stores[0].settle(fail)
    stores[1].settle(told.append)
    stores[2].append(message(b"a"), 1)
    stores[3].append(message(b"a"), 1)
    with pytest.raises(RuntimeError, match="who waits"):
        directory.begin()
    turn(directory)
    assert told == [stores[0].failure, stores[1].failure]
    assert [store.committed for store in stores] == [0, 0, 1, 1]
    directory.close()


def test_one_that_raises_where_it_is_told_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    """What was written is told to all who wait, in all stores, also of consumers, and what they do then is written."""
    directory = opened(tmp_path)
    directory.state.put_stream("A", "1", b"{}", 7)
    first, second = directory.open("A", "1"), directory.open("A", "2")
    told: list[object] = []

    def fail(error: Exception | None) -> None:
        first.append(message(b"b"), 1)
        raise RuntimeError("who waits")

    for number in range(2):
        directory.keeper.put(ConsumerRow(number + 1, "A", "1", f"C{number}", b"{}", 5, b"0"), 7, (fail, told.append)[number])
    for store in (first, second):
        store.append(message(b"a"), 1)
        store.settle(fail)
        store.settle(told.append)
    directory.begin()
    with pytest.raises(RuntimeError, match="who waits"):
        directory.finish()
    assert told == [None, None, None]
    turn(directory)
    assert (first.committed, first.last, second.committed) == (4, 4, 1)
    directory.close()


def test_deleting_leaves_nothing(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    store = directory.open("A", "S")
    store.append(message(b"a"), 1)
    turn(directory)
    store.delete(lambda: None)
    assert list((tmp_path / "streams").iterdir()) == []
    again = directory.open("A", "S")
    assert (again.messages, again.last) == (0, 0)
    again.append(message(b"a"), 1)
    again.delete(lambda: None)
    directory.close()


def test_a_deletion_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    left = tmp_path / "streams" / "00000009.gone"
    (left / "quarantine").mkdir(parents=True)
    (left / "0000000001.seg").write_bytes(b"x")
    (left / "quarantine" / "x").write_bytes(b"x")
    opened(tmp_path).close()
    assert not left.exists()


def test_streams_are_found_again_where_the_state_is_lost(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    store = directory.open("A", "S")
    store.append(message(b"a", b"kept"), 1)
    turn(directory)
    directory.close()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    directory = opened(tmp_path)
    stored = directory.open("A", "S").read(1)
    assert stored is not None and stored.payload == b"kept"
    assert directory.open("A", "T").messages == 0
    directory.close()


def test_a_damaged_state_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    path = tmp_path / "state.db"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(StoreDamagedError, match="is damaged and was left as it is"):
        opened(tmp_path)
    assert path.read_bytes() == b"x" * 5000
    path.unlink()
    opened(tmp_path).close()  # and the lock was let go


def test_a_store_of_which_nobody_knows_whose_it_is_is_reported_and_left(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    directory.open("A", "S")
    directory.close()
    (tmp_path / "state.db").unlink()
    path = tmp_path / "streams" / "00000001" / "store.json"
    assert json.loads(path.read_text())["stream"] == "S"
    path.write_text("{")
    directory = opened(tmp_path)
    assert [damage.file for damage in directory.quarantine] == [str(path.parent)]
    assert directory.open("A", "S").messages == 0  # another one: that it is the same, nobody can tell
    assert path.read_text() == "{" and (tmp_path / "streams" / "00000002").is_dir()
    directory.close()


def test_a_forked_process_does_not_write(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    store = directory.open("A", "S")
    store.append(message(b"a"), 1)
    child = os.fork()
    if child == 0:
        try:
            directory.begin()
        except RuntimeError:
            directory.close()
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    turn(directory)
    assert store.committed == 1
    directory.close()
    directory = opened(tmp_path)
    assert directory.open("A", "S").messages == 1
    directory.close()


def test_closing_settles_what_waits(tmp_path: Path) -> None:
    directory = StoreDirectory(str(tmp_path), wake=lambda: None)
    store = directory.open("A", "S")
    told: list[Exception | None] = []
    for sequence in range(1, 100):
        store.append(message(b"a", bytes(1000)), sequence)
    store.settle(told.append)
    directory.begin()
    store.append(message(b"b"), 100)
    directory.close()
    directory.close()
    assert told == [None]
    directory = opened(tmp_path)
    assert directory.open("A", "S").messages == 100
    directory.close()


def test_configurations(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    directory.state.put_stream("A", "S", b"{}", 5)
    directory.state.put_stream("A", "S", b'{"a":1}', 5)
    directory.state.put_stream("B", "T", b"{}", 6)
    directory.state.remove_stream("A", "none")
    directory.close()
    directory = opened(tmp_path)
    assert directory.state.streams() == [("A", "S", b'{"a":1}', 5), ("B", "T", b"{}", 6)]
    assert directory.state.streams("B") == [("B", "T", b"{}", 6)]
    directory.state.remove_stream("A", "S")
    assert directory.state.streams("A") == []
    directory.close()
