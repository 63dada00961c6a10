"""Snapshots on their way out of a server that goes away, or sends more than was asked for."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from processes import Spawn

import midge
from midge.cli import snapshot as module
from midge.cli.jetstream import opened
from midge.cli.snapshot import Snapshot
from midge.cli.stream_digest import digest_of
from midge.cli.target import Target
from midge.errors import ConnectionClosedError, MidgeError
from midge.jetstream.errors import MalformedAnswerError

DESCRIPTION = {"config": {"name": "S"}, "state": {"messages": 1, "bytes": 1, "first_seq": 1, "last_seq": 1}}


async def sender(nc: midge.Client, chunks: int) -> None:
    """Answer requests for a snapshot with so many chunks at once, whatever the window."""

    def send(message: midge.Message) -> None:
        message.respond(json.dumps(DESCRIPTION).encode())
        for _ in range(chunks):
            nc.publish(json.loads(message.data)["deliver_subject"], b"chunk")

    await nc.subscribe("$JS.API.STREAM.SNAPSHOT.S", callback=send)
    await nc.flush()


async def taken(url: str, between: Any = None) -> int:
    """Take a snapshot, doing something after the first chunk; return how many chunks came."""
    async with opened(Target(url), "test") as api:
        snapshot = Snapshot(api, "S", consumers=False)
        count = 0
        try:
            await snapshot.begin()
            async for _ in snapshot.chunks():
                count += 1
                if count == 1 and between is not None:
                    await between()
        finally:
            await snapshot.end()
        return count


def test_a_server_that_goes_away_is_noticed_at_once() -> None:
    async def story() -> None:
        server = midge.Server(port=0)
        await server.start()
        nc = await midge.connect(server.url, max_reconnects=0)
        await sender(nc, 1)
        with pytest.raises(ConnectionClosedError, match="lost"):
            await asyncio.wait_for(taken(server.url, server.stop), 10)
        await nc.close()

    asyncio.run(story())


def test_sigterm_leaves_no_half_of_a_backup(spawn: Spawn, tmp_path: Path) -> None:
    async def story() -> None:
        async with midge.Server(port=0) as server, midge.connect(server.url) as nc:
            await sender(nc, 1)
            asked = await nc.subscribe("$JS.API.STREAM.SNAPSHOT.S")
            await nc.flush()
            child = spawn("stream", "backup", "S", str(tmp_path / "backup"), "-s", server.url)
            await asked.next(timeout=20)
            assert await asyncio.to_thread(child.end, signal.SIGTERM) == (143, "", "")

    asyncio.run(story())
    assert not list(tmp_path.rglob("stream*"))


def test_sigterm_ends_what_reads_standard_input(spawn: Spawn, tmp_path: Path) -> None:
    async def story() -> None:
        async with midge.Server(port=0, store_dir=str(tmp_path)) as server, midge.connect(server.url) as nc:
            await nc.jetstream().create_object_store("b", storage="memory")
            chunks = await nc.subscribe("$O.b.C.>")
            await nc.flush()
            child = spawn("object", "put", "b", "-", "--name", "x", "-f", "-s", server.url)
            assert child.process.stdin is not None
            await asyncio.to_thread(child.process.stdin.write, bytes(200_000))
            await asyncio.to_thread(child.process.stdin.flush)
            await chunks.next(timeout=20)
            child.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(child.process.wait, 20) == 143
            child.end()

    asyncio.run(story())


def test_a_server_that_goes_back_in_a_stream_does_not_have_it_read_for_ever() -> None:
    info: dict[str, Any] = {
        "config": {"name": "S", "retention": "workqueue"},
        "state": {"messages": 2, "bytes": 2, "first_seq": 1, "last_seq": 2},
    }
    same = {"message": {"subject": "a", "seq": 1, "data": "", "time": "2026-01-01T00:00:00Z"}}

    async def story() -> None:
        async with midge.Server(port=0) as server, midge.connect(server.url) as nc, opened(Target(server.url), "test") as api:
            await nc.subscribe("$JS.API.STREAM.INFO.S", callback=lambda message: message.respond(json.dumps(info).encode()))
            await nc.subscribe("$JS.API.STREAM.MSG.GET.S", callback=lambda message: message.respond(json.dumps(same).encode()))
            await nc.flush()
            with pytest.raises(MalformedAnswerError, match="message 1 of stream 'S'"):
                await asyncio.wait_for(digest_of(api, "S", None, lambda more: None), 10)

    asyncio.run(story())


def test_a_server_that_heeds_no_window_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 100)

    async def story() -> None:
        async with midge.Server(port=0) as server, midge.connect(server.url) as nc:
            await sender(nc, 1000)
            with pytest.raises(MidgeError, match="more than it was asked for"):
                await asyncio.wait_for(taken(server.url, lambda: asyncio.sleep(0.2)), 10)

    asyncio.run(story())
