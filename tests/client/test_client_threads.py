"""Where a client may not be used: other threads and forked children. And everything that asyncio takes for a coroutine."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from fakes import FakeInProcessServer, FakeServer, Peer, let_in, opened, turns

import midge
from midge.client.room import READY
from midge.client.session import FLUSH_AT, HIGH_WATER

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


async def in_thread(work: Callable[[], Any]) -> Any:
    """Call it in another thread; return what it returned or raised."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            result = error
        loop.call_soon_threadsafe(done.set_result, result)

    thread = threading.Thread(target=run)
    thread.start()
    result = await done
    thread.join()
    return result


# Threads


async def test_another_thread_is_refused_and_the_client_stays_as_it_was(loop_factory: LoopFactory) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    await turns()
    link.sent()

    def publish() -> None:
        nc.publish("a", b"x")

    def flush() -> None:
        asyncio.run(nc.flush())  # type: ignore[arg-type]

    async def sub_next() -> None:
        await sub.next()

    attempts: list[Callable[[], Any]] = [
        publish, flush, lambda: nc.subscribe("b"), lambda: sub.unsubscribe(), lambda: asyncio.run(nc.close()),
        lambda: asyncio.run(nc.request("a")), lambda: asyncio.run(nc.drain()), lambda: asyncio.run(sub_next()),
        lambda: asyncio.run(nc.publish("a")),
    ]  # fmt: skip
    for attempt in attempts:
        error = await in_thread(attempt)
        assert isinstance(error, RuntimeError) and "run_coroutine_threadsafe" in str(error)
    await turns()
    assert link.sent() == b"" and nc.is_connected and not sub.is_closed
    await nc.publish("a", b"y")
    await turns()
    assert link.sent() == b"PUB a 1\r\ny\r\n"
    await nc.close()


async def test_another_thread_may_hand_a_publish_to_the_loop(loop_factory: LoopFactory) -> None:
    nc, link = await opened()
    loop = asyncio.get_running_loop()

    def publish() -> None:
        for i in range(3):
            asyncio.run_coroutine_threadsafe(nc.publish("a", b"%d" % i), loop).result(10)

    assert await in_thread(publish) is None
    await turns()
    assert link.sent() == b"PUB a 1\r\n0\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\n"

    def publish_nonsense() -> None:
        asyncio.run_coroutine_threadsafe(nc.publish("a b"), loop).result(10)

    assert isinstance(await in_thread(publish_nonsense), ValueError)
    await nc.close()

    def publish_late() -> None:
        asyncio.run_coroutine_threadsafe(nc.publish("a"), loop).result(10)

    assert isinstance(await in_thread(publish_late), ConnectionError)


async def test_a_publish_of_another_thread_that_nobody_awaits_is_noticed() -> None:
    nc, link = await opened()
    kept: list[Any] = []
    await in_thread(lambda: kept.append(nc.publish("a")))
    with pytest.warns(RuntimeWarning, match=r"publish\('a'\) was called in another thread and never awaited"):
        kept.clear()
    assert link.sent() == b""
    await nc.close()


async def test_a_thread_in_debug_mode_does_not_stop_the_client_from_sending() -> None:
    """``call_soon`` raises there, and nothing may remember that something was scheduled."""
    asyncio.get_running_loop().set_debug(True)
    nc, link = await opened()
    driver = nc._connection.driver
    assert driver is not None
    assert isinstance(await in_thread(driver.schedule), RuntimeError)
    await nc.publish("a")
    await turns()
    assert link.sent() == b"PUB a 0\r\n\r\n"
    await nc.close()


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_forked_child_is_refused_and_disturbs_nobody(loop_factory: LoopFactory) -> None:
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.serve()
        ended.set()

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        sub = nc.subscribe("a")
        await nc.flush()
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            code = 1
            signal.alarm(30)
            ours.close()
            try:
                code = in_child(nc, sub, theirs)
            finally:
                os._exit(code)
        theirs.close()
        ours.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(ours, 1000) == b"ok"
        await nc.flush()
        await nc.publish("a")
        await nc.close()
        async with asyncio.timeout(10):
            await ended.wait()  # although the child still holds a copy of the socket
        ours.close()
        os.waitpid(child, 0)


def in_child(nc: midge.Client, sub: midge.Subscription, said: socket.socket) -> int:
    """Try everything; then stay until the parent has closed."""
    asyncio.events._set_running_loop(None)

    async def use() -> list[str]:
        found = []
        waits: list[Callable[[], Any]] = [
            lambda: nc.publish("a"), lambda: nc.subscribe("b"), lambda: sub.unsubscribe(), nc.flush, lambda: nc.request("a"), nc.drain,
            nc.close, sub.next,
        ]  # fmt: skip
        for wait in waits:
            try:
                await wait()
            except RuntimeError as error:
                found.append(str(error))
        return found

    loop = asyncio.SelectorEventLoop()
    found = loop.run_until_complete(use())
    good = len(found) == 8 and all("forked from" in error for error in found)
    said.send(b"ok" if good else b"not: " + repr(found).encode())
    said.recv(1)
    return 0


