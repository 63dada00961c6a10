"""How a client finds a server: at once, then with patience, where the application says, as long as there is hope."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeServer, Peer, Script, info, is_waiting, linked, turns
from test_client_reconnect import behind_connect

import midge
from midge import events
from midge.client import states
from midge.client.attempt import Attempt
from midge.client.connection import Connection
from midge.client.handshake import ServerInfo
from midge.client.pool import Server, ServerPool
from midge.client.servers import Address
from midge.errors import AuthorizationError, ConnectError, ConnectionClosedError, ServerError

SOON = 0.05


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[events.Event]]:
    """The events that were emitted, save those of subscriptions."""
    seen: list[events.Event] = []
    monkeypatch.setattr(Connection, "emit", lambda self, event: None if isinstance(event, events.SubscriptionEnded) else seen.append(event))
    yield seen


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The bounds between which waits were drawn; nobody really waits."""
    bounds: list[float] = []

    def uniform(least: float, most: float) -> float:
        assert least == 0
        bounds.append(most)
        return 0.0

    monkeypatch.setattr(random, "uniform", uniform)
    return bounds


async def good(peer: Peer) -> None:
    await peer.greet()
    await peer.serve()


async def test_the_first_attempt_follows_at_once_and_then_it_is_patient(bounds: list[float]) -> None:
    nc, server = await linked(reconnect_wait=0.1, reconnect_max_wait=1)
    server.is_down = True
    nc._connection.search._linked_at -= 10  # a link that stood for a while
    server.lose()
    await turns(1)
    assert server.refused == 1 and bounds == []
    await server.until(lambda: server.refused > 14)
    assert bounds[:14] == [0.1] * 10 + [0.2, 0.4, 0.8, 1]
    server.is_down = False
    await server.link(2)
    assert nc.is_connected
    await nc.close()


async def test_a_server_that_lets_in_and_drops_at_once_is_not_asked_in_a_circle(bounds: list[float]) -> None:
    nc, server = await linked()
    for i in range(2, 14):
        server.lose()
        await server.link(i)
    assert bounds == [0.1] * 10 + [0.2], "but the first time at once"
    await nc.close()


async def test_another_server_is_taken_without_a_wait(bounds: list[float]) -> None:
    async def short(peer: Peer) -> None:
        await peer.greet()
        peer.close()

    async with FakeServer(short) as one, FakeServer(good) as other:
        nc = await midge.connect([one.url, other.url], randomize=False)
        while nc.connected_url != other.url:
            await nc._connection.changed.wait()
        assert bounds == [] and nc.servers == (one.url, other.url)
        await nc.close()


async def test_a_server_that_is_back_is_found_within_a_tenth_of_a_second() -> None:
    """Down for a while, as when it is restarted; five times."""
    took = []
    for _ in range(5):
        nc, server = await linked()
        server.is_down = True
        server.lose()
        await server.until(lambda server=server: server.refused > 3)  # type: ignore[misc]
        server.is_down = False
        before = asyncio.get_running_loop().time()
        await server.link(2)
        took.append(asyncio.get_running_loop().time() - before)
        await nc.close()
    assert sorted(took)[2] < 0.1, took


async def test_servers_that_are_used_up(seen: list[events.Event]) -> None:
    async def short(peer: Peer) -> None:
        await peer.greet()
        server._server.close()
        peer.close()

    async with FakeServer(short) as server, FakeServer(good) as other:
        nc = await midge.connect([server.url, other.url], randomize=False, max_reconnects=1, reconnect_wait=0.001)
        while nc.connected_url != other.url:
            await nc._connection.changed.wait()
        other._server.close()
        other._writers[0].close()
        with pytest.raises(ConnectionClosedError) as raised:
            await nc.subscribe("a").next(5)
        cause = raised.value.__cause__
        assert isinstance(cause, ConnectError) and {url for url, _ in cause.attempts} == {server.url, other.url}
        assert nc.servers == () and nc.is_closed
        await nc.close()


# Refusals


