"""Coroutine callbacks side by side, and the end of one subscription: who waits for it, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import FakeServer, Peer, is_waiting, msg, opened, turns

import midge
from midge import events
from midge.client.connection import Connection
from midge.errors import ConnectionClosedError, PermissionsViolationError

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def numbered(*numbers: int) -> bytes:
    """Messages of the first subscription whose payloads are these numbers."""
    return b"".join(msg("a", 1, b"%d" % number) for number in numbers)


class Callbacks:
    """Callbacks that stay under way until the test lets them go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.gates: dict[int, asyncio.Future[None]] = {}

    async def __call__(self, message: midge.Message) -> None:
        number = int(message.data)
        self.begun.append(number)
        self.gates[number] = asyncio.get_running_loop().create_future()
        try:
            await self.gates[number]
            self.done.append(number)
        finally:
            del self.gates[number]

    async def let_go(self, *numbers: int) -> None:
        for number in numbers:
            self.gates[number].set_result(None)
        await turns()


# Side by side


EACH = ["the subscription", "the client", "one and the other", "the other and one"]


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_so_many_are_under_way_at_a_time_begun_in_order(loop_factory: LoopFactory, count: int) -> None:
    nc, link = await opened()
    work = Callbacks()
    sub = nc.subscribe("a", callback=work, max_concurrency=count)
    await turns()
    for number in range(4):
        link.come(numbered(number))
        await turns()
    link.come(numbered(*range(4, 20)))
    await turns()
    assert work.begun == [*range(count)] and len(nc._connection.tasks) == count, "no task for a message"
    assert (sub.pending, sub.delivered) == (20 - count, count)
    while work.gates:
        latest = max(work.gates)
        await work.let_go(latest)
    assert work.begun == [*range(20)] and sorted(work.done) == [*range(20)]
    assert (work.done == [*range(20)]) is (count == 1) and len(nc._connection.tasks) == count
    await nc.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_workers_are_made_when_they_are_needed() -> None:
    nc, link = await opened()
    work = Callbacks()
    nc.subscribe("a", callback=work, max_concurrency=1000)
    await turns()
    for number in range(10):
        link.come(numbered(number))
        await turns()
        await work.let_go(number)
    assert len(nc._connection.tasks) == 1 and work.done == [*range(10)]
    link.come(numbered(10, 11, 12))
    await turns()
    assert len(nc._connection.tasks) == 3
    await nc.close()


async def test_a_drain_waits_for_all_of_them() -> None:
    nc, link = await opened()
    link.answers = True
    work = Callbacks()
    sub = nc.subscribe("a", callback=work, max_concurrency=3)
    link.come(numbered(*range(5)))
    await turns()
    drain = asyncio.ensure_future(sub.drain())
    closed = asyncio.ensure_future(sub.wait_closed())
    assert await is_waiting(drain)
    await work.let_go(0, 2)
    await work.let_go(1, 3)
    assert await is_waiting(drain) and await is_waiting(closed) and sub.is_closed
    await work.let_go(4)
    await drain
    await closed
    assert sorted(work.done) == [*range(5)] and not nc._connection.tasks
    await nc.drain()


@pytest.mark.parametrize("each", EACH)
async def test_callbacks_that_drain_do_not_wait_for_each_other(each: str) -> None:
    nc, link = await opened(drain_timeout=10)
    link.answers = True
    got: list[int] = []

    async def callback(message: midge.Message) -> None:
        number = int(message.data)
        await turns()
        if number < 2:
            both = (sub.drain, sub.drain), (nc.drain, nc.drain), (sub.drain, nc.drain), (nc.drain, sub.drain)
            await dict(zip(EACH, both))[each][number]()
        got.append(number)

    sub = nc.subscribe("a", callback=callback, max_concurrency=3)
    link.come(numbered(*range(6)))
    async with asyncio.timeout(5):
        await sub.wait_closed()
        await nc.drain()
    assert sorted(got) == [*range(6)]


