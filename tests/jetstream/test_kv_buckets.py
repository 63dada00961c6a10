"""Buckets: made, changed, listed and removed; their streams; mirrors and sources; the configuration by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from bucket_worlds import bucket, context

import midge
from midge.errors import InvalidSubjectError
from midge.jetstream.configs import ExternalStream, Republish, StreamConfig, StreamSource, SubjectTransform
from midge.jetstream.context import JetStream
from midge.jetstream.entity import to_json
from midge.jetstream.errors import StreamNameInUseError
from midge.jetstream.key_value.config import KeyValueConfig, key_value_config, stream_config
from midge.jetstream.key_value.errors import BucketExistsError, LimitMarkersNotSupportedError
from midge.jetstream.key_value.places import Places


@asynccontextmanager
async def _no_server() -> AsyncIterator[JetStream]:
    """A context whose server has no JetStream: what is refused here never gets there."""
    async with midge.Server(listen=False) as server, midge.connect(server) as nc:
        yield nc.jetstream()


async def test_the_stream_of_a_bucket_is_as_others_make_it(url: str) -> None:
    limits: Any = {"history": 5, "ttl": 60, "max_bytes": 1 << 20, "max_value_size": 1_000, "limit_marker_ttl": 10}
    others: Any = {"description": "d", "compression": True, "metadata": {"a": "b"}, "republish": Republish(src=">", dest="r.>")}
    async with bucket(url, storage="file", **limits, **others) as kv:
        config = (await kv.stream.info()).config
        assert (config.name, config.subjects, config.discard, config.storage) == (f"KV_{kv.bucket}", [f"$KV.{kv.bucket}.>"], "new", "file")
        assert config.allow_direct and config.allow_rollup_hdrs and config.deny_delete and config.allow_msg_ttl and not config.deny_purge
        kept = (config.max_msgs_per_subject, config.max_age, config.duplicate_window, config.max_bytes, config.max_msg_size)
        assert kept == (5, 60.0, 60.0, 1 << 20, 1_000)
        assert (config.compression, config.subject_delete_marker_ttl, config.description) == ("s2", 10.0, "d")
        status = await kv.status()
        assert (status.bucket, status.values, status.history, status.ttl, status.limit_marker_ttl) == (kv.bucket, 0, 5, 60.0, 10.0)
        assert status.is_compressed and status.metadata["a"] == "b" and status.backing_store == "JetStream"
        assert status.config.max_value_size == 1_000 and status.stream_info.config == config


async def test_the_same_bucket_can_be_created_twice_another_one_cannot(url: str) -> None:
    async with context(url) as (js, name):
        await js.create_key_value(name, history=2)
        kv = await js.create_key_value(name, history=2)
        with pytest.raises(BucketExistsError, match=f"there is a bucket '{name}' with another configuration") as caught:
            await js.create_key_value(name, history=3)
        assert isinstance(caught.value, StreamNameInUseError)
        await kv.put("a", b"1")
        await (await js.update_key_value(name, history=4)).put("a", b"2")
        status = await kv.status()
        assert (status.history, status.values) == (4, 2)
        await js.ensure_key_value(name, description="d")
        status = await kv.status()
        assert (status.history, status.config.description) == (4, "d")
        await js.ensure_key_value(name, description="d", ttl=timedelta(minutes=5))
        config = (await kv.status()).stream_info.config
        assert (config.max_age, config.duplicate_window, config.description) == (300.0, 120.0, "d")
        await js.ensure_key_value(KeyValueConfig(bucket=name + "2", history=9))
        assert {each async for each in js.key_value_names()} >= {name, name + "2"}
        assert {each.bucket: each.history async for each in js.key_values()}[name + "2"] == 9
        await js.delete_key_value(name + "2")
        assert name + "2" not in {each async for each in js.key_value_names()}


async def test_what_a_bucket_cannot_be() -> None:
    async with _no_server() as js:
        for name in ("", "a.b", "a b", "a*", "é"):
            with pytest.raises(InvalidSubjectError, match="invalid bucket name"):
                js.key_value(name)
            with pytest.raises(InvalidSubjectError, match="invalid bucket name"):
                await js.create_key_value(name)
        cases: list[Any] = [{"history": 0}, {"history": 65}, {"limit_marker_ttl": 0.5}, {"mirror": "a", "sources": ["b"]}]
        for keywords in cases:
            with pytest.raises(ValueError, match="expected 1 to 64|shortest|not both"):
                await js.create_key_value("b", **keywords)
        with pytest.raises(TypeError, match="no field 'nonsense'"):
            await js.create_key_value("b", nonsense=1)
        with pytest.raises(TypeError, match="number of seconds"):
            await js.create_key_value("b", ttl="1h")


async def test_a_mirror_reads_here_and_writes_there(url: str) -> None:
    async with bucket(url) as kv:
        await kv.put("a", b"1")
        copy = await kv._js.create_key_value(kv.bucket + "m", mirror=kv.bucket, storage="memory")
        config = (await copy.stream.info()).config
        assert config.mirror is not None and config.mirror.name == f"KV_{kv.bucket}" and config.mirror_direct
        assert await copy.put("b", b"2") == 2 and (await kv.get("b")).value == b"2"
        async with copy.watch() as watcher:
            found = {}
            while len(found) < 2:
                entry: Any = await watcher.next(10)
                if hasattr(entry, "key"):
                    found[entry.key] = entry.value
            assert found == {"a": b"1", "b": b"2"}
        assert (await copy.get("a")).value == b"1" and [key async for key in copy.keys("b")] == ["b"]
        names = [name async for name in kv._js.key_value_names()]
        assert copy.bucket in names


async def test_sources_bring_their_keys(url: str) -> None:
    async with bucket(url) as kv:
        await kv.put("new.a", b"1")
        await kv.put("old.b", b"2")
        js = kv._js
        all_of_it = await js.create_key_value(kv.bucket + "all", sources=[kv.bucket], storage="memory")
        some = await js.create_key_value(kv.bucket + "some", storage="memory",
                                         sources=[StreamSource(name="KV_" + kv.bucket, filter_subject="new.>")])  # fmt: skip
        for copy, keys in ((all_of_it, {"new.a", "old.b"}), (some, {"a"})):
            for _ in range(200):
                if {key async for key in copy.keys()} == keys:
                    break
                await asyncio.sleep(0.02)
            assert {key async for key in copy.keys()} == keys
        assert (await some.get("a")).value == b"1" and await some.put("own", b"3")


def test_a_source_with_transforms_stays_as_it_is() -> None:
    transform = SubjectTransform(src="events.>", dest="$KV.b.>")
    config = stream_config(key_value_config("b", {"sources": [StreamSource(name="EVENTS", subject_transforms=[transform])]}))
    assert config.sources is not None and to_json(config)["sources"] == [
        {"name": "EVENTS", "subject_transforms": [{"src": "events.>", "dest": "$KV.b.>"}]}
    ]
    with pytest.raises(ValueError, match="ends in '>'"):
        stream_config(key_value_config("b", {"sources": [StreamSource(name="a", filter_subject="x.*")]}))
    given = StreamSource(name="a")
    stream_config(key_value_config("b", {"mirror": given}))
    assert given == StreamSource(name="a")


def test_where_keys_are_read_and_written() -> None:
    own = StreamConfig(name="KV_b", allow_direct=True)
    assert Places.of(own, "$JS.API") == ("$KV.b.", "$KV.b.", True)
    assert Places.of(own, "$JS.hub.API") == ("$KV.b.", "$JS.hub.API.$KV.b.", True)
    mirror = StreamConfig(name="KV_b", mirror=StreamSource(name="KV_o"), mirror_direct=True)
    assert Places.of(mirror, "$JS.API") == ("$KV.o.", "$KV.o.", True)
    mirror.mirror = StreamSource(name="KV_o", external=ExternalStream(api="$JS.hub.API"))
    assert Places.of(mirror, "$JS.leaf.API") == ("$KV.o.", "$JS.hub.API.$KV.o.", True)
    mirror.mirror = StreamSource(name="KV_o", subject_transforms=[SubjectTransform(src="$KV.o.>", dest="$KV.b.>")])
    assert Places.of(mirror, "$JS.API")[:2] == ("$KV.b.", "$KV.o.")


async def test_a_server_without_markers_is_not_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from midge.jetstream.infos import AccountInfo

    async with _no_server() as js:

        async def old(self: Any, *, timeout: Any = None) -> AccountInfo:
            return AccountInfo()

        monkeypatch.setattr(type(js), "account_info", old)
        with pytest.raises(LimitMarkersNotSupportedError, match="2.11"):
            await js.create_key_value("b", limit_marker_ttl=5)
