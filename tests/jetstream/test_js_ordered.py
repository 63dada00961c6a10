"""Ordered consumers: whatever happens on the way, every message once and in order, and nothing is left behind on the server."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from js_worlds import World, lying, until, world
from nodes import Node, started
from servers import find_nats_server

import midge
from midge.jetstream.errors import StreamNotFoundError
from midge.jetstream.infos import ConsumerInfo

needs_nats_server = pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")


class _Any(dict[str, Any]):
    """The same answer to all that is asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.asked += 1
        return self.answer


async def consumers(here: World) -> list[str]:
    return [name async for name in here.stream.consumer_names()]


async def has_none(here: World) -> None:
    async with asyncio.timeout(5):
        while await consumers(here):
            await asyncio.sleep(0.01)


@pytest.mark.cluster
async def test_a_stream_is_read_from_its_first_message_on(url: str) -> None:
    async with world(url) as here:
        await here.fill(1000)
        async with here.stream.ordered_consumer(max_messages=100) as ordered:
            found = [int((await ordered.next(2)).data) for _ in range(1000)]
            assert ordered.last_info is not None and ordered.last_info.num_pending == 1000
        assert found == list(range(1, 1001)) and ordered.last_seq == 1000 and ordered.resets == 0
        await has_none(here)
        assert here.subscriptions() <= 1


async def test_where_to_begin_and_what_to_read_can_be_said(url: str) -> None:
    async with world(url) as here:
        await here.fill(5)
        await here.fill(5, "b")
        ordered = here.stream.ordered_consumer(filter_subjects=[here.subject("b")], deliver_policy="by_start_sequence", opt_start_seq=8)
        assert [(await anext(ordered)).metadata.stream_seq for _ in range(3)] == [8, 9, 10]
        with pytest.raises(midge.MidgeTimeoutError):
            await ordered.next(0.05)
        await here.fill(1, "b")
        assert (await ordered.next(2)).data == b"1"
        await ordered.stop()
        with pytest.raises(midge.ConnectionClosedError):
            await ordered.next(1)
        assert [message async for message in ordered] == []


async def test_a_loop_that_is_left_leaves_no_consumer(url: str) -> None:
    async with world(url) as here:
        await here.fill(3)
        async for message in here.stream.ordered_consumer():
            assert message.data == b"1"
            break
        gc.collect()
        await has_none(here)
        assert here.subscriptions() <= 1


async def test_a_consumer_that_is_deleted_is_made_again(url: str) -> None:
    async with world(url) as here:
        await here.fill(3)
        ordered = here.stream.ordered_consumer()
        assert (await anext(ordered)).data == b"1"
        (name,) = await consumers(here)
        await here.stream.delete_consumer(name)
        await here.fill(1, data=lambda _: b"4")
        assert [(await ordered.next(5)).data for _ in range(3)] == [b"2", b"3", b"4"]
        assert ordered.resets == 1
        await ordered.stop()
        await has_none(here)


async def test_a_gap_is_read_again(url: str) -> None:
    async with world(url) as here:
        await here.fill(5)
        ordered = here.stream.ordered_consumer()
        assert (await anext(ordered)).data == b"1"
        assert ordered._consuming is not None
        await until(lambda: ordered._consuming is not None and ordered._consuming.pending == 4)
        ordered._consuming._pull.take()  # 2 was lost on the way
        assert [(await ordered.next(5)).data for _ in range(4)] == [b"2", b"3", b"4", b"5"]
        assert ordered.resets == 1
        await ordered.stop()
        await has_none(here)


async def test_a_stream_that_is_not_there_is_said_so(url: str) -> None:
    async with world(url) as here:
        with pytest.raises(StreamNotFoundError):
            await anext(here.js.stream("NONE").ordered_consumer())


async def test_a_stream_that_was_made_anew_is_not_waited_for(url: str) -> None:
    """The server delivers nothing of it until it has come as far as the one before."""
    async with world(url) as here:
        await here.fill(5)
        ordered = here.stream.ordered_consumer()
        for _ in range(5):
            await ordered.next(2)
        await here.stream.delete()
        await here.js.create_stream(name=here.name, subjects=[here.subject(">")], storage="memory")
        await here.fill(3)
        with pytest.raises(StreamNotFoundError):
            await ordered.next(5)
        await ordered.stop()
        await has_none(here)


async def test_stopping_ends_one_that_begins(url: str) -> None:
    async with world(url) as here:
        ordered = here.stream.ordered_consumer()
        taking = asyncio.create_task(anext(ordered, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await ordered.stop()
        assert await asyncio.wait_for(taking, 2) is None
        await has_none(here)
        assert here.subscriptions() <= 1


async def test_stopping_ends_one_that_tries_again() -> None:
    async with lying() as (nc, liar):
        answers = liar.answers = _Any({"error": {"code": 503, "err_code": 10008, "description": "no leader"}})
        ordered = nc.jetstream().stream("S").ordered_consumer()
        ordered.last_info = ConsumerInfo()  # there was one before
        taking = asyncio.create_task(anext(ordered, None))  # type: ignore[arg-type]
        await until(lambda: answers.asked)
        await asyncio.sleep(0.02)
        await ordered.stop()
        assert await asyncio.wait_for(taking, 0.5) is None


async def test_cancelling_one_that_begins_leaves_no_consumer(url: str) -> None:
    async with world(url) as here:
        for _ in range(5):
            taking = asyncio.create_task(here.stream.ordered_consumer().next(5))
            await asyncio.sleep(0)
            taking.cancel()
            await asyncio.wait([taking])
        await here.nc.flush()
        await has_none(here)


@pytest.mark.cluster
async def test_many_reconnects_leave_one_consumer(url: str) -> None:
    """openobserve#13676: 587 orphaned consumers."""
    async with world(url) as here:
        ordered = here.stream.ordered_consumer()
        for turn in range(20):
            await here.js.publish(here.subject(), b"%d" % turn)
            assert (await ordered.next(5)).data == b"%d" % turn
            await here.nc.reconnect()
        assert len(await consumers(here)) == 1
        await ordered.stop()
        await has_none(here)


async def test_closing_the_connection_ends_the_loop(url: str) -> None:
    async with world(url) as here:
        ordered = here.stream.ordered_consumer()
        task = asyncio.create_task(anext(ordered))  # type: ignore[arg-type]
        await until(lambda: here.subscriptions() > 1)
        await here.nc.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(task, 2)


@needs_nats_server
async def test_a_server_that_is_killed_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    node = Node(f'jetstream {{ store_dir: "{tmp_path}", sync_interval: always }}')
    with started(node):
        async with world(node.url, storage="file", options={"max_reconnects": None}) as here:
            ordered = here.stream.ordered_consumer()
            found = []
            for turn in range(3):
                await here.fill(20, data=lambda number, turn=turn: b"%d" % (20 * turn + number))  # type: ignore[misc]
                found += [int((await ordered.next(20)).data) for _ in range(15)]
                node.kill()
                await until(lambda: not here.nc.is_connected)
                node.start()
                await until(lambda: here.nc.is_connected, 10)
            found += [int((await ordered.next(20)).data) for _ in range(15)]
            assert found == list(range(1, 61))
            await ordered.stop()
            await has_none(here)
