"""A driver parses in slices: no chunk keeps the loop or fills the outbox, and nothing that a callback does desynchronises it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fakes import FakeServer, Peer, is_waiting, msg, opened, turns

import midge
from midge.client.session import HIGH_WATER, SLICE

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@dataclass(frozen=True)
class Refused(Exception):
    """An error of an application's that lets nobody add to it."""

    code: int


# Slices


async def test_large_answers_of_a_plain_callback_all_arrive(loop_factory: LoopFactory) -> None:
    """150 requests in one chunk, answered with a mebibyte each: more than ``outbound_limit`` together."""
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"SUB svc 1")
        peer.send(b"".join(msg("svc", 1, b"", f"r.{i}") for i in range(150)))
        for i in range(150):
            await peer.expect(b"PUB r.%d 1048576" % i)
            sizes.append(len(await peer.reader.readexactly((1 << 20) + 2)))
        await peer.serve()

    errors: list[Exception] = []
    async with FakeServer(script) as server:
        async with midge.connect(server.url, error_callback=errors.append) as nc:
            nc.subscribe("svc", callback=lambda message: message.respond(bytes(1 << 20)))
            async with asyncio.timeout(30):
                while len(sizes) < 150:
                    await asyncio.sleep(0.001)
    assert errors == []


async def test_nothing_is_parsed_while_the_server_takes_nothing() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        message.respond(bytes(HIGH_WATER // 2))

    nc.subscribe("a", callback=callback)
    await turns()
    link.takes = False
    link.come(*(msg("a", 1, b"%d" % i, "r") for i in range(7)), b"PING\r\n")
    link.come(msg("a", 1, b"7", "r"))
    await turns(20)
    assert got == [b"0", b"1"] and link.paused
    for _ in range(10):
        link.take()
        link.takes = False
        await turns()
    assert got == [b"%d" % i for i in range(8)] and not link.paused
    link.take()
    assert link.sent().count(b"PONG\r\n") == 1
    await nc.close()


async def test_callbacks_that_take_their_time_let_the_others_have_their_turns() -> None:
    nc, link = await opened()
    got: list[bytes] = []
    seen: list[int] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        until = time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass

    async def other() -> None:
        while len(got) < 1000:
            seen.append(len(got))
            await asyncio.sleep(0)

    nc.subscribe("a", callback=callback)
    task = asyncio.ensure_future(other())
    await turns(1)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(1000)))
    link.come(msg("a", 1, b"1000"))
    await task
    await turns()
    assert got == [b"%d" % i for i in range(1001)]
    assert len([one for one in set(seen) if 0 < one < 1000]) > 5, "it had turns in between"
    await nc.close()


async def test_what_was_read_before_a_loss_is_still_delivered() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        nc.publish("b", bytes(HIGH_WATER))

    nc.subscribe("a", callback=callback)
    link.takes = False
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    assert link.paused and not nc.is_closed and link.owner is not None
    link.owner.link_lost(OSError("broken"))
    await turns(20)
    assert got == [b"%d" % i for i in range(5)] and nc.is_closed
    await nc.close()


async def test_closing_between_two_slices() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        nc.publish("b", bytes(HIGH_WATER))

    nc.subscribe("a", callback=callback)
    link.takes = False
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    task = asyncio.ensure_future(nc.close())
    await turns()
    link.take()
    await task
    assert got == [b"0"] and link.closed


# Interrupts


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_callback_loses_nothing(kind: type[BaseException]) -> None:
    """Whoever goes on with the loop gets what came behind the message, in order, and the connection stays in step."""
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        if message.data == b"1":
            raise kind

    async def begin() -> Any:
        nc, link = await opened()
        nc.subscribe("a", callback=callback)
        loop.call_soon(link.come, *(msg("a", 1, b"%d" % i) for i in range(4)), b"PING\r\nMSG a 1 3\r\nab")
        return nc, link

    async def end(nc: midge.Client, link: Any) -> None:
        await turns()
        link.come(b"c\r\n")
        assert link.sent().endswith(b"PONG\r\n")
        await nc.close()

    loop = asyncio.new_event_loop()
    nc, link = loop.run_until_complete(begin())
    with pytest.raises(kind):
        loop.run_until_complete(asyncio.sleep(1))
    assert got == [b"0", b"1"]
    loop.run_until_complete(end(nc, link))
    assert got == [b"0", b"1", b"2", b"3", b"abc"]
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def test_what_comes_inside_a_callback_waits_for_its_end() -> None:
    """A callback that runs a nested event loop lets the link read while the chunk is being parsed."""
    nc, link = await opened()
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        if message.data == b"1":
            link.come(msg("a", 1, b"4"), b"MSG a 1 1")
            link.come(b"1\r\nxyz", b"xyz12345\r\n")
            got.append(b"end of 1")

    nc.subscribe("a", callback=callback)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(4)))
    assert got == [b"0", b"1", b"end of 1", b"2", b"3"]
    await turns(10)
    assert got[5:] == [b"4", b"xyzxyz12345"] and not link.paused and nc.is_connected
    await nc.close()


