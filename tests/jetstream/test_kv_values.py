"""KeyValue: values, revisions, markers, and what is refused; on our server and on nats-server."""

from __future__ import annotations

import asyncio
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bucket_worlds import bucket, context

from midge.errors import InvalidSubjectError
from midge.jetstream.errors import StreamNotFoundError, WrongLastError
from midge.jetstream.key_value.errors import BucketNotFoundError, KeyExistsError, KeyNotFoundError, WrongRevisionError


async def test_a_value_has_a_revision_and_a_time(url: str) -> None:
    async with bucket(url) as kv:
        before = datetime.now(UTC) - timedelta(seconds=5)
        revision = await kv.put("orders.1", b"new")
        assert revision == 1 and await kv.put("orders.2", "text") == 2
        entry = await kv.get("orders.1")
        assert entry[:4] == (kv.bucket, "orders.1", b"new", 1) and entry.delta == 0 and entry.operation == "PUT" and entry.size == 3
        assert before < entry.created < before + timedelta(seconds=10) and not entry.is_deleted
        assert (await kv.get("orders.2")).value == b"text"
        assert (await kv.put("empty", b""), (await kv.get("empty")).value) == (3, b"")


async def test_an_earlier_revision_is_read_by_its_number(url: str) -> None:
    async with bucket(url, history=3) as kv:
        for number in range(5):
            await kv.put("a", b"%d" % number)
        await kv.put("b", b"b")
        assert [(await kv.get("a", revision)).value for revision in (3, 4, 5)] == [b"2", b"3", b"4"]
        for key, revision in (("a", 1), ("a", 6), ("a", 99), ("b", 5), ("a", 0), ("a", -1)):
            with pytest.raises(KeyNotFoundError, match=f"has no key '{key}'"):
                await kv.get(key, revision)


@pytest.mark.cluster
async def test_create_succeeds_once_and_over_markers(url: str) -> None:
    async with bucket(url, history=5) as kv:
        assert await kv.create("a", b"1") == 1
        with pytest.raises(KeyExistsError, match=f"key 'a' of bucket '{kv.bucket}' has a value") as caught:
            await kv.create("a", b"2")
        assert isinstance(caught.value, WrongLastError) and isinstance(caught.value, ValueError) and caught.value.revision in (1, None)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert await kv.delete("a") == 2
        assert await kv.create("a", b"3") == 3
        assert await kv.purge("a") == 4
        assert await kv.create("a", b"4") == 5
        assert (await kv.get("a")).value == b"4"


async def test_of_many_who_create_one_succeeds_each_time(url: str) -> None:
    async with bucket(url) as kv:
        for _ in range(5):
            results = await asyncio.gather(*(kv.create("lock", b"%d" % number) for number in range(8)), return_exceptions=True)
            (won,) = [number for number, result in enumerate(results) if isinstance(result, int)]
            assert all(isinstance(result, (int, KeyExistsError)) for result in results)
            assert (await kv.get("lock")).value == b"%d" % won
            await kv.delete("lock")


async def test_update_delete_and_purge_can_want_a_revision(url: str) -> None:
    async with bucket(url, history=5) as kv:
        first = await kv.put("a", b"1")
        second = await kv.update("a", b"2", first)
        calls: list[Any] = [
            lambda: kv.update("a", b"3", first),
            lambda: kv.update("new", b"3", 7),
            lambda: kv.delete("a", last_revision=first),
            lambda: kv.purge("a", last_revision=first),
        ]
        for call in calls:
            with pytest.raises(WrongRevisionError):
                await call()
        with pytest.raises(WrongRevisionError, match=f"key 'a' of bucket '{kv.bucket}' has .*revision") as caught:
            await kv.update("a", b"3", first)
        assert caught.value.revision in (second, None)
        third = await kv.delete("a", last_revision=second)
        assert await kv.purge("a", last_revision=third) == third + 1
        assert await kv.update("new", b"1", 0) == third + 2
        with pytest.raises(TypeError):  # it would be stored whatever is there
            await kv.update("new", b"2", None)  # type: ignore[arg-type]


async def test_what_is_deleted_is_not_found_and_keeps_its_history(url: str) -> None:
    async with bucket(url, history=5) as kv:
        await kv.put("a", b"1")
        await kv.put("a", b"2")
        marker = await kv.delete("a")
        with pytest.raises(KeyNotFoundError, match="deleted by revision 3") as caught:
            await kv.get("a")
        assert caught.value.revision == marker and isinstance(caught.value, LookupError)
        with pytest.raises(KeyNotFoundError):
            await kv.get("a", marker)
        history = [(e.revision, e.value, e.operation, e.delta) for e in await kv.history("a")]
        assert history == [(1, b"1", "PUT", 2), (2, b"2", "PUT", 1), (3, b"", "DEL", 0)]
        await kv.purge("a")
        assert [(e.revision, e.operation) for e in await kv.history("a")] == [(4, "PURGE")]
        with pytest.raises(KeyNotFoundError):
            await kv.history("never")
        with pytest.raises(InvalidSubjectError):
            await kv.history("a.*")


