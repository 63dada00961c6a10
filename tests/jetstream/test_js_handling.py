"""Callbacks of consume that do odd things: what they wait for is cancelled, they all drain, their dead letters go astray."""

from __future__ import annotations

import asyncio

import pytest
from js_worlds import filled, until

import midge
from midge.jetstream.message import StreamMessage


async def test_what_a_callback_waits_for_may_be_cancelled(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It fails like any other callback: the message comes again, and the others are handled."""
    async with filled(url, 5) as (_, consumer):
        seen: list[int] = []

        async def handle(message: StreamMessage) -> None:
            seen.append(int(message.data))
            if len(seen) == 1:
                task = asyncio.create_task(asyncio.sleep(10))
                task.cancel()
                await task

        async with consumer.consume(handle, backoff=(0.01,)) as consuming:
            await until(lambda: len(seen) >= 6)
        assert sorted(seen) == [1, 1, 2, 3, 4, 5] and consuming.errors == 1


async def test_a_dead_letter_that_no_stream_answers_keeps_the_message(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with filled(url, 3, consumer_max_deliver=1) as (here, consumer):
        seen: list[int] = []
        await here.nc.subscribe("odd.place", callback=lambda message: message.respond(b"ok"))

        def handle(message: StreamMessage) -> None:
            seen.append(int(message.data))
            raise ValueError("always")

        async with consumer.consume(handle, dead_letter="odd.place"):
            await until(lambda: len(seen) >= 3)
        assert caplog.text.count("could not be refused") == 3


async def test_callbacks_may_all_drain_their_own(url: str) -> None:
    async with filled(url, 3) as (_, consumer):
        begun: list[int] = []

        async def handle(message: StreamMessage) -> None:
            begun.append(int(message.data))
            await until(lambda: len(begun) == 3)
            if begun[0] == int(message.data):
                await asyncio.sleep(0.05)  # it is waited for by the others, and then waits itself
            await consuming.drain()

        consuming = consumer.consume(handle, max_concurrency=3).start()
        await asyncio.wait_for(consuming.wait(), 3)
        async with asyncio.timeout(3):
            while (await consumer.info()).num_ack_pending:
                pass  # nats-server takes acknowledgements after what it answers


async def test_a_callback_may_drain_or_close_the_connection(url: str) -> None:
    for end in ("drain", "close"):
        async with filled(url, 3) as (here, consumer):
            nc = here.nc

            async def handle(_: StreamMessage, nc: midge.Client = nc, end: str = end) -> None:
                await getattr(nc, end)()

            consuming = consumer.consume(handle, max_concurrency=2).start()
            await asyncio.wait_for(consuming.wait(), 5)
            assert nc.is_closed