# Awaitables


async def test_what_publish_returns_is_a_coroutine_to_everybody(loop_factory: LoopFactory) -> None:
    nc, link = await opened()
    loop = asyncio.get_running_loop()
    kinds: list[Callable[[], Coroutine[Any, Any, None]]] = [
        lambda: nc.publish("a"), lambda: nc.publish("a", bytes(FLUSH_AT)), lambda: nc.publish("a", bytes(HIGH_WATER)),
        lambda: nc.subscribe("a").unsubscribe(),
    ]  # fmt: skip
    for make in kinds:
        for _ in range(2):
            assert asyncio.iscoroutine(make())
            await make()
            await asyncio.create_task(make())
            await asyncio.gather(make(), make())
            await asyncio.wait_for(make(), 10)
            async with asyncio.TaskGroup() as group:
                group.create_task(make())
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make(), loop))
    link.takes = False
    task = asyncio.create_task(nc.publish("a", bytes(HIGH_WATER)))
    await turns()
    assert not task.done()
    task.cancel()
    await turns()
    assert task.cancelled()
    link.take()
    await nc.close()


def test_an_awaitable_that_is_thrown_at_raises() -> None:
    for kind in (ValueError("x"), ValueError):
        with pytest.raises(ValueError):
            READY.throw(kind)
    READY.close()
    with pytest.raises(StopIteration):
        READY.send(None)


async def test_what_connect_returns_is_a_coroutine_to_everybody() -> None:
    def connect() -> Any:
        server = FakeInProcessServer()
        server.ready.add_done_callback(lambda ready: let_in(ready.result()))
        return midge.connect(server)

    await (await asyncio.create_task(connect())).close()
    for nc in await asyncio.gather(connect(), connect()):
        await nc.close()
    await (await asyncio.wait_for(connect(), 10)).close()
    task = asyncio.create_task(connect())
    await turns(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    connecting = connect()
    connecting.close()
    await (await connecting).close()


def test_asyncio_run_connects() -> None:
    with midge.Server(port=0) as server:
        with pytest.warns(ResourceWarning):
            nc = asyncio.run(midge.connect(server.url))
            assert isinstance(nc, midge.Client)
            del nc
            gc.collect()


async def other_waits(nc: midge.Client, sub: midge.Subscription) -> list[Awaitable[Any]]:
    return [nc.flush(), nc.request("svc"), sub.next(), nc.drain()]


async def test_the_other_waits_are_coroutines() -> None:
    nc, link = await opened()
    for wait in await other_waits(nc, nc.subscribe("a")):
        assert asyncio.iscoroutine(wait)
        wait.close()
    await nc.close()


async def test_an_unclosed_client_says_so_by_name() -> None:
    nc, link = await opened()
    nc._connection.driver.close()  # type: ignore[union-attr]
    del link
    with pytest.warns(ResourceWarning, match="unclosed client <Client nats://in.process:4222>"):
        del nc
        gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nc, link = await opened()
        await nc.close()
        del nc
        gc.collect()


def test_another_event_loop_of_the_same_thread() -> None:
    """The trap of test fixtures with loops of different scopes: nothing is lost without a word, and nothing hangs."""
    with midge.Server(port=0) as server:
        home, other = asyncio.new_event_loop(), asyncio.new_event_loop()

        async def open_client() -> tuple[midge.Client, midge.Subscription]:
            nc = await midge.connect(server.url)
            return nc, await nc.subscribe("a")

        nc, sub = home.run_until_complete(open_client())
        uses = [nc.flush, nc.close, nc.drain, sub.next, lambda: nc.publish("a"), lambda: nc.request("a"), lambda: nc.subscribe("b")]
        for use in uses:

            async def try_it() -> None:
                await use()

            with pytest.raises(RuntimeError, match="belongs to another event loop"):
                other.run_until_complete(asyncio.wait_for(try_it(), 5.0))
        nc.publish("a", b"while none runs")
        assert home.run_until_complete(sub.next(timeout=5.0)).data == b"while none runs"
        home.run_until_complete(nc.close())
        with pytest.raises(midge.ConnectionClosedError):
            nc.publish("a")
        for loop in (home, other):
            loop.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_loop_is_closed() -> None:
    with midge.Server(port=0) as server:
        home = asyncio.new_event_loop()

        async def open_client() -> midge.Client:
            return await midge.connect(server.url)

        nc = home.run_until_complete(open_client())
        home.close()
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            nc.publish("a")
        del nc
        gc.collect()  # here, where it may say that it was not closed
