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
        load(ledger, row.state, world.wall)
        assert (ledger.pending, ledger.stream_floor) == (0, 2)
    finally:
        world.engine.close()
        directory.close()


@pytest.mark.parametrize("step", [-DAY, 0, DAY])
def test_a_clock_that_was_set_while_nobody_ran(tmp_path: Path, step: int) -> None:
    """Redelivery, a longer wait that was asked for, ids and a consumer that nobody uses: all as if the server had not been down."""
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0)
    world = Consuming(directory, storage="file", duplicate_window=60 * SECOND)
    world.consume(durable_name="C", inactive_threshold=100 * SECOND)
    world.publish("s.a", b"x", Nats_Msg_Id="1")
    world.store("s.b")
    first, second = world.pull(2)
    world.wait(5)
    world.reply(second, b'-NAK {"delay": 50000000000}')
    world.turn()
    world.engine.close()
    directory.close()
    wall = world.wall + step * SECOND

    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0)
    world = Consuming(directory, wall)
    try:
        found = world.pull(3, to="I.2", expires=90 * SECOND)
        if step <= 0:
            assert found == []
            world.wait(5.2)
            (again,) = world.news()
            assert numbers([again]) == [(2, 1, 3, 0)]
            world.reply(again)
            world.wait(44)
            assert world.news() == []
            world.wait(1)
            assert numbers(world.news()) == [(2, 2, 4, 0)]
            world.wait(1)
        else:
            assert len(found) == 2  # nobody can tell this from a day without the server
            world.wait(51)
        assert ("duplicate" in world.ack("s.a", b"x", Nats_Msg_Id="1")) == (step <= 0)
        world.wait(10)  # set back, it may be remembered longer by what passed between the last message and the end
        assert ("duplicate" in world.ack("s.a", b"x", Nats_Msg_Id="1")) == (step > 0)
        assert world.state()["consumer_count"] == 1
        world.wait(300)
        assert world.state()["consumer_count"] == 0
        assert world.outside.failures == []
    finally:
        world.engine.close()
        directory.close()


@STEPS
def test_ids_are_remembered_as_long_as_they_are_though_the_clock_is_set(step: int) -> None:
    world = Consuming(duplicate_window=60 * SECOND)
    world.ack("s.a", b"x", Nats_Msg_Id="1")
    world.wait(50)
    jump(world, step)
    assert "duplicate" in world.ack("s.a", b"x", Nats_Msg_Id="1")
    world.wait(11)
    assert "duplicate" not in world.ack("s.a", b"x", Nats_Msg_Id="1")
    assert "duplicate" in world.ack("s.a", b"x", Nats_Msg_Id="1")
    world.wait(61)
    assert "duplicate" not in world.ack("s.a", b"x", Nats_Msg_Id="1")


@STEPS
def test_a_time_to_live_is_as_long_as_it_says_though_the_clock_is_set(step: int) -> None:
    world = Consuming(allow_msg_ttl=True)
    world.ack("s.a")
    jump(world, step)
    world.ack("s.b", b"x", Nats_TTL="30s")
    world.wait(29)
    assert world.state()["messages"] == 2
    world.wait(2)
    assert world.state()["messages"] == 1
