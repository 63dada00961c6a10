"""Publishing, flushing and requests: what reaches the server, what is waited for, and what a slow server does to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import FakeLink, FakeServer, Peer, info, is_waiting, msg, open_session, opened, turns

import midge
from midge.client.driver import LOW_WATER, Heartbeat
from midge.client.requests import Request, Requests
from midge.client.room import READY
from midge.client.session import FLUSH_AT, HIGH_WATER
from midge.errors import (
    ConnectionClosedError,
    InvalidOperationError,
    MaxPayloadError,
    MidgeTimeoutError,
    NoRespondersError,
    OutboundFullError,
    PermissionsViolationError,
    ServerError,
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 0.05
NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


def bodies(stream: bytes) -> list[bytes]:
    """The payloads of a stream of PUB."""
    found = []
    while stream:
        line, _, stream = stream.partition(b"\r\n")
        size = int(line.split(b" ")[-1])
        found.append(stream[:size])
        assert stream[size : size + 2] == b"\r\n"
        stream = stream[size + 2 :]
    return found


# Publishing


async def test_publishes_of_one_turn_are_sent_together_and_at_once() -> None:
    nc, link = await opened()
    for _ in range(3):
        assert nc.publish("a", b"x") is READY
    assert link.sent() == b""
    await asyncio.sleep(0)
    assert link.sent() == b"PUB a 1\r\nx\r\n" * 3
    await nc.publish("a", b"y", reply="r")
    await asyncio.sleep(0)
    assert link.sent() == b"PUB a r 1\r\ny\r\n", "a turn later, without a timer"
    assert nc.stats == midge.Stats(0, 0, 4, 4, 0, 0, 0)
    await nc.close()


async def test_much_is_sent_before_the_turn_ends() -> None:
    nc, link = await opened()
    payload = bytes(1000)
    for _ in range(FLUSH_AT // 1000 + 1):
        nc.publish("a", payload)
    assert len(link.sent()) >= FLUSH_AT
    await nc.close()


async def test_a_fast_publisher_lets_the_others_have_their_turns() -> None:
    nc, _ = await opened()
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    for _ in range(4000):
        await nc.publish("a", bytes(1000))
    assert others >= 10  # a turn for every 256 KiB
    task.cancel()
    await nc.close()


async def test_publishing_waits_for_a_server_that_does_not_read(loop_factory: LoopFactory) -> None:
    go = asyncio.Event()
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await go.wait()
        got.append(await peer.reader.read())

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url)
        count = 0
        while len(nc._session.outbox) < HIGH_WATER:
            nc.publish("a", b"%08d" % count + bytes(65536))
            count += 1
        waiting = asyncio.ensure_future(publish(nc.publish("a", b"%08d" % count)))
        assert await is_waiting(waiting)
        go.set()
        await waiting
        assert len(nc._session.outbox) < LOW_WATER
        await nc.close()
    assert [int(body[:8]) for body in bodies(got[0])] == list(range(count + 1))


async def publish(awaitable: Awaitable[None]) -> None:
    await awaitable


async def test_publishing_without_awaiting_has_a_limit() -> None:
    go = asyncio.Event()
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await go.wait()
        got.append(await peer.reader.read())

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url, outbound_limit=2 << 20)
        count = 0
        with pytest.raises(OutboundFullError) as raised:
            while count < 10_000:
                nc.publish("a", b"%08d" % count + bytes(65536))
                count += 1
        assert raised.value.limit == 2 << 20 and raised.value.pending <= 2 << 20
        with pytest.raises(OutboundFullError):
            nc.publish("a", bytes(65536))
        assert nc.is_connected
        go.set()
        await nc.publish("a", b"%08d" % count)
        await nc.close()
    assert [int(body[:8]) for body in bodies(got[0])] == list(range(count + 1))


async def test_a_wait_for_room_may_be_cancelled_and_awaited_again() -> None:
    nc, link = await opened()
    link.takes = False
    room = nc.publish("a", bytes(HIGH_WATER))
    for _ in range(3):
        task = asyncio.ensure_future(publish(room))
        assert await is_waiting(task)
        task.cancel()
        assert await is_waiting(asyncio.gather(task, return_exceptions=True)) is False
    tasks = [asyncio.ensure_future(publish(room)) for _ in range(3)]
    await turns()
    link.take()
    await asyncio.gather(*tasks)
    await room
    assert nc._connection.driver.progress._waiting == {}
    await nc.close()


async def test_a_wait_for_room_goes_on_while_there_is_none() -> None:
    nc, link = await opened()
    link.takes = False
    tasks = [asyncio.ensure_future(publish(nc.publish("a", bytes(HIGH_WATER)))) for _ in range(2)]
    await turns()
    assert link.owner is not None
    link.owner.link_progress()
    link.outbox.advance(HIGH_WATER)
    link.owner.link_progress()
    await turns()
    assert not any(task.done() for task in tasks)
    link.take()
    await asyncio.gather(*tasks)
    await nc.close()


async def test_what_nobody_awaits_leaves_no_warning() -> None:
    nc, link = await opened()
    nc.publish("a", b"1")
    link.takes = False
    nc.publish("a", bytes(FLUSH_AT))
    nc.publish("a", bytes(HIGH_WATER))
    sub = nc.subscribe("a")
    got: list[midge.Message] = []
    nc.subscribe("b", callback=got.append)
    link.come(msg("b", 2, b"x", "r"))
    got[0].respond(b"y")
    sub.unsubscribe(5)
    sub.unsubscribe()
    link.take()
    await nc.close()


async def test_gathered_publishes() -> None:
    nc, link = await opened()
    await asyncio.gather(*(nc.publish("a", b"%d" % i) for i in range(5)))
    await asyncio.wait_for(nc.publish("a", b"5"), 5)
    await turns()
    assert bodies(link.sent()) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    await nc.close()


async def test_publishing_what_cannot_be_sent() -> None:
    nc, link = await opened()
    bad: list[tuple[tuple[Any, ...], type[Exception]]] = [
        (("", b""), ValueError), (("a b", b""), ValueError), (("a\r\nPUB x 0\r\n", b""), ValueError), (("a", 5), TypeError),
        (("a", "\ud800"), ValueError),
        (("a", bytes(1 << 20) + b"x"), MaxPayloadError),
    ]  # fmt: skip
    for arguments, error in bad:
        with pytest.raises(error):
            nc.publish(*arguments)
    worse: list[dict[str, Any]] = [{"reply": "r\r\n"}, {"reply": 5}, {"headers": {"k": "v\r\nX: y"}}, {"headers": {"a b": "c"}}]
    for options in worse:
        with pytest.raises(ValueError):
            nc.publish("a", b"", **options)
    nc.publish("a", bytes(1 << 20))
    await nc.close()
    assert bodies(link.sent()) == [bytes(1 << 20)]


# Flushing


async def test_a_flush_waits_for_its_own_pong(loop_factory: LoopFactory) -> None:
    nc, link = await opened()
    one = asyncio.ensure_future(nc.flush())
    await turns()
    assert link.sent() == b"PING\r\n"
    nc.publish("a")
    two = asyncio.ensure_future(nc.flush())
    await turns()
    assert link.sent() == b"PUB a 0\r\n\r\nPING\r\n"
    link.come(b"PONG\r\n")
    await one
    assert await is_waiting(two)
    link.come(b"PONG\r\n")
    await two
    await nc.close()


async def test_a_flush_that_times_out_leaves_the_connection_and_its_pong_to_nobody() -> None:
    nc, link = await opened()
    with pytest.raises(MidgeTimeoutError, match="PONG: nothing came within 0.05 s"):
        await nc.flush(timeout=SOON)
    assert nc.is_connected
    task = asyncio.ensure_future(nc.flush())
    await turns()
    link.come(b"PONG\r\n")
    assert await is_waiting(task), "that was the answer to the first"
    link.come(b"PONG\r\n")
    await task
    await nc.close()


async def test_a_cancelled_flush() -> None:
    nc, link = await opened()
    one, two = asyncio.ensure_future(nc.flush()), asyncio.ensure_future(nc.flush())
    await turns()
    one.cancel()
    await turns()
    link.come(b"PONG\r\n")
    assert one.cancelled() and await is_waiting(two)
    link.come(b"PONG\r\n")
    await two
    await nc.close()


async def test_messages_before_the_pong_are_there_when_a_flush_returns() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    task = asyncio.ensure_future(nc.flush())
    await turns()
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"), b"PONG\r\n")
    await task
    assert sub.pending == 2
    await nc.close()


# The heartbeat


class FakeLoop:
    """An event loop of which only the timers are asked."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.call: Callable[[], None] = lambda: None
        self.cancelled = False

    def call_later(self, delay: float, call: Callable[[], None]) -> FakeLoop:
        self.delays.append(delay)
        self.call = call
        return self

    def cancel(self) -> None:
        self.cancelled = True


