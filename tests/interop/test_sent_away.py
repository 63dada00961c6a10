"""Lame duck mode of both servers, heard by both clients: they are told, and go to another server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import nats
import pytest
from nodes import Node, started
from servers import need_nats_server

import midge
from midge.events import LameDuck

Place = tuple[str, str, Callable[[], None]]  # the server that goes, the other, and what sends it away


@contextmanager
def real() -> Iterator[Place]:
    need_nats_server()
    old, new = Node('lame_duck_duration: "30s"\nlame_duck_grace_period: "50ms"'), Node()
    with started(old, new):
        yield old.url, new.url, old.lame_duck


@contextmanager
def ours() -> Iterator[Place]:
    with midge.Server(port=0, lame_duck_duration=30.0, lame_duck_grace_period=0.05) as old, midge.Server(port=0) as new:

        def send_away() -> None:
            assert old._loop is not None
            asyncio.run_coroutine_threadsafe(old.lame_duck(), old._loop)

        yield old.url, new.url, send_away


@pytest.mark.parametrize("servers", [real, ours])
async def test_clients_are_told_and_go_to_the_other_server(servers: Callable[[], AbstractContextManager[Place]]) -> None:
    with servers() as (old, new, send_away):
        told: asyncio.Queue[str] = asyncio.Queue()

        async def nats_py_is_told() -> None:
            told.put_nowait("nats-py")

        def midge_is_told(event: object) -> None:
            if isinstance(event, LameDuck):
                told.put_nowait("midge")

        moved = asyncio.Event()

        async def has_moved() -> None:
            moved.set()

        theirs = await nats.connect(
            [old, new], dont_randomize=True, lame_duck_mode_cb=nats_py_is_told, reconnected_cb=has_moved, reconnect_time_wait=0.01,
            connect_timeout=20,
        )  # fmt: skip
        mine = await midge.connect([old, new], randomize=False, event_callback=midge_is_told)
        other = await midge.connect(new)
        for client in (theirs, mine):
            assert client.connected_url is not None
        await theirs.flush()
        await mine.flush()
        send_away()
        async with asyncio.timeout(30):
            assert {await told.get(), await told.get()} == {"midge", "nats-py"}
            await moved.wait()
            sub = await other.subscribe("here")
            for name, client in (("theirs", theirs), ("mine", mine)):
                seen = ""
                while seen != name:  # until it has moved
                    await client.publish("here", name.encode())
                    try:
                        seen = (await sub.next(0.2)).data.decode()
                    except TimeoutError:
                        pass
        await mine.close()
        await other.close()
        await theirs.close()
