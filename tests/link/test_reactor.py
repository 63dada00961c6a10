"""Reactor: turns that are bounded, in order, and go on whatever a callback does; deadlines; readiness of closed descriptors.

By epoll and by the selector that stands in for it, on asyncio's loop and on uvloop's. What takes long does so on a clock of the test.
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import pytest
from ends import LOOPS, Owner, loop_name, run_in, settle, socket_end, started

from midge.link import READ, WRITE
from midge.link import reactor as module
from midge.link.deadlines import GRANULARITY
from midge.link.reactor import ALONE, BATCH, GLANCE, SLICE, Reactor, SelectorPoll

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS, ids=loop_name)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


@pytest.fixture(params=["epoll", "selector"])
def poll(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to ask what is ready."""
    if request.param == "selector":
        monkeypatch.setattr(module, "open_poll", SelectorPoll)
    elif not hasattr(select, "epoll"):
        pytest.skip("no epoll here")


class Clock:
    """The time that the reactor measures its turns by."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


Did = list[object]


class End:
    """One watched end of a socket pair: notes in a list what it is told, then does what the test wants."""

    def __init__(self, name: object, did: Did) -> None:
        self.sock, self.far = socket.socketpair()
        self.fd = self.sock.fileno()
        self.watched = 0
        self.name = name
        self.did = did
        self.then: Callable[[], object] = lambda: None

    def on_readable(self) -> None:
        self.did.append(self.name)
        self.sock.recv(100)
        self.then()

    def on_writable(self) -> None:
        self.did.append(("writable", self.name))
        self.then()

    def ready(self) -> None:
        self.far.send(b"x")

    def close(self) -> None:
        self.sock.close()
        self.far.close()


class Turns:
    """A reactor and its ends, with the turns noted among what is done."""

    def __init__(self) -> None:
        self.did: Did = []
        self.reactor = Reactor(asyncio.get_running_loop())
        self.reactor.after = self._after
        self.ends: list[End] = []
        self.more = 0

    def _after(self) -> bool:
        self.did.append("after")
        self.more -= 1
        return self.more > 0

    def ends_ready(self, count: int) -> list[End]:
        """New ends that are watched and ready to be read."""
        ends = [End(number, self.did) for number in range(count)]
        for end in ends:
            self.reactor.watch(end, True, False)
            end.ready()
        self.ends += ends
        return ends

    def told(self) -> list[object]:
        """What was done, without the turns."""
        return [each for each in self.did if each != "after"]

    def close(self) -> None:
        self.reactor.close()
        for end in self.ends:
            end.close()


@pytest.fixture
def turns() -> Iterator[Callable[[], Turns]]:
    made: list[Turns] = []

    def make() -> Turns:
        made.append(Turns())
        return made[0]

    yield make
    for each in made:
        for end in each.ends:
            end.close()


New = Callable[[], Turns]


# What is watched


def test_watching_says_what_is_wanted_from_now_on(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        (end,) = t.ends_ready(1)
        await settle()
        assert t.told() == [0] and end.watched == READ
        t.reactor.watch(end, True, False)
        t.reactor.watch(end, False, True)
        end.ready()
        end.then = lambda: t.reactor.watch(end, False, False)
        await settle()
        assert t.told() == [0, ("writable", 0)] and end.watched == 0
        end.then = lambda: None
        await settle()
        assert t.told() == [0, ("writable", 0)]
        t.reactor.watch(end, True, True)
        assert end.watched == READ | WRITE
        end.then = lambda: t.reactor.watch(end, False, False) if t.did[-1] == ("writable", 0) else None
        await settle()
        assert t.told() == [0, ("writable", 0), 0, ("writable", 0)]
        t.reactor.forget(end)
        t.reactor.forget(end)
        t.close()

    run(main())


def test_nothing_watched_is_nothing_told_also_where_the_peer_is_gone(run: Run, poll: None, turns: New) -> None:
    """Trouble is reported unasked, again and again, of what is registered for nothing."""

    async def main() -> None:
        t = turns()
        (end,) = t.ends_ready(1)
        await settle()
        t.reactor.watch(end, False, False)
        end.far.close()
        before = len(t.did)
        await settle()
        assert len(t.did) == before, "the reactor sleeps"
        t.reactor.watch(end, True, False)
        await settle()
        assert t.told()[:2] == [0, 0]
        t.close()

    run(main())


def test_who_is_the_only_one_that_reads_is_alone_until_another_one_does(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        first, second = t.ends_ready(2)
        alone: list[bool] = []

        async def read(end: End, count: int = 1) -> bool:
            for _ in range(count):
                end.ready()
                await settle()
            return alone[-1]

        t.reactor.after = lambda: alone.append(t.reactor.is_alone()) or False  # type: ignore[func-returns-value]
        await settle()
        assert not await read(first, ALONE)
        assert await read(first)
        assert not await read(second) and not await read(first, ALONE)
        assert await read(first)
        first.then = second.ready  # somebody waits to be read from
        assert not await read(first)
        first.then = lambda: None
        assert await read(first, ALONE + 1)
        first.then = lambda: t.reactor.defer(lambda: None)
        assert not await read(first)
        first.then = lambda: None
        assert await read(first, ALONE + 1)
        t.reactor.forget(first)
        t.reactor.watch(first, True, False)
        assert not await read(first, ALONE)
        t.close()

    run(main())


def test_a_descriptor_that_was_closed_by_somebody_else_is_forgotten_all_the_same(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        (end,) = t.ends_ready(1)
        os.close(end.sock.detach())
        t.reactor.forget(end)
        await settle()
        assert t.told() == [] and end.watched == 0
        t.close()

    run(main())


def test_a_descriptor_reused_within_a_turn_does_not_inherit_what_is_ready(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        first, second, third = t.ends_ready(3)
        new: list[End] = []

        def replace() -> None:
            for end in (first, second, third):
                end.then = lambda: None
            victim = second if t.did[-1] != 1 else third  # one whose turn comes later
            t.reactor.forget(victim)
            victim.sock.close()
            end = End("new", t.did)
            t.ends.append(end)
            assert end.fd == victim.fd, "the system gives out the lowest that is free"
            t.reactor.watch(end, True, False)
            new.append(end)

        for end in (first, second, third):
            end.then = replace
        await settle()
        assert len(t.told()) == 2 and "new" not in t.did
        new[0].ready()
        await settle()
        assert t.did.count("new") == 1
        t.close()

    run(main())


def test_pausing_in_the_middle_of_a_turn_counts(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        ends = t.ends_ready(3)

        def pause_others() -> None:
            for end in ends:
                if end.name != t.did[-1]:
                    t.reactor.watch(end, False, False)

        for end in ends:
            end.then = pause_others
        await settle()
        assert len(t.told()) == 1
        t.close()

    run(main())


# Turns


def test_reading_comes_first_then_what_it_makes_to_do_once_a_turn(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        t.ends_ready(20)
        await settle()
        assert sorted(t.did[:20]) == list(range(20)) and t.did[20] == "after"  # type: ignore[type-var]
        await settle()
        assert t.did[20:] == ["after"], "and then it sleeps"
        t.close()

    run(main())


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="only epoll can be asked for less than all")
def test_a_turn_takes_a_bounded_number_and_everybody_has_their_turn(run: Run, turns: New) -> None:
    async def main() -> None:
        t = turns()
        ends = t.ends_ready(3 * BATCH)
        for end in ends:
            end.then = end.ready  # it is ready again at once
        while t.did.count("after") < 3:
            await asyncio.sleep(0)
        each_turn = "".join("|" if each == "after" else "." for each in t.did).split("|")
        assert [len(turn) for turn in each_turn[:3]] == [BATCH] * 3
        assert set(range(3 * BATCH)) <= set(t.did), "the kernel rotates"
        t.close()

    run(main())


def test_a_turn_ends_when_its_time_is_over_and_the_rest_comes_first_in_the_next(run: Run, poll: None, turns: New, clock: Clock) -> None:
    async def main() -> None:
        t = turns()

        def long() -> None:
            clock.now += SLICE * 0.6

        for end in t.ends_ready(6):
            end.then = long
        await settle()
        order = t.told()
        assert sorted(order) == list(range(6))  # type: ignore[type-var]
        assert t.did[:9] == [*order[:2], "after", *order[2:4], "after", *order[4:], "after"]
        t.close()

    run(main())


def test_somebody_else_in_the_loop_has_a_turn_between_two_of_ours(run: Run, poll: None, turns: New, clock: Clock) -> None:
    async def main() -> None:
        t = turns()
        loop = asyncio.get_running_loop()
        for end in t.ends_ready(2):
            end.then = lambda: [setattr(clock, "now", clock.now + 1), loop.call_soon(t.did.append, "other")]
        await settle()
        assert [each for each in t.did if each != "after"][1] == "other"
        t.close()

    run(main())


def test_deferred_calls_come_in_order_and_what_they_defer_comes_behind_them(run: Run, turns: New) -> None:
    async def main() -> None:
        t = turns()

        def one() -> None:
            t.did.append("one")
            t.reactor.defer(partial(t.did.append, "three"))

        t.reactor.defer(one)
        t.reactor.defer(partial(t.did.append, "two"))
        await settle()
        assert t.did == ["one", "two", "three", "after"]
        t.close()

    run(main())


def test_work_that_is_never_done_does_not_keep_a_socket_waiting(run: Run, poll: None, turns: New, clock: Clock) -> None:
    async def main() -> None:
        t = turns()

        def work() -> None:
            clock.now += SLICE * 2
            t.did.append("work")
            t.reactor.defer(work)

        for _ in range(3):
            t.reactor.defer(work)
        await settle()
        before = len(t.told())
        t.ends_ready(1)
        while 0 not in t.did:
            await asyncio.sleep(0)
        assert t.told().index(0) - before <= 4, "as many as were there before it"
        t.close()

    run(main())


def test_what_the_turn_made_to_do_goes_on_for_its_time_and_in_the_next_turn(run: Run, turns: New, clock: Clock) -> None:
    async def main() -> None:
        t = turns()
        t.more = 5
        step = t.reactor.after

        def long() -> bool:
            clock.now += SLICE * 0.6
            if "after" not in t.did:
                t.reactor.defer(partial(t.did.append, "b"))
            return step()

        t.reactor.after = long
        t.reactor.defer(partial(t.did.append, "a"))
        await settle()
        assert t.did == ["a", "after", "after", "b", "after", "after", "after"]
        t.close()

    run(main())


def test_what_is_deferred_again_and_again_ends_with_its_time_or_number(run: Run, turns: New, clock: Clock) -> None:
    async def main() -> None:
        t = turns()

        def again() -> None:
            t.did.append("again")
            t.reactor.defer(again)

        t.reactor.defer(again)
        while "after" not in t.did:
            await asyncio.sleep(0)
        assert t.did.index("after") == BATCH
        clock.now += 1
        t.did.clear()
        t.reactor.defer(lambda: setattr(clock, "now", clock.now + SLICE))
        while t.did.count("after") < 2:
            await asyncio.sleep(0)
        assert 1 in {len(part) for part in bracketed(t.did)}, "none but one in the turn whose time was over"
        t.close()

    run(main())


def bracketed(did: Did) -> list[Did]:
    """What was done, turn by turn."""
    parts: list[Did] = [[]]
    for each in did:
        if each == "after":
            parts.append([])
        else:
            parts[-1].append(each)
    return parts


def test_who_becomes_ready_does_not_wait_for_the_calls_before_the_end_of_the_turn(run: Run, poll: None, turns: New, clock: Clock) -> None:
    async def main() -> None:
        t = turns()
        t.reactor.between = lambda: t.did.append("between")
        [end] = t.ends_ready(1)
        await settle()
        t.did.clear()

        def slice_of_work() -> None:
            t.did.append("call")
            if t.did.count("call") == 1:
                end.ready()
            if t.did.count("call") < 3:
                t.reactor.defer(slice_of_work)

        t.reactor.defer(slice_of_work)
        await settle()
        assert t.did[:7] == ["between", "call", 0, "between", "call", "call", "after"]
        t.close()

    run(main())


def test_nor_for_the_steps_at_its_end(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        t.reactor.between = lambda: t.did.append("between")
        [end] = t.ends_ready(1)
        await settle()
        t.did.clear()
        t.more = 3
        t.reactor.after = lambda: (t.did or end.ready()) and False or t._after()  # type: ignore[func-returns-value]
        t.reactor.schedule()
        await settle()
        assert t.did[:5] == ["after", 0, "between", "after", "after"]
        t.close()

    run(main())


def test_who_is_ready_at_the_beginning_is_not_kept_by_the_calls_either(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        t.reactor.between = lambda: t.did.append("between")
        t.ends_ready(1)
        t.reactor.defer(partial(t.did.append, "call"))
        await settle()
        assert t.did[:4] == [0, "between", "call", "after"]
        t.close()

    run(main())


def test_in_the_middle_of_a_turn_nobody_takes_long(run: Run, poll: None, turns: New, clock: Clock) -> None:
    """Of many who are ready there, as many as GLANCE has time for; the others come in the next turn, or the next middle."""

    async def main() -> None:
        t = turns()
        ends = t.ends_ready(9)
        await settle()
        t.did.clear()
        for end in ends:
            end.then = lambda: setattr(clock, "now", clock.now + GLANCE * 0.6)

        def call() -> None:
            t.did.append("call")
            for end in ends:
                end.ready()

        t.reactor.defer(call)
        t.reactor.defer(partial(t.did.append, "call"))
        await settle()
        assert [each == "call" for each in t.did[:4]] == [True, False, False, True]
        assert sorted(each for each in t.did if isinstance(each, int)) == list(range(9))
        t.close()

    run(main())


def test_a_failure_in_the_middle_is_logged_and_the_turn_goes_on(run: Run, turns: New, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        t = turns()
        t.reactor.between = lambda: 1 // 0
        t.ends_ready(1)
        t.reactor.defer(partial(t.did.append, "call"))
        await settle()
        assert t.did[:3] == [0, "call", "after"]
        t.close()

    run(main())
    assert "internal error in the middle of a turn" in caplog.text


def test_who_asks_for_a_turn_gets_one(run: Run, turns: New) -> None:
    async def main() -> None:
        t = turns()
        t.reactor.schedule()
        t.reactor.schedule()
        assert t.did == []
        await settle()
        assert t.did == ["after"]
        t.reactor.after = lambda: t.did.append("again") or (t.reactor.schedule() if len(t.did) < 4 else None) or False  # type: ignore[func-returns-value]
        t.reactor.schedule()
        await settle()
        assert t.did == ["after", "again", "again", "again"], "also for one that comes after the work of this one"
        t.close()

    run(main())


# What callbacks may do


def test_an_exception_costs_only_that_link(run: Run, poll: None, turns: New, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        t = turns()
        ends = t.ends_ready(5)
        ends[2].then = lambda: 1 // 0
        t.reactor.defer(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        t.reactor.call_at(0.0, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        t.reactor.call_at(0.0, partial(t.did.append, "due"))
        while "due" not in t.did:
            await asyncio.sleep(0)
        await settle()
        assert sorted(each for each in t.told() if each != "due") == list(range(5))  # type: ignore[type-var]
        assert ends[2].sock.fileno() == -1 and all(end.sock.fileno() >= 0 for end in ends if end is not ends[2])
        t.reactor.after = lambda: 1 // 0 == 0
        t.reactor.schedule()
        await settle()
        assert caplog.text.count("ZeroDivisionError:") == 4 and caplog.text.count("closing the connection") == 1
        t.close()

    caplog.set_level(logging.ERROR, "midge.server")
    run(main())


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_through_and_the_rest_follows(exception: type[BaseException], poll: None) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> Turns:
        return Turns()

    def stop() -> None:
        for end in t.ends:
            end.then = lambda: None
        raise exception

    t = loop.run_until_complete(begin())
    for end in t.ends_ready(5):
        end.then = stop
    with pytest.raises(exception):
        loop.run_until_complete(settle())
    assert len(t.did) == 1
    loop.run_until_complete(settle())
    assert sorted(t.told()) == list(range(5)) and "after" in t.did  # type: ignore[type-var]
    t.close()
    loop.close()


def test_a_callback_may_close_the_reactor(run: Run, poll: None, turns: New) -> None:
    async def main() -> None:
        t = turns()
        ends = t.ends_ready(3)
        for end in ends:
            end.then = t.reactor.close
        t.reactor.call_at(0.0, partial(t.did.append, "due"))
        await settle()
        assert len(t.did) == 1 and [end.watched for end in ends] == [0, 0, 0]
        t.reactor.watch(ends[0], True, True)
        t.reactor.defer(partial(t.did.append, "deferred"))
        t.reactor.schedule()
        t.reactor.call_at(0.0, partial(t.did.append, "due"))
        t.reactor.cancel(t.close)
        t.reactor.close()
        await settle()
        assert len(t.did) == 1, "a closed one does nothing"
        t.close()

    run(main())


def test_a_callback_may_run_a_turn_inside_itself(run: Run, poll: None, turns: New) -> None:
    """As it happens where a callback runs the event loop: nothing is done twice, and nothing is forgotten."""

    async def main() -> None:
        t = turns()
        ends = t.ends_ready(5)

        def inside() -> None:
            for end in ends:
                end.then = lambda: None
            t.reactor.defer(partial(t.did.append, "deferred"))
            t.reactor._turn()
            t.did.append("outside again")

        for end in ends:
            end.then = inside
        await settle()
        told = t.told()
        assert sorted(each for each in told if isinstance(each, int)) == list(range(5))
        assert told.index("outside again") == len(told) - 1 and told.count("deferred") == 1
        t.close()

    run(main())


def test_it_can_be_closed_after_its_loop(poll: None) -> None:
    async def main() -> Turns:
        t = Turns()
        t.ends_ready(2)
        t.reactor.call_at(1e9, t.close)
        return t

    t = asyncio.run(main())
    t.ends[0].ready()
    t.reactor.forget(t.ends[0])
    t.reactor.schedule()
    t.reactor.defer(t.close)
    t.close()
    assert t.ends[1].watched == 0


def test_without_anything_watched_no_descriptor_is_open(run: Run) -> None:
    async def main() -> None:
        reactor = Reactor(asyncio.get_running_loop())
        reactor.schedule()
        await settle()
        assert reactor._poll is None
        reactor.close()

    run(main())


def test_a_loop_that_cannot_watch_descriptors_says_so_and_leaves_nothing_open() -> None:
    class Poor:
        def add_reader(self, *_: object) -> None:
            raise NotImplementedError

        def is_closed(self) -> bool:
            return False

    reactor = Reactor(Poor())  # type: ignore[arg-type]
    end = End(0, [])
    with pytest.raises(NotImplementedError):
        reactor.watch(end, True, False)
    assert end.watched == 0
    reactor.close()
    end.close()


# Deadlines


class FakeLoop:
    """An event loop's clock and timers, moved by hand; what is to be called soon is called by the test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list["FakeTimer"] = []
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def is_closed(self) -> bool:
        return False

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_at(self, when: float, call: Callable[[], None]) -> "FakeTimer":
        self.timers.append(FakeTimer(self, when, call))
        return self.timers[-1]

    def move_to(self, now: float) -> None:
        """Let the time pass, and everything happen that it makes happen."""
        self.now = now
        while due := [timer for timer in self.timers if timer.when() <= now]:
            for timer in due:
                self.timers.remove(timer)
                timer.call()
            while self.soon:
                self.soon.pop(0)()


