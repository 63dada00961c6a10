"""Schedules: what happens when they are due, with the clock in the hand. tests/interop compares with nats-server what is taken and sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from worlds import SECOND, START, World

from midge.engine import schedules as module
from midge.engine.schedule import due
from midge.model.base import time_text
from midge.store.base import Stored
from midge.store.directory import StoreDirectory
from midge.store.files import Files

FAR = "@at 2099-01-01T00:00:00Z"


@pytest.fixture
def world() -> World:
    world = World()
    world.create(allow_msg_schedules=True, allow_msg_ttl=True, allow_atomic=True)
    return world


def at(seconds: float) -> str:
    return f"@at {time_text(START + int(seconds * SECOND))}"


def schedule(world: World, pattern: str, subject: str = "s.x", payload: bytes = b"x", target: str = "s.y", **headers: str) -> str:
    return world.ack(subject, payload, Nats_Schedule=pattern, Nats_Schedule_Target=target, **headers)


def sent(world: World, subject: str = "s.y") -> list[Stored]:
    store = world.account.streams["S"].store
    return [stored for stored in store.scan(max(store.first, 1)) if stored.subject == subject.encode()]


def test_a_message_is_sent_when_it_is_due_and_the_schedule_is_gone(world: World) -> None:
    schedule(world, at(10), payload=b"later", A="1", Nats_Schedule_TTL="5m")
    world.wait(9)
    assert sent(world) == []
    world.wait(2)
    (message,) = sent(world)
    assert message.payload == b"later" and message.time == START + 10 * SECOND
    assert message.header == b"NATS/1.0\r\nA: 1\r\nNats-Scheduler: s.x\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m\r\n\r\n"
    assert world.state()["messages"] == 1
    assert len(world.account.streams["S"].schedules) == 0
    world.wait(300)
    assert world.state()["messages"] == 0 and world.engine.next_deadline() is None


def test_one_that_repeats(world: World) -> None:
    schedule(world, "@every 10s")
    world.wait(35)
    messages = sent(world)
    assert [message.time for message in messages] == [START + seconds * SECOND for seconds in (10, 20, 30)]
    assert f"Nats-Schedule-Next: {time_text(START + 40 * SECOND)}".encode() in messages[-1].header


def test_one_by_the_clock_of_a_zone(world: World) -> None:
    schedule(world, "0 0 5 * * *", Nats_Schedule_Time_Zone="America/New_York")
    world.wait(2 * 86_400)
    first, second = sent(world)
    assert second.time - first.time == 86_400 * SECOND
    assert time_text(first.time).endswith("T10:00:00Z")
    assert b"T05:00:00-05:00\r\n" in first.header


def test_what_takes_its_place_or_removes_it_ends_it(world: World) -> None:
    for number, end in enumerate((
        lambda subject: world.ack(subject, b"plain"),
        lambda subject: world.api("STREAM.PURGE.S", filter=subject),
        lambda subject: world.api("STREAM.MSG.DELETE.S", seq=world.state()["last_seq"]),
        lambda subject: world.ack("s.other", b"", Nats_Scheduler=subject, Nats_Schedule_Next="purge"),
    )):  # fmt: skip
        schedule(world, at(100), f"s.x{number}")
        end(f"s.x{number}")
    schedule(world, at(100), "s.again")
    schedule(world, at(200), "s.again", payload=b"2")
    world.wait(150)
    assert sent(world) == []
    world.wait(100)
    assert [message.payload for message in sent(world)] == [b"2"]
    assert len(world.account.streams["S"].schedules) == 0


def test_samples_of_a_source(world: World) -> None:
    schedule(world, "@every 10s", payload=b"none yet", Nats_Schedule_Source="s.source")
    world.wait(11)
    world.ack("s.source", b"1")
    world.ack("s.source", b"2", B="2", Nats_Msg_Id="7")
    world.wait(10)
    none, sample = sent(world)
    assert (none.payload, sample.payload) == (b"none yet", b"2")
    assert sample.header.startswith(b"NATS/1.0\r\nB: 2\r\nNats-Scheduler: s.x\r\nNats-Schedule-Next: 20")


def test_a_batch_of_schedules(world: World) -> None:
    more = {"Nats_Batch_Id": "b", "Nats_Schedule_Target": "s.y"}
    world.ack("s.1", b"1", Nats_Batch_Sequence="1", Nats_Schedule=at(10), **more)
    world.ack("s.2", b"2", Nats_Batch_Sequence="2", Nats_Schedule=at(5), Nats_Batch_Commit="1", **more)
    world.wait(20)
    assert [message.payload for message in sent(world)] == [b"2", b"1"]


def test_many_at_the_same_time_take_turns(world: World) -> None:
    for number in range(3 * module.SLICE):
        schedule(world, at(10), f"s.x.{number}", payload=b"%d" % number)
    world.wait(10)
    assert len(sent(world)) == module.SLICE
    world.wait(2)
    assert [message.payload for message in sent(world)] == [b"%d" % number for number in range(3 * module.SLICE)]


def test_what_is_gone_takes_no_memory(world: World) -> None:
    schedules = world.account.streams["S"].schedules
    for number in range(5_000):
        world.publish(f"s.x.{number}", Nats_Schedule=FAR, Nats_Schedule_Target="s.y")
        if number % 500 == 0:
            world.turn()
            world.api("STREAM.PURGE.S")
    assert len(schedules) <= 2 * module.ROOM
    for _ in range(5_000):
        world.publish("s.x", Nats_Schedule=FAR, Nats_Schedule_Target="s.y")
    assert len(schedules._heap) <= 2 * module.ROOM + 1


def test_one_that_cannot_be_stored_is_tried_again() -> None:
    world = World()
    world.create(allow_msg_schedules=True)
    schedule(world, at(10), payload=b"x" * 50)
    stream = world.account.streams["S"]
    stream.intake.full = True
    world.wait(15)
    assert sent(world) == [] and any("schedule of stream S" in failure for failure in world.outside.failures)
    stream.intake.full = False
    world.wait(2)
    assert len(sent(world)) == 1


def test_one_that_fails_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it fails with; it is tried again, too."""
    send, failing = module.Schedules._send, [True]

    def fail(schedules: module.Schedules, subject: bytes, *rest: Any) -> None:
        if subject == b"s.x" and failing:
            raise RuntimeError("nobody knows why")
        send(schedules, subject, *rest)

    monkeypatch.setattr(module.Schedules, "_send", fail)
    schedule(world, at(10), "s.x")
    schedule(world, at(10), "s.z")
    world.wait(12)
    assert len(sent(world)) == 1
    failing.clear()
    world.wait(2)
    assert len(sent(world)) == 2 and set(world.outside.failures) == {"a schedule of stream S: nobody knows why"}


