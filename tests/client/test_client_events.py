"""Events: streams of them, the event callback, the error callback, and what the log says of what nobody listens for."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fakes import is_waiting, msg, opened, turns

import midge
from midge import events
from midge.client import reporter as reporter_module
from midge.client.event_stream import MAX_EVENTS
from midge.errors import ConnectionClosedError, PermissionsViolationError, SlowConsumerError
from midge.events import (
    Closed,
    Connected,
    Disconnected,
    Draining,
    ErrorOccurred,
    Event,
    LameDuck,
    Reconnected,
    ReconnectFailed,
    ServersDiscovered,
    SlowConsumer,
    SubscriptionEnded,
)  # fmt: skip

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def emit(nc: midge.Client, *said: Event) -> None:
    for event in said:
        nc._connection.emit(event)


async def gather(stream: midge.EventStream, into: list[Event]) -> None:
    async for event in stream:
        into.append(event)


async def test_the_package_has_a_module_of_events() -> None:
    assert events.Closed is Closed and midge.events is events and issubclass(events.SlowConsumer, events.Event)
    code = "from midge.events import Closed; import midge; assert midge.events.Closed is Closed; print(Closed.__module__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "midge.events\n"


# Streams


async def test_several_listen_at_once(loop_factory: LoopFactory) -> None:
    nc, _ = await opened()
    one: list[Event] = []
    two: list[Event] = []
    tasks = [asyncio.ensure_future(gather(nc.events(), heard)) for heard in (one, two)]
    await turns()
    emit(nc, Connected("nats://a"), Draining())
    await turns()
    assert one == two == [Connected("nats://a"), Draining()]
    error = OSError("gone")
    emit(nc, Closed(error))
    await asyncio.gather(*tasks)
    assert one == two and one[-1] == Closed(error)
    await nc.close()


async def test_what_happens_between_the_call_and_the_loop_is_not_lost() -> None:
    nc, _ = await opened()
    stream = nc.events()
    emit(nc, LameDuck("nats://a"))
    assert await anext(stream) == LameDuck("nats://a")
    emit(nc, Closed())
    assert [event async for event in stream] == [Closed()]
    assert [event async for event in stream] == [], "and no more, however often it is asked"
    await nc.close()


async def test_a_stream_that_is_made_after_the_close_gets_closed_and_ends() -> None:
    nc, _ = await opened()
    emit(nc, Closed())
    await nc.close()
    for _ in range(2):
        assert [type(event) async for event in nc.events()] == [Closed]


async def test_two_who_take_from_one_stream_share_it_and_both_end() -> None:
    nc, _ = await opened()
    stream = nc.events()
    one: list[Event] = []
    two: list[Event] = []
    tasks = [asyncio.ensure_future(gather(stream, heard)) for heard in (one, two)]
    await turns()
    emit(nc, Draining())
    await turns()
    emit(nc, Closed())
    await asyncio.gather(*tasks)
    assert sorted((event.kind for event in one + two)) == ["closed", "draining"]
    await nc.close()


async def test_a_slow_loop_loses_the_oldest_and_knows_how_many(caplog: pytest.LogCaptureFixture) -> None:
    nc, _ = await opened()
    slow, fast = nc.events(), nc.events()
    heard: list[Event] = []
    task = asyncio.ensure_future(gather(fast, heard))
    for number in range(MAX_EVENTS + 100):
        emit(nc, Connected(str(number)))
        await asyncio.sleep(0)
    emit(nc, Closed())
    await task
    assert len(heard) == MAX_EVENTS + 101 and fast.dropped == 0
    late = [event async for event in slow]
    assert (len(late), slow.dropped) == (MAX_EVENTS, 101)
    assert late[0] == Connected("101") and late[-1] == Closed()
    await nc.close()
    assert "101 more: events that a loop over events is too slow for" in caplog.text


async def test_a_cancelled_listener_is_forgotten_and_a_thrown_away_one(loop_factory: LoopFactory) -> None:
    nc, _ = await opened()
    reporter = nc._connection.reporter
    tasks = [asyncio.ensure_future(gather(nc.events(), [])) for _ in range(100)]
    await turns()
    assert len(reporter._streams) == len(reporter._awaited) == 100
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    del task
    tasks.clear()
    nc.events()
    gc.collect()
    assert len(reporter._streams) == len(reporter._awaited) == 0
    emit(nc, Closed())
    await nc.close()


async def test_a_cancelled_listener_loses_nothing() -> None:
    nc, _ = await opened()
    stream = nc.events()
    task = asyncio.ensure_future(anext(stream))
    await turns()
    emit(nc, Draining())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await anext(stream) == Draining()
    await nc.close()


async def test_a_task_that_nobody_holds_is_not_collected_while_it_listens() -> None:
    nc, _ = await opened()
    heard: list[Event] = []
    asyncio.ensure_future(gather(nc.events(), heard))
    await turns()
    gc.collect()
    emit(nc, Closed())
    await turns()
    assert heard == [Closed()]
    await nc.close()


async def test_listening_in_the_wrong_place() -> None:
    nc, _ = await opened()
    raised: list[BaseException] = []

    def listen() -> None:
        try:
            nc.events()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert len(raised) == 1
    await nc.close()


async def test_waiting_in_the_wrong_place_is_an_error_and_not_a_wait_for_ever() -> None:
    """What waits already may be taken there."""
    nc, _ = await opened()
    stream = nc.events()
    emit(nc, Draining())

    async def listen() -> Event:
        assert await anext(stream) == Draining()
        return await asyncio.wait_for(anext(stream), 10.0)

    with pytest.raises(RuntimeError, match="another thread"):
        await asyncio.to_thread(asyncio.run, listen())
    await nc.close()
    assert await asyncio.to_thread(asyncio.run, listen_to_the_end(stream)) == [Closed()]


async def listen_to_the_end(stream: midge.EventStream) -> list[Event]:
    return [event async for event in stream]


async def test_a_loop_over_events_may_use_the_client_while_one_comes() -> None:
    nc, link = await opened()
    link.answers = True

    async def listen() -> None:
        async for event in nc.events():
            if isinstance(event, SlowConsumer):
                await nc.flush()
                await nc.drain()
                return

    task = asyncio.ensure_future(listen())
    await turns()
    nc.subscribe("a", pending_msgs=1)
    link.come(msg("a", 1), msg("a", 1))
    await asyncio.wait_for(task, 5)
    assert nc.is_closed


# The event callback


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_the_event_callback_is_told_in_order_and_off_the_read_path(kind: str, loop_factory: LoopFactory) -> None:
    heard: list[Event] = []

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    nc, _ = await opened(event_callback=heard.append if kind == "plain" else later)
    said = [Draining(), LameDuck("nats://a"), Reconnected("nats://b", 1, 0.5)]
    start = len(heard)
    emit(nc, *said)
    assert heard[start:] == [], "not inside emit"
    await turns(10)
    assert heard[-3:] == said
    await nc.close()


@pytest.mark.parametrize("callback", ["error_callback", "event_callback"])
@pytest.mark.parametrize("what", ["flush", "request", "drain", "close", "subscribe"])
async def test_a_callback_may_use_the_client(what: str, callback: str, loop_factory: LoopFactory) -> None:
    done: list[str] = []

    async def handle(thing: Any) -> None:
        if not isinstance(thing, (SlowConsumer, SlowConsumerError)):
            return
        if what == "flush":
            await nc.flush(5)
        elif what == "request":
            await nc.request("svc", timeout=5)
        elif what == "subscribe":
            await nc.subscribe("more")
        else:
            await getattr(nc, what)()
        done.append(what)

    nc, link = await opened(**{callback: handle})
    link.answers = True
    assert (await nc.request("first", b"1")).data == b"1"
    slow = nc.subscribe("slow", pending_msgs=1)
    link.come(msg("slow", slow.sid), msg("slow", slow.sid))
    async with asyncio.timeout(10):
        while not done:
            await asyncio.sleep(0)
    await nc.close()


async def test_closing_inside_both_callbacks_and_outside() -> None:
    """None waits for another that waits for it."""
    ended: list[str] = []

    async def on_error(error: Exception) -> None:
        await nc.close()
        ended.append("error")

    async def on_event(event: Event) -> None:
        if isinstance(event, SlowConsumer):
            await nc.close()
            ended.append("event")

    nc, link = await opened(error_callback=on_error, event_callback=on_event)
    nc.subscribe("a", pending_msgs=1)
    link.come(msg("a", 1), msg("a", 1))
    await turns()
    before = time.monotonic()
    await nc.close()
    assert time.monotonic() - before < 1 and sorted(ended) == ["error", "event"]


async def test_a_drain_outside_ends_what_a_drain_in_a_callback_has_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two callbacks may both close, so neither waits for the other; who waits outside ends the one that hangs."""
    monkeypatch.setattr("midge.client.farewell.CLOSE_SECONDS", 0.01)
    hangs = asyncio.Event()

    async def hang(_: Exception) -> None:
        hangs.set()
        await asyncio.Event().wait()

    async def drain(event: Event) -> None:
        if isinstance(event, ErrorOccurred):
            await hangs.wait()
            await nc.drain()

    nc, link = await opened(error_callback=hang, event_callback=drain)
    link.answers = True
    nc._connection.report(ConnectionClosedError("x"))
    while not nc.is_closed:
        await asyncio.sleep(0)
    await nc.drain()
    await turns()
    assert not nc._connection.tasks