def new_heartbeat(max_out: int = 2) -> tuple[Any, FakeLoop, list[Exception]]:
    session, loop = open_session(), FakeLoop()
    lost: list[Exception] = []
    Heartbeat(loop, session, 9.0, max_out, lambda: None, lost.append)  # type: ignore[arg-type]
    return session, loop, lost


def test_a_heartbeat_that_is_answered_goes_on() -> None:
    session, loop, lost = new_heartbeat()
    for _ in range(5):
        loop.call()
        assert session.data_to_send() == b"PING\r\n"
        session.receive_data(b"PONG\r\n")
    assert loop.delays == [9.0] * 6 and lost == []


def test_a_heartbeat_that_is_not_answered_ends() -> None:
    session, loop, lost = new_heartbeat()
    loop.call()
    loop.call()
    assert lost == [] and session.data_to_send() == b"PING\r\nPING\r\n"
    loop.call()
    assert [str(error) for error in lost] == ["the server left 2 PINGs unanswered"]
    assert session.data_to_send() == b"" and len(loop.delays) == 3


def test_flushes_under_way_do_not_make_a_server_stale() -> None:
    session, loop, lost = new_heartbeat()
    for _ in range(10):
        session.ping()
    for _ in range(2):
        loop.call()
    assert lost == []
    session.receive_data(b"PONG\r\n" * 12)
    for _ in range(2):
        loop.call()
    assert lost == []
    loop.call()
    assert len(lost) == 1


