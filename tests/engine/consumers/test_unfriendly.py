"""engine.consumers: clients that ask for too much, say nonsense, or do not keep up, and what the others notice of it."""

from __future__ import annotations

import time

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.engine import retention
from midge.engine.consumers import roster
from midge.engine.consumers.consumer import Consumer

FOR_EVER = (1 << 63) - 1


@pytest.mark.parametrize("config", [{}, {"backoff": [FOR_EVER]}])
def test_who_waits_for_ever_for_an_ack_does(config: dict[str, object]) -> None:
    world = Consuming()
    world.consume(ack_wait=FOR_EVER, **config)
    world.store("s.a", "s.b")
    first, _ = world.pull(20, expires=1000 * SECOND)
    world.reply(first, b"-NAK 1s")
    world.wait(500)
    assert numbers(world.news()) == [(2, 1, 3, 0)]


@pytest.mark.parametrize("argument", [b"-1h", b"1e400h", b"9" * 400 + b"h", b'{"delay":%d}' % -(1 << 63), b'{"delay":1%b}' % (b"0" * 99)])
@pytest.mark.parametrize("wait", [10 * SECOND, FOR_EVER])
def test_a_message_may_be_refused_for_any_time(argument: bytes, wait: int) -> None:
    world = Consuming()
    consumer = world.consume(ack_wait=wait)
    world.store("s.a")
    (message,) = world.pull()
    world.reply(message, b"-NAK " + argument)
    world.pull(expires=1000 * SECOND)
    world.wait(5)
    assert world.outside.failures == []
    assert consumer.ledger.pending == 1


def test_whether_a_queue_is_shared_is_found_without_comparing_each_filter_with_each() -> None:
    world = Consuming(retention="workqueue")
    for name, answer in (("A", None), ("B", None), ("C", 10100)):
        filters = [f"s.{name}.{number}.*" for number in range(1_500)] + ["s.A.7.>"] * (name == "C")
        config = {"name": name, "durable_name": name, "ack_policy": "explicit", "filter_subjects": filters}
        begun = time.perf_counter()
        found = world.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config)
        assert found.get("error", {}).get("err_code") == answer
        assert time.perf_counter() - begun < 5  # it was 14


def test_who_does_not_keep_up_holds_up_nobody_else() -> None:
    world = Consuming()
    world.consume(max_ack_pending=-1)
    world.store(*["s.a"] * 300)
    world.outside.crowded.add(b"I.slow.1")
    world.pull(1000, to="I.slow.1", expires=1000 * SECOND)
    found = world.news() + world.pull(200, to="I.fast.1", expires=1000 * SECOND)
    assert len([each for each in found if each.to == b"I.fast.1"]) == 200
    world.wait(2)
    assert 20 < len([each for each in world.outside.delivered if each.to == b"I.slow.1"]) < 40
    world.outside.crowded.clear()
    world.wait(0.2)
    assert len([each for each in world.outside.delivered if each.reply]) == 300
    looks = 0
    while (due := world.engine.next_deadline()) is not None and due < world.wall + SECOND:
        world.wall, looks = max(due, world.wall), looks + 1
        world.engine.handle_timeout(world.wall)
        world.turn()
        assert looks < 10


def test_a_receiver_is_full_for_all_that_it_asked_for() -> None:
    world = Consuming()
    world.consume(max_ack_pending=-1)
    world.outside.crowded |= {b"I.slow.%d" % number for number in range(100)}
    for number in range(100):
        world.pull(to=f"I.slow.{number}", expires=1000 * SECOND)
    world.store(*["s.a"] * 300)
    assert len(world.news()) < 5
    assert len(world.pull(100, to="I.2", expires=1000 * SECOND)) == 100


def test_what_nobody_needs_is_looked_for_in_slices_however_many_consumers_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming(retention="interest")
    consumers = [world.consume(f"C{number}") for number in range(100)]
    world.store(*["s.a"] * 1_000)
    for consumer in consumers[:-1]:
        consumer.ledger.start(1_001)
    asked = 0

    def needs(consumer: Consumer, sequence: int) -> bool:
        nonlocal asked
        asked += 1
        return needs_it(consumer, sequence)

    needs_it = retention.needs
    monkeypatch.setattr(retention, "needs", needs)
    consumers[0].ledger.start(1)
    roster.remove(consumers[0], b"409 Consumer Deleted")
    assert asked < 20_000  # it was 99,000
    world.turn()
    assert asked == 99_000
    assert world.state()["messages"] == 1_000
    roster.remove(consumers[-1], b"409 Consumer Deleted")
    world.turn()
    assert world.state()["messages"] == 0


@pytest.mark.parametrize("sequence", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_consumer_may_begin_anywhere(sequence: int) -> None:
    world = Consuming()
    config = {"name": "C", "ack_policy": "explicit", "deliver_policy": "by_start_sequence", "opt_start_seq": sequence}
    assert "error" not in world.api("CONSUMER.CREATE.S.C", stream_name="S", config=config)
    world.consume("D", deliver_policy="all")
    assert world.api("CONSUMER.RESET.S.D", seq=sequence)["reset_seq"] == sequence
    world.store("s.a")
    assert world.pull(name="C", expires=SECOND) == world.pull(name="D", expires=SECOND) == []
    assert world.outside.failures == []
