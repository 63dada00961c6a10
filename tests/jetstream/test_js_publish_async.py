"""Publishing without a wait: the window, what an acknowledgement that does not come turns into, and batches."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from js_worlds import lying, until, world
from nodes import Node, started
from servers import find_nats_server

import midge
from midge.client.client import Client
from midge.jetstream.async_publisher import PendingAck
from midge.jetstream.errors import NoStreamError, TooManyPendingError, UnheardAckError, WrongLastError
from midge.jetstream.pub_ack import PubAck


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[Client, list[midge.Message]]]:
    """A client, and what it publishes to "orders", which nobody answers yet."""
    async with midge.Server(port=0, listen=False) as server, midge.connect(server) as nc, midge.connect(server) as other:
        came: list[midge.Message] = []
        await other.subscribe("orders", callback=came.append)
        yield nc, came


def acknowledge(message: midge.Message, seq: int = 1) -> None:
    message.respond(b'{"stream":"S","seq":%d}' % seq)


@pytest.mark.cluster
async def test_acknowledgements_come_to_who_awaits_them(url: str) -> None:
    async with world(url) as here:
        acks = [await here.js.publish_async(here.subject(), b"%d" % number) for number in range(1000)]
        assert [(await ack).seq for ack in acks] == list(range(1, 1001))
        assert (await acks[0]) is not None and acks[0].result() == await acks[0] and acks[0].exception() is None
        assert here.js.publish_async_pending == 0
        await here.js.publish_async_done(1)


async def test_a_refusal_comes_to_who_awaits_it(url: str) -> None:
    async with world(url) as here:
        ack = await here.js.publish_async(here.subject(), expected_last_seq=7)
        nobody = await here.js.publish_async("nobody.here")
        with pytest.raises(WrongLastError):
            await ack
        assert isinstance(ack.exception(), WrongLastError)
        with pytest.raises(NoStreamError):
            await nobody


async def test_a_full_window_holds_back_and_then_lets_go() -> None:
    async with silent() as (nc, came):
        js = nc.jetstream(max_pending=3)
        for _ in range(3):
            await js.publish_async("orders")
        more = [asyncio.create_task(js.publish_async("orders")) for _ in range(3)]
        await until(lambda: len(came) == 3)
        assert not any(task.done() for task in more) and js.publish_async_pending == 3
        more[0].cancel()
        for message in came:
            acknowledge(message)
        await asyncio.wait(more[1:])
        await until(lambda: len(came) == 5)
        for message in came[3:]:
            acknowledge(message)
        await js.publish_async_done(2)
        assert not nc._connection.interest.requests


async def test_a_window_that_stays_full_is_an_error_and_nothing_is_sent() -> None:
    async with silent() as (nc, came):
        js = nc.jetstream(max_pending=1, timeout=0.2)
        first = await js.publish_async("orders")
        with pytest.raises(TooManyPendingError, match="1 publishes wait") as caught:
            await js.publish_async("orders")
        assert isinstance(caught.value, BufferError) and len(came) == 1
        with pytest.raises(midge.MidgeTimeoutError):
            await first


async def test_an_acknowledgement_that_does_not_come_in_time_is_given_up() -> None:
    async with silent() as (nc, came):
        js = nc.jetstream(timeout=0.1)
        ack = await js.publish_async("orders")
        assert not ack.is_done
        with pytest.raises(asyncio.InvalidStateError):
            ack.result()
        with pytest.raises(midge.MidgeTimeoutError, match="the acknowledgement of a publish on 'orders'"):
            await asyncio.wait_for(ack, 1)  # type: ignore[arg-type]
        acknowledge(came[0])  # too late, and no harm
        await nc.flush()
        with pytest.raises(midge.MidgeTimeoutError):
            await ack
        assert js.publish_async_pending == 0 and not nc._connection.interest.requests


async def test_what_nobody_takes_stays_in_the_window_and_is_sent_again_in_order() -> None:
    """An election fills no more memory than the window has room for, and takes longer than an acknowledgement may."""
    async with lying() as (nc, liar):
        liar.answers["STREAM.NAMES"] = {"total": 1, "streams": ["S"]}
        js = nc.jetstream(max_pending=50, timeout=0.2, retry_wait=0.02)
        acks = [await js.publish_async("orders", b"%d" % number) for number in range(50)]
        more = asyncio.create_task(js.publish_async("orders", b"50"))
        await until(lambda: acks[0].tries > 12)  # more than 0.24 s
        assert not any(ack.is_done for ack in acks) and not more.done() and js.publish_async_pending == 50
        came: list[midge.Message] = []
        await liar.nc.subscribe("orders", callback=lambda message: (came.append(message), acknowledge(message, len(came))))
        for number, ack in enumerate(acks):
            assert (await ack).seq == number + 1
        assert [int(message.data) for message in came[:50]] == list(range(50))
        assert (await (await more)).seq == 51


async def test_what_nobody_takes_is_not_given_up_while_nobody_says_whether_there_is_a_stream() -> None:
    async with lying() as (nc, liar):
        await liar.nc.subscribe("$JS.API.STREAM.NAMES", callback=lambda message: None)
        liar.subscription.unsubscribe()
        await liar.nc.flush()
        js = nc.jetstream(timeout=0.3, retry_wait=0.02)
        ack = await js.publish_async("orders")
        await until(lambda: ack.tries > 6 or ack.is_done)
        assert not ack.is_done
        await liar.nc.subscribe("orders", callback=lambda message: acknowledge(message, 1))
        assert (await ack).seq == 1


async def test_who_waits_for_room_waits_for_what_was_sent_again_too() -> None:
    async with lying() as (nc, liar):
        liar.answers["STREAM.NAMES"] = {"total": 1, "streams": ["S"]}
        js = nc.jetstream(max_pending=1, timeout=0.3, retry_wait=0.02)
        first = await js.publish_async("orders", b"1")
        await until(lambda: first.tries > 0)
        more = asyncio.create_task(js.publish_async("orders", b"2"))
        await until(lambda: first.tries > 3)
        came: list[midge.Message] = []
        await liar.nc.subscribe("orders", callback=came.append)  # who says nothing
        await asyncio.wait_for(more, 5)
        with pytest.raises(midge.MidgeTimeoutError):
            await first


@pytest.mark.parametrize("how", ["publish", "publish_async"])
async def test_what_is_sent_again_is_what_was_published(how: str) -> None:
    """Whatever becomes of a buffer or of headers that the application uses again, and of pairs that can be read once."""
    async with lying() as (nc, liar):
        liar.answers["STREAM.NAMES"] = {"total": 1, "streams": ["S"]}
        js = nc.jetstream(retry_wait=0.02)
        buffer, headers = bytearray(b"before"), {"A": "before"}

        async def said(headers: Any) -> midge.PubAck:
            return await js.publish("orders", bytes(buffer), headers=headers) if how == "publish" else await (
                await js.publish_async("orders", buffer, headers=headers)
            )  # fmt: skip

        publishing = [asyncio.create_task(said(each)) for each in (headers, iter([("A", "before")]))]
        await until(lambda: len(liar.asked) >= 1)
        buffer[:], headers["A"] = b"behind", "behind"
        came: list[midge.Message] = []
        await liar.nc.subscribe("orders", callback=lambda message: (came.append(message), acknowledge(message, len(came))))
        await asyncio.gather(*publishing)
        assert [(each.data, each.headers["A"]) for each in came] == 2 * [(b"before", "before")]


async def test_closing_fails_what_nobody_has_taken() -> None:
    async with lying() as (nc, liar):
        liar.answers["STREAM.NAMES"] = {"total": 1, "streams": ["S"]}
        js = nc.jetstream(retry_wait=0.02)
        ack = await js.publish_async("orders")
        await until(lambda: liar.asked)
        await nc.close()
        with pytest.raises(midge.ConnectionClosedError):
            await asyncio.wait_for(ack, 2)  # type: ignore[arg-type]
        assert js.publish_async_pending == 0


async def test_what_nobody_has_taken_outlives_the_link() -> None:
    """It was not stored, so it is sent through the next one."""
    async with lying() as (nc, liar):
        js = nc.jetstream(retry_wait=0.05)
        acks = [await js.publish_async("orders", b"%d" % number) for number in range(3)]
        await until(lambda: all(ack.tries for ack in acks))
        await nc.reconnect()
        await liar.nc.subscribe("orders", callback=lambda message: acknowledge(message, int(message.data) + 1))
        assert [(await ack).seq for ack in acks] == [1, 2, 3]


async def test_the_wait_for_all_has_an_end() -> None:
    async with silent() as (nc, came):
        js = nc.jetstream(timeout=None)
        await js.publish_async("orders")
        with pytest.raises(midge.MidgeTimeoutError, match="1 acknowledgements"):
            await js.publish_async_done(0.05)
        acknowledge(came[0])
        await js.publish_async_done(1)


async def test_a_lost_link_fails_what_was_sent_through_it() -> None:
    """In nats-py they wait for ever, or for the timeout."""
    async with silent() as (nc, came):
        js = nc.jetstream()
        acks = [await js.publish_async("orders") for _ in range(3)]
        await until(lambda: len(came) == 3)
        await nc.reconnect()
        for ack in acks:
            with pytest.raises(midge.DisconnectedError):
                await asyncio.wait_for(ack, 1)  # type: ignore[arg-type]
        again = await js.publish_async("orders")
        await until(lambda: len(came) == 4)
        acknowledge(came[3], 4)
        assert (await again).seq == 4


async def test_closing_fails_what_is_on_its_way() -> None:
    async with silent() as (nc, _):
        js = nc.jetstream()
        ack = await js.publish_async("orders")
        waiting = asyncio.create_task(js.publish_async_done())
        await nc.close()
        with pytest.raises(midge.ConnectionClosedError):
            await asyncio.wait_for(ack, 1)  # type: ignore[arg-type]
        await asyncio.wait_for(waiting, 1)
        with pytest.raises(midge.ConnectionClosedError):
            await js.publish_async("orders")
        assert js.publish_async_pending == 0


async def test_a_wait_that_is_cancelled_leaves_the_acknowledgement_to_others() -> None:
    async with silent() as (nc, came):
        ack = await nc.jetstream().publish_async("orders")
        waits = [asyncio.ensure_future(ack) for _ in range(2)]
        await until(lambda: came)
        waits[0].cancel()
        acknowledge(came[0], 5)
        assert (await waits[1]).seq == 5 and (await ack).seq == 5


@pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")
async def test_a_server_that_is_killed_has_what_it_acknowledged(tmp_path: Path) -> None:
    node = Node(f'jetstream {{ store_dir: "{tmp_path}", sync_interval: always }}')
    with started(node):
        async with world(node.url, storage="file", options={"max_reconnects": None}) as here:
            acked: list[PubAck] = []
            for _ in range(2):
                await here.fill(20)
                acks = [await here.js.publish_async(here.subject(), b"1") for _ in range(200)]
                await asyncio.sleep(0.001)
                node.kill()
                await until(lambda: all(ack.is_done for ack in acks))  # noqa: B023
                acked += [ack.result() for ack in acks if ack.exception() is None]
                assert all(isinstance(ack.exception(), midge.DisconnectedError | None) for ack in acks)
                node.start()
                await until(lambda: here.nc.is_connected, 10)
            state = (await here.stream.info()).state
            assert state.messages >= len(acked) + 40 and len({ack.seq for ack in acked}) == len(acked)


# Atomic batches


@pytest.mark.cluster
async def test_a_batch_is_stored_as_a_whole(url: str) -> None:
    async with world(url, allow_atomic=True) as here:
        async with here.js.atomic_batch() as batch:
            for number in range(250):
                await batch.add(here.subject(), b"%d" % number)
            assert (await here.stream.info()).state.messages == 0
        assert batch.ack is not None and (batch.ack.count, batch.ack.batch, batch.ack.seq) == (250, batch.id, 250)
        async with here.js.atomic_batch() as batch:
            await batch.add(here.subject(), headers={"X": "1"})
        assert batch.ack is not None and batch.ack.seq == 251
        async with here.js.atomic_batch() as batch:
            pass
        assert batch.ack is None


async def test_a_batch_whose_block_raises_is_not_stored(url: str) -> None:
    async with world(url, allow_atomic=True) as here:
        with pytest.raises(ZeroDivisionError):
            async with here.js.atomic_batch() as batch:
                await batch.add(here.subject())
                await batch.add(here.subject())
                raise ZeroDivisionError
        with pytest.raises(ValueError, match="has ended"):
            await batch.add(here.subject())
        assert (await here.stream.info()).state.messages == 0


async def test_a_batch_that_is_refused_stores_nothing(url: str) -> None:
    async with world(url, allow_atomic=True) as here, world(url) as plain:
        batch = here.js.atomic_batch()
        with pytest.raises(ValueError, match="without messages"):
            await batch.commit()
        await batch.add(here.subject())
        await batch.add(here.subject(), expected_last_subject_seq=5)
        with pytest.raises(midge.JetStreamError):
            await batch.commit()
        assert (await here.stream.info()).state.messages == 0
        other = plain.js.atomic_batch()
        await other.add(plain.subject())
        with pytest.raises(midge.JetStreamError) as caught:
            await other.add(plain.subject())
            await other.commit()
        assert caught.value.err_code == 10174
        nobody = here.js.atomic_batch()
        await nobody.add("nobody.here")
        with pytest.raises(NoStreamError):
            await nobody.commit()


# Fast ingest


async def test_many_messages_are_stored_as_they_come(url: str) -> None:
    async with world(url, allow_batched=True) as here:
        async with here.js.fast_ingest(flow=50) as ingest:
            for number in range(1, 1001):
                assert await ingest.add(here.subject(), b"%d" % number) == number
        assert ingest.ack is not None and ingest.ack.count == 1000 and ingest.gaps == []
        state = (await here.stream.info()).state
        assert state.messages == 1000 and (await here.stream.get(1000)).data == b"1000"
        assert here.subscriptions() <= 1


async def test_a_gap_ends_a_batch_or_is_noted(url: str) -> None:
    async with world(url, allow_batched=True) as here:
        ingest = here.js.fast_ingest(gap="ok")
        await ingest.add(here.subject())
        ingest.sent += 2  # lost on the way
        await ingest.add(here.subject())
        await ingest.commit()
        assert ingest.gaps == [(2, 3)]
        strict = here.js.fast_ingest()
        await strict.add(here.subject())
        strict.sent += 1
        await strict.add(here.subject())
        with pytest.raises(midge.JetStreamError, match="messages 2 to 2 of the batch went missing"):
            await strict.commit()
        assert strict.gaps == [(2, 2)] and (await here.stream.info()).state.messages == 3


async def test_an_ingest_that_is_refused_says_so(url: str) -> None:
    async with world(url) as plain:
        with pytest.raises(midge.JetStreamError):
            async with plain.js.fast_ingest() as ingest:
                await ingest.add(plain.subject())
        with pytest.raises(NoStreamError):
            await plain.js.fast_ingest().add("nobody.here")
        for wrong in ({"flow": 0}, {"max_outstanding": 0}, {"gap": "maybe"}):
            with pytest.raises(ValueError):
                plain.js.fast_ingest(**wrong)  # type: ignore[arg-type]


async def test_closing_ends_the_wait_of_an_ingest() -> None:
    async with silent() as (nc, came):
        task = asyncio.create_task(nc.jetstream(timeout=None).fast_ingest().add("orders"))
        await until(lambda: came)
        await nc.close()
        with pytest.raises(midge.ConnectionClosedError):
            await asyncio.wait_for(task, 2)


async def test_an_ingest_that_hears_nothing_says_so() -> None:
    async with silent() as (nc, _):
        with pytest.raises(midge.MidgeTimeoutError, match="in a fast batch"):
            await nc.jetstream(timeout=0.05).fast_ingest().add("orders")


# Counters


async def test_a_counter_counts(url: str) -> None:
    async with world(url, allow_msg_counter=True) as here:
        counter = here.js.counter(here.name)
        assert await counter.value(here.subject()) == 0
        assert await counter.add(here.subject(), 10**30) == 10**30
        assert await counter.add(here.subject(), -1) == 10**30 - 1
        assert await counter.add(here.subject("b")) == 1
        entry = await counter.get(here.subject())
        assert (entry.value, entry.incremented_by, entry.sources) == (10**30 - 1, -1, {})
        assert [entry.value for entry in await counter.get_many([here.subject("*")])] == [10**30 - 1, 1]
        for wrong in (1.5, True, "1"):
            with pytest.raises(TypeError):
                await counter.add(here.subject(), wrong)  # type: ignore[arg-type]


async def test_what_counts_nothing_is_no_counter(url: str) -> None:
    async with world(url) as here:
        counter = here.js.counter(here.name)
        with pytest.raises((ValueError, midge.JetStreamError)):
            await counter.add(here.subject())
        await here.js.publish(here.subject(), json.dumps([1]).encode())
        with pytest.raises(ValueError, match="is no counter's"):
            await counter.get(here.subject())


@pytest.mark.cluster
@pytest.mark.parametrize("is_awaited", [False, True])
async def test_what_failed_and_nobody_awaited_is_reported(url: str, is_awaited: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Once for all of a turn; who awaits is told, and nobody else."""
    errors: list[Exception] = []
    async with world(url, options={"error_callback": errors.append}, jetstream={"retry_time": 0}, max_msg_size=10) as here:
        acks = [await here.js.publish_async(here.subject(), b"x" * size) for size in (5, 11, 12)]
        acks.append(await here.js.publish_async("nobody." + here.name))
        await here.js.publish_async_done(5)
        if is_awaited:
            assert [type(error).__name__ for error in await asyncio.gather(*acks, return_exceptions=True)] == [
                "PubAck", "JetStreamError", "JetStreamError", "NoStreamError",
            ]  # fmt: skip
        acks.clear()
        await here.nc.flush()
        if is_awaited:
            assert not errors and not caplog.records
            return
        await until(lambda: errors)
        (error,) = errors
        assert isinstance(error, UnheardAckError) and error.count == 3 and isinstance(error.first, midge.JetStreamError)
        assert len(caplog.records) == 1 and "; 2 others failed, too" in caplog.text


