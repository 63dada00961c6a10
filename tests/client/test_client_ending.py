"""How connections end: lost, closed or drained. Every wait ends, nothing that was promised is lost, and everybody learns why."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import FakeServer, Peer, info, is_waiting, msg, opened, turns

import midge
from midge.client import farewell as farewell_module
from midge.client.session import HIGH_WATER
from midge.errors import (
    AuthorizationError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MidgeError,
    MidgeTimeoutError,
    RemoteProtocolError,
    ServerError,
    SubscriptionClosedError,
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 0.05


async def get(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def collect(sub: midge.Subscription) -> list[bytes]:
    return [message.data async for message in sub]


class Waits:
    """One of every kind of wait that a client has."""

    def __init__(self, nc: midge.Client) -> None:
        async def callback(message: midge.Message) -> None:
            raise AssertionError

        self.worker = nc.subscribe("a", callback=callback)
        subs = [nc.subscribe("a") for _ in range(4)]
        waits: dict[str, Awaitable[Any]] = {
            "next": subs[0].next(),
            "next with timeout": subs[0].next(timeout=60),
            "iterate": collect(subs[1]),
            "confirm": subs[2],
            "drain": subs[3].drain(),
            "flush": nc.flush(),
            "flush for ever": nc.flush(None),
            "rtt": nc.rtt(),
            "request": nc.request("svc"),
            "request for ever": nc.request("svc", timeout=None),
        }
        self.tasks = {name: asyncio.ensure_future(get(wait)) for name, wait in waits.items()}

    async def fill(self, nc: midge.Client) -> None:
        """Add a publisher that waits for room; the link takes nothing."""
        await turns()
        self.tasks["publish"] = asyncio.ensure_future(get(nc.publish("a", bytes(HIGH_WATER))))
        self.tasks["request for room"] = asyncio.ensure_future(nc.request("a"))
        await turns()
        assert not [name for name, task in self.tasks.items() if task.done()]

    async def ends(self) -> dict[str, Any]:
        """How each ended; all of them have to be done within a few turns."""
        await turns(10)
        assert not [name for name, task in self.tasks.items() if not task.done()]
        assert self.worker._workers and all(worker.done() for worker in self.worker._workers)
        return {name: task.exception() for name, task in self.tasks.items()}


# Lost


async def lose_by_eof(peer: Peer) -> None:
    peer.close()


async def lose_by_reset(peer: Peer) -> None:
    peer.abort()


async def lose_by_garbage(peer: Peer) -> None:
    peer.send(b"garbage\r\n")
    await peer.end()


async def lose_by_refusal(peer: Peer) -> None:
    peer.send(b"-ERR 'Stale Connection'\r\n")
    peer.close()


async def lose_by_expiry(peer: Peer) -> None:
    peer.send(b"-ERR 'User Authentication Expired'\r\n")
    peer.close()


LOSSES = [
    (lose_by_eof, ConnectionClosedError, "the server closed the connection"),
    (lose_by_reset, ConnectionError, ""),
    (lose_by_garbage, RemoteProtocolError, "parser ERROR"),
    (lose_by_refusal, ServerError, "the server said: Stale Connection"),
    (lose_by_expiry, AuthorizationError, "the server said: User Authentication Expired"),
]


@pytest.mark.parametrize(("lose", "kind", "text"), LOSSES, ids=lambda value: getattr(value, "__name__", None))
async def test_a_lost_connection_ends_every_wait(
    loop_factory: LoopFactory, lose: Callable[[Peer], Awaitable[None]], kind: type[BaseException], text: str
) -> None:
    errors: list[Exception] = []
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        while not (await peer.line()).startswith(b"PUB svc"):
            pass
        await go.wait()
        await lose(peer)

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url, error_callback=errors.append, max_reconnects=0)
        waits = Waits(nc)
        go.set()
        results = await asyncio.gather(*waits.tasks.values(), return_exceptions=True)
        for error in [*results, *(await waits.ends()).values()]:
            assert type(error) is ConnectionClosedError
            assert isinstance(error.__cause__, kind) and text in str(error.__cause__)
            assert str(error) == f"the connection was lost: {error.__cause__}"
        assert len({id(error) for error in results}) == len(results), "each has an error of its own"
        assert nc.is_closed and not nc.is_connected
        for attempt in (lambda: nc.publish("a"), lambda: nc.subscribe("a")):
            with pytest.raises(ConnectionClosedError, match="lost") as raised:
                attempt()
            assert isinstance(raised.value.__cause__, kind)
        for wait in (nc.flush(), nc.request("a"), nc.drain(), waits.worker.drain(), nc.rtt()):
            with pytest.raises(ConnectionClosedError, match="lost"):
                await wait
        await nc.close()
        await nc.close()
    assert [type(error) for error in errors if not isinstance(error, ServerError)] == [ConnectionClosedError]


async def test_a_lost_connection_ends_those_who_wait_for_room() -> None:
    nc, link = await opened()
    waits = Waits(nc)
    link.takes = False
    await waits.fill(nc)
    assert link.owner is not None
    link.owner.link_lost(OSError("broken"))
    ends = await waits.ends()
    assert {type(error) for error in ends.values()} == {ConnectionClosedError}
    assert {str(error) for error in ends.values()} == {"the connection was lost: broken"}
    assert len(nc._session.outbox) == 0, "nothing is kept that cannot be sent"
    await nc.close()


async def test_an_old_refusal_is_not_the_cause() -> None:
    nc, link = await opened()
    link.come(b"-ERR 'Brand New'\r\n")
    link.come(b"PING\r\n")
    assert link.owner is not None
    link.owner.link_lost(None)
    with pytest.raises(ConnectionClosedError, match="the server closed the connection"):
        nc.publish("a")
    await nc.close()


async def test_a_permissions_violation_is_not_the_cause() -> None:
    nc, link = await opened()
    link.come(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n")
    assert link.owner is not None
    link.owner.link_lost(OSError("broken"))
    with pytest.raises(ConnectionClosedError, match="lost: broken"):
        nc.publish("a")
    await nc.close()


async def test_a_reason_is_a_better_cause_than_the_reset_behind_it() -> None:
    nc, link = await opened()
    link.come(b"-ERR 'Slow Consumer'\r\n")
    assert link.owner is not None
    link.owner.link_lost(ConnectionResetError("reset"))
    with pytest.raises(ConnectionClosedError, match="Slow Consumer"):
        nc.publish("a")
    await nc.close()


async def test_what_came_before_the_loss_is_still_there() -> None:
    got: list[bytes] = []
    nc, link = await opened()

    async def callback(message: midge.Message) -> None:
        got.append(message.data)

    sub, other = nc.subscribe("a"), nc.subscribe("a")
    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 2, b"1"), msg("a", 3, b"1"), msg("a", 3, b"2"))
    assert link.owner is not None
    link.owner.link_lost(None)
    await turns()
    assert got == [b"1", b"2"] and (await sub.next()).data == b"1"
    for _ in range(3):
        with pytest.raises(ConnectionClosedError) as raised:
            await sub.next()
        assert raised.value.__traceback__ is not None and len(list(frames(raised.value))) < 10, "an error of its own"
    messages = []
    with pytest.raises(ConnectionClosedError):
        async for message in other:
            messages.append(message.data)
    assert messages == [b"1"]
    await nc.close()


def frames(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


async def test_lost_while_a_callback_runs() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)

    async def callback(message: midge.Message) -> None:
        assert link.owner is not None
        link.owner.link_lost(None)
        await nc.publish("a")

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1))
    await turns()
    assert [type(error) for error in errors] == [ConnectionClosedError] * 2
    assert errors[1].__notes__ == ["in the callback of the subscription to 'a'"]
    await nc.close()


# Closed


async def test_closing_ends_every_wait() -> None:
    nc, link = await opened()
    waits = Waits(nc)
    link.takes = False
    await waits.fill(nc)
    task = asyncio.ensure_future(nc.close())
    ends = await waits.ends()
    assert not task.done(), "what was published is still being sent"
    assert ends.pop("iterate") is None, "a loop just ends"
    assert {type(error) for error in ends.values()} == {ConnectionClosedError}
    assert {(str(error), error.__cause__) for error in ends.values()} == {("the connection is closed", None)}
    for attempt in (lambda: nc.publish("a"), lambda: nc.subscribe("a")):
        with pytest.raises(ConnectionClosedError, match="the connection is closed"):
            attempt()
    for wait in (nc.flush(), nc.request("a"), nc.rtt(), waits.worker.drain()):
        with pytest.raises(ConnectionClosedError, match="the connection is closed"):
            await wait
    link.take()
    await task
    assert link.closed and b"PUB a %d\r\n" % HIGH_WATER in link.sent()


async def test_closing_sends_what_was_published(loop_factory: LoopFactory) -> None:
    got: list[bytes] = []
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await go.wait()
        got.append(await peer.reader.read())

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        for _ in range(20):
            nc.publish("a", bytes(1 << 20))
        task = asyncio.ensure_future(nc.close())
        await turns()
        go.set()
        await task
    assert len(got[0]) == 20 * len(b"PUB a 1048576\r\n\r\n") + (20 << 20)


async def test_closing_gives_up_on_a_server_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "CLOSE_SECONDS", SOON)
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    link.takes = False
    nc.publish("a", b"x")
    await nc.close()
    assert link.closed and nc.is_closed
    assert [str(error) for error in errors] == ["the connection was closed before the server took the last 12 bytes"]
    assert len(nc._session.outbox) == 0


async def test_the_server_closes_while_we_do() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    link.takes = False
    nc.publish("a", b"x")
    task = asyncio.ensure_future(nc.close())
    await turns()
    assert link.owner is not None
    link.owner.link_lost(None)
    await task
    assert [str(error) for error in errors] == ["the connection was closed before the server took the last 12 bytes"]


async def test_what_comes_while_closing_is_not_delivered() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    got: list[bytes] = []
    nc.subscribe("b", callback=lambda message: got.append(message.data))
    link.takes = False
    task = asyncio.ensure_future(nc.close())
    await turns()
    link.come(msg("a", 1, b"x"), msg("b", 2, b"x"), b"garbage")
    link.take()
    await task
    assert got == [] and sub.pending == 0


async def test_closing_twice_and_at_once() -> None:
    nc, link = await opened()
    link.takes = False
    nc.publish("a")
    tasks = [asyncio.ensure_future(nc.close()) for _ in range(3)]
    assert all([await is_waiting(task) for task in tasks])
    tasks[1].cancel()
    await turns()
    assert tasks[1].cancelled()
    link.take()
    await asyncio.gather(tasks[0], tasks[2])
    await nc.close()
    await nc.drain()
    await nc.close()


async def test_a_cancelled_close_has_closed() -> None:
    nc, link = await opened()
    link.takes = False
    nc.publish("a")
    task = asyncio.ensure_future(nc.close())
    await turns()
    task.cancel()
    await turns()
    assert task.cancelled() and link.closed and nc.is_closed
    await nc.close()


async def test_iterating_after_closing() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    await nc.close()
    assert (await sub.next()).data == b"1"
    assert await collect(sub) == [b"2"]
    assert await collect(sub) == []
    with pytest.raises(ConnectionClosedError, match="the connection is closed"):
        await sub.next()


async def test_closing_stops_callbacks() -> None:
    nc, link = await opened()
    log: list[str] = []

    async def callback(message: midge.Message) -> None:
        log.append("begin")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1), msg("a", 1))
    await turns()
    await nc.close()
    assert log == ["begin", "cancelled"] and not nc._connection.tasks


async def test_closing_does_not_wait_for_a_callback_that_will_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "CLOSE_SECONDS", SOON)
    nc, link = await opened()
    go = asyncio.Event()
    tries = 0

    async def callback(message: midge.Message) -> None:
        nonlocal tries
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                tries += 1

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1))
    await turns()
    await nc.close()
    assert tries == 1
    go.set()
    await turns()
    assert not nc._connection.tasks


async def test_closing_inside_a_callback() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        await nc.close()
        got.append(b"closed")

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    await turns(10)
    assert got == [b"1", b"closed"], "and it is not called again"
    assert nc.is_closed and not nc._connection.tasks


async def test_closing_inside_two_callbacks_and_outside() -> None:
    nc, link = await opened()

    async def callback(message: midge.Message) -> None:
        await nc.close()

    nc.subscribe("a", callback=callback)
    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1), msg("a", 2))
    await turns(1)
    await nc.close()
    assert not nc._connection.tasks


async def test_closing_inside_the_error_callback() -> None:
    closed = asyncio.Event()

    async def on_error(error: Exception) -> None:
        await nc.close()
        closed.set()

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'x'\r\n")
    await closed.wait()
    assert nc.is_closed


async def test_errors_are_told_before_closing_is_done() -> None:
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        await turns()
        errors.append(str(error))

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'x'\r\n-ERR 'y'\r\n")
    await nc.close()
    assert errors == ["the server said: x", "the server said: y"]


async def test_an_error_callback_that_hangs_does_not_keep_us_from_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "CLOSE_SECONDS", SOON)

    async def on_error(error: Exception) -> None:
        await asyncio.get_running_loop().create_future()

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'x'\r\n-ERR 'y'\r\n")
    await nc.close()
    await turns()
    assert not nc._connection.tasks


async def test_the_garbage_collector_has_nothing_to_say() -> None:
    """A client that is closed and dropped, with everything that hung on it."""
    nc, link = await opened()
    sub = nc.subscribe("a")
    loop = aiter(sub)
    link.come(msg("a", 1))
    await anext(loop)
    await nc.close()
    del nc, sub, loop, link
    gc.collect()


# Drained


async def hundred(peer: Peer) -> None:
    """A server that has sent 100 messages to each of three subscriptions when it gets the UNSUB."""
    await peer.greet()
    subs = [await peer.line() for _ in range(3)]
    assert [line.split(b" ")[0] for line in subs] == [b"SUB"] * 3
    await peer.expect(b"UNSUB 1", b"UNSUB 2", b"UNSUB 3", b"PING")
    peer.send(*(msg("a", sid, b"%d" % i, "r") for i in range(100) for sid in (1, 2, 3)))
    peer.send(b"PONG\r\n", msg("a", 1, b"never"), msg("a", 2, b"never"), msg("a", 3, b"never"))
    answers = 0
    while line := await peer.line():
        if line == b"PING":
            peer.send(b"PONG\r\n")
        answers += line == b"PUB r 1"
    assert answers == 300


@pytest.mark.parametrize("together", [True, False])
async def test_a_drain_delivers_what_is_on_its_way(loop_factory: LoopFactory, together: bool) -> None:
    got: dict[str, list[bytes]] = {"plain": [], "coroutine": [], "loop": []}

    def plain(message: midge.Message) -> None:
        got["plain"].append(message.data)
        message.respond(b"y")

    async def coroutine(message: midge.Message) -> None:
        await asyncio.sleep(0)
        got["coroutine"].append(message.data)
        await message.respond(b"y")

    async def loop(sub: midge.Subscription) -> None:
        async for message in sub:
            await asyncio.sleep(0)
            got["loop"].append(message.data)
            await asyncio.sleep(0)
            await message.respond(b"y")

    async with FakeServer(hundred) as server:
        nc = await midge.connect(server.url)
        subs = [nc.subscribe("a", callback=plain), nc.subscribe("a", callback=coroutine), nc.subscribe("a")]
        task = asyncio.ensure_future(loop(subs[2]))
        if together:
            await nc.drain()
        else:
            await drain_in_one_go(nc, subs)
        await task
        assert all(sub.is_closed for sub in subs)
        assert got == dict.fromkeys(got, [b"%d" % i for i in range(100)])
        assert nc.is_closed is together
        await nc.close()


async def drain_in_one_go(nc: midge.Client, subs: list[midge.Subscription]) -> None:
    """Drain the subscriptions one by one but so that their UNSUBs come before one PING, as the script has it."""
    connection = nc._connection
    await connection.driver.ponged(nc._session.stop(list(subs)))
    await connection.consumers.wait({}, lambda: False)


async def test_draining_a_subscription() -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"SUB a 1", b"SUB a 2", b"UNSUB 1")
        await peer.pong(msg("a", 1, b"1"), msg("a", 2, b"2"), msg("a", 1, b"3"))
        peer.send(msg("a", 2, b"4"), msg("a", 1, b"never"))
        await peer.serve()

    async with FakeServer(script) as server:
        async with midge.connect(server.url) as nc:
            one, two = nc.subscribe("a"), nc.subscribe("a", callback=lambda message: got.append(message.data))
            await one.drain()
            assert one.is_closed and not two.is_closed
            assert await collect(one) == [b"1", b"3"]
            await one.drain()
            with pytest.raises(SubscriptionClosedError):
                await one.next()
    assert got == [b"2", b"4"]


async def test_a_drain_of_a_subscription_that_is_cancelled_loses_nothing() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    task = asyncio.ensure_future(sub.drain())
    await turns()
    assert link.sent() == b"SUB a 1\r\nUNSUB 1\r\nPING\r\n"
    task.cancel()
    await turns()
    assert task.cancelled() and not sub.is_closed
    link.come(msg("a", 1, b"1"), b"PONG\r\n", msg("a", 1, b"never"))
    assert sub.is_closed and await collect(sub) == [b"1"]
    await nc.close()


async def test_a_drain_of_a_subscription_times_out() -> None:
    nc, link = await opened(drain_timeout=SOON)
    stuck = asyncio.get_running_loop().create_future()
    unanswered = nc.subscribe("a")
    with pytest.raises(MidgeTimeoutError, match="drain: the server did not answer within 0.05 s"):
        await unanswered.drain()

    async def callback(message: midge.Message) -> None:
        await stuck

    busy = nc.subscribe("b", callback=callback)
    link.come(msg("b", 2))
    task = asyncio.ensure_future(busy.drain())
    await turns()
    link.come(b"PONG\r\n" * 2)
    with pytest.raises(MidgeTimeoutError, match="drain: callbacks or loops were not done within 0.05 s"):
        await task
    assert nc.is_connected
    stuck.set_result(None)
    await busy.drain()
    await nc.close()


@pytest.mark.parametrize("lost", [True, False])
async def test_a_drain_of_a_subscription_whose_callback_was_stopped(lost: bool) -> None:
    nc, link = await opened()
    stuck = asyncio.get_running_loop().create_future()

    async def callback(message: midge.Message) -> None:
        await stuck

    sub = nc.subscribe("a", callback=callback)
    link.come(msg("a", 1))
    task = asyncio.ensure_future(sub.drain())
    await turns()
    link.come(b"PONG\r\n")
    assert await is_waiting(task)
    if lost:
        assert link.owner is not None
        link.owner.link_lost(None)
        stuck.set_result(None)
    else:
        await nc.close()
    with pytest.raises(ConnectionClosedError):
        await task
    await nc.close()


async def test_a_drain_waits_for_callbacks_loops_and_requests() -> None:
    nc, link = await opened()
    steps: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(2)]
    handled: list[str] = []

    async def callback(message: midge.Message) -> None:
        await steps[0]
        handled.append("callback")

    async def loop() -> None:
        async for message in sub:
            await steps[1]
            handled.append("loop")

    nc.subscribe("a", callback=callback)
    sub = nc.subscribe("a")
    reader, request = asyncio.ensure_future(loop()), asyncio.ensure_future(nc.request("svc"))
    await turns()
    link.come(msg("a", 1), msg("a", 2))
    await turns()
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n")
    for step in steps:
        assert await is_waiting(task)
        step.set_result(None)
    assert await is_waiting(task), "the request is under way"
    assert sorted(handled) == ["callback", "loop"]
    (token,) = nc._connection.interest.requests
    link.come(msg(f"{nc._connection.interest.feeds[3].subject[:-2]}.{token}", 3, b"answer"))
    await turns()
    link.come(b"PONG\r\n")
    await task
    assert (await request).data == b"answer"
    await reader
    assert nc.is_closed and link.closed


@pytest.mark.parametrize(("count", "each"), [(3000, False), (700, True)])
async def test_a_drain_of_very_many_that_finish_one_by_one(count: int, each: bool) -> None:
    """Of a client, or of each subscription: nobody looks at all that are left each time one has finished."""
    nc, link = await opened()
    steps: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(count)]
    finished: list[int] = []

    async def callback(number: int, message: midge.Message) -> None:
        await steps[number]
        finished.append(number)

    subs = [nc.subscribe("a", callback=functools.partial(callback, number)) for number in range(count)]
    link.come(*(msg("a", sid) for sid in range(1, count + 1)))
    await turns(100)
    drains = [asyncio.ensure_future(sub.drain()) for sub in subs] if each else [asyncio.ensure_future(nc.drain())]
    await turns()
    link.come(*[b"PONG\r\n"] * len(drains))
    before = time.process_time()
    for step in steps:
        step.set_result(None)
        await turns(3)
    assert time.process_time() - before < 5  # it was a quarter of a minute
    await turns(10)
    link.come(b"PONG\r\n")
    await asyncio.gather(*drains)
    assert finished == list(range(count))
    await nc.close()


async def test_a_drain_does_not_wait_for_loops_that_were_left() -> None:
    nc, link = await opened()
    never = asyncio.get_running_loop().create_future()

    async def leaves() -> None:
        async for _ in sub:
            break
        await never

    async def fails() -> None:
        try:
            async for _ in sub:
                raise KeyError
        except KeyError:
            await never

    sub = nc.subscribe("a")
    tasks = [asyncio.ensure_future(leaves()), asyncio.ensure_future(fails())]
    await turns()
    link.come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    await turns()
    assert sub.pending == 3 and not list(nc._connection.consumers._all)
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await task
    assert await collect(sub) == [b"2", b"3", b"4"]
    for other in tasks:
        other.cancel()


async def test_a_drain_goes_on_when_a_loop_is_left_or_its_task_ends() -> None:
    nc, link = await opened()
    go = asyncio.Event()

    async def leaves() -> None:
        async for _ in sub:
            await go.wait()
            break
        await asyncio.get_running_loop().create_future()

    async def ends() -> None:
        async for _ in other:
            await asyncio.get_running_loop().create_future()

    sub, other = nc.subscribe("a"), nc.subscribe("b")
    tasks = [asyncio.ensure_future(leaves()), asyncio.ensure_future(ends())]
    await turns()
    link.come(msg("a", 1), msg("a", 1), msg("b", 2), msg("b", 2))
    await turns()
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n")
    assert await is_waiting(task)
    go.set()
    assert await is_waiting(task)
    tasks[1].cancel()
    await turns()
    link.come(b"PONG\r\n")
    await task
    tasks[0].cancel()


async def test_a_drain_waits_for_callbacks_of_subscriptions_that_have_ended() -> None:
    """A limit that was reached ends a subscription; what its callback has not been given yet is not lost for that."""
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        await asyncio.sleep(0)
        got.append(message.data)

    sub = nc.subscribe("a", callback=callback)
    sub.unsubscribe(3)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(3)))
    assert sub.is_closed
    task = asyncio.ensure_future(nc.drain())
    for _ in range(2):
        await turns(10)
        link.come(b"PONG\r\n")
    await task
    assert got == [b"0", b"1", b"2"]


async def test_a_drain_sends_what_callbacks_publish_and_refuses_subscriptions() -> None:
    nc, link = await opened()
    refused: list[Exception] = []

    async def callback(message: midge.Message) -> None:
        await message.respond(b"answer")
        try:
            nc.subscribe("b")
        except ConnectionDrainingError as error:
            refused.append(error)

    nc.subscribe("a", callback=callback)
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(msg("a", 1, b"", "r"), b"PONG\r\n")
    await turns()
    assert link.sent().endswith(b"PUB r 6\r\nanswer\r\nPING\r\n") and len(refused) == 1 and nc.is_connected
    link.come(b"PONG\r\n")
    await task


async def test_draining_twice() -> None:
    nc, link = await opened()
    one, two = asyncio.ensure_future(nc.drain()), asyncio.ensure_future(nc.drain())
    await turns()
    assert link.sent() == b"PING\r\n" and not two.done(), "the second waits for the first, it does not cut it short"
    link.come(b"PONG\r\n")
    await turns()
    assert not nc.is_closed
    link.come(b"PONG\r\n")
    await asyncio.gather(one, two)
    await nc.drain()
    await nc.close()


async def test_draining_twice_in_vain() -> None:
    nc, link = await opened()
    one, two = asyncio.ensure_future(nc.drain()), asyncio.ensure_future(nc.drain())
    await turns()
    assert link.owner is not None
    link.owner.link_lost(None)
    results = await asyncio.gather(one, two, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionClosedError] * 2
    assert all("the server closed the connection" in str(result) for result in results)
    with pytest.raises(ConnectionClosedError):
        await nc.drain()


async def test_a_drain_times_out_and_closes_all_the_same() -> None:
    nc, link = await opened(drain_timeout=SOON)
    log: list[str] = []

    async def callback(message: midge.Message) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("stopped")

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1))
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n")
    with pytest.raises(MidgeTimeoutError, match="drain: callbacks or loops were not done within 0.05 s"):
        await task
    assert nc.is_closed and link.closed and log == ["stopped"]


async def test_a_drain_of_a_server_that_does_not_answer_times_out() -> None:
    nc, link = await opened(drain_timeout=SOON)
    with pytest.raises(MidgeTimeoutError, match="drain: the server did not answer within 0.05 s"):
        await nc.drain()
    assert nc.is_closed and link.closed


async def test_a_drain_that_requests_keep_from_its_end_says_so() -> None:
    nc, link = await opened(drain_timeout=SOON)
    request = asyncio.ensure_future(nc.request("svc"))
    await turns()
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n")
    with pytest.raises(MidgeTimeoutError, match="drain: requests were not answered within 0.05 s"):
        await task
    with pytest.raises(ConnectionClosedError):
        await request


async def test_a_cancelled_drain_closes() -> None:
    nc, link = await opened()
    one, two = asyncio.ensure_future(nc.drain()), asyncio.ensure_future(nc.drain())
    await turns()
    one.cancel()
    await turns(10)
    assert one.cancelled() and nc.is_closed and link.closed
    with pytest.raises(ConnectionClosedError, match="CancelledError"):
        await two


async def test_closing_while_draining() -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(nc.drain())
    await turns()
    await nc.close()
    with pytest.raises(ConnectionClosedError, match="the connection is closed"):
        await task
    assert link.closed


async def test_draining_inside_a_callback() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        if message.data == b"1":
            await nc.drain()
            assert nc.is_closed

    nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    await turns()
    link.come(msg("a", 1, b"3"), b"PONG\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await turns(10)
    assert got == [b"1", b"2", b"3"], "what came for the callback itself is given to it afterwards"
    assert nc.is_closed and not nc._connection.tasks


async def test_draining_inside_two_callbacks_and_outside() -> None:
    """They would wait for each other: only the first drains, and waits for the others' callbacks."""
    nc, link = await opened()
    done: list[str] = []

    async def callback(message: midge.Message) -> None:
        await nc.drain()
        done.append(message.subject)

    nc.subscribe("a", callback=callback)
    nc.subscribe("b", callback=callback)
    link.come(msg("a", 1), msg("b", 2))
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await task
    await turns()
    assert sorted(done) == ["a", "b"] and nc.is_closed