async def test_a_limit_is_kept_by_all_of_them() -> None:
    nc, link = await opened()
    work = Callbacks()
    sub = nc.subscribe("a", callback=work, max_concurrency=4)
    sub.unsubscribe(3)
    link.come(numbered(*range(6)))
    await turns()
    assert work.begun == [0, 1, 2] and sub.is_closed
    await work.let_go(0, 1, 2)
    assert not nc._connection.tasks
    await nc.close()


async def test_unsubscribing_lets_those_under_way_finish() -> None:
    nc, link = await opened()
    work = Callbacks()
    sub = nc.subscribe("a", callback=work, max_concurrency=2)
    link.come(numbered(*range(5)))
    await turns()
    sub.unsubscribe()
    await work.let_go(0, 1)
    assert work.done == [0, 1] and (sub.delivered, sub.discarded, sub.pending) == (2, 3, 0) and not nc._connection.tasks
    await nc.close()


async def test_closing_cancels_those_under_way() -> None:
    nc, link = await opened()
    work = Callbacks()
    nc.subscribe("a", callback=work, max_concurrency=2)
    link.come(numbered(*range(5)))
    await turns()
    await nc.close()
    assert work.begun == [0, 1] and work.done == [] and work.gates == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_one_that_raises_or_is_cancelled_by_what_it_asks_keeps_nothing_from_the_others() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    got: list[int] = []

    async def callback(message: midge.Message) -> None:
        await asyncio.sleep(0)
        if message.data == b"1":
            raise ValueError("no")
        if message.data == b"2":
            await cancelled
        got.append(int(message.data))

    nc.subscribe("a", callback=callback, max_concurrency=2)
    link.come(numbered(*range(6)))
    await turns(20)
    assert got == [0, 3, 4, 5] and [type(error) for error in errors] == [ValueError, RuntimeError]
    assert all("in the callback of the subscription to 'a'" in error.__notes__ for error in errors)
    await nc.close()


async def test_one_that_cancels_its_own_task_has_a_successor() -> None:
    nc, link = await opened()
    got: list[int] = []

    async def callback(message: midge.Message) -> None:
        got.append(int(message.data))
        task = asyncio.current_task()
        assert task is not None
        if got == [1]:
            task.cancel()
            await asyncio.sleep(0)

    nc.subscribe("a", callback=callback)
    link.come(numbered(1))
    await turns()
    link.come(numbered(2, 3))
    await turns()
    assert got == [1, 2, 3]
    await nc.close()


def test_one_that_begins_inside_the_read_may_drain(loop_factory: LoopFactory) -> None:
    """An eager task calls its callback before anybody else knows the task."""

    async def main() -> None:
        nc, link = await opened(drain_timeout=5)
        link.answers = True
        drained: list[int] = []

        async def callback(message: midge.Message) -> None:
            if message.data == b"2":
                await asyncio.sleep(0)
                return
            await nc.drain()
            drained.append(int(message.data))

        nc.subscribe("a", callback=callback, max_concurrency=3)
        link.come(numbered(1, 2, 2))
        async with asyncio.timeout(4):
            while not drained:
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def test_those_that_never_wait_let_the_others_have_their_turns() -> None:
    nc, link = await opened()
    got: list[int] = []

    async def callback(message: midge.Message) -> None:
        got.append(int(message.data))

    nc.subscribe("a", callback=callback, max_concurrency=4)
    link.come(numbered(*range(3000)))
    while len(got) < 3000:
        await asyncio.sleep(0)
    assert got == [*range(3000)], "and stay in order"
    await nc.close()


# The end of one


