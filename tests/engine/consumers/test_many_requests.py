"""Pull requests of which there are many: what one costs does not depend on how many wait, and no turn does more than a piece."""

from __future__ import annotations

import json

import pytest
from consuming import Consuming, numbers
from worlds import SECOND

from midge.engine.consumers.dues import Dues
from midge.engine.consumers.pull import Pull
from midge.engine.consumers.search import PASSES, Search
from midge.engine.consumers.waiting import Request, Waiting

MANY = 3_000
NEXT = "$JS.API.CONSUMER.MSG.NEXT.S.C"


class Crowd(Consuming):
    """A world that counts how often it is asked whether somebody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.consumer = self.consume(max_waiting=1_000_000)
        self.asked = 0
        self.most = 0  # in one step
        has_interest, step = self.outside.has_interest, self.engine.step

        def asked(account: str, subject: bytes) -> bool:
            self.asked += 1
            return has_interest(account, subject)

        def stepped(wall: int) -> bool:
            before = self.asked
            more = step(wall)
            self.most = max(self.most, self.asked - before)
            return more

        self.outside.has_interest = asked  # type: ignore[method-assign]
        self.engine.step = stepped  # type: ignore[method-assign]

    def ask_for(self, count: int, to: str = "I.w", **request: object) -> None:
        body = json.dumps({"batch": 1, "expires": 1000 * SECOND} | request).encode()
        for number in range(count):
            self.publish(NEXT, body, f"{to}.{number}")
        self.turn()


def test_requests_that_do_not_wait_are_not_each_compared_with_all_that_do() -> None:
    world = Crowd()
    world.ask_for(MANY)
    world.consumer.upkeep.paused_until = world.wall + 1000 * SECOND
    world.store("s.a")
    world.ask_for(50, to="I.n", no_wait=True, expires=0)
    assert [each.header[9:29] for each in world.news()] == [b"408 Requests Pending"] * 50
    assert world.most <= 1_100  # it was 150,000
    assert world.asked <= MANY
    assert world.consumer.target.waiting == MANY
    assert world.asked <= MANY


def test_those_that_nobody_listens_for_do_not_count_when_they_were_looked_at() -> None:
    world = Crowd()
    world.ask_for(MANY, to="I.gone")
    world.outside.deaf |= {b"I.gone.%d" % number for number in range(MANY)}
    world.consumer.upkeep.paused_until = world.wall + 1000 * SECOND
    world.store("s.a")
    world.ask_for(1, to="I.n", no_wait=True)  # the looking begins
    assert world.consumer.target.waiting < MANY // 2
    world.ask_for(1, to="I.m", no_wait=True)
    assert world.consumer.target.waiting == 1
    assert world.most <= 1_100


def test_a_few_are_looked_at_at_once_and_once_in_a_turn() -> None:
    world = Crowd()
    world.ask_for(500, to="I.gone")
    world.outside.deaf |= {b"I.gone.%d" % number for number in range(500)}
    world.consumer.upkeep.paused_until = world.wall + 1000 * SECOND
    world.store("s.a")
    world.ask_for(30, to="I.n", no_wait=True)
    assert numbers(world.news()) == [(0, 0, 0, 408)] * 28
    assert world.consumer.target.waiting == 2
    assert world.asked <= 510


def test_what_ends_or_is_due_is_found_without_asking_for_the_others() -> None:
    world = Crowd()
    world.ask_for(MANY)
    for number in range(20):
        world.ask_for(1, to=f"I.short.{number}", expires=SECOND + number * SECOND // 100)
        world.ask_for(1, to=f"I.beat.{number}", idle_heartbeat=SECOND // 2)
    world.wait(1.6)
    assert world.asked == 0
    found = world.news()
    assert sum(b"408 Request Timeout" in each.header for each in found) == 20
    assert sum(b"100 Idle Heartbeat" in each.header for each in found) == 3 * 20
    world.store(*["s.a"] * 10)
    world.ask_for(10, to="I.n", no_wait=True, expires=0)
    assert world.asked == 0


def test_a_thousand_at_once_are_taken_in_several_turns() -> None:
    world = Crowd()
    for number in range(1_000):
        world.publish(NEXT, b'{"batch":1,"expires":1000000000}', f"I.{number}")
    assert world.engine.step(world.wall)
    target = world.consumer.target
    assert isinstance(target, Pull)
    assert len(target.requests) <= 256
    world.turn()
    assert len(target.requests) == 1_000
    world.wait(1.1)
    assert len(target.requests) == 0
    assert numbers(world.news()) == [(0, 0, 0, 408)] * 1_000


def test_of_requests_that_come_faster_than_they_are_taken_so_many_wait() -> None:
    world = Crowd()
    world.outside.listeners.append(b"$JS.EVENT.ADVISORY.API.LIMIT_REACHED")
    for number in range(10_050):
        world.publish(NEXT, b"1", f"I.{number}")
    world.turn()
    assert len(world.consumer.target.requests) == 10_000  # type: ignore[union-attr]
    assert len([each for each in world.outside.sent if each[0].endswith(b"LIMIT_REACHED")]) == 50


def test_no_request_that_is_over_is_remembered_for_long() -> None:
    dues = Dues()
    for number in range(10_000):
        request = Request(b"I", None, 0)
        request.expires = 1_000_000 + number
        dues.add(request, 1)
        request.is_over = True
    assert len(dues) <= 70


def test_what_does_not_wait_and_is_served_before_the_end_is_not_remembered() -> None:
    world = Crowd()
    world.store(*["s.a"] * 5_000)
    for _ in range(10):
        world.ask_for(256, no_wait=True)
    assert len(world.consumer.target._ending or ()) <= 256  # type: ignore[union-attr]


def passes_of(world: Crowd, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the requests that are passed over: in each step."""
    passed, step, pass_over = [0], world.engine.step, Waiting.pass_over

    def stepped(wall: int) -> bool:
        passed.append(0)
        return step(wall)

    def counted(self: Waiting) -> None:
        passed[-1] += 1
        pass_over(self)

    monkeypatch.setattr(world.engine, "step", stepped)
    monkeypatch.setattr(Waiting, "pass_over", counted)
    return passed


