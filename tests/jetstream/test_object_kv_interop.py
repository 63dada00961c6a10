"""Buckets and object stores beside nats-py: what one writes, the other reads, on our server and on nats-server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bucket_worlds import context
from js_places import kept
from nodes import nats_node
from servers import find_nats_server

from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.context import JetStream
from midge.jetstream.key_value.errors import KeyExistsError, KeyNotFoundError, WrongRevisionError

nats = pytest.importorskip("nats")

DATA = os.urandom(300_000)


@asynccontextmanager
async def both(url: str) -> AsyncIterator[tuple[JetStream, Any, str]]:
    """Our context, that of nats-py, and a name."""
    if kept(url) > 1:
        pytest.skip("nats-py reads what a server of a cluster has not heard of yet")
    async with context(url) as (js, name):
        theirs = await nats.connect(url)
        try:
            yield js, theirs.jetstream(), name
        finally:
            await theirs.close()


@pytest.mark.parametrize("maker", ["midge", "nats-py"])
async def test_a_bucket_is_shared(url: str, maker: str) -> None:
    from nats.js.errors import KeyNotFoundError as KeyNotFound
    from nats.js.errors import KeyWrongLastSequenceError

    async with both(url) as (js, theirs, name):
        if maker == "midge":
            ours, other = await js.create_key_value(name, history=5), await theirs.key_value(name)
        else:
            other = await theirs.create_key_value(bucket=name, history=5)
            ours = await js.ensure_key_value(name, history=5)
        assert await ours.put("a.b", b"ours") == 1 and await other.put("c.d", b"theirs") == 2
        assert (await other.get("a.b")).value == b"ours" and (await ours.get("c.d")).value == b"theirs"
        with pytest.raises(KeyExistsError):
            await ours.create("c.d", b"")
        with pytest.raises(KeyWrongLastSequenceError):
            await other.create("a.b", b"")
        assert await ours.update("c.d", b"updated", 2) == 3
        assert await other.update("a.b", b"updated", last=1) == 4
        with pytest.raises(WrongRevisionError):
            await ours.update("a.b", b"", 1)
        await other.delete("a.b")
        with pytest.raises(KeyNotFoundError):
            await ours.get("a.b")
        assert await ours.create("a.b", b"again") == 6
        await ours.purge("c.d")
        with pytest.raises(KeyNotFound):
            await other.get("c.d")
        assert [(e.value, e.operation or "PUT") for e in await other.history("a.b")] == [
            (e.value if e.operation == "PUT" else b"", e.operation) for e in await ours.history("a.b")
        ]
        assert sorted(await other.keys()) == sorted([key async for key in ours.keys()]) == ["a.b"]
        async with ours.watch("x") as watcher:
            assert await watcher.next(5) is CAUGHT_UP
            await other.put("x", b"1")
            entry = await watcher.next(5)
            assert entry is not CAUGHT_UP and (entry.key, entry.value) == ("x", b"1")
        seen = await other.watch("y")
        assert await seen.updates(5) is None
        await ours.put("y", b"2")
        assert (await seen.updates(5)).value == b"2"
        await seen.stop()
        assert (await other.status()).values == (await ours.status()).values


@pytest.mark.parametrize("maker", ["midge", "nats-py"])
async def test_an_object_store_is_shared(url: str, maker: str) -> None:
    from nats.js.api import ObjectMeta

    async with both(url) as (js, theirs, name):
        if maker == "midge":
            ours, other = await js.create_object_store(name), await theirs.object_store(name)
        else:
            other = await theirs.create_object_store(name)
            ours = await js.ensure_object_store(name)
        put = await ours.put("from us é/x", DATA, description="d")
        got = await other.get("from us é/x")
        assert got.data == DATA and got.info.digest == put.digest and got.info.description == "d"
        await other.put("from them", DATA, meta=ObjectMeta(description="e"))
        assert await ours.get_bytes("from them") == DATA
        assert (await ours.info("from them")).description == "e"
        assert (
            sorted([info.name async for info in ours.list()])
            == sorted(info.name for info in await other.list())
            == ["from them", "from us é/x"]
        )
        await other.delete("from us é/x")
        await ours.delete("from them")
        assert [info async for info in ours.list()] == []
        for each in ("from us é/x", "from them"):
            assert (await ours.info(each, show_deleted=True)).deleted
            assert (await other.get_info(each, show_deleted=True)).deleted


@pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")
async def test_everything_goes_by_inboxes_of_ones_own(tmp_path: Path) -> None:
    """Where nobody may subscribe to _INBOX.>."""
    users = '{ user: a, password: b, permissions: { subscribe: { deny: "_INBOX.>" } } }'
    with nats_node(f'jetstream {{ store_dir: "{tmp_path}" }}\nauthorization {{ users: [ {users} ] }}') as where:
        async with context(where, user="a", password="b", inbox_prefix="mine") as (js, name):
            kv = await js.create_key_value(name)
            await kv.create("a", b"1")
            assert [key async for key in kv.keys()] == ["a"] and len(await kv.history("a")) == 1
            store = await js.create_object_store(name)
            await store.put("o", DATA)
            assert await store.get_bytes("o") == DATA and [info.name async for info in store.list()] == ["o"]
            assert js.client.last_error is None
