"""Real nats-servers that are killed (SIGKILL) and started again under load: a cluster of three in turn, and one alone.

What must arrive is known exactly. A publisher numbers its messages and asks for a receipt with some of them; subscribers give receipts
for what they got. Between two receipts of a subscriber whose node was not killed in between nothing may be missing, except that the
node of the publisher takes along what it was sent last: what was published after the last receipt and before the client knew of
the loss. What was published while the client knew, it had accepted for later: that all arrives. Nothing arrives twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from nodes import Node, cluster_nodes, started
from servers import need_nats_server
from witness import LONG, PATIENCE, Chronicle, number_of, numbered, patiently, runs, until

import midge
from midge.errors import DisconnectedError, MidgeTimeoutError, NoRespondersError
from midge.events import Connected, Disconnected, Reconnected, ReconnectFailed

Figure = Callable[[str], None]
FAST: dict[str, Any] = {"reconnect_wait": 0.02, "reconnect_max_wait": 0.1, "timeout": 2.0}
KILLS = 60 if LONG else 6
SECONDS = 60.0 if LONG else 0.0  # at least so long, where that takes more than KILLS
RECEIPT_EVERY = 20
ALLOWED = (MidgeTimeoutError, NoRespondersError, DisconnectedError)


class Subscriber:
    """A client of one node: notes the numbers that come, gives receipts, and answers requests."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.got: list[int] = []
        self.chronicle = Chronicle()

    async def connect(self, stack: AsyncExitStack) -> None:
        options = FAST | {"ignore_discovered": True, "event_callback": self.chronicle}
        self.nc = await stack.enter_async_context(midge.connect(self.node.url, **options))
        await self.nc.subscribe("load", callback=self._note)
        await self.nc.subscribe("svc", queue="workers", callback=lambda message: message.respond(message.data))
        await self.nc.subscribe(f"probe.{self.node.port}", callback=lambda message: message.respond())

    async def knows(self, others: list[Subscriber]) -> None:
        """Return when this subscriber's node has heard of what is subscribed at the others': a node that it does not know gets nothing."""
        for other in others:
            while True:
                try:
                    await patiently(self.nc.request(f"probe.{other.node.port}", timeout=1.0), "a probe")
                    break
                except ALLOWED:
                    await asyncio.sleep(0.01)

    def _note(self, message: midge.Message) -> None:
        self.got.append(number_of(message))
        if message.reply:
            message.respond(message.data, headers={"From": self.node.url})


@dataclass
class Publisher:
    """Publishes numbers for as long as it runs, and collects receipts.

    Attributes:
        offline: numbers that were published while the client knew that it was disconnected.
        receipts: by subscriber, the numbers that it has confirmed.
    """

    nc: midge.Client
    next: int = 0
    offline: list[int] = field(default_factory=list)
    receipts: dict[str, list[int]] = field(default_factory=dict)

    async def run(self) -> None:
        inbox = self.nc.new_inbox()
        await self.nc.subscribe(inbox, callback=self._receive)
        while True:
            number = self.next
            if not self.nc.is_connected:
                self.offline.append(number)
            self.next += 1
            await self.nc.publish("load", numbered(number, 64), reply=None if number % RECEIPT_EVERY else inbox)
            if number % 4 == 0:
                await asyncio.sleep(0.001)

    def _receive(self, message: midge.Message) -> None:
        self.receipts.setdefault(message.headers["From"], []).append(number_of(message))

    def last_receipt(self, url: str) -> int:
        return max(self.receipts.get(url, [0]))

    async def confirmed(self, url: str) -> int:
        """Return the number of a receipt for something that is published from now on."""
        now = self.next
        await until(lambda: self.last_receipt(url) > now, f"a receipt from {url}")
        return min(number for number in self.receipts[url] if number > now)


async def keep_requesting(nc: midge.Client, outcomes: Counter[str], wrong: list[object]) -> None:
    """Request without end; every answer must be the right one, every error one of those that are allowed."""
    for number in count():
        try:
            reply = await patiently(nc.request("svc", b"%d" % number, timeout=1.0), "a request")
        except ALLOWED as error:
            outcomes[type(error).__name__] += 1
            await asyncio.sleep(0.005)
        else:
            outcomes["answered"] += 1
            if reply.data != b"%d" % number:
                wrong.append((number, reply.data))


async def keep_flushing(nc: midge.Client, outcomes: Counter[str]) -> None:
    while True:
        try:
            await patiently(nc.flush(5.0), "a flush")
            outcomes["flushed"] += 1
        except ALLOWED as error:
            outcomes["not flushed: " + type(error).__name__] += 1
        await asyncio.sleep(0.005)


def failed_after(subscriber: Subscriber, at: float) -> int:
    """How many attempts have failed after the node could be reached again."""
    return len(subscriber.chronicle.of(ReconnectFailed, at))


