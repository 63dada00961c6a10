"""What only a cluster does: leaders change, and servers are behind one another."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from bucket_worlds import bucket, object_store
from conftest import needs_server
from js_worlds import until, world

import midge
from midge.jetstream import JetStreamUnavailableError
from midge.jetstream.async_publisher import PendingAck
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.key_value.errors import KeyNotFoundError

pytestmark = [pytest.mark.cluster, pytest.mark.parametrize("url", [pytest.param("cluster", marks=needs_server)], indirect=True)]


async def test_a_change_of_leaders_loses_nothing_and_nobody_notices(url: str) -> None:
    """Of the stream, and of a consumer, while somebody publishes and consumes."""
    async with world(url, storage="file") as here:
        consumer = await here.consumer(ack_wait=1)
        seen: list[int] = []
        stored: list[int] = []

        async def publish(number: int) -> None:
            for _ in range(4):
                try:
                    await here.js.publish(here.subject(), b"%d" % number, msg_id=str(number), timeout=5)
                except (midge.MidgeTimeoutError, JetStreamUnavailableError):  # the old leader had it, and nobody knows what became of it
                    continue
                stored.append(number)
                return
            raise AssertionError(f"nobody has taken message {number}")

        async def confirm(number: int, ack: PendingAck) -> None:
            try:
                await ack
            except (midge.MidgeTimeoutError, JetStreamUnavailableError):
                await publish(number)
            else:
                stored.append(number)

        async def publish_all() -> None:
            for number in range(1, 100_000, 5):
                others = range(number + 1, number + 5)
                acks = [await here.js.publish_async(here.subject(), b"%d" % each, msg_id=str(each)) for each in others]
                await asyncio.gather(publish(number), *map(confirm, others, acks))

        async with consumer.consume(lambda message: seen.append(int(message.data))):
            publishing = asyncio.create_task(publish_all())
            for name in (f"STREAM.LEADER.STEPDOWN.{here.name}", f"CONSUMER.LEADER.STEPDOWN.{here.name}.C"):
                count = len(stored)
                await until(lambda count=count: len(stored) > count + 20, 20)  # type: ignore[misc]
                await here.js._requests.ask(name)
            await until(lambda count=len(stored): len(stored) > count + 20, 20)  # type: ignore[misc]
            publishing.cancel()
            await until(lambda: set(stored) <= set(seen), 20)


async def test_leaders_step_down_for_whom_is_asked_for(url: str) -> None:
    async with world(url, storage="file") as here:
        consumer = await here.consumer()
        with pytest.raises(midge.JetStreamError, match="peer"):
            await here.stream.remove_peer("nobody")
        for thing in (here.stream, consumer):
            cluster = (await thing.info()).cluster
            assert cluster is not None
            wanted = cluster.replicas[0].name
            with pytest.raises(midge.JetStreamError):
                await thing.step_down("nobody")
            await thing.step_down(wanted)
            async with asyncio.timeout(20):
                while cluster is None or cluster.leader != wanted:
                    with suppress(midge.MidgeTimeoutError, JetStreamUnavailableError):  # nobody leads yet
                        cluster = (await thing.info(timeout=0.5)).cluster


async def test_who_writes_reads_what_was_written(url: str) -> None:
    """Whichever server answers: values, keys, what describes objects, and objects."""
    async with bucket(url, history=3) as kv:
        for number in range(40):
            revision = await kv.put("k", b"%d" % number)
            assert (await kv.get("k")).revision == revision
            assert (await kv.get("k", revision)).value == b"%d" % number
        for _ in range(10):
            await kv.put("a", b"1")
            assert sorted([key async for key in kv.keys()]) == ["a", "k"]
            await kv.delete("a")
            assert [key async for key in kv.keys()] == ["k"]
            with pytest.raises(KeyNotFoundError):
                await kv.get("a")
    async with object_store(url) as store:
        for number in range(10):
            await store.put("o", b"%d" % number)
            assert await store.get_bytes("o") == b"%d" % number


async def test_a_watch_has_caught_up_with_what_was_acknowledged_before_it(url: str) -> None:
    async with bucket(url) as kv:
        for number in range(20):
            revision = await kv.put(f"k.{number % 3}", b"%d" % number)
            async with kv.watch() as watcher, kv.watch(updates_only=True) as updates:
                entries = []
                while (entry := await watcher.next(5)) is not CAUGHT_UP:
                    entries.append(entry.revision)
                assert entries[-1] == revision
                assert await updates.next(5) is CAUGHT_UP
                revision = await kv.put("k", b"x")
                entry = await updates.next(5)
                assert entry is not CAUGHT_UP and entry.revision == revision  # nothing older came