class FakeTimer:
    def __init__(self, loop: FakeLoop, when: float, call: Callable[[], None]) -> None:
        self.loop = loop
        self.at = when
        self.call = call

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.loop.timers.remove(self)


def test_ten_thousand_deadlines_are_one_timer() -> None:
    loop: Any = FakeLoop()
    reactor = Reactor(loop)
    did: list[int] = []
    calls = [partial(did.append, number) for number in range(10_000)]
    for number, call in enumerate(calls):
        reactor.call_at(1100.0 + number / 1000, call)
    assert len(loop.timers) == 1
    loop.move_to(1099.9)
    assert did == []
    loop.move_to(1105.0)
    assert set(range(4900)) <= set(did) <= set(range(5000)) and len(loop.timers) == 1
    for call in calls:
        reactor.cancel(call)
    assert loop.timers == []
    reactor.close()


def test_an_earlier_deadline_moves_the_timer_and_a_later_one_does_not() -> None:
    loop: Any = FakeLoop()
    reactor = Reactor(loop)
    did: list[str] = []
    late, early = partial(did.append, "late"), partial(did.append, "early")
    reactor.call_at(1010.0, late)
    (timer,) = loop.timers
    reactor.call_at(1020.0, early)
    assert loop.timers == [timer]
    reactor.call_at(1005.0, early)
    assert len(loop.timers) == 1 and 1005.0 < loop.timers[0].when() <= 1005.0 + GRANULARITY + 1e-9
    loop.move_to(1006.0)
    assert did == ["early"]
    loop.move_to(1011.0)
    assert did == ["early", "late"] and loop.timers == []
    reactor.close()