def refuses(*texts: str) -> Any:
    """A script that refuses to let a client in; the last text again and again."""
    left = list(texts)

    async def script(peer: Peer) -> None:
        text = left.pop(0) if len(left) > 1 else left[0]
        peer.send(info())
        await peer.line()
        peer.send(f"-ERR '{text}'\r\n".encode())
        peer.close()

    return script


def expires(text: str) -> Any:
    async def script(peer: Peer) -> None:
        await peer.greet()
        peer.send(f"-ERR '{text}'\r\n".encode())
        peer.close()

    return script


@pytest.mark.parametrize("text", ["Authorization Violation", "User Authentication Expired", "Account Authentication Expired"])
async def test_the_same_refusal_twice_in_a_row_is_the_end(text: str, seen: list[events.Event]) -> None:
    async with FakeServer(expires("User Authentication Revoked"), refuses(text)) as server:
        nc = await midge.connect(server.url, reconnect_wait=0.001)
        with pytest.raises(ConnectionClosedError) as raised:
            await nc.subscribe("a").next(10)
        assert isinstance(raised.value.__cause__, AuthorizationError) and raised.value.__cause__.text == text
        assert len(server._writers) == 3 and nc.is_closed
        await nc.close()
    assert [event.kind for event in seen] == ["connected", "disconnected", "reconnect_failed", "reconnect_failed", "closed"]


async def test_expired_and_refused_in_the_same_words_is_the_end() -> None:
    async with FakeServer(expires("User Authentication Expired"), refuses("User Authentication Expired")) as server:
        nc = await midge.connect(server.url, reconnect_wait=0.001)
        with pytest.raises(ConnectionClosedError, match="Expired"):
            await nc.subscribe("a").next(10)
        assert len(server._writers) == 2
        await nc.close()


@pytest.mark.parametrize(
    "texts",
    [
        ["Authorization Violation", "User Authentication Expired", "Authorization Violation"],
        ["Authentication Timeout"] * 3,
        ["Brand New"] * 3,
        ["maximum connections exceeded"] * 3,
        ["Authorization Violation", "maximum connections exceeded", "Authorization Violation"],
    ],
)
async def test_other_refusals_are_not(texts: list[str]) -> None:
    scripts = [refuses(text) for text in texts]
    async with FakeServer(expires("User Authentication Expired"), *scripts, good) as server:
        async with midge.connect(server.url, reconnect_wait=0.001) as nc:
            while nc.stats.reconnects == 0:
                await nc._connection.changed.wait()
            await nc.flush()
            assert len(server._writers) == 5


async def test_an_unknown_text_does_not_end_it() -> None:
    errors: list[Exception] = []
    async with FakeServer(expires("Brand New"), expires("Brand New"), good) as server:
        async with midge.connect(server.url, error_callback=errors.append, reconnect_wait=0.001) as nc:
            while nc.stats.reconnects < 2:
                await nc._connection.changed.wait()
            await nc.flush()
    assert sum(isinstance(error, ServerError) for error in errors) == 2


# Stale


async def test_a_server_that_is_silent_is_left() -> None:
    async def silent(peer: Peer) -> None:
        await peer.greet()
        await peer.end()

    async with FakeServer(silent, good) as server:
        async with midge.connect(server.url, ping_interval=0.01, max_pings_out=2) as nc:
            sub = await nc.subscribe("a")
            assert nc.stats.reconnects == 1 and not sub.is_closed


async def test_an_attempt_takes_no_longer_than_its_timeout(seen: list[events.Event]) -> None:
    async def mute(peer: Peer) -> None:
        await peer.end()

    async def short(peer: Peer) -> None:
        await peer.greet()
        peer.close()

    async with FakeServer(short, mute, good) as server:
        async with midge.connect(server.url, timeout=SOON) as nc:
            while nc.stats.reconnects == 0:
                await nc._connection.changed.wait()
    failed = next(event for event in seen if isinstance(event, events.ReconnectFailed))
    assert isinstance(failed.error, TimeoutError) and failed.url == server.url


# The first link


