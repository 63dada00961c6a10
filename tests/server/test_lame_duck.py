"""Lame duck mode: who is told, who may come, and when clients are closed."""

import asyncio
import json
import time

import pytest
from monitoring import get
from raw import Raw, until

import midge
from midge.errors import ServerStartError
from midge.server.lame_duck import LEAST, LONGEST_GAP, SHORTEST_GAP, pace
from midge.server.server import Server

SOON = {"lame_duck_duration": 0.3, "lame_duck_grace_period": 0.05}


@pytest.mark.parametrize(
    ("seconds", "clients", "gap", "batch"),
    [
        (110, 1, LONGEST_GAP, 1), (110, 1000, 0.11, 1), (110, 110_000, 0.001, 1), (1, 10_000, SHORTEST_GAP, 10),
        (0, 4, LEAST / 4, 1), (-5, 1, LEAST, 1), (1e-9, 10, SHORTEST_GAP, 10_000_000),
    ],
)  # fmt: skip
def test_the_pace(seconds: float, clients: int, gap: float, batch: int) -> None:
    assert pace(seconds, clients) == (pytest.approx(gap), pytest.approx(batch, rel=0.2))


async def test_nobody_there() -> None:
    server = Server(port=0)
    async with server:
        begun = time.monotonic()
        await server.lame_duck()
        assert not server.is_running and time.monotonic() - begun < 5
    await server.lame_duck()  # it does nothing where the server does not run


def test_who_is_told_and_when_they_are_closed() -> None:
    with Server(port=0, http_port=0, **SOON) as server:
        new, old, silent = Raw(server, protocol=1), Raw(server, protocol=0), Raw(server, protocol=1)
        with new, old, silent:
            new.sync()
            new.sync()
            old.sync()
            until(server, lambda: len(server.hub.sessions) == 3)
            assert server._loop is not None
            done = asyncio.run_coroutine_threadsafe(server.lame_duck(), server._loop)
            told = json.loads(new.line()[5:])
            assert told.pop("ldm") is True and told == {name: new.info[name] for name in told}
            assert server.monitoring_url is not None
            health = get(server.monitoring_url, "/healthz")
            assert (health.status, health.json()) == (
                500,
                {"status": "error", "error": "failed to be ready for connections after 1ms: server"},
            )
            with pytest.raises(ConnectionRefusedError):
                Raw(server)
            again = asyncio.run_coroutine_threadsafe(server.lame_duck(), server._loop)
            assert [old.rest(), new.rest()] == [b"", b""]
            assert b"ldm" not in silent.rest()
            done.result(20)
            again.result(20)
            assert not server.is_running


async def test_a_client_in_the_same_process_is_let_in_no_more() -> None:
    async with Server(listen=False, lame_duck_duration=30.0) as server:
        client = await midge.connect(server, max_reconnects=0)
        task = asyncio.create_task(server.lame_duck())
        await client.flush()
        with pytest.raises(midge.MidgeError):
            await midge.connect(server, timeout=0.2)
        await server.stop()
        await task
        await client.close()


async def test_stop_cuts_it_short() -> None:
    async with Server(port=0, lame_duck_duration=3600.0, lame_duck_grace_period=1800.0) as server:
        client = await midge.connect(server.url, max_reconnects=0)
        task = asyncio.create_task(server.lame_duck())
        await client.flush()
        await server.stop()
        await task
        assert not server.is_running
        await client.close()


def test_in_a_thread() -> None:
    server = Server(port=0, **SOON)
    with server:
        with Raw(server) as client:
            client.sync()
            server.lame_duck_thread()
            assert client.rest() == b"" and not server.is_running
    server.lame_duck_thread()


async def test_in_another_loop() -> None:
    with Server(port=0) as server:
        with pytest.raises(RuntimeError, match="lame_duck_thread"):
            await server.lame_duck()


async def test_a_client_goes_to_another_server_when_it_is_told() -> None:
    async with Server(port=0, lame_duck_duration=60.0, lame_duck_grace_period=0.0) as one, Server(port=0) as two:
        async with midge.connect([one.url, two.url], randomize=False) as client:
            sub = await client.subscribe("a")
            await one.lame_duck()
            await two.subscribed("a")
            await client.publish("a", b"there")
            assert (await sub.next(10.0)).data == b"there"


def test_it_can_start_again() -> None:
    server = Server(port=0, **SOON)
    for _ in range(2):
        with server, Raw(server) as client:
            client.sync()
            server.lame_duck_thread()
    with pytest.raises(ServerStartError):
        server.clients()
