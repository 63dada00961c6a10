"""A client whose waits are cancelled at random, while its link is lost and made again: nothing is lost, nothing hangs.

The model is three lists of numbers: what the client published reaches a witness; what was fed to the client is taken from its
subscription, and both are compared at the end. Links are lost in the way that loses nothing: the server's side ends, and what
the client has sent by then still arrives. So every accepted publish arrives once, however often it was cancelled.

A wait that was cancelled ends as cancelled, and as nothing else; one that was not ends with its result or an error of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy import DOWN, UP, Proxy
from witness import LONG, Witness, number_of, numbered, patiently, until

import midge
from midge.errors import DisconnectedError, MidgeError
from midge.events import Disconnected, ErrorOccurred, Event

EXAMPLES = 3_000 if LONG else 200
READERS = ("next", "loop")
LARGE = 60_000  # four of these make a publisher wait


@dataclass
class Wait:
    """An operation under way, and whether we have cancelled it."""

    name: str
    task: asyncio.Task[None]
    was_cancelled: bool = False

    def cancel(self) -> None:
        if not self.task.done():
            self.task.cancel()
            self.was_cancelled = True

    async def check(self) -> None:
        """See it to its end, which must be the right one."""
        await asyncio.wait([self.task], timeout=10)
        assert self.task.done(), f"{self.name} hangs"
        if self.was_cancelled:
            assert self.task.cancelled(), f"{self.name} was cancelled and ended otherwise: {self.task!r}"
        else:
            assert not self.task.cancelled(), f"{self.name} was not cancelled, but ended so"
            error = self.task.exception()
            assert error is None or isinstance(error, MidgeError), f"{self.name}: {error!r}"


@dataclass
class World:
    """A server, a client behind a proxy, two more that nothing happens to, and what is to come out."""

    proxy: Proxy
    nc: midge.Client
    feeder: midge.Client
    witness: Witness
    sub: midge.Subscription
    events: list[Event]
    accepted: list[int] = field(default_factory=list)
    fed: int = 0
    taken: list[int] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    # Operations that wait

    async def publish(self, times: int, size: int) -> None:
        for _ in range(times):
            number = len(self.accepted)
            answer = self.nc.publish("out", numbered(number, size))
            self.accepted.append(number)
            await answer

    async def next(self) -> None:
        self.taken.append(number_of(await self.sub.next()))

    async def loop(self) -> None:
        async for message in self.sub:
            self.taken.append(number_of(message))
            await asyncio.sleep(0)

    async def request(self) -> None:
        reply = await self.nc.request("svc", b"question", timeout=0.2)  # which it may need, where a link takes the answer along
        assert reply.data == b"question"

    async def subscribe(self) -> None:
        sub = await self.nc.subscribe("other")
        await sub.drain()

    async def callback(self) -> None:
        async def work(message: midge.Message) -> None:
            await asyncio.sleep(0)

        sub = await self.nc.subscribe("svc", queue="q", callback=work)
        sub.unsubscribe()

    async def connect(self) -> None:
        other = await midge.connect(self.proxy.url, reconnect_wait=0.001, retry_on_failed_connect=True)
        await other.close()

    # Disturbances

    async def feed(self, times: int, turns: int | None = None) -> None:
        """Bring the client messages, for certain: its link is up, and it has heard of them when this returns.

        So many turns after they have come in, while they are being handed over, who waits for them first is cancelled.
        """
        if self.proxy.is_refusing:
            return
        self.release()
        await self.up()
        came = self.nc.stats.in_msgs
        for _ in range(times):
            self.feeder.publish("in", numbered(self.fed))
            self.fed += 1
        if turns is not None:
            while self.nc.stats.in_msgs == came:
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            for wait in [wait for wait in self.waits if wait.name in READERS and not wait.task.done()][:1]:
                wait.cancel()
        await patiently(self.feeder.flush())
        await patiently(self.nc.flush())

    async def up(self) -> None:
        """Return when the client is connected and everybody knows it."""
        while True:
            await until(lambda: self.nc.is_connected)
            try:
                await patiently(self.nc.flush())
            except ConnectionError:
                continue
            return

    def cut(self) -> None:
        """The server's side of every link ends; what the client has sent still arrives."""
        for link in self.proxy.links:
            if not link.task.done():
                link.flows[UP].release()
                link.flows[DOWN].end()

    def hold(self) -> None:
        """The server reads nothing for a while, so that who publishes much has to wait."""
        for link in self.proxy.links:
            link.flows[UP].hold()

    def release(self) -> None:
        for link in self.proxy.links:
            link.flows[UP].release()

    async def finish(self) -> None:
        """Heal the network and see everything to its end."""
        self.release()
        if self.proxy.is_refusing:
            self.proxy.listen()
        await self.up()
        for wait in self.waits:
            if wait.name in READERS:
                wait.cancel()
        for wait in self.waits:
            await wait.check()
        await self.up()
        await until(lambda: sum(not link.task.done() for link in self.proxy.links) == 1, "the end of the links that were left")