async def test_draining_inside_a_loop() -> None:
    nc, link = await opened()
    sub, other = nc.subscribe("a"), nc.subscribe("b")
    got: list[bytes] = []

    async def loop(sub: midge.Subscription) -> None:
        async for message in sub:
            got.append(message.data)
            await nc.drain()

    tasks = [asyncio.ensure_future(loop(sub)), asyncio.ensure_future(loop(other))]
    await turns()
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"), msg("b", 2, b"1"))
    await turns()
    link.come(b"PONG\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await asyncio.gather(*tasks)
    assert got == [b"1", b"1", b"2"] and nc.is_closed


async def test_draining_a_subscription_inside_its_callback() -> None:
    nc, link = await opened()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        await sub.drain()

    sub = nc.subscribe("a", callback=callback)
    link.come(msg("a", 1, b"1"))
    await turns()
    link.come(msg("a", 1, b"2"), b"PONG\r\n")
    await turns(10)
    assert got == [b"1", b"2"] and sub.is_closed and not nc._connection.tasks
    await nc.close()


async def test_draining_inside_the_error_callback() -> None:
    done = asyncio.Event()

    async def on_error(error: Exception) -> None:
        await nc.drain()
        done.set()

    nc, link = await opened(error_callback=on_error)
    link.come(b"-ERR 'x'\r\n")
    await turns()
    other = asyncio.ensure_future(nc.drain())
    await turns()
    for _ in range(2):
        link.come(b"PONG\r\n")
        await turns()
    await done.wait()
    await other
    assert nc.is_closed


async def test_a_block_whose_body_lost_the_connection_says_so() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        peer.close()

    async with FakeServer(script) as server:
        with pytest.raises(ConnectionClosedError, match="the connection was lost"):
            async with midge.connect(server.url, max_reconnects=0) as nc:
                with pytest.raises(MidgeError):
                    await nc.subscribe("a").next()


async def test_a_block_whose_body_closed() -> None:
    nc, link = await opened()
    async with nc:
        await nc.close()
    nc, link = await opened()
    async with nc:
        task = asyncio.ensure_future(nc.drain())
        for _ in range(2):
            await turns()
            link.come(b"PONG\r\n")
        await task


async def test_a_cancelled_block_closes() -> None:
    nc, link = await opened()

    async def block() -> None:
        async with nc:
            await nc.subscribe("a").next()

    task = asyncio.ensure_future(block())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert link.closed and link.sent() == b"SUB a 1\r\n"


async def test_info_while_draining_and_closing() -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(info(ldm=True), b"PING\r\n", b"PONG\r\n")
    await turns()
    link.come(b"PONG\r\n")
    await task
    assert b"PONG\r\n" in link.sent()


# Who is waited for


async def pong_twice(link: Any) -> None:
    for _ in range(2):
        await turns()
        link.come(b"PONG\r\n")


DRAINS: dict[str, Callable[[midge.Client], Awaitable[Any]]] = {
    "alone": lambda nc: nc.drain(),
    "as a task": lambda nc: asyncio.create_task(nc.drain()),
    "within a time": lambda nc: asyncio.wait_for(nc.drain(), 20),
}
each_drain = pytest.mark.parametrize("drain", DRAINS.values(), ids=DRAINS)


@each_drain
async def test_a_drain_does_not_wait_for_who_took_single_messages(drain: Callable[[midge.Client], Awaitable[Any]]) -> None:
    nc, link = await opened(drain_timeout=10)
    sub, other = nc.subscribe("a"), nc.subscribe("b")
    link.come(*(msg("a", 1, b"%d" % i) for i in range(3)), msg("b", 2, b"0"), msg("b", 2, b"1"))
    assert (await sub.next()).data == b"0" and (await anext(other)).data == b"0"
    ponging = asyncio.ensure_future(pong_twice(link))
    async with asyncio.timeout(5):
        await drain(nc)
    await ponging
    assert nc.is_closed and [(await sub.next()).data for _ in range(2)] == [b"1", b"2"]
    assert await collect(other) == [b"1"]


@each_drain
@pytest.mark.parametrize("kind", ["callback", "loop"])
async def test_a_drain_does_not_wait_for_who_waits_for_it(kind: str, drain: Callable[[midge.Client], Awaitable[Any]]) -> None:
    nc, link = await opened(drain_timeout=10)
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        if message.data == b"0":
            await drain(nc)
            assert nc.is_closed

    async def loop() -> None:
        async for message in sub:
            await callback(message)

    sub = nc.subscribe("a", callback=callback if kind == "callback" else None)
    task = sub._workers[0] if kind == "callback" else asyncio.ensure_future(loop())
    await turns()
    link.come(*(msg("a", 1, b"%d" % i) for i in range(3)))
    await pong_twice(link)
    async with asyncio.timeout(5):
        await task
    assert got == [b"0", b"1", b"2"] and nc.is_closed


async def test_a_drain_that_a_callback_does_not_wait_for_waits_for_it() -> None:
    """A callback that starts a drain and goes on: what is left for it is delivered while it can still answer."""
    nc, link = await opened(drain_timeout=10)
    drains: list[asyncio.Task[None]] = []

    async def callback(message: midge.Message) -> None:
        if not drains:
            drains.append(asyncio.create_task(nc.drain()))
        await asyncio.sleep(0)
        await message.respond(message.data)

    nc.subscribe("a", callback=callback)
    link.come(*(msg("a", 1, b"%d" % i, "r") for i in range(9)))
    await turns()
    link.come(b"PONG\r\n")
    await turns(40)
    link.come(b"PONG\r\n")
    await drains[0]
    assert link.sent().count(b"PUB r 1") == 9


async def test_closing_ends_a_drain_that_waits_for_a_loop() -> None:
    nc, link = await opened()
    never = asyncio.get_running_loop().create_future()

    async def loop(sub: midge.Subscription) -> None:
        async for _ in sub:
            await never

    sub, other = nc.subscribe("a"), nc.subscribe("b")
    tasks = [asyncio.ensure_future(loop(sub)), asyncio.ensure_future(loop(other))]
    await turns()
    link.come(msg("a", 1), msg("b", 2))
    await turns()
    alone = asyncio.ensure_future(other.drain())
    await turns()
    whole = asyncio.ensure_future(nc.drain())
    await turns()
    link.come(b"PONG\r\n" * 2)
    assert await is_waiting(alone) and await is_waiting(whole)
    await nc.close()
    for drain in (alone, whole):
        with pytest.raises(ConnectionClosedError, match="the connection is closed"):
            await drain
    for task in tasks:
        task.cancel()
