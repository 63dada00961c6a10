"""A message of a stream: where it comes from, and how it is acknowledged, once."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime, timedelta

import pytest
from js_worlds import filled

import midge
from midge.jetstream.errors import AlreadyAcknowledgedError, NotAcknowledgedError
from midge.jetstream.message import StreamMessage, stream_message


async def test_where_it_comes_from(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        first, second = await consumer.fetch(2)
        metadata = second.metadata
        assert (metadata.stream, metadata.consumer, metadata.stream_seq, metadata.consumer_seq) == (here.name, "C", 2, 2)
        assert (metadata.delivered, metadata.pending, metadata.domain) == (1, 1, "")
        assert abs(datetime.now(UTC) - metadata.timestamp) < timedelta(minutes=1)
        assert second.sequences == (2, 2) and first.sequences == (1, 1)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.S.C.3.7.9.1700000000000000000.5", ("S", "C", 7, 9, 3, 5, "")),
        ("$JS.ACK._.HASH.S.C.3.7.9.1700000000000000000.5", ("S", "C", 7, 9, 3, 5, "")),
        ("$JS.ACK.hub.HASH.S.C.3.7.9.1700000000000000000.5.token", ("S", "C", 7, 9, 3, 5, "hub")),
    ],
)
def test_both_forms_are_read(reply: str, expected: tuple[object, ...]) -> None:
    message = stream_message(midge.Message("a", b"", reply))
    at = message.metadata
    assert (at.stream, at.consumer, at.stream_seq, at.consumer_seq, at.delivered, at.pending, at.domain) == expected
    assert at.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) and message.sequences == (7, 9)


@pytest.mark.parametrize("reply", ["", "there", "$JS.ACK.S.C", "$JS.ACK", "$JS.FC.a.b.c.d.e.f.g.h"])
def test_what_no_consumer_has_delivered_has_no_metadata(reply: str) -> None:
    message = stream_message(midge.Message("a", b"", reply))
    with pytest.raises(midge.LocalProtocolError, match="not delivered by a consumer"):
        message.metadata  # noqa: B018
    with pytest.raises(midge.LocalProtocolError):
        message.sequences  # noqa: B018
    with pytest.raises(midge.LocalProtocolError):
        message.ack()


@pytest.mark.parametrize("first", ["ack", "nak", "term", "ack_sync"])
@pytest.mark.parametrize("second", ["ack", "nak", "term", "ack_sync", "in_progress"])
async def test_a_second_word_is_refused(url: str, first: str, second: str) -> None:
    async with filled(url, 1) as (_, consumer):
        message = await consumer.next(2)
        await message.in_progress()
        await getattr(message, first)()
        assert message.is_acknowledged
        with pytest.raises(AlreadyAcknowledgedError) as caught:
            await getattr(message, second)()
        assert isinstance(caught.value, ValueError)


async def test_each_word_says_what_it_says(url: str) -> None:
    async with filled(url, 4, consumer_ack_wait=60) as (here, consumer):
        one, two, three, four = await consumer.fetch(4)
        await one.ack_sync()
        info = await consumer.info()
        assert info.num_ack_pending == 3 and info.ack_floor.stream_seq == 1
        two.nak()
        assert (await consumer.next(2)).metadata[:5] == (here.name, "C", 2, 5, 2)
        loop = asyncio.get_running_loop()
        before = loop.time()
        three.nak(timedelta(milliseconds=200))
        assert (await consumer.next(2)).metadata.stream_seq == 3 and loop.time() - before >= 0.19
        advice = await here.nc.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{here.name}.C")
        await here.nc.flush()
        four.term("no such order")
        assert b"no such order" in (await advice.next(2)).data
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError):
                (await_message := stream_message(midge.Message("a", b"", four.reply))).nak(wrong)
            assert not await_message.is_acknowledged


async def test_a_word_that_nobody_confirms_may_be_said_again(url: str) -> None:
    async with filled(url, 1) as (here, consumer):
        message = await consumer.next(2)
        await here.stream.delete_consumer("C")
        with pytest.raises(NotAcknowledgedError, match="may be delivered again"):
            await message.ack_sync(0.2)
        assert not message.is_acknowledged
        await message.ack()


async def test_a_copy_cannot_be_acknowledged_and_the_original_can(url: str) -> None:
    async with filled(url, 1) as (_, consumer):
        message = await consumer.next(2)
        other = copy.copy(message)
        assert type(other) is StreamMessage and other == message
        with pytest.raises(midge.LocalProtocolError):
            other.ack()
        await message.ack()


async def test_a_closed_connection_acknowledges_nothing(url: str) -> None:
    async with filled(url, 1) as (here, consumer):
        message = await consumer.next(2)
        await here.nc.close()
        with pytest.raises(midge.ConnectionClosedError):
            message.ack()
        assert not message.is_acknowledged


async def test_another_thread_may_not_acknowledge_without_the_clients_loop(url: str) -> None:
    async with filled(url, 1) as (_, consumer):
        message = await consumer.next(2)
        loop = asyncio.get_running_loop()

        def elsewhere() -> None:
            asyncio.run_coroutine_threadsafe(message.ack_sync(), loop).result(5)

        await asyncio.to_thread(elsewhere)
        assert (await consumer.info()).ack_floor.stream_seq == 1


async def test_odd_messages_disturb_nobody(url: str) -> None:
    """nats.py#924: an odd byte in a header, a subject that is no UTF-8."""
    async with filled(url, 0) as (here, consumer):
        await here.js.publish(here.subject("odd"), b"", headers={"X": "\udcff\udcfe", "Y": ""})
        await here.fill(1)
        odd, plain = await consumer.fetch(2)
        assert odd.data == b"" and plain.data == b"1" and odd.headers["Y"] == ""
        await odd.ack()
