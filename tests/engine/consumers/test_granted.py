"""What a target lets a delivery send without asking for each message, and what a receiver that is full is given."""

from __future__ import annotations

import random

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.engine.consumers.pull import Pull
from midge.engine.consumers.push import Push
from midge.engine.consumers.window import Window
from midge.wire.publication import Publication

MS = 1_000_000


def counted(monkeypatch: pytest.MonkeyPatch, kind: type[Pull] | type[Push]) -> list[str]:
    """Note which of a target's methods are called."""
    calls: list[str] = []
    for name in ("choose", "served", "followed"):

        def call(target: object, *args: object, name: str = name, real: object = getattr(kind, name)) -> object:
            calls.append(name)
            return real(target, *args)  # type: ignore[operator]

        monkeypatch.setattr(kind, name, call)
    return calls


def test_one_request_is_asked_for_at_its_beginning_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    world.consume()
    world.store(*["s.a"] * 60)
    calls = counted(monkeypatch, Pull)
    got = world.pull(50)
    assert [each[1] for each in numbers(got)] == list(range(1, 51))
    assert calls == ["choose", "served", "followed", "choose", "served"]
    assert [each[1] for each in numbers(world.pull(50))] == list(range(51, 61))


def test_what_it_did_not_get_is_told_as_if_it_had_been_asked_each_time() -> None:
    world = Consuming()
    world.consume(max_ack_pending=-1)
    world.store(*["s.a"] * 700)  # more than one slice
    assert len(world.pull(1_000, expires=SECOND)) == 700
    world.wait(1.1)
    (end,) = world.news()
    assert end.header == b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 300\r\nNats-Pending-Bytes: 0\r\n\r\n"


def test_a_request_that_is_not_alone_gets_its_turn_only(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    world.consume()
    world.pull(3, to="I.1", expires=SECOND)
    world.pull(3, to="I.2", expires=SECOND)
    calls = counted(monkeypatch, Pull)
    world.store(*["s.a"] * 6)
    assert [each.to[-1:] for each in world.news()] == [b"1", b"2"] * 3
    assert "followed" not in calls


def test_a_request_for_bytes_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    world.consume()
    world.store(*["s.a"] * 20)
    calls = counted(monkeypatch, Pull)
    world.pull(10, max_bytes=100_000)
    assert calls == ["choose", "served"] * 10


def test_who_hears_heartbeats_hears_them_after_the_last_of_many_messages() -> None:
    world = Consuming()
    world.consume()
    world.pull(100, expires=100 * SECOND, idle_heartbeat=SECOND)
    world.wait(0.7)
    world.store(*["s.a"] * 10)
    world.news()
    world.wait(0.9)
    assert world.news() == []
    world.wait(0.2)
    assert [each.header[9:12] for each in world.news()] == [b"100"]


def test_who_is_not_there_any_more_got_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    world.outside.bind("d")
    consumer = world.consume(deliver_subject="d", max_ack_pending=-1)
    deliver, left = world.outside.deliver, 5

    def some(route: bytes, publication: Publication) -> int:
        nonlocal left
        left -= 1
        return deliver(route, publication) if left >= 0 else 0

    monkeypatch.setattr(world.outside, "deliver", some)
    world.store(*["s.a"] * 20)
    assert (len(world.news()), consumer.ledger.delivered, consumer.ledger.pending) == (5, 5, 5)
    left = 100
    world.wait(1.1)
    assert [each[1:3] for each in numbers(world.news())] == [(at, at) for at in range(6, 21)]


def test_who_is_pushed_to_is_asked_for_once_in_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    world.outside.bind("d")
    calls = counted(monkeypatch, Push)
    world.consume(deliver_subject="d", ack_policy="none")
    world.store(*["s.a"] * 300)
    assert len(world.news()) == 300
    assert calls == ["choose", "served", "followed"] * 2


def test_questions_of_flow_control_come_where_each_message_counts() -> None:
    dice = random.Random(5)
    world = Consuming()
    world.outside.bind("d")
    target = world.consume(deliver_subject="d", flow_control=True, idle_heartbeat=5 * SECOND, ack_policy="none").target
    assert isinstance(target, Push)
    target._window = Window(400_000)
    window, messages = Window(400_000), 0
    asked: list[int] = []  # behind how many messages
    told: list[int] = []
    for _ in range(60):
        world.store(*["s.a"] * 20, payload=bytes(dice.choice((10, 300, 2_000))))
        while got := world.news():
            for each in got:
                if each.reply.startswith(b"$JS.FC."):
                    told.append(messages)
                    world.publish(each.reply.decode())
                else:
                    messages += 1
                    if window.add(len(each.subject) + len(each.reply) + len(each.payload)):
                        asked.append(messages)
                        window.ask(b"q")
            if window.question:
                window.answer(b"q")
            world.turn()
    assert told == asked
    assert (messages, window.sent) == (1_200, target._window.sent)
    assert len(asked) > 5


def test_there_is_room_for_what_changes_nothing() -> None:
    dice = random.Random(3)
    for _ in range(2_000):
        window = Window(dice.randrange(16, 10_000))
        for _ in range(dice.randrange(8)):
            if window.add(dice.randrange(1, 400)):
                window.ask(b"q")
            if window.question and dice.random() < 0.3:
                window.answer(b"q")
        room, taken = window.room(), window._taken
        if window.is_full:
            assert room == 0
            continue
        assert not window.add(room)
        assert not window.is_full and window._taken == taken
        if not window.question:
            assert window.add(1)


# Receivers that are full


@pytest.mark.parametrize("push", [False, True])
def test_a_receiver_that_reads_nothing_is_left_alone_for_longer_and_longer(push: bool) -> None:
    world = Consuming()
    to = b"d" if push else b"I.1"
    world.outside.crowded.add(to)
    if push:
        world.outside.bind("d")
        world.consume(deliver_subject="d", max_ack_pending=-1, ack_policy="none")
    else:
        world.consume(max_ack_pending=-1, ack_policy="none")
        world.pull(1_000, expires=1000 * SECOND)
    world.store(*["s.a"] * 100)
    times: list[int] = []
    assert len(world.news()) == 1
    while len(times) < 11:
        due = world.engine.next_deadline()
        assert due is not None
        times.append(due - world.wall)
        world.wall = due
        world.engine.handle_timeout(due)
        world.turn()
        assert len(world.news()) == 1
    assert times == [MS * each for each in (1, 2, 4, 8, 16, 32, 64, 100, 100, 100, 100)]


def test_a_receiver_that_reads_is_given_a_moment_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", max_ack_pending=-1, ack_policy="none")
    deliver, number = world.outside.deliver, 0

    def sometimes(route: bytes, publication: Publication) -> int:
        nonlocal number
        number += 1
        return 2 if deliver(route, publication) and number % 5 == 0 else 1

    monkeypatch.setattr(world.outside, "deliver", sometimes)
    world.store(*["s.a"] * 100)
    for _ in range(18):
        assert len(world.news()) == 5
        due = world.engine.next_deadline()
        assert due is not None and due - world.wall == MS
        world.wall = due
        world.engine.handle_timeout(due)
        world.turn()
