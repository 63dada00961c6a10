"""Subscriptions: the three ways to take messages, limits, refusals, and that cancelling loses nothing."""

from __future__ import annotations

import asyncio
import functools
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakeServer, Peer, is_waiting, msg, opened, turns

import midge
from midge.errors import (
    ConnectionClosedError,
    LocalProtocolError,
    MidgeTimeoutError,
    PermissionsViolationError,
    SlowConsumerError,
    SubscriptionClosedError,
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 0.05


def datas(*messages: midge.Message) -> list[bytes]:
    return [message.data for message in messages]


# Taking messages one by one


async def test_next(loop_factory: LoopFactory) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a.*")
    link.come(msg("a.b", 1, b"1"), msg("a.c", 1, b"22"))
    assert (sub.pending, sub.pending_bytes, sub.received, sub.dropped) == (2, 3, 2, 0)
    assert (sub.subject, sub.queue, sub.sid, sub.is_closed) == ("a.*", None, 1, False)
    assert (await sub.next()).subject == "a.b"
    assert (await sub.next(timeout=0)).data == b"22"
    task = asyncio.ensure_future(sub.next())
    assert await is_waiting(task)
    link.come(msg("a.b", 1, b"3"))
    assert (await task).data == b"3"
    assert repr(sub) == "<Subscription 'a.*' sid=1 pending=0>"
    assert repr(nc.subscribe("b", queue="q")) == "<Subscription 'b', queue='q' sid=2 pending=0>"
    await nc.close()
    assert repr(sub) == "<Subscription 'a.*' sid=1 pending=0 closed>"


async def test_next_times_out() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    for timeout in (0, SOON):
        with pytest.raises(MidgeTimeoutError, match="next message on 'a'") as raised:
            await sub.next(timeout)
        assert isinstance(raised.value, TimeoutError) and raised.value.timeout == timeout
    assert not sub.is_closed
    link.come(msg("a", 1, b"late"))
    assert (await sub.next(SOON)).data == b"late"
    await nc.close()


async def test_two_waiters_take_turns() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    one, two, three = (asyncio.ensure_future(sub.next()) for _ in range(3))
    await turns()
    link.come(msg("a", 1, b"1"))
    assert (await one).data == b"1" and await is_waiting(two)
    link.come(msg("a", 1, b"2"), msg("a", 1, b"3"))
    assert datas(await two, await three) == [b"2", b"3"]
    await nc.close()


async def test_waiters_woken_by_two_chunks_of_one_turn() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    one, two = (asyncio.ensure_future(sub.next()) for _ in range(2))
    await turns()
    link.come(msg("a", 1, b"1"))
    link.come(msg("a", 1, b"2"))
    assert datas(await one, await two) == [b"1", b"2"]
    await nc.close()


async def test_a_waiter_whose_message_was_taken_waits_on() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    task = asyncio.ensure_future(sub.next(timeout=60))
    await turns()
    link.come(msg("a", 1, b"1"))
    assert (await sub.next()).data == b"1", "taken before the waiter, woken already, had its turn"
    assert await is_waiting(task)
    link.come(msg("a", 1, b"2"))
    assert (await task).data == b"2"
    await nc.close()


@pytest.mark.parametrize("woken", [False, True])
async def test_a_cancelled_next_loses_no_message(woken: bool) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    one, two = (asyncio.ensure_future(sub.next()) for _ in range(2))
    await turns()
    if woken:
        link.come(msg("a", 1, b"1"))
        one.cancel()
    else:
        one.cancel()
        await turns()
        link.come(msg("a", 1, b"1"))
    assert (await two).data == b"1"
    with pytest.raises(asyncio.CancelledError):
        await one
    await nc.close()


async def test_a_message_that_came_as_the_last_waiter_was_cancelled_is_still_there() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    task = asyncio.ensure_future(sub.next())
    await turns()
    link.come(msg("a", 1, b"1"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sub.pending == 1 and (await sub.next()).data == b"1"
    await nc.close()


async def test_wait_for_around_next_loses_no_message() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    got: list[bytes] = []
    for i in range(20):
        task = asyncio.ensure_future(asyncio.wait_for(sub.next(), 0.001))
        await asyncio.sleep(0.001 if i % 2 else 0)
        link.come(msg("a", 1, b"%d" % i))
        try:
            got.append((await task).data)
        except TimeoutError:
            pass
    while sub.pending:
        got.append((await sub.next()).data)
    assert got == [b"%d" % i for i in range(20)]
    await nc.close()


# Iterating


async def test_iterate(loop_factory: LoopFactory) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(*(msg("a", 1, b"%d" % i) for i in range(3)))
    got: list[bytes] = []
    async for message in sub:
        got.append(message.data)
        if len(got) == 3:
            link.come(msg("a", 1, b"3"))
            sub.unsubscribe()
    assert got == [b"0", b"1", b"2", b"3"], "what the buffer held at the end is still taken"
    assert [message async for message in sub] == []
    with pytest.raises(SubscriptionClosedError, match="the subscription to 'a' has ended"):
        await sub.next()
    await nc.close()


async def test_iterate_after_a_pause() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(*(msg("a", 1, b"%d" % i) for i in range(4)))
    async for message in sub:
        if message.data == b"1":
            break
    assert (await sub.next()).data == b"2"
    async for message in aiter(sub):
        assert message.data == b"3"
        break
    await nc.close()


@pytest.mark.parametrize("woken", [False, True])
async def test_a_cancelled_loop_loses_no_message(woken: bool) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    got: list[bytes] = []

    async def loop() -> None:
        async for message in sub:
            got.append(message.data)

    task = asyncio.ensure_future(loop())
    await turns()
    link.come(msg("a", 1, b"1"))
    await turns()
    if woken:
        link.come(msg("a", 1, b"2"))
    task.cancel()
    await turns()
    if not woken:
        link.come(msg("a", 1, b"2"))
    assert task.cancelled() and got == [b"1"]
    assert (await sub.next()).data == b"2"
    await nc.close()


async def test_auto_unsubscribe() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    await sub.unsubscribe(3)
    await turns()
    assert link.sent() == b"SUB a 1\r\nUNSUB 1 3\r\n"
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    assert sub.is_closed
    assert datas(*[message async for message in sub]) == [b"0", b"1", b"2"]
    await nc.close()


async def test_auto_unsubscribe_when_more_has_come_already() -> None:
    """``midge sub --count 3`` on a busy subject: three messages, not all that the server had sent meanwhile."""
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    await sub.unsubscribe(limit=3)
    assert datas(*[message async for message in sub]) == [b"0", b"1", b"2"]
    await nc.close()


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", True], ids=repr)
async def test_a_limit_that_makes_no_sense(limit: Any) -> None:
    nc, _ = await opened()
    with pytest.raises(LocalProtocolError, match="a limit is a number of messages"):
        nc.subscribe("a").unsubscribe(limit)
    await nc.close()


async def test_unsubscribing_twice() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    await sub.unsubscribe()
    await sub.unsubscribe()
    await sub.unsubscribe(5)
    await turns()
    assert link.sent() == b"SUB a 1\r\nUNSUB 1\r\n"
    await nc.close()
    await sub.unsubscribe()


async def test_anext() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    assert (await anext(sub)).data == b"1"
    sub.unsubscribe()
    assert (await anext(sub)).data == b"2"
    with pytest.raises(StopAsyncIteration):
        await anext(sub)
    lost = nc.subscribe("a")
    assert link.owner is not None
    link.owner.link_lost(None)
    with pytest.raises(ConnectionClosedError):
        await anext(lost)
    await nc.close()


async def test_a_subscription_as_a_block() -> None:
    nc, link = await opened()
    link.answers = True
    async with nc.subscribe("a") as sub:
        link.come(msg("a", 1, b"1"))
        assert (await sub.next()).data == b"1"
    assert sub.is_closed and link.sent() == b"SUB a 1\r\nPING\r\nUNSUB 1\r\nPING\r\n"
    with pytest.raises(KeyError):
        async with nc.subscribe("a") as sub:
            raise KeyError
    assert sub.is_closed
    async with nc.subscribe("a") as sub:
        await nc.close()
    assert sub.is_closed


@pytest.mark.parametrize("timeout", ["5", b"1", True, object()], ids=repr)
async def test_a_timeout_is_a_number(timeout: Any) -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    for wait in (sub.next(timeout), nc.request("a", timeout=timeout), nc.flush(timeout)):
        with pytest.raises(TypeError, match="a timeout is a number of seconds"):
            await wait
    await nc.close()


# Plain callbacks


async def test_a_plain_callback_is_called_as_the_message_comes() -> None:
    nc, link = await opened()
    got: list[bytes] = []
    sub = nc.subscribe("a", callback=lambda message: got.append(message.data))
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    assert got == [b"1", b"2"] and sub.pending == 0 and sub.received == 2
    with pytest.raises(TypeError, match="has a callback"):
        await sub.next()
    with pytest.raises(TypeError, match="has a callback"):
        aiter(sub)
    await nc.close()


async def test_a_plain_callback_that_raises_is_reported_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    same = KeyError("again and again")

    def callback(message: midge.Message) -> None:
        raise same if message.data == b"2" else ValueError(message.data)

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"), msg("a", 1, b"2"))
    await turns()
    assert [type(error) for error in errors] == [ValueError, KeyError, KeyError]
    assert [error.__notes__ for error in errors] == [["in the callback of the subscription to 'a'"]] * 3
    assert "in the callback of the subscription to 'a'" in caplog.text and "Traceback" in caplog.text
    assert nc.is_connected
    await nc.close()


async def test_a_plain_callback_that_is_cancelled_by_what_it_asks() -> None:
    """``future.result()`` of a cancelled future raises CancelledError, which is nobody's request to stop."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    sub = nc.subscribe("a")
    nc.subscribe("b", callback=lambda message: cancelled.result())
    link.come(msg("b", 2), msg("a", 1, b"behind it"))
    await turns()
    assert (await sub.next(0)).data == b"behind it"
    assert [str(error) for error in errors] == ["the callback ended with CancelledError"]
    assert isinstance(errors[0].__cause__, asyncio.CancelledError)
    await nc.close()


async def test_a_plain_callback_may_publish_subscribe_respond_and_unsubscribe() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    def callback(message: midge.Message) -> None:
        nc.publish("p", message.data)
        message.respond(b"r")
        nc.subscribe("new", callback=lambda other: got.append(other.data))
        sub.unsubscribe()

    sub = nc.subscribe("a", callback=callback)
    await turns()
    link.sent()
    link.come(msg("a", 1, b"1", "inbox"), msg("a", 1, b"2", "inbox"), msg("new", 2, b"n"))
    assert link.sent() == b"PUB p 1\r\n1\r\nPUB inbox 1\r\nr\r\nSUB new 2\r\nUNSUB 1\r\n"
    assert got == [b"n"] and sub.is_closed
    await nc.close()


async def test_a_lambda_that_returns_a_coroutine(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)

    async def work(message: midge.Message) -> None:
        raise AssertionError("not awaited")

    nc.subscribe("a", callback=lambda message: work(message))
    link.come(msg("a", 1))
    await turns()
    assert [str(error) for error in errors] == ["a callback that returns a coroutine must be declared with async def"]
    assert "async def (in the callback of the subscription to 'a')" in caplog.text
    await nc.close()


# Coroutine callbacks


class Worker:
    """Everything that can be called like a coroutine function."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def method(self, message: midge.Message) -> None:
        self.got.append(message.data)

    async def more(self, prefix: bytes, message: midge.Message) -> None:
        self.got.append(prefix + message.data)

    async def __call__(self, message: midge.Message) -> None:
        self.got.append(message.data)


@pytest.mark.parametrize("kind", ["function", "method", "partial", "partials", "object", "partial of an object"])
async def test_coroutine_callbacks(kind: str) -> None:
    nc, link = await opened()
    worker = Worker()

    async def function(message: midge.Message) -> None:
        worker.got.append(message.data)

    callback: dict[str, Any] = {
        "function": function,
        "method": worker.method,
        "partial": functools.partial(worker.more, b""),
        "partials": functools.partial(functools.partial(worker.more), b""),
        "object": worker,
        "partial of an object": functools.partial(worker),
    }
    sub = nc.subscribe("a", callback=callback[kind])
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    assert sub.pending == 2
    await turns()
    assert worker.got == [b"1", b"2"]
    with pytest.raises(TypeError, match="has a callback"):
        await sub.next()
    await nc.close()


@pytest.mark.parametrize("bounded", [True, False])
async def test_messages_may_go_into_a_queue(bounded: bool) -> None:
    """The application's own, which several subscriptions may share. One that is full holds its subscriptions up, and nobody else."""
    nc, link = await opened()
    queue: asyncio.Queue[midge.Message] = asyncio.Queue(1 if bounded else 0)
    subs = [nc.subscribe(name, callback=queue.put if bounded else queue.put_nowait) for name in ("a", "b")]
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"), msg("b", 2, b"3"))
    await turns()
    assert queue.qsize() == (1 if bounded else 3)
    assert sorted([(await queue.get()).data for _ in range(3)]) == [b"1", b"2", b"3"]
    assert [sub.delivered for sub in subs] == [2, 1]
    await nc.close()


@pytest.mark.parametrize("kind", ["generator", "asynchronous generator", "number", "object"])
async def test_callbacks_that_make_no_sense(kind: str) -> None:
    nc, link = await opened()

    def generator(message: midge.Message) -> Any:
        yield message

    async def asynchronous_generator(message: midge.Message) -> Any:
        yield message

    callback: dict[str, Any] = {
        "generator": generator,
        "asynchronous generator": functools.partial(asynchronous_generator),
        "number": 5,
        "object": object(),
    }
    with pytest.raises(TypeError, match="a callback is a function or a coroutine function"):
        nc.subscribe("a", callback=callback[kind])
    await turns()
    assert link.sent() == b""
    await nc.close()


async def test_a_coroutine_callback_gets_one_message_after_the_other() -> None:
    nc, link = await opened()
    log: list[str] = []

    async def callback(message: midge.Message) -> None:
        log.append(f"begin {message.data.decode()}")
        await asyncio.sleep(0)
        log.append(f"end {message.data.decode()}")

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    await turns(10)
    assert log == ["begin 1", "end 1", "begin 2", "end 2"]
    await nc.close()


async def test_a_coroutine_callback_may_do_anything() -> None:
    nc, link = await opened()
    done = asyncio.Event()

    async def callback(message: midge.Message) -> None:
        reply = await nc.request("svc")
        await nc.flush()
        await message.respond(reply.data)
        await (await nc.subscribe("b")).unsubscribe()
        done.set()

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1", "inbox"))
    await turns()
    inbox = link.sent().split(b"SUB ")[2].split(b".*")[0].decode()
    link.come(msg(f"{inbox}.1", 2, b"answer"))
    await turns()
    link.come(b"PONG\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await done.wait()
    await turns()
    assert b"PUB inbox 6\r\nanswer\r\n" in link.sent()
    await nc.close()


async def test_a_coroutine_callback_that_raises_is_reported_and_called_again() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        if message.data == b"cancelled":
            await cancelled
        raise ValueError(message.data)

    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    sub = nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"cancelled"), msg("a", 1, b"2"))
    await turns(10)
    assert got == [b"1", b"cancelled", b"2"] and not sub.is_closed
    assert [type(error) for error in errors] == [ValueError, RuntimeError, ValueError]
    assert all(error.__notes__ == ["in the callback of the subscription to 'a'"] for error in errors)
    await nc.close()


async def test_a_callback_that_ends_its_subscription_is_not_called_again() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        await sub.unsubscribe()

    sub = nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"), msg("a", 1, b"3"))
    await turns(10)
    assert got == [b"1"] and sub.pending == 0 and not nc._connection.tasks
    await nc.close()


async def test_a_callback_with_a_limit_gets_all_that_it_allows() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        await asyncio.sleep(0)
        got.append(message.data)

    await nc.subscribe("a", callback=callback).unsubscribe(limit=3)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    await turns(10)
    assert got == [b"0", b"1", b"2"] and not nc._connection.tasks
    await nc.close()


# Limits


async def test_a_slow_consumer_is_reported_once() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("a", pending_msgs=2)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    await turns()
    assert [str(error) for error in errors] == ["slow consumer on 'a': 3 messages dropped so far"]
    assert (sub.received, sub.dropped, sub.pending) == (10, 8, 2)
    assert datas(await sub.next(), await sub.next()) == [b"0", b"1"]
    link.come(*(msg("a", 1, b"%d" % i) for i in range(3)))
    await turns()
    assert len(errors) == 2 and isinstance(errors[1], SlowConsumerError) and errors[1].dropped == 9
    await nc.close()


async def test_drop_old_and_unbounded() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a", pending_bytes=3, pending_msgs=-1, on_full="drop_old")
    free = nc.subscribe("b", pending_msgs=-1, pending_bytes=-1)
    link.come(*(msg("a", 1, b"%d" % i) + msg("b", 2, b"%d" % i) for i in range(5)))
    assert (sub.dropped, free.dropped, free.pending) == (2, 0, 5)
    assert datas(await sub.next(), await sub.next(), await sub.next()) == [b"2", b"3", b"4"]
    free.set_pending_limits(5, 100)
    link.come(msg("b", 2, b"x"))
    assert free.dropped == 1
    await nc.close()


async def test_limits_that_make_no_sense() -> None:
    nc, link = await opened()
    bad: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"on_full": "both"}, ValueError), ({"pending_msgs": 0}, ValueError), ({"pending_bytes": -2}, ValueError),
        ({"max_concurrency": 0}, ValueError), ({"max_concurrency": 2}, ValueError), ({"max_concurrency": "2"}, TypeError),
        ({"pending_msgs": "5"}, TypeError), ({"pending_bytes": 1.5}, TypeError),
        ({"pending_msgs": None}, TypeError), ({"subject": "a b"}, ValueError), ({"subject": 5}, ValueError), ({"queue": "q q"}, ValueError),
        ({"queue": 5}, ValueError), ({"queue": ""}, ValueError),
    ]  # fmt: skip
    for arguments, error in bad:
        with pytest.raises(error):
            nc.subscribe(**{"subject": "a"} | arguments)
    await turns()
    assert link.sent() == b"" and nc._connection.interest.feeds == {}
    await nc.close()