async def test_nothing_is_parsed_after_an_error_of_the_protocol() -> None:
    """Not what came meanwhile, either: nobody knows where an operation begins in it."""
    nc, link = await opened()
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        got.append(message.data)
        link.come(msg("a", 1, b"late"))

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), b"garbage\r\n")
    await turns(10)
    assert got == [b"1"] and nc.is_closed
    await nc.close()


# Room


async def test_many_subscriptions_and_then_a_request(loop_factory: LoopFactory) -> None:
    """They fill the outbox past its high-water mark without anybody having waited for room: the link was never blocked."""
    nc, link = await opened()
    for i in range(42_000):
        nc.subscribe(f"some.subject.that.is.long.enough.{i}")
    assert len(nc._session.outbox) > HIGH_WATER
    task = asyncio.ensure_future(nc.request("svc", b"x", timeout=5))
    await turns()
    assert link.sent().endswith(b"x\r\n") and await is_waiting(task)
    inbox = nc._connection.interest.answers.subject[:-2]
    link.come(msg(f"{inbox}.1", 42_001, b"y"))
    assert (await task).data == b"y"
    await nc.close()


async def test_room_that_another_flush_made_is_announced() -> None:
    nc, link = await opened()
    link.takes = False
    room = asyncio.ensure_future(nc.publish("a", bytes(HIGH_WATER)))
    assert await is_waiting(room)
    link.takes = True
    nc.publish("b")
    await turns()
    assert room.done(), "the link took everything without saying that it got on"
    await nc.close()


# Callbacks that never wait, or fail


async def test_a_coroutine_callback_that_never_waits_lets_the_others_have_their_turns() -> None:
    nc, link = await opened()
    got: list[bytes] = []
    seen: set[int] = set()

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        until = time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass

    nc.subscribe("a", callback=callback)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(1000)))
    while len(got) < 1000:
        seen.add(len(got))
        await asyncio.sleep(0)
    assert got == [b"%d" % i for i in range(1000)] and len(seen) > 10
    await nc.close()


@pytest.mark.parametrize("how", ["loop", "next"])
async def test_a_loop_that_never_waits_lets_the_others_have_their_turns(how: str) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a", pending_msgs=-1)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(2000)))
    got: list[bytes] = []

    async def read() -> None:
        if how == "next":
            for _ in range(2000):
                got.append((await sub.next()).data)
        else:
            async for message in sub:
                got.append(message.data)

    task = asyncio.ensure_future(read())
    seen = set()
    while len(got) < 2000:
        seen.add(len(got))
        await asyncio.sleep(0)
    assert got == [b"%d" % i for i in range(2000)] and len(seen) > 5
    await nc.close()
    await task


async def test_a_callback_that_always_fails_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)

    def callback(message: midge.Message) -> None:
        raise ValueError("no")

    nc.subscribe("a", callback=callback)
    for _ in range(10):
        link.come(*(msg("a", 1) for _ in range(SLICE)))
        await turns()
    assert len(errors) == 10 * SLICE, "the error callback is told of each"
    assert caplog.text.count("Traceback") == 1 and len(caplog.records) == 10
    await nc.close()
    assert caplog.records[-1].message == "630 more: ValueError (in the callback of the subscription to 'a')"
    assert len(caplog.records) == 11


def test_a_failing_callback_is_seen_where_nobody_has_set_up_logging() -> None:
    """Python's last resort prints what went wrong; a handler of the package's own that does nothing would switch it off."""
    program = """
import asyncio, midge

async def main():
    async with midge.Server(port=0) as server, midge.connect(server) as nc:
        await nc.subscribe("a", callback=lambda message: 1 / 0)
        await nc.publish("a")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0 and "ZeroDivisionError: division by zero" in done.stderr and "subscription to 'a'" in done.stderr


async def test_an_error_that_takes_no_note_is_reported_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    refused = Refused(7)

    def callback(message: midge.Message) -> None:
        raise refused

    nc.subscribe("a", callback=callback)
    sub = nc.subscribe("b")
    link.come(msg("a", 1), msg("b", 2))
    await sub.next(1)
    await turns()
    assert errors == [refused] and nc.is_connected
    assert "in the callback of the subscription to 'a'" in caplog.text
    await nc.close()


async def test_counted_errors_are_logged_after_a_while(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.client.reporter.LOG_SECONDS", 0.01)
    nc, link = await opened()
    for _ in range(2):
        link.come(b"-ERR 'x'\r\n" * 15)
        async with asyncio.timeout(10):
            while not any("more" in record.message for record in caplog.records):
                await asyncio.sleep(0.001)
        assert [record.message for record in caplog.records][10:] == ["5 more: ServerError"]
        caplog.clear()
    await nc.close()


async def test_one_lost_connection_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    nc, link = await opened()
    assert link.owner is not None
    link.owner.link_lost(OSError("broken"))
    await nc.close()
    assert [(record.levelno, record.getMessage(), record.exc_info) for record in caplog.records] == [
        (logging.ERROR, "ConnectionClosedError: the connection was lost: broken (nats://in.process:4222)", None)
    ]
