"""Public bug reports against nats-py that concern a core client: what each was about, and that it does not happen here.

The number in a name is that of the thread in nats-io/nats.py. Those about reconnecting and credentials are with their parts.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest
from fakes import FakeServer, Peer, is_waiting, msg, opened, turns

import midge
from midge.errors import (
    ConnectionClosedError,
    InvalidHeaderError,
    InvalidSubjectError,
    MidgeTimeoutError,
    ServerError,
    SlowConsumerError,
)

BLOCK = b"NATS/1.0\r\nA: 1\r\n\r\n"


async def take(sub: midge.Subscription, into: list[bytes]) -> None:
    async for message in sub:
        into.append(message.data)


async def test_804_a_cancelled_iterator_drops_no_message() -> None:
    """A task that iterated over a subscription was cancelled while it waited: the next message went to nobody, or a task was left over."""
    nc, link = await opened()
    sub = nc.subscribe("a")
    taken: list[bytes] = []
    before = len(asyncio.all_tasks())
    task = asyncio.ensure_future(take(sub, taken))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == before
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    assert [(await sub.next(1)).data, (await sub.next(1)).data] == [b"1", b"2"] and taken == []
    await nc.close()


@pytest.mark.parametrize("what", ["next", "iterator", "request", "flush", "drain", "publish"])
async def test_373_a_cancelled_wait_raises_cancelled_error(what: str) -> None:
    """A cancelled ``next_msg`` raised TimeoutError, so a loop that tried again on time-outs could not be stopped with Ctrl-C."""
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.takes = what != "publish"

    async def wait() -> Any:
        try:
            if what == "next":
                await sub.next(timeout=5)
            elif what == "iterator":
                await anext(aiter(sub))
            elif what == "request":
                await nc.request("svc", timeout=5)
            elif what == "flush":
                await nc.flush(5)
            elif what == "drain":
                await sub.drain()
            else:
                while True:
                    await nc.publish("a", bytes(100_000))
        except TimeoutError:
            return "taken for a time-out"

    task = asyncio.ensure_future(wait())
    await turns(20)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    link.take()
    await nc.close()


async def test_171_closing_inside_a_callback_does_not_cancel_or_block_the_caller() -> None:
    """One of the threads about shutdown: closing ended the task that asked for it, so what came behind ``close()`` never ran."""
    nc, link = await opened()
    done: list[str] = []

    async def callback(message: midge.Message) -> None:
        await nc.close()
        await asyncio.sleep(0)
        done.append("behind close")

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1))
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    assert nc.is_closed


async def test_899_a_close_ends_every_wait_and_leaves_no_task() -> None:
    """One of the threads about shutdown: waits that a close left hanging, and "Task was destroyed but it is pending"."""
    before = asyncio.all_tasks()
    nc, _ = await opened()
    sub = nc.subscribe("a")
    nc.subscribe("b", callback=lambda message: asyncio.sleep(0))

    async def work(message: midge.Message) -> None:
        await asyncio.sleep(60)

    nc.subscribe("c", callback=work)
    waits = [asyncio.ensure_future(wait) for wait in (sub.next(), nc.flush(None), nc.request("svc", timeout=None), take(sub, []))]
    events = asyncio.ensure_future(anext(nc.events()))
    await turns()
    async with asyncio.timeout(5):
        await nc.close()
        results = await asyncio.gather(*waits, return_exceptions=True)
        await events
    assert [type(result) for result in results] == [ConnectionClosedError] * 3 + [type(None)]
    await turns()
    assert asyncio.all_tasks() <= before


async def test_993_a_close_returns_although_the_server_has_stopped_reading() -> None:
    """One of the threads about shutdown: a close that waited for ever for a peer that did not go on."""
    hang = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await hang.wait()

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url, event_callback=lambda event: None)
        waiting = asyncio.ensure_future(nc.flush(None))
        for _ in range(200):
            nc.publish("a", bytes(100_000))
        started = time.monotonic()
        await nc.close()
        assert time.monotonic() - started < 10
        with pytest.raises(ConnectionClosedError):
            await waiting
        hang.set()


async def test_924_one_odd_byte_in_a_header_drops_nothing() -> None:
    """A header value with a byte that is not ASCII made all headers of the message disappear without a word."""
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(msg("a", 1, b"x", header=b"NATS/1.0\r\nA: \xc2\xa3\r\nB: \xff\r\nC: 3\r\n\r\n"))
    headers = (await sub.next()).headers
    assert headers.multi_items() == [("A", "£"), ("B", "\udcff"), ("C", "3")] and not headers.is_malformed
    await nc.close()


async def test_380_a_header_that_comes_twice_keeps_both_values() -> None:
    """Of ``hdr2: val2`` and ``hdr2: val3`` only the last was delivered."""
    nc, link = await opened()
    sub = nc.subscribe("subj")
    link.come(msg("subj", 1, b"payload", header=b"NATS/1.0\r\nhdr1: val1\r\nhdr2: val2\r\nhdr2: val3\r\n\r\n"))
    headers = (await sub.next()).headers
    assert headers.get_all("hdr2") == ["val2", "val3"] and headers["hdr1"] == "val1"
    link.sent()
    await nc.publish("subj", headers=headers)
    await turns()
    assert b"hdr2: val2\r\nhdr2: val3\r\n" in link.sent()
    await nc.close()


async def test_372_the_buffer_is_accounted_for_exactly() -> None:
    """Bytes were taken off twice or never (``pending_bytes`` was -65), so a subscription that kept up became a slow consumer."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("quux", pending_bytes=100)
    for number in range(200):
        link.come(msg("quux", 1, b"Hello World %d" % (number % 10), header=BLOCK if number % 2 else None))
        assert (sub.pending, sub.pending_bytes) == (1, 13 + (len(BLOCK) if number % 2 else 0))
        await sub.next()
        assert (sub.pending, sub.pending_bytes) == (0, 0)
    await turns()
    assert errors == [] and sub.dropped == 0
    await nc.close()


