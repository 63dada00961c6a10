"""request_many: what ends it, what it raises, and that nobody who leaves it leaves anything behind (ADR-47)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakeLink, is_waiting, msg, opened, turns

import midge
from midge.client.requests import Requests
from midge.client.session import HIGH_WATER
from midge.errors import (
    ConnectionClosedError,
    InvalidSubjectError,
    MaxPayloadError,
    MidgeTimeoutError,
    NoRespondersError,
    PermissionsViolationError,
    SlowConsumerError,
)

SOON = 0.05
FAR = 60.0
NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


async def collect(replies: midge.Replies) -> list[bytes]:
    return [reply.data async for reply in replies]


def answer(link: FakeLink, *datas: bytes, token: int = 1, header: bytes | None = None) -> None:
    """Answer the request with this token; the inbox is subscription 1."""
    link.come(*(msg(f"{inbox(link)}.{token}", 1, data, header=header) for data in datas))


def inbox(link: FakeLink) -> str:
    """The prefix of the subjects that the client has asked for answers on."""
    return bytes(link.data).split(b"SUB ")[1].split(b".* ")[0].decode()


def is_clean(nc: midge.Client) -> bool:
    return nc._connection.interest.requests == {}


# What ends it


async def test_the_sentinel_is_a_reply_without_a_payload() -> None:
    nc, link = await opened()
    replies = nc.request_many("svc", "ping", headers={"Trace": "1"}, timeout=FAR)
    task = asyncio.ensure_future(collect(replies))
    assert await is_waiting(task)
    assert b"HPUB svc " + inbox(link).encode() + b".1 " in link.data and b"Trace: 1\r\n\r\nping" in link.data
    answer(link, b"1", b"2")
    assert await is_waiting(task) and replies.reason is None
    answer(link, b"", header=b"NATS/1.0 204 EOB\r\nPending: 0\r\n\r\n")
    answer(link, b"late")
    assert await task == [b"1", b"2"] and replies.reason == "sentinel"
    assert replies.last is not None and replies.last.status == 204 and replies.last.headers["pending"] == "0"
    assert is_clean(nc) and await collect(replies) == []
    await nc.close()


async def test_a_sentinel_of_ones_own_and_none() -> None:
    nc, link = await opened()
    asked: list[bytes] = []

    def is_last(reply: midge.Message) -> bool:
        asked.append(reply.data)
        return reply.headers.get("last") == "yes"

    own = nc.request_many("svc", sentinel=is_last, timeout=FAR)
    task = asyncio.ensure_future(collect(own))
    await turns()
    answer(link, b"", b"2")
    answer(link, b"3", header=b"NATS/1.0\r\nLast: yes\r\n\r\n")
    assert await task == [b"", b"2"] and asked == [b"", b"2", b"3"] and own.last is not None and own.last.data == b"3"
    none = nc.request_many("svc", sentinel=None, max_msgs=2, timeout=FAR)
    task = asyncio.ensure_future(collect(none))
    await turns()
    answer(link, b"", b"", token=2)
    assert await task == [b"", b""] and (none.reason, none.last) == ("max_msgs", None)
    await nc.close()


async def test_a_sentinel_that_raises_is_raised_where_the_replies_are_read() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    task = asyncio.ensure_future(collect(nc.request_many("svc", sentinel=lambda reply: 1 // len(reply.data) > 1, timeout=FAR)))
    await turns()
    answer(link, b"1", b"", b"3")
    with pytest.raises(ZeroDivisionError):
        await task
    assert is_clean(nc) and errors == [] and nc.is_connected
    await nc.close()


async def test_a_number_of_replies_ends_it_at_once() -> None:
    nc, link = await opened()
    replies = nc.request_many("svc", max_msgs=2, timeout=FAR)
    async with replies as same:
        assert same is replies
        answer(link, b"1", b"2", b"3")
        assert is_clean(nc) and replies.reason == "max_msgs"
        assert await collect(replies) == [b"1", b"2"], "what had come is there"
    await nc.close()


@pytest.mark.parametrize("count", [0, 2])
async def test_the_total_time_ends_it_without_an_error(count: int) -> None:
    nc, link = await opened()
    replies = nc.request_many("svc", timeout=SOON)
    task = asyncio.ensure_future(collect(replies))
    await turns()
    answer(link, *[b"x"] * count)
    assert await task == [b"x"] * count and replies.reason == "timeout" and is_clean(nc)
    await nc.close()


async def test_a_stall_is_between_replies_only() -> None:
    nc, link = await opened()
    loop = asyncio.get_running_loop()
    replies = nc.request_many("svc", stall=SOON, timeout=FAR)
    task = asyncio.ensure_future(collect(replies))
    await asyncio.sleep(2 * SOON)
    assert not task.done(), "the first reply may take longer"
    until = loop.time() + 3 * SOON
    count = 0
    while loop.time() < until:
        answer(link, b"x")
        count += 1
        await asyncio.sleep(SOON / 10)
    before = loop.time()
    assert len(await task) == count and replies.reason == "stall" and is_clean(nc)
    assert loop.time() - before < 20 * SOON
    await nc.close()


async def test_time_goes_by_while_a_reply_is_worked_on_but_what_has_come_stays() -> None:
    nc, link = await opened()
    got = []
    replies = nc.request_many("svc", stall=SOON, timeout=FAR)
    async with replies:
        answer(link, b"1", b"2")
        async for reply in replies:
            got.append(reply.data)
            await asyncio.sleep(2 * SOON)
    assert got == [b"1", b"2"] and replies.reason == "stall"
    await nc.close()


# What it raises


async def test_no_responders_raise_at_once() -> None:
    nc, link = await opened()
    replies = nc.request_many("svc", timeout=FAR)
    task = asyncio.ensure_future(collect(replies))
    await turns()
    answer(link, b"", header=NO_RESPONDERS)
    with pytest.raises(NoRespondersError, match="'svc'"):
        await task
    assert is_clean(nc) and replies.reason is None
    await nc.close()


@pytest.mark.parametrize("how", ["lost", "closed", "refused"])
async def test_an_end_of_the_connection_is_an_error_behind_what_had_come(how: str) -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def read() -> None:
        async for reply in nc.request_many("svc", timeout=None):
            got.append(reply.data)

    task = asyncio.ensure_future(read())
    await turns()
    answer(link, b"1")
    if how == "lost":
        assert link.owner is not None
        link.owner.link_lost(OSError("broken"))
    elif how == "closed":
        await nc.close()
    else:
        link.come(b"-ERR 'Permissions Violation for Subscription to \"%b.*\"'\r\n" % inbox(link).encode())
    with pytest.raises(PermissionsViolationError if how == "refused" else ConnectionClosedError):
        await task
    assert got == [b"1"] and is_clean(nc)
    await nc.close()
    with pytest.raises(ConnectionClosedError):
        await collect(nc.request_many("svc"))


async def test_more_than_anybody_takes_is_an_error_behind_what_had_come() -> None:
    nc, link = await opened()
    size = 8 << 20
    async with nc.request_many("svc", timeout=FAR) as replies:
        for _ in range(9):
            answer(link, bytes(size - 12), header=b"NATS/1.0\r\n\r\n")
        assert is_clean(nc)
        for _ in range(8):
            assert (await anext(replies)).size == size, "a header counts"
        with pytest.raises(SlowConsumerError, match="'svc'"):
            await anext(replies)
    await nc.close()


async def test_what_is_taken_makes_room() -> None:
    nc, link = await opened()
    async with nc.request_many("svc", timeout=FAR, max_msgs=20) as replies:
        for _ in range(20):
            answer(link, bytes(8 << 20))
            await anext(replies)
        assert replies.reason == "max_msgs"
    await nc.close()


async def test_what_cannot_be_sent_is_refused_and_leaves_nothing() -> None:
    nc, link = await opened()
    bad: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"subject": "a b"}, InvalidSubjectError), ({"data": bytes(2 << 20)}, MaxPayloadError), ({"data": 5}, TypeError),
        ({"headers": {"k": "\n"}}, ValueError),
    ]  # fmt: skip
    for arguments, error in bad:
        replies = nc.request_many(**{"subject": "svc"} | arguments)
        for _ in range(2):
            with pytest.raises(error):
                await collect(replies)
        with pytest.raises(error):
            async with replies:
                raise AssertionError
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"timeout": "1"}, TypeError), ({"stall": "1"}, TypeError), ({"stall": 0}, ValueError), ({"max_msgs": 0}, ValueError),
        ({"max_msgs": True}, TypeError), ({"max_msgs": 1.5}, TypeError), ({"sentinel": b""}, TypeError),
    ]  # fmt: skip
    for arguments, error in wrong:
        with pytest.raises(error):
            nc.request_many("svc", **arguments)
    assert is_clean(nc) and link.sent().count(b"PUB") == 0
    await nc.close()


# Leaving it


async def test_a_request_that_nobody_iterates_over_is_not_sent() -> None:
    nc, link = await opened()
    with pytest.warns(RuntimeWarning, match=r"request_many\('svc'\) was never iterated over: nothing was sent"):
        nc.request_many("svc")
    await turns()
    assert link.sent() == b""
    async with nc.request_many("svc"):  # which is begun
        pass
    with pytest.raises(InvalidSubjectError):
        await anext(nc.request_many("a b"))
    with pytest.raises(TypeError):
        nc.request_many("svc", timeout="soon")  # type: ignore[arg-type]
    gc.collect()
    await nc.close()


async def leave_by_break(replies: midge.Replies) -> None:
    async for _ in replies:
        break


async def leave_by_error(replies: midge.Replies) -> None:
    with pytest.raises(KeyError):
        async for _ in replies:
            raise KeyError


async def leave_the_block(replies: midge.Replies) -> None:
    async with replies:
        await anext(replies)
    assert replies.reason is None
    assert await collect(replies) == [b"2"], "what had come is there, and then that is all"


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_the_block], ids=lambda leave: leave.__name__)
async def test_who_leaves_leaves_nothing_behind(leave: Callable[[midge.Replies], Any]) -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(leave(nc.request_many("svc", timeout=None, stall=FAR)))
    await turns()
    answer(link, b"1", b"2")
    await task
    del task
    gc.collect()
    assert is_clean(nc)
    answer(link, b"3")
    link.answers = True
    async with asyncio.timeout(5):
        await nc.drain()


async def test_replies_that_are_thrown_away_while_a_drain_looks_at_them() -> None:
    """The garbage collector may run at any allocation, also between two steps of a loop over the requests under way."""
    under_way: dict[str, Any] = {}

    class Thrown:
        @property
        def future(self) -> asyncio.Future[None]:
            under_way.pop("2", None)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

    under_way |= {"1": Thrown(), "2": Thrown()}
    await Requests(asyncio.get_running_loop(), under_way).wait()
    assert list(under_way) == ["1"]


async def test_a_drain_under_way_ends_when_the_last_reader_leaves() -> None:
    nc, link = await opened()
    link.answers = True
    replies = nc.request_many("svc", timeout=None)
    link.takes = False
    first = asyncio.ensure_future(anext(replies))
    await turns()
    drain = asyncio.ensure_future(nc.drain())
    link.take()
    assert await is_waiting(drain)
    first.cancel()
    await turns()
    del first, replies
    gc.collect()
    async with asyncio.timeout(5):
        await drain
    assert is_clean(nc)


async def test_every_turn_can_be_cancelled() -> None:
    for count in range(1, 20):
        nc, link = await opened()
        link.answers = True
        await nc.request("svc", b"")
        link.answers = False
        task = asyncio.ensure_future(collect(nc.request_many("svc", b"x", timeout=None, stall=FAR)))
        await turns(min(count, 3))
        if count > 3:
            link.come(msg(f"{inbox(link)}.2", 1, b"1"))
            await turns(count - 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        del task
        await turns(2)
        gc.collect()
        assert is_clean(nc)
        await nc.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_wait_loses_no_reply() -> None:
    nc, link = await opened()
    async with nc.request_many("svc", timeout=FAR) as replies:
        for number in range(20):
            task = asyncio.ensure_future(anext(replies))
            await turns(number % 3)
            answer(link, b"%d" % number)
            task.cancel()
            got = await asyncio.gather(task, return_exceptions=True)
            if isinstance(got[0], asyncio.CancelledError):
                got = [await anext(replies)]
            assert got[0].data == b"%d" % number  # type: ignore[union-attr]
    await nc.close()


async def test_two_may_read() -> None:
    nc, link = await opened()
    replies = nc.request_many("svc", timeout=FAR)
    tasks = [asyncio.ensure_future(collect(replies)) for _ in range(2)]
    await turns()
    assert link.data.count(b"PUB") == 1, "it is sent once"
    for number in range(4):
        answer(link, b"%d" % number)
        await turns()
    answer(link, b"")
    both = await asyncio.gather(*tasks)
    assert sorted(both[0] + both[1]) == [b"0", b"1", b"2", b"3"]
    await nc.close()


# Room, and others


async def test_it_waits_for_room_within_its_time() -> None:
    nc, link = await opened()
    link.takes = False
    nc.publish("a", bytes(HIGH_WATER))
    with pytest.raises(MidgeTimeoutError, match="request on 'svc'"):
        await collect(nc.request_many("svc", timeout=SOON))
    replies = nc.request_many("svc", timeout=FAR, max_msgs=1)
    tasks = [asyncio.ensure_future(collect(replies)) for _ in range(2)]
    assert await is_waiting(tasks[0]) and is_clean(nc)
    link.take()
    await turns()
    assert link.data.count(b"PUB svc") == 1
    answer(link, b"x")
    assert sorted(await asyncio.gather(*tasks)) == [[], [b"x"]]
    await nc.close()


async def test_requests_of_both_kinds_share_an_inbox() -> None:
    nc, link = await opened()
    many = asyncio.ensure_future(collect(nc.request_many("svc", timeout=FAR)))
    await turns()
    one = asyncio.ensure_future(nc.request("svc", timeout=FAR))
    await turns()
    assert link.data.count(b"SUB") == 1
    answer(link, b"1")
    answer(link, b"one", b"too late", token=2)
    answer(link, b"2", b"")
    assert await many == [b"1", b"2"] and (await one).data == b"one"
    await nc.close()


async def test_replies_that_a_mapping_has_rewritten() -> None:
    """With something before the inbox, as an import puts it, or beyond recognition where there is no doubt whose they are."""
    nc, link = await opened()
    tasks = [asyncio.ensure_future(collect(nc.request_many("svc", timeout=FAR))) for _ in range(2)]
    await turns()
    for token, task in ((2, tasks[1]), (1, tasks[0])):
        link.come(msg(f"imported.{inbox(link)}.{token}", 1, b"%d" % token), msg("who.knows", 1, b"x"))
        link.come(msg(f"imported.{inbox(link)}.{token}", 1))
        assert await task == ([b"2"] if token == 2 else [b"1", b"x"])
    await nc.close()
