"""Snapshots of streams, out of a server and into one: whole or not at all, whoever ends in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from js_worlds import World, lying, until, world

import midge
from midge.errors import JetStreamError
from midge.jetstream import (
    Consumer,
    ConsumerInfo,
    ConsumerNotFoundError,
    JetStreamUnavailableError,
    MalformedAnswerError,
    Snapshot,
    SnapshotError,
    StreamConfig,
    StreamNotFoundError,
    StreamState,
)
from midge.jetstream import restoring as restorings
from midge.jetstream import snapshot as snapshots
from midge.jetstream.entity import to_json
from midge.message import Headers

REQUESTS = 1  # the subscription to answers, which a client keeps
SNAPSHOT = "STREAM.SNAPSHOT.S"
DESCRIPTION = {"config": {"name": "S"}, "state": {"messages": 1, "bytes": 1, "first_seq": 1, "last_seq": 1}}


async def of(chunks: Iterable[Any]) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk


async def taken(here: World) -> tuple[StreamConfig, StreamState, list[bytes]]:
    """Fill a stream with some chunks' worth, take it, and delete it."""
    await here.fill(12, data=lambda number: b"%d" % number + os.urandom(60_000))
    async with here.stream.snapshot() as snapshot:
        chunks = [chunk async for chunk in snapshot]
    await here.stream.delete()
    assert len(chunks) > 3
    return snapshot.config, snapshot.state, chunks


async def restored(consumer: Consumer) -> ConsumerInfo:
    """Return what is told of a consumer that was restored: in a cluster, it is there a moment after its stream."""
    async with asyncio.timeout(20):
        while True:
            with suppress(ConsumerNotFoundError, JetStreamUnavailableError, midge.MidgeTimeoutError):
                found = await consumer.info(timeout=0.5)
                if found.num_pending:
                    return found
            await asyncio.sleep(0.01)


async def is_there(here: World) -> bool:
    return here.name in [name async for name in here.js.stream_names()]


@pytest.mark.cluster
async def test_a_stream_comes_back_with_its_consumers(url: Any) -> None:
    async with world(url, storage="file", metadata={"color": "red"}) as here:
        await here.fill(5)
        await here.stream.delete_message(2)
        consumer = await here.consumer(ack_wait=30)
        await here.known_to(consumer, 4)
        first, *_ = await consumer.fetch(2)
        await first.ack_sync()
        before = await here.stream.get(3)
        async with here.stream.snapshot(check=True) as snapshot:
            assert (snapshot.state.messages, snapshot.state.last_seq) == (4, 5)
            assert snapshot.config.metadata is not None and snapshot.config.metadata["color"] == "red"
            chunks = [chunk async for chunk in snapshot]
            assert [chunk async for chunk in snapshot] == []
        await here.stream.delete()
        stream = await here.js.restore_stream(of(chunks), snapshot.config, snapshot.state)
        assert stream.name == here.name and stream.last_info.state.messages == 4
        found = await restored(stream.consumer("C"))
        after = await stream.get(3, direct=False)
        assert (after.data, after.seq, after.time) == (before.data, before.seq, before.time)
        assert (found.ack_floor.stream_seq, found.num_ack_pending + found.num_pending) == (
            2,
            3,
        )  # a cluster delivers again what was pending


async def test_consumers_may_stay_behind(url: Any) -> None:
    async with world(url, storage="file") as here:
        await here.fill(2)
        await here.consumer()
        async with here.stream.snapshot(consumers=False) as snapshot:
            chunks = [chunk async for chunk in snapshot]
        await here.stream.delete()
        stream = await here.js.restore_stream(of(chunks), snapshot.config, snapshot.state)
        assert [name async for name in stream.consumer_names()] == []


async def test_from_one_server_to_another_without_a_file(url: Any, tmp_path: Path) -> None:
    async with world(url, storage="file") as here, midge.Server(port=0, store_dir=str(tmp_path)) as server, midge.connect(server) as nc:
        await here.fill(20, data=lambda number: b"%d" % number + bytes(100_000))
        async with here.stream.snapshot() as snapshot:
            snapshot.config.num_replicas = 1
            snapshot.config.description = "a copy"
            stream = await nc.jetstream().restore_stream(snapshot)
        found = await stream.info()
        assert (found.state.messages, found.config.description) == (20, "a copy")


async def test_a_name_that_is_taken(url: Any) -> None:
    async with world(url, storage="file") as here:
        await here.fill(2)
        async with here.stream.snapshot() as snapshot:
            began = time.monotonic()
            with pytest.raises(JetStreamError, match="in use|exist"):
                await here.js.restore_stream(snapshot)
            assert time.monotonic() - began < 5
        assert (await here.stream.info()).state.messages == 2


async def test_a_stream_that_is_not_there(url: Any) -> None:
    async with world(url) as here:
        snapshot = here.js.stream("NOT-THERE").snapshot()
        with pytest.raises(StreamNotFoundError):
            await snapshot.__aenter__()
        assert here.subscriptions() == REQUESTS


async def test_what_is_left_in_the_middle_goes_on_nowhere(url: Any) -> None:
    async with world(url, storage="file") as here:
        await here.fill(12, data=lambda number: bytes(60_000))
        async with here.stream.snapshot() as snapshot:
            await anext(snapshot)
        assert here.subscriptions() == REQUESTS
        with pytest.raises(RuntimeError, match="taken once"):
            await snapshot.__aenter__()


