"""What the tests of buckets and object stores share: one of their own on a server, and what a watch gives until it has caught up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from js_places import replicated

import midge
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.context import JetStream
from midge.jetstream.key_value.bucket import KeyValue
from midge.jetstream.object_store.store import ObjectStore
from midge.nuid import Nuid

__all__ = ["bucket", "context", "first_of", "object_store"]

NUID = Nuid()


@asynccontextmanager
async def context(url: Any, **options: Any) -> AsyncIterator[tuple[JetStream, str]]:
    """A JetStream context, and a name that nobody else has; what is called by it, or begins with it, is removed afterwards."""
    nc = await midge.connect(url, **options)
    try:
        js, name = replicated(nc.jetstream(), url), "B" + NUID.next()
        try:
            yield js, name
        finally:
            async for stream in js.stream_names():
                if name in stream:
                    await js.delete_stream(stream)
    finally:
        await nc.close()


@asynccontextmanager
async def bucket(url: Any, **keywords: Any) -> AsyncIterator[KeyValue]:
    """A bucket in memory."""
    async with context(url) as (js, name):
        yield await js.create_key_value(name, **({"storage": "memory"} | keywords))


@asynccontextmanager
async def object_store(url: Any, **keywords: Any) -> AsyncIterator[ObjectStore]:
    """An object store in memory."""
    async with context(url) as (js, name):
        yield await js.create_object_store(name, **({"storage": "memory"} | keywords))


async def first_of(watcher: Any, timeout: float = 10.0) -> list[Any]:
    """What a watch gives until it has caught up."""
    found = []
    while (entry := await watcher.next(timeout)) is not CAUGHT_UP:
        found.append(entry)
    return found
