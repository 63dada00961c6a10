"""Streams that keep messages for consumers: what goes when, and what stays. Compared with nats-server in ``interop``."""

from typing import Any

import pytest
from consuming import Consuming

from midge.engine import retention as module
from midge.engine.consumers import roster
from midge.model.consumer import ConsumerConfig


def kept(world: Consuming) -> list[int]:
    return [stored.sequence for stored in world.stream.store.scan()]


def told(error: OSError | None) -> None:
    assert error is None


def remove(world: Consuming, name: str) -> None:
    roster.remove(world.stream.consumers[name], b"409 Consumer Deleted", told)
    world.turn()


def change(world: Consuming, name: str, **changes: Any) -> None:
    consumer = world.stream.consumers[name]
    fields = {field: getattr(consumer.config, field) for field in ConsumerConfig.__struct_fields__}
    roster.change(consumer, ConsumerConfig(**fields | changes), world.wall, told)
    world.turn()


def test_what_nobody_wants_is_not_kept() -> None:
    world = Consuming(retention="interest")
    world.store("s.a")
    assert world.stream.store.last == 1 and kept(world) == []
    world.consume("A", filter_subject="s.a")
    world.consume("B", filter_subjects=["s.b.*", "s.c"])
    world.store("s.a", "s.b", "s.b.x", "s.c", "s.d")
    assert kept(world) == [2, 4, 5]
    assert world.ack("s.nobody") == '{"stream":"S","seq":7}'
    world.consume("ALL")
    assert not world.stream.intake.careful  # everything is wanted: the short way in
    remove(world, "ALL")
    assert world.stream.intake.careful


@pytest.mark.parametrize("retention", ["interest", "workqueue"])
def test_what_is_acknowledged_goes(retention: str) -> None:
    world = Consuming(retention=retention)
    world.consume()
    world.store(*["s.a"] * 5)
    messages = world.pull(5)
    world.reply(messages[1])
    assert kept(world) == [1, 3, 4, 5]
    world.reply(messages[0], b"+ACK", "I.ack")
    assert kept(world) == [3, 4, 5]
    world.reply(messages[2], b"-NAK")
    world.reply(messages[3], b"+TERM")
    assert kept(world) == [3, 5] and world.stream.store.first == 3
    world.reply(messages[2], b"+NXT", "I.2")
    world.reply(messages[4])
    assert kept(world) == [] and world.stream.store.first == 6


def test_what_somebody_else_needs_stays() -> None:
    world = Consuming(retention="interest")
    for name, filters in (("A", []), ("B", ["s.a"]), ("C", ["s.>"])):
        world.consume(name, filter_subjects=filters)
    world.store("s.a", "s.b")
    pulled = {name: world.pull(2 if name != "B" else 1, name) for name in "ABC"}
    for message in pulled["A"]:
        world.reply(message)
    assert kept(world) == [1, 2]
    world.reply(pulled["C"][1])
    assert kept(world) == [1]
    world.reply(pulled["B"][0])
    assert kept(world) == [1]
    world.reply(pulled["C"][0])
    assert kept(world) == []


def test_all_up_to_one() -> None:
    world = Consuming(retention="interest")
    world.consume(ack_policy="all")
    world.consume("B", filter_subject="s.b")
    world.store("s.a", "s.b", "s.a", "s.a")
    messages = world.pull(4)
    world.reply(messages[2])
    assert kept(world) == [2, 4]
    world.reply(world.pull(1, "B")[0])
    assert kept(world) == [4]


@pytest.mark.parametrize("policy", ["none", "explicit", "all"])
def test_what_is_passed_over_stays_for_nobody(policy: str) -> None:
    world = Consuming(retention="interest")
    world.consume("A")
    world.store("s.a", "s.b", "s.b", "s.b", "s.c", "s.c")
    world.consume("B", ack_policy=policy, deliver_policy="last_per_subject")
    for message in world.pull(6, "A"):
        world.reply(message)
    assert kept(world) == [1, 4, 6]
    for message in world.pull(6, "B"):
        world.reply(message)
    assert kept(world) == []


