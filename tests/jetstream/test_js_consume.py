"""Consuming: loops and callbacks, what they leave behind, and what happens when the server, the link or the callback fails."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from js_places import kept
from js_worlds import World, filled, lying, until, world
from nodes import Node, started
from servers import find_nats_server

import midge
from midge.jetstream.errors import ConsumerNotFoundError
from midge.jetstream.message import StreamMessage

needs_nats_server = pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")


async def take(messages: Any, count: int) -> list[int]:
    """Return the numbers of so many messages, each acknowledged."""
    found = []
    async for message in messages:
        found.append(int(message.data))
        await message.ack()
        if len(found) == count:
            break
    return found


def leaves_nothing(here: World) -> bool:
    """The subscription for answers to requests is all that is left."""
    return here.subscriptions() <= 1 and not here.nc._connection.followers


@pytest.mark.cluster
async def test_a_loop_gets_everything(url: str) -> None:
    async with filled(url, 2000) as (_, consumer):
        assert await take(consumer.consume(max_messages=100), 2000) == list(range(1, 2001))
        async with asyncio.timeout(5):
            while (info := await consumer.info()).ack_floor.stream_seq < 2000:  # nats-server sees to acknowledgements beside requests
                pass
        assert info.num_redelivered == 0


async def test_a_loop_that_is_left_leaves_nothing(url: str) -> None:
    async with filled(url, 10) as (here, consumer):
        assert await take(consumer.consume(max_messages=1), 3) == [1, 2, 3]
        gc.collect()
        await until(lambda: leaves_nothing(here))
        consuming = consumer.consume()
        async for _ in consuming:
            break
        await until(lambda: leaves_nothing(here) and not consuming.pending)


async def test_a_loop_that_is_cancelled_leaves_nothing(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        task = asyncio.create_task(take(consumer.consume(), 10))
        await until(lambda: here.nc.stats.in_msgs > 3 and here.subscriptions() > 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task
        gc.collect()
        await until(lambda: leaves_nothing(here))


async def test_a_loop_that_is_forgotten_in_another_thread_leaves_nothing(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        loop = [aiter(consumer.consume())]
        await anext(loop[0])
        thread = threading.Thread(target=loop.clear)
        thread.start()
        thread.join()
        await until(lambda: leaves_nothing(here))


async def test_stopping_ends_the_loop_and_leaves_nothing(url: str) -> None:
    async with filled(url, 5) as (here, consumer):
        consuming = consumer.consume()
        task = asyncio.create_task(take(consuming, 100))
        await until(lambda: here.subscriptions() > 1)
        await consuming.stop()
        assert len(await asyncio.wait_for(task, 2)) <= 5
        assert [message async for message in consuming] == []  # what was stopped does not begin again
        assert leaves_nothing(here)


async def test_draining_a_loop_takes_what_is_at_hand(url: str) -> None:
    async with filled(url, 5) as (here, consumer):
        consuming = consumer.consume()
        loop = aiter(consuming)
        assert (await anext(loop)).data == b"1"
        await until(lambda: consuming.pending == 4)
        await consuming.drain()
        assert [message.data async for message in loop] == [b"2", b"3", b"4", b"5"]
        assert leaves_nothing(here)


async def test_draining_loses_nothing_that_is_on_its_way(url: str, request: pytest.FixtureRequest) -> None:
    """Of a consumer without acknowledgements, what is dropped is lost: the rivals unsubscribe first and drop it."""
    if kept(url) > 1:
        pytest.skip("what another server of a cluster has sent, the own one knows nothing of")
    async with filled(url, 3000, consumer_ack_policy="none") as (_, consumer):
        seen: list[int] = []
        async with consumer.consume(lambda message: seen.append(int(message.data)), max_messages=1000):
            await until(lambda: len(seen) > 10)
        found = [int(message.data) for message in await consumer.fetch(3000, timeout=0.3)]
        assert seen == list(range(1, len(seen) + 1))
        if "midge" in request.node.name:  # nats-server may count a batch as delivered whose receiver has just gone
            assert seen + found == list(range(1, 3001))
        else:
            assert found[-1] == 3000


async def test_no_more_is_asked_for_than_there_is_room_for(url: str) -> None:
    async with filled(url, 200) as (_, consumer):
        consuming = consumer.consume(max_messages=20)
        loop = aiter(consuming)
        for number in range(1, 51):
            assert (await anext(loop)).data == b"%d" % number
            await asyncio.sleep(0)
            assert consuming.pending + consuming._pull.outstanding <= 20
        await consuming.stop()


async def test_bytes_bound_what_is_at_hand(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        await here.fill(100, data=lambda _: b"x" * 1000)
        consuming = consumer.consume(max_bytes=10_000)
        loop = aiter(consuming)
        for _ in range(100):
            message = await anext(loop)
            message.ack()
            await here.nc.flush()
            assert consuming.pending <= 10 and consuming._pull.held_bytes <= 10_000
        await consuming.stop()


async def test_a_message_that_never_fits_is_not_asked_for_again_and_again(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        await here.fill(1, data=lambda _: b"x" * 1000)
        consuming = consumer.consume(max_bytes=100)
        loop = asyncio.create_task(anext(aiter(consuming)))  # type: ignore[arg-type]
        await until(lambda: consuming.last_error is not None)
        before = here.nc.stats.out_msgs
        await asyncio.sleep(0.2)
        assert here.nc.stats.out_msgs - before <= 2
        assert "MaxBytes" in str(consuming.last_error)
        await consuming.stop()
        await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.parametrize(
    "given",
    [{"max_messages": 0}, {"max_bytes": 0}, {"expires": 0.5}, {"threshold": 500}, {"threshold": -1}, {"heartbeat": 0}, {"heartbeat": -1}],
    ids=str,
)
async def test_an_option_that_makes_no_sense_is_refused(url: str, given: dict[str, Any]) -> None:
    async with filled(url, 0) as (_, consumer):
        with pytest.raises(ValueError):
            consumer.consume(**given)
        with pytest.raises(ValueError):
            consumer.consume(print, max_concurrency=0)
        with pytest.raises(TypeError):
            consumer.consume("print")
        with pytest.raises(RuntimeError):
            aiter(consumer.consume(print))


async def test_an_option_that_nobody_knows_is_refused(url: str) -> None:
    async with filled(url, 0) as (_, consumer):
        with pytest.raises(TypeError, match="max_concurency"):
            consumer.consume(lambda _: None, max_concurency=4)  # type: ignore[call-arg]


@pytest.mark.cluster
async def test_a_consumer_that_is_deleted_ends_the_loop(url: str) -> None:
    async with filled(url, 2) as (here, consumer):
        before = here.nc.stats.in_msgs
        task = asyncio.create_task(take(consumer.consume(), 10))
        await until(lambda: here.nc.stats.in_msgs >= before + 2)
        await here.stream.delete_consumer("C")
        with pytest.raises(ConsumerNotFoundError):
            await asyncio.wait_for(task, 3)
        assert leaves_nothing(here)
        with pytest.raises(ConsumerNotFoundError):
            await asyncio.wait_for(take(here.stream.consumer("NONE").consume(), 1), 3)


async def test_closing_the_connection_ends_the_loop(url: str) -> None:
    """nats-core's loops hang where no more connection comes."""
    async with filled(url, 2) as (here, consumer):
        task = asyncio.create_task(take(consumer.consume(), 10))
        handling = consumer.consume(lambda message: None).start()
        await until(lambda: here.subscriptions() > 2)
        await here.nc.close()
        assert len(await asyncio.wait_for(task, 2)) <= 2
        await asyncio.wait_for(handling.wait(), 2)
        with pytest.raises(midge.ConnectionClosedError):
            aiter(consumer.consume())


