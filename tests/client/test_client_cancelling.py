"""Cancelled at every turn of the event loop at which it can be: no wait loses a message, leaves a task or spoils the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fakes import FakeLink, msg, opened, turns

import midge

TOO_MANY = 100
Operation = Callable[[midge.Client, midge.Subscription], Awaitable[object]]


async def subscribe(nc: midge.Client, sub: midge.Subscription) -> None:
    other = await nc.subscribe("b")
    other.unsubscribe()


async def subscribe_callback(nc: midge.Client, sub: midge.Subscription) -> None:
    async def callback(message: midge.Message) -> None: ...

    other = await nc.subscribe("b", callback=callback)
    other.unsubscribe()


async def publish(nc: midge.Client, sub: midge.Subscription) -> None:
    for _ in range(5):
        await nc.publish("b", bytes(70_000))


OPERATIONS: dict[str, Operation] = {
    "flush": lambda nc, sub: nc.flush(),
    "rtt": lambda nc, sub: nc.rtt(None),
    "request": lambda nc, sub: nc.request("svc", b"x"),
    "publish": publish,
    "subscribe": subscribe,
    "subscribe with a callback": subscribe_callback,
    "drain a subscription": lambda nc, sub: sub.drain(),
    "drain": lambda nc, sub: nc.drain(),
    "close": lambda nc, sub: nc.close(),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_what_is_cancelled_leaves_nothing_behind(name: str) -> None:
    for count in range(TOO_MANY):
        nc, link = await opened()
        link.answers = True
        await nc.request("svc", b"", timeout=None)
        sub = nc.subscribe("a")
        link.come(*(msg("a", 2, b"%d" % i) for i in range(3)))
        task = asyncio.ensure_future(OPERATIONS[name](nc, sub))
        await turns(count)
        was_done = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert nc.is_closed is (name in ("drain", "close") and count > 0)
        if not nc.is_closed:
            await nc.flush()
            assert (await nc.request("svc", b"works")).data == b"works"
            assert "b" not in [feed.subject for feed in nc._connection.interest.feeds.values()]
        assert [(await sub.next()).data for _ in range(3)] == [b"0", b"1", b"2"]
        await nc.close()
        assert asyncio.all_tasks() == {asyncio.current_task()} and link.closed and nc._connection.interest.requests == {}
        if was_done:
            assert not task.cancelled() and task.exception() is None
            return
    raise AssertionError("it was never done")


async def by_next(sub: midge.Subscription, got: list[bytes]) -> None:
    while True:
        got.append((await sub.next()).data)


async def by_next_with_timeout(sub: midge.Subscription, got: list[bytes]) -> None:
    while True:
        async with asyncio.timeout(60):
            got.append((await sub.next(timeout=60)).data)


async def by_loop(sub: midge.Subscription, got: list[bytes]) -> None:
    async for message in sub:
        got.append(message.data)


async def by_loop_that_works(sub: midge.Subscription, got: list[bytes]) -> None:
    async for message in sub:
        got.append(message.data)
        await asyncio.sleep(0)


async def feed(link: FakeLink) -> None:
    """Ten messages, one a turn, then some at once."""
    for i in range(10):
        link.come(msg("a", 1, b"%d" % i))
        await asyncio.sleep(0)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(10, 15)))


@pytest.mark.parametrize("take", [by_next, by_next_with_timeout, by_loop, by_loop_that_works], ids=lambda take: take.__name__)
@pytest.mark.parametrize("readers", [1, 2, 3])
async def test_a_cancelled_reader_loses_no_message(
    take: Callable[[midge.Subscription, list[bytes]], Awaitable[None]], readers: int
) -> None:
    for count in range(25):
        nc, link = await opened()
        sub = nc.subscribe("a")
        got: list[bytes] = []
        tasks = [asyncio.ensure_future(take(sub, got)) for _ in range(readers)]
        feeding = asyncio.ensure_future(feed(link))
        await turns(count)
        tasks[0].cancel()
        await feeding
        await turns()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while sub.pending:
            got.append((await sub.next()).data)
        assert sorted(got, key=int) == [b"%d" % i for i in range(15)]
        assert readers > 1 or got == sorted(got, key=int)
        await nc.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