# Confirmation and refusal


@pytest.mark.parametrize("callback", [None, print])
async def test_a_subscription_is_small(callback: Callable[..., None] | None) -> None:
    nc, _ = await opened()
    subjects = [f"a.{number}" for number in range(2000)]
    tracemalloc.start()
    subs = [nc.subscribe(subject, callback=callback) for subject in subjects]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / len(subs) < 1024
    await nc.close()


async def test_awaiting_a_subscription_waits_until_the_server_has_it(loop_factory: LoopFactory) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"SUB a q 1")
        await peer.pong(msg("a", 1, b"first"))
        await peer.serve()

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        sub = await nc.subscribe("a", queue="q")
        assert sub.pending == 1 and (await sub) is sub, "and may be awaited again"
        await nc.close()


REFUSALS = [
    ('"secret"', '"secret" using queue "q"'),
    ('"secret" (sid "1")', '"secret" using queue "q" (sid "2")'),
]


@pytest.mark.parametrize(("plain", "grouped"), REFUSALS)
async def test_a_refusal_ends_exactly_the_subscription_that_it_names(plain: str, grouped: str) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    one, two = nc.subscribe("secret"), nc.subscribe("secret", queue="q")
    others = [nc.subscribe("secret"), nc.subscribe("secret", queue="r"), nc.subscribe("open")]
    task = asyncio.ensure_future(one.next())
    await turns()
    link.come(f"-ERR 'Permissions Violation for Subscription to {grouped}'\r\n".encode())
    assert two.is_closed and not one.is_closed
    link.come(f"-ERR 'Permissions Violation for Subscription to {plain}'\r\n".encode())
    assert one.is_closed and not any(other.is_closed for other in others) and nc.is_connected
    with pytest.raises(PermissionsViolationError, match="secret"):
        await task
    for _ in range(2):
        with pytest.raises(PermissionsViolationError):
            await two.next()
        with pytest.raises(PermissionsViolationError):
            [message async for message in two]
    assert [type(error) for error in errors] == [PermissionsViolationError] * 2
    link.come(msg("open", 5, b"x"))
    assert (await others[2].next()).data == b"x"
    await nc.close()


