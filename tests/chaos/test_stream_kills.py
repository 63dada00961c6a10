"""Servers that keep a stream are killed (SIGKILL) and started again while clients publish to it and read it in every way there is.

Our server alone, and a cluster of three nats-servers with the stream kept three times, of which the stream's leader is killed. Once with
an inbox prefix of the client's own where ``_INBOX.>`` is denied. The clients are made once and nobody touches them: every message that
was acknowledged comes to every reader at least once, to those that read in order in order, and a watch ends with what was put last.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from js_places import wait_for_leader
from nodes import Node, cluster_nodes, started
from servers import need_nats_server
from witness import LONG, runs

import midge
from midge.jetstream import JetStream, StreamMessage
from midge.jetstream.caught_up import CAUGHT_UP

Figure = Callable[[str], None]
OPTIONS: dict[str, Any] = {"reconnect_wait": 0.02, "reconnect_max_wait": 0.2, "max_reconnects": None}
SECONDS = 60.0 if LONG else 0.0
PATIENCE = 90.0  # for all to come that is still on its way; an ordered reader takes 10 s to see that its consumer is gone
DENIED = """
accounts {{ A {{ jetstream: enabled, users: [{{ user: a, password: a, permissions: {{ {denied} }} }}] }} }}
no_auth_user: a
"""
DENY = 'publish: { deny: "_INBOX.>" }, subscribe: { deny: "_INBOX.>" }'
MIDGE = [sys.executable, "-m", "midge", "serve"]
ALLOWED = (midge.MidgeError,)


class Place:
    """Where the stream is, and who is killed."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.replicas = len(nodes)
        self.kills = 0

    async def victim(self, js: JetStream) -> Node:
        """Return the node that leads the stream."""
        if self.replicas == 1:
            return self.nodes[0]
        while True:
            try:
                cluster = (await js.stream("S").info(timeout=2)).cluster
            except ALLOWED:
                cluster = None
            if cluster is not None and cluster.leader:
                return self.nodes[int(cluster.leader.removeprefix("node"))]
            await asyncio.sleep(0.05)

    async def bounce(self, js: JetStream, down: float) -> None:
        """Kill who leads, and start it again after a while."""
        node = await self.victim(js)
        await asyncio.to_thread(node.kill)
        self.kills += 1
        await asyncio.sleep(down)
        await asyncio.to_thread(node.start)


@asynccontextmanager
async def place(kind: str, directory: Path, is_denied: bool) -> AsyncIterator[Place]:
    config = DENIED.format(denied=DENY if is_denied else "")
    if kind == "midge":
        nodes = [Node(f'{config}\njetstream {{ store_dir: "{directory}" }}', program=MIDGE)]
    else:
        need_nats_server()
        nodes = cluster_nodes(3, config, stores=directory)
    with started(*nodes):
        if len(nodes) > 1:
            await wait_for_leader(nodes[0].url, inbox_prefix="box")
        yield Place(nodes)