async def test_chunks_that_end_in_an_error_leave_nothing(url: Any) -> None:
    async with world(url, storage="file") as here:
        config, state, chunks = await taken(here)

        async def cut_off() -> AsyncIterator[bytes]:
            yield chunks[0]
            yield chunks[1]
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            await here.js.restore_stream(cut_off(), config, state)
        assert not await is_there(here) and here.subscriptions() == REQUESTS
        began = time.monotonic()
        assert (await here.js.restore_stream(of(chunks), config, state)).last_info.state.messages == 12
        assert time.monotonic() - began < 4  # nobody had to forget anything


async def test_cancelling_takes_back_what_has_come(url: Any) -> None:
    async with world(url, storage="file") as here:
        config, state, chunks = await taken(here)
        is_waiting = asyncio.Event()

        async def halting() -> AsyncIterator[bytes]:
            yield chunks[0]
            is_waiting.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(here.js.restore_stream(halting(), config, state))
        await asyncio.wait_for(is_waiting.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await is_there(here) and here.subscriptions() == REQUESTS
        await here.js.restore_stream(of(chunks), config, state)


async def test_what_is_no_snapshot_is_refused(url: Any) -> None:
    async with world(url, storage="file") as here:
        config, state, chunks = await taken(here)
        with pytest.raises(JetStreamError):
            await here.js.restore_stream(of([b"this is none"]), config, state)
        with pytest.raises(TypeError, match="a chunk of a snapshot is bytes"):
            await here.js.restore_stream(of([chunks[0], "text"]), config, state)
        with pytest.raises(TypeError, match="with its configuration and state"):
            await here.js.restore_stream(of(chunks), config)
        assert not await is_there(here) and here.subscriptions() == REQUESTS


async def test_chunks_are_bytes_of_any_size(url: Any) -> None:
    async with world(url, storage="file") as here:
        config, state, chunks = await taken(here)
        whole = b"".join(chunks)
        parts = [memoryview(whole)[:1], b"", bytearray(whole[1:7]), whole[7:]]
        assert (await here.js.restore_stream(of(parts), config, state)).last_info.state.messages == 12


@pytest.mark.parametrize(
    ("description", "text"),
    [({"config": {"name": "OTHER"}, "state": {}}, "tells of 'OTHER'"), ({"state": {}}, "tells of None"), ({"config": 7}, "makes no sense")],
)
async def test_a_server_that_tells_of_something_else(description: Any, text: str) -> None:
    async with lying() as (nc, liar):
        liar.answers[SNAPSHOT] = description
        snapshot = nc.jetstream().stream("S").snapshot()
        with pytest.raises(MalformedAnswerError, match=text):
            await snapshot.__aenter__()
        assert isinstance(snapshot, Snapshot) and len(nc._connection.interest.feeds) == REQUESTS


async def test_a_server_that_says_why_it_ends() -> None:
    async with lying() as (nc, liar):

        def answer(body: Any) -> Any:
            liar.nc.publish(body["deliver_subject"], b"chunk")
            liar.nc.publish(body["deliver_subject"], headers=Headers(status=408, description="No Interest"))
            return DESCRIPTION

        liar.answers[SNAPSHOT] = answer
        async with nc.jetstream().stream("S").snapshot() as snapshot:
            assert await anext(snapshot) == b"chunk"
            with pytest.raises(SnapshotError, match="stream 'S': the snapshot was cut off: 408 No Interest") as caught:
                await anext(snapshot)
        assert caught.value.stream == "S"


async def test_who_is_slow_answers_whenever_a_chunk_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hears nothing gives up."""
    monkeypatch.setattr(snapshots, "_ROOM", 2)
    async with lying() as (nc, liar):
        answers = await liar.nc.subscribe("taken")

        def answer(body: Any) -> Any:
            for _ in range(5):
                liar.nc.publish(body["deliver_subject"], b"chunk", reply="taken")
            return DESCRIPTION

        liar.answers[SNAPSHOT] = answer
        async with nc.jetstream().stream("S").snapshot() as snapshot:
            for used in range(5):
                await until(lambda used=used: answers.pending == used + 1)  # type: ignore[misc]
                await anext(snapshot)
                await nc.flush()


async def test_outside_of_its_block_there_is_nothing() -> None:
    async with lying() as (nc, _):
        with pytest.raises(RuntimeError, match="inside its block"):
            await anext(nc.jetstream().stream("S").snapshot())


async def test_a_server_that_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restorings, "_PATIENCE", 0.1)
    async with lying() as (nc, liar):
        liar.answers["STREAM.RESTORE.S"] = {"deliver_subject": "upload"}
        liar.answers["STREAM.INFO.S"] = {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}
        uploads = await liar.nc.subscribe("upload")
        await liar.nc.flush()
        chunks = [bytes(1_000)] * 20
        config, state = StreamConfig(name="S"), StreamState()
        with pytest.raises(midge.MidgeTimeoutError, match="restore of stream 'S'"):
            await nc.jetstream(timeout=1).restore_stream(of(chunks), config, state)
        await until(lambda: uploads.pending == 9)  # those ahead of the answers, and what takes it back
        assert liar.asked[0] == ("STREAM.RESTORE.S", {"config": to_json(config), "state": json.loads(json.dumps(to_json(state)))})


async def test_chunks_are_iterated_over_asynchronously(url: str) -> None:
    async with world(url) as here:
        chunks: Any = [b"one"]
        with pytest.raises(TypeError, match="asynchronous iterator"):
            await here.js.restore_stream(chunks, here.stream.config, here.stream.last_info.state)