async def test_a_server_that_answers_no_ping_is_lost() -> None:
    errors: list[Exception] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        while (line := await peer.line()) != b"":
            assert line in (b"PING", b"SUB x 1")

    async with FakeServer(script) as server:
        nc = await midge.connect(server.url, ping_interval=0.01, max_pings_out=3, error_callback=errors.append, max_reconnects=0)
        with pytest.raises(ConnectionClosedError, match="the server left 3 PINGs unanswered"):
            await nc.subscribe("x").next()
        await nc.close()
    assert [type(error) for error in errors] == [ConnectionClosedError]


async def test_a_server_that_answers_pings_is_kept() -> None:
    seen = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        for _ in range(8):
            await peer.pong()
        seen.set()
        await peer.serve()

    async with FakeServer(script) as server:
        async with midge.connect(server.url, ping_interval=0.005, max_pings_out=1000) as nc:
            await seen.wait()
            assert nc.is_connected


# Requests


async def test_a_request(loop_factory: LoopFactory) -> None:
    nc, link = await opened(inbox_prefix="my.inbox")
    task = asyncio.ensure_future(nc.request("svc", b"x", headers={"k": "v"}))
    await turns()
    sub, publish = link.sent().split(b"\r\n", 1)
    inbox = sub.split(b" ")[1].removesuffix(b".*").decode()
    assert sub == f"SUB {inbox}.* 1".encode() and inbox.startswith("my.inbox.")
    assert publish == f"HPUB svc {inbox}.1 18 19\r\nNATS/1.0\r\nk: v\r\n\r\nx\r\n".encode()
    link.come(msg(f"{inbox}.1", 1, b"y", header=b"NATS/1.0\r\nK: w\r\n\r\n"))
    reply = await task
    assert (reply.data, reply.headers["k"]) == (b"y", "w")
    await nc.close()


async def inbox_of(nc: midge.Client, link: FakeLink) -> str:
    """The inbox that a client's requests share, once it has made one."""
    await turns()
    return link.sent().split(b" ")[1].removesuffix(b".*").decode()