@pytest.mark.parametrize("how", ["next", "iterator", "coroutine"])
async def test_298_who_keeps_up_is_no_slow_consumer_however_much_comes(how: str) -> None:
    """What was taken in one of several ways was not taken off the count, so at 128 MiB in all messages were dropped."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    taken: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        taken.append(message.data)

    sub = nc.subscribe("a", callback=callback if how == "coroutine" else None, pending_bytes=1 << 20)
    task = asyncio.ensure_future(take(sub, taken) if how == "iterator" else asyncio.sleep(0))
    for number in range(40):
        link.come(msg("a", 1, bytes(500_000)))
        if how == "next":
            taken.append((await sub.next()).data)
        while len(taken) <= number:
            await asyncio.sleep(0)
    assert errors == [] and (sub.dropped, sub.pending, sub.pending_bytes) == (0, 0, 0)
    await nc.close()
    await task


async def test_596_what_ends_leaves_no_task_behind() -> None:
    """Tasks of subscriptions went on after ``unsubscribe()``: thousands after a while, with all that they held."""
    nc, link = await opened()
    link.answers = True
    await nc.request("first", b"x")
    before = len(asyncio.all_tasks())

    async def callback(message: midge.Message) -> None:
        await asyncio.sleep(0)

    for number in range(200):
        sub = nc.subscribe("a", callback=callback if number % 2 else None)
        link.come(msg("a", sub.sid, b"x") * 3)
        if number % 3:
            sub.unsubscribe()
        else:
            await sub.drain()
        await nc.request("svc", b"x")
        link.answers = False
        with pytest.raises(MidgeTimeoutError):
            await nc.request("nobody", timeout=1e-6)
        link.answers = True
    await nc.flush()
    await turns()
    gc.collect()
    connection = nc._connection
    assert len(asyncio.all_tasks()) == before
    assert len(connection.interest.feeds) == 1 and connection.interest.requests == {}
    await nc.close()


async def test_193_an_error_of_the_server_does_not_close_the_client_for_good() -> None:
    """One of the threads about terminal errors: whatever the client did not know from -ERR closed it, until the process was restarted."""
    nc, link = await opened()
    sub = nc.subscribe("a")
    for text in ("Invalid Publish Subject", "maximum subscriptions exceeded", "Brand New Error", "User Authentication Expired"):
        link.come(b"-ERR '" + text.encode() + b"'\r\n")
        assert nc.is_connected
        assert isinstance(nc.last_error, ServerError) and nc.last_error.text == text
    assert await is_waiting(asyncio.ensure_future(nc.flush()))
    link.come(b"PONG\r\n")
    again = sub if not sub.is_closed else nc.subscribe("a")
    link.come(msg("a", again.sid, b"x"))
    assert (await again.next(1)).data == b"x"
    await nc.close()


async def test_217_what_is_published_is_sent_without_a_flush_or_drain() -> None:
    """``await nc.publish(...)`` sent nothing until the program happened to drain; it blocked the event loop behind the call."""
    got = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.greet()
        got.set_result([await peer.line(), await peer.line()])
        await peer.end()

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        await nc.publish("foo", b"Hello")
        assert await asyncio.wait_for(got, 5) == [b"PUB foo 5", b"Hello"]
        await nc.close()


async def test_217_what_is_published_before_a_close_is_sent() -> None:
    """The same, for a program that ends at once."""
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        while line := await peer.line():
            got.append(line)

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        nc.publish("foo", b"Hello")
        await nc.close()
    assert got == [b"PUB foo 5", b"Hello"]


@pytest.mark.parametrize("evil", ["a 1\r\nx\r\nPUB b", "a\r\n", "a b", "a\tb", "a\nb", ""], ids=repr)
async def test_1016_a_name_cannot_carry_a_command(evil: str) -> None:
    """A subject, reply subject or queue group went out as it was, line ends and all."""
    nc, link = await opened()
    with pytest.raises(InvalidSubjectError):
        nc.publish(evil, b"x")
    if evil:
        with pytest.raises(InvalidSubjectError):
            nc.publish("a", b"x", reply=evil)
        with pytest.raises(InvalidSubjectError):
            nc.subscribe("a", queue=evil)
    with pytest.raises(InvalidSubjectError):
        nc.subscribe(evil)
    with pytest.raises(InvalidSubjectError):
        await nc.request(evil)
    await turns()
    assert b"PUB" not in (sent := link.sent()) and b"SUB a" not in sent and nc.is_connected
    await nc.close()


@pytest.mark.parametrize("headers", [{"K": "v\r\nNats-Msg-Id: evil"}, {"K\r\nX": "v"}, {"K:": "v"}, {"K K": "v"}, {"": "v"}], ids=repr)
async def test_1018_a_header_cannot_carry_another(headers: dict[str, str]) -> None:
    """Names and values were written as they were. Here they are refused, not mended: nobody meant what would be sent."""
    nc, link = await opened()
    with pytest.raises(InvalidHeaderError):
        nc.publish("a", b"x", headers=headers)
    with pytest.raises(InvalidHeaderError):
        await nc.request("a", headers=headers)
    await turns()
    assert b"PUB" not in link.sent()
    await nc.close()


async def test_447_a_slow_callback_holds_up_its_own_subscription_only() -> None:
    """Callbacks of one subscription ran one after the other without that being said, and people expected them side by side.

    Here it is said: one after the other and in order, unless ``max_concurrency`` is more than 1. Others are not held up.
    """
    nc, link = await opened()
    log: list[str] = []
    go_on = asyncio.Event()

    async def slow(message: midge.Message) -> None:
        log.append(f"begin {message.data.decode()}")
        await go_on.wait()
        log.append(f"end {message.data.decode()}")

    async def quick(message: midge.Message) -> None:
        log.append(f"quick {message.data.decode()}")

    nc.subscribe("slow", callback=slow)
    nc.subscribe("quick", callback=quick)
    link.come(*(msg("slow", 1, b"%d" % number) for number in range(3)), *(msg("quick", 2, b"%d" % number) for number in range(3)))
    await turns()
    assert log == ["begin 0", "quick 0", "quick 1", "quick 2"]
    go_on.set()
    await turns(10)
    assert log[4:] == ["end 0", "begin 1", "end 1", "begin 2", "end 2"]
    await nc.close()


@pytest.mark.parametrize("how", ["plain", "coroutine", "iterator", "next"])
async def test_auto_unsubscribe_delivers_what_is_queued(how: str) -> None:
    """With ``unsubscribe(limit=2)`` the messages that waited when the limit was reached were never handed out."""
    nc, link = await opened()
    got: list[bytes] = []

    async def later(message: midge.Message) -> None:
        await asyncio.sleep(0)
        got.append(message.data)

    callback: Any = {"plain": lambda message: got.append(message.data), "coroutine": later}.get(how)
    sub = nc.subscribe("foo", callback=callback)
    sub.unsubscribe(limit=2)
    link.come(msg("foo", 1, b"Hello"), msg("foo", 1, b"World"), msg("foo", 1, b"!!!!!"))
    assert sub.is_closed
    if how == "iterator":
        await take(sub, got)
    elif how == "next":
        got += [(await sub.next()).data for _ in range(2)]
    await turns(10)
    assert got == [b"Hello", b"World"]
    await nc.close()


async def test_a_slow_consumer_is_told_once_and_counted() -> None:
    """An error came for every dropped message, and nobody could read how many there were (nats.py 332, 113)."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("a", pending_msgs=10)
    link.come(msg("a", 1) * 1000)
    await turns()
    assert [type(error) for error in errors] == [SlowConsumerError] and (sub.received, sub.dropped, sub.pending) == (1000, 990, 10)
    await nc.close()
