"""What happens to consumers by themselves: pauses end, pins are lost, who is not used is deleted. The clock is turned by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.model.base import time_text

MS = 1_000_000


def told(world: Consuming, name: str) -> list[dict[str, Any]]:
    """Return the advisories of one name."""
    subject = f"$JS.EVENT.ADVISORY.CONSUMER.{name}.S.C".encode()
    return [json.loads(payload) for to, _, payload in world.outside.sent if to == subject]


def listening(world: Consuming, *names: str) -> Consuming:
    world.outside.listeners += [f"$JS.EVENT.ADVISORY.CONSUMER.{name}.S.C".encode() for name in names]
    return world


def pause(world: Consuming, seconds: float | None) -> dict[str, Any]:
    body = {} if seconds is None else {"pause_until": time_text(world.wall + int(seconds * SECOND))}
    return world.api("CONSUMER.PAUSE.S.C", **body)


# Pauses


def test_a_pause_ends_by_itself() -> None:
    world = listening(Consuming(), "PAUSE")
    world.outside.bind("d")
    consumer = world.consume(deliver_subject="d", idle_heartbeat=SECOND)
    answer = pause(world, 2.5)
    assert (answer["paused"], answer["pause_remaining"]) == (True, 2_500 * MS)
    world.store("s.a")
    world.wait(2.4)
    assert [each.header[:12] for each in world.news()] == [b"NATS/1.0 100"] * 2  # heartbeats go on
    assert consumer.info(world.wall).paused
    assert consumer.info(world.wall).pause_remaining == 100 * MS
    world.wait(0.2)
    assert numbers(world.news()) == [(1, 1, 1, 0)]
    assert not consumer.info(world.wall).paused
    assert [each["paused"] for each in told(world, "PAUSE")] == [True, False]


def test_a_pause_is_ended() -> None:
    world = listening(Consuming(), "PAUSE")
    world.outside.bind("d")
    world.consume(deliver_subject="d")
    pause(world, 100)
    world.store("s.a")
    assert world.news() == []
    assert pause(world, None)["paused"] is False
    assert numbers(world.news()) == [(1, 1, 1, 0)]
    world.wait(200)
    assert [each["paused"] for each in told(world, "PAUSE")] == [True, False]


def test_a_pause_in_the_past_is_none() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d")
    assert pause(world, -5)["paused"] is False
    world.store("s.a")
    assert len(world.news()) == 1


def test_requests_wait_and_end_while_it_is_paused() -> None:
    world = Consuming()
    world.consume()
    pause(world, 10)
    world.store("s.a")
    assert world.pull(1, expires=2 * SECOND) == []
    world.wait(2.1)
    assert numbers(world.news()) == [(0, 0, 0, 408)]
    assert world.pull(1, expires=20 * SECOND) == []
    world.wait(8)
    assert numbers(world.news()) == [(1, 1, 1, 0)]


def test_what_is_too_late_comes_again_after_the_pause() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", ack_wait=SECOND)
    world.store("s.a")
    world.news()
    pause(world, 5)
    world.wait(4.9)
    assert world.news() == []
    world.wait(0.2)
    assert numbers(world.news()) == [(2, 1, 2, 0)]


# Inactivity


def is_there(world: Consuming) -> bool:
    return "C" in world.stream.consumers


def test_an_ephemeral_push_consumer_ends_when_nobody_listens_for_a_while() -> None:
    world = listening(Consuming(), "DELETED")
    world.outside.bind("d")
    world.consume(deliver_subject="d", inactive_threshold=2 * SECOND)
    world.wait(60)
    world.outside.bind("d", gone=True)
    world.turn()
    world.wait(1.9)
    world.outside.bind("d")
    world.turn()
    world.wait(60)
    assert is_there(world)
    world.outside.bind("d", gone=True)
    world.turn()
    world.wait(1.9)
    assert is_there(world)
    world.wait(0.2)
    assert not is_there(world)
    assert len(told(world, "DELETED")) == 1
    assert world.outside.eyes == []
    assert world.engine.next_deadline() is None


def test_one_that_nobody_ever_listened_to_ends_too() -> None:
    world = Consuming()
    world.consume(deliver_subject="d")
    world.wait(5)
    assert is_there(world)
    world.wait(0.2)  # five seconds, and a tenth of jitter at least
    assert not is_there(world)


@pytest.mark.parametrize("deliver", ["", "d"])
def test_a_durable_one_stays_unless_it_says_otherwise(deliver: str) -> None:
    world = Consuming()
    world.consume(deliver_subject=deliver, durable_name="C")
    world.wait(3600)
    assert is_there(world)
    world.consume(deliver_subject=deliver, durable_name="C", inactive_threshold=SECOND)
    world.wait(2)
    assert not is_there(world)


def test_requests_are_use() -> None:
    world = Consuming()
    world.consume()
    for _ in range(5):
        world.wait(4)
        world.pull(1, no_wait=True)
    assert is_there(world)
    world.wait(5.2)
    assert not is_there(world)


def test_a_request_that_waits_is_use_while_somebody_listens() -> None:
    world = Consuming()
    world.consume()
    world.pull(1, expires=3600 * SECOND)
    world.wait(100)
    assert is_there(world)
    world.outside.deaf.add(b"I.1")
    world.wait(11)
    assert not is_there(world)


def test_somebody_may_be_working_on_a_message() -> None:
    world = Consuming()
    world.store("s.a")
    world.consume(ack_wait=30 * SECOND)
    (message,) = world.pull(1)
    world.wait(34)
    assert is_there(world)
    world.reply(message)
    world.wait(5)
    assert is_there(world)
    world.wait(0.2)
    assert not is_there(world)


def test_acknowledgements_put_off_the_end_of_a_push_consumer() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.store("s.a")
    world.consume(deliver_subject="d")
    (message,) = world.news()
    world.outside.bind("d", gone=True)
    world.turn()
    world.wait(4)
    world.reply(message)
    world.wait(4)
    assert is_there(world)
    world.wait(1.2)
    assert not is_there(world)


def test_a_thousand_end_with_a_thousand_timers_and_no_more() -> None:
    world = Consuming()
    for number in range(100):
        world.consume(f"C{number}")
    assert len(world.engine.timers) == 100
    world.wait(6)
    assert world.stream.consumers == {}
    assert len(world.engine.timers) == 0


# Groups


def pin_of(message: Any) -> str:
    return str(message.header.decode().partition("Nats-Pin-Id: ")[2].partition("\r\n")[0])


def pinning(world: Consuming) -> Any:
    ids = iter(range(1, 100))
    world.engine.nuid = lambda: f"P{next(ids)}"
    return world.consume(priority_policy="pinned_client", priority_groups=["A"], priority_timeout=2 * SECOND, durable_name="C")


def test_a_pinned_client_gets_everything_until_it_does_not_ask() -> None:
    world = Consuming()
    pinning(world)
    assert world.pull(5, to="I.1", group="A") == []
    assert world.pull(5, to="I.2", group="A") == []
    world.store("s.a", "s.b")
    got = world.news()
    assert [(each.to, pin_of(each)) for each in got] == [(b"I.1", "P1"), (b"I.1", "P1")]
    world.wait(1.5)
    assert world.pull(1, to="I.3", group="A", id="P1") == []  # keeps the pin
    world.wait(1.5)
    world.store("s.c")
    assert {each.to for each in world.news()} <= {b"I.1", b"I.3"}
    world.wait(0.6)
    world.store("s.d", "s.e")
    got = world.news()
    assert {(each.to, pin_of(each)) for each in got if each.reply} == {(b"I.2", "P2")}
    assert {(each.to, each.header[9:12]) for each in got if not each.reply} == {(b"I.1", b"423"), (b"I.3", b"423")}


def test_the_pin_is_told_of() -> None:
    world = listening(Consuming(), "PINNED", "UNPINNED")
    consumer = pinning(world)
    world.pull(5, to="I.1", group="A")
    world.store("s.a")
    assert [(each["group"], each["pinned_id"]) for each in told(world, "PINNED")] == [("A", "P1")]
    (state,) = consumer.info(world.wall).priority_groups
    assert (state.group, state.pinned_client_id, state.pinned_ts) == ("A", "P1", time_text(world.wall))
    world.wait(2)
    assert [(each["group"], each["reason"]) for each in told(world, "UNPINNED")] == [("A", "timeout")]
    (state,) = consumer.info(world.wall).priority_groups
    assert (state.pinned_client_id, state.pinned_ts) == ("", "0001-01-01T00:00:00Z")


def test_who_is_unpinned_hears_of_it_and_the_next_is_pinned() -> None:
    world = listening(Consuming(), "UNPINNED")
    pinning(world)
    world.pull(5, to="I.1", group="A")
    world.pull(5, to="I.2", group="A")
    world.store("s.a")
    world.news()
    assert "error" not in world.api("CONSUMER.UNPIN.S.C", group="A")
    assert [each["reason"] for each in told(world, "UNPINNED")] == ["admin"]
    world.store("s.b", "s.c")
    got = world.news()
    assert {each.to for each in got if each.reply} == {b"I.2"}
    assert len({pin_of(each) for each in got if each.reply}) == 1
    (status,) = (each for each in got if not each.reply)  # it had its id from the pin that was lost
    assert (status.to, status.header.split(b"\r\n")[0]) == (b"I.1", b"NATS/1.0 423 Nats-Wrong-Pin-Id")


def test_a_wrong_pin_is_refused() -> None:
    world = Consuming()
    pinning(world)
    world.store("s.a")
    world.pull(1, to="I.1", group="A")
    (status,) = world.pull(1, to="I.2", group="A", id="nobody")
    assert status.header == b"NATS/1.0 423 Nats-Pin-Id mismatch\r\n\r\n"


def test_overflow_waits_for_enough() -> None:
    world = Consuming()
    world.consume(priority_policy="overflow", priority_groups=["A"], durable_name="C")
    assert world.pull(2, group="A", min_pending=3) == []
    world.store("s.a", "s.b")
    assert world.news() == []
    world.store("s.c")
    assert numbers(world.news()) == [(1, 1, 1, 2)]
    world.store("s.d")
    assert numbers(world.news()) == [(1, 2, 2, 2)]


def test_overflow_where_enough_is_unacknowledged() -> None:
    world = Consuming()
    world.consume(priority_policy="overflow", priority_groups=["A"], durable_name="C")
    world.store("s.a", "s.b", "s.c")
    assert world.pull(1, to="I.2", group="A", min_ack_pending=2) == []
    assert [each.to for each in world.pull(2, to="I.1", group="A")] == [b"I.1", b"I.1", b"I.2"]


def test_prioritized_requests_are_served_by_number() -> None:
    world = Consuming()
    world.consume(priority_policy="prioritized", priority_groups=["A"], durable_name="C")
    world.pull(2, to="I.5", group="A", priority=5)
    world.pull(2, to="I.1", group="A", priority=1)
    world.pull(2, to="I.2", group="A", priority=1)
    world.store(*["s.a"] * 6)
    assert [each.to for each in world.news()] == [b"I.1", b"I.2", b"I.1", b"I.2", b"I.5", b"I.5"]
