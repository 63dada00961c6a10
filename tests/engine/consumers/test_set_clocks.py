"""A wall clock that is set while consumers wait for something: nobody waits a day longer, and nothing happens a day too early."""

from __future__ import annotations

from pathlib import Path

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.engine.consumers.dump import load
from midge.engine.consumers.ledger import Ledger
from midge.model.base import time_text
from midge.store.directory import StoreDirectory

DAY = 86_400
STEPS = pytest.mark.parametrize("step", [-DAY, DAY])


def jump(world: Consuming, seconds: int) -> None:
    """Set the clock."""
    world.wall += seconds * SECOND
    world.engine.set_clock(seconds * SECOND, world.wall)
    if world.directory is not None:
        world.directory.set_clock(seconds * SECOND)
    world.turn()


@STEPS
def test_what_is_not_acknowledged_comes_again_when_it_had_to(step: int) -> None:
    world = Consuming()
    world.consume()
    world.store("s.a", "s.b")
    first, second = world.pull(2)
    world.wait(4)
    world.reply(second, b"+WPI")
    jump(world, step)
    world.pull(2, to="I.2", expires=60 * SECOND)
    world.wait(5.9)
    assert world.news() == []
    world.wait(0.2)
    assert numbers(world.news()) == [(2, 1, 3, 0)]
    world.wait(3.7)
    assert world.news() == []
    world.wait(0.5)
    assert numbers(world.news()) == [(2, 2, 4, 0)]
    world.reply(first)
    assert world.outside.failures == []


@STEPS
def test_requests_end_and_hear_something_when_they_had_to(step: int) -> None:
    world = Consuming()
    world.consume()
    world.pull(1, expires=10 * SECOND, idle_heartbeat=3 * SECOND)
    world.wait(2)
    jump(world, step)
    world.wait(0.9)
    assert world.news() == []
    world.wait(7.05)
    assert [each.header[9:12] for each in world.news()] == [b"100", b"100", b"100"]
    world.wait(0.1)
    assert numbers(world.news()) == [(0, 0, 0, 408)]


@STEPS
def test_requests_that_nobody_listens_for_make_room_when_the_clock_was_set(step: int) -> None:
    world = Consuming()
    consumer = world.consume(max_waiting=1)
    world.pull(1, to="I.gone", expires=1000 * SECOND)
    world.outside.deaf.add(b"I.gone")
    jump(world, step)
    world.wait(1.1)
    assert world.pull(1, expires=1000 * SECOND) == []
    assert consumer.target.waiting == 1


@STEPS
def test_a_consumer_that_nobody_uses_ends_when_it_had_to(step: int) -> None:
    world = Consuming()
    world.consume(inactive_threshold=10 * SECOND)
    world.pull(1, expires=SECOND)
    world.wait(5)
    jump(world, step)
    world.wait(4.9)
    assert "C" in world.stream.consumers
    world.wait(2.5)
    assert "C" not in world.stream.consumers


@STEPS
def test_a_pause_ends_when_it_says(step: int) -> None:
    world = Consuming()
    world.consume()
    world.api("CONSUMER.PAUSE.S.C", pause_until=time_text(world.wall + 10 * SECOND))
    world.pull(1, expires=100_000 * SECOND)
    world.store("s.a")
    jump(world, step)
    world.wait(1)
    assert len(world.news()) == (step > 0)
    world.wait(DAY + 10)
    assert len(world.news()) == (step < 0)


@STEPS
def test_who_is_pushed_to_hears_heartbeats_and_gets_what_was_held_back(step: int) -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", idle_heartbeat=3 * SECOND, rate_limit_bps=8 * (1 << 20), max_ack_pending=-1)
    world.wait(1)
    jump(world, step)
    world.wait(1.9)
    assert world.news() == []
    world.wait(0.2)
    assert [each.header[9:12] for each in world.news()] == [b"100"]
    world.store(*["s.a"] * 3, payload=b"x" * 900_000)
    assert len(world.news()) == 1
    jump(world, step)
    world.wait(4)
    assert len([each for each in world.news() if each.reply]) == 2


@STEPS
def test_how_far_it_has_come_is_written_when_it_had_to_be(tmp_path: Path, step: int) -> None:
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0)
    world = Consuming(directory, storage="file")
    try:
        world.consume(durable_name="C")
        world.store("s.a", "s.b", "s.c")
        for message in world.pull(2):
            world.wall += SECOND  # the keeper has written what was before
            directory.handle_timeout(world.wall)
            world.turn()
            world.reply(message)
            jump(world, step)
        due = directory.next_deadline()
        assert due is not None and due <= world.wall + SECOND
        directory.handle_timeout(world.wall + SECOND)
        world.turn()
        (row,) = directory.consumers("A", "S")
        ledger = Ledger()
        load(ledger, row.state)
        assert (ledger.pending, ledger.stream_floor) == (0, 2)
    finally:
        world.engine.close()
        directory.close()