async def test_the_second_of_two_alike_is_refused_by_its_sid() -> None:
    nc, link = await opened()
    one, two = nc.subscribe("secret"), nc.subscribe("secret")
    link.come(b'-ERR \'Permissions Violation for Subscription to "secret" (sid "2")\'\r\n')
    assert two.is_closed and not one.is_closed
    await nc.close()


async def test_a_refused_callback_subscription_ends_its_worker() -> None:
    nc, link = await opened()

    async def callback(message: midge.Message) -> None:
        raise AssertionError

    sub = nc.subscribe("secret", callback=callback)
    await turns()
    link.come(b"-ERR 'Permissions Violation for Subscription to \"secret\"'\r\n")
    await turns()
    assert sub.is_closed and not nc._connection.tasks
    await nc.close()


@pytest.mark.parametrize("sid", ["", ' (sid "1")'])
async def test_awaiting_a_refused_subscription_raises_and_tells_nobody_else(sid: str) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    task = asyncio.ensure_future(nc.subscribe("secret"))
    await turns()
    link.come(f"-ERR 'Permissions Violation for Subscription to \"secret\"{sid}'\r\nPONG\r\n".encode())
    with pytest.raises(PermissionsViolationError, match="secret") as raised:
        await task
    assert isinstance(raised.value, PermissionError)
    await nc.close()
    assert errors == []


