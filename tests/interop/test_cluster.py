"""The client on a cluster of three real nats-servers: what is published on one node reaches subscribers of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from nodes import nats_cluster
from servers import need_nats_server

import midge
from midge.errors import NoRespondersError


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[str]]:
    need_nats_server()
    with nats_cluster(3) as urls:
        yield urls


async def met(*clients: midge.Client) -> None:
    """Return when each client's node knows what was subscribed on the others' nodes.

    What a node tells another it tells in order: once a subscription made now is known everywhere, so are those before it.
    """
    for client in clients:
        subject = client.new_inbox()
        probe = await client.subscribe(subject, callback=lambda message: message.respond())
        for other in clients:
            while True:
                try:
                    await other.request(subject, timeout=10)
                    break
                except NoRespondersError:
                    pass
        await probe.unsubscribe()


async def test_the_nodes_know_each_other(cluster: list[str]) -> None:
    async with midge.connect(cluster[0]) as one, midge.connect(cluster[1]) as two, midge.connect(cluster[2]) as three:
        await met(one, two, three)
        assert {client.server_info.server_name for client in (one, two, three)} == {"node0", "node1", "node2"}
        assert {client.server_info.cluster for client in (one, two, three)} == {"midge"}
        async with midge.connect(cluster[0]) as late:
            assert len(late.server_info.connect_urls or []) == 3


async def test_publish_and_subscribe(cluster: list[str]) -> None:
    async with midge.connect(cluster[0]) as one, midge.connect(cluster[1]) as two:
        got: list[bytes] = []
        subs = [two.subscribe("news.*"), one.subscribe("news.>")]
        two.subscribe("news.x", callback=lambda message: got.append(message.data))
        await met(one, two)
        for i in range(1000):
            await one.publish("news.x", b"%d" % i, headers={"N": f"{i}"})
        for sub in subs:
            messages = [await sub.next(10) for _ in range(1000)]
            assert [(int(message.data), int(message.headers["N"])) for message in messages] == [(i, i) for i in range(1000)]
        assert got == [b"%d" % i for i in range(1000)]


async def test_request_and_reply(cluster: list[str]) -> None:
    async with midge.connect(cluster[0]) as one, midge.connect(cluster[2]) as two:
        two.subscribe("svc", callback=lambda message: message.respond(message.data * 2))
        await met(one, two)
        replies = await asyncio.gather(*(one.request("svc", b"%d" % i, timeout=20) for i in range(300)))
        assert [reply.data for reply in replies] == [b"%d" % i * 2 for i in range(300)]
        with pytest.raises(NoRespondersError):
            await one.request("nobody", timeout=10)


async def test_a_queue_group(cluster: list[str]) -> None:
    async with midge.connect(cluster[0]) as one, midge.connect(cluster[1]) as two, midge.connect(cluster[2]) as three:
        done: list[tuple[str, int]] = []
        finished = asyncio.Event()

        def worker(name: str) -> None:
            def work(message: midge.Message) -> None:
                done.append((name, int(message.data)))
                if len(done) == 600:
                    finished.set()

            {"one": one, "two": two}[name].subscribe("jobs", queue="workers", callback=work)

        worker("one")
        worker("two")
        await met(one, two, three)
        for i in range(600):
            await three.publish("jobs", b"%d" % i)
        await finished.wait()
        await asyncio.gather(*(client.flush() for client in (one, two, three)))
        assert sorted(number for _, number in done) == list(range(600)), "each job once"
        assert {name for name, _ in done} == {"one", "two"}


async def test_a_list_of_nodes_of_which_one_is_enough(cluster: list[str]) -> None:
    async with midge.connect(["nats://127.0.0.1:1", *cluster], randomize=False) as nc:
        assert nc.connected_url == cluster[0]
