"""Fetching: what is held first, late deliveries, cancelling, bounds, and what ends a wait."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from js_worlds import filled, lying, until, world

import midge
from midge.jetstream.errors import ConsumerNotFoundError, JetStreamNotEnabledError, JetStreamUnavailableError

INFO = b'{"type":"io.nats.jetstream.api.v1.consumer_info_response","stream_name":"S","name":"C","config":{"ack_policy":"explicit"}}'


def numbers(messages: list[Any]) -> list[int]:
    return [int(message.data) for message in messages]


async def test_what_there_is_is_returned_at_once(url: str) -> None:
    async with filled(url, 10) as (_, consumer):
        assert numbers(await consumer.fetch(4)) == [1, 2, 3, 4]
        assert numbers(await consumer.fetch(6)) == [5, 6, 7, 8, 9, 10]


async def test_nothing_is_an_empty_list_and_takes_its_time(url: str) -> None:
    """nats.py#986: an empty fetch is no error."""
    async with filled(url, 0) as (_, consumer):
        before = time.monotonic()
        assert await consumer.fetch(5, timeout=0.2) == []
        assert 0.15 <= time.monotonic() - before < 1.0
        with pytest.raises(midge.MidgeTimeoutError) as caught:
            await consumer.next(0.05)
        assert isinstance(caught.value, TimeoutError)
        assert await consumer.fetch(5, timeout=0) == []


async def test_less_than_asked_for_is_returned_when_the_time_is_over(url: str) -> None:
    async with filled(url, 3) as (_, consumer):
        assert numbers(await consumer.fetch(5, timeout=0.2)) == [1, 2, 3]


@pytest.mark.cluster
async def test_without_a_wait_there_is_what_there_is(url: str) -> None:
    async with filled(url, 3) as (_, consumer):
        before = time.monotonic()
        assert numbers(await consumer.fetch(5, no_wait=True)) == [1, 2, 3]
        assert await consumer.fetch(5, no_wait=True) == []
        assert await consumer.fetch(no_wait=True, timeout=0) == []
        assert time.monotonic() - before < 1.0


