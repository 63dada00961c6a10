"""Objects of which what describes them lies or makes no sense: nobody else's object suffers, and the name can be had again."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from bucket_worlds import object_store

from midge.jetstream.object_store.errors import ObjectDamagedError, ObjectNotFoundError
from midge.jetstream.object_store.store import ObjectStore

DEEP = b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
LIES = [
    b"",
    b"garbage",
    b"[]",
    DEEP,
    {"nuid": ">"},
    {"nuid": "*"},
    {"nuid": "a.b"},
    {"nuid": "a b"},
    {"nuid": ""},
    {"size": -1},
    {"chunks": -1},
    {"size": 1 << 70},
    {"chunks": 1 << 62},
]


async def lie(store: ObjectStore, name: str, lies: Any) -> None:
    """Store what describes an object, as somebody else might."""
    if isinstance(lies, dict):
        lies = json.dumps({"name": name, "bucket": store.bucket, "nuid": "N", "size": 1, "chunks": 1} | lies).encode()
    await store._js.publish(f"$O.{store.bucket}.M.{urlsafe_b64encode(name.encode()).decode()}", lies)


async def messages(store: ObjectStore) -> int:
    return (await store.stream.info()).state.messages


@pytest.mark.parametrize("how", ["put", "delete"])
@pytest.mark.parametrize("lies", LIES, ids=lambda lies: repr(lies)[:30])
async def test_a_damaged_object_is_replaced_and_deleted_and_takes_no_other_with_it(url: str, lies: Any, how: str) -> None:
    async with object_store(url) as store:
        await store.put("good", b"good")
        await lie(store, "bad", lies)
        with pytest.raises(ObjectDamagedError):
            await store.get_bytes("bad")
        if how == "put":
            await store.put("bad", b"now")
            assert await store.get_bytes("bad") == b"now"
        await store.delete("bad")
        with pytest.raises(ObjectNotFoundError):
            await store.info("bad")
        assert await store.get_bytes("good") == b"good"
        assert await messages(store) == 3  # two of the one, and what is left of the other: no chunks


async def test_an_object_that_says_it_is_another_is_itself(url: str) -> None:
    async with object_store(url) as store, object_store(url) as other:
        await store.put("victim", b"v")
        await lie(store, "liar", {"name": "victim", "bucket": other.bucket})
        info = await store.info("liar")
        assert (info.name, info.bucket) == ("liar", store.bucket)
        assert sorted([info.name async for info in store.list()]) == ["liar", "victim"]
        assert (await store.delete("liar")).name == "liar"
        assert await store.get_bytes("victim") == b"v"
        with pytest.raises(ObjectNotFoundError):
            await store.info("liar")


async def test_a_damaged_object_hides_no_others_from_a_list(url: str) -> None:
    async with object_store(url) as store:
        await lie(store, "a", b"garbage")
        await lie(store, "b", DEEP)
        await store.put("c", b"c")
        names = []
        with pytest.raises(ObjectDamagedError):
            async for info in store.list():
                names.append(info.name)
        assert names == ["c"]


@pytest.mark.parametrize(
    "given", [{"metadata": {"a": object()}}, {"description": object()}, {"name": "\udcff"}], ids=["value", "text", "name"]
)
async def test_what_cannot_be_described_leaves_no_chunks(url: str, given: dict[str, Any]) -> None:
    async with object_store(url) as store:
        with pytest.raises((TypeError, ValueError)):
            await store.put(**({"name": "a", "source": b"x"} | given))
        assert await messages(store) == 0


async def test_a_put_that_does_not_get_to_say_what_it_was_leaves_no_chunks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with object_store(url) as store:

        async def cancelled(*_: Any) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(store, "_last_stored", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await store.put("a", b"x")
        assert await messages(store) == 0


async def test_a_read_that_was_cancelled_goes_on_where_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with object_store(url) as store:
        data = bytes(range(256)) * 4
        await store.put("a", data, chunk_size=64)
        async with store.get("a") as reader:
            read_one, cancel_at = type(reader).__anext__, [5, 9]

            async def interrupted(self: Any) -> bytes:
                if cancel_at and reader._count == cancel_at[0]:
                    cancel_at.pop(0)
                    raise asyncio.CancelledError
                return await read_one(self)

            monkeypatch.setattr(type(reader), "__anext__", interrupted)
            for _ in range(2):
                with pytest.raises(asyncio.CancelledError):
                    await reader.read()
            assert await reader.read() == data
            assert await reader.read() == b""
