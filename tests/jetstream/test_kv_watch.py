"""KeyWatcher: what stands, the mark, what changes; options; what happens to connections, servers and buckets meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bucket_worlds import bucket, context, first_of
from js_places import kept
from js_worlds import until
from nodes import Node, started
from servers import find_nats_server
from witness import LONG

import midge
from midge.errors import ConnectionClosedError, MidgeTimeoutError
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.key_value.errors import BucketNotFoundError
from midge.jetstream.key_value.watcher import KeyWatcher

needs_nats_server = pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")


def said(entries: list[Any]) -> list[Any]:
    return [CAUGHT_UP if entry is CAUGHT_UP else (entry.key, entry.value, entry.revision, entry.operation) for entry in entries]


async def test_what_stands_then_the_mark_then_what_changes(url: str) -> None:
    async with bucket(url, history=5) as kv:
        await kv.put("a", b"1")
        await kv.put("b", b"2")
        await kv.put("a", b"3")
        await kv.delete("b")
        async with kv.watch() as watcher:
            assert said(await first_of(watcher)) == [("a", b"3", 3, "PUT"), ("b", b"", 4, "DEL")]
            await kv.put("c", b"5")
            await kv.purge("a")
            assert said([await watcher.next(5), await watcher.next(5)]) == [("c", b"5", 5, "PUT"), ("a", b"", 6, "PURGE")]
            with pytest.raises(MidgeTimeoutError, match=f"an entry of <KeyWatcher of > in bucket '{kv.bucket}'>"):
                await watcher.next(0.05)
            await kv.put("d", b"7")
            assert said([await watcher.next(5)]) == [("d", b"7", 7, "PUT")]


async def test_the_mark_comes_in_an_empty_bucket_and_where_nothing_matches(url: str) -> None:
    async with bucket(url) as kv:
        async with kv.watch() as watcher:
            assert await watcher.next(5) is CAUGHT_UP
            await kv.put("a", b"1")
            assert said([await watcher.next(5)]) == [("a", b"1", 1, "PUT")]
        async with kv.watch("b.*") as watcher:
            assert await watcher.next(5) is CAUGHT_UP


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"include_history": True}, [1, 2, 3, 4, 5]),
        ({"updates_only": True}, []),
        ({"ignore_deletes": True}, [3, 5]),
        ({"include_history": True, "ignore_deletes": True}, [1, 2, 3, 5]),
        ({"from_revision": 4}, [4, 5]),
        ({"from_revision": 6}, []),
        ({}, [3, 4, 5]),
    ],
)
async def test_options_of_a_watch(url: str, options: dict[str, Any], first: list[int]) -> None:
    async with bucket(url, history=5) as kv:
        for key, value in (("a", b"1"), ("b", b"2"), ("a", b"3")):
            await kv.put(key, value)
        await kv.delete("b")
        await kv.put("c", b"5")
        async with kv.watch(**options) as watcher:
            found = [entry.revision for entry in await first_of(watcher)]
            assert found[-len(first) :] == first if kept(url) > 1 else found == first  # a server of a cluster may hear of more then
            await kv.put("a", b"6")
            entry = await watcher.next(5)
            assert entry is not CAUGHT_UP and entry.revision == 6


async def test_several_filters_and_no_values(url: str) -> None:
    async with bucket(url) as kv:
        for key in ("a.1", "a.2", "b.1", "c.1"):
            await kv.put(key, b"12345")
        async with kv.watch("a.*", "c.1", "c.1", meta_only=True) as watcher:
            found = [(entry.key, entry.value, entry.size) for entry in await first_of(watcher)]
            assert found == [("a.1", b"", 5), ("a.2", b"", 5), ("c.1", b"", 5)]


async def test_what_contradicts_itself_is_refused() -> None:
    async with midge.Server(listen=False, jetstream=True) as server, bucket(server) as kv:
        for options in ({"include_history": True, "updates_only": True}, {"updates_only": True, "from_revision": 3}, {"from_revision": 0}):
            with pytest.raises(ValueError, match="give one|expected 1 or more"):
                kv.watch(**options)  # type: ignore[arg-type]


async def test_a_watch_ends_by_stop_and_with_the_connection(url: str) -> None:
    async with bucket(url) as kv:
        watcher = await kv.watch()
        assert await watcher.next(5) is CAUGHT_UP
        waiting = asyncio.create_task(watcher.next())
        await asyncio.sleep(0)
        await watcher.stop()
        with pytest.raises(ConnectionClosedError, match="stopped"):
            await waiting
        assert [entry async for entry in watcher] == []
        await until(lambda: len(kv._js.client._connection.interest.feeds) == 1)  # of requests
    async with bucket(url) as kv:
        nc = await midge.connect(url)
        watcher = nc.jetstream().key_value(kv.bucket).watch()
        assert await watcher.next(5) is CAUGHT_UP
        rest = asyncio.create_task(_all(watcher))
        await asyncio.sleep(0)
        await nc.close()
        assert await rest == []


async def _all(watcher: KeyWatcher) -> list[Any]:
    return [entry async for entry in watcher]


async def test_stopping_ends_a_watch_that_begins(url: str) -> None:
    async with bucket(url) as kv:
        watcher = kv.watch()
        taking = asyncio.create_task(anext(watcher, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await watcher.stop()
        assert await asyncio.wait_for(taking, 2) is None
        async with asyncio.timeout(5):
            while (await kv.status()).stream_info.state.consumer_count:
                pass  # nats-server counts one for a moment that it has said to have removed


async def test_who_watches_a_bucket_that_is_deleted_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says nothing of that: it is silent, and then the consumer is not found."""
    monkeypatch.setattr("midge.jetstream.ordered.HEARTBEAT", 0.5)
    async with context(url) as (js, name):
        kv = await js.create_key_value(name, storage="memory")
        async with kv.watch() as watcher:
            assert await watcher.next(5) is CAUGHT_UP
            waiting = asyncio.create_task(watcher.next(20))
            await js.delete_key_value(name)
            with pytest.raises(BucketNotFoundError):
                await waiting