def grouped(policy: str) -> Crowd:
    world = Crowd()
    world.api("CONSUMER.DELETE.S.C")
    world.consumer = world.consume(max_waiting=1_000_000, priority_groups=["g"], priority_policy=policy, ack_policy="explicit")
    return world


def test_many_that_are_all_passed_over_take_several_turns_and_then_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    world = grouped("overflow")
    world.ask_for(2 * PASSES, group="g", min_pending=1_000_000)
    passed = passes_of(world, monkeypatch)
    world.store("s.a")
    world.turn()
    assert world.news() == []
    assert max(passed) <= PASSES + 1
    assert 2 * PASSES <= sum(passed) <= 2 * PASSES + 10


def test_the_one_among_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    world = grouped("overflow")
    world.ask_for(2 * PASSES, group="g", min_pending=1_000_000)
    world.ask_for(1, to="I.me", group="g", batch=5)
    world.ask_for(PASSES, to="I.other", group="g", min_pending=1_000_000)
    passed = passes_of(world, monkeypatch)
    world.store(*["s.a"] * 5)
    for _ in range(20):
        world.turn()
    assert [each.to for each in world.news()] == [b"I.me.0"] * 5
    assert max(passed) <= PASSES + 5


def test_who_may_be_served_since_the_search_began_is_found() -> None:
    world = grouped("overflow")
    target = world.consumer.target
    assert isinstance(target, Pull)
    world.ask_for(1, to="I.me", group="g", min_pending=3)
    world.ask_for(2 * PASSES, group="g", min_pending=1_000_000)
    world.publish("s.a")
    while target._search is None or not target._search._passed:  # one slice of the search is over
        world.engine.step(world.wall)
    for _ in range(3):
        world.publish("s.a")
    world.turn()
    assert [each.to for each in world.news()] == [b"I.me.0"]


def test_who_rests_is_not_forgotten_by_the_next_slice_of_a_search() -> None:
    search = Search(None)
    search.begin_slice(10, None)
    search.rests.add(b"I.me", 10)
    assert search.rests.is_resting(b"I.me", 11)
    due = search.rests.due
    for _ in range(PASSES):
        assert not search.passed(PASSES + 1)
    assert search.is_tired
    search.begin_slice(12, None)
    assert search.passed(PASSES + 1)
    assert search.rests.due == due
    search.begin_slice(due, None)
    assert search.rests.due == 0
