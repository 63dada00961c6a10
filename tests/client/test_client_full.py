"""A buffer that is full: what is dropped, what ends, and what holds the connection without ever hanging it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import is_waiting, msg, open_session, opened, subscribe, taken, turns

import midge
from midge.client.driver import Heartbeat
from midge.client.interest import DEFAULT_PENDING_BYTES, OnFull
from midge.client.states import Ended, Slow
from midge.errors import ConnectionClosedError, SlowConsumerError, SubscriptionClosedError

SOON = 0.05


def numbered(sid: int, *numbers: int) -> bytes:
    """Messages whose payloads are these numbers."""
    return b"".join(msg("a", sid, b"%d" % number) for number in numbers)


async def read(
    sub: midge.Subscription, got: list[int], *, count: int = 1 << 30, pause: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Note the numbers that come, with a pause after each."""
    async for message in sub:
        got.append(int(message.data))
        if pause is not None:
            await pause()
        if len(got) == count:
            return


# The rules, without a network


@pytest.mark.parametrize("bound", [1, 2, 3, 10])
def test_a_feed_that_blocks_stops_the_session_with_the_message_that_makes_it_full(bound: int) -> None:
    session = open_session()
    feed = subscribe(session, msgs=bound, on_full="block")
    chunk = bytearray(numbered(1, *range(bound + 5)))
    assert session.receive(chunk, len(chunk)) is True and session.interest.is_held() and feed.waiting() == bound
    assert not session.was_interrupted()
    numbers = []
    while feed.holds:
        numbers.append(int(feed.take().data))
    assert feed.waiting() == max(bound - 1, 0) // 2 and not session.interest.is_held()
    while session.parse():
        numbers += map(int, taken(feed))
    assert [*numbers, *map(int, taken(feed))] == [*range(bound + 5)]
    assert session.take_events() == [] and feed.dropped == 0


def test_bytes_stop_the_session_too_and_one_message_may_be_too_much() -> None:
    session = open_session()
    feed = subscribe(session, size=10, on_full="block")
    chunk = bytearray(msg("a", 1, b"x" * 10) + msg("a", 1, b"y" * 100) + msg("a", 1, b"z"))
    assert session.receive(chunk, len(chunk)) is True and (feed.waiting(), feed.buffered) == (2, 110)
    assert feed.take().data == b"x" * 10 and feed.holds
    assert feed.take().data == b"y" * 100 and not feed.holds
    assert session.parse() is False and taken(feed) == [b"z"]


def test_a_feed_that_blocks_overruns_where_nothing_stops() -> None:
    """As while somebody waits for the connection: then what may wait beyond the bound is bounded, too."""
    session = open_session()
    feed = subscribe(session, size=1, on_full="block")
    size = 4 << 20
    count = DEFAULT_PENDING_BYTES // size + 1
    for _ in range(count - 1):
        session.receive_data(msg("a", 1, bytes(size)))
    assert feed.holds and not feed.has_overrun and feed.buffered == DEFAULT_PENDING_BYTES and session.take_events() == []
    session.receive_data(msg("a", 1, b"xx") + msg("a", 1, b"never"))
    assert session.take_events() == [Slow(feed), Ended(feed)] and session.data_to_send() == b"UNSUB 1\r\n"
    assert feed.has_overrun and (feed.waiting(), feed.dropped) == (count - 1, 1) and not session.interest.is_held()


def test_the_message_that_reaches_the_limit_holds_nothing() -> None:
    session = open_session()
    feed = subscribe(session, msgs=2, on_full="block")
    session.unsubscribe(feed, 2)
    session.receive_data(numbered(1, 1, 2))
    assert feed.has_ended and not feed.holds and not session.interest.is_held() and taken(feed) == [b"1", b"2"]


def test_an_error_ends_the_feed_with_what_its_buffer_holds() -> None:
    session = open_session()
    feed = subscribe(session, msgs=2, on_full="error")
    session.receive_data(numbered(1, 1, 2))
    assert session.take_events() == []
    session.data_to_send()
    session.receive_data(numbered(1, 3, 4))
    assert session.take_events() == [Slow(feed), Ended(feed)] and session.data_to_send() == b"UNSUB 1\r\n"
    assert (feed.received, feed.dropped, feed.has_ended) == (3, 1, True) and taken(feed) == [b"1", b"2"]


def test_an_error_with_the_message_that_reaches_the_limit() -> None:
    session = open_session()
    feed = subscribe(session, msgs=1, on_full="error")
    session.unsubscribe(feed, 2)
    session.data_to_send()
    session.receive_data(numbered(1, 1, 2))
    assert session.take_events() == [Ended(feed), Slow(feed)] and session.data_to_send() == b"" and feed.has_overrun