OPERATIONS: dict[str, Callable[[World], Coroutine[Any, Any, None]]] = {
    "publish": lambda world: world.publish(3, 8),
    "publish much": lambda world: world.publish(60, LARGE),
    "flush": lambda world: world.nc.flush(),
    "next": World.next,
    "loop": World.loop,
    "request": World.request,
    "subscribe": World.subscribe,
    "callback": World.callback,
    "connect": World.connect,
    "reconnect": lambda world: world.nc.reconnect(),
}  # fmt: skip

DISTURBANCES = ["cancel"] * 3 + ["feed", "cut", "hold", "release", "refuse", "listen"] + ["feed and cancel", "cut"] * 2
NAMES = [*sorted(OPERATIONS), "next", "next", *DISTURBANCES]
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 6)), min_size=6, max_size=30)
ENDS = st.tuples(st.sampled_from(["drain", "close", "drain subscription"]), st.one_of(st.none(), st.integers(0, 12)), st.booleans())


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    events: list[Event] = []
    async with midge.Server(port=0) as server, Proxy(server.url) as proxy:
        async with midge.connect(server.url) as stable, midge.connect(server.url) as feeder:
            await stable.subscribe("svc", queue="q", callback=lambda message: message.respond(message.data))
            witness = Witness(stable, "out")
            await stable.flush()
            options: dict[str, Any] = {
                "reconnect_wait": 0.001,
                "reconnect_max_wait": 0.005,
                "timeout": 5.0,
                "event_callback": events.append,
            }
            nc = await midge.connect(proxy.url, **options)
            sub = await nc.subscribe("in")
            made = World(proxy, nc, feeder, witness, sub, events)
            yield made
            await patiently(nc.close())


async def act(world: World, name: str, amount: int) -> None:
    if name in OPERATIONS:
        world.waits.append(Wait(name, asyncio.ensure_future(OPERATIONS[name](world))))
    elif name == "cancel":
        if world.waits:
            world.waits[amount % len(world.waits)].cancel()
    elif name == "feed":
        await world.feed(amount)
    elif name == "feed and cancel":
        await world.feed(2, amount % 3)
        return
    elif name == "refuse":
        world.proxy.refuse()
    elif name == "listen":
        if world.proxy.is_refusing:
            world.proxy.listen()
    else:
        {"cut": world.cut, "hold": world.hold, "release": world.release}[name]()
    for _ in range(amount):
        await asyncio.sleep(0)


async def end(world: World, how: str, turns: int | None, offline: bool) -> None:
    """End the client, perhaps cancelled while it does, perhaps while it is disconnected."""
    if not offline:
        await world.publish(3, 8)
    else:
        world.proxy.refuse()
        world.cut()
        await until(lambda: not world.nc.is_connected)
    operation = {"drain": world.nc.drain, "close": world.nc.close, "drain subscription": world.sub.drain}[how]
    wait = Wait(how, asyncio.ensure_future(operation()))
    if offline and turns is None:
        await asyncio.sleep(0)
        world.proxy.listen()
    elif turns is not None:
        for _ in range(turns):
            await asyncio.sleep(0)
        wait.cancel()
    await wait.check()
    await patiently(world.nc.close(), "close")
    assert world.nc.is_closed and world.nc._connection.interest.requests == {}


@pytest.mark.timeout(1800 if LONG else 60)
@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, ENDS)
def test_cancelled_at_random_while_links_are_lost(steps: list[tuple[str, int]], ending: tuple[str, int | None, bool]) -> None:
    problems: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with world() as made:
            for name, amount in steps:
                await act(made, name, amount)
            await made.finish()
            await made.witness.settle(made.nc)
            check_arrived(made)
            await end(made, *ending)
            while made.sub.pending:
                await patiently(made.next())
            assert sorted(made.taken) == list(range(made.fed)), "what was fed was taken, once"
            await made.witness.nc.flush()
            check_arrived(made)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner() as runner:
        runner.run(main())
    assert not problems, problems


def check_arrived(world: World) -> None:
    """Everything accepted has arrived, and once, except what the client said was half sent. Two links may overtake each other.

    A link that is given up on demand finishes what it has begun: where it is lost before it could, that is an error of its own.
    """
    got = set(world.witness.got)
    assert len(world.witness.got) == len(got)
    lost = sum(event.lost for event in world.events if isinstance(event, Disconnected))
    lost += sum(
        event.error.lost for event in world.events if isinstance(event, ErrorOccurred) and isinstance(event.error, DisconnectedError)
    )
    missing = set(world.accepted) - got
    assert len(missing) <= lost, sorted(missing)
