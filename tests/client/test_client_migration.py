"""A server is about to shut down: the application learns of it, and the client moves to another where it may and can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeLink, FakeLinks, FakeServer, Peer, info, is_waiting, msg, turns

import midge
from midge import events
from midge.client import migration as migration_module
from midge.client.connection import Connection

DUCK = info(server_id="ONE", ldm=True)


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[events.Event]]:
    """The events that were emitted, save those of subscriptions; nobody waits before a move."""
    seen: list[events.Event] = []
    monkeypatch.setattr(Connection, "emit", lambda self, event: None if isinstance(event, events.SubscriptionEnded) else seen.append(event))
    monkeypatch.setattr(migration_module, "SPREAD_SECONDS", 0.0)
    yield seen


async def other(peer: Peer) -> None:
    """It does not mind who goes in the middle of it."""
    peer.send(info(server_id="TWO"))
    if await peer.line():
        await peer.serve()


async def until_moved(nc: midge.Client, url: str) -> None:
    while nc.connected_url != url:
        await nc._connection.changed.wait()


async def test_moving(seen: list[events.Event]) -> None:
    go, moved = asyncio.Event(), asyncio.Event()

    async def old(peer: Peer) -> None:
        await peer.greet(server_id="ONE")
        await peer.expect(b"SUB a q 1", b"SUB b 2")
        await go.wait()
        peer.send(DUCK, msg("a", 1, b"1"))
        await peer.pong()
        await moved.wait()
        await peer.expect(b"UNSUB 1", b"UNSUB 2")
        await peer.pong(msg("a", 1, b"2"), msg("b", 2, b"on its way"))
        assert await peer.line() == b"", "it is left, not closed"

    async def new(peer: Peer) -> None:
        await peer.greet(server_id="TWO")
        await peer.expect(b"SUB a q 1", b"SUB b 2")
        moved.set()
        await peer.expect(b"PUB c 1", b"x")
        await peer.pong()
        peer.send(msg("a", 1, b"3"))
        await peer.serve()

    async with FakeServer(old) as one, FakeServer(new) as two:
        nc = await midge.connect([one.url, two.url], randomize=False, migrate=True)
        a, b = nc.subscribe("a", queue="q"), nc.subscribe("b")
        await turns()
        go.set()
        await until_moved(nc, two.url)
        await nc.publish("c", b"x")
        assert sorted([(await a.next(5)).data for _ in range(3)]) == [b"1", b"2", b"3"]
        assert (await b.next(5)).data == b"on its way"
        await nc.flush()
        assert nc.stats.reconnects == 1 and nc.status == "open"
        while len(nc._connection.tasks):
            await asyncio.sleep(0)
        await nc.close()
    assert [event.kind for event in seen] == ["connected", "lame_duck", "reconnected", "closed"]


async def duck_and_other(**options: Any) -> tuple[midge.Client, FakeLink, FakeLinks]:
    """A client, its link to a server that is about to say so, and where the client can go."""
    one, two = FakeLinks(), FakeLinks()
    one.info, two.info, two.url = {"server_id": "ONE"}, {"server_id": "TWO"}, "nats://other:4222"
    nc = await midge.connect(one, migrate=True, **options)
    pool = nc._connection.pool
    pool._servers += pool._new_servers([two])
    return nc, one.links[0], two


async def test_what_the_old_link_had_not_sent_goes_by_the_new_one() -> None:
    nc, old, two = await duck_and_other()
    old.answers = False
    old.sent()
    old.come(DUCK)
    while b"PING" not in old.sent():
        await asyncio.sleep(0)
    old.takes = False
    old.come(b"PONG\r\n")
    nc.publish("a", b"kept")
    await until_moved(nc, two.url)
    assert old.owner is not None
    old.owner.link_lost(OSError("gone"))
    await turns(20)
    assert b"PUB a 4\r\nkept\r\n" in two.links[0].sent()
    assert not nc._connection.tasks, "nobody waits for a link that is gone"
    await nc.close()


async def test_what_can_go_nowhere_any_more_is_reported() -> None:
    errors: list[Exception] = []
    nc, old, two = await duck_and_other(error_callback=errors.append)
    old.answers = False
    old.sent()
    old.come(DUCK)
    while b"PING" not in old.sent():
        await asyncio.sleep(0)
    old.takes = False
    old.come(b"PONG\r\n")
    nc.publish("a", b"lost")
    await until_moved(nc, two.url)
    await nc.close()
    await turns()
    assert ["1 publishes" in str(error) for error in errors] == [True]


async def test_a_drain_waits_for_what_a_link_that_is_left_still_has() -> None:
    nc, old, two = await duck_and_other()
    sub = nc.subscribe("a", queue="q")
    await turns()
    old.come(DUCK)
    await until_moved(nc, two.url)
    old.answers = False
    drain = asyncio.ensure_future(sub.drain())
    assert await is_waiting(drain)
    old.come(msg("a", 1, b"on its way"), b"PONG\r\n")
    await drain
    assert (await sub.next()).data == b"on its way"
    await nc.close()


async def test_a_request_moves_too() -> None:
    asked = asyncio.Event()

    async def old(peer: Peer) -> None:
        await peer.greet(server_id="ONE")
        inbox = (await peer.line()).split(b" ")[1]
        await peer.line()
        await peer.line()
        peer.send(DUCK)
        await peer.pong()
        await peer.expect(b"UNSUB 1")
        await peer.pong(msg(inbox.replace(b"*", b"1"), 1, b"answer"))

    async with FakeServer(old) as one, FakeServer(other) as two:
        async with midge.connect([one.url, two.url], randomize=False, migrate=True) as nc:
            assert (await nc.request("svc", b"x", timeout=5)).data == b"answer"
            assert nc.connected_url == two.url
            asked.set()


async def duck(peer: Peer) -> None:
    await peer.greet(server_id="ONE")
    peer.send(DUCK)
    await peer.serve()


@pytest.mark.parametrize("others", ["none", "refusing", "the same", "ducks"])
async def test_the_only_server_is_kept(others: str, seen: list[events.Event]) -> None:
    async def same(peer: Peer) -> None:
        await peer.greet(server_id="ONE" if others == "the same" else "TWO", ldm=others == "ducks")
        tried.set()
        await peer.end()

    tried = asyncio.Event()
    async with FakeServer(duck) as one, FakeServer(same) as two:
        urls = {"none": [one.url], "refusing": [one.url, "nats://127.0.0.1:9"]}.get(others, [one.url, two.url])
        async with midge.connect(urls, randomize=False, migrate=True, reconnect_max_wait=0.1) as nc:
            if others in ("the same", "ducks"):
                await tried.wait()
            await nc.flush()
            await asyncio.sleep(0.01)
            await nc.flush()
            assert nc.connected_url == one.url and nc.stats.reconnects == 0
            assert any(isinstance(event, events.LameDuck) for event in seen)


async def test_nobody_moves_unasked(seen: list[events.Event]) -> None:
    async with FakeServer(duck) as one, FakeServer(other) as two:
        async with midge.connect([one.url, two.url], randomize=False) as nc:
            await nc.flush()
            assert nc.connected_url == one.url and not nc._connection.tasks
    assert [event.kind for event in seen] == ["connected", "lame_duck", "draining", "closed"]


@pytest.mark.parametrize("how", ["close", "drain", "lose", "reconnect"])
async def test_what_happens_in_every_turn_of_a_move(how: str) -> None:
    for count in range(0, 40, 3):
        async with FakeServer(duck) as one, FakeServer(other) as two:
            nc = await midge.connect([one.url, two.url], randomize=False, migrate=True)
            nc.subscribe("a")
            await turns(count)
            if how == "lose":
                one._writers[0].close()
            elif how == "reconnect":
                await nc.reconnect()
            if how != "drain":
                await turns(3)
            if how in ("lose", "reconnect"):
                await nc.subscribe("b")
            await (nc.drain() if how == "drain" else nc.close())
            assert nc.is_closed and not nc._connection.tasks


async def test_closing_in_every_turn_of_a_reconnect_on_demand_closes_both_links() -> None:
    async with midge.Server(port=0) as server:
        for count in range(12):
            nc = await midge.connect(server.url)
            connecting = asyncio.ensure_future(nc.reconnect())
            for _ in range(count):
                await asyncio.sleep(0)
            await nc.close()
            await asyncio.wait([connecting], timeout=10)
            assert connecting.done() and isinstance(connecting.exception(), (ConnectionError, type(None)))
            async with asyncio.timeout(10):
                while server.counters().connections:
                    await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
