"""Days in miniature: millions of messages, thousands of requests, a thousand reconnects, and nothing grows.

Each part runs half of its work, is weighed, runs the other half and is weighed again: tasks, subscriptions, requests under way, open
files and timers must be as many as before, objects (those that the garbage collector knows) nearly so. Memory may go up and down by what
caches of a bounded size hold: of subjects that were checked, of deadlines of requests that are done.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nodes import nats_node
from proxy import DOWN, Proxy
from servers import need_nats_server
from witness import LONG, Chronicle, patiently, until

import midge
from midge.events import Reconnected

MESSAGES = 10_000_000 if LONG else 1_000_000 if midge.compiled else 200_000
REQUESTS = 100_000 if LONG else 10_000
RECONNECTS = 10_000 if LONG else 1_000
BATCH = 1000
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Weight:
    """What a process with clients has at one moment."""

    tasks: int
    files: int
    feeds: int
    requests: int
    timers: int
    objects: int
    blocks: int
    resident: int

    @classmethod
    def of(cls, *clients: midge.Client) -> Weight:
        gc.collect()
        loop = asyncio.get_running_loop()
        interests = [nc._connection.interest for nc in clients]
        scheduled = [handle for handle in getattr(loop, "_scheduled", []) if not handle.cancelled()]
        return cls(
            tasks=len(asyncio.all_tasks()),
            files=len(os.listdir("/proc/self/fd")),
            feeds=sum(len(interest.feeds) for interest in interests),
            requests=sum(len(interest.requests) for interest in interests),
            timers=len(scheduled),
            objects=len(gc.get_objects()),
            blocks=sys.getallocatedblocks(),
            resident=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        )

    def check(self, before: Weight, rounds: int) -> None:
        """Compare with the weight of so many rounds ago."""
        assert (self.tasks, self.files, self.feeds, self.requests) == (before.tasks, before.files, before.feeds, before.requests)
        assert self.timers <= before.timers + 5
        for what, slack in (("objects", 250), ("blocks", 3000), ("resident", 8 * MEBIBYTE)):
            grown = getattr(self, what) - getattr(before, what)
            assert grown < slack, f"{grown} {what} in {rounds} rounds"


async def twice(work: Callable[[int], Awaitable[None]], rounds: int, *clients: midge.Client) -> str:
    """Do half of the work, weigh, do the other half, weigh again and compare. Return what was found."""
    await work(rounds // 2)
    before = Weight.of(*clients)
    await work(rounds // 2)
    after = Weight.of(*clients)
    after.check(before, rounds // 2)
    return (
        f"{rounds} rounds; in the second half {after.objects - before.objects:+} objects, "
        f"{(after.resident - before.resident) / MEBIBYTE:+.1f} MiB; {after.tasks} tasks, {after.files} files, {after.feeds} subscriptions"
    )


@pytest.fixture(autouse=True)
def without_log(caplog: pytest.LogCaptureFixture) -> None:
    """What pytest keeps of the log would be taken for growth."""
    caplog.set_level(logging.CRITICAL + 1, "midge.client")


@pytest.fixture
def url() -> Iterator[str]:
    need_nats_server()
    with nats_node() as url:
        yield url


pytestmark = [
    pytest.mark.timeout(900 if LONG else 60),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process has is counted in /proc"),
]


async def test_messages(url: str, figure: Callable[[str], None]) -> None:
    """To a callback, to a loop, and with headers; by batches, so that nothing is dropped."""
    async with midge.connect(url) as one, midge.connect(url) as two:
        called = 0

        def callback(message: midge.Message) -> None:
            nonlocal called
            called += 1

        await two.subscribe("m", callback=callback)
        sub = await two.subscribe("m")
        looped = 0

        async def loop() -> None:
            nonlocal looped
            async for _ in sub:
                looped += 1

        looping = asyncio.ensure_future(loop())

        async def work(rounds: int) -> None:
            for _ in range(rounds):
                target = called + BATCH
                for _ in range(BATCH - 1):
                    await one.publish("m", b"sixteen bytes ..")
                await one.publish("m", b"", headers={"A": "b"})
                await until(lambda: looped == called == target)

        figure(await twice(work, MESSAGES // BATCH, one, two))
        looping.cancel()


async def test_requests(url: str, figure: Callable[[str], None]) -> None:
    """Answered, refused and timed out; with a subscription that comes and goes beside each batch."""
    async with midge.connect(url) as one, midge.connect(url) as two:
        await two.subscribe("svc", callback=lambda message: message.respond(message.data))
        await two.subscribe("silent", callback=lambda message: None)

        async def ask(subject: str, timeout: float) -> str:
            try:
                await one.request(subject, b"x", timeout=timeout)
            except (midge.MidgeTimeoutError, midge.NoRespondersError) as error:
                return type(error).__name__
            return "answered"

        async def work(rounds: int) -> None:
            for _ in range(rounds):
                sub = await one.subscribe("comes.and.goes")
                asked = [*(ask("svc", 10.0) for _ in range(90)), *(ask("nobody", 10.0) for _ in range(9)), ask("silent", 0.001)]
                outcomes = await asyncio.gather(*asked)
                assert outcomes.count("answered") == 90 and outcomes.count("NoRespondersError") == 9
                await sub.unsubscribe()

        figure(await twice(work, REQUESTS // 100, one, two))


async def test_reconnects(url: str, figure: Callable[[str], None]) -> None:
    """By each way in which a link is lost, with a request, a publish and a message in every life."""
    chronicle = Chronicle()
    async with Proxy(url) as proxy, midge.connect(url) as stable:
        await stable.subscribe("svc", callback=lambda message: message.respond(message.data))
        options = {"reconnect_wait": 0.001, "reconnect_max_wait": 0.01, "event_callback": chronicle}
        async with midge.connect(proxy.url, **options) as nc:
            sub = await nc.subscribe("m")
            done = 0

            async def work(rounds: int) -> None:
                nonlocal done
                for _ in range(rounds):
                    done += 1
                    if done % 3 == 0:
                        proxy.half_close(DOWN)
                    elif done % 3 == 1:
                        await proxy.reset()
                    else:
                        await nc.reconnect()
                    await until(lambda: len(chronicle.of(Reconnected)) > 0)
                    chronicle.entries.clear()
                    await nc.publish("m", b"x")
                    assert (await patiently(sub.next())).data == b"x"
                    assert (await patiently(nc.request("svc", b"y", timeout=None))).data == b"y"
                    await proxy.forget()

            figure(await twice(work, RECONNECTS, nc, stable))
