"""engine.consumers: clients that ask for too much, say nonsense, or do not keep up, and what the others notice of it."""

from __future__ import annotations

import time

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.engine import retention
from midge.engine.consumers import roster
from midge.engine.consumers.consumer import Consumer
from midge.engine.consumers.ledger import Ledger
from midge.engine.jobs import Job, Jobs
from midge.store.base import Store

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


@pytest.mark.parametrize("delivery", [4, 5, 10**17, 10**18 - 1])
def test_an_acknowledgement_that_makes_up_a_delivery_does_not_keep_others_from_counting(delivery: int) -> None:
    world = Consuming()
    consumer = world.consume(ack_policy="all")
    world.store(*["s.a"] * 6)
    first, *_ = world.pull(4)
    world.publish(f"$JS.ACK.S.C.1.1.{delivery}.{world.wall}.3")
    assert (consumer.ledger.floor, consumer.ledger.pending) == (4, 3)
    for each in world.pull(2):
        world.reply(each)
    info = consumer.info(world.wall)
    assert (info.ack_floor.consumer_seq, info.ack_floor.stream_seq, info.num_ack_pending) == (6, 6, 0)


def facts(consumer: Consumer) -> tuple[object, ...]:
    info = consumer.info(consumer.engine.wall)
    floor = info.ack_floor.consumer_seq, info.ack_floor.stream_seq
    return info.delivered, floor, info.num_ack_pending, info.num_redelivered, info.num_pending, consumer.ledger.queued


@pytest.mark.parametrize("policy", ["all", "explicit"])
def test_acknowledgements_that_make_no_sense_change_nothing(policy: str) -> None:
    world = Consuming()
    consumer = world.consume(ack_policy=policy)
    world.store(*["s.a"] * 6)
    world.pull(4)
    before = facts(consumer)
    huge = ["0", "5", "6", str(10**17), str(10**18 - 1), str(1 << 63), str(1 << 64), "9" * 400, "-1", "+1", "1e3", "x", ""]
    for body in (b"", b"-NAK", b"-NAK 1h", b"+WPI", b"+TERM why"):
        for sequence in huge:
            for place in ("1", "4", *huge):
                for moment in ("0", "-1", "9" * 30, "yesterday"):
                    world.publish(f"$JS.ACK.S.C.{place}.{sequence}.{place}.{moment}.{place}", body)
    world.turn()
    assert facts(consumer) == before
    assert world.outside.failures == []


def test_a_consumer_that_gave_up_many_is_acknowledged_as_fast_as_any() -> None:
    ledger = Ledger()
    ledger.ack_wait, ledger.max_deliver = 10, 1
    for sequence in range(1, 40_001):
        ledger.deliver(sequence, 0 if sequence % 2 else 100)
    due, given_up = ledger.expire(50, 1)
    while due == 50:
        due, more = ledger.expire(50, 1)
    assert (ledger.pending, len(ledger.exceeded), ledger.redelivered) == (20_000, 20_000, 20_000)
    begun = time.process_time()
    for sequence in range(2, 40_001, 2):
        assert ledger.ack_all(sequence, sequence) == 1
        assert len(ledger.exceeded) == ledger.redelivered == 20_000 - sequence // 2
    assert time.process_time() - begun < 3  # it was more than ten


def test_what_all_up_to_one_acknowledged_in_a_turn_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming(retention="interest")
    world.consume(ack_policy="all", max_ack_pending=-1)
    world.store(*["s.a"] * 500)
    got = world.pull(500)
    walks = 0

    def started(jobs: Jobs, store: Store, job: Job) -> None:
        nonlocal walks
        walks += 1
        start(jobs, store, job)

    start = Jobs.start
    monkeypatch.setattr(Jobs, "start", started)
    for each in got[:300]:
        world.publish(each.reply.decode())
    world.turn()
    assert walks == 1
    assert (world.state()["messages"], world.state()["first_seq"]) == (200, 301)