async def test_an_option_that_makes_no_sense_is_refused(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        for heartbeat in (0, -1, float("nan")):  # it would ask again and again, for as long as there is time
            with pytest.raises(ValueError, match="heartbeat"):
                await consumer.fetch(1, heartbeat=heartbeat)
        with pytest.raises(TypeError, match="nowait"):
            await consumer.fetch(1, nowait=True)  # type: ignore[call-arg]


async def test_what_comes_during_the_wait_ends_it(url: str) -> None:
    """nats.py#241: a fetch that found nothing held must not sleep to its end."""
    async with filled(url, 0) as (here, consumer):
        fetching = asyncio.create_task(consumer.fetch(2, timeout=5))
        await until(lambda: here.subscriptions() > 1)
        await here.fill(2)
        assert numbers(await asyncio.wait_for(fetching, 2)) == [1, 2]


async def test_a_cancelled_fetch_loses_nothing(url: str) -> None:
    """nats.py#804: what had come is what the next call gets, once."""
    async with filled(url, 3) as (here, consumer):
        fetching = asyncio.create_task(consumer.fetch(10, timeout=5))
        await until(lambda: consumer.pending == 3)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        await here.fill(1, data=lambda _: b"4")
        await until(lambda: consumer.pending == 4)  # the request is under way yet: what it brings is held
        assert numbers(await consumer.fetch(4, timeout=1)) == [1, 2, 3, 4]
        assert (await consumer.info()).num_redelivered == 0


async def test_wait_for_says_timeout_and_not_cancelled(url: str) -> None:
    """nats.py#373."""
    async with filled(url, 0) as (_, consumer):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consumer.fetch(1, timeout=5), 0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await consumer.next(5)


@pytest.mark.cluster
async def test_a_late_delivery_comes_first_the_next_time(url: str) -> None:
    """nats.py#418, #709."""
    async with filled(url, 0) as (here, consumer):
        fetching = asyncio.create_task(consumer.fetch(5, timeout=30))
        await until(lambda: here.subscriptions() > 1)
        await here.nc.flush()
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        await here.fill(5)
        await until(lambda: consumer.pending == 5)
        assert numbers(await consumer.fetch(3)) == [1, 2, 3]
        assert numbers(await consumer.fetch(5, timeout=0.1)) == [4, 5]


@pytest.mark.cluster
async def test_bytes_bound_a_fetch(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        await here.fill(20, data=lambda _: b"x" * 1000)
        await here.known_to(consumer, 20)
        found = await consumer.fetch(max_bytes=5000, timeout=0.5)
        assert 3 <= len(found) <= 4
        assert len(await consumer.fetch(2, max_bytes=50_000)) == 2
        await here.fill(120, "b")
        await here.known_to(consumer, 140 - len(found) - 2)
        assert len(await consumer.fetch(max_bytes=1_000_000, no_wait=True)) == 140 - len(found) - 2
        for message in await here.consumer(durable_name="D") and []:
            await message.ack()


async def test_a_message_that_does_not_fit_is_not_returned(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        await here.fill(1, data=lambda _: b"x" * 1000)
        assert await consumer.fetch(max_bytes=100, timeout=0.3) == []


async def test_messages_that_come_behind_the_end_of_their_request_belong_to_it() -> None:
    """A server of a cluster may say that it has sent all before that is here."""
    ended = b"NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 999998\r\nNats-Pending-Bytes: 10\r\n\r\n"
    async with lying() as (nc, liar):

        def answer(request: midge.Message) -> None:
            asyncio.get_running_loop().call_later(0.05, deliver, request.reply)
            liar.nc.publish(request.reply, headers=midge.Headers.parse(ended))

        def deliver(inbox: str) -> None:
            for number in (1, 2):
                liar.nc.publish(inbox, b"%d" % number, reply=f"ack.{number}")

        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=answer)
        assert numbers(await nc.jetstream().stream("S").consumer("C").fetch(max_bytes=100, timeout=2)) == [1, 2]


async def test_a_request_that_nobody_takes_is_made_again_while_there_is_such_a_consumer() -> None:
    """A leader is elected."""
    async with lying() as (nc, liar):
        await liar.nc.subscribe("$JS.API.CONSUMER.INFO.S.C", callback=lambda request: request.respond(INFO))
        liar.subscription.unsubscribe()
        fetching = asyncio.create_task(nc.jetstream().stream("S").consumer("C").fetch(1, timeout=5))
        await asyncio.sleep(0.05)
        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=lambda request: liar.nc.publish(request.reply, b"1", reply="ack"))
        assert numbers(await fetching) == [1]
        nobody = nc.jetstream().stream("S").consumer("D")
        with pytest.raises(JetStreamNotEnabledError, match="nobody answers"):
            await nobody.fetch(1, timeout=5)


@pytest.mark.parametrize("no_wait", [False, True])
async def test_a_consumer_without_a_leader_is_not_said_to_be_missing(no_wait: bool) -> None:
    """Nobody takes requests, and nobody says that there is no such consumer: not before the time is over, and in another way."""
    unavailable = {"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}
    async with lying() as (nc, liar):
        liar.subscription.unsubscribe()
        api = await liar.nc.subscribe("$JS.API.CONSUMER.INFO.>", callback=liar.receive)
        liar.answers["CONSUMER.INFO.S.C"] = unavailable
        consumer = nc.jetstream().stream("S").consumer("C")
        with pytest.raises(JetStreamUnavailableError, match="no leader at the moment") as caught:
            await consumer.fetch(1, timeout=0.4, no_wait=no_wait)
        assert not isinstance(caught.value, LookupError) and len(liar.asked) == 2
        fetching = asyncio.create_task(consumer.fetch(1, timeout=5, no_wait=no_wait))
        await until(lambda: len(liar.asked) == 3)
        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=lambda request: liar.nc.publish(request.reply, b"1", reply="ack"))
        assert numbers(await fetching) == [1]
        api.unsubscribe()


async def test_a_link_that_is_lost_while_a_consumer_is_looked_for_ends_no_fetch() -> None:
    async with lying() as (nc, liar):
        liar.subscription.unsubscribe()
        await liar.nc.subscribe("$JS.API.CONSUMER.INFO.>", callback=liar.receive)  # and no answer
        fetching = asyncio.create_task(nc.jetstream().stream("S").consumer("C").fetch(1, timeout=5))
        await until(lambda: liar.asked)
        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=lambda request: liar.nc.publish(request.reply, b"1", reply="ack"))
        await nc.reconnect()
        assert numbers(await fetching) == [1]