async def test_many_requests_get_their_own_answers() -> None:
    nc, link = await opened()
    tasks = [asyncio.ensure_future(nc.request("svc", b"%d" % i)) for i in range(100)]
    inbox = await inbox_of(nc, link)
    link.come(*(msg(f"{inbox}.{i + 1}", 1, b"answer %d" % i) for i in reversed(range(100))))
    assert [(await task).data for task in tasks] == [b"answer %d" % i for i in range(100)]
    assert nc._connection.interest.requests == {}
    await nc.close()


async def test_no_responders() -> None:
    nc, link = await opened()
    tasks = [asyncio.ensure_future(nc.request("svc")) for _ in range(2)]
    inbox = await inbox_of(nc, link)
    link.come(msg(f"{inbox}.1", 1, b"", header=NO_RESPONDERS), msg(f"{inbox}.2", 1, b"not empty", header=NO_RESPONDERS))
    with pytest.raises(NoRespondersError, match="no responders on 'svc'") as raised:
        await tasks[0]
    assert isinstance(raised.value, LookupError)
    assert (await tasks[1]).data == b"not empty", "an answer that only looks like it"
    await nc.close()


async def test_a_request_times_out_and_its_late_answer_goes_nowhere() -> None:
    nc, link = await opened()
    for _ in range(2):
        with pytest.raises(MidgeTimeoutError, match="request on 'svc': nothing came within 0.05 s") as raised:
            await nc.request("svc", timeout=SOON)
        assert isinstance(raised.value, TimeoutError) and raised.value.__cause__ is None
    inbox = await inbox_of(nc, link)
    task = asyncio.ensure_future(nc.request("svc"))
    await turns()
    link.come(msg(f"{inbox}.1", 1, b"late"), msg(f"{inbox}.2", 1, b"late"), msg(f"{inbox}.3", 1, b"in time"))
    assert (await task).data == b"in time"
    await nc.close()


@pytest.mark.parametrize("timeout", [0, 0.0, -1.5])
async def test_a_request_that_nobody_has_time_for_is_not_sent(timeout: float) -> None:
    """As what is left of somebody's time may be nothing."""
    nc, link = await opened()
    with pytest.raises(MidgeTimeoutError, match=f"request on 'svc': it was not sent within {timeout} s"):
        await nc.request("svc", timeout=timeout)
    await turns()
    assert b"svc" not in link.sent() and nc._connection.interest.requests == {}
    await nc.close()


async def test_requests_of_different_patience_share_a_timer() -> None:
    nc, link = await opened()
    long = [asyncio.ensure_future(nc.request("svc", timeout=timeout)) for timeout in (None, 60)]
    short = [asyncio.ensure_future(nc.request("svc", timeout=timeout)) for timeout in (0.03, 0.01, 0.02, 1e-6)]
    for task in short:
        with pytest.raises(MidgeTimeoutError):
            await task
    inbox = await inbox_of(nc, link)
    assert not any(task.done() for task in long)
    link.come(msg(f"{inbox}.1", 1, b"1"), msg(f"{inbox}.2", 1, b"2"))
    assert [(await task).data for task in long] == [b"1", b"2"]
    await nc.close()


def test_the_timer_of_requests() -> None:
    class Loop(FakeLoop):
        now = 0.0

        def when(self) -> float:
            return self.delays[-1]

        def time(self) -> float:
            return self.now

        def call_at(self, when: float, call: Callable[[], None]) -> FakeLoop:
            return self.call_later(when, call)

    real = asyncio.new_event_loop()
    loop = Loop()
    under_way: dict[str, Request] = {}
    requests = Requests(loop, under_way)  # type: ignore[arg-type]

    def add(token: str, deadline: float | None) -> asyncio.Future[midge.Message]:
        under_way[token] = Request(real.create_future())
        if deadline is not None:
            requests.watch(token, deadline)
        return under_way[token].future

    futures = [add(str(i), deadline) for i, deadline in enumerate((5.0, 7.0, 3.0, None, 4.0))]
    assert loop.delays == [5.0, 3.0], "set anew for an earlier deadline only"
    loop.now = 4.5
    loop.call()
    assert [future.done() for future in futures] == [False, False, True, False, True] and loop.delays[-1] == 5.0
    del under_way["0"]
    loop.now = 5.0
    loop.call()
    assert loop.delays[-1] == 7.0 and not futures[0].done()
    add("6", 6.0)
    assert loop.delays[-1] == 6.0
    requests.stop()
    assert loop.cancelled
    for future in futures:
        if future.done():
            future.exception()
    real.close()


