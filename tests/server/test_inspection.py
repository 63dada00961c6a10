"""server.inspection: what a test can see of an embedded server and do to it, from its own thread and in the server's loop."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw import Raw, until

import midge
from midge.errors import ServerStartError
from midge.server import inspection
from midge.server import server as server_module
from midge.server import session as session_module
from midge.server.server import Server

QUESTIONS = ["clients", "subscriptions", "counters", "reset", "refuse_connections"]


@pytest.fixture(autouse=True)
def no_early_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FIRST_PING", 1e6)


def test_clients_and_subscriptions() -> None:
    with Server(port=0) as server, Raw(server, name="one") as one, Raw(server) as two:
        one.sync(b"SUB a.* 1\r\nSUB b q 2\r\n")
        two.sync(b"PUB a.b 5\r\nhello\r\n")
        one.take(len(b"MSG a.b 1 5\r\nhello\r\n"))
        first, second = server.clients()
        assert (first.cid, first.name, first.subscriptions, first.out_msgs, first.out_bytes) == (1, "one", 2, 1, 5)
        assert (second.cid, second.name, second.subscriptions, second.in_msgs, second.in_bytes) == (2, "", 0, 1, 5)
        assert first.address == "{}:{}".format(*one.socket.getsockname()) and first.pending == 0
        assert first.rtt is not None and 0 <= first.rtt < 30 and 0 <= first.idle < 30
        assert [(sub.cid, sub.sid, sub.subject, sub.queue, sub.delivered) for sub in server.subscriptions()] == [
            (1, "1", "a.*", None, 1), (1, "2", "b", "q", 0),
        ]  # fmt: skip


def test_counters() -> None:
    with Server(port=0) as server:
        with Raw(server) as gone:
            gone.sync(b"SUB a 1\r\nPUB a 2\r\nhi\r\n")
            gone.send(b"FOO\r\n")
            gone.rest()
        with Raw(server) as here:
            here.sync(b"SUB a 1\r\n")
            found = server.counters()
        assert (found.connections, found.total_connections, found.subscriptions, found.slow_consumers, found.stale_connections) == (
            1, 2, 1, 0, 0,
        )  # fmt: skip
        assert (found.in_msgs, found.in_bytes, found.out_msgs, found.out_bytes) == (1, 2, 1, 2)


def test_waiting_for_subscriptions_from_a_thread() -> None:
    with Server(port=0) as server, Raw(server) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.wait_for_subscription, "a.b", 2, timeout=30.0)
        client.sync(b"SUB a.* 1\r\nSUB c 2\r\n")
        assert not waiting.done()
        client.sync(b"SUB a.b q 3\r\n")
        waiting.result(30)
        server.wait_for_subscription("a.b", timeout=0.0)
        with pytest.raises(midge.MidgeTimeoutError, match="waiting for 3 subscriptions to 'a.b'"):
            server.wait_for_subscription("a.b", 3, timeout=0.01)
        assert server._ask(lambda turns: turns.hub.on_subscribed) == []


def test_waiting_for_subscriptions_in_the_loop() -> None:
    async def main() -> None:
        async with Server(port=0) as server, midge.connect(server) as nc:
            with pytest.raises(RuntimeError, match="await server.subscribed"):
                server.wait_for_subscription("a")
            waiting = asyncio.ensure_future(server.subscribed("a", timeout=30.0))
            await asyncio.sleep(0)
            nc.subscribe("a")
            await waiting
            with pytest.raises(midge.MidgeTimeoutError):
                await server.subscribed("b", timeout=0.01)
            cancelled = asyncio.ensure_future(server.subscribed("b", timeout=None))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            while server.hub.on_subscribed:
                await asyncio.sleep(0)
            assert [info.subject for info in server.subscriptions()] == ["a"]

    asyncio.run(main())


def test_waiting_for_subscriptions_of_a_server_in_a_thread_from_a_coroutine() -> None:
    async def main(server: Server) -> None:
        async with midge.connect(server) as nc:
            waiting = asyncio.ensure_future(server.subscribed("a", timeout=30.0))
            await nc.subscribe("a")
            await waiting

    with Server(port=0) as server:
        asyncio.run(main(server))


def test_waiting_for_thousands_does_not_count_all_of_them_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def matches(pattern: str, subject: str) -> bool:
        nonlocal looks
        looks += 1
        return pattern == subject

    monkeypatch.setattr(inspection, "matches", matches)
    count = 1000
    with Server(port=0) as server, Raw(server) as client, ThreadPoolExecutor(1) as pool:
        client.sync(b"SUB a x\r\n")
        waiting = pool.submit(server.wait_for_subscription, "a", count, timeout=30.0)
        until(server, lambda: server.hub.on_subscribed)
        client.sync(b"UNSUB x\r\n" + b"".join(b"SUB a %d\r\n" % number for number in range(count - 1)))
        assert not waiting.done()
        client.sync(b"SUB a y\r\n")
        waiting.result(30)
    assert looks < 10 * count


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_who_waits_for_a_subscription_hears_that_the_server_was_stopped(timeout: float | None) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Server(port=0) as server:
            waiting = pool.submit(server.wait_for_subscription, "a", timeout=timeout)
            until(server, lambda: server.hub.on_subscribed)
        with pytest.raises(ServerStartError, match="was stopped"):
            waiting.result(30)


def test_a_server_that_is_stopped_while_it_tells_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is returned, and not that there is nobody left who needs to know that nobody waits any more."""
    tell = server_module.tell

    def stop_and_tell(loop: asyncio.AbstractEventLoop | None, call: Callable[[], None]) -> asyncio.AbstractEventLoop:
        if call.__name__.startswith("forget"):
            server.stop_thread()
        return tell(server._loop, call)

    monkeypatch.setattr(server_module, "tell", stop_and_tell)
    with Server(port=0) as server, Raw(server) as client:
        client.sync(b"SUB a 1\r\n")
        server.wait_for_subscription("a", timeout=30.0)
        assert not server.is_running
    with Server(port=0) as server, pytest.raises(midge.MidgeTimeoutError):
        server.wait_for_subscription("a", timeout=0.01)