async def test_a_lost_link_is_reported_once_for_all_that_nobody_awaited(caplog: pytest.LogCaptureFixture) -> None:
    async with silent() as (nc, came):
        js = nc.jetstream()
        for _ in range(100):
            await js.publish_async("orders")
        await until(lambda: len(came) == 100)
        await nc.reconnect()
        await until(lambda: "99 others failed, too" in caplog.text)
        assert len([record for record in caplog.records if "publish_async" in record.getMessage()]) == 1


def acks_in_memory() -> int:
    gc.collect()
    return sum(type(each) is PendingAck for each in gc.get_objects())


@pytest.mark.parametrize("timeout", [60, None], ids=str)
async def test_one_that_is_never_answered_keeps_few_others_in_memory(timeout: float | None) -> None:
    async with midge.Server(port=0, store_dir=None, jetstream=True) as server, world(server, jetstream={"timeout": timeout}) as here:
        await here.nc.subscribe("silent", callback=lambda _: None)
        await here.js.publish_async("silent")
        for _ in range(3):
            await asyncio.gather(*[await here.js.publish_async(here.subject()) for _ in range(600)])
        assert here.js.publish_async_pending == 1
        assert acks_in_memory() <= (1_700 if timeout else 700)
        for _ in range(3):
            with pytest.raises(midge.MidgeTimeoutError):
                await here.js.publish_async_done(0.001)
