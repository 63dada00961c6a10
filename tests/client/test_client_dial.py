"""Dialling: an address that is silent does not take the time of the next one (RFC 8305), and no loser keeps a socket."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeServer, Peer, turns

import midge
from midge.client import dial as dial_module
from midge.client.dial import dial
from midge.client.servers import Address
from midge.errors import AuthorizationError, ConnectAuthorizationError, ConnectError

TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


async def good(peer: Peer) -> None:
    await peer.greet()
    await peer.serve()


@pytest.fixture
def hanging() -> Iterator[int]:
    """A port that neither accepts nor refuses: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for other in others:
            other.close()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, *TCP, ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_an_address_that_hangs_costs_a_moment_only(monkeypatch: pytest.MonkeyPatch, hanging: int) -> None:
    async with FakeServer(good) as server:
        resolve_to(monkeypatch, hanging, server.port)
        began = asyncio.get_running_loop().time()
        async with midge.connect("my.host", timeout=10):
            assert asyncio.get_running_loop().time() - began < 5


async def test_nobody_is_connected_to_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who dials a local port that nobody listens on, over and over, is one day given that port as his own."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()

    async def sock_connect(sock: socket.socket, target: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
        await connect(sock, target)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    with pytest.raises(ConnectionRefusedError):
        await dial(loop, Address(*free))
    socket.create_server(free).close()


async def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_module, "NEXT_ADDRESS_SECONDS", 1000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    async with FakeServer(good) as server:
        resolve_to(monkeypatch, closed, closed, server.port)
        async with midge.connect("my.host", timeout=10):
            pass


async def test_dialling_that_is_cancelled_or_in_vain_keeps_nothing(monkeypatch: pytest.MonkeyPatch, hanging: int) -> None:
    monkeypatch.setattr(dial_module, "NEXT_ADDRESS_SECONDS", 0.001)
    resolve_to(monkeypatch, hanging, hanging)
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(dial(loop, Address("my.host", 1)))
    while len(asyncio.all_tasks()) < 4:  # this one, the dialling, and one for each address
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    resolve_to(monkeypatch)
    with pytest.raises(OSError, match="has no address"):
        await dial(loop, Address("my.host", 1))


async def test_two_that_answer_at_once_leave_one_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loser has connected is closed; an unclosed socket fails the test."""
    monkeypatch.setattr(dial_module, "NEXT_ADDRESS_SECONDS", 0)
    async with FakeServer(Peer.end) as one, FakeServer(Peer.end) as two:
        resolve_to(monkeypatch, one.port, two.port)
        sock = await dial(asyncio.get_running_loop(), Address("my.host", 1))
        await turns()
        sock.close()
        await one.accepted()


def test_the_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found: list[Any] = [(six, 0, 0, 1), (six, 0, 0, 2), (six, 0, 0, 3), (four, 0, 0, 4)]
    assert [target[3] for target in dial_module._interleave(found, None)] == [1, 4, 2, 3]
    assert [target[3] for target in dial_module._interleave(found, list.reverse)] == [3, 4, 2, 1], "each family is shuffled by itself"


@pytest.mark.parametrize("randomize", [True, False])
async def test_the_addresses_of_a_name_are_tried_in_an_order_of_our_own(monkeypatch: pytest.MonkeyPatch, randomize: bool) -> None:
    """Else all clients of a place go to the same one, as the resolver sorts them."""
    monkeypatch.setattr(random, "shuffle", list.reverse)
    async with FakeServer(good) as one, FakeServer(good) as two:
        resolve_to(monkeypatch, one.port, two.port)
        async with midge.connect("my.host", randomize=randomize):
            assert [len(server._writers) for server in (one, two)] == ([0, 1] if randomize else [1, 0])


# What is raised


async def locked(peer: Peer) -> None:
    peer.send(b'INFO {"auth_required":true}\r\n')
    await peer.line()
    await peer.expect(b"PING")
    peer.send(b"-ERR 'Authorization Violation'\r\n")
    await peer.writer.drain()
    peer.close()


async def test_a_wrong_password_is_an_authorization_error() -> None:
    async with FakeServer(locked) as server:
        for kind in (AuthorizationError, ConnectError, PermissionError, ConnectionError):
            with pytest.raises(kind) as raised:
                await midge.connect(server.url, user="u", password="wrong")
            error = raised.value
            assert isinstance(error, ConnectAuthorizationError) and error.text == "Authorization Violation"
            assert type(error.__cause__) is AuthorizationError and error.attempts == [(server.url, error.__cause__)]


async def test_several_servers_are_several_causes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusing = f"nats://127.0.0.1:{listener.getsockname()[1]}"
    async with FakeServer(locked) as server, FakeServer(locked) as other:
        with pytest.raises(AuthorizationError):
            await midge.connect([server.url, other.url], randomize=False)
        with pytest.raises(ConnectError) as raised:
            await midge.connect([refusing, server.url], randomize=False)
    assert not isinstance(raised.value, AuthorizationError)
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert [type(error) for error in raised.value.__cause__.exceptions] == [ConnectionRefusedError, AuthorizationError]