async def test_a_client_without_a_first_server(seen: list[events.Event]) -> None:
    nc, server = await linked(max_reconnects=0)
    await nc.close()
    seen.clear()
    server.is_down = True
    nc = await midge.connect(server, retry_on_failed_connect=True)
    assert nc.is_reconnecting and nc.status == "reconnecting" and nc.server_info.server_id == ""
    nc.subscribe("a")
    await nc.publish("b", b"x")
    with pytest.raises(midge.MidgeTimeoutError):
        await nc.request("svc", timeout=SOON)
    server.is_down = False
    link = await server.link(2)
    lines = behind_connect(link.sent()).split(b"\r\n")
    assert lines[0].startswith(b"SUB _INBOX.") and lines[1:4] == [b"SUB a 1", b"PUB b 1", b"x"]
    assert nc.stats.reconnects == 0 and nc.is_connected
    assert [event.kind for event in seen if not isinstance(event, events.ReconnectFailed)] == ["connected"]
    await nc.close()


@pytest.mark.parametrize("options", [{}, {"max_reconnects": 2}])
async def test_a_first_server_is_needed_unless_told_otherwise(options: dict[str, Any]) -> None:
    nc, server = await linked()
    await nc.close()
    server.is_down = True
    with pytest.raises(ConnectError, match="down"):
        await midge.connect(server, **options)


async def test_a_client_that_never_finds_a_server() -> None:
    nc, server = await linked()
    await nc.close()
    server.is_down = True
    nc = await midge.connect(server, retry_on_failed_connect=True, max_reconnects=2, reconnect_wait=0.001)
    with pytest.raises(ConnectionClosedError, match="down"):
        await nc.flush()
    assert nc.is_closed
    await nc.close()


@pytest.mark.parametrize("how", ["close", "drain"])
async def test_closing_a_client_that_has_no_server_yet(how: str) -> None:
    nc, server = await linked()
    await nc.close()
    server.is_down = True
    nc = await midge.connect(server, retry_on_failed_connect=True, drain_timeout=SOON)
    if how == "drain":
        nc.publish("a", b"x")
        with pytest.raises(midge.MidgeTimeoutError):
            await nc.drain()
    else:
        await nc.close()
    assert nc.is_closed and asyncio.all_tasks() == {asyncio.current_task()}


# On demand


async def test_reconnecting_on_demand(seen: list[events.Event], bounds: list[float]) -> None:
    nc, server = await linked()
    sub = nc.subscribe("a")
    server.links[0].takes = False
    nc.publish("b", b"kept")
    await nc.reconnect()
    assert nc.is_connected and nc.stats.reconnects == 1 and not sub.is_closed
    await turns()
    assert behind_connect(server.links[1].sent()) == b"SUB a 1\r\nPUB b 4\r\nkept\r\n"
    for _ in range(20):
        await nc.reconnect()
    assert bounds == [], "it never waits"
    lost = [event for event in seen if isinstance(event, events.Disconnected)]
    assert len(lost) == 21 and {event.error for event in lost} == {None}
    await nc.close()
    assert all(link.closed for link in server.links)
    with pytest.raises(ConnectionClosedError):
        await nc.reconnect()


async def test_who_cannot_wait() -> None:
    nc, server = await linked(reconnect_wait=3600, reconnect_max_wait=3600, max_reconnects=3)
    server.is_down = True
    server.lose()
    await server.until(lambda: server.refused > 0)
    demands = [asyncio.ensure_future(nc.reconnect()) for _ in range(5)]
    await turns()
    assert server.refused == 2 and not any(task.done() for task in demands)
    assert nc._connection.pool.servers()[0].failures == 1, "what was demanded is not counted"
    server.is_down = False
    await nc.reconnect()
    await asyncio.gather(*demands)
    assert nc.is_connected
    await nc.close()


# What the application says


async def answer_later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_delay_can_be_chosen(is_async: bool, bounds: list[float]) -> None:
    asked: list[int] = []

    def delay(count: int) -> Any:
        asked.append(count)
        return answer_later(0) if is_async else 0

    nc, server = await linked(reconnect_delay=delay)
    server.is_down = True
    nc._connection.search._linked_at -= 10
    server.lose()
    await server.until(lambda: server.refused > 4)
    assert asked[:4] == [1, 2, 3, 4] and bounds == []
    await nc.close()


