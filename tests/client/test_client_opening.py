"""Connecting: what a client says and accepts, and every way in which it fails. No attempt leaves a socket open."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import socket
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakeInProcessServer, FakeServer, Peer, Script, info, let_in, turns

import midge
from midge.client import attempt as attempt_module
from midge.client import states
from midge.client.hearing import Hearing
from midge.errors import (
    AuthorizationError,
    ConnectError,
    ConnectionClosedError,
    MidgeTimeoutError,
    RemoteProtocolError,
    ServerDisconnectError,
    ServerStartError,
)

connect_module = importlib.import_module("midge.client.connect")  # the package has the function by this name
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 0.05  # a timeout for what never comes


async def good(peer: Peer) -> None:
    await peer.greet()
    await peer.serve()


async def silent(peer: Peer) -> None:
    await peer.end()


async def fails(*urls: str, timeout: float | None = SOON, **options: Any) -> list[BaseException]:
    """Connect in vain; return what each attempt came to."""
    with pytest.raises(ConnectError) as raised:
        await midge.connect(urls, timeout=timeout, randomize=False, **options)
    assert [url for url, _ in raised.value.attempts] == list(urls)
    assert str(raised.value).startswith("could not connect: nats://127.0.0.1:")
    return [error for _, error in raised.value.attempts]


@pytest.fixture
def refusing() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"nats://127.0.0.1:{listener.getsockname()[1]}"


# Success


async def test_connect(loop_factory: LoopFactory) -> None:
    said: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        await peer.greet(server_name="S", max_payload=1000, client_id=7, client_ip="10.0.0.1")
        said.append(peer.connect)
        await peer.serve()

    async with FakeServer(script) as server:
        url = server.url.replace("//", "//u:hunter2@")
        nc = await midge.connect(url, name="me", echo=False)
        assert nc.is_connected and not nc.is_closed
        assert nc.connected_url == server.url and repr(nc) == f"<Client 'me' {server.url}>"
        assert (nc.server_info.server_name, nc.max_payload) == ("S", 1000)
        assert (nc.server_info.client_id, nc.server_info.client_ip) == (7, "10.0.0.1")
        assert nc.stats == midge.Stats(0, 0, 0, 0, 0, 0, 0)
        assert await nc.rtt() > 0
        await nc.close()
        assert nc.is_closed and not nc.is_connected and "closed" in repr(nc)
    assert (said[0]["user"], said[0]["pass"], said[0]["name"], said[0]["echo"], said[0]["headers"]) == ("u", "hunter2", "me", False, True)


async def test_a_block_drains_when_it_succeeds() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"PUB a 1", b"x")
        await peer.pong()
        await peer.pong()
        assert await peer.line() == b""

    async with FakeServer(script) as server:
        async with midge.connect(server.url) as nc:
            await nc.publish("a", b"x")
        assert nc.is_closed


async def test_a_block_closes_when_it_raises() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"PUB a 1", b"x")
        assert await peer.line() == b"", "no PING: nothing is drained"

    async with FakeServer(script) as server:
        with pytest.raises(KeyError):
            async with midge.connect(server.url) as nc:
                await nc.publish("a", b"x")
                raise KeyError
        assert nc.is_closed


async def test_a_client_is_a_block_too() -> None:
    async with FakeServer(good) as server:
        nc = await midge.connect(server.url)
        async with nc as same:
            assert same is nc
        assert nc.is_closed


async def test_the_first_server_that_lets_us_in_is_taken(refusing: str) -> None:
    async def locked(peer: Peer) -> None:
        peer.send(info(), b"-ERR 'Authorization Violation'\r\n")
        await peer.line()
        peer.close()

    async with FakeServer(silent) as mute, FakeServer(locked) as locked_server, FakeServer(good) as server, FakeServer(good) as never:
        urls = f"{refusing},{mute.url}", locked_server.url, f"{server.url}, {never.url}"
        async with midge.connect(urls, timeout=0.5, randomize=False) as nc:
            assert nc.connected_url == server.url
        assert not never._tasks


async def test_connecting_can_be_tried_again_but_succeeds_once(refusing: str) -> None:
    async def closes(peer: Peer) -> None:
        peer.close()

    async with FakeServer(closes, good) as server:
        connecting = midge.connect(server.url)
        with pytest.raises(ConnectError):
            await connecting
        nc = await connecting
        for attempt in (connecting, connecting.__aenter__()):
            with pytest.raises(RuntimeError, match="connected already"):
                await attempt
        assert nc.is_connected
        await nc.close()
        with pytest.raises(RuntimeError, match="connected already"):
            await connecting


async def test_two_cannot_open_the_same_connection() -> None:
    async with FakeServer(good) as server:
        connecting = midge.connect(server.url)
        first = asyncio.ensure_future(connecting)
        await turns(1)
        with pytest.raises(RuntimeError):
            await connecting
        await (await first).close()


async def test_a_connection_that_nobody_awaits_does_nothing() -> None:
    async with FakeServer(good) as server:
        with pytest.warns(RuntimeWarning, match="connect.. was never awaited"):
            midge.connect(server.url)
        await turns()
        assert not server._tasks


def test_connect_takes_every_option_and_passes_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = dict(inspect.signature(midge.connect).parameters)
    assert parameters.pop("servers").default == "nats://127.0.0.1:4222"
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        option.name: option.default for option in dataclasses.fields(midge.Options)
    }
    passed: dict[str, Any] = {}
    monkeypatch.setattr(connect_module, "Options", lambda **options: passed.update(options))
    monkeypatch.setattr(connect_module, "Client", lambda servers, options: servers)
    monkeypatch.setattr(connect_module, "Connecting", lambda client: client)
    given = {name: object() for name in parameters}
    assert connect_module.connect("nats://a", **given) == "nats://a"  # type: ignore[arg-type, comparison-overlap]
    assert passed == given


async def test_the_connection_of_a_resolved_name(monkeypatch: pytest.MonkeyPatch, refusing: str) -> None:
    """Every address of a name is tried: one of a family that this machine lacks, one that refuses, one that works."""
    async with FakeServer(good) as server:
        loop = asyncio.get_running_loop()

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            assert (host, port) == ("my.host", 4222)
            closed = int(refusing.rpartition(":")[2])
            tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            v4 = [(socket.AF_INET, *tcp, ("127.0.0.1", port)) for port in (closed, server.port)]
            return [(9999, *tcp, ("x", port)), *v4]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with midge.connect("my.host") as nc:
            assert nc.connected_url == "nats://my.host:4222"


async def test_localhost(loop_factory: LoopFactory) -> None:
    async with FakeServer(good) as server, midge.connect(f"localhost:{server.port}") as nc:
        assert nc.connected_url == f"nats://localhost:{server.port}"


async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeServer(good) as server:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", None)
        async with midge.connect(server.url):
            pass


# Failure


async def test_refused(loop_factory: LoopFactory, refusing: str) -> None:
    (error,) = await fails(refusing)
    assert isinstance(error, ConnectionRefusedError)


@pytest.mark.parametrize("host", ["a" * 70, "a..b"])
async def test_a_name_that_cannot_be_one(loop_factory: LoopFactory, host: str) -> None:
    async with FakeServer(good) as server:
        async with midge.connect([host, server.url]) as nc:
            assert nc.connected_url == server.url
    with pytest.raises(ConnectError):
        await midge.connect(host)


async def half(peer: Peer) -> None:
    peer.send(info()[:-9])
    await peer.end()


async def no_pong(peer: Peer) -> None:
    peer.send(info(), b"+OK\r\nPING\r\n")
    await peer.end()


@pytest.mark.parametrize("script", [silent, half, no_pong])
async def test_a_server_that_says_too_little(loop_factory: LoopFactory, script: Script) -> None:
    async with FakeServer(script) as server:
        (error,) = await fails(server.url)
        assert isinstance(error, MidgeTimeoutError) and str(error) == f"connecting: nothing came within {SOON} s"


async def test_a_server_that_refuses_and_does_not_close() -> None:
    server = FakeInProcessServer()
    server.ready.add_done_callback(lambda ready: ready.result().come(info(), b"-ERR 'Authorization Violation'\r\n"))
    with pytest.raises(ConnectError) as raised:
        await midge.connect(server, timeout=SOON)
    error = raised.value.attempts[0][1]
    assert isinstance(error, AuthorizationError) and error.text == "Authorization Violation"


@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_a_server_that_refuses_us(loop_factory: LoopFactory, leave: str) -> None:
    async def script(peer: Peer) -> None:
        peer.send(info(auth_required=True))
        await peer.line()
        await peer.expect(b"PING")
        peer.send(b"-ERR 'Authorization Violation'\r\n")
        await peer.writer.drain()
        getattr(peer, leave)()

    async with FakeServer(script) as server:
        (error,) = await fails(server.url, timeout=5)
        if leave == "close":  # a reset may overtake the reason
            assert isinstance(error, AuthorizationError) and isinstance(error, PermissionError)


async def test_a_server_that_is_full() -> None:
    async def script(peer: Peer) -> None:
        peer.send(info(), b"-ERR 'maximum connections exceeded'\r\n")
        peer.close()

    async with FakeServer(script) as server:
        (error,) = await fails(server.url, timeout=5)
        assert type(error) is ServerDisconnectError and error.text == "maximum connections exceeded"


@pytest.mark.parametrize(
    "said", [b"", info()[:20], info(), b"INFO x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"PONG\r\n", b"\x15\x03\x01\x00\x02"]
)
async def test_a_server_that_closes(loop_factory: LoopFactory, said: bytes) -> None:
    async def script(peer: Peer) -> None:
        peer.send(said)
        peer.close()

    async with FakeServer(script) as server:
        (error,) = await fails(server.url, timeout=5)
        assert isinstance(error, (ConnectionClosedError, RemoteProtocolError, ConnectionError)) and str(error)


async def test_a_server_that_requires_tls_gets_no_password() -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True))
        got.append(await peer.reader.read(5))
        peer.send(b"PING\r\n")
        got.append(await peer.reader.read())

    async with FakeServer(script) as server:
        (error,) = await fails(server.url, timeout=5, user="u", password="hunter2")
        assert isinstance(error, midge.TLSError) and "not TLS" in str(error)
    assert got[0][:2] == b"\x16\x03", "a TLS handshake"
    assert b"hunter2" not in got[1] and b"CONNECT" not in got[1]


async def test_a_refusal_that_does_not_keep_us_out_is_reported() -> None:
    async def script(peer: Peer) -> None:
        peer.send(info())
        await peer.line()
        await peer.line()
        peer.send(b"-ERR 'Odd'\r\nPONG\r\n")
        await peer.serve()

    errors: list[Exception] = []
    async with FakeServer(script) as server:
        async with midge.connect(server.url, error_callback=errors.append):
            pass
    assert [str(error) for error in errors] == ["the server said: Odd"]


async def test_open_and_lost_in_the_same_turn() -> None:
    errors: list[Exception] = []
    server = FakeInProcessServer()
    task = asyncio.ensure_future(midge.connect(server, error_callback=errors.append))
    link = await server.ready
    link.come(info())
    await turns()
    assert link.sent().endswith(b"PING\r\n") and link.owner is not None
    link.come(b"PONG\r\n")
    link.owner.link_lost(None)
    with pytest.raises(ConnectError, match="the server closed the connection") as raised:
        await task
    assert isinstance(raised.value.attempts[0][1], ConnectionClosedError)
    assert server.ready.result().closed and errors == []


async def test_a_server_in_this_process_that_does_not_run() -> None:
    with pytest.raises(ConnectError) as raised:
        await midge.connect(midge.Server(listen=False))
    assert isinstance(raised.value.attempts[0][1], ServerStartError)


async def test_a_socket_that_is_gone_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OSError("gone already")

    async with FakeServer(silent) as server:
        monkeypatch.setattr(attempt_module, "SocketLink", gone)
        (error,) = await fails(server.url, timeout=5)
        assert str(error) == "gone already"
        await server.accepted()


BAD_ARGUMENTS: list[dict[str, Any]] = [
    {"servers": "http://h"}, {"servers": []}, {"servers": 5}, {"timeout": 0}, {"inbox_prefix": "*"}, {"user": "u", "token": "t"},
    {"error_callback": "x"}, {"name": 5}, {"max_reconnects": -1}, {"retry_on_failed_connect": True, "max_reconnects": 0},
]  # fmt: skip


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=repr)
def test_what_makes_no_sense_is_refused_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        midge.connect(**arguments)
    traceback.StackSummary.extract(traceback.walk_tb(raised.value.__traceback__), capture_locals=True)  # has a repr of what was half made


# Cancelling


@pytest.mark.parametrize("script", [silent, half, no_pong])
async def test_cancelled_while_the_server_is_silent(loop_factory: LoopFactory, script: Script) -> None:
    reached = asyncio.Event()

    async def noticed(peer: Peer) -> None:
        reached.set()
        await script(peer)

    async with FakeServer(noticed) as server:
        task = asyncio.ensure_future(midge.connect(server.url))
        await reached.wait()
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("step", ["getaddrinfo", "sock_connect"])
async def test_cancelled_while_dialling(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()

    async def never(*_: Any, **__: Any) -> Any:
        reached.set()
        await loop.create_future()

    async with FakeServer(good) as server:
        monkeypatch.setattr(loop, step, never)
        task = asyncio.ensure_future(midge.connect(f"localhost:{server.port}"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server._tasks


async def test_cancelled_in_the_turn_in_which_it_opens() -> None:
    server = FakeInProcessServer()
    task = asyncio.ensure_future(midge.connect(server))
    link = await server.ready
    link.come(info(), b"PONG\r\n")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert link.closed


async def test_timed_out_from_outside() -> None:
    async with FakeServer(silent) as server:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(midge.connect(server.url, timeout=None), SOON)


async def test_every_turn_of_a_connect_can_be_cancelled() -> None:
    """Cancelled after any number of turns, connecting leaves nothing behind; uncancelled, it succeeds."""
    for count in range(40):
        server = FakeInProcessServer()
        server.ready.add_done_callback(lambda ready: let_in(ready.result()))
        task = asyncio.ensure_future(midge.connect(server))
        await turns(count)
        task.cancel()
        try:
            nc = await task
        except asyncio.CancelledError:
            assert not server.ready.done() or server.ready.result().closed
        else:
            await nc.close()
            assert server.ready.result().closed
            break
    else:
        raise AssertionError("it never connected")


async def test_the_safety_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours ends the connection; it does not leave one that nobody reads."""
    errors: list[Exception] = []
    server = FakeInProcessServer()
    task = asyncio.ensure_future(midge.connect(server, error_callback=errors.append, max_reconnects=0))
    link = await server.ready
    let_in(link)
    nc = await task

    def bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(Hearing._HEARD, states.Informed, bug)
    link.come(info())
    assert nc.is_closed and link.closed
    with pytest.raises(ConnectionClosedError) as raised:
        await nc.publish("a")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    await nc.close()
    assert [type(error) for error in errors] == [ConnectionClosedError]
