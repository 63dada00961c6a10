"""What a consumer tells of how far it has come: where a message is given up, purged or removed. Each as nats-server tells it."""

from typing import Any

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.engine.consumers.consumer import Consumer


def told(consumer: Consumer) -> tuple[tuple[int, int], tuple[int, int], int, int, int]:
    """Return delivered and ack floor, the consumer's sequence first, and what waits for an acknowledgement, was redelivered, is pending."""
    info = consumer.info(consumer.engine.wall)
    delivered, floor = info.delivered, info.ack_floor
    numbers = info.num_ack_pending, info.num_redelivered, info.num_pending
    return (delivered.consumer_seq, delivered.stream_seq), (floor.consumer_seq, floor.stream_seq), *numbers


def acked(consumer: Consumer) -> bool:
    return consumer.info(consumer.engine.wall).ack_floor.last_active is not None


def test_the_floor_stays_where_a_message_was_given_up() -> None:
    world = Consuming()
    world.store(*["s.a"] * 4)
    consumer = world.consume(max_deliver=1, ack_wait=SECOND)
    first, second, third = world.pull(3)
    world.wait(1.5)
    assert told(consumer) == ((3, 3), (0, 0), 0, 0, 1)
    assert consumer.ledger.stream_floor == 3 and len(consumer.ledger.exceeded) == 3
    (fourth,) = world.pull(1)
    world.reply(fourth)
    assert told(consumer) == ((4, 4), (4, 4), 0, 0, 0)


def test_only_acknowledgements_move_the_floor_past_what_was_given_up() -> None:
    world = Consuming()
    world.store(*["s.a"] * 4)
    consumer = world.consume(max_deliver=2, ack_wait=SECOND)
    first, *_ = world.pull(2)
    world.wait(1.5)
    again = world.pull(2)
    world.reply(again[1])
    world.wait(1.5)
    assert told(consumer) == ((4, 2), (0, 0), 1, 1, 2)  # until somebody asks, as there
    third, fourth = world.pull(2)
    world.reply(third)
    assert told(consumer) == ((6, 4), (0, 0), 1, 1, 0)
    world.reply(first)  # too late, but it is not said to be given up any more
    assert told(consumer) == ((6, 4), (0, 0), 1, 0, 0)
    world.reply(fourth)
    assert told(consumer) == ((6, 4), (6, 4), 0, 0, 0)


@pytest.mark.parametrize("retention", ["limits", "interest", "workqueue"])
def test_a_purge_moves_everything_behind_it(retention: str) -> None:
    world = Consuming(retention=retention)
    consumer = world.consume()
    world.store(*["s.a"] * 4)
    message, *_ = world.pull(2)
    world.api("STREAM.PURGE.S")
    assert told(consumer) == ((2, 4), (2, 4), 0, 0, 0) and acked(consumer)
    world.store("s.a")
    assert numbers(world.pull(1)) == [(1, 5, 3, 0)]


@pytest.mark.parametrize(("purge", "delivered", "floor"), [
    ({"seq": 4}, (2, 3), (2, 3)),
    ({"keep": 2}, (2, 4), (2, 4)),
    ({"filter": "s.a"}, (2, 2), (1, 1)),
    ({"filter": "s.a", "seq": 2}, (2, 2), (1, 1)),
])  # fmt: skip
def test_a_purge_of_some(purge: dict[str, Any], delivered: tuple[int, int], floor: tuple[int, int]) -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.a", "s.b", "s.a", "s.b")
    consumer = world.consume()
    world.pull(2)
    assert "error" not in world.api("STREAM.PURGE.S", **purge)
    assert told(consumer)[:2] == (delivered, floor) and acked(consumer)


def test_a_purge_of_what_a_consumer_looks_for() -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.a", "s.b")
    one, other = world.consume("A", filter_subject="s.a"), world.consume("B", filter_subject="s.b")
    world.pull(1, "A")
    world.pull(1, "B")
    world.api("STREAM.PURGE.S", filter="s.a")
    assert told(one) == ((1, 4), (1, 4), 0, 0, 0) and acked(one)
    assert told(other) == ((1, 2), (0, 0), 1, 0, 1) and not acked(other)


@pytest.mark.parametrize("purge", ["s.a", "s.*"])
def test_a_purge_of_some_of_what_a_consumer_looks_for(purge: str) -> None:
    world = Consuming()
    world.store("s.a", "s.c.d", "s.a", "s.c.d", "s.a")
    consumer = world.consume(filter_subjects=["s.a", "s.c.>"])
    world.api("STREAM.PURGE.S", filter=purge)
    assert told(consumer) == ((0, 1), (0, 1), 0, 0, 2)
    assert [number[1] for number in numbers(world.pull(9, no_wait=True))][:-1] == [2, 4]


def test_a_purge_leaves_pending_what_it_leaves() -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.a", "s.a")
    consumer = world.consume(ack_wait=SECOND, filter_subjects=["s.a", "s.b"])
    world.pull(3)
    body = {"durable_name": "C", "name": "C", "ack_policy": "explicit", "ack_wait": SECOND, "filter_subjects": ["s.a"]}
    assert "error" not in world.api("CONSUMER.CREATE.S.C", stream_name="S", config=body)
    world.api("STREAM.PURGE.S", filter="s.a")
    assert told(consumer)[2] == 1 and consumer.ledger.sequences() == [2]
    world.wait(1.5)
    assert [number[1] for number in numbers(world.pull(9, no_wait=True))][:-1] == [2]