async def test_an_event_callback_that_fails_is_reported_and_told_of_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """But not of its own failure: it would fail again."""
    told: list[Event] = []
    errors: list[Exception] = []

    def fail(event: Event) -> None:
        told.append(event)
        raise LookupError("a bug")

    nc, _ = await opened(event_callback=fail, error_callback=errors.append)
    await turns()
    told.clear()
    errors.clear()
    emit(nc, Draining(), LameDuck("nats://a"))
    await turns(10)
    assert told == [Draining(), LameDuck("nats://a")] and [str(error) for error in errors] == ["a bug"] * 2
    assert "LookupError: a bug (in the event callback)" in caplog.text and isinstance(nc.last_error, LookupError)
    await nc.close()


async def test_a_slow_event_callback_loses_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []
    go_on = asyncio.Event()

    async def slow(event: Event) -> None:
        told.append(event)
        await go_on.wait()

    nc, _ = await opened(event_callback=slow)
    await turns()
    assert told == [Connected("nats://in.process:4222")]
    told.clear()
    for number in range(MAX_EVENTS + 50):
        emit(nc, Connected(str(number)))
    emit(nc, Closed())
    go_on.set()
    await nc.close()
    assert len(told) == MAX_EVENTS and told[0] == Connected("51") and told[-1] == Closed()
    assert "events that the event callback is too slow for" in caplog.text