@pytest.mark.parametrize("delay", [ValueError("no"), "soon", -1, float("nan"), None, asyncio.CancelledError()])
async def test_a_delay_that_makes_no_sense(delay: Any, bounds: list[float]) -> None:
    errors: list[Exception] = []

    async def choose(count: int) -> Any:
        if isinstance(delay, BaseException):
            raise delay
        return delay

    nc, server = await linked(reconnect_delay=choose, error_callback=errors.append)
    server.is_down = True
    server.lose()
    await server.until(lambda: server.refused > 2)
    assert len(bounds) >= 2 and not nc.is_closed
    await nc.close()
    assert len(errors) >= 2 or delay is None


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_server_can_be_chosen(is_async: bool, bounds: list[float]) -> None:
    asked: list[tuple[list[str], ServerInfo | None]] = []

    async def short(peer: Peer) -> None:
        await peer.greet(server_id="FIRST")
        peer.close()

    async with FakeServer(short) as one, FakeServer(good) as two, FakeServer(good) as three:
        answers = [(three.url, 0.0)]

        def choose(servers: list[str], last: ServerInfo | None) -> Any:
            asked.append((servers, last))
            return answer_later(answers[0]) if is_async else answers[0]

        nc = await midge.connect([one.url, two.url, three.url], randomize=False, choose_server=choose)
        while nc.connected_url != three.url:
            await nc._connection.changed.wait()
        servers, last = asked[0]
        assert sorted(servers) == sorted([one.url, two.url, three.url]) and last is not None and last.server_id == "FIRST"
        answers[0] = (None, 0.0)  # type: ignore[assignment]
        await nc.reconnect()
        assert nc.connected_url == two.url and bounds == []
        await nc.close()


@pytest.mark.parametrize("choice", [ValueError("no"), ("nats://nobody:1", 0), ("x",), 3, (None, "soon"), (None, -1)])
async def test_a_choice_that_makes_no_sense(choice: Any, bounds: list[float]) -> None:
    errors: list[Exception] = []

    def choose(servers: list[str], last: ServerInfo | None) -> Any:
        if isinstance(choice, Exception):
            raise choice
        return choice

    nc, server = await linked(choose_server=choose, error_callback=errors.append)
    server.lose()
    await server.link(2)
    assert nc.is_connected
    await nc.close()
    assert len(errors) >= 2