async def test_the_mark_comes_although_what_was_counted_is_removed(url: str) -> None:
    """What stands is more than is asked for at a time, and the rest goes before it is delivered."""
    async with bucket(url) as kv:
        for number in range(1_200):
            await kv._js.publish_async(f"$KV.{kv.bucket}.{number}", b"x")
        await kv._js.publish_async_done(10)
        async with kv.watch() as watcher:
            first = [await watcher.next(5)]
            await kv.stream.purge()
            first += await first_of(watcher)
            assert 1 < len(first) < 1_200
            await kv.put("new", b"1")
            assert said([await watcher.next(5)]) == [("new", b"1", 1_201, "PUT")]


@pytest.mark.cluster
async def test_no_consumer_is_left_behind(url: str) -> None:
    async with bucket(url) as kv:
        await kv.put("a", b"1")
        for _ in range(5):
            await kv.history("a")
            assert [key async for key in kv.keys()] == ["a"]
            async with kv.watch(updates_only=True):
                pass

        async def gone() -> bool:
            return not [name async for name in kv.stream.consumer_names()]

        for _ in range(200):
            if await gone():
                break
            await asyncio.sleep(0.01)
        assert await gone()


@pytest.mark.cluster
async def test_many_reconnects_of_watches_leave_nobody_behind(url: str) -> None:
    """openobserve#13676: 587 orphaned consumers. Each watch and each ordered consumer has one consumer, whatever happened before."""
    async with bucket(url) as kv:
        ordered = kv.stream.ordered_consumer()
        async with kv.watch() as first, kv.watch("b") as second:
            watchers = (first, second)
            assert [await each.next(5) for each in watchers] == [CAUGHT_UP] * 2
            for turn in range(100 if LONG else 10):
                await kv.put("b", b"%d" % turn)
                for each in watchers:
                    entry = await each.next(20)
                    assert entry is not CAUGHT_UP and entry.value == b"%d" % turn
                assert (await ordered.next(20)).data == b"%d" % turn
                await kv._js.client.reconnect()

            async def count() -> int:
                return len([name async for name in kv.stream.consumer_names()])

            await kv.put("b", b"last")
            for each in watchers:
                await each.next(20)
            await ordered.next(20)
            async with asyncio.timeout(10):
                while await count() != 3:
                    await asyncio.sleep(0.01)
        await ordered.stop()
        async with asyncio.timeout(10):
            while await count():
                await asyncio.sleep(0.01)


@needs_nats_server
async def test_a_watch_goes_on_after_the_server_was_killed(tmp_path: Any) -> None:
    """The server's consumer was in its memory; also what was put while nobody was connected comes, and nothing twice."""
    node = Node(f'jetstream {{ store_dir: "{tmp_path}" }}')
    with started(node):
        async with midge.connect(node.url, reconnect_wait=0.02) as nc:
            kv = await nc.jetstream().create_key_value("b")
            await kv.put("a", b"1")
            async with kv.watch() as watcher, kv.watch(updates_only=True) as updates:
                assert len(await first_of(watcher)) == 1 and await first_of(updates) == []
                for number in range(2):
                    node.kill()
                    node.start()
                    async with midge.connect(node.url) as other:
                        await other.jetstream().key_value("b").put("a", b"again %d" % number)
                    for each in (watcher, updates):
                        entry = await each.next(30)
                        assert entry is not CAUGHT_UP and entry.value == b"again %d" % number
            names = [name async for name in kv.stream.consumer_names()]
            assert len(names) <= 2