async def test_a_subscription_whose_confirmation_is_cancelled_ends() -> None:
    """Nobody has it: a callback would be called for ever, a buffer would fill."""
    nc, link = await opened()
    task = asyncio.ensure_future(nc.subscribe("a", callback=lambda message: None))
    await turns()
    assert link.sent() == b"SUB a 1\r\nPING\r\n"
    task.cancel()
    await turns()
    assert task.cancelled() and link.sent() == b"UNSUB 1\r\n" and nc._connection.interest.feeds == {}
    await nc.close()


async def test_a_subscription_that_is_not_confirmed_in_time_ends() -> None:
    nc, link = await opened(timeout=SOON)
    with pytest.raises(MidgeTimeoutError):
        await nc.subscribe("a")
    await turns()
    assert nc._connection.interest.feeds == {} and nc.is_connected
    await nc.close()


async def test_a_subscription_that_is_lost_before_it_is_confirmed() -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(nc.subscribe("a"))
    await turns()
    assert link.owner is not None
    link.owner.link_lost(None)
    with pytest.raises(ConnectionClosedError, match="the server closed the connection"):
        await task
    await nc.close()


# The error callback


async def test_the_error_callback_may_be_a_coroutine_function_and_use_the_client() -> None:
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        await nc.flush()
        errors.append(str(error))

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'one'\r\n-ERR 'two'\r\n")
    for _ in range(2):
        await turns()
        link.come(b"PONG\r\n")
    await turns()
    assert errors == ["the server said: one", "the server said: two"]
    link.come(b"-ERR 'three'\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await turns()
    assert len(errors) == 3
    await nc.close()


async def test_an_error_callback_that_fails_is_logged_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def on_error(error: Exception) -> None:
        errors.append(str(error))
        if "two" in str(error):
            await cancelled
        raise ValueError("oh no")

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'one'\r\n-ERR 'two'\r\n-ERR 'three'\r\n")
    await turns()
    assert len(errors) == 3 and "something that was cancelled" in caplog.text
    assert caplog.text.count("ValueError: oh no (in the error callback)") == 2
    assert caplog.text.count("Traceback") == 2, "the first of each kind"
    await nc.close()


async def test_a_slow_error_callback_does_not_gather_errors_without_end(caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    errors: list[Exception] = []

    async def on_error(error: Exception) -> None:
        await go.wait()
        errors.append(error)

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'x'\r\n" * 3000)
    await turns(100)  # a slow machine parses them in many slices
    go.set()
    await turns()
    assert 1000 < len(errors) < 1100
    await nc.close()
    assert caplog.text.count("the server said: x") == 10
    assert "2990 more: ServerError" in caplog.text and "more: errors that the error callback is too slow for" in caplog.text