async def test_a_refusal_that_may_pass_is_tried_again(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with filled(url, 3, consumer_max_batch=2) as (_, consumer):
        consuming = consumer.consume(max_messages=5)
        task = asyncio.create_task(take(consuming, 3))
        await until(lambda: consuming.last_error is not None)
        assert "Exceeded MaxRequestBatch" in str(consuming.last_error) and not task.done()
        await consumer.update(max_batch=10)
        assert await asyncio.wait_for(task, 5) == [1, 2, 3]
        assert "Exceeded MaxRequestBatch" in caplog.text


async def test_closing_the_connection_leaves_no_timer(url: str) -> None:
    async with filled(url, 0) as (here, consumer):
        consuming = consumer.consume(lambda _: None, heartbeat=0.02).start()
        await until(lambda: consuming._pull.outstanding)
        await here.nc.close()
        await consuming.wait()
        timer = consuming._timer
        assert timer is not None
        await until(lambda: timer.when() < asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        assert consuming._timer is timer


async def test_many_links_fill_no_more_than_there_is_room_for(url: str) -> None:
    """A request for no messages is one for one message to the server."""
    async with filled(url, 40) as (here, consumer):
        consuming = consumer.consume(max_messages=20)
        loop = aiter(consuming)
        await anext(loop)
        for _ in range(5):
            await until(lambda: consuming.pending >= 19)
            await here.nc.reconnect()
            await here.nc.flush()
        assert consuming.pending <= 20 and consuming._pull.outstanding >= 0
        await consuming.stop()


@pytest.mark.cluster
async def test_a_new_link_is_asked_anew(url: str) -> None:
    async with filled(url, 2) as (here, consumer):
        consuming = consumer.consume()
        task = asyncio.create_task(take(consuming, 4))
        await until(lambda: here.nc.stats.in_msgs > 4)
        await here.nc.reconnect()
        await here.fill(1, data=lambda _: b"3")
        await here.nc.reconnect()
        await here.fill(1, data=lambda _: b"4")
        assert sorted(set(await asyncio.wait_for(task, 5))) == [1, 2, 3, 4]
        del task
        await consuming.stop()
        assert leaves_nothing(here)


# Callbacks


async def test_what_a_callback_returns_from_is_acknowledged(url: str) -> None:
    async with filled(url, 10) as (here, consumer):
        seen: list[int] = []
        async with consumer.consume(lambda message: seen.append(int(message.data))):
            await until(lambda: len(seen) == 10)
        assert seen == list(range(1, 11)) and leaves_nothing(here)
        async with asyncio.timeout(5):
            while (info := await consumer.info()).ack_floor.stream_seq < 10:
                pass
        assert info.num_ack_pending == 0


async def test_a_callback_may_acknowledge_in_its_own_way(url: str) -> None:
    async with filled(url, 2) as (here, consumer):

        async def handle(message: StreamMessage) -> None:
            if message.data == b"1":
                await message.term("no good")
            seen.append(message)

        seen: list[StreamMessage] = []
        async with consumer.consume(handle, auto_ack=False):
            await until(lambda: len(seen) == 2)
        await here.nc.flush()
        assert (await consumer.info()).num_ack_pending == 1
        assert seen[0].is_acknowledged and not seen[1].is_acknowledged


@pytest.mark.cluster
async def test_what_a_callback_raises_for_comes_again_later(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A plain nak burns through max_deliver in milliseconds."""
    async with filled(url, 1) as (_, consumer):
        loop = asyncio.get_running_loop()
        times: list[float] = []

        async def handle(message: StreamMessage) -> None:
            times.append(loop.time())
            if len(times) < 3:
                raise ZeroDivisionError("on purpose")

        async with consumer.consume(handle, backoff=(0.05, 0.15)) as consuming:
            await until(lambda: len(times) == 3)
        assert times[1] - times[0] >= 0.05 and times[2] - times[1] >= 0.15
        assert consuming.errors == 2 and isinstance(consuming.last_error, ZeroDivisionError)
        assert caplog.text.count("on purpose") >= 2


async def test_who_dies_with_a_message_in_hand_leaves_it_to_others(url: str) -> None:
    async with filled(url, 1, consumer_ack_wait=0.5) as (here, consumer):
        began = asyncio.Event()

        async def handle(_: StreamMessage) -> None:
            began.set()
            await asyncio.Event().wait()

        nc = await midge.connect(url)
        consuming = nc.jetstream().stream(here.name).consumer("C").consume(handle).start()
        await began.wait()
        await nc.close()
        await consuming.stop()
        message = await consumer.next(5)
        assert message.data == b"1" and message.metadata.delivered == 2


async def test_the_last_delivery_that_fails_is_a_dead_letter(url: str) -> None:
    async with world(url, allow_rollup_hdrs=True) as here, world(url) as dead:
        asked = {"Nats-Rollup": "sub", "X": "1", "Nats-Expected-Last-Sequence": "0"}
        await here.js.publish(here.subject(), b"1", headers=asked, msg_id="7")
        consumer = await here.consumer(max_deliver=2)
        await dead.js.publish(dead.subject("of"), b"before")

        def handle(message: StreamMessage) -> None:
            raise ValueError("bad\r\norder")

        unknown = here.stream.consumer("C")  # how it is configured, the handle has to find out
        async with unknown.consume(handle, backoff=(0.01,), dead_letter=dead.subject("of")):
            async with asyncio.timeout(5):
                while (await dead.stream.info()).state.messages < 2:
                    await asyncio.sleep(0.01)
        letter = await dead.stream.get(2)
        assert letter.data == b"1" and letter.headers["X"] == "1"
        assert letter.headers["Midge-Dead-Letter-Subject"] == here.subject()
        assert letter.headers["Midge-Dead-Letter-Deliveries"] == "2"
        assert letter.headers["Midge-Dead-Letter-Error"] == "ValueError: bad order"
        assert letter.headers["Nats-Msg-Id"] == "7" and "Nats-Rollup" not in letter.headers
        assert (await consumer.info()).num_ack_pending == 0


async def test_a_dead_letter_that_cannot_be_stored_keeps_the_message(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with filled(url, 1, consumer_ack_wait=60) as (_, consumer):

        def handle(message: StreamMessage) -> None:
            raise ValueError("bad")

        async with consumer.consume(handle, dead_letter="nobody.takes.this", dead_letter_after=1) as consuming:
            await until(lambda: "could not be refused" in caplog.text)
            assert consuming.errors == 1
        assert (await consumer.info()).num_ack_pending == 1


async def test_a_message_is_kept_for_as_long_as_its_callback_runs(url: str) -> None:
    async with filled(url, 1, consumer_ack_wait=0.3) as (here, _):
        calls: list[int] = []

        async def handle(message: StreamMessage) -> None:
            calls.append(message.metadata.delivered)
            await asyncio.sleep(1.0)

        consumer = here.stream.consumer("C")  # its ack_wait, the handle has to find out
        async with consumer.consume(handle, auto_progress=True):
            await until(lambda: calls)
        assert calls == [1]
        await here.nc.flush()
        assert (await consumer.info()).num_redelivered == 0


async def test_so_many_callbacks_run_at_a_time_and_no_more(url: str) -> None:
    async with filled(url, 20) as (_, consumer):
        running = most = done = 0

        async def handle(message: StreamMessage) -> None:
            nonlocal running, most, done
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            done += 1

        async with consumer.consume(handle, max_concurrency=4):
            await until(lambda: done == 20)
        assert most == 4


async def test_stopping_cancels_what_runs_and_draining_waits_for_it(url: str) -> None:
    async with filled(url, 2) as (here, consumer):
        began, ended = asyncio.Event(), []

        async def handle(message: StreamMessage) -> None:
            began.set()
            await asyncio.sleep(0.1)
            ended.append(int(message.data))

        consuming = consumer.consume(handle).start()
        await began.wait()
        await consuming.stop()
        assert not ended and leaves_nothing(here)
        began.clear()
        await (await here.consumer(durable_name="D")).info()
        other = here.stream.consumer("D").consume(handle).start()
        await began.wait()
        await other.drain()
        assert ended == [1, 2] and leaves_nothing(here)


@pytest.mark.cluster
async def test_draining_the_client_waits_for_callbacks_that_consume(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is at hand is worked on and acknowledged, also what was fetched and not begun."""
    async with filled(url, 6) as (here, consumer):
        began, ended = asyncio.Event(), []

        async def handle(message: StreamMessage) -> None:
            began.set()
            await asyncio.sleep(0.03)
            ended.append(int(message.data))

        nc = await midge.connect(url)
        consuming = nc.jetstream().stream(here.name).consumer("C").consume(handle, max_concurrency=2).start()
        await began.wait()
        await until(lambda: consuming.pending == 4)
        await nc.drain()
        assert sorted(ended) == [1, 2, 3, 4, 5, 6] and not caplog.records
        info = await consumer.info()
        assert (info.num_ack_pending, info.num_pending) == (0, 0)


async def test_draining_the_client_waits_for_a_loop_that_consumes(url: str) -> None:
    async with filled(url, 4) as (here, consumer):
        nc = await midge.connect(url)
        ended, began = [], asyncio.Event()

        async def loop() -> None:
            async for message in nc.jetstream().stream(here.name).consumer("C").consume():
                began.set()
                await asyncio.sleep(0.02)
                await message.ack()
                ended.append(int(message.data))

        task = asyncio.create_task(loop())
        await began.wait()
        await nc.drain()
        assert task.done() and task.result() is None and ended == [1, 2, 3, 4]
        assert (await consumer.info()).num_ack_pending == 0


async def test_a_loop_over_an_ordered_consumer_ends_with_a_drain(url: str) -> None:
    async with filled(url, 3) as (here, _):
        nc = await midge.connect(url)
        seen = []

        async def loop() -> None:
            async for message in nc.jetstream().stream(here.name).ordered_consumer():
                seen.append(int(message.data))

        task = asyncio.create_task(loop())
        await until(lambda: len(seen) == 3)
        await nc.drain()
        await asyncio.wait_for(task, 2)


async def test_draining_the_client_ends_in_time_where_a_callback_hangs(url: str) -> None:
    async with filled(url, 1) as (here, consumer):
        began = asyncio.Event()

        async def handle(_: StreamMessage) -> None:
            began.set()
            await asyncio.Event().wait()

        nc = await midge.connect(url, drain_timeout=0.1)
        consuming = nc.jetstream().stream(here.name).consumer("C").consume(handle).start()
        await began.wait()
        with pytest.raises(midge.MidgeTimeoutError, match="callbacks or loops were not done"):
            await nc.drain()
        assert nc.is_closed
        await consuming.stop()


async def test_a_callback_that_consumes_may_drain_the_client(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        nc = await midge.connect(url)
        seen = []

        async def handle(message: StreamMessage) -> None:
            seen.append(message.data)
            if message.data == b"2":
                await message.ack()
                await nc.drain()

        consuming = nc.jetstream().stream(here.name).consumer("C").consume(handle).start()
        await asyncio.wait_for(consuming.wait(), 3)
        assert nc.is_closed and seen[:2] == [b"1", b"2"]
        assert (await consumer.info()).num_ack_pending <= 1


async def test_a_callback_may_stop_or_drain_its_own(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        seen: list[bytes] = []

        async def handle(message: StreamMessage) -> None:
            seen.append(message.data)
            await (consuming.drain() if message.data == b"1" else consuming.stop())

        consuming = consumer.consume(handle).start()
        await asyncio.wait_for(consuming.wait(), 3)
        assert seen[:2] in ([b"1", b"2"], [b"1"]) and leaves_nothing(here)


async def test_a_handler_hears_that_its_consumer_is_gone(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with filled(url, 1) as (here, consumer):
        seen: list[bytes] = []
        consuming = consumer.consume(lambda message: seen.append(message.data)).start()
        await until(lambda: seen)
        with caplog.at_level(logging.ERROR):
            await here.stream.delete_consumer("C")
            with pytest.raises(ConsumerNotFoundError):
                await asyncio.wait_for(consuming.wait(), 3)
        assert "has ended" in caplog.text and leaves_nothing(here)


# A real server that is killed


@needs_nats_server
async def test_killing_the_server_loses_nothing_and_nobody_restarts_anything(tmp_path: Path) -> None:
    node = Node(f'jetstream {{ store_dir: "{tmp_path}", sync_interval: always }}')
    with started(node):
        async with world(node.url, storage="file", options={"max_reconnects": None}) as here:
            seen: set[int] = set()
            consumer = await here.consumer(ack_wait=1)
            async with consumer.consume(lambda message: seen.add(int(message.data)), expires=2, heartbeat=0.5):
                for turn in range(3):
                    await here.fill(50, data=lambda number, turn=turn: b"%d" % (50 * turn + number))  # type: ignore[misc]
                    node.kill()
                    await until(lambda: not here.nc.is_connected)
                    node.start()
                    await until(lambda: here.nc.is_connected, 10)
                await until(lambda: len(seen) == 150, 15)
            assert seen == set(range(1, 151))


async def test_a_leader_that_is_none_any_more_is_not_waited_for() -> None:
    """It says so, and not how much of what was asked for it has not delivered."""
    async with lying() as (nc, liar):
        asked: list[midge.Message] = []

        def answer(request: midge.Message) -> None:
            asked.append(request)
            if len(asked) == 1:
                liar.nc.publish(request.reply, headers=midge.Headers.parse(b"NATS/1.0 409 Leadership Change\r\n\r\n"))
            else:
                liar.nc.publish(request.reply, b"1", reply="ack.1")

        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=answer)
        async with asyncio.timeout(5):
            async for message in nc.jetstream().stream("S").consumer("C").consume():
                assert message.data == b"1" and len(asked) == 2
                break


async def test_consuming_goes_on_when_there_is_a_leader_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody took the request, and somebody says that the consumer is there, or that nobody can say anything."""
    monkeypatch.setattr("midge.jetstream.consuming.FIRST_DELAY", 0.05)
    async with lying() as (nc, liar):
        liar.subscription.unsubscribe()
        await liar.nc.subscribe("$JS.API.CONSUMER.INFO.>", callback=liar.receive)
        liar.answers["CONSUMER.INFO.S.C"] = {"error": {"code": 503, "err_code": 10008, "description": "temporarily unavailable"}}
        consuming = nc.jetstream().stream("S").consumer("C").consume()
        task = asyncio.create_task(take(consuming, 1))
        await until(lambda: len(liar.asked) >= 2)
        assert isinstance(consuming.last_error, midge.jetstream.JetStreamUnavailableError)
        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=lambda request: liar.nc.publish(request.reply, b"1", reply="ack"))
        assert await asyncio.wait_for(task, 5) == [1]


@needs_nats_server
async def test_consuming_may_begin_between_two_links(tmp_path: Path) -> None:
    node = Node(f'jetstream {{ store_dir: "{tmp_path}", sync_interval: always }}')
    with started(node):
        async with world(node.url, storage="file", options={"max_reconnects": None}) as here:
            await here.fill(3)
            consumer = await here.consumer()
            node.kill()
            await until(lambda: not here.nc.is_connected)
            task = asyncio.create_task(take(consumer.consume(), 3))
            fetching = asyncio.create_task((other := here.stream.consumer("C")).fetch(3, timeout=1))
            await asyncio.sleep(0)
            node.start()
            fetched = await asyncio.wait_for(fetching, 10)
            for message in fetched:
                message.nak()
            assert other.pending == 0
            assert sorted(set(await asyncio.wait_for(task, 10))) == [1, 2, 3]


async def test_a_heartbeat_that_is_missing_is_followed_by_another_request() -> None:
    """A server that says nothing any more: the request is made again."""
    async with midge.Server(port=0, listen=False) as server, midge.connect(server) as nc, midge.connect(server) as other:
        asked: list[midge.Message] = []
        await other.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=asked.append)
        consumer = nc.jetstream().stream("S").consumer("C")
        consuming = consumer.consume(expires=1, heartbeat=0.05)
        task = asyncio.create_task(take(consuming, 1))
        await until(lambda: len(asked) == 2)
        assert consuming.missed_heartbeats == 1
        await other.publish(asked[1].reply, b"1", reply="ack.1")
        assert await task == [1]
        fetching = asyncio.create_task(consumer.fetch(1, timeout=10, heartbeat=0.05))
        await until(lambda: len(asked) == 4)
        await other.publish(asked[2].reply, b"2", reply="ack.2")  # of the one that was given up
        assert [message.data for message in await fetching] == [b"2"]
