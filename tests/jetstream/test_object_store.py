"""ObjectStore: in and out, from and to everything; links, what describes objects, watches, seals; on our server and on nats-server."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bucket_worlds import context, first_of, object_store
from js_places import kept

from midge.errors import InvalidSubjectError, JetStreamError, MidgeTimeoutError
from midge.jetstream.async_publisher import AsyncPublisher, PendingAck
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.key_value.errors import BucketExistsError, BucketNotFoundError
from midge.jetstream.object_store.errors import ObjectDamagedError, ObjectExistsError, ObjectLinkError, ObjectNotFoundError
from midge.jetstream.object_store.info import ObjectInfo, info_bytes
from midge.jetstream.object_store.store import ObjectStore
from midge.jetstream.object_store.upload import Upload

DATA = os.urandom(300_001)


async def chunks_left(store: ObjectStore) -> int:
    """How many chunks the stream has, of whatever object."""
    return sum([count async for _, count in store.stream.subjects(f"$O.{store.bucket}.C.>")])


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_what_describes_an_object(url: str) -> None:
    async with object_store(url) as store:
        info = await store.put("a/ b é", DATA, description="d", headers={"x": "1", "y": ["2", "3"]}, metadata={"k": "v"}, chunk_size=1_000)
        digest = "SHA-256=" + urlsafe_b64encode(hashlib.sha256(DATA).digest()).decode()
        assert (info.name, info.bucket, info.size, info.chunks, info.digest) == ("a/ b é", store.bucket, 300_001, 301, digest)
        assert (info.description, info.headers, info.metadata, info.deleted) == ("d", {"x": ["1"], "y": ["2", "3"]}, {"k": "v"}, False)
        assert info.options is not None and info.options.max_chunk_size == 1_000 and len(info.nuid) == 22
        read = await store.info("a/ b é")
        assert read.mtime is not None and info.mtime is not None and abs((read.mtime - info.mtime).total_seconds()) < 5
        info.mtime = read.mtime
        assert read == info
        assert await store.get_bytes("a/ b é") == DATA
        assert await chunks_left(store) == 301


@pytest.mark.cluster
@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 2_000])
@pytest.mark.parametrize("kind", ["bytes", "memoryview", "file", "path", "generator", "iterable", "async file"])
async def test_an_object_comes_from_anything(url: str, kind: str, size: int, tmp_path: Path) -> None:
    class AsyncFile(io.BytesIO):
        async def read(self, size: int = -1, /) -> bytes:  # type: ignore[override]
            return super().read(size)

    data = DATA[:size]
    (tmp_path / "in").write_bytes(data)
    sources: dict[str, Any] = {
        "bytes": data,
        "memoryview": memoryview(bytearray(data)),
        "file": io.BytesIO(data),
        "path": tmp_path / "in",
        "generator": pieces(data, 7),
        "iterable": [data[:500], data[500:]],
        "async file": AsyncFile(data),
    }
    async with object_store(url) as store:
        info = await store.put("o", sources[kind], chunk_size=1_000)
        assert (info.size, info.chunks) == (size, -(-size // 1_000))
        assert await store.get_bytes("o") == data


async def test_an_object_goes_anywhere(url: str, tmp_path: Path) -> None:
    async with object_store(url) as store:
        put = await store.put("o", DATA, chunk_size=10_000)
        async with store.get("o") as reader:
            assert reader.info.nuid == put.nuid
            found = [chunk async for chunk in reader]
        assert b"".join(found) == DATA and len(found) == 31
        file = io.BytesIO()
        assert (await store.get_file("o", file)).digest == put.digest
        assert file.getvalue() == DATA
        path = tmp_path / "out"
        path.write_bytes(b"before")
        await store.get_file("o", path)
        assert path.read_bytes() == DATA
        with pytest.raises(ObjectNotFoundError):
            await store.get_file("none", path)
        assert path.read_bytes() == DATA and [each.name for each in tmp_path.iterdir()] == ["out"]
        reader = await store.get("o")
        await anext(reader)
        await reader.stop()
        assert [chunk async for chunk in reader] == []
        with pytest.raises(TypeError, match="goes to a Path or a file"):
            await store.get_file("o", str(path))  # type: ignore[arg-type]


async def test_a_file_that_an_object_becomes_is_like_any_other(url: str, tmp_path: Path) -> None:
    """Its rights are those that the umask leaves, and its name may be as long as any."""
    async with object_store(url) as store:
        await store.put("o", b"1")
        other = tmp_path / "other"
        other.write_bytes(b"")
        for name in ("short", "å" * 120):
            await store.get_file("o", tmp_path / name)
            assert (tmp_path / name).stat().st_mode == other.stat().st_mode


async def test_a_reader_that_has_not_found_its_object_can_try_again(url: str) -> None:
    async with object_store(url) as store:
        reader = store.get("o")
        for _ in range(2):
            with pytest.raises(ObjectNotFoundError):
                await reader
        await store.put("o", b"1")
        assert await (await reader).read() == b"1"


async def test_small_chunks_are_bounded_by_their_number(url: str) -> None:
    """Each costs more than its bytes, here and on the way."""
    async with object_store(url) as store:
        await store.put("o", b"x" * 2_000, chunk_size=1)
        async with store.get("o") as reader:
            for number in range(2_000):
                await anext(reader)
                assert reader._consumer is not None and reader._consumer.at_hand <= 1_000 - (number == 0)
        assert Upload(store._js, store.stream, "s", 1, None)._publisher.max_pending == 1_000


async def test_a_put_that_is_cancelled_with_its_first_chunk_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(AsyncPublisher):
        async def publish(self, *arguments: Any) -> PendingAck:
            await super().publish(*arguments)
            sent.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

    monkeypatch.setattr("midge.jetstream.context.AsyncPublisher", Full)
    async with object_store(url) as store:
        sent = asyncio.Event()
        putting = asyncio.create_task(store.put("o", b"x" * 5_000, chunk_size=1_000))
        await sent.wait()
        putting.cancel()
        await asyncio.wait([putting])
        assert putting.cancelled() and await chunks_left(store) == 0


async def test_another_object_of_a_name_takes_its_place(url: str) -> None:
    async with object_store(url) as store:
        await store.put("o", b"1" * 5_000, chunk_size=1_000)
        await store.put("o", b"2" * 3_000, chunk_size=1_000)
        assert await store.get_bytes("o") == b"2" * 3_000 and await chunks_left(store) == 3
        results = await asyncio.gather(*(store.put("o", b"%d" % number * 3_000, chunk_size=1_000) for number in range(4)))
        winner = await store.info("o")
        assert winner.digest in {info.digest for info in results} and await chunks_left(store) == 3
        assert len(await store.get_bytes("o")) == 3_000


async def test_an_object_that_fails_leaves_nothing(url: str) -> None:
    async def failing() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 1_000
        raise OSError("the source is broken")

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x" * 5_000
        begun.set()
        await asyncio.Event().wait()

    async with object_store(url) as store:
        await store.put("o", b"before", chunk_size=1_000)
        with pytest.raises(OSError, match="broken"):
            await store.put("o", failing(), chunk_size=1_000)
        begun = asyncio.Event()
        putting = asyncio.create_task(store.put("o", stuck(), chunk_size=1_000))
        await begun.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await store.get_bytes("o") == b"before" and await chunks_left(store) == 1
    async with object_store(url, max_bytes=100_000) as store:
        await store.put("o", b"before")
        with pytest.raises(JetStreamError, match="maximum bytes exceeded"):
            await store.put("o", DATA, chunk_size=10_000)
        assert await store.get_bytes("o") == b"before" and await chunks_left(store) == 1


async def test_what_cannot_be_put(url: str) -> None:
    async with object_store(url) as store:
        for source in ("text", 7, None, ["text"], io.StringIO("text")):
            with pytest.raises(TypeError, match="an object is made of bytes"):
                await store.put("o", source)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="empty"):
            await store.put("", b"1")
        with pytest.raises(ValueError, match="chunk_size=0"):
            await store.put("o", b"1", chunk_size=0)
        with pytest.raises(FileNotFoundError):
            await store.put("o", Path("/nonexistent"))
        assert [info async for info in store.list()] == []


async def test_deleted_objects_are_not_found_but_can_be_listed(url: str) -> None:
    async with object_store(url) as store:
        await store.put("o", DATA)
        await store.put("p", b"1")
        info = await store.delete("o")
        assert info.deleted and info.size == 0 and info.digest == "" and await chunks_left(store) == 1
        for call in (lambda: store.info("o"), lambda: store.get_bytes("o"), lambda: store.update_meta("o"), lambda: store.delete("never")):
            with pytest.raises(ObjectNotFoundError, match=f"object store '{store.bucket}' has no object"):
                await call()  # type: ignore[no-untyped-call]
        assert (await store.info("o", show_deleted=True)).deleted
        assert [each.name async for each in store.list()] == ["p"]
        assert sorted([each.name async for each in store.list(show_deleted=True)]) == ["o", "p"]
        await store.delete("o")
        await store.put("o", b"again")
        assert await store.get_bytes("o") == b"again"


async def test_links_lead_to_objects_and_stores(url: str) -> None:
    async with object_store(url) as store:
        other = await store._js.create_object_store(store.bucket + "2", storage="memory")
        target = await store.put("o", DATA)
        link = await store.add_link("l", target)
        far = await other.add_link("far", target)
        assert await store.get_bytes("l") == await other.get_bytes("far") == DATA
        async with other.get("far") as reader:
            assert (reader.info.bucket, reader.info.name) == (store.bucket, "o")
        whole = await other.add_bucket_link("whole", store)
        assert whole.link is not None and (whole.link.bucket, whole.link.name) == (store.bucket, "")
        with pytest.raises(ObjectLinkError, match=f"a link to the whole store '{store.bucket}'"):
            await other.get_bytes("whole")
        for wrong in (link, far, await store.delete("l")):
            with pytest.raises(ObjectLinkError, match="no link can lead there"):
                await store.add_link("x", wrong)
        await store.add_link("l", target)  # in place of what is deleted
        await store.add_bucket_link("l", other)  # and of a link
        with pytest.raises(ObjectExistsError, match=f"object store '{store.bucket}' has an object 'o'"):
            await store.add_link("o", target)
        await store.delete("o")
        with pytest.raises(ObjectNotFoundError):
            await other.get_bytes("far")
        target.name = "l2"
        await store.add_link("l1", target)
        target.name = "l1"
        await store.add_link("l2", target)
        with pytest.raises(ObjectLinkError, match="more than 8 links"):
            await store.get_bytes("l1")


async def test_what_describes_an_object_can_be_changed(url: str) -> None:
    async with object_store(url) as store:
        await store.put("o", DATA, description="d", headers={"a": "1"})
        await store.put("other", b"1")
        info = await store.update_meta("o", new_name="n", description="e", metadata={"k": "v"})
        assert (info.name, info.description, info.headers, info.metadata) == ("n", "e", {"a": ["1"]}, {"k": "v"})
        assert await store.get_bytes("n") == DATA and sorted([each.name async for each in store.list(show_deleted=True)]) == ["n", "other"]
        with pytest.raises(ObjectExistsError):
            await store.update_meta("n", new_name="other")
        await store.delete("other")
        assert (await store.update_meta("n", new_name="other", headers={})).headers == {}
        assert await store.get_bytes("other") == DATA


async def test_what_a_newer_client_says_of_an_object_is_kept(url: str) -> None:
    async with object_store(url) as store:
        info = await store.put("o", b"1")
        info.unknown = {"future": {"a": 1}}
        await store._js.publish(store.info_subject("o"), info_bytes(info), rollup="sub")
        assert (await store.update_meta("o", description="d")).unknown == {"future": {"a": 1}}
        assert (await store.info("o")).unknown == {"future": {"a": 1}}


@pytest.mark.cluster
async def test_a_watch_of_objects(url: str) -> None:
    async with object_store(url) as store:
        await store.put("a", b"1")
        await store.put("b", b"1")
        await store.delete("a")
        async with store.watch() as watcher, store.watch(ignore_deletes=True) as kept, store.watch(updates_only=True) as updates:
            assert [(info.name, info.deleted) for info in await first_of(watcher)] == [("b", False), ("a", True)]
            assert [info.name for info in await first_of(kept)] == ["b"]
            assert await first_of(updates) == []
            await store.put("c", b"1")
            await store.delete("b")
            for each, names in ((watcher, "cb"), (kept, "c"), (updates, "cb")):
                for name in names:
                    info = await each.next(5)
                    assert info is not CAUGHT_UP and info.name == name and info.mtime is not None
            with pytest.raises(MidgeTimeoutError, match="a change of <ObjectStore"):
                await kept.next(0.05)
        async with object_store(url) as empty, empty.watch() as watcher:
            assert await watcher.next(5) is CAUGHT_UP


async def test_what_was_damaged_is_not_given_out_as_whole(url: str, tmp_path: Path) -> None:
    async with object_store(url) as store:
        info = await store.put("o", DATA, chunk_size=100_000)
        chunk = store.chunk_subject(info.nuid)

        async def again(**changes: Any) -> None:
            for name, value in changes.items():
                setattr(info, name, value)
            await store._js.publish(store.info_subject("o"), info_bytes(info), rollup="sub")

        digest = info.digest
        for reason, changes in {
            "its digest is another one": {"digest": "SHA-256=" + urlsafe_b64encode(hashlib.sha256(b"").digest()).decode()},
            "nobody knows its digest": {"digest": "MD5=abc"},
            "instead of 400000": {"digest": digest, "size": 400_000},
            "more than 200000 bytes": {"size": 200_000},
            "4 of its 5 chunks are there": {"size": len(DATA), "chunks": 5},
        }.items():
            await again(**changes)
            with pytest.raises(ObjectDamagedError, match=reason):
                await store.get_file("o", tmp_path / "out")
            assert not list(tmp_path.iterdir())
        await again(chunks=4)
        await store.stream.purge(chunk)
        with pytest.raises(ObjectDamagedError, match="0 of its 4 chunks"):
            await store.get_bytes("o")
        await store._js.publish(store.info_subject("o"), b'{"name":7}', rollup="sub")
        with pytest.raises(ObjectDamagedError, match="makes no sense"):
            await store.info("o")


async def test_an_object_that_goes_while_it_is_read_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.jetstream.object_store.reader.AT_HAND", 10_000)
    async with object_store(url) as store:
        for is_replaced in (True, False):
            await store.put("o", b"x" * 100_000, chunk_size=1_000)
            async with store.get("o", timeout=0.5) as reader:
                await anext(reader)
                await (store.put("o", b"y") if is_replaced else store.delete("o"))
                with pytest.raises(ObjectDamagedError, match="replaced meanwhile" if is_replaced else "deleted meanwhile"):
                    await reader.read()


async def test_a_store_is_made_changed_listed_sealed_and_removed(url: str) -> None:
    async with context(url) as (js, name):
        await js.create_object_store(name, description="d", ttl=600, max_bytes=1 << 20, metadata={"a": "b"}, compression=True)
        store = await js.create_object_store(name, description="d", ttl=600, max_bytes=1 << 20, metadata={"a": "b"}, compression=True)
        config = (await store.stream.info()).config
        assert config.subjects == [f"$O.{name}.C.>", f"$O.{name}.M.>"] and config.allow_direct and config.allow_rollup_hdrs
        assert (config.discard, config.storage, config.compression, config.max_age) == ("new", "file", "s2", 600.0)
        with pytest.raises(BucketExistsError):
            await js.create_object_store(name, description="other")
        await js.update_object_store(name, description="e")
        await js.ensure_object_store(name, description="e", max_bytes=2 << 20)
        await js.ensure_object_store(name + "2")
        status = await store.status()
        assert (status.bucket, status.description, status.ttl, status.storage, status.replicas) == (name, "e", 600.0, "file", kept(url))
        assert not status.is_sealed and status.is_compressed and status.metadata["a"] == "b" and status.config.max_bytes == 2 << 20
        assert {each async for each in js.object_store_names()} >= {name, name + "2"}
        assert {each.bucket async for each in js.object_stores()} >= {name, name + "2"}
        await store.put("o", b"1")
        assert (await store.seal()).is_sealed and (await store.status()).size > 0
        with pytest.raises(JetStreamError, match="sealed"):
            await store.put("p", b"1")
        assert await store.get_bytes("o") == b"1"
        await js.delete_object_store(name)
        calls: list[Any] = [
            lambda: store.info("o"),
            lambda: store.put("o", b"1"),
            lambda: store.get_bytes("o"),
            lambda: store.list().__anext__(),
            lambda: store.watch().__aenter__(),
            store.seal,
            lambda: js.delete_object_store(name),
            lambda: js.update_object_store(name),
        ]
        for call in calls:
            with pytest.raises(BucketNotFoundError, match=name):
                await call()
        for wrong in ("", "a.b", "a b"):
            with pytest.raises(InvalidSubjectError, match="invalid bucket name"):
                js.object_store(wrong)


async def test_no_consumer_of_an_object_is_left_behind(url: str) -> None:
    async with object_store(url) as store:
        await store.put("o", DATA, chunk_size=1_000)
        for _ in range(3):
            await store.get_bytes("o")
            async with store.get("o") as reader:
                await anext(reader)
            assert len([info async for info in store.list()]) == 1
        for _ in range(200):
            if not [name async for name in store.stream.consumer_names()]:
                break
            await asyncio.sleep(0.01)
        assert not [name async for name in store.stream.consumer_names()]


async def test_a_large_object_is_never_in_memory_as_a_whole(url: str) -> None:
    """What this process keeps of it is counted: what is on its way, and what is at hand."""
    size, piece = 48 << 20, bytes(1 << 20)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async with object_store(url, storage="file") as store:
        await store.put("o", source())
        total, most = 0, 0
        async with store.get("o") as reader:
            async for chunk in reader:
                total += len(chunk)
                assert reader._consumer is not None
                most = max(most, reader._consumer.at_hand * len(chunk))
                await asyncio.sleep(0)
        assert total == size and most <= 9 << 20


def test_info_is_stored_without_what_is_empty() -> None:
    assert info_bytes(ObjectInfo(name="a", bucket="b", nuid="n")) == b'{"name":"a","bucket":"b","nuid":"n","size":0,"chunks":0}'