@pytest.mark.parametrize("on_full", ["drop_new", "drop_old", "block", "error"])
def test_what_is_counted(on_full: OnFull) -> None:
    session = open_session()
    feed = subscribe(session, msgs=3, on_full=on_full)
    session.receive_data(numbered(1, 1, 2))
    feed.take()
    session.receive_data(numbered(1, 3, 4, 5))
    kept = 5 - feed.dropped
    assert (feed.received, feed.taken(), feed.waiting()) == (5, 1, kept - 1) and feed.dropped == (0 if on_full == "block" else 1)
    feed.discard(kept - 1)
    assert (feed.discarded, feed.waiting()) == (1, kept - 2)
    feed.discard(kept - 1)
    assert feed.discarded == 1, "what is forgotten already counts"
    assert feed.top() == ((4, 4) if on_full == "block" else (3, 3))
    assert feed.on_full == on_full


# "error"


@pytest.mark.parametrize("how", ["next", "loop", "anext"])
async def test_an_error_is_raised_behind_what_had_come(how: str) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("a", pending_msgs=2, on_full="error")
    link.come(numbered(1, 1, 2, 3, 4))
    await turns()
    assert sub.is_closed and link.sent() == b"SUB a 1\r\nUNSUB 1\r\n" and nc.is_connected
    got: list[int] = []
    for _ in range(2):
        with pytest.raises(SlowConsumerError, match="slow consumer on 'a': 1 message dropped") as raised:
            while how != "loop":
                got.append(int((await (sub.next() if how == "next" else anext(sub))).data))
            await read(sub, got)
        assert raised.value.dropped == 1
    with pytest.raises(SlowConsumerError):
        await sub.wait_closed()
    assert got == [1, 2] and [str(error) for error in errors] == ["slow consumer on 'a': 1 message dropped so far"]
    await nc.close()


async def test_an_error_ends_a_callback_behind_what_had_come() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    go = asyncio.Event()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        await go.wait()
        got.append(message.data)

    sub = nc.subscribe("a", pending_msgs=2, on_full="error", callback=callback)
    await turns()
    link.come(numbered(1, 1, 2, 3))
    await turns()
    go.set()
    await turns()
    assert got == [b"1", b"2"] and sub.is_closed and [type(error) for error in errors] == [SlowConsumerError]
    assert not nc._connection.tasks - nc._connection.reporter.tasks
    await nc.close()


# "block"


async def test_nothing_is_read_while_a_buffer_is_full() -> None:
    nc, link = await opened()
    sub, other = nc.subscribe("a", pending_msgs=4, on_full="block"), nc.subscribe("b")
    link.come(numbered(1, *range(10)), msg("b", 2, b"x"))
    link.come(numbered(1, *range(10, 12)))
    await turns(20)
    assert (sub.pending, other.pending, sub.dropped) == (4, 0, 0) and link.paused and link.waiting, "not for other subscriptions, either"
    assert [int((await sub.next()).data) for _ in range(2)] == [0, 1]
    await turns()
    assert sub.pending == 2 and link.paused, "not before half of it is free"
    assert int((await sub.next()).data) == 2
    await turns()
    assert sub.pending == 4 and link.paused
    got = [0, 1, 2]
    await read(sub, got, count=12)
    assert got == [*range(12)] and other.pending == 1 and not link.paused
    assert (sub.received, sub.delivered, sub.dropped, sub.max_pending, sub.max_pending_bytes) == (12, 12, 0, 4, 4)
    await nc.close()


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_callback_takes_all_that_a_full_buffer_holds_back(workers: int) -> None:
    nc, link = await opened()
    got: list[int] = []

    async def callback(message: midge.Message) -> None:
        await asyncio.sleep(0)
        got.append(int(message.data))

    sub = nc.subscribe("a", pending_msgs=2, on_full="block", callback=callback, max_concurrency=workers)
    link.come(numbered(1, *range(50)))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert got == [*range(50)] and sub.max_pending == 2 and not link.paused
    await nc.close()


async def keep_waiting(nc: midge.Client, sub: midge.Subscription) -> None:
    """What waits for the connection, in a task of its own."""
    await asyncio.gather(nc.flush(), nc.request("svc", b"x"))


async def many(nc: midge.Client, sub: midge.Subscription) -> None:
    assert [reply.data async for reply in nc.request_many("svc", b"x", max_msgs=1)] == [b"x"]


