"""Consumers of a stream whose disk fails: what was never committed is delivered to nobody, and what comes in its place to everybody."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from consuming import Consuming, numbers
from disks_of_engines import Disk, closed
from worlds import SECOND

from midge.store.directory import StoreDirectory


class Failing(Consuming):
    """A world whose disk can be full, with three messages."""

    def __init__(self, path: Path) -> None:
        self.disk = Disk()
        super().__init__(StoreDirectory(str(path), wake=lambda: None, workers=0, files=self.disk), storage="file")
        self.store("s.0", "s.1", "s.2")

    def lose(self, *subjects: str) -> None:
        """Publish what will not be stored."""
        self.disk.full = True
        for subject in subjects:
            self.publish(subject, b"lost")

    def create_and_pull(self, **config: object) -> None:
        """Ask for a consumer and its messages; nothing happens yet."""
        whole = {"name": "C", "durable_name": "C", "ack_policy": "none", "max_deliver": -1, "replay_policy": "instant"} | config
        self.publish("$JS.API.CONSUMER.CREATE.S.C", json.dumps({"stream_name": "S", "config": whole}).encode(), "R.c")
        self.engine.step(self.wall)
        self.publish("$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":100}', "I.1")
        self.engine.step(self.wall)

    def heal(self) -> None:
        """Let the round fail, and the disk work again."""
        self.turn()
        assert self.stream.store.last == 3
        self.disk.full = False
        for _ in range(4):
            self.wall += SECOND
            self.directory.handle_timeout(self.wall)
            self.turn()

    def sequences(self) -> list[int]:
        """Return what was delivered since the last time."""
        return [sequence for _, sequence, _, _ in numbers(self.news())]

    def left(self) -> int:
        return self.stream.consumers["C"].info(self.wall).num_pending


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Failing]:
    world = Failing(tmp_path)
    yield world
    closed(world)


@pytest.mark.parametrize("policy", ["all", "new", "last", "last_per_subject"])
def test_one_that_begins_in_a_round_that_fails_misses_nothing_that_follows(world: Failing, policy: str) -> None:
    filters = {"filter_subject": "s.>"} if policy == "last_per_subject" else {}
    world.lose("s.7", "s.8")
    world.create_and_pull(deliver_policy=policy, **filters)
    assert world.sequences() == ([1, 2, 3] if policy in ("all", "last_per_subject") else [])  # nothing that is not committed
    world.heal()
    assert world.sequences() == [] and world.left() == 0
    world.store("s.3", "s.4", "s.5", "s.6")
    assert world.sequences() == [4, 5, 6, 7] and world.left() == 0
    floor = world.stream.consumers["C"].info(world.wall).ack_floor
    assert floor is not None and floor.stream_seq == 7


def test_the_last_messages_are_those_that_are_there_after_all(world: Failing) -> None:
    world.lose("s.0", "s.2")
    world.create_and_pull(deliver_policy="last_per_subject", filter_subjects=["s.0", "s.2"])
    assert world.sequences() == [] and world.left() == 2
    world.heal()
    assert world.sequences() == [1, 3] and world.left() == 0
    world.store("s.0")
    assert world.sequences() == [4] and world.left() == 0


def test_the_last_messages_that_are_not_committed_are_waited_for(world: Failing) -> None:
    world.lose("s.0", "s.9")
    world.create_and_pull(deliver_policy="last_per_subject", filter_subject="s.>")
    assert world.sequences() == [2, 3]
    world.disk.full = False
    world.turn()
    assert world.sequences() == [4, 5]


def test_a_purge_in_a_round_that_fails(world: Failing) -> None:
    world.create_and_pull(ack_policy="explicit")
    assert world.sequences() == [1, 2, 3]
    world.lose("s.7", "s.8")
    world.publish("$JS.API.STREAM.PURGE.S", b"", "R.p")
    world.heal()
    world.store("s.3", "s.4")
    assert world.sequences() == [4, 5]


def test_what_is_left_is_counted_without_what_is_gone(world: Failing) -> None:
    world.create_and_pull(deliver_policy="new", filter_subject="s.*.x")
    world.lose("s.1.x", "s.2.x")
    assert world.left() == 2
    world.heal()
    assert world.left() == 0
    world.store("s.7", "s.8", "s.9")
    assert world.left() == 0


def test_one_that_begins_with_what_is_to_come_does_so_whatever_fails(world: Failing) -> None:
    world.create_and_pull(deliver_policy="by_start_sequence", opt_start_seq=6)
    world.lose("s.7")
    world.heal()
    world.store("s.3", "s.4", "s.5", "s.6")
    assert world.sequences() == [6, 7]