def test_a_rollup_is_a_purge() -> None:
    world = Consuming(allow_rollup_hdrs=True)
    world.store("s.a", "s.b")
    consumer = world.consume()
    world.pull(2)
    world.publish("s.a", b"", **{"Nats-Rollup": "all"})
    world.turn()
    assert told(consumer) == ((2, 2), (2, 2), 0, 0, 1)


def test_a_purge_lets_one_go_on_that_stood_still() -> None:
    world = Consuming()
    world.store("s.a", "s.a")
    world.consume(max_ack_pending=1)
    assert len(world.pull(2, expires=60 * SECOND)) == 1
    world.api("STREAM.PURGE.S")
    world.store("s.a")
    assert numbers(world.news()) == [(1, 3, 2, 0)]


def test_what_is_removed_is_acknowledged() -> None:
    world = Consuming()
    world.store("s.a", "s.a")
    consumer = world.consume()
    world.pull(2)
    world.api("STREAM.MSG.DELETE.S", seq=1)
    assert told(consumer) == ((2, 2), (1, 1), 1, 0, 0) and acked(consumer)


def test_what_is_removed_acknowledges_nothing_else() -> None:
    world = Consuming(retention="interest")
    consumer = world.consume(ack_policy="all")
    world.store(*["s.a"] * 4)
    first, *_, last = world.pull(4)
    world.api("STREAM.MSG.DELETE.S", seq=3)
    assert told(consumer) == ((4, 4), (0, 0), 3, 0, 0) and acked(consumer)
    assert [stored.sequence for stored in world.stream.store.scan()] == [1, 2, 4]
    world.reply(first)
    assert told(consumer) == ((4, 4), (1, 1), 2, 0, 0)
    world.wait(11)
    assert [number[1] for number in numbers(world.pull(9, no_wait=True))][:-1] == [2, 4]
    world.reply(last)
    assert told(consumer)[1] == (4, 4)


def test_a_purge_of_some_acknowledges_nothing_else() -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.a")
    consumer = world.consume(ack_policy="all")
    first, *_ = world.pull(3)
    world.api("STREAM.PURGE.S", filter="s.b")
    assert told(consumer) == ((3, 3), (0, 0), 2, 0, 0)
    world.reply(first)
    assert told(consumer)[1:3] == ((1, 1), 1)
    world.wait(11)
    assert [number[1] for number in numbers(world.pull(9, no_wait=True))][:-1] == [3]


def test_what_was_given_up_and_is_gone_is_forgotten() -> None:
    world = Consuming(max_msgs=2)
    world.store("s.a", "s.a")
    consumer = world.consume(max_deliver=2, ack_wait=SECOND)
    for _ in range(2):
        world.pull(2)
        world.wait(1.5)
    world.pull(1, no_wait=True)
    assert told(consumer)[2:4] == (0, 2)
    world.store("s.a")
    assert told(consumer)[3] == 1 and list(consumer.ledger.exceeded) == [2]
    world.store("s.a")
    assert told(consumer)[3] == 0 and not consumer.ledger.exceeded


def test_an_acknowledgement_that_is_none_is_no_activity() -> None:
    world = Consuming()
    world.store("s.a")
    consumer = world.consume()
    world.pull(1)
    world.publish("$JS.ACK.S.C.1.x.1.1700000000000000000.0", b"", "I.ack")
    world.turn()
    assert world.outside.sent[-1][0] != b"I.ack" and not acked(consumer)
    assert world.publish("$JS.ACK.S.C.1.0.0.1700000000000000000.0", b"", "I.ack")
    world.turn()
    assert world.outside.sent[-1] == (b"I.ack", b"", b"") and acked(consumer)


def test_nobody_takes_acknowledgements_where_none_are_wanted() -> None:
    world = Consuming()
    world.store("s.a", "s.b")
    world.consume(ack_policy="none")
    (message,) = world.pull(1)
    for body in (b"", b"+NXT", b"-NAK", b"+TERM"):
        assert not world.publish(message.reply.decode(), body, "I.ack")
    world.turn()
    assert world.news() == []


@pytest.mark.parametrize(("seq", "left"), [(4, [4, 5]), (None, [1, 2, 3, 4, 5])])
def test_a_reset_lets_go_of_what_is_not_needed_any_more(seq: int | None, left: list[int]) -> None:
    world = Consuming(retention="interest")
    world.consume()
    world.store(*["s.a"] * 5)
    world.pull(2)
    body = {} if seq is None else {"seq": seq}
    assert "error" not in world.api("CONSUMER.RESET.S.C", **body)
    world.turn()
    assert [stored.sequence for stored in world.stream.store.scan()] == left


def test_a_reset_goes_on_with_the_last_messages_of_subjects() -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.c", "s.d")
    world.consume(deliver_policy="last_per_subject")
    world.pull(2)
    world.stream.consumers["C"].reset(1, world.wall)
    world.turn()
    assert numbers(world.pull(9, no_wait=True)) == [(1, 3, 1, 3), (1, 4, 2, 2), (0, 0, 0, 404)]
