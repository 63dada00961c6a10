"""The checks by which a NATS client for Python is told from a worse one, each in one test with its number in the docstring.

What is behind them is tested in detail elsewhere; here each promise is kept once, in the way in which other clients break it. Those
that others keep better: 1 (poisoned messages) in interop/test_client, 3 (TLS) in test_client_tls and interop/test_tls, 4 (-ERR) in
test_client_refusals, 5 (credentials that change) in interop/test_credentials, 11 (what an installation needs) in test_build.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from fakes import FakeServer, Peer, msg, opened, turns
from nodes import Node, cluster_nodes, started
from servers import need_nats_server
from witness import Chronicle, number_of, numbered, patiently, until

import midge
from midge.client import migration
from midge.errors import InvalidHeaderError, InvalidSubjectError, MaxPayloadError
from midge.events import Closed, Connected, Disconnected, LameDuck, Reconnected, ReconnectFailed
from midge.message import Headers

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LAME_DUCK = 'lame_duck_duration: "40s"\nlame_duck_grace_period: "39s"\n'  # it closes no link for so long


@pytest.fixture
def node() -> Iterator[Node]:
    need_nats_server()
    node = Node()
    with started(node):
        yield node


async def test_a_drain_loses_nothing_that_is_under_way() -> None:
    """Check 2: a hundred messages between UNSUB and PONG are delivered, by subscription and by connection, to each kind of reader."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        for sid in (1, 2, 3):
            assert (await peer.line()).startswith(b"SUB ")
        await peer.pong()
        await peer.expect(b"UNSUB 1")
        await peer.pong(*(msg("a", 1, b"%d" % i) for i in range(100)))
        unsubscribed = {await peer.line(), await peer.line()}
        assert unsubscribed == {b"UNSUB 2", b"UNSUB 3"}
        await peer.pong(*(msg("a", sid, b"%d" % i) for i in range(100) for sid in (2, 3)))
        await peer.serve()

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        got: dict[str, list[bytes]] = {"plain": [], "coroutine": []}

        async def work(message: midge.Message) -> None:
            await asyncio.sleep(0)
            got["coroutine"].append(message.data)

        buffered = nc.subscribe("a")
        nc.subscribe("a", callback=lambda message: got["plain"].append(message.data))
        nc.subscribe("a", callback=work)
        await nc.flush()
        await patiently(buffered.drain())
        await patiently(nc.drain())
        hundred = [b"%d" % i for i in range(100)]
        assert [(await buffered.next()).data for _ in range(100)] == hundred
        assert got == {"plain": hundred, "coroutine": hundred}


async def test_the_first_attempt_to_reconnect_is_made_at_once_and_the_next_one_soon(node: Node) -> None:
    """Check 6: back at a server that was bounced as soon as it listens: no attempt fails after that, but the one under way."""
    chronicle = Chronicle()
    async with midge.connect(node.url, event_callback=chronicle, reconnect_max_wait=0.1) as nc:
        sub = await nc.subscribe("a")
        await asyncio.to_thread(node.kill)
        await chronicle.heard(ReconnectFailed)
        nc.publish("a", b"while it was away")
        await asyncio.to_thread(node.start)
        await chronicle.heard(Reconnected)
        assert len(chronicle.of(ReconnectFailed, node.listening_at)) <= 1
        assert (await patiently(sub.next())).data == b"while it was away"


async def test_one_core_in_every_loop_and_on_every_link(loop_factory: LoopFactory) -> None:
    """Check 10: the same client on sockets and in process, in every kind of event loop."""
    async with midge.Server(port=0) as server:
        for place in (server.url, server):
            async with midge.connect(place) as nc:
                sub = await nc.subscribe("a.*")
                await nc.subscribe("svc", callback=lambda message: message.respond(message.data, headers=message.headers))
                await nc.publish("a.b", b"x", headers={"K": "v"})
                message = await patiently(sub.next())
                assert (message.subject, message.data, message.headers["K"]) == ("a.b", b"x", "v")
                reply = await patiently(nc.request("svc", b"y", headers={"K": "w"}))
                assert (reply.data, reply.headers["K"]) == (b"y", "w")


