"""Many consumers with filters on one stream: each gets what matches and nothing else, and what does not match costs nothing."""

from __future__ import annotations

import random

import msgspec
import pytest
from consuming import Consuming
from counting import calls
from worlds import SECOND

from midge.engine.interest import Interest

MANY = 40  # more than are woken whatever comes
COSTLY = 300  # more than the index keeps selections for


def sequences(world: Consuming) -> dict[bytes, list[int]]:
    """Return what went where since the last time, by sequence of the stream."""
    found: dict[bytes, list[int]] = {}
    for each in world.news():
        if each.reply:
            found.setdefault(each.to, []).append(int(each.reply.split(b".")[-4]))
    return found


def test_each_gets_what_matches_whatever_happens_between() -> None:
    dice = random.Random(12)
    world = Consuming()
    names = [f"C{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        world.consume(name, filter_subject=f"s.*.{number}.>", ack_policy="none")
        world.pull(100_000, name, to=f"I.{name}")
    kept: dict[int, int] = {}  # whose each message is
    got: dict[str, list[int]] = {name: [] for name in names}
    wanted: dict[str, list[int]] = {name: [] for name in names}
    for round in range(300):
        for _ in range(dice.choice((1, 1, 1, 5, 30))):
            number = dice.randrange(MANY + 5)
            world.publish(f"s.{dice.randrange(9)}.{number}.x.{dice.randrange(500)}", b"x")
            sequence = world.stream.store.last
            kept[sequence] = number
            if number < MANY:
                wanted[names[number]].append(sequence)
        if round % 20 == 7:  # one begins again somewhere, before those that wait are woken
            number = dice.randrange(MANY)
            start = dice.randrange(1, world.stream.store.last + 1)
            world.stream.consumers[names[number]].reset(start, world.wall)
            wanted[names[number]] = got[names[number]] + [at for at in kept if kept[at] == number and at >= start]
        if round % 20 == 13:
            gone = dice.randrange(1, world.stream.store.last - 100)
            world.turn()
            world.stream.store.remove(gone)
        if dice.random() < 0.7:
            world.turn()
            for to, found in sequences(world).items():
                got[to[2:].decode()] += found
            assert round % 20 == 13 or got == wanted
            wanted = {name: list(found) for name, found in got.items()}
            kept = {at: number for at, number in kept.items() if world.stream.store.time_of(at)}
    left = {name: world.stream.consumers[name].info(world.wall).num_pending for name in names}
    assert set(left.values()) == {0}
    assert world.outside.failures == []


def test_what_each_publish_costs_does_not_grow_with_the_subjects() -> None:
    def work(subjects: int) -> int:
        world = Consuming()
        world.engine.settings = world.engine.settings._replace(max_consumers=0)
        for number in range(subjects):
            world.publish(f"s.{number % 97}.{number % COSTLY}.x.{number}", b"x")
        world.turn()
        for number in range(COSTLY):
            world.consume(f"C{number}", filter_subject=f"s.*.{number}.>", ack_policy="none", deliver_policy="new")
            world.publish(f"$JS.API.CONSUMER.MSG.NEXT.S.C{number}", b'{"batch":100000}', f"I.{number}")
        world.turn()
        world.outside.delivered.clear()

        def publish() -> None:
            for number in range(COSTLY):
                world.publish(f"s.{number % 89}.{number * 7 % COSTLY}.x.{number}", b"x")
                world.turn()

        count = calls(publish)
        assert len(world.outside.delivered) == COSTLY
        return count

    assert work(6_000) < 1.1 * work(300)  # every subject was compared for every publish


def test_who_has_passed_something_by_is_not_led_past_it() -> None:
    world = Consuming()
    for number in range(MANY):
        world.consume(f"C{number}", filter_subject=f"s.{number}.>", ack_policy="none")
        world.pull(5, f"C{number}", to=f"I.{number}", max_bytes=200, expires=1000 * SECOND)
    world.store("s.3.a")
    world.consume("L", filter_subject="s.9.>", ack_policy="none", priority_policy="overflow", priority_groups=["g"])
    world.store("s.9.a")  # nobody of the group wants it yet
    world.pull(5, "L", to="I.L", expires=1000 * SECOND, group="g", min_pending=3)
    world.store("s.9.b")
    sequences(world)
    world.store("s.9.c")
    assert sequences(world)[b"I.L"][:1] == [2]


def test_who_takes_little_at_a_time_gets_everything_in_order_and_is_told_what_is_left() -> None:
    dice = random.Random(5)
    world = Consuming()
    names = [f"C{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        world.consume(name, filter_subject=f"s.{number}.>", ack_policy="none")
    matching: dict[str, list[int]] = {name: [] for name in names}
    got: dict[str, list[int]] = {name: [] for name in names}
    for round in range(200):
        busy = dice.randrange(MANY)
        for _ in range(dice.choice((0, 1, 3, 60))):  # the last: more for one than it is told of
            number = busy if dice.random() < 0.5 else dice.randrange(MANY)
            world.publish(f"s.{number}.x", b"x")
            matching[names[number]].append(world.stream.store.last)
        if round % 3 == 1:
            gone = dice.randrange(1, world.stream.store.last + 1)
            if world.stream.store.time_of(gone):
                world.stream.store.remove(gone)
                for name in names:
                    if gone in matching[name] and gone not in got[name]:
                        matching[name].remove(gone)
        for name in dice.sample(names, 15):
            request = b'{"batch":%d,"no_wait":%s}' % (dice.choice((1, 2, 5, 40)), dice.choice((b"true", b"false")))
            world.publish(f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", request, f"I.{name}")
        world.turn()
        for to, found in sequences(world).items():
            got[to[2:].decode()] += found
        for name in names:
            assert got[name] == matching[name][: len(got[name])]
            left = len(matching[name]) - len(got[name])
            assert world.stream.consumers[name].info(world.wall).num_pending == left
    assert world.outside.failures == []


def test_a_burst_on_many_subjects_looks_at_each_consumer_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    for number in range(MANY):
        world.consume(f"C{number}", filter_subject="s.*.x", ack_policy="none", deliver_policy="new")
        world.pull(100_000, f"C{number}", to=f"I.{number}")
    looks, of = [0], Interest.of

    def counted(self: Interest[object], subject: bytes) -> tuple[object, ...]:
        found = of(self, subject)
        looks[0] += len(found)
        return found

    monkeypatch.setattr(Interest, "of", counted)
    for number in range(500):
        world.publish(f"s.{number}.x", b"x")
    world.turn()
    assert looks[0] <= 16 * MANY
    for found in sequences(world).values():
        assert found == list(range(1, 501))


def test_other_filters_match_what_came_since_the_last_delivery() -> None:
    world = Consuming()
    for number in range(MANY):
        world.consume(f"C{number}", filter_subject=f"s.{number}", ack_policy="none")
        world.pull(1, f"C{number}", to=f"I.{number}", expires=1000 * SECOND)
    world.store("s.7")  # it asks for no more
    world.store("s.x", "s.x", "s.8")
    sequences(world)
    consumer = world.stream.consumers["C7"]
    consumer.update(msgspec.structs.replace(consumer.config, filter_subject="s.x"), world.wall)
    assert consumer.info(world.wall).num_pending == 2
    assert [int(each.reply.split(b".")[-4]) for each in world.pull(2, "C7", to="I.7")] == [2, 3]
