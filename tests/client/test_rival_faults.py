"""Where other Python clients fall short in errors and events, line by line, and that this one does not.

Names begin with the client (nats-py 2.16, nats-core 0.2.0, natsio 1.0.1) and what happens there. Lines about drains, reconnecting, TLS
and speed are with their parts.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fakes import is_waiting, msg, opened, turns

import midge
from midge.errors import (
    InvalidHeaderError,
    InvalidOperationError,
    MaxPayloadError,
    MidgeTimeoutError,
    PermissionsViolationError,
    ServerError,
    SlowConsumerError,
)
from midge.events import Event, SlowConsumer, SubscriptionEnded

# nats-py


@pytest.mark.parametrize(
    "poison", [msg(b"a.\xff\xfe", 1, b"x"), msg("a.b", 1, b"x", header=b"NATS/1.0"), msg("a.b", 1, b"x", header=b"\r\n"), msg("a.b", 1)]
)
async def test_nats_py_one_malformed_message_kills_the_connection_silently(poison: bytes) -> None:
    """The read loop ended, ``is_connected`` stayed True, and nothing came any more."""
    nc, link = await opened()
    sub = nc.subscribe("a.*")
    link.come(poison, msg("a.next", 1, b"next"))
    poisoned, following = await sub.next(1), await sub.next(1)
    assert poisoned.headers.multi_items() == [] and following.data == b"next" and nc.is_connected
    await nc.close()


@pytest.mark.parametrize("text", ["User Authentication Expired", "maximum connections exceeded", "Invalid Publish Subject", "Brand New"])
async def test_nats_py_process_err_closes_the_client_for_good_on_anything_it_does_not_know(text: str) -> None:
    nc, link = await opened()
    link.come(b"-ERR '" + text.encode() + b"'\r\n")
    flush = asyncio.ensure_future(nc.flush(5))
    await turns()
    link.come(b"PONG\r\n")
    await flush
    assert nc.is_connected and isinstance(nc.last_error, ServerError)
    await nc.close()


async def test_nats_py_callbacks_are_awaited_on_the_read_path_so_flush_inside_one_deadlocks() -> None:
    flushed: list[float] = []

    async def callback(error: Exception) -> None:
        before = time.monotonic()
        await nc.flush(2)
        flushed.append(time.monotonic() - before)

    nc, link = await opened(error_callback=callback)
    link.answers = True
    link.come(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n")
    async with asyncio.timeout(5):
        while not flushed:
            await asyncio.sleep(0)
    assert flushed[0] < 1
    await nc.close()


async def test_nats_py_max_payload_check_ignores_headers() -> None:
    """So the server closed the connection."""
    nc, _ = await opened()
    nc._connection.session.encoder.max_payload = 100
    nc.publish("a", bytes(100))
    with pytest.raises(MaxPayloadError):
        nc.publish("a", bytes(90), headers={"K": "v"})
    await nc.close()


async def test_nats_py_multi_value_headers_collapse_on_receive_and_a_list_cannot_be_sent() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(msg("a", 1, header=b"NATS/1.0\r\nK: 1\r\nk: 2\r\nK: 3\r\n\r\n"))
    assert (await sub.next()).headers.get_all("K") == ["1", "2", "3"]
    link.sent()
    await nc.publish("a", headers={"K": ["1", "2"]})
    await turns()
    assert b"NATS/1.0\r\nK: 1\r\nK: 2\r\n\r\n" in link.sent()
    await nc.close()


async def test_nats_py_an_error_for_every_dropped_message_and_no_dropped_counter() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    stream = nc.events()
    sub = nc.subscribe("a", pending_msgs=1)
    link.come(msg("a", 1) * 100)
    event = await anext(stream)
    await turns()
    assert isinstance(event, SlowConsumer) and (event.subject, event.sid) == ("a", 1)
    assert len(errors) == 1 and isinstance(errors[0], SlowConsumerError) and 1 <= errors[0].dropped == event.dropped <= 99
    assert (sub.received, sub.dropped, nc.stats.dropped) == (100, 99, 99)
    await nc.close()


# nats-core


async def test_nats_core_header_injection() -> None:
    """``K: v\\r\\nNats-Msg-Id: forged`` went out as two headers."""
    nc, link = await opened()
    for headers in ({"K": "v\r\nNats-Msg-Id: forged"}, {"K\r\nNats-Msg-Id": "forged"}, {"K": "v\n"}, {"K": "v\r"}, {"K: x": "v"}):
        with pytest.raises(InvalidHeaderError):
            nc.publish("a", headers=headers)
    await turns()
    assert link.sent() == b""
    await nc.close()


async def test_nats_core_flush_is_woken_by_any_pong_and_disconnects_on_a_timeout() -> None:
    nc, link = await opened()
    one, two = asyncio.ensure_future(nc.flush(5)), asyncio.ensure_future(nc.flush(5))
    await turns()
    link.come(b"PONG\r\n")
    await one
    assert await is_waiting(two)
    with pytest.raises(MidgeTimeoutError):
        await nc.flush(0.01)
    assert nc.is_connected and await is_waiting(two)
    link.come(b"PONG\r\n")
    await two
    await nc.close()


async def test_nats_core_a_subject_that_is_not_utf_8_disconnects_and_loses_what_was_under_way() -> None:
    nc, link = await opened()
    sub, request = nc.subscribe(">"), asyncio.ensure_future(nc.request("svc"))
    await turns()
    link.come(msg(b"\xff", 1, b"1"), msg("a", 1, b"2"))
    assert [(await sub.next(1)).data for _ in range(2)] == [b"1", b"2"] and nc.is_connected
    assert await is_waiting(request)
    await nc.close()
    await asyncio.gather(request, return_exceptions=True)


@pytest.mark.parametrize("name", ["error_callback", "event_callback"])
async def test_nats_core_callbacks_are_plain_functions_run_inline_in_the_reader(name: str) -> None:
    """Here a slow one holds up nobody, and may be a coroutine function."""
    go_on, told = asyncio.Event(), []

    async def slow(thing: Any) -> None:
        await go_on.wait()
        told.append(thing)

    nc, link = await opened(**{name: slow})
    sub = nc.subscribe("a", pending_msgs=1)
    link.come(msg("a", 1, b"1"), msg("a", 1, b"2"))
    await turns()
    assert (await sub.next(1)).data == b"1" and told == []
    go_on.set()
    await nc.close()
    assert told


async def test_nats_core_no_permission_to_subscription_mapping() -> None:
    nc, link = await opened()
    denied, fine = nc.subscribe("denied"), nc.subscribe("fine")
    link.come(b"-ERR 'Permissions Violation for Subscription to \"denied\"'\r\n")
    with pytest.raises(PermissionsViolationError):
        await denied.next()
    assert not fine.is_closed
    await nc.close()


# natsio


async def test_natsio_a_header_value_that_is_not_utf_8_is_dropped_silently() -> None:
    nc, link = await opened()
    sub = nc.subscribe("a")
    link.come(msg("a", 1, header=b"NATS/1.0\r\nK: \xff\r\n\r\n"))
    value = (await sub.next()).headers["K"]
    assert value.encode("utf-8", "surrogateescape") == b"\xff"
    await nc.close()


async def test_natsio_invalid_publish_subject_is_treated_as_fatal() -> None:
    heard: list[Event] = []
    nc, link = await opened(event_callback=heard.append)
    link.come(b"-ERR 'Invalid Publish Subject'\r\n")
    await turns()
    assert nc.is_connected and not link.closed and isinstance(nc.last_error, InvalidOperationError)
    assert "disconnected" not in {event.kind for event in heard}
    await nc.close()


async def test_natsio_a_denied_subscription_stays_registered_and_is_sent_again_on_each_reconnect() -> None:
    """Unless an option was given that is off by default."""
    nc, link = await opened()
    stream = nc.events()
    sub = nc.subscribe("denied")
    link.come(b"-ERR 'Permissions Violation for Subscription to \"denied\"'\r\n")
    assert sub.is_closed and sub.sid not in nc._connection.interest.feeds
    event = await anext(stream)
    assert isinstance(event, SubscriptionEnded) and event.sid == sub.sid
    await nc.close()


# All of them


async def test_all_no_permission_routing_by_sid() -> None:
    nc, link = await opened()
    one, two = nc.subscribe("same"), nc.subscribe("same")
    link.come(b'-ERR \'Permissions Violation for Subscription to "same" (sid "2")\'\r\n', msg("same", 1, b"x"))
    assert two.is_closed and (await one.next(1)).data == b"x"
    assert isinstance(one, midge.Subscription)
    await nc.close()
