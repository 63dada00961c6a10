"""Push consumers: flow control, heartbeats, queue groups; and priority groups of pull consumers."""

from __future__ import annotations

import asyncio

import pytest
from js_worlds import World, until, world

import midge
from midge.jetstream.consumer import Consumer


async def pushing(here: World, **config: object) -> Consumer:
    given = {"deliver_subject": here.nc.new_inbox()} | config
    return await here.consumer(**given)


@pytest.mark.cluster
async def test_what_is_pushed_is_taken_as_anything_else(url: str) -> None:
    async with world(url) as here:
        await here.fill(500)
        consumer = await pushing(here, max_ack_pending=1000)
        found = []
        async for message in consumer.consume():
            found.append(int(message.data))
            message.ack()
            if len(found) == 500:
                break
        assert found == list(range(1, 501))
        await until(lambda: here.subscriptions() <= 1 and not here.nc._connection.followers)
        async with asyncio.timeout(5):
            while (await consumer.info()).ack_floor.stream_seq < 500:
                await asyncio.sleep(0.005)


async def test_flow_control_is_answered_as_messages_are_taken(url: str) -> None:
    """A client that answers at once has all of the stream in its memory."""
    async with world(url) as here:
        await here.fill(3000, data=lambda _: b"x" * 1000)
        consumer = await pushing(here, flow_control=True, idle_heartbeat=5, ack_policy="none")
        consuming = consumer.consume()
        loop = aiter(consuming)
        await anext(loop)
        await asyncio.sleep(0.2)
        assert consuming.pending < 2900
        for _ in range(2999):
            await asyncio.wait_for(anext(loop), 5)  # type: ignore[arg-type]
        await consuming.stop()
        assert (await consumer.info()).num_pending == 0


async def test_a_queue_group_shares_what_is_pushed(url: str) -> None:
    async with world(url) as here:
        consumer = await pushing(here, deliver_group="workers", ack_policy="none")
        seen: list[list[bytes]] = [[], []]
        handlers = [consumer.consume(lambda message, mine=mine: mine.append(message.data)).start() for mine in seen]
        await here.nc.flush()
        await here.fill(100)
        await until(lambda: len(seen[0]) + len(seen[1]) == 100)
        assert sorted(seen[0] + seen[1], key=int) == [b"%d" % number for number in range(1, 101)] and seen[0] and seen[1]
        for handler in handlers:
            await handler.drain()


async def test_a_pushed_message_that_fails_comes_again(url: str) -> None:
    async with world(url) as here:
        await here.fill(1)
        consumer = await pushing(here)
        deliveries: list[int] = []

        def handle(message: midge.Message) -> None:
            deliveries.append(message.metadata.delivered)  # type: ignore[attr-defined]
            if len(deliveries) < 2:
                raise ValueError("on purpose")

        async with consumer.consume(handle, backoff=(0.01,)):
            await until(lambda: len(deliveries) == 2)
        assert deliveries == [1, 2]


async def test_a_push_consumer_that_is_gone_ends_the_loop(url: str) -> None:
    async with world(url) as here:
        consumer = await pushing(here, idle_heartbeat=0.1)
        consuming = consumer.consume()
        task = asyncio.create_task(anext(aiter(consuming)))  # type: ignore[arg-type]
        await until(lambda: here.subscriptions() > 1)
        await here.stream.delete_consumer("C")
        with pytest.raises(LookupError):
            await asyncio.wait_for(task, 5)
        assert consuming.missed_heartbeats >= 1


async def test_a_pull_of_a_push_consumer_is_refused(url: str) -> None:
    async with world(url) as here:
        await pushing(here)
        with pytest.raises(midge.JetStreamError, match="push based"):
            await here.stream.consumer("C").fetch(1, timeout=2)


# Priority groups


async def test_one_client_is_pinned_until_it_is_not(url: str) -> None:
    async with world(url) as here:
        await here.consumer(priority_groups=["jobs"], priority_policy="pinned_client", priority_timeout=60)
        first, second = here.stream.consumer("C"), here.stream.consumer("C")
        one = asyncio.create_task(first.fetch(1, group="jobs", timeout=5))
        await until(lambda: here.subscriptions() > 1)
        await here.nc.flush()
        await here.fill(1)
        (message,) = await one
        assert first._pull.pin and message.headers["Nats-Pin-Id"] == first._pull.pin
        message.ack()
        info = await first.info()
        assert info.priority_groups[0].pinned_client_id == first._pull.pin
        other = asyncio.create_task(second.fetch(1, group="jobs", timeout=5))
        await until(lambda: here.subscriptions() > 2)
        await here.fill(1, data=lambda _: b"2")
        assert [message.data for message in await first.fetch(1, group="jobs")] == [b"2"]
        await first.unpin("jobs")
        await here.fill(1, data=lambda _: b"3")
        assert [message.data for message in await other] == [b"3"]
        assert await first.fetch(1, group="jobs", timeout=0.3) == []  # 423 is no end
        assert not first._pull.pin


async def test_a_pinned_loop_survives_being_unpinned(url: str) -> None:
    """In nats-jetstream a 423 ends a pinned consumer for good."""
    async with world(url) as here:
        consumer = await here.consumer(priority_groups=["jobs"], priority_policy="pinned_client", priority_timeout=60)
        loop = aiter(consumer.consume(group="jobs"))
        for number in range(3):
            await here.js.publish(here.subject(), b"%d" % number)
            message = await asyncio.wait_for(anext(loop), 5)  # type: ignore[arg-type]
            assert message.data == b"%d" % number
            message.ack()
            await consumer.unpin("jobs")


async def test_who_waits_for_an_overflow_gets_nothing_before(url: str) -> None:
    async with world(url) as here:
        consumer = await here.consumer(priority_groups=["jobs"], priority_policy="overflow")
        await here.fill(3)
        assert await consumer.fetch(1, group="jobs", min_pending=10, timeout=0.2) == []
        assert len(await consumer.fetch(1, group="jobs", min_pending=2, timeout=2)) == 1
        with pytest.raises(midge.JetStreamError):
            await consumer.fetch(1, timeout=1)  # without its group


async def test_who_has_priority_is_served_first(url: str) -> None:
    async with world(url) as here:
        await here.consumer(priority_groups=["jobs"], priority_policy="prioritized")
        first, second = here.stream.consumer("C"), here.stream.consumer("C")
        spare = asyncio.create_task(second.fetch(1, group="jobs", priority=5, timeout=10))
        await until(lambda: here.subscriptions() > 1)
        await here.nc.flush()
        preferred = asyncio.create_task(first.fetch(1, group="jobs", priority=0, timeout=10))
        await until(lambda: here.subscriptions() > 2)
        await here.nc.flush()
        await here.fill(1)
        assert [message.data for message in await preferred] == [b"1"] and not spare.done()
        await here.fill(1, data=lambda _: b"2")
        assert [message.data for message in await spare] == [b"2"]


async def test_who_waits_for_too_much_work_that_is_not_done_gets_nothing_before(url: str) -> None:
    async with world(url) as here:
        consumer = await here.consumer(priority_groups=["jobs"], priority_policy="overflow")
        await here.fill(3)
        assert await consumer.fetch(1, group="jobs", min_ack_pending=1, timeout=0.2) == []
        assert len(await consumer.fetch(1, group="jobs", timeout=2)) == 1
        assert len(await consumer.fetch(1, group="jobs", min_ack_pending=1, timeout=2)) == 1