async def confirm(nc: midge.Client, sub: midge.Subscription) -> None:
    (await nc.subscribe("b")).unsubscribe()


async def drain_another(nc: midge.Client, sub: midge.Subscription) -> None:
    await nc.subscribe("b").drain()


WAITS: dict[str, Callable[[midge.Client, midge.Subscription], Awaitable[object]]] = {
    "flush": lambda nc, sub: nc.flush(timeout=None),
    "rtt": lambda nc, sub: nc.rtt(timeout=None),
    "request": lambda nc, sub: nc.request("svc", b"x", timeout=None),
    "in tasks": keep_waiting,
    "request_many": many,
    "confirm": confirm,
    "drain another": drain_another,
}


@pytest.mark.parametrize("taker", ["loop", "next", "callback"])
@pytest.mark.parametrize("name", WAITS)
async def test_a_consumer_that_waits_for_the_connection_never_hangs(name: str, taker: str) -> None:
    """The PONG, or the answer, is behind more messages than the buffer holds."""
    nc, link = await opened()
    link.answers = True
    await nc.request("svc", b"")
    got: list[int] = []

    async def callback(message: midge.Message) -> None:
        got.append(int(message.data))
        if got[-1] in (0, 50, 99):
            await turns()
            assert link.paused or got[-1] > 0
            await WAITS[name](nc, sub)

    async def loop() -> None:
        while taker == "next" and len(got) < 100:
            await callback(await sub.next())
        if taker == "loop":
            async for message in sub:
                await callback(message)
                if len(got) == 100:
                    break

    sub = nc.subscribe("a", pending_msgs=2, on_full="block", callback=callback if taker == "callback" else None)
    link.come(numbered(2, *range(50)))
    link.come(numbered(2, *range(50, 100)))
    async with asyncio.timeout(10):
        await loop()
        while len(got) < 100:
            await asyncio.sleep(0)
    assert got == [*range(100)] and sub.dropped == 0
    await nc.close()


async def test_it_is_held_again_once_nobody_waits_for_the_connection() -> None:
    nc, link = await opened()
    link.answers = True
    sub = nc.subscribe("a", pending_msgs=2, on_full="block")
    link.come(numbered(1, *range(10)))
    await nc.flush()
    assert sub.pending == 10, "these were before the PONG"
    link.come(numbered(1, *range(10, 20)))
    await turns()
    assert link.paused and sub.pending == 11, "what was being read when the wait was over is read"
    cancelled = asyncio.ensure_future(nc.flush())
    link.answers = False
    await turns(1)
    cancelled.cancel()
    await turns()
    assert link.paused and sub.pending == 11
    with pytest.raises(midge.MidgeTimeoutError):
        await nc.flush(timeout=SOON)
    assert sub.pending == 20, "it had to be looked for"
    link.come(numbered(1, 20, 21))
    await turns()
    assert sub.pending == 21 and link.paused, "of who waits no longer nobody waits"
    got: list[int] = []
    await read(sub, got, count=22)
    assert got == [*range(22)] and not link.paused
    await nc.close()


async def test_too_much_for_who_waits_for_the_connection_is_an_error() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("a", pending_bytes=1, on_full="block")
    task = asyncio.ensure_future(nc.flush())
    await turns()
    size = 4 << 20
    count = DEFAULT_PENDING_BYTES // size + 2
    for _ in range(count):
        link.come(msg("a", 1, bytes(size)))
        await turns()
    assert (
        sub.is_closed
        and sub.dropped == 1
        and link.sent().endswith(b"UNSUB 1\r\n")
        and [type(error) for error in errors] == [SlowConsumerError]
    )
    link.come(b"PONG\r\n")
    await task
    assert len([await sub.next() for _ in range(count - 2)]) == sub.delivered
    with pytest.raises(SlowConsumerError):
        await sub.next()
    await nc.close()


LET_GO: dict[str, Callable[[midge.Client, midge.Subscription], object]] = {
    "unsubscribe": lambda nc, sub: sub.unsubscribe(),
    "unsubscribe after": lambda nc, sub: sub.unsubscribe(2),
    "wider limits": lambda nc, sub: sub.set_pending_limits(100, -1),
    "no limits": lambda nc, sub: sub.set_pending_limits(-1, -1),
    "another policy": lambda nc, sub: sub.set_pending_limits(2, -1, "drop_new"),
}