@pytest.mark.parametrize("policy", ["none", "explicit", "all"])
def test_what_was_passed_over_stays_for_nobody(policy: str) -> None:
    world = Consuming(retention="interest")
    world.consume("A")
    world.store("s.a", "s.b", "s.b", "s.c")
    world.consume("B", ack_policy=policy, deliver_policy="last_per_subject")
    world.pull(6, "B")
    for message in world.pull(6, "A"):
        world.reply(message)
    assert kept(world) == ([] if policy == "none" else [1, 3, 4])


def test_who_acknowledges_nothing_is_done_at_once() -> None:
    world = Consuming(retention="interest")
    world.consume(ack_policy="none")
    world.store(*["s.a"] * 3)
    world.pull(2)
    assert kept(world) == [3]


def test_what_was_delivered_too_often_stays() -> None:
    world = Consuming(retention="workqueue")
    consumer = world.consume(max_deliver=1)
    world.store("s.a", "s.a")
    first = world.pull(2)
    world.wait(11)
    assert consumer.ledger.pending == 0 and kept(world) == [1, 2]
    world.reply(first[0])  # late, and good enough
    assert kept(world) == [2]


@pytest.mark.parametrize(("retention", "left"), [("interest", [3]), ("workqueue", [1, 2, 3])])
def test_a_consumer_that_goes(retention: str, left: list[int]) -> None:
    world = Consuming(retention=retention)
    world.consume("A", filter_subject="s.a")
    world.consume("B", filter_subject="s.b")
    world.store("s.a", "s.a", "s.b")
    remove(world, "A")
    assert kept(world) == left
    remove(world, "B")
    assert kept(world) == ([] if retention == "interest" else left)
    assert world.stream.store.last == 3


def test_other_filters() -> None:
    world = Consuming(retention="interest")
    world.consume("A", filter_subjects=["s.a", "s.b"])
    world.consume("B", filter_subject="s.c")
    world.store("s.a", "s.b", "s.c")
    change(world, "A", filter_subjects=["s.b"])
    assert kept(world) == [2, 3]
    world.store("s.a")
    assert kept(world) == [2, 3]


def test_many_at_once_are_done_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 10)
    world = Consuming(retention="workqueue")
    world.consume(max_ack_pending=10_000)
    world.store(*["s.a"] * 95)
    messages = world.pull(95)
    for message in reversed(messages[:-1]):
        world.publish(message.reply.decode())
    world.turn()
    assert kept(world) == [95]
    world = Consuming(retention="interest")
    world.consume(ack_policy="all")
    world.consume("B", filter_subject="s.b")
    world.store(*["s.a"] * 95)
    world.reply(world.pull(95)[-1])
    assert kept(world) == []


def test_from_limits_to_interest_and_back() -> None:
    world = Consuming()
    world.consume()
    world.store("s.a", "s.a", "s.a")
    messages = world.pull(3)
    world.reply(messages[0])
    world.reply(messages[2])
    assert kept(world) == [1, 2, 3]
    config = {"name": "S", "subjects": ["s.>"], "storage": "memory"}
    assert "error" not in world.api("STREAM.UPDATE.S", **config, retention="interest")
    assert kept(world) == [2]
    assert "error" not in world.api("STREAM.UPDATE.S", **config)
    world.reply(messages[1])
    assert kept(world) == [2]


def test_new_subjects() -> None:
    world = Consuming(retention="interest")
    world.consume("A", filter_subject="s.>")  # the stream's own: it wants everything that the stream has
    assert "error" not in world.api("STREAM.UPDATE.S", name="S", subjects=["s.>", "t"], storage="memory", retention="interest")
    world.store("s.a", "t")
    assert kept(world) == [1]
    remove(world, "A")
    assert kept(world) == []
