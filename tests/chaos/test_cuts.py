"""A client whose one server is behind a bad network: delayed, cut in the middle of a frame, swallowed, refused, reset.

The messages are numbered, and the numbers that arrived are compared with what the proxy let through: what reached the server arrives
once, what was published after the loss was known arrives, all of it in order, and only what the kernel had taken in between may be missing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from nodes import Node
from proxy import DOWN, UP, Proxy
from witness import Chronicle, Witness, number_of, numbered, patiently, runs, until

import midge
from midge.errors import ConnectionClosedError, DisconnectedError, MidgeTimeoutError, NoRespondersError, SubscriptionClosedError
from midge.events import Disconnected, Reconnected

SIZE = 100
PUB = len(b"PUB n 100\r\n") + SIZE + 2
MSG = len(b"MSG n 1 100\r\n") + SIZE + 2
WHOLE_RECORD = 16384 - len(b"PUB n 16369\r\n") - 8 - 2  # bytes behind the number with which a publish is exactly a record of TLS
FAST: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_max_wait": 0.05, "timeout": 2.0}


def publish(nc: midge.Client, numbers: "count[int]", times: int, size: int = SIZE) -> None:
    for _ in range(times):
        nc.publish("n", numbered(next(numbers), size))


async def publish_until_lost(nc: midge.Client, numbers: "count[int]") -> int:
    """Publish, one message a turn, until the client knows that it is disconnected. Return the number that comes next."""
    for number in numbers:
        if not nc.is_connected:
            nc.publish("n", numbered(number, SIZE))
            return number
        nc.publish("n", numbered(number, SIZE))
        await asyncio.sleep(0)
    raise AssertionError


@pytest.mark.parametrize("cut", [1, 8, 11, 50, PUB - 1, PUB, PUB + 1, 20 * PUB + 60])
async def test_cut_on_the_way_to_the_server(node: Node, cut: int) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(node.url) as stable:
        async with midge.connect(proxy.url, event_callback=chronicle, **FAST) as nc:
            witness = Witness(stable, "n")
            await stable.flush()
            numbers = count()
            publish(nc, numbers, 20)
            await nc.flush()
            proxy.refuse()
            proxy.cut_after(cut, UP)
            offline = await publish_until_lost(nc, numbers)
            publish(nc, numbers, 50)
            assert not nc.is_connected
            proxy.listen()
            await chronicle.heard(Reconnected)
            publish(nc, numbers, 20)
            await witness.settle(nc)
            whole, rest = range(20 + cut // PUB), range(witness.got[20 + cut // PUB], next(numbers))
            assert witness.got == [*whole, *rest], runs(witness.got)
            assert rest.start <= offline
            assert len(chronicle.of(Disconnected)) == len(chronicle.of(Reconnected)) == 1


@pytest.mark.parametrize("cut", [1, 8, 13, 50, MSG - 1, MSG, MSG + 1, 20 * MSG + 60])
async def test_cut_on_the_way_from_the_server(node: Node, cut: int) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(node.url) as publisher:
        async with midge.connect(proxy.url, event_callback=chronicle, **FAST) as nc:
            sub = await nc.subscribe("n")
            assert sub.sid == 1
            proxy.cut_after(cut, DOWN)
            numbers = count()
            publish(publisher, numbers, 100)
            await chronicle.heard(Reconnected)
            await patiently(nc.flush())
            publish(publisher, numbers, 20)
            await publisher.flush()
            await patiently(nc.flush())
            got = [number_of(await sub.next(1)) for _ in range(sub.pending)]
            rest = range(100, 120)  # some of the hundred, too, where the server routed them after we were back
            assert [*got[: cut // MSG], *got[-20:]] == [*range(cut // MSG), *rest], runs(got)
            assert got == sorted(set(got))


async def test_cut_while_connecting(node: Node) -> None:
    """At every stage of the handshake: the next attempt goes well, and nobody waits for the timeout."""
    async with Proxy(node.url) as proxy:
        for direction, at in ((DOWN, 1), (DOWN, 40), (UP, 1), (UP, 60)):
            proxy.cut_next_after(at, direction)
            before = len(proxy.links)
            nc = await patiently(midge.connect([proxy.url, node.url], randomize=False, timeout=60.0))
            assert nc.connected_url == node.url and len(proxy.links) == before + 1
            await nc.close()


async def test_cut_while_reconnecting(node: Node) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(proxy.url, event_callback=chronicle, **FAST | {"timeout": 60.0}) as nc:
        sub = nc.subscribe("n")
        for turn, (direction, at) in enumerate(((DOWN, 1), (DOWN, 40), (UP, 1), (UP, 60)), start=1):
            proxy.cut_next_after(at, direction)
            await proxy.reset()
            nc.publish("n", numbered(turn))
            reconnected = await chronicle.heard(Reconnected, turn)
            assert reconnected.attempts == 2
            assert number_of(await patiently(sub.next())) == turn


async def test_whole_frames_that_wait_are_kept_and_the_half_sent_one_is_not_sent_again(node: Node) -> None:
    """The server reads nothing, so the kernel is full and the outbox, too, when the link is lost: every whole frame in it arrives."""
    size = 1000
    frame = len(b"PUB n 1000\r\n") + size + 2
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(node.url) as stable:
        async with midge.connect(proxy.url, event_callback=chronicle, **FAST) as nc:
            witness = Witness(stable, "n")
            await stable.flush()
            proxy.hold(UP)
            numbers = count()
            left = 0
            while left < (1 << 20) or left != len(nc._connection.session.outbox):  # until the kernel takes no more, and a megabyte waits
                left = len(nc._connection.session.outbox)
                if left < (1 << 20):
                    publish(nc, numbers, 100, size)
                for _ in range(20):
                    await asyncio.sleep(0)
            await proxy.reset()
            published = next(numbers)
            nc.publish("n", numbered(published, size))
            await chronicle.heard(Reconnected)
            publish(nc, numbers, 20, size)
            await witness.settle(nc)
            first = published - left // frame
            assert [run.stop for run in runs(witness.got)][-1] == next(numbers)
            assert runs(witness.got)[-1].start == first, (runs(witness.got), left, frame)
            assert chronicle.of(Disconnected)[0].lost == (1 if left % frame else 0)


async def test_delay(node: Node) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(node.url) as stable:
        async with midge.connect(proxy.url, event_callback=chronicle) as nc:
            witness = Witness(stable, "n")
            stable.subscribe("svc", callback=lambda message: message.respond(message.data))
            await stable.flush()
            proxy.delay(0.02)
            numbers = count()
            for _ in range(10):
                publish(nc, numbers, 50)
                replies = await asyncio.gather(*(nc.request("svc", b"%d" % i) for i in range(10)))
                assert [reply.data for reply in replies] == [b"%d" % i for i in range(10)]
            await witness.settle(nc)
            assert witness.got == list(range(500))
            assert chronicle.of(Disconnected) == []


async def test_a_black_hole_is_noticed_and_nothing_published_into_it_later_is_lost(node: Node) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(node.url) as stable:
        options = FAST | {"ping_interval": 0.1, "max_pings_out": 2, "timeout": 0.3}
        async with midge.connect(proxy.url, event_callback=chronicle, **options) as nc:
            witness = Witness(stable, "n")
            await stable.flush()
            numbers = count()
            publish(nc, numbers, 20)
            await nc.flush()
            proxy.black_hole()
            with pytest.raises(ConnectionError):
                await patiently(nc.flush(None))
            assert not nc.is_connected
            offline = next(numbers)
            nc.publish("n", numbered(offline, SIZE))
            publish(nc, numbers, 50)
            await until(lambda: len(proxy.links) >= 3, "attempts that are swallowed")
            with pytest.raises(MidgeTimeoutError):
                await patiently(nc.request("svc", timeout=0.05))
            proxy.forward()
            await chronicle.heard(Reconnected)
            await witness.settle(nc)
            assert witness.got == list(range(next(numbers)))


async def test_a_black_hole_while_connecting_is_left_for_the_next_server(node: Node) -> None:
    async with Proxy(node.url) as proxy:
        proxy.black_hole()
        async with midge.connect([proxy.url, node.url], randomize=False, timeout=0.2) as nc:
            assert nc.connected_url == node.url


@pytest.mark.parametrize("swallowed", [True, False], ids=["black hole", "refused"])
@pytest.mark.parametrize("how", ["close", "drain"])
async def test_ending_returns_in_its_time_however_bad_the_network(node: Node, swallowed: bool, how: str) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy:
        nc = await midge.connect(proxy.url, event_callback=chronicle, drain_timeout=0.3, **FAST | {"timeout": 60.0})
        sub = await nc.subscribe("n")
        asking = asyncio.ensure_future(sub.next())
        requesting = asyncio.ensure_future(nc.request("svc", timeout=None))
        await asyncio.sleep(0)
        if swallowed:
            proxy.black_hole()
        else:
            proxy.refuse()
            await proxy.reset()
            await chronicle.heard(Disconnected)
        nc.publish("n", b"x")
        if how == "close":
            await patiently(nc.close(), how)
        else:
            with pytest.raises((MidgeTimeoutError, ConnectionClosedError)):
                await patiently(nc.drain(), how)
        assert nc.is_closed
        for waiting in (asking, requesting):
            with pytest.raises((ConnectionClosedError, SubscriptionClosedError, NoRespondersError)):
                await patiently(waiting)


@pytest.mark.parametrize("how", ["reset", "close", "end", "half"])
async def test_each_way_to_lose_a_link_leads_to_the_next(node: Node, how: str) -> None:
    chronicle = Chronicle()
    async with Proxy(node.url) as proxy, midge.connect(proxy.url, event_callback=chronicle, **FAST) as nc:
        sub = await nc.subscribe("n")
        ends: dict[str, Callable[[], Any]] = {
            "reset": proxy.reset, "close": proxy.close_links, "end": lambda: proxy.half_close(DOWN), "half": lambda: proxy.half_close(UP),
        }  # fmt: skip
        for turn in range(1, 4):
            if (ending := ends[how]()) is not None:
                await ending
            await chronicle.heard(Reconnected, turn)
            nc.publish("n", numbered(turn))
            assert number_of(await patiently(sub.next())) == turn
        assert [event.attempts for event in chronicle.of(Reconnected)] == [1, 1, 1]


async def test_requests_across_a_cut(node: Node) -> None:
    """A request whose answer comes after the link was made again is answered; one whose answer was cut times out, by its timeout."""
    chronicle = Chronicle()
    held: list[midge.Message] = []
    async with Proxy(node.url) as proxy, midge.connect(node.url) as stable:
        await stable.subscribe("slow", callback=held.append)
        await stable.subscribe("svc", callback=lambda message: message.respond(message.data))
        async with midge.connect(proxy.url, event_callback=chronicle, **FAST) as nc:
            slow = asyncio.ensure_future(nc.request("slow", timeout=60))
            await until(lambda: bool(held))
            proxy.cut_after(10, DOWN)
            lost = asyncio.ensure_future(nc.request("svc", b"x", timeout=0.5))
            await chronicle.heard(Reconnected)
            await patiently(nc.flush())
            held[0].respond(b"at last")
            assert (await patiently(slow)).data == b"at last"
            with pytest.raises(MidgeTimeoutError):
                await patiently(lost)
            proxy.refuse()
            await proxy.reset()
            await chronicle.heard(Disconnected, 2)
            meanwhile = asyncio.gather(*(nc.request("svc", b"%d" % i, timeout=60) for i in range(20)))
            await asyncio.sleep(0)
            proxy.listen()
            assert [reply.data for reply in await patiently(meanwhile)] == [b"%d" % i for i in range(20)]


async def test_requests_that_are_to_fail_at_once_do(node: Node) -> None:
    async with Proxy(node.url) as proxy, midge.connect(node.url) as stable:
        held: list[midge.Message] = []
        await stable.subscribe("slow", callback=held.append)
        async with midge.connect(proxy.url, fail_requests=True, **FAST) as nc:
            requests = [asyncio.ensure_future(nc.request("slow", timeout=None)) for _ in range(5)]
            await until(lambda: len(held) == 5)
            await proxy.reset()
            for request in requests:
                with pytest.raises(DisconnectedError):
                    await patiently(request)


async def test_reconnecting_on_demand_loses_nothing_that_was_published(node: Node) -> None:
    """A healthy link is let go of while much comes in by it: the server must have read what it was sent before it hears of the end."""
    async with midge.connect(node.url) as stable, midge.connect(node.url) as flooder, midge.connect(node.url, **FAST) as nc:
        witness = Witness(stable, "n")
        await stable.flush()
        await nc.subscribe("flood", callback=lambda message: None)

        async def flood() -> None:
            while True:
                for _ in range(50):
                    await flooder.publish("flood", bytes(10_000))
                await asyncio.sleep(0)

        flooding = asyncio.ensure_future(flood())
        numbers = count()
        for _ in range(100):
            publish(nc, numbers, 100)
            await asyncio.sleep(0)
            await patiently(nc.reconnect())
        flooding.cancel()
        await until(lambda: not nc._connection.tasks, "the end of the links that were left")
        await witness.settle(nc)
        assert sorted(witness.got) == list(range(next(numbers)))


async def reconnect_while_nothing_is_read(url: str, plain: str, options: dict[str, Any]) -> None:
    """A link is let go of in the middle of a frame, of a record, of a publish, and its server reads on only after there is another."""
    chronicle = Chronicle()
    noise = random.Random(1).randbytes(60_000)  # which no WebSocket can deflate
    async with Proxy(url) as proxy, midge.connect(plain) as stable:
        async with midge.connect(proxy.url, event_callback=chronicle, **options) as nc:
            witness = Witness(stable, "n")
            await stable.flush()
            numbers = count()
            for size in (60_000, 4_000, WHOLE_RECORD):
                proxy.hold(UP)
                held = proxy.last
                while len(nc._connection.session.outbox) < 200_000:
                    nc.publish("n", numbered(next(numbers)) + noise[:size])
                    await asyncio.sleep(0)
                await patiently(nc.reconnect())
                publish(nc, numbers, 10)
                held.flows[UP].release()
                await until(lambda: not nc._connection.tasks, "the end of the link that was left")
            await witness.settle(nc)
            assert sorted(witness.got) == list(range(next(numbers)))
            assert [event.lost for event in chronicle.of(Disconnected)] == [0, 0, 0]


async def test_reconnecting_on_demand_while_the_server_reads_nothing(node: Node) -> None:
    await reconnect_while_nothing_is_read(node.url, node.url, FAST)