class Readers:
    """All who read the stream, by how they do it, and the numbers that came to each."""

    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {}
        self.last_put = 0
        self.watched = 0
        self.tasks: list[asyncio.Task[None]] = []

    def read(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self.seen[name] = []
        self.tasks.append(asyncio.create_task(coroutine, name=name))

    def take(self, name: str, message: StreamMessage) -> None:
        self.seen[name].append(int(message.data))

    async def begin(self, js: JetStream, stack: AsyncExitStack) -> None:
        stream = js.stream("S")
        options: dict[str, Any] = {"ack_policy": "explicit", "ack_wait": 2, "max_ack_pending": 5_000}
        for name in ("loop", "fetch", "callback"):
            await stream.create_consumer(durable_name=name, **options)
        inbox = js.client.new_inbox()
        push = await stream.create_consumer(durable_name="push", deliver_subject=inbox, idle_heartbeat=1, flow_control=True, **options)
        self.read("loop", self.loop(stream.consumer("loop").consume(expires=5), "loop"))
        self.read("push", self.loop(push.consume(), "push"))
        self.read("fetch", self.fetch(stream.consumer("fetch")))
        self.read("ordered", self.ordered(stream.ordered_consumer()))
        self.seen["callback"] = []
        await stack.enter_async_context(stream.consumer("callback").consume(lambda each: self.take("callback", each), expires=5))
        self.tasks.append(asyncio.create_task(self.watch(js), name="watch"))

    async def loop(self, consuming: Any, name: str) -> None:
        async for message in consuming:
            self.take(name, message)
            message.ack()

    async def fetch(self, consumer: Any) -> None:
        while True:
            try:
                messages = await consumer.fetch(50, timeout=2)
            except ALLOWED:
                await asyncio.sleep(0.05)
                continue
            for message in messages:
                self.take("fetch", message)
                message.ack()

    async def ordered(self, ordered: Any) -> None:
        last = 0
        async for message in ordered:
            assert message.metadata.stream_seq > last
            last = message.metadata.stream_seq
            self.take("ordered", message)

    async def watch(self, js: JetStream) -> None:
        async with js.key_value("B").watch("k") as watcher:
            async for entry in watcher:
                if entry is not CAUGHT_UP:
                    self.watched = int(entry.value)


class Writers:
    """All who publish, and what was acknowledged."""

    def __init__(self) -> None:
        self.next = 0
        self.acked: set[int] = set()
        self.outcomes: Counter[str] = Counter()

    def number(self) -> int:
        self.next += 1
        return self.next

    async def publish(self, js: JetStream) -> None:
        while True:
            number = self.number()
            await self.note(number, js.publish("s.a", b"%d" % number, timeout=3), "publish")

    async def publish_async(self, js: JetStream) -> None:
        while True:
            numbers = [self.number() for _ in range(20)]
            try:
                acks = [(number, await js.publish_async("s.b", b"%d" % number)) for number in numbers]
            except ALLOWED as error:
                self.outcomes[f"publish_async, not sent: {type(error).__name__}"] += 1
                await asyncio.sleep(0.05)
                continue
            for number, ack in acks:
                await self.note(number, ack, "publish_async")

    async def put(self, js: JetStream, readers: Readers) -> None:
        kv, value = js.key_value("B"), 0
        while True:
            value += 1
            if await self.note(0, kv.put("k", b"%d" % value, timeout=3), "put"):
                readers.last_put = value
            await asyncio.sleep(0.01)

    async def note(self, number: int, awaitable: Any, what: str) -> bool:
        try:
            await awaitable
        except ALLOWED as error:
            self.outcomes[f"{what}: {type(error).__name__}"] += 1
            await asyncio.sleep(0.02)
            return False
        self.outcomes[what] += 1
        self.acked.add(number)
        await asyncio.sleep(0.002)
        return True


async def consumer_names(js: JetStream, stream: str) -> set[str]:
    return {name async for name in js.stream(stream).consumer_names()}


async def all_there(readers: Readers, acked: set[int]) -> None:
    """Return when everything that was acknowledged has come to everybody."""
    end = time.monotonic() + PATIENCE
    while True:
        for task in readers.tasks:
            assert not task.done(), (task.get_name(), task.exception())
        missing = {name: sorted(acked - set(seen)) for name, seen in readers.seen.items()}
        if not any(missing.values()) and readers.watched >= readers.last_put:
            return
        if time.monotonic() > end:
            holes = {name: (len(each), runs(each)[:5]) for name, each in missing.items() if each}
            pytest.fail(f"acknowledged and not delivered: {holes}; watched {readers.watched} of {readers.last_put}")
        await asyncio.sleep(0.05)


@pytest.mark.timeout(400 if LONG else 120)
@pytest.mark.parametrize("is_denied", [pytest.param(False, id="plain"), pytest.param(True, id="own-inbox")])
@pytest.mark.parametrize("kind", ["midge", "cluster"])
async def test_what_was_acknowledged_comes_to_everybody(tmp_path: Path, figure: Figure, kind: str, is_denied: bool) -> None:
    if kind == "cluster" and not is_denied and not LONG:
        pytest.skip("takes a while: MIDGE_LONG runs it")
    async with place(kind, tmp_path, is_denied) as here, AsyncExitStack() as stack:
        urls = [node.url for node in here.nodes]
        options = OPTIONS | ({"inbox_prefix": "box"} if is_denied else {})
        clients = [await stack.enter_async_context(midge.connect(urls, **options)) for _ in range(3)]
        admin, reading, writing = (client.jetstream(timeout=5) for client in clients)
        await admin.create_stream(name="S", subjects=["s.>"], num_replicas=here.replicas)
        await admin.create_key_value("B", replicas=here.replicas)
        readers, writers = Readers(), Writers()
        inner = await stack.enter_async_context(AsyncExitStack())
        await readers.begin(reading, inner)
        load = [
            asyncio.create_task(each) for each in (writers.publish(writing), writers.publish_async(writing), writers.put(writing, readers))
        ]
        ends = time.monotonic() + SECONDS
        count = 2 if kind == "midge" else 1
        while here.kills < count or time.monotonic() < ends:
            acked = len(writers.acked)
            while len(writers.acked) < acked + 200:  # it works
                assert not any(task.done() for task in load), load
                await asyncio.sleep(0.01)
            await here.bounce(admin, 0.2 if kind == "midge" else 2.0)
        acked = len(writers.acked)
        while len(writers.acked) < acked + 200:
            await asyncio.sleep(0.01)
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
        began = time.monotonic()
        await all_there(readers, writers.acked - {0})
        figure(f"{here.kills} kills; {dict(writers.outcomes)}; all there {time.monotonic() - began:.1f} s later")
        figure(f"{ {name: (len(seen), len(seen) - len(set(seen))) for name, seen in readers.seen.items()} } delivered, of them twice")
        for task in readers.tasks:
            task.cancel()
        await asyncio.gather(*readers.tasks, return_exceptions=True)
