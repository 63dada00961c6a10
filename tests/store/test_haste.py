"""When whoever begins a round may sync it: with a disk that is quick, and with nobody else there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from store.disks import message

from midge.store.directory import StoreDirectory
from midge.store.haste import QUICK, Haste
from midge.store.log import FileStore

SLOW = 10**15


def haste(is_alone: Callable[[], bool] | None = lambda: True, rounds: int = 1, clock: Callable[[], int] = lambda: 0) -> Haste:
    """Of a disk that was quick for a while."""
    found = Haste(is_alone, clock)
    found.rounds = rounds
    for _ in range(20):
        found.note(1000)
    return found


def test_not_before_the_disk_was_quick_for_a_while() -> None:
    found = Haste(lambda: True, lambda: 0)
    found.rounds = 1
    for _ in range(5):
        found.note(1000)
        assert not found.may_wait()
    found.note(1000)
    assert found.may_wait()


def test_a_sync_that_took_long_is_remembered_for_a_while() -> None:
    found = haste()
    found.note(5 * QUICK)  # once is no habit
    assert found.may_wait()
    for _ in range(5):
        found.note(10 * QUICK)
    for _ in range(8):
        found.note(1000)
        assert not found.may_wait()
    for _ in range(20):
        found.note(1000)
    assert found.may_wait()


def test_a_disk_that_stops_now_and_then_holds_nobody_for_long() -> None:
    """Every hundredth sync takes two seconds, the others a fifth of a millisecond: the loop waits for a fiftieth of the time."""
    now = held = 0
    found = haste(clock=lambda: now)
    for number in range(100_000):
        took = 2_000_000_000 if number % 100 == 99 else 200_000
        held += took * (found.may_wait() and took > QUICK)
        now += took
        found.note(took)
    assert 0 < held <= now / 50


def test_a_slow_disk_is_left_to_the_workers() -> None:
    found = haste()
    for _ in range(100):
        found.note(2 * QUICK)
    assert not found.may_wait()


def test_not_with_others() -> None:
    assert haste().may_wait()
    assert not haste(rounds=2).may_wait()
    assert not haste(None).may_wait()
    assert not haste(lambda: False).may_wait()


def test_small_rounds_of_one_stream_take_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.store.haste.QUICK", SLOW)  # whatever this disk takes
    woken: list[int] = []
    directory = StoreDirectory(str(tmp_path), wake=lambda: woken.append(1), workers=0, is_alone=lambda: True)
    directory.haste.note(-100 * SLOW)
    first, second = directory.open("A", "1"), directory.open("A", "2")

    def published(*stores: FileStore, size: int = 10) -> int:
        """How often a worker has woken the loop."""
        before = len(woken)
        for store in stores:
            store.append(message(b"a", bytes(size)), 1)
        directory.begin()
        directory.finish()
        return len(woken) - before

    assert published(first, second) == 2  # their files are made
    assert published(first) == 0 and first.committed == first.last
    assert published(first, second) == 2
    assert published(first, size=100_000) == 1
    directory.haste.note(1000 * SLOW)
    assert published(first) == 1
    directory.close()


def test_what_a_round_that_was_over_at_once_leaves_to_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.store.haste.QUICK", SLOW)  # whatever this disk takes
    woken: list[int] = []
    again: list[int] = []
    directory = StoreDirectory(str(tmp_path), wake=lambda: woken.append(1), workers=0, is_alone=lambda: True)
    directory.haste.note(-100 * SLOW)
    store = directory.open("A", "S")
    store.append(message(b"a"), 1)
    directory.begin()
    directory.finish()
    woken.clear()
    store.append(message(b"a"), 1)
    store.settle(lambda error: again.append(store.append(message(b"a"), 1)))
    directory.begin()
    assert (store.committed, store.last, woken) == (2, 3, [1])
    directory.finish()
    assert store.committed == 3 and woken == [1]
    directory.close()
