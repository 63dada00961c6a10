"""What others publish, and what a server says, may not stop who consumes, watches, reads and manages; on our server and on nats-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from bucket_worlds import bucket, first_of
from js_worlds import filled, lying, until, world

import midge
from midge.errors import SlowConsumerError
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.handling import Handling
from midge.message import Headers

LONGEST = (1 << 63) - 1
SPOOFED = [("Nats-Stream", "OTHER"), ("nats-sequence", "7"), ("Nats-Sequence", "999"), ("Nats-Subject", "other"), ("Nats-Num-Pending", "5")]
ODD = [("Bad Name", "1"), ("", "2")]


class NoException(BaseException):
    """What a library may raise that is not an Exception."""


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


async def say(url: str, *lines: str) -> None:
    """Say something to a server that no client of ours would."""
    host, _, port = url.removeprefix("nats://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("".join(['CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n', *lines, "PING\r\n"]).encode())
    async with asyncio.timeout(5):
        while await reader.readline() != b"PONG\r\n":
            pass
    writer.close()


# Handlers


async def test_a_handler_that_raises_no_exception_is_called_for_the_next_message(url: str) -> None:
    async with filled(url, 3) as (_, consumer):
        seen: list[bytes] = []

        async def handle(message: Any) -> None:
            seen.append(message.data)
            if len(seen) == 1:
                raise NoException

        async with consumer.consume(handle, backoff=[60]) as consuming:
            await until(lambda: len(seen) == 3)
        assert consuming.errors == 1 and isinstance(consuming.last_error, NoException)


async def test_a_handler_whose_task_is_cancelled_leaves_nothing_asked_for(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody left who would take it."""
    async with filled(url, 3) as (here, consumer):

        async def handle(message: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        consuming = consumer.consume(handle).start()
        await asyncio.wait_for(consuming.wait(), 5)
        assert consuming.is_over and here.subscriptions() <= 1
        assert "its task was cancelled" in caplog.text
        await consuming.stop()


async def test_a_handler_whose_loop_is_gone_ends_there(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its coroutine is closed, in the middle of a message: that is no fault of the handler's, and nothing can be awaited any more."""
    async with filled(url, 1) as (_, consumer):
        (message,) = await consumer.fetch(1)

        async def wait(_: object) -> None:
            await asyncio.get_running_loop().create_future()

        handling = Handling(consumer.consume(wait), wait, {})
        handle = handling._handle(message)
        handle.send(None)
        handle.close()
        assert handling.errors == 0 and not caplog.records and not message.is_acknowledged


@pytest.mark.parametrize(
    "error", [ValueError("a\0b"), ValueError("\ud800"), ValueError("a\r\nb\udc80"), Mute(), NoException("x")], ids=repr
)
async def test_whatever_a_handler_raises_becomes_a_dead_letter(url: str, error: BaseException) -> None:
    async with world(url) as here:
        await here.js.publish(here.subject("a"), b"poison", headers=Headers.of_wire([*ODD, ("Own", "o")]))
        consumer = await here.consumer(filter_subject=here.subject("a"), max_deliver=1)

        async def handle(_: Any) -> None:
            raise error

        async with consumer.consume(handle, dead_letter=here.subject("dead")) as consuming:
            await until(lambda: consuming.errors)
        letter = await here.stream.get_last(here.subject("dead"))
        assert letter.data == b"poison"
        assert (letter.headers["Bad Name"], letter.headers["Own"]) == ("1", "o")
        assert letter.headers["Midge-Dead-Letter-Error"].startswith(type(error).__name__)


# Messages that say what only a server says


@pytest.mark.parametrize("direct", [True, False])
async def test_a_message_that_was_published_again_is_where_it_is(url: str, direct: bool) -> None:
    """A stream's republish adds the headers that a direct get answers with, and whoever publishes may say so."""
    async with world(url) as here:
        await here.js.publish(here.subject(), b"1", headers=Headers.of_wire(SPOOFED + ODD))
        stored = await here.stream.get(1, direct=direct)
        assert (stored.stream, stored.subject, stored.seq, stored.pending) == (here.name, here.subject(), 1, 0)
        assert [pair for pair in stored.headers.multi_items() if pair[0]] == [*SPOOFED, ODD[0]]
        assert [(each.seq, each.subject) for each in await here.stream.get_batch(here.subject(), batch=5)] == [(1, here.subject())]


async def test_a_value_is_found_whatever_headers_it_has(url: str) -> None:
    async with bucket(url) as kv:
        headers = [*SPOOFED, *ODD, ("Nats-Msg-Size", "9" * 5_000)]
        await kv._js.publish(f"$KV.{kv.bucket}.a", b"xyz", headers=Headers.of_wire(headers))
        entry = await kv.get("a")
        assert (entry.key, entry.value, entry.revision, entry.size) == ("a", b"xyz", 1, 3)
        async with kv.watch() as watcher:
            assert [(each.key, each.size) for each in await first_of(watcher)] == [("a", 3)]
        async with kv.watch(meta_only=True) as watcher:
            assert [(each.key, each.size) for each in await first_of(watcher)] == [("a", 3)]
        assert [key async for key in kv.keys()] == ["a"]


async def test_what_is_no_key_is_not_taken_for_all_keys_when_markers_are_removed(url: str) -> None:
    async with bucket(url) as kv:
        await kv.put("a", b"1")
        await kv.put("b", b"2")
        await say(url, *[f"HPUB $KV.{kv.bucket}.{wild} 31 31\r\nNATS/1.0\r\nKV-Operation: DEL\r\n\r\n\r\n" for wild in (">", "*")])
        assert (await kv.status()).values == 4
        await kv.delete("b")
        assert await kv.purge_deletes(0) == 1
        assert [key async for key in kv.keys()] == ["a"]


@pytest.mark.parametrize("how", ["consume", "fetch"])
async def test_a_message_that_says_who_is_pinned_pins_nobody(url: str, how: str) -> None:
    """An overflow group refuses requests with an id."""
    async with world(url) as here:
        for pin in ("evil", "\udcff"):
            await here.js.publish(here.subject(), b"", headers={"Nats-Pin-Id": pin})
        await here.fill(4)
        consumer = await here.consumer(priority_groups=["g"], priority_policy="overflow")
        found: list[bytes] = []
        async with asyncio.timeout(5):
            if how == "fetch":
                while len(found) < 6:
                    found += [message.data for message in await consumer.fetch(1, group="g", timeout=1)]
            else:
                async for message in consumer.consume(group="g", max_messages=2):
                    found.append(message.data)
                    if len(found) == 6:
                        break
        assert found == [b"", b"", b"1", b"2", b"3", b"4"]


async def test_a_pushed_message_with_a_status_is_a_message(url: str) -> None:
    async with world(url) as here:
        consumer = await here.consumer(deliver_subject=here.nc.new_inbox())
        async with asyncio.timeout(5):
            loop = aiter(consumer.consume())
            await here.nc.flush()
            await here.nc.publish(here.subject(), b"1", headers=Headers(status=100, description="Idle Heartbeat"))
            await here.nc.publish(here.subject(), b"2")
            assert [(await anext(loop)).data for _ in range(2)] == [b"1", b"2"]  # type: ignore[arg-type]


# Watches


async def test_a_watch_that_loses_its_link_has_all_keys_before_it_says_so(url: str) -> None:
    """Another consumer begins behind the last message, and delivers what is not the last of its key, too: it counts anew."""
    async with bucket(url, history=4) as kv:
        for number in range(600):
            for _ in range(3):
                await kv._js.publish_async(f"$KV.{kv.bucket}.k{number}", b"")
        await kv._js.publish_async_done(20)
        keys = set()
        async with asyncio.timeout(20), kv.watch() as watcher:
            async for entry in watcher:
                if entry is CAUGHT_UP:
                    break
                keys.add(entry.key)
                if len(keys) == 10:
                    await kv._js.client.reconnect()
        assert len(keys) == 600


class Consumers(dict[str, Any]):
    """Answers whoever makes a consumer, with one that nobody can ask for messages."""

    def get(self, name: str, default: Any = None) -> Any:
        if not name.startswith("CONSUMER.CREATE."):
            return default
        return {"stream_name": "S", "name": name.rpartition(".")[2], "config": {}, "num_pending": 1}


async def test_an_ordered_consumer_does_not_make_one_consumer_after_the_other_in_vain() -> None:
    async with lying() as (nc, liar):
        liar.answers = Consumers()
        liar.subscription.unsubscribe()
        await liar.nc.subscribe("$JS.API.CONSUMER.CREATE.>", callback=liar.receive)
        ordered = nc.jetstream(timeout=1).stream("S").ordered_consumer()
        with pytest.raises(midge.MidgeTimeoutError):
            await ordered.next(0.5)
        assert 2 <= len(liar.asked) <= 3
        await ordered.stop()


# Bounds


async def test_what_is_pushed_to_who_takes_nothing_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.jetstream.push.DEFAULT_PENDING_MSGS", 10)
    async with world(url) as here:
        consumer = await here.consumer(deliver_subject=here.nc.new_inbox(), ack_policy="none")
        loop = aiter(consumer.consume())
        await here.nc.flush()
        await here.fill(50)
        found = []
        with pytest.raises(SlowConsumerError):
            async with asyncio.timeout(5):
                await until(lambda: here.subscriptions() <= 1)
                async for message in loop:
                    found.append(int(message.data))
        assert found == list(range(1, 12))


@pytest.mark.parametrize("number", [0, -1, 1 << 62, 1 << 63, 1 << 64])
async def test_what_cannot_be_counted_is_refused_before_it_is_asked_for(url: str, number: int) -> None:
    async with filled(url, 1) as (_, consumer):
        calls: Iterator[Any] = iter(
            [
                lambda: consumer.fetch(number),
                lambda: consumer.fetch(1, max_bytes=number),
                lambda: consumer.consume(max_messages=number),
                lambda: consumer.consume(max_bytes=number),
            ]
        )
        for call in calls:
            with pytest.raises(ValueError, match=f"={number}: expected 1 to "):
                await call()
        assert len(await consumer.fetch(1, timeout=1e11)) == 1


async def test_the_longest_duration_is_sent_back_as_it_came(url: str) -> None:
    """Go has it for what never ends; as a float it is one nanosecond more than there can be."""
    async with world(url) as here:
        config = {"durable_name": "C", "ack_policy": "explicit", "inactive_threshold": LONGEST}
        body = json.dumps({"stream_name": here.name, "config": config}).encode()
        answer = json.loads((await here.nc.request(f"$JS.API.CONSUMER.CREATE.{here.name}.C", body)).data)
        assert answer["config"]["inactive_threshold"] == LONGEST
        info = await here.stream.consumer("C").update(description="changed")
        assert info.config.description == "changed"
        await here.stream.update(max_age=float("inf"), duplicate_window=60)


async def test_many_add_to_one_fast_batch(url: str) -> None:
    async with world(url, allow_batched=True) as here, asyncio.timeout(10):
        async with here.js.fast_ingest(flow=10, timeout=3) as ingest:
            numbers = await asyncio.gather(*[ingest.add(here.subject(), b"x") for _ in range(100)])
        assert ingest.ack is not None and ingest.ack.count == 100 and max(numbers) == 100


async def test_a_refusal_is_logged_once_until_it_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async with lying() as (nc, liar):
        asked: list[str] = []
        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=lambda message: asked.append(message.reply))
        consuming = nc.jetstream(timeout=1).stream("S").consumer("C").consume()
        taking = asyncio.create_task(anext(aiter(consuming)))  # type: ignore[arg-type]
        await until(lambda: asked)
        for _ in range(50):
            await liar.nc.publish(asked[0], headers=Headers(status=409, description="Exceeded MaxWaiting" + "x" * 10_000))
        await liar.nc.flush()
        await until(lambda: consuming.last_error)
        await nc.flush()
        assert caplog.text.count("Exceeded MaxWaiting") == 1 and len(caplog.text) < 1_000
        await consuming.stop()
        with pytest.raises(StopAsyncIteration):
            await taking