@pytest.mark.parametrize("name", LET_GO)
async def test_what_else_lets_a_held_connection_go_on(name: str) -> None:
    nc, link = await opened()
    sub, other = nc.subscribe("a", pending_msgs=2, on_full="block"), nc.subscribe("b")
    link.come(numbered(1, *range(5)), msg("b", 2, b"x"))
    await turns()
    assert link.paused and other.pending == 0
    LET_GO[name](nc, sub)
    await turns(10)
    assert not link.paused and (await other.next(1)).data == b"x"
    assert sub.pending == (5 if "limits" in name else 2)
    await nc.close()


async def test_draining_and_closing_while_held() -> None:
    nc, link = await opened()
    link.answers = True
    one, two = nc.subscribe("a", pending_msgs=2, on_full="block"), nc.subscribe("a", pending_msgs=2, on_full="block")
    link.come(numbered(1, *range(5)), numbered(2, *range(5)))
    await turns()
    assert link.paused
    async with asyncio.timeout(5):
        await one.drain()
    assert one.pending == 5 and one.is_closed
    got: list[int] = []
    async with asyncio.timeout(5):
        task = asyncio.ensure_future(read(two, got))
        await nc.drain()
        await task
    assert got == [*range(5)] and nc.is_closed
    await read(one, got)
    assert got == [*range(5)] * 2


@pytest.mark.parametrize("how", ["close", "lost"])
async def test_an_end_while_held_is_an_end(how: str) -> None:
    """Who never takes anything keeps nobody from learning that the connection is lost; what was read before is there."""
    nc, link = await opened()
    sub, other = nc.subscribe("a", pending_msgs=2, on_full="block"), nc.subscribe("b")
    link.come(numbered(1, *range(5)), msg("b", 2, b"x"))
    waiting = asyncio.ensure_future(other.next())
    assert await is_waiting(waiting) and link.paused and link.owner is not None
    if how == "close":
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await waiting
    else:
        link.owner.link_lost(OSError("broken"))
        assert (await waiting).data == b"x"
        await turns()
    assert nc.is_closed and [int((await sub.next()).data) for _ in range(sub.pending)] == [*range(2 if how == "close" else 5)]
    with pytest.raises(ConnectionClosedError):
        await sub.next()
    await nc.close()


async def test_a_server_that_we_do_not_listen_to_is_not_stale() -> None:
    nc, link = await opened(ping_interval=0.001, max_pings_out=1)
    sub = nc.subscribe("a", pending_msgs=1, on_full="block")
    link.come(numbered(1, 1, 2))
    async with asyncio.timeout(10):
        while link.sent().count(b"PING") < 3:
            await asyncio.sleep(0.003)
    assert nc.is_connected and sub.pending == 1
    await nc.close()


def test_a_heartbeat_counts_again_once_nothing_is_held() -> None:
    class Clock:
        """A loop whose one timer is called by the test."""

        def call_later(self, delay: float, call: Callable[[], None]) -> Any:
            self.call = call

    session, clock, lost = open_session(), Clock(), list[Exception]()
    feed = subscribe(session, msgs=1, on_full="block")
    Heartbeat(clock, session, 1.0, 2, lambda: None, lost.append)  # type: ignore[arg-type]
    chunk = bytearray(numbered(1, 1))
    session.receive(chunk, len(chunk))
    for _ in range(5):
        clock.call()
    assert lost == []
    feed.take()
    clock.call()
    assert lost == [], "the PONGs of the time when nothing was read are still to be read, behind what waits"
    clock.call()
    assert len(lost) == 1


async def test_a_slow_reader_is_held_in_the_middle_of_many_chunks() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a", pending_msgs=7, on_full="block")
    got: list[int] = []
    task = asyncio.ensure_future(read(sub, got, count=1000, pause=lambda: asyncio.sleep(0)))
    for start in range(0, 1000, 50):
        link.come(numbered(1, *range(start, start + 50)))
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await task
    assert got == [*range(1000)] and sub.max_pending == 7
    await nc.close()


async def test_after_an_end_by_error_the_others_go_on() -> None:
    nc, link = await opened()
    sub, other = nc.subscribe("a", pending_msgs=1, on_full="error"), nc.subscribe("b")
    link.come(numbered(1, 1, 2), msg("b", 2, b"x"))
    assert (await other.next()).data == b"x" and sub.is_closed
    sub.set_pending_limits(-1, -1)
    assert (await sub.next()).data == b"1"
    await nc.close()
    with pytest.raises(SlowConsumerError):
        await sub.next()
    other.unsubscribe()
    with pytest.raises((ConnectionClosedError, SubscriptionClosedError)):
        await other.next()
