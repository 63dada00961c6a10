"""Connecting again, with real servers: one that is killed and started again, and a cluster one of whose nodes shuts down."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from nodes import nats_cluster, nats_node
from servers import find_nats_server

import midge
from midge.client import migration as migration_module

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="nats-server is not installed")


async def until_open(nc: midge.Client) -> None:
    while nc.is_reconnecting:
        await nc._connection.changed.wait()


async def start_again(stack: ExitStack, port: str) -> None:
    """Start a server on this port, without holding up the event loop."""
    await asyncio.to_thread(stack.enter_context, nats_node("", "--port", port))


async def test_a_server_that_is_killed_and_started_again() -> None:
    """Every publish that was accepted while it was away arrives, in order, and it is found soon after it listens."""
    with ExitStack() as stack:
        node = ExitStack()
        url = node.enter_context(nats_node())
        port = url.rsplit(":", 1)[1]
        async with midge.connect(url) as nc:
            sub = await nc.subscribe("orders.*")
            sent, took = 0, []
            for _ in range(5):
                node.close()  # by SIGKILL
                while nc.is_connected:
                    await asyncio.sleep(0.001)
                asked = asyncio.ensure_future(nc.request("nobody", timeout=20))
                for _ in range(100):
                    await nc.publish("orders.new", b"%d" % sent)
                    sent += 1
                node = ExitStack()
                stack.callback(node.close)
                await start_again(node, port)
                before = time.perf_counter()
                await until_open(nc)
                took.append(time.perf_counter() - before)
                with pytest.raises(midge.NoRespondersError):
                    await asked
                await nc.flush()
            assert [int((await sub.next(5)).data) for _ in range(sent)] == list(range(sent))
            assert nc.stats.reconnects == 5
            assert sorted(took)[2] < 0.1, took


async def published(nc: midge.Client, seconds: float) -> AsyncIterator[int]:
    """Publish numbers for so long, some thousand a second."""
    number = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(20):
            await nc.publish("work.item", b"%d" % number)
            number += 1
        await asyncio.sleep(0.002)
        yield number


async def test_a_lame_duck_is_left_without_a_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Members of a queue group move to another node under load: every message is delivered, and each once."""
    monkeypatch.setattr(migration_module, "SPREAD_SECONDS", 0.2)
    with nats_cluster(2, tmp_path) as urls:
        async with midge.connect(urls[1], randomize=False, ignore_discovered=True) as publisher:
            async with midge.connect(urls, randomize=False, migrate=True) as member:
                assert member.connected_url == urls[0]
                got: list[int] = []
                member.subscribe("work.*", queue="q", callback=lambda message: got.append(int(message.data)))
                await member.flush()
                while True:  # until the nodes have met and told each other
                    try:
                        await publisher.request("work.item", b"-1", timeout=0.1)
                    except midge.NoRespondersError:
                        continue
                    except midge.MidgeTimeoutError:
                        break
                sent = 0
                async for number in published(publisher, 2.0):
                    if sent < 1000 <= number:
                        os.kill(int((tmp_path / "node0").read_text()), signal.SIGUSR2)
                    sent = number
                await publisher.flush()
                while len([number for number in got if number >= 0]) < sent:
                    await asyncio.wait_for(member.flush(), 10)
                assert sorted(number for number in got if number >= 0) == list(range(sent))
                assert member.connected_url == urls[1] and member.stats.reconnects == 1