async def test_no_task_and_no_future_per_message() -> None:
    """Check 12: ten thousand messages to each kind of reader start no task and make a future only where somebody waits."""
    nc, link = await opened()
    loop = asyncio.get_running_loop()
    made: dict[str, int] = {"tasks": 0}

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made["tasks"] += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    plain: list[bytes] = []
    worked: list[bytes] = []
    looped: list[bytes] = []

    async def work(message: midge.Message) -> None:
        worked.append(message.data)

    async def iterate(sub: midge.Subscription) -> None:
        async for message in sub:
            looped.append(message.data)

    nc.subscribe("a", callback=lambda message: plain.append(message.data))
    nc.subscribe("b", callback=work)
    looping = asyncio.ensure_future(iterate(nc.subscribe("c")))
    await turns()
    loop.set_task_factory(make_task)
    for _ in range(10):
        link.come(*(msg(subject, sid, b"%d" % i) for i in range(1000) for sid, subject in enumerate("abc", start=1)))
        for _ in range(1000):
            await nc.publish("d", b"x")
        await until(lambda: len(worked) == len(looped) == len(plain))
    assert len(plain) == 10_000
    assert made["tasks"] <= 2, "a worker, where there is none yet"
    loop.set_task_factory(None)
    looping.cancel()
    await nc.close()


async def test_what_breaks_the_protocol_is_refused_before_it_is_sent() -> None:
    """Check 13: no CR or LF gets out by subject, queue, reply or header; values stay as they are; limits count headers."""
    nc, link = await opened()
    for subject in ("", " ", "a b", "a\r\nPUB b 0", "a\n", "a\t"):
        with pytest.raises(InvalidSubjectError):
            nc.publish(subject, b"")
    for subject in ("", "a b", "a\r\nPUB b 0", "a..b", ".a", "a.", "a.>.b"):
        with pytest.raises(InvalidSubjectError):
            nc.subscribe(subject)
    for name in ("a b", "a\r\n", ""):
        with pytest.raises(InvalidSubjectError):
            nc.subscribe("a", queue=name)
    for reply in ("a b", "a\r\n", "\n"):
        with pytest.raises(InvalidSubjectError):
            nc.publish("a", b"", reply=reply)
    for key, value in (
        ("K", "v\r\nNats-Msg-Id: evil"),
        ("K", "v\n"),
        ("K\r\nEvil", "v"),
        ("", "v"),
        ("K:", "v"),
        ("K K", "v"),
        ("K\0", "v"),
    ):
        with pytest.raises(InvalidHeaderError):
            nc.publish("a", b"", headers={key: value})
    assert link.sent() == b""
    headers = Headers([("a", "1"), ("A", "2"), ("b", "3"), ("a", "4")])
    nc.publish("a", b"", headers=headers)
    await asyncio.sleep(0)
    assert b"a: 1\r\nA: 2\r\nb: 3\r\na: 4\r\n" in link.sent()
    with pytest.raises(MaxPayloadError):
        nc.publish("a", bytes(nc.max_payload - 10), headers={"Key": "value"})
    await nc.close()
    secret = midge.connect("nats://me:hunter2@127.0.0.1:1", token=None)
    assert "hunter2" not in repr(secret) + repr(secret._client) + repr(secret._client._options)
    with pytest.raises(ConnectionRefusedError):
        raise (await asyncio.gather(secret, return_exceptions=True))[0].__cause__


async def test_events_are_typed_end_with_the_client_and_let_their_handlers_wait(node: Node) -> None:
    """Check 15: a flush inside of what handles an event works, as does everything; the events end when the client does."""
    async with midge.connect(node.url) as nc:
        kinds: list[type] = []
        flushed = 0

        async def follow() -> None:
            nonlocal flushed
            async for event in nc.events():
                kinds.append(type(event))
                if nc.is_connected:
                    await nc.flush(10)
                    flushed += 1

        following = asyncio.ensure_future(follow())
        await turns()
        await nc.reconnect()
        await until(lambda: Reconnected in kinds and flushed > 0)
    await patiently(following)
    assert kinds[0] in (Connected, Disconnected) and kinds[-1] is Closed
    assert kinds.index(Disconnected) < kinds.index(Reconnected)