@pytest.mark.parametrize("name", ["event_callback", "error_callback"])
def test_a_callback_that_cannot_be_called(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is a function or a coroutine function, not int"):
        midge.connect(**{name: 7})  # type: ignore[arg-type]


async def test_closed_is_told_before_close_returns() -> None:
    told: list[Event] = []
    nc, _ = await opened(event_callback=told.append)
    stream = nc.events()
    await nc.close()
    assert told[-1] == Closed()
    assert [type(event) async for event in stream][-1] is Closed


async def test_closed_says_why() -> None:
    nc, link = await opened(max_reconnects=0)
    stream = nc.events()
    assert link.owner is not None
    link.owner.link_lost(ConnectionResetError("cut"))
    async with asyncio.timeout(10):
        heard = [event async for event in stream]
    closed = heard[-1]
    assert isinstance(closed, Closed) and closed.error is not None and "cut" in f"{closed.error!r} {closed.error.__cause__!r}"
    await nc.close()


# What is emitted


async def test_a_slow_consumer_is_one_event_until_a_message_fits_again() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    stream = nc.events()
    sub = nc.subscribe("a", pending_msgs=2)
    link.come(msg("a", 1) * 10)
    assert await anext(stream) == SlowConsumer("a", 1, 8)
    await sub.next()
    link.come(msg("a", 1) * 3)
    assert await anext(stream) == SlowConsumer("a", 1, 10)
    await turns()
    assert [type(error) for error in errors] == [SlowConsumerError] * 2
    assert (sub.received, sub.dropped, sub.pending) == (13, 10, 2) and nc.stats.dropped == 10
    sub.unsubscribe()
    assert nc.stats.dropped == 10, "those of subscriptions that have ended count on"
    ended = await anext(stream)
    assert ended == SubscriptionEnded("a", 1)
    await nc.close()


async def test_the_end_of_a_subscription_is_an_event_and_says_why() -> None:
    nc, link = await opened()
    stream = nc.events()
    unsubscribed, limited, drained, denied = (nc.subscribe(subject) for subject in ("u", "l", "d", "n"))
    unsubscribed.unsubscribe()
    limited.unsubscribe(1)
    link.come(msg("l", 2))
    draining = asyncio.ensure_future(drained.drain())
    await turns()
    link.come(b"-ERR 'Permissions Violation for Subscription to \"n\"'\r\nPONG\r\n")
    await draining
    heard = [await anext(stream) for _ in range(4)]
    assert all(isinstance(event, SubscriptionEnded) for event in heard)
    ends = {event.subject: event.error for event in heard if isinstance(event, SubscriptionEnded)}
    assert isinstance(ends.pop("n"), PermissionsViolationError) and ends == {"u": None, "l": None, "d": None}
    assert denied.is_closed
    await nc.close()


async def test_the_client_closing_is_not_an_event_for_each_subscription() -> None:
    nc, _ = await opened()
    for _ in range(100):
        nc.subscribe("a")
    stream = nc.events()
    await nc.close()
    assert [type(event) async for event in stream] == [Closed]


async def test_an_error_without_a_caller_is_an_event_and_the_last_error() -> None:
    nc, link = await opened()
    stream = nc.events()
    assert nc.last_error is None

    def fail(message: midge.Message) -> None:
        raise LookupError("a bug")

    nc.subscribe("a", callback=fail)
    link.come(msg("a", 1))
    event = await anext(stream)
    assert isinstance(event, ErrorOccurred) and event.error is nc.last_error
    assert event.where == "in the callback of the subscription to 'a'"
    await nc.close()


# The log


UNHEARD = [Reconnected("nats://b", 3, 0.25), LameDuck("nats://a"), ReconnectFailed("nats://a", OSError("refused"), 1)]


async def test_what_matters_and_nobody_listens_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midge.client")
    nc, _ = await opened()
    caplog.clear()
    emit(nc, *UNHEARD, ServersDiscovered(("nats://c",)), Connected("nats://a"), Draining(), Disconnected("nats://a", OSError("cut")))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "reconnected: url nats://b, attempts 3, 0.250 seconds"),
        ("WARNING", "lame duck: url nats://a"),
        ("INFO", "reconnect failed: url nats://a, error refused, attempt 1"),
        ("INFO", "servers discovered: urls ('nats://c',)"),
    ]
    await nc.close()