def opened(path: Path) -> World:
    return World(StoreDirectory(str(path), wake=lambda: None, workers=0, files=Files()))


def closed(world: World) -> int:
    world.engine.close()
    world.directory.close()
    return world.wall


def test_they_are_known_again(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create(storage="file", allow_msg_schedules=True)
    schedule(world, at(10), "s.once")
    schedule(world, at(10), "s.over")
    world.ack("s.over", b"plain")
    schedule(world, at(1000), "s.later")
    schedule(world, "@every 100s", "s.every", target="s.z")
    world.wait(150)
    assert len(sent(world)) == len(sent(world, "s.z")) == 1
    wall = closed(world)
    world = opened(tmp_path)
    world.wall = world.engine.wall = wall
    world.turn()
    assert len(world.account.streams["S"].schedules) == 2
    world.wait(1000)
    assert len(sent(world)) == 2
    assert [message.time for message in sent(world, "s.z")] == [START + seconds * SECOND for seconds in range(100, 1101, 100)]
    closed(world)


def test_what_was_due_while_nobody_was_there_is_sent_once(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create(storage="file", allow_msg_schedules=True)
    schedule(world, at(10), "s.once")
    schedule(world, "@every 100s", "s.every", target="s.z")
    closed(world)
    world = opened(tmp_path)
    world.wall = START + 1_050 * SECOND
    world.turn()
    world.wait(90)
    assert len(sent(world)) == 1
    closed(world)


def test_only_what_was_missed_is_skipped() -> None:
    start = START // SECOND
    assert due({b"Nats-Schedule": b"@every 10s"}, START, START + 1_000 * SECOND) == ((start + 1_010) * SECOND, True)
    assert due({b"Nats-Schedule": b"@every 10s"}, START, START + 5 * SECOND) == ((start + 10) * SECOND, True)
    assert due({}, START, START) is None


def test_a_stream_that_goes_takes_its_schedules_along(world: World) -> None:
    schedule(world, "@every 1s")
    world.api("STREAM.DELETE.S")
    assert world.engine.next_deadline() is None


def test_a_level_is_needed(world: World) -> None:
    config = world.api("STREAM.INFO.S")["config"]
    assert json.loads(json.dumps(config))["metadata"]["_nats.req.level"] == "2" and config["allow_rollup_hdrs"]