def test_deadlines_of_requests_that_are_done_do_not_pile_up() -> None:
    real = asyncio.new_event_loop()
    under_way: dict[str, Request] = {}
    requests = Requests(real, under_way)
    for i in range(10_000):
        under_way[str(i)] = Request(real.create_future())
        requests.watch(str(i), real.time() + 60)
        if i > 10:
            del under_way[str(i - 10)]
        assert len(requests._deadlines) < 200
    requests.stop()
    real.close()


async def test_a_cancelled_request_is_forgotten() -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(nc.request("svc"))
    inbox = await inbox_of(nc, link)
    task.cancel()
    await turns()
    assert task.cancelled() and nc._connection.interest.requests == {}
    link.come(msg(f"{inbox}.1", 1, b"late"))
    await nc.close()


async def test_an_answer_and_a_cancel_in_the_same_turn() -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(nc.request("svc"))
    inbox = await inbox_of(nc, link)
    link.come(msg(f"{inbox}.1", 1, b"y"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nc.close()


async def test_requests_wait_for_room_instead_of_failing() -> None:
    nc, link = await opened(outbound_limit=2 << 20)
    link.takes = False
    tasks = [asyncio.ensure_future(nc.request("svc", bytes(1 << 20))) for _ in range(5)]
    await turns()
    assert len(nc._connection.interest.requests) == 1
    with pytest.raises(MidgeTimeoutError, match="request on 'svc'"):
        await nc.request("svc", b"", timeout=SOON)
    for done in range(5):
        link.take()
        link.takes = False
        await turns()
    link.take()
    inbox = link.sent().split(b" ")[1].removesuffix(b".*").decode()
    link.come(*(msg(f"{inbox}.{token}", 1, b"y") for token in list(nc._connection.interest.requests)))
    assert [(await task).data for task in tasks] == [b"y"] * 5
    await nc.close()


async def test_a_request_that_cannot_be_sent() -> None:
    nc, link = await opened()
    bad: list[dict[str, Any]] = [{"subject": "a b"}, {"data": 5}, {"data": "\udcff"}, {"headers": {"k": "\n"}}, {"data": bytes(2 << 20)}]
    for arguments in bad:
        with pytest.raises((ValueError, TypeError)):
            await nc.request(**{"subject": "svc"} | arguments)
    assert nc._connection.interest.requests == {}
    await nc.close()


async def test_the_inbox_refused_fails_requests_at_once() -> None:
    """An account may forbid ``_INBOX.>``: no answer could ever come."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    for sid, said in ((1, ""), (2, ' (sid "2")')):
        tasks = [asyncio.ensure_future(nc.request("svc", timeout=None)) for _ in range(2)]
        inbox = await inbox_of(nc, link)
        link.come(f"-ERR 'Permissions Violation for Subscription to \"{inbox}.*\"{said}'\r\n".encode())
        for task in tasks:
            with pytest.raises(PermissionsViolationError, match=inbox):
                await task
    assert nc.is_connected and nc._connection.interest.feeds == {}
    await nc.close()
    assert errors == [], "the callers were told"


# Errors that the server reports


async def test_a_refused_publish_is_reported_and_ends_nothing() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("a")
    link.come(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n", b"-ERR 'Invalid Publish Subject'\r\n", b"-ERR 'Brand New'\r\n")
    await turns()
    assert nc.is_connected and not sub.is_closed
    assert [type(error) for error in errors] == [PermissionsViolationError, InvalidOperationError, ServerError]
    assert str(errors[2]) == "the server said: Brand New"
    await nc.close()


async def test_a_second_info_is_heeded(caplog: pytest.LogCaptureFixture) -> None:
    nc, link = await opened()
    caplog.set_level("INFO", "midge.client")
    link.come(info(max_payload=10, ldm=True))
    assert nc.max_payload == 10 and "lame duck" in caplog.text
    with pytest.raises(MaxPayloadError):
        nc.publish("a", bytes(11))
    await nc.close()