@pytest.mark.parametrize("how", ["stream", "callback"])
async def test_what_somebody_listens_for_is_not_logged(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midge.client")
    nc, _ = await opened(event_callback=(lambda event: None) if how == "callback" else None)
    stream = nc.events() if how == "stream" else None
    caplog.clear()
    emit(nc, *UNHEARD)
    assert [record.message for record in caplog.records] == ["reconnected: url nats://b, attempts 3, 0.250 seconds"]  # as the loss was
    del stream
    await nc.close()


async def test_a_lost_connection_is_one_event_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """It is an error, too, so the error callback is told; but who listens for events is not told twice."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    stream = nc.events()
    caplog.clear()
    assert link.owner is not None
    link.owner.link_lost(ConnectionResetError("cut"))
    event = await anext(stream)
    assert isinstance(event, Disconnected) and "cut" in str(event.error)
    await turns()
    await nc.close()
    kinds = [event.kind async for event in stream]
    assert "error" not in kinds and kinds[-1] == "closed" and len(errors) == 1
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_a_connection_that_flaps_does_not_fill_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_module, "LOG_SECONDS", 0.01)
    nc, _ = await opened()
    caplog.clear()
    emit(nc, *[LameDuck("nats://a")] * 1000)
    await asyncio.sleep(0.02)
    said = [record.message for record in caplog.records if "lame" in record.message]
    assert len(said) == reporter_module.MAX_LINES + 1 and said[-1] == "990 more: lame_duck"
    await nc.close()


async def test_an_event_that_nobody_listens_for_costs_nearly_nothing() -> None:
    nc, _ = await opened()
    event = Draining()
    before = time.process_time()
    for _ in range(100_000):
        nc._connection.emit(event)
    assert time.process_time() - before < 1.0
    await nc.close()


def test_events_between_two_runs_of_the_loop() -> None:
    """A program may use its client where no loop runs just now; that is told in the next run."""
    loop = asyncio.new_event_loop()
    told: list[Event] = []
    nc, link = loop.run_until_complete(opened(event_callback=told.append))
    sub = nc.subscribe("a")
    sub.unsubscribe()
    for _ in range(3000):
        nc._connection.reporter.report(ConnectionClosedError("x"))
    loop.run_until_complete(turns())
    assert SubscriptionEnded("a", 1) in told or len(told) >= MAX_EVENTS
    loop.run_until_complete(nc.close())
    loop.close()


async def test_nobody_is_told_twice_who_waits() -> None:
    nc, _ = await opened()
    task = asyncio.ensure_future(anext(nc.events()))
    assert await is_waiting(task)
    emit(nc, Draining(), Draining())
    assert await task == Draining()
    await nc.close()
