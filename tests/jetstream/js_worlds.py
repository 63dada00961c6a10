"""What the tests of JetStream in the client share: a client with a stream of its own, a server that says what it is told, and waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from js_places import kept, replicated

import midge
from midge.client.client import Client
from midge.jetstream.consumer import Consumer
from midge.jetstream.context import JetStream
from midge.jetstream.stream import Stream
from midge.nuid import Nuid

__all__ = ["Liar", "World", "filled", "lying", "until", "world"]

NUID = Nuid()


class World:
    """A client and a stream that takes ``<its name>.>``, in memory."""

    def __init__(self, nc: Client, js: JetStream, stream: Stream) -> None:
        self.nc = nc
        self.js = js
        self.stream = stream
        self.name = stream.name

    def subject(self, rest: str = "a") -> str:
        return f"{self.name}.{rest}"

    async def fill(self, count: int, rest: str = "a", data: Callable[[int], bytes] = lambda number: b"%d" % number) -> None:
        """Publish so many messages, numbered from 1."""
        for number in range(1, count + 1):
            await self.js.publish_async(self.subject(rest), data(number))
        await self.js.publish_async_done(10)

    async def known_to(self, consumer: Consumer, count: int) -> None:
        """Return when a consumer has so many messages to deliver: in a cluster, its server may be a little behind the stream's leader."""
        async with asyncio.timeout(5):
            while (await consumer.info()).num_pending < count:
                await asyncio.sleep(0.002)

    async def consumer(self, **keywords: Any) -> Consumer:
        return await self.stream.create_consumer(**({"durable_name": "C"} | keywords))

    def subscriptions(self) -> int:
        """How many the client has, but for that of its requests."""
        return len(self.nc._connection.interest.feeds)


@asynccontextmanager
async def world(
    url: Any, *, jetstream: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **config: Any
) -> AsyncIterator[World]:
    """A client of a server, and a stream that goes with it. ``config`` is the stream's."""
    nc = await midge.connect(url, **(options or {}))
    try:
        js = replicated(nc.jetstream(**(jetstream or {})), url)
        name = "S" + NUID.next()
        stream = await js.create_stream(**({"name": name, "subjects": [f"{name}.>"], "storage": "memory", "allow_direct": True} | config))
        try:
            yield World(nc, js, stream)
        finally:
            if nc.is_connected:
                try:
                    await stream.delete(timeout=2)
                except (midge.JetStreamError, midge.MidgeTimeoutError):
                    pass
    finally:
        await nc.close()


@asynccontextmanager
async def filled(url: Any, count: int, **config: Any) -> AsyncIterator[tuple[World, Consumer]]:
    """A world with so many messages, and its consumer; what begins with ``consumer_`` is the consumer's."""
    own = {name.removeprefix("consumer_"): config.pop(name) for name in list(config) if name.startswith("consumer_")}
    async with world(url, **config) as here:
        await here.fill(count)
        consumer = await here.consumer(**own)
        if kept(url) > 1 and not own:
            await here.known_to(consumer, count)
        made = [consumer]
        del consumer  # who takes it may want to be the only one who has it
        yield here, made.pop()


async def until(is_so: Callable[[], object], seconds: float = 5.0) -> None:
    """Return when something is so."""
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.002)


class Liar:
    """A JetStream that answers what the test says: ``answers`` has, by the subject behind ``$JS.API.``, a JSON object or a function of
    the request that returns one, bytes, or None for no answer.

    Attributes:
        asked: what it was asked: (subject, JSON object or None).
        subscription: to all of it.
    """

    subscription: midge.Subscription

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []

    def receive(self, message: midge.Message) -> None:
        name = message.subject.removeprefix("$JS.API.")
        body = json.loads(message.data) if message.data else None
        self.asked.append((name, body))
        answer = self.answers.get(name)
        if callable(answer):
            answer = answer(body)
        if answer is not None:
            message.respond(answer if isinstance(answer, bytes) else json.dumps(answer).encode())


@asynccontextmanager
async def lying() -> AsyncIterator[tuple[Client, Liar]]:
    """A client of a server without JetStream, and who plays that part."""
    async with midge.Server(port=0, listen=False) as server, midge.connect(server) as nc, midge.connect(server) as other:
        liar = Liar(other)
        liar.subscription = await other.subscribe("$JS.API.>", callback=liar.receive)
        yield nc, liar