async def test_a_choice_that_closes_the_client() -> None:
    nc, server = await linked()

    async def choose(servers: list[str], last: ServerInfo | None) -> Any:
        await nc.close()
        return None, 0

    object.__setattr__(nc._options, "choose_server", choose)
    server.lose()
    while not nc.is_closed:
        await asyncio.sleep(0)
    await nc.close()
    assert len(server.links) == 1 and asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_bug_in_the_search_does_not_leave_a_client_that_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    nc, server = await linked()
    wait = asyncio.ensure_future(nc.subscribe("a").next())

    def bug(self: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("midge.client.pool.ServerPool.next", bug)
    server.lose()
    with pytest.raises(ConnectionClosedError, match="a bug"):
        await wait
    await nc.close()


# Discovery


async def test_servers_that_are_discovered(seen: list[events.Event]) -> None:
    go = asyncio.Event()

    async def tells(peer: Peer) -> None:
        await peer.greet(connect_urls=[f"127.0.0.1:{other.port}", "10.0.0.1:4222"])
        await go.wait()
        peer.send(info(connect_urls=[f"127.0.0.1:{other.port}"]))
        peer.close()

    async with FakeServer(good) as other, FakeServer(tells) as server:
        async with midge.connect(server.url) as nc:
            assert nc.servers[0] == server.url
            assert sorted(nc.discovered_servers) == sorted([other.url, "nats://10.0.0.1:4222"])
            go.set()
            while nc.connected_url != other.url:
                await nc._connection.changed.wait()
            await nc.flush()
            assert nc.discovered_servers == (other.url,)
            nc.set_servers([server.url])
            assert nc.servers == (server.url,) and nc.connected_url == other.url
            with pytest.raises(ValueError, match="no server given"):
                nc.set_servers([])
    found = [event for event in seen if isinstance(event, events.ServersDiscovered)]
    assert len(found) == 1 and sorted(found[0].urls) == sorted([other.url, "nats://10.0.0.1:4222"])


async def test_a_flood_of_infos_is_read_once_for_each_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a thousand names takes longer than parsing their INFO: a server cannot hold up the event loop by repeating them."""
    learnt: list[list[str]] = []

    def learn(pool: ServerPool, places: list[str], origin: Address) -> tuple[str, ...]:
        learnt.append(places)
        return ()

    async def tells(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"PING")
        peer.send(*(info(connect_urls=[f"10.0.0.{number}:4222"]) for number in range(200)), b"PONG\r\n")
        await peer.serve()

    monkeypatch.setattr(ServerPool, "learn", learn)
    async with FakeServer(tells) as server, midge.connect(server.url) as nc:
        await nc.flush()
        assert learnt[-1] == ["10.0.0.199:4222"] and len(learnt) < 50


async def test_servers_that_are_discovered_and_ignored() -> None:
    async def tells(peer: Peer) -> None:
        await peer.greet(connect_urls=["10.0.0.1:4222"])
        await peer.serve()

    async with FakeServer(tells) as server, midge.connect(server.url, ignore_discovered=True) as nc:
        assert nc.servers == (server.url,) and nc.discovered_servers == ()


async def test_waiting_for_a_link_has_no_end_of_its_own() -> None:
    nc, server = await linked()
    server.is_down = True
    server.lose()
    task = asyncio.ensure_future(nc.flush(None))
    await server.until(lambda: server.refused > 3)
    assert await is_waiting(task)
    server.is_down = False
    await task
    await nc.close()


async def tells_nothing(peer: Peer) -> None:
    await peer.end()


async def tells_nonsense(peer: Peer) -> None:
    peer.send(b"INFO {]\r\n")
    await peer.end()


async def has_no_tls(peer: Peer) -> None:
    peer.send(info(tls_required=True))
    await peer.reader.read(5)
    peer.send(b"nonsense")
    peer.close()


async def leaves(peer: Peer) -> None:
    peer.close()


@pytest.mark.parametrize("script", [tells_nothing, tells_nonsense, has_no_tls, leaves])
async def test_the_error_of_an_attempt_does_not_hold_what_the_attempt_was_made_of(script: Script, seen: list[events.Event]) -> None:
    """A loop over events may be slow, and an outage long: a thousand links with their buffers are a gigabyte."""
    async with FakeServer(good, *[script] * 20) as server:
        nc = await midge.connect(server.url, timeout=0.25, reconnect_delay=lambda passes: 0)
        drivers = weakref.WeakSet([nc._connection.driver])
        new_attempt = nc._connection.new_attempt

        def noting(tried: Server) -> Attempt:
            attempt = new_attempt(tried)
            drivers.add(attempt._driver)
            return attempt

        nc._connection.new_attempt = noting  # type: ignore[method-assign]
        nc._connection.happen(states.Event.LOST, ServerError("x"))
        while sum(isinstance(event, events.ReconnectFailed) for event in seen) < 4:
            await asyncio.sleep(0.001)
        await nc.close()
        gc.collect()
        assert len(drivers) <= 2, seen


@pytest.mark.parametrize("wait", ["request", "flush"])
async def test_who_waits_in_vain_without_a_connection_is_told_so(wait: str) -> None:
    with socket.socket() as bound:  # and not listening: whoever comes is refused
        bound.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{bound.getsockname()[1]}"
        nc = await midge.connect(url, retry_on_failed_connect=True)
        reason = rf"there was no connection \(the last attempt, {url}: .*Connect call failed"
        with pytest.raises(midge.MidgeTimeoutError, match=reason) as raised:
            await (nc.request("a", timeout=0.01) if wait == "request" else nc.flush(timeout=0.01))
        assert "within 0.01 s" in str(raised.value)
        await nc.close()