ENDS: dict[str, Callable[[midge.Client, midge.Subscription, Any], object]] = {
    "unsubscribed": lambda nc, sub, link: sub.unsubscribe(),
    "by its limit": lambda nc, sub, link: sub.unsubscribe(1),
    "drained": lambda nc, sub, link: sub.drain(),
    "with the client": lambda nc, sub, link: nc.close(),
    "with the drained client": lambda nc, sub, link: nc.drain(),
    "refused": lambda nc, sub, link: link.come(b"-ERR 'Permissions Violation for Subscription to \"a\"'\r\n"),
    "by too much": lambda nc, sub, link: link.come(numbered(2, 3)),
}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[events.Event]:
    """What is said of clients from now on."""
    said: list[events.Event] = []
    monkeypatch.setattr(Connection, "emit", lambda self, event: said.append(event))
    return said


@pytest.mark.parametrize("name", ENDS)
async def test_its_end_is_said_once_and_ends_the_wait_for_it(name: str, seen: list[events.Event]) -> None:
    nc, link = await opened()
    link.answers = True
    sub = nc.subscribe("a", pending_msgs=2, on_full="error")
    link.come(numbered(1))
    tasks = [asyncio.ensure_future(sub.wait_closed()) for _ in range(2)]
    assert await is_waiting(tasks[0])
    tasks.pop().cancel()
    seen.clear()
    done = ENDS[name](nc, sub, link)
    if isinstance(done, Awaitable):
        await done
    error = {"refused": PermissionsViolationError, "by too much": midge.SlowConsumerError}.get(name)
    for _ in range(2):
        if error is None:
            await asyncio.wait_for(tasks[0], 1)
            await sub.wait_closed()
        else:
            with pytest.raises(error):
                await tasks[0]
            with pytest.raises(error):
                await sub.wait_closed()
    ended = [event for event in seen if isinstance(event, events.SubscriptionEnded)]
    expected = [] if name == "with the client" else [("a", 1, type(None) if error is None else error)]  # that is one event for all
    assert [(event.subject, event.sid, type(event.error)) for event in ended] == expected
    slow = [event for event in seen if isinstance(event, events.SlowConsumer)]
    assert [(event.subject, event.sid, event.dropped) for event in slow] == ([("a", 1, 1)] if name == "by too much" else [])
    await nc.close()
    assert (await sub.next()).data == b"1", "what its buffer holds can still be read"


async def test_a_loss_that_is_final_is_raised(seen: list[events.Event]) -> None:
    nc, link = await opened(max_reconnects=0)
    sub = nc.subscribe("a")
    task = asyncio.ensure_future(sub.wait_closed())
    await turns()
    assert link.owner is not None
    link.owner.link_lost(OSError("broken"))
    with pytest.raises(ConnectionClosedError, match="broken"):
        await task
    assert not [event for event in seen if isinstance(event, events.SubscriptionEnded)]  # Closed says it for all
    await nc.close()


async def test_a_callback_may_wait_for_the_end_of_its_own_subscription() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        sub.unsubscribe()
        await sub.wait_closed()
        got.append(message.data)

    sub = nc.subscribe("a", callback=callback)
    link.come(numbered(1, 2))
    async with asyncio.timeout(5):
        await sub.wait_closed()
    assert got == [b"1"]
    await nc.close()


async def test_a_subscription_that_holds_the_connection_when_the_link_is_lost() -> None:
    """What had come is read, the client connects again, and the next server is held back in its turn."""
    holds = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"SUB a 1")
        peer.send(numbered(*range(10)))
        await holds.wait()
        peer.abort()

    async def second(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"SUB a 1")
        peer.send(numbered(*range(10, 20)))
        await peer.serve()

    async with FakeServer(first, second) as server:
        nc = await midge.connect(server.url)
        sub = nc.subscribe("a", pending_msgs=4, on_full="block")
        async with asyncio.timeout(10):
            while sub.pending < 4:
                await asyncio.sleep(0.001)
            holds.set()
            got = [int((await sub.next()).data) for _ in range(20)]
            await nc.flush()
        assert got == [*range(20)] and nc.stats.reconnects == 1 and sub.dropped == 0
        await nc.close()
