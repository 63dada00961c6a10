"""Consumers in the state's file: what is written when, what a failing disk changes about it, and files of the version before."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from midge.errors import StoreDamagedError
from midge.store.directory import StoreDirectory
from midge.store.state import ConsumerRow, State

SECOND = 1_000_000_000
BIRTH = 7


class Consumer:
    """Somebody who is kept, and counts how often it was asked."""

    def __init__(self, directory: StoreDirectory, name: str = "C", stream: str = "S") -> None:
        self.keeper = directory.keeper
        self.id = self.keeper.next_id()
        self.is_noted = False
        self.state = b"0"
        self.dumps = 0
        self.told: list[object] = []
        row = ConsumerRow(self.id, "A", stream, name, b"{}", 5, self.state)
        self.keeper.put(row, BIRTH, self.told.append)

    def dump(self) -> bytes:
        self.dumps += 1
        return self.state

    def change(self, state: bytes) -> None:
        self.state = state
        if not self.is_noted:
            self.keeper.changed(self)


def opened(path: Path) -> StoreDirectory:
    directory = StoreDirectory(str(path), wake=lambda: None, workers=0)
    if not directory.state.streams():
        directory.state.put_stream("A", "S", b"{}", BIRTH)
    return directory


def turn(directory: StoreDirectory, now: int = 0) -> None:
    if now:
        directory.handle_timeout(now)
    directory.begin()
    directory.finish()


def states(directory: StoreDirectory, stream: str = "S") -> dict[str, bytes]:
    return {row.name: row.state for row in directory.state.consumers("A", stream)}


def break_file(path: Path) -> None:
    with closing(sqlite3.connect(path / "state.db")) as base:
        base.execute("ALTER TABLE progress RENAME TO elsewhere")


def mend_file(path: Path) -> None:
    with closing(sqlite3.connect(path / "state.db")) as base:
        base.execute("ALTER TABLE elsewhere RENAME TO progress")


def test_a_consumer_is_there_again(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    consumer = Consumer(directory)
    assert consumer.told == []
    turn(directory)
    assert consumer.told == [None]
    directory.close()
    directory = opened(tmp_path)
    assert directory.state.consumers("A", "S") == [ConsumerRow(1, "A", "S", "C", b"{}", 5, b"0")]
    assert Consumer(directory, "D").id == 2
    directory.close()


def test_changes_are_written_every_tenth_of_a_second(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    consumers = [Consumer(directory, name) for name in "CDE"]
    turn(directory, SECOND)
    for each in consumers:
        for state in (b"1", b"2"):
            each.change(state)
    turn(directory, 2 * SECOND)
    assert states(directory) == {"C": b"2", "D": b"2", "E": b"2"}
    consumers[0].change(b"3")
    assert directory.next_deadline() == 2 * SECOND + SECOND // 10
    turn(directory, 2 * SECOND + SECOND // 10 - 1)
    assert states(directory)["C"] == b"2"
    turn(directory, 2 * SECOND + SECOND // 10)
    assert states(directory)["C"] == b"3"
    assert [each.dumps for each in consumers] == [2, 1, 1]
    assert directory.next_deadline() is None
    directory.close()


def test_many_bytes_are_written_more_seldom(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    consumers = [Consumer(directory, name) for name in "CD"]
    turn(directory, SECOND)
    for each in consumers:
        each.change(bytes(5_000_000))
    turn(directory, 2 * SECOND)
    consumers[0].change(b"1")
    assert directory.next_deadline() == 3 * SECOND
    directory.close()


def test_more_than_one_transaction_holds(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    consumers = [Consumer(directory, f"C{number}") for number in range(2_500)]
    turn(directory, SECOND)
    for each in consumers:
        each.change(b"1")
    directory.handle_timeout(2 * SECOND)
    directory.begin()
    assert sum(each.dumps for each in consumers) == 1_000
    directory.finish()
    assert set(states(directory).values()) == {b"1"}
    directory.close()


def test_who_waits_for_it_does_not_wait_for_others(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    waiting, other = Consumer(directory, "C"), Consumer(directory, "D")
    turn(directory, SECOND)
    told: list[str] = []
    waiting.change(b"1")
    other.change(b"1")
    directory.keeper.confirm(waiting, lambda: told.append("first"))
    directory.begin()
    waiting.change(b"2")  # while the first is under way
    directory.keeper.confirm(waiting, lambda: told.append("second"))
    assert told == []
    directory.finish()
    assert told == ["first", "second"]
    assert states(directory) == {"C": b"2", "D": b"0"}
    assert waiting.dumps == 2
    directory.close()


def test_a_confirmation_waits_for_a_disk_that_fails(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    complaints: list[OSError] = []
    directory.keeper.complain = complaints.append
    consumer = Consumer(directory)
    turn(directory, SECOND)
    break_file(tmp_path)
    told: list[str] = []
    consumer.change(b"1")
    directory.keeper.confirm(consumer, lambda: told.append("confirmed"))
    turn(directory)
    assert told == [] and len(complaints) == 1
    attempts, now = [], SECOND
    for _ in range(8):
        due = directory.next_deadline()
        assert due is not None
        attempts.append((due - now) / SECOND)
        now = due
        turn(directory, now)
    assert attempts == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] and told == [] and len(complaints) == 1
    mend_file(tmp_path)
    consumer.change(b"2")
    turn(directory, now + 5 * SECOND)
    assert told == ["confirmed"] and directory.keeper.failure is None
    assert states(directory) == {"C": b"2"}
    directory.close()


def test_who_makes_or_removes_one_is_told_that_it_fails(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    kept = Consumer(directory, "C")
    turn(directory, SECOND)
    break_file(tmp_path)
    new = Consumer(directory, "D")
    told: list[object] = []
    directory.keeper.remove(kept, told.append)
    turn(directory)
    assert isinstance(new.told[0], OSError) and isinstance(told[0], OSError)
    mend_file(tmp_path)
    turn(directory, 10 * SECOND)
    assert states(directory) == {}  # removed after all; the other one was never made
    assert len(new.told) == 1 and told[1:] == [None]
    directory.close()


def test_all_is_written_at_the_end(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    consumer = Consumer(directory)
    turn(directory, SECOND)
    turn(directory, 2 * SECOND)
    consumer.change(b"1")
    late = Consumer(directory, "D")
    directory.close()
    assert late.told == [None]
    directory = opened(tmp_path)
    assert states(directory) == {"C": b"1", "D": b"0"}
    directory.close()


def test_a_file_that_stays_broken_does_not_hold_up_the_end(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    complaints: list[OSError] = []
    directory.keeper.complain = complaints.append
    consumer = Consumer(directory)
    turn(directory, SECOND)
    break_file(tmp_path)
    consumer.change(b"1")
    directory.close()
    assert len(complaints) == 1


def test_they_go_with_their_stream(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    directory.state.put_stream("A", "T", b"{}", BIRTH)
    gone, other = Consumer(directory), Consumer(directory, stream="T")
    turn(directory, SECOND)
    gone.change(b"1")
    other.change(b"1")
    directory.keeper.forget(gone)
    late = Consumer(directory, "D")  # on its way to the file when the stream goes
    directory.state.remove_stream("A", "S")
    directory.state.put_stream("A", "S", b"{}", BIRTH + 1)
    turn(directory, 2 * SECOND)
    assert gone.dumps == 0 and late.told == [None]
    assert states(directory) == {} and states(directory, "T") == {"C": b"1"}
    directory.close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as base:
        assert base.execute("SELECT count(*) FROM progress").fetchone() == (1,)


def test_one_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    first = Consumer(directory)
    turn(directory, SECOND)
    first.change(b"1")
    directory.keeper.remove(first, first.told.append)
    second = Consumer(directory)
    turn(directory, 2 * SECOND)
    assert first.told == [None, None] and second.told == [None]
    assert states(directory) == {"C": b"0"}
    directory.close()


def test_a_configuration_is_changed_with_its_state(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    consumer = Consumer(directory)
    turn(directory, SECOND)
    directory.keeper.put(ConsumerRow(consumer.id, "A", "S", "C", b'{"new":1}', 5, b"9"), BIRTH, consumer.told.append)
    turn(directory)
    (row,) = directory.state.consumers("A", "S")
    assert (row.config, row.state, consumer.told) == (b'{"new":1}', b"9", [None, None])
    directory.close()


def test_a_file_of_the_version_before(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as base:
        base.execute("DROP TABLE consumers")
        base.execute("DROP TABLE progress")
        base.execute("PRAGMA user_version=1")
    directory = opened(tmp_path)
    assert [row.name for row in directory.state.streams()] == ["S"]
    Consumer(directory)
    directory.close()
    directory = opened(tmp_path)
    assert states(directory) == {"C": b"0"}
    directory.close()


@pytest.mark.parametrize(
    "change", ["UPDATE progress SET state = x'31'", "UPDATE consumers SET name = 'D'", "DELETE FROM progress"], ids=["state", "row", "lost"]
)
def test_a_changed_row_is_found(tmp_path: Path, change: str) -> None:
    directory = opened(tmp_path)
    Consumer(directory)
    directory.close()
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as base:
        base.execute(change)
    with pytest.raises(StoreDamagedError):
        State(str(tmp_path / "state.db"))


def test_threads_write(tmp_path: Path) -> None:
    import threading

    woken = threading.Event()
    directory = StoreDirectory(str(tmp_path), wake=woken.set)
    directory.state.put_stream("A", "S", b"{}", BIRTH)
    consumer = Consumer(directory)
    for number in range(20):
        told: list[int] = []
        consumer.change(b"%d" % number)
        directory.keeper.confirm(consumer, lambda told=told: told.append(1))  # type: ignore[misc]
        directory.begin()
        while not told:
            assert woken.wait(10)
            woken.clear()
            directory.finish()
    assert states(directory) == {"C": b"19"}
    consumer.change(b"20")
    directory.close()
    state = State(str(tmp_path / "state.db"))
    assert [row.state for row in state.consumers("A", "S")] == [b"20"]
    state.close()