@asynccontextmanager
async def lame_duck_cluster() -> AsyncIterator[list[Node]]:
    need_nats_server()
    nodes = cluster_nodes(2, LAME_DUCK)
    with started(*nodes):
        yield nodes


async def test_who_migrates_from_a_lame_duck_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check 16: ten thousand messages a second to a queue group on both nodes while one says goodbye: each arrives once, no error."""
    monkeypatch.setattr(migration, "SPREAD_SECONDS", 0.5)
    async with lame_duck_cluster() as (leaving, staying):
        chronicles = [Chronicle() for _ in range(3)]
        errors: list[Exception] = []
        counts: dict[int, int] = {}

        def work(message: midge.Message) -> None:
            counts[number_of(message)] = counts.get(number_of(message), 0) + 1

        options: dict[str, Any] = {"migrate": True, "error_callback": errors.append, "randomize": False}
        async with (
            midge.connect([leaving.url, staying.url], event_callback=chronicles[0], **options) as publisher,
            midge.connect([leaving.url, staying.url], event_callback=chronicles[1], **options) as one,
            midge.connect([leaving.url, staying.url], event_callback=chronicles[2], **options) as two,
            midge.connect(staying.url, error_callback=errors.append) as other,
        ):
            workers = (one, two, other)
            for worker in workers:
                await worker.subscribe("jobs", queue="workers", callback=work)
            numbers = count()
            moved = False
            await known_everywhere(publisher, other)
            for turn in count():
                for _ in range(20):
                    await publisher.publish("jobs", numbered(next(numbers)))
                await asyncio.sleep(0.002)
                if turn == 200:
                    leaving.lame_duck()
                moved = all(nc.connected_url == staying.url for nc in (publisher, one, two))
                if moved and turn > 200 and not any(chronicle.of(LameDuck) == [] for chronicle in chronicles):
                    break
                assert turn < 10_000, "they stay where they are"
            await until(lambda: not any(nc._connection.tasks for nc in (publisher, one, two)), "the end of the links that were left")
            await asyncio.to_thread(leaving.kill)
            for _ in range(100):
                await publisher.publish("jobs", numbered(next(numbers)))
            total = next(numbers)
            await publisher.flush()
            await until(lambda: sum(counts.values()) >= total)
            for worker in workers:
                await worker.flush()
            assert counts == dict.fromkeys(range(total), 1)
            assert errors == [] and not any(chronicle.of(Disconnected) for chronicle in chronicles)


async def known_everywhere(one: midge.Client, other: midge.Client) -> None:
    """Return when each client's node knows what was subscribed on the other's before."""
    for asker, answerer in ((one, other), (other, one)):
        inbox = asker.new_inbox()
        probe = await answerer.subscribe(inbox, callback=lambda message: message.respond())
        while True:
            try:
                await asker.request(inbox, timeout=10)
                break
            except midge.NoRespondersError:
                pass
        await probe.unsubscribe()


@pytest.mark.parametrize("migrate", [True, False])
async def test_the_only_server_is_not_left_before_it_goes(migrate: bool) -> None:
    """Check 16: with a single server, a lame duck is an event and nothing else, until the server closes the connection."""
    need_nats_server()
    node = Node(LAME_DUCK)
    chronicle = Chronicle()
    with started(node):
        async with midge.connect(node.url, event_callback=chronicle, migrate=migrate, ignore_discovered=True) as nc:
            sub = await nc.subscribe("a")
            node.lame_duck()
            await chronicle.heard(LameDuck)
            assert chronicle.of(Disconnected) == []
            nc.publish("a", b"still here")
            assert (await patiently(sub.next())).data == b"still here"
            assert chronicle.of(Disconnected) == []
            await asyncio.to_thread(node.kill)
            await chronicle.heard(Disconnected)
            nc.publish("a", b"later")
            await asyncio.to_thread(node.start)
            await chronicle.heard(Reconnected)
            assert (await patiently(sub.next())).data == b"later"
