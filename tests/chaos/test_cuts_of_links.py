"""The same bad network under TLS and WebSocket: where a record or a frame of the link is cut says nothing of where one of NATS ends.

So what the proxy let through is not counted here. What is known all the same: what was confirmed before arrives, and what was published
once the client knew of the loss; nothing comes twice or out of order, and nothing that was cut in two comes at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from certificates import Files
from nodes import Node, free_port, started
from proxy import DOWN, UP, Proxy
from servers import need_nats_server
from test_cuts import FAST, publish, publish_until_lost, reconnect_while_nothing_is_read
from witness import Chronicle, Witness, number_of, numbered, patiently, runs

import midge
from midge.errors import DisconnectedError
from midge.events import Disconnected, Reconnected


class Place:
    """A nats-server with one more link than the plain one.

    Attributes:
        plain: its URL for those whom nothing happens to.
        url: the one of the link.
        options: what a client needs for it.
    """

    def __init__(self, link: str, files: Files) -> None:
        self.options: dict[str, Any] = dict(FAST)
        if link == "tls":
            self.node = Node(files.conf() + "allow_non_tls: true\n")
            port = self.node.port
        else:
            port = free_port()
            security = files.conf() if link == "wss" else "no_tls: true\n"
            self.node = Node(f'websocket {{\nhost: "127.0.0.1"\nport: {port}\n{security}compression: true\n}}\n')
        if link in ("tls", "wss"):
            self.options["tls"] = midge.TLSConfig(ca_file=files.ca)
        self.plain = self.node.url
        self.url = f"{link}://127.0.0.1:{port}"


@pytest.fixture(params=["tls", "ws", "wss"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    need_nats_server()
    place = Place(request.param, Files(tmp_path))
    with started(place.node):
        yield place


@pytest.mark.parametrize("cut", [1, 4, 5, 90, 1000, 5000])
async def test_cut_on_the_way_to_the_server(place: Place, cut: int) -> None:
    chronicle = Chronicle()
    async with Proxy(place.url) as proxy, midge.connect(place.plain) as stable:
        async with midge.connect(proxy.url, event_callback=chronicle, **place.options) as nc:
            witness = Witness(stable, "n")
            await stable.flush()
            numbers = count()
            publish(nc, numbers, 20)
            await patiently(nc.flush())
            proxy.refuse()
            proxy.cut_after(cut, UP)
            offline = await publish_until_lost(nc, numbers)
            publish(nc, numbers, 50)
            proxy.listen()
            await chronicle.heard(Reconnected)
            await witness.settle(nc)
            first, *rest = runs(witness.got)
            assert first.start == 0 and first.stop >= 20 and len(rest) <= 1
            assert witness.got[-1] == next(numbers) - 1
            assert not rest or rest[0].start <= offline


@pytest.mark.parametrize("cut", [1, 4, 5, 90, 1000, 5000])
async def test_cut_on_the_way_from_the_server(place: Place, cut: int) -> None:
    chronicle = Chronicle()
    async with Proxy(place.url) as proxy, midge.connect(place.plain) as publisher:
        async with midge.connect(proxy.url, event_callback=chronicle, **place.options) as nc:
            sub = await nc.subscribe("n")
            proxy.cut_after(cut, DOWN)
            numbers = count()
            publish(publisher, numbers, 100)
            await chronicle.heard(Reconnected)
            await patiently(nc.flush())
            publish(publisher, numbers, 20)
            await publisher.flush()
            await patiently(nc.flush())
            got = [number_of(await sub.next(1)) for _ in range(sub.pending)]
            assert got[-20:] == list(range(100, 120))
            assert got == sorted(set(got))


async def test_cut_while_connecting_and_reconnecting(place: Place) -> None:
    chronicle = Chronicle()
    async with Proxy(place.url) as proxy:
        options = place.options | {"timeout": 60.0, "event_callback": chronicle}
        async with midge.connect(proxy.url, **options) as nc:
            sub = await nc.subscribe("n")
            turns = [(DOWN, 1), (DOWN, 100), (DOWN, 300), (UP, 1), (UP, 100), (UP, 300)]
            for turn, (direction, at) in enumerate(turns, start=1):
                proxy.cut_next_after(at, direction)
                await proxy.reset()
                await chronicle.heard(Reconnected, turn)
                nc.publish("n", numbered(turn))
                assert number_of(await patiently(sub.next())) == turn


async def test_a_black_hole(place: Place) -> None:
    chronicle = Chronicle()
    async with Proxy(place.url) as proxy, midge.connect(place.plain) as stable:
        options = place.options | {"ping_interval": 0.1, "max_pings_out": 2, "timeout": 1.0}
        async with midge.connect(proxy.url, event_callback=chronicle, **options) as nc:
            witness = Witness(stable, "n")
            await stable.flush()
            numbers = count()
            publish(nc, numbers, 20)
            await nc.flush()
            proxy.black_hole()
            with pytest.raises(DisconnectedError):
                await patiently(nc.flush(None))
            publish(nc, numbers, 50)
            proxy.forward()
            await chronicle.heard(Reconnected)
            await witness.settle(nc)
            assert witness.got == list(range(next(numbers)))


async def test_reconnecting_on_demand_while_the_server_reads_nothing(place: Place) -> None:
    for compression in (False, True) if place.url.startswith("ws") else (False,):
        await reconnect_while_nothing_is_read(place.url, place.plain, place.options | {"ws_compression": compression})


@pytest.mark.parametrize("how", ["close", "drain", "reset", "end", "half"])
async def test_ends(place: Place, how: str) -> None:
    """By us or by the network, the link and what waits in it end in their time."""
    chronicle = Chronicle()
    async with Proxy(place.url) as proxy:
        nc = await midge.connect(proxy.url, event_callback=chronicle, **place.options)
        sub = await nc.subscribe("n")
        if how in ("close", "drain"):
            nc.publish("n", numbered(1))
            await patiently(nc.close() if how == "close" else nc.drain(), how)
            await asyncio.wait([proxy.last.task], timeout=30)
            assert proxy.last.task.done() and chronicle.of(Disconnected) == []
            return
        if how == "reset":
            await proxy.reset()
        else:
            proxy.half_close(DOWN if how == "end" else UP)
        await chronicle.heard(Reconnected)
        nc.publish("n", numbered(2))
        assert number_of(await patiently(sub.next())) == 2
        await patiently(nc.close())