@pytest.mark.timeout(300 if LONG else 90)
async def test_the_nodes_of_a_cluster_are_killed_in_turn(figure: Figure) -> None:
    """Each node in turn, and in between the one that the publisher is connected to."""
    need_nats_server()
    nodes = cluster_nodes(3)
    subscribers = [Subscriber(node) for node in nodes]
    chronicle = Chronicle()
    outcomes: Counter[str] = Counter()
    wrong: list[object] = []
    may_miss: dict[str, set[int]] = {node.url: set() for node in nodes}
    back_after: list[float] = []
    moved_after: list[float] = []
    with started(*nodes):
        async with AsyncExitStack() as stack:
            for subscriber in subscribers:
                await subscriber.connect(stack)
            urls = [node.url for node in nodes]
            publisher = Publisher(await stack.enter_async_context(midge.connect(urls, event_callback=chronicle, **FAST)))
            requester = await stack.enter_async_context(midge.connect(urls, **FAST))
            async with asyncio.TaskGroup() as group:
                load = [group.create_task(publisher.run())]
                load += [group.create_task(keep_requesting(requester, outcomes, wrong)) for _ in range(4)]
                load += [group.create_task(keep_flushing(nc, outcomes)) for nc in (publisher.nc, requester, *(s.nc for s in subscribers))]
                first = {url: await publisher.confirmed(url) for url in urls}  # what came before they had all met is not counted
                ends = time.monotonic() + SECONDS
                for turn in count():
                    if turn >= KILLS and time.monotonic() > ends:
                        break
                    for subscriber in subscribers:
                        await subscriber.knows(subscribers)
                    home = next(s for s in subscribers if s.node.url == publisher.nc.connected_url)
                    victim = home if turn % 2 else subscribers[turn // 2 % 3]
                    others = [url for url in urls if url != victim.node.url]
                    losses = len(chronicle.of(Disconnected))
                    known = {url: publisher.last_receipt(url) for url in urls}
                    killed_at = time.monotonic()
                    await asyncio.to_thread(victim.node.kill)
                    if victim is home:
                        await chronicle.heard(Reconnected, losses + 1)
                        moved_after.append(chronicle.last_time(Reconnected) - killed_at)
                        offline = next(number for number in publisher.offline if number > known[others[0]])
                        for url in others:
                            may_miss[url].update(range(known[url] + 1, offline))
                    for url in others:
                        await publisher.confirmed(url)
                    answered = outcomes["answered"]
                    await until(lambda: outcomes["answered"] > answered + 20, "answers while a node is down")
                    reconnections = len(victim.chronicle.of(Reconnected))
                    await asyncio.to_thread(victim.node.start)
                    await victim.chronicle.heard(Reconnected, reconnections + 1)
                    back_after.append(victim.chronicle.last_time(Reconnected) - victim.node.listening_at)
                    assert failed_after(victim, victim.node.listening_at) <= 1, "one may have been under way when the node came back"
                    may_miss[victim.node.url].update(range(known[victim.node.url] + 1, await publisher.confirmed(victim.node.url)))
                last = {url: await publisher.confirmed(url) for url in urls}
                for task in load:
                    task.cancel()
    assert not wrong and outcomes["answered"] > 0
    for subscriber in subscribers:
        url = subscriber.node.url
        assert len(subscriber.got) == len(set(subscriber.got)), "something arrived twice"
        missing = set(range(first[url], last[url])) - set(subscriber.got) - may_miss[url]
        assert not missing, runs(sorted(missing))
        assert subscriber.chronicle.of(Connected)
    figure(f"{turn} kills, {publisher.next} messages, {len(publisher.offline)} of them offline; {dict(outcomes)}")
    figure(f"publisher at a live node {milliseconds(moved_after)} after a kill")
    figure(f"subscriber back {milliseconds(back_after)} after the log line")


def milliseconds(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    ordered = sorted(max(0.0, value) * 1000 for value in seconds)
    return f"{ordered[0]:.1f} / {ordered[len(ordered) // 2]:.1f} / {ordered[-1]:.1f} ms (least, median, most of {len(ordered)})"


@pytest.mark.timeout(300 if LONG else 60)
async def test_one_server_is_bounced(node: Node, figure: Figure) -> None:
    """A client that hears itself: what it publishes while the server is down comes back to it afterwards, all of it, in order, once."""
    chronicle = Chronicle()
    got: list[int] = []
    back_after: list[float] = []
    numbers = count()
    async with midge.connect(node.url, event_callback=chronicle, **FAST) as nc:
        await nc.subscribe("load", callback=lambda message: got.append(number_of(message)))
        await nc.subscribe("svc", callback=lambda message: message.respond(message.data))
        turns = 0
        ends = time.monotonic() + SECONDS
        while turns < (3 * KILLS if LONG else 4) or time.monotonic() < ends:
            turns += 1
            for _ in range(500):
                await nc.publish("load", numbered(next(numbers)))
            await patiently(nc.flush())
            await asyncio.to_thread(node.kill)
            await chronicle.heard(Disconnected, turns)
            assert not nc.is_connected
            for _ in range(500):
                await nc.publish("load", numbered(next(numbers)))
            request = asyncio.ensure_future(nc.request("svc", b"%d" % turns, timeout=PATIENCE))
            flushing = asyncio.ensure_future(nc.flush(PATIENCE))
            await until(lambda: len(chronicle.of(ReconnectFailed)) >= 2 * turns, "attempts that fail")
            await asyncio.to_thread(node.start)
            await chronicle.heard(Reconnected, turns)
            back_after.append(chronicle.last_time(Reconnected) - node.listening_at)
            assert len(chronicle.of(ReconnectFailed, node.listening_at)) <= 1
            assert (await patiently(request)).data == b"%d" % turns
            await asyncio.wait([flushing], timeout=PATIENCE)
            assert flushing.done() and isinstance(flushing.exception(), (DisconnectedError, type(None)))
            await patiently(nc.flush())
            assert got == list(range(1000 * turns)), runs(got)
    figure(f"{turns} bounces; back {milliseconds(back_after)} after the log line")