async def test_fetches_at_the_same_time_share_what_comes(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        fetching = [asyncio.create_task(consumer.fetch(5, timeout=2)) for _ in range(4)]
        await until(lambda: here.subscriptions() > 1)
        await here.fill(20)
        found = [message for messages in await asyncio.gather(*fetching) for message in messages]
        assert sorted(numbers(found)) == list(range(1, 21))


@pytest.mark.parametrize("how", ["fetch", "consume"])
async def test_taking_messages_makes_no_task_and_no_future_for_each(url: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py makes a task for each message that it waits for, natsio and nats-jetstream two futures."""
    async with filled(url, 2_000) as (_, consumer):
        loop, made = asyncio.get_running_loop(), Counter[str]()

        def counting(name: str) -> Any:
            make = getattr(loop, name)

            def count(*arguments: Any, **keywords: Any) -> Any:
                made[name] += 1
                return make(*arguments, **keywords)

            return count

        await consumer.fetch(1)  # what is made once
        for name in ("create_task", "create_future", "call_later", "call_at"):
            monkeypatch.setattr(loop, name, counting(name), raising=False)
        seen = 1
        if how == "fetch":
            while seen < 2_000:
                for message in await consumer.fetch(min(500, 2_000 - seen)):
                    await message.ack()
                    seen += 1
        else:
            async for message in consumer.consume():
                await message.ack()
                seen += 1
                if seen == 2_000:
                    break
        monkeypatch.undo()
        assert made["create_task"] == 0 and sum(made.values()) < 200  # some for each request, and for each wait


async def test_one_subscription_serves_a_hundred_fetches(url: str) -> None:
    async with filled(url, 100) as (here, consumer):
        before = here.subscriptions()
        for _ in range(100):
            (message,) = await consumer.fetch(1)
            message.ack()
        assert here.subscriptions() == before + 1
        assert not here.nc._connection.requests or not here.nc._connection.interest.requests
        consumer.close()
        assert here.subscriptions() == before and not here.nc._connection.followers


async def test_a_handle_that_is_forgotten_leaves_nothing(url: str) -> None:
    """nats.py#596."""
    async with filled(url, 1) as (here, consumer):
        before = here.subscriptions()
        await consumer.fetch(1)
        assert here.subscriptions() == before + 1
        del consumer
        gc.collect()
        await until(lambda: here.subscriptions() == before and not here.nc._connection.followers)


async def test_a_handle_that_is_forgotten_in_another_thread_leaves_nothing(url: str) -> None:
    async with filled(url, 1) as (here, consumer):
        before = here.subscriptions()
        await consumer.fetch(1)
        held = [consumer]
        del consumer
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        await until(lambda: here.subscriptions() == before)


async def test_a_consumer_that_is_not_there_is_said_so(url: str) -> None:
    async with world(url) as here:
        with pytest.raises(ConsumerNotFoundError, match="there is no such consumer"):
            await here.stream.consumer("NONE").fetch(1, timeout=1)
        with pytest.raises(LookupError):
            await here.stream.consumer("NONE").next(1)


async def test_a_consumer_that_is_deleted_ends_the_wait(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        fetching = asyncio.create_task(consumer.fetch(1, timeout=10))
        await until(lambda: here.subscriptions() > 1)
        await here.nc.flush()
        await here.stream.delete_consumer("C")
        with pytest.raises(ConsumerNotFoundError, match="Consumer Deleted"):
            await asyncio.wait_for(fetching, 3)


async def test_what_came_before_the_consumer_was_deleted_is_returned(url: str) -> None:
    async with filled(url, 2) as (here, consumer):
        fetching = asyncio.create_task(consumer.fetch(3, timeout=10))
        await until(lambda: consumer.pending == 2)
        await here.stream.delete_consumer("C")
        assert numbers(await asyncio.wait_for(fetching, 3)) == [1, 2]


async def test_a_request_that_is_refused_says_why(url: str) -> None:
    async with filled(url, 1, consumer_max_batch=5) as (_, consumer):
        with pytest.raises(midge.JetStreamError, match="Exceeded MaxRequestBatch"):
            await consumer.fetch(6)
        assert len(await consumer.fetch(5, timeout=0.1)) == 1


@pytest.mark.parametrize(
    ("given", "error"),
    [({"batch": 0}, ValueError), ({"batch": True}, TypeError), ({"batch": "1"}, TypeError), ({"max_bytes": 0}, ValueError),
     ({"timeout": "1"}, TypeError)],
    ids=str,
)  # fmt: skip
async def test_an_argument_that_makes_no_sense_is_refused(url: str, given: dict[str, Any], error: type[Exception]) -> None:
    async with filled(url, 1) as (_, consumer):
        with pytest.raises(error):
            await consumer.fetch(**given)


async def test_closing_the_connection_ends_every_wait(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        waits = [asyncio.create_task(consumer.fetch(1, timeout=None)), asyncio.create_task(consumer.next(10))]
        await until(lambda: here.subscriptions() > 1)
        await here.nc.close()
        for wait in waits:
            with pytest.raises(midge.ConnectionClosedError):
                await asyncio.wait_for(wait, 2)
        with pytest.raises(midge.ConnectionClosedError):
            await consumer.fetch(1)


async def test_what_is_held_can_be_taken_from_a_closed_connection(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        fetching = asyncio.create_task(consumer.fetch(5, timeout=10))
        await until(lambda: consumer.pending == 3)
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        await here.nc.close()
        assert numbers(await consumer.fetch(3)) == [1, 2, 3]


async def test_another_thread_is_refused(url: str) -> None:
    async with filled(url, 1) as (_, consumer):

        def elsewhere() -> None:
            async def run() -> None:
                with pytest.raises(RuntimeError):
                    await consumer.fetch(1)

            asyncio.run(run())

        await asyncio.to_thread(elsewhere)
        assert len(await consumer.fetch(1)) == 1


async def test_the_inbox_prefix_is_the_clients_own(tmp_path: Path) -> None:
    """natsio and nats-jetstream have "_INBOX." in their code, which a locked-down account denies."""
    user = midge.User(user="a", password="a", permissions=midge.Permissions(subscribe_deny=("_INBOX.>",)))
    with midge.Server(port=0, store_dir=str(tmp_path), users=(user,)) as server:
        async with filled(server.url.replace("//", "//a:a@"), 3, options={"inbox_prefix": "my.inbox"}, allow_batched=True) as (
            here,
            consumer,
        ):
            assert numbers(await consumer.fetch(3)) == [1, 2, 3]
            ordered = here.stream.ordered_consumer()
            assert [(await anext(ordered)).data for _ in range(3)] == [b"1", b"2", b"3"]
            await ordered.stop()
            assert len(await here.stream.get_batch(batch=10)) == 3
            async with here.js.fast_ingest() as ingest:
                await ingest.add(here.subject(), b"4")
            assert here.nc.last_error is None