def test_a_deadline_may_be_set_anew_or_cancelled_by_another_that_is_due_with_it() -> None:
    loop: Any = FakeLoop()
    reactor = Reactor(loop)
    did: list[str] = []

    def first() -> None:
        did.append("first")
        reactor.cancel(second)
        reactor.call_at(loop.now + 10.0, first)

    def second() -> None:
        did.append("second")
        reactor.cancel(first)
        reactor.call_at(loop.now + 10.0, second)

    reactor.call_at(1000.0, first)
    reactor.call_at(1000.0, second)
    loop.move_to(1001.0)
    assert len(did) == 1, "the one that came first has cancelled the other"
    loop.move_to(1012.0)
    assert did == [did[0]] * 2 and len(loop.timers) == 1
    reactor.close()
    assert loop.timers == []


def test_the_work_that_a_deadline_makes_is_finished_in_its_turn() -> None:
    loop: Any = FakeLoop()
    reactor = Reactor(loop)
    did: list[str] = []
    reactor.after = lambda: did.append("after") is not None
    reactor.call_at(1000.0, partial(did.append, "due"))
    loop.move_to(1001.0)
    assert did == ["due", "after"]
    reactor.close()


# With links


def test_what_many_readers_make_for_one_peer_goes_out_in_one_send(run: Run) -> None:
    async def main() -> None:
        reactor = Reactor(asyncio.get_running_loop())
        near, far = socket.socketpair()
        target = socket_end(reactor, near)

        class Producer(Owner):
            def link_received(self, chunk: bytearray, size: int) -> bool:
                target.outbox.write(bytes(chunk[:size]))
                return super().link_received(chunk, size)

        pairs = [socket.socketpair() for _ in range(50)]
        producers = [socket_end(reactor, sock) for sock, _ in pairs]
        for producer in producers:
            producer.__class__ = Producer
        sends: list[int] = []

        def flush() -> bool:
            if len(target.outbox):
                sends.append(len(target.outbox))
                target.flush()
            return False

        reactor.after = flush
        started(target, *producers)
        for _, sock in pairs:
            sock.send(b"1234")
        await producers[-1].until(lambda: producers[-1].received)
        await settle()
        assert sends == [200] and len(far.recv(1000)) == 200
        for owner in (target, *producers):
            owner.link.close()
        reactor.close()
        for sock in (far, *(sock for _, sock in pairs)):
            sock.close()

    run(main())