@pytest.mark.cluster
async def test_keys_are_those_with_a_value_and_match_filters(url: str) -> None:
    async with bucket(url, history=3) as kv:
        for key in ("a", "a.b", "a.c", "x.y.z", "gone"):
            await kv.put(key, b"1")
        await kv.put("a", b"2")
        await kv.delete("gone")
        assert sorted([key async for key in kv.keys()]) == ["a", "a.b", "a.c", "x.y.z"]
        assert sorted([key async for key in kv.keys("a.*", "x.>")]) == ["a.b", "a.c", "x.y.z"]
        assert [key async for key in kv.keys("nothing.>")] == []
        async for _ in kv.keys():
            break


async def test_markers_are_purged_when_they_are_old(url: str) -> None:
    async with bucket(url, history=5) as kv:
        for key in ("a", "b", "c"):
            await kv.put(key, b"1")
            await kv.put(key, b"2")
        await kv.delete("a")
        await kv.purge("b")
        assert await kv.purge_deletes() == 2  # the history of a
        assert [(e.operation) for e in await kv.history("a")] == ["DEL"]
        assert await kv.purge_deletes(0) == 2
        for key in ("a", "b"):
            with pytest.raises(KeyNotFoundError):
                await kv.history(key)
        assert len(await kv.history("c")) == 2
        assert await kv.create("a", b"again")


async def test_what_a_key_can_be(url: str) -> None:
    async with bucket(url) as kv:
        for key in ("a", "A-b_c/d=e.f", "0", "a.b.c"):
            await kv.put(key, b"1")
        for key in ("", ".", ".a", "a.", "a..b", "a b", "a*", "*", ">", "a.>", "é", "a\r\nPUB x 0"):
            with pytest.raises(InvalidSubjectError, match="invalid key"):
                await kv.put(key, b"1")
        with pytest.raises(InvalidSubjectError, match="codec"):
            await kv.get("a b")
        for filters in ("", "a.>.b", "a*", ".a", ">.a", "a b"):
            with pytest.raises(InvalidSubjectError, match="invalid filter of keys"):
                kv.watch(filters)
        with pytest.raises(TypeError, match="a key is a str"):
            await kv.get(7)  # type: ignore[arg-type]


async def test_a_bucket_that_is_not_there_is_named(url: str) -> None:
    async with context(url) as (js, name):
        kv = js.key_value(name)
        calls: list[Any] = [
            lambda: kv.get("a"),
            lambda: kv.put("a", b""),
            lambda: kv.create("a", b""),
            lambda: kv.delete("a"),
            lambda: kv.history("a"),
            lambda: kv.keys().__anext__(),
            lambda: kv.watch().__aenter__(),
            kv.status,
            kv.purge_deletes,
            lambda: js.delete_key_value(name),
            lambda: js.update_key_value(name, history=2),
        ]
        for call in calls:
            with pytest.raises(BucketNotFoundError, match=f"no bucket '{name}'"):
                await call()
        with pytest.raises(StreamNotFoundError):
            await kv


async def test_a_bucket_that_goes_while_it_is_used_is_named(url: str) -> None:
    async with context(url) as (js, name):
        kv = await js.create_key_value(name, storage="memory")
        await kv.put("a", b"1")
        await js.delete_key_value(name)
        for call in (lambda: kv.get("a"), lambda: kv.put("a", b"2")):
            with pytest.raises(BucketNotFoundError):
                await call()
        await js.create_key_value(name, storage="memory")
        assert await kv.put("a", b"3") == 1 and (await kv.get("a")).value == b"3"


async def test_a_key_of_its_own_lifetime_ends_with_a_marker(url: str) -> None:
    async with bucket(url, limit_marker_ttl=60, storage="file") as kv:
        await kv.create("a", b"1", ttl=1)
        await kv.put("b", b"1")
        await kv.purge("b", ttl=timedelta(seconds=1))
        async with kv.watch("a") as watcher:
            assert (await watcher.next(5)).value == b"1"  # type: ignore[union-attr]
            await watcher.next(5)
            entry = await watcher.next(20)
            assert not isinstance(entry, str) and (entry.operation, entry.value) == ("PURGE", b"")  # type: ignore[union-attr]
        with pytest.raises(KeyNotFoundError, match="deleted by"):
            await kv.get("a")
        assert await kv.create("a", b"2")


async def test_a_lifetime_needs_a_bucket_that_has_them(url: str) -> None:
    from midge.errors import JetStreamError

    async with bucket(url) as kv:
        with pytest.raises(JetStreamError, match="TTL is disabled"):
            await kv.create("a", b"1", ttl=1)
        with pytest.raises(ValueError, match="shortest is a second"):
            await kv.create("a", b"1", ttl=0.5)