def test_asking_a_server_whose_event_loop_does_not_run() -> None:
    """In the loop's own thread the answer would never come."""
    loop = asyncio.new_event_loop()
    server = Server(port=0)
    loop.run_until_complete(server.start())
    for ask_it in (server.counters, server.clients, lambda: server.wait_for_subscription("a")):
        with pytest.raises(ServerStartError, match="does not run"):
            ask_it()
    loop.run_until_complete(server.stop())
    loop.close()


@pytest.mark.parametrize("by", ["number", "name"])
def test_disconnecting_a_client(by: str) -> None:
    with Server(port=0) as server, Raw(server, name="victim") as victim, Raw(server, name="other") as other:
        victim.sync()
        other.sync()
        assert server.disconnect(victim.info["client_id"] if by == "number" else "victim") == 1
        assert victim.rest() == b"" and other.sync() == b""
        assert server.disconnect("victim") == server.disconnect(77) == 0
        assert [client.name for client in server.clients()] == ["other"]


def is_let_in(server: Server) -> bool:
    with socket.create_connection((server.host, server.port)) as client:
        return client.recv(4096).startswith(b"INFO ")


def test_refusing_connections() -> None:
    with Server(port=0) as server:
        server.refuse_connections(2)
        assert [is_let_in(server) for _ in range(4)] == [False, False, True, True]
        server.refuse_connections()
        assert [is_let_in(server) for _ in range(3)] == [False] * 3
        server.refuse_connections(0)
        assert is_let_in(server)


def test_refusing_clients_of_the_same_process() -> None:
    async def main() -> None:
        async with Server(listen=False) as server:
            server.refuse_connections(1)
            with pytest.raises(midge.ConnectError):
                await midge.connect(server)
            async with midge.connect(server) as nc:
                await nc.flush()

    asyncio.run(main())


def test_delay() -> None:
    with Server(port=0) as server, Raw(server) as client:
        client.sync(b"SUB a 1\r\n")
        server.set_delay(0.05)
        for _ in range(2):
            start = time.monotonic()
            assert client.sync(b"PUB a 2\r\nhi\r\n") == b"MSG a 1 2\r\nhi\r\n"
            assert time.monotonic() - start >= 0.045, "an event loop may count in milliseconds"
        server.set_delay(0)
        assert client.sync() == b""


def test_a_client_that_goes_while_it_is_held_back() -> None:
    with Server(port=0) as server, Raw(server) as client:
        client.sync()
        server.set_delay(0.02)
        client.send(b"PUB a 0\r\n\r\n")
        while server.clients()[0].idle < 0 or server._ask(lambda _: all(each._chunk is None for each in server._connections)):
            pass
        server.reset()
        assert client.rest() == b"" and server.counters().in_msgs == 0
        with Raw(server) as other:
            assert other.sync() == b""


def test_reset() -> None:
    with Server(port=0) as server, Raw(server) as one, Raw(server) as two:
        one.sync(b"SUB a 1\r\n")
        two.sync(b"SUB a q 1\r\n")
        server.refuse_connections()
        server.set_delay(60)
        server.reset()
        assert one.rest() == two.rest() == b""
        assert server.clients() == server.subscriptions() == []
        with Raw(server) as fresh:
            assert fresh.sync() == b""


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_server_that_does_not_run_has_nothing_to_see(name: str) -> None:
    server = Server(port=0)
    with pytest.raises(ServerStartError, match="not running"):
        getattr(server, name)()
    with server:
        getattr(server, name)()
    with pytest.raises(ServerStartError, match="not running"):
        getattr(server, name)()


def test_from_many_threads_at_once() -> None:
    with Server(port=0) as server, Raw(server) as client:
        client.sync(b"SUB a 1\r\n")
        results: list[Any] = []

        def look() -> None:
            for _ in range(100):
                results.append((len(server.clients()), len(server.subscriptions())))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(results) == {(1, 1)} and len(results) == 400
