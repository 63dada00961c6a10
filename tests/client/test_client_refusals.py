"""What -ERR means and what comes of it: every text that nats-server sends to a client, and some that nobody sends."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fakes import is_waiting, msg, open_session, opened, subscribe, turns

import midge
from midge.client import suspects as suspects_module
from midge.client.refusals import TABLE, Concern, read_refusal
from midge.client.states import Refused
from midge.client.suspects import Suspects
from midge.errors import (
    AuthorizationError,
    ConnectionClosedError,
    InvalidOperationError,
    PermissionsViolationError,
    ServerDisconnectError,
    ServerError,
    TooManySubscriptionsError,
)
from midge.events import ErrorOccurred, SubscriptionEnded

Kind = type[ServerError]
DENIED = 'Permissions Violation for Subscription to "a.>"'
MAX_SUBS = "maximum subscriptions exceeded"

# A text about a subscription, and what it says of it: subject, queue group, sid.
SUBSCRIPTIONS: list[tuple[str, tuple[str, str | None, int | None]]] = [
    (DENIED, ("a.>", None, None)),
    (f'{DENIED} using queue "q"', ("a.>", "q", None)),
    (f'{DENIED} (sid "7")', ("a.>", None, 7)),
    (f"{DENIED} (sid 7)", ("a.>", None, 7)),
    (f'{DENIED} (sid "123456789012")', ("a.>", None, 123456789012)),
    (f'{DENIED} using queue "q" (sid "7")', ("a.>", "q", 7)),
    (f"{DENIED}, too many tokens", ("a.>", None, None)),
    (DENIED.lower(), ("a.>", None, None)),
    (f"{DENIED} and more", ("a.>", None, None)),
    ('Permissions Violation for Subscription to "we\\"ird\\\\" using queue "q\\""', ('we"ird\\', 'q"', None)),
    (
        'Permissions Violation for Subscription to "\\xff\\x01\\u200b\\U000e0001\\a\\x7f"',
        ("\udcff\x01\u200b\U000e0001\x07\x7f", None, None),
    ),
    ('Permissions Violation for Subscription to "\u00e9\\ud800\\U99999999"', ("\u00e9?\U0010ffff", None, None)),
]
PUBLISHES: list[tuple[str, str, str | None]] = [
    ('Permissions Violation for Publish to "a.\\"b"', "publish", 'a."b'),
    ('Permissions Violation for Publish with Reply of "_R_.x"', "reply", "_R_.x"),
    ("Permissions Violation", "", None),
]
OTHERS: list[tuple[str, Kind, Concern]] = [
    ("Maximum Subscriptions Exceeded", TooManySubscriptionsError, Concern.OPERATION),
    (MAX_SUBS, TooManySubscriptionsError, Concern.OPERATION),
    ("Invalid Subject", InvalidOperationError, Concern.OPERATION),
    ("Invalid Publish Subject", InvalidOperationError, Concern.OPERATION),
    ("message headers not supported", InvalidOperationError, Concern.OPERATION),
    ("Authorization Violation", AuthorizationError, Concern.AUTHORIZATION),
    ("'Authorization Violation'", AuthorizationError, Concern.AUTHORIZATION),
    ("Authentication Timeout", AuthorizationError, Concern.AUTHORIZATION),
    ("User Authentication Expired", AuthorizationError, Concern.AUTHORIZATION),
    ("User Authentication Revoked", AuthorizationError, Concern.AUTHORIZATION),
    ("Account Authentication Expired", AuthorizationError, Concern.AUTHORIZATION),
    ("Stale Connection", ServerDisconnectError, Concern.CONNECTION),
    ("maximum connections exceeded", ServerDisconnectError, Concern.CONNECTION),
    ("maximum account active connections exceeded", ServerDisconnectError, Concern.CONNECTION),
    ("Connection throttling is active. Please try again later.", ServerDisconnectError, Concern.CONNECTION),
    ("Server Shutdown", ServerDisconnectError, Concern.CONNECTION),
    ("Slow Consumer", ServerDisconnectError, Concern.FATAL),
    ("Maximum Payload Violation", ServerDisconnectError, Concern.FATAL),
    ("maximum control line exceeded", ServerDisconnectError, Concern.FATAL),
    ("Parser Error", ServerDisconnectError, Concern.FATAL),
    ("Unknown Protocol Operation", ServerDisconnectError, Concern.FATAL),
    ("invalid client protocol", ServerDisconnectError, Concern.FATAL),
    ("no responders requires headers support", ServerDisconnectError, Concern.FATAL),
    ("Secure Connection - TLS Required", ServerDisconnectError, Concern.FATAL),
    ("attempted to connect to route port", ServerDisconnectError, Concern.FATAL),
    ("attempted to connect to leaf node port", ServerDisconnectError, Concern.FATAL),
    ("", ServerError, Concern.UNKNOWN),
    ("\udcff never heard of", ServerError, Concern.UNKNOWN),
]
ALL: list[tuple[str, Kind, Concern]] = [
    *((text, PermissionsViolationError, Concern.OPERATION) for text, *_ in (*SUBSCRIPTIONS, *PUBLISHES)),
    *OTHERS,
]


def err(text: str) -> bytes:
    return b"-ERR '" + text.encode("utf-8", "surrogateescape") + b"'\r\n"


# The table


@pytest.mark.parametrize(("text", "kind", "concern"), ALL)
def test_read(text: str, kind: Kind, concern: Concern) -> None:
    refusal = read_refusal(text)
    assert (type(refusal.error), refusal.error.text, refusal.concern) == (kind, text, concern)


@pytest.mark.parametrize(("text", "about"), SUBSCRIPTIONS)
def test_read_what_is_said_of_a_subscription(text: str, about: tuple[str, str | None, int | None]) -> None:
    refusal = read_refusal(text)
    assert (refusal.subject, refusal.queue, refusal.sid) == about
    assert refusal.any_queue == ("too many tokens" in text)
    error = refusal.error
    assert isinstance(error, PermissionsViolationError) and (error.operation, error.subject, error.queue) == ("subscribe", *about[:2])


@pytest.mark.parametrize(("text", "operation", "subject"), PUBLISHES)
def test_read_what_is_said_of_a_publish(text: str, operation: str, subject: str | None) -> None:
    refusal = read_refusal(text)
    assert (refusal.subject, refusal.queue, refusal.sid) == (None, None, None)
    error = refusal.error
    assert isinstance(error, PermissionsViolationError) and (error.operation, error.subject, error.queue) == (operation, subject, None)


def test_every_row_has_a_test() -> None:
    for part, kind, concern in TABLE:
        assert [text for text, *rest in ALL if part in text.lower() and rest == [kind, concern]], part


def test_a_long_text_is_read_in_no_time() -> None:
    text = 'Permissions Violation for Subscription to "' + '" using queue "' * 6000 + "x"
    before = time.process_time()
    assert read_refusal(text).subject == ""
    assert time.process_time() - before < 2  # it was a minute


def test_no_more_of_a_text_is_kept_than_any_server_says() -> None:
    """A thousand errors may wait for a slow error callback."""
    session = open_session()
    longest = 'Permissions Violation for Subscription to "' + "\\x01" * 4000 + '"'
    session.receive_data(b"-ERR '" + longest.encode() + b"'\r\n-ERR '" + b"x" * 1_000_000 + b"'\r\n")
    one, other = session.take_events()
    assert isinstance(one, Refused) and one.text == longest
    assert isinstance(other, Refused) and len(other.text) < 20_000


# What the client does about each


@pytest.mark.parametrize(("text", "kind", "concern"), ALL)
async def test_no_text_ends_the_connection_or_any_other_subscription(text: str, kind: Kind, concern: Concern) -> None:
    """Only the server does. What it says is reported once."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = await confirmed(nc, link, "mine")
    link.come(err(text), msg("mine", 1, b"still there"))
    assert (await sub.next()).data == b"still there"
    await turns()
    assert nc.is_connected and [(type(error), isinstance(error, ServerError) and error.text) for error in errors] == [
        (kind, text.strip("'")) if text else (kind, text)
    ]
    assert nc.last_error is errors[0]
    await nc.close()


@pytest.mark.parametrize(("text", "kind", "concern"), ALL)
async def test_a_server_that_closes_after_it_has_said_why(text: str, kind: Kind, concern: Concern) -> None:
    """What is said of an operation is not why, whatever comes behind it."""
    nc, link = await opened(max_reconnects=0)
    link.come(err(text))
    assert link.owner is not None
    link.owner.link_lost(None)
    with pytest.raises(ConnectionClosedError) as raised:
        await nc.flush()
    cause = raised.value.__cause__
    assert isinstance(cause, ConnectionClosedError) if concern is Concern.OPERATION else type(cause) is kind
    await nc.close()


async def confirmed(nc: midge.Client, link: Any, subject: str, queue: str | None = None) -> midge.Subscription:
    """A subscription that the server has confirmed."""
    task = asyncio.ensure_future(wait_for(nc.subscribe(subject, queue=queue)))
    await turns()
    link.come(b"PONG\r\n")
    return await task


async def wait_for(sub: midge.Subscription) -> midge.Subscription:
    return await sub


@pytest.mark.parametrize(("text", "about"), SUBSCRIPTIONS)
async def test_the_subscription_that_is_named_ends_with_the_error(text: str, about: tuple[str, str | None, int | None]) -> None:
    subject, queue, sid = about
    nc, link = await opened()
    stream = nc.events()
    nc._connection.interest.next_sid = 6 if sid is None else sid - 1
    other, sub = nc.subscribe("other"), nc.subscribe(subject, queue=queue)
    waiting = asyncio.ensure_future(sub.next())
    iterating = asyncio.ensure_future(anext(aiter(nc.subscribe(subject, queue=queue))) if sid is None else asyncio.sleep(0))
    await turns()
    link.come(err(text) * (1 if sid else 2))
    for task in (waiting, iterating) if sid is None else (waiting,):
        with pytest.raises(PermissionsViolationError) as raised:
            await task
        assert raised.value.text == text and raised.value.subject == subject
    with pytest.raises(PermissionsViolationError):
        await sub.next()
    assert sub.is_closed and not other.is_closed
    event = await anext(stream)
    assert isinstance(event, SubscriptionEnded) and (event.subject, event.sid) == (subject, sub.sid)
    assert isinstance(event.error, PermissionsViolationError)
    await nc.close()


@pytest.mark.parametrize("text", [text for text, *_ in SUBSCRIPTIONS])
async def test_who_awaits_the_confirmation_gets_the_error_and_nobody_else(text: str) -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    refusal = read_refusal(text)
    if refusal.sid is not None:
        nc._connection.interest.next_sid = refusal.sid
    assert refusal.subject is not None
    refused = asyncio.ensure_future(wait_for(nc.subscribe(refusal.subject, queue=refusal.queue)))
    fine = asyncio.ensure_future(wait_for(nc.subscribe("fine")))
    await turns()
    link.come(err(text), b"PONG\r\n" * 2)
    with pytest.raises(PermissionsViolationError):
        await refused
    assert not (await fine).is_closed and errors == []
    await nc.close()


# Which subscription


async def test_the_oldest_of_the_window_is_meant() -> None:
    """What was confirmed before was not refused now, though its subject is the same."""
    nc, link = await opened()
    old = await confirmed(nc, link, "a")
    one, two = nc.subscribe("a"), nc.subscribe("a")
    later = asyncio.ensure_future(nc.flush())
    await turns()
    three = nc.subscribe("a")
    link.come(err('Permissions Violation for Subscription to "a"'))
    assert [sub.is_closed for sub in (old, one, two, three)] == [False, True, False, False]
    link.come(err('Permissions Violation for Subscription to "a"'), b"PONG\r\n")
    assert [sub.is_closed for sub in (old, one, two, three)] == [False, True, True, False]
    await later
    link.come(err('Permissions Violation for Subscription to "a"'))
    assert [sub.is_closed for sub in (old, one, two, three)] == [False, True, True, True]
    link.come(err('Permissions Violation for Subscription to "a"'))
    assert old.is_closed, "permissions have changed: the server has taken it back"
    await nc.close()


async def test_a_queue_group_is_part_of_the_name() -> None:
    nc, link = await opened()
    plain, grouped, other = nc.subscribe("a"), nc.subscribe("a", queue="q"), nc.subscribe("a", queue="r")
    link.come(err('Permissions Violation for Subscription to "a" using queue "r"'))
    assert [sub.is_closed for sub in (plain, grouped, other)] == [False, False, True]
    link.come(err('Permissions Violation for Subscription to "a" using queue "never"'))
    link.come(err('Permissions Violation for Subscription to "never"'))
    assert [sub.is_closed for sub in (plain, grouped, other)] == [False, False, True]
    await nc.close()


async def test_too_many_tokens_are_said_without_the_queue_group() -> None:
    nc, link = await opened()
    grouped, other = nc.subscribe("a.b", queue="q"), nc.subscribe("a", queue="q")
    link.come(err('Permissions Violation for Subscription to "a.b", too many tokens') * 2)
    assert grouped.is_closed and not other.is_closed
    await nc.close()


async def test_the_sid_decides_between_two_alike() -> None:
    nc, link = await opened()
    subs = [nc.subscribe("a") for _ in range(3)]
    link.come(err('Permissions Violation for Subscription to "a" (sid "2")'))
    assert [sub.is_closed for sub in subs] == [False, True, False]
    link.come(err('Permissions Violation for Subscription to "a" (sid "9")') * 2)
    assert [sub.is_closed for sub in subs] == [False, True, False]
    await nc.close()


async def test_a_refusal_that_comes_after_the_end_is_about_nobody() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    sub = nc.subscribe("a")
    sub.unsubscribe()
    link.come(err('Permissions Violation for Subscription to "a"'), err('Permissions Violation for Subscription to "a" (sid "1")'))
    await turns()
    assert [type(error) for error in errors] == [PermissionsViolationError] * 2
    await nc.close()


async def test_names_are_found_anew_by_another_server() -> None:
    """After a reconnect every feed is in the window again, and a session counts its PINGs anew."""
    session = open_session()
    old, new = subscribe(session, "a"), subscribe(session, "a")
    suspects = Suspects(session.interest)
    refusal = read_refusal('Permissions Violation for Subscription to "a"')
    assert suspects.find(refusal, 2, 3) == [new]
    assert suspects.find(refusal, 2, 3) == [new]
    assert suspects.find(refusal, 3, 3) == [old]
    assert suspects.find(refusal, 0, 3) == [old]


async def test_the_index_is_dropped_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects_module, "LINGER", 0.0)
    session = open_session()
    suspects = Suspects(session.interest)
    feed = subscribe(session, "a")
    refusal = read_refusal('Permissions Violation for Subscription to "a"')
    for _ in range(2):
        assert suspects.find(refusal, 0, 2) == [feed] and suspects._young
        await asyncio.sleep(0.001)
        assert not suspects._young


async def test_thousands_of_refusals_among_many_subscriptions_let_the_others_have_their_turns() -> None:
    """One turn took 2.75 s of 2,000 refusals among 22,000 subscriptions."""
    nc, link = await opened()
    kept = [nc.subscribe(f"kept.{i}") for i in range(20_000)]
    refused = [nc.subscribe(f"denied.{i}") for i in range(2_000)]
    await asyncio.sleep(0)
    longest, is_over = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not is_over:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    link.come(*(err(f'Permissions Violation for Subscription to "denied.{i}"') for i in range(2_000)))
    while not refused[-1].is_closed:
        await asyncio.sleep(0)
    is_over = True
    await watching
    assert all(sub.is_closed for sub in refused) and not any(sub.is_closed for sub in kept)
    assert longest < 0.5
    await nc.close()


# Too many subscriptions: the server does not say which


async def test_who_awaits_one_of_too_many_subscriptions_is_told() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    fine = await confirmed(nc, link, "fine")
    task = asyncio.ensure_future(wait_for(nc.subscribe("refused")))
    await turns()
    link.sent()
    link.come(err(MAX_SUBS))
    assert link.sent() == b"UNSUB 2\r\n", "it may be there all the same"
    link.come(b"PONG\r\n")
    with pytest.raises(TooManySubscriptionsError):
        await task
    assert not fine.is_closed and errors == []
    await nc.close()


async def test_all_who_wait_are_told_and_the_later_refusals_are_theirs() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    plain = nc.subscribe("before")
    tasks = [asyncio.ensure_future(wait_for(nc.subscribe(f"a.{i}"))) for i in range(4)]
    await turns()
    next_window = asyncio.ensure_future(wait_for(nc.subscribe("later")))
    await turns()
    link.come(err(MAX_SUBS) * 3, b"PONG\r\n" * 4)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [TooManySubscriptionsError] * 4
    assert len(set(map(id, results))) == 4, "everybody has an error of their own"
    assert not plain.is_closed, "three refusals, and four have ended"
    assert await is_waiting(next_window)
    link.come(b"PONG\r\n")
    assert not (await next_window).is_closed
    await turns()
    assert len(errors) == 2, "of which nobody else was told"
    await nc.close()


async def test_the_newest_ends_where_nobody_waits() -> None:
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    subs = [nc.subscribe(f"a.{i}") for i in range(5)]
    later = asyncio.ensure_future(nc.flush())
    await turns()
    subs.append(nc.subscribe("after.the.ping"))
    link.come(err(MAX_SUBS) * 2)
    assert [sub.is_closed for sub in subs] == [False, False, False, True, True, False]
    with pytest.raises(TooManySubscriptionsError):
        await subs[4].next()
    await turns()
    assert [type(error) for error in errors] == [TooManySubscriptionsError] * 2
    link.come(b"PONG\r\n")
    await later
    await nc.close()


async def test_a_refused_inbox_fails_the_requests() -> None:
    nc, link = await opened()
    task = asyncio.ensure_future(nc.request("svc"))
    await turns()
    link.come(err(MAX_SUBS))
    with pytest.raises(TooManySubscriptionsError):
        await task
    await nc.close()


async def test_too_many_subscriptions_when_there_are_none_of_ours() -> None:
    nc, link = await opened()
    stream = nc.events()
    link.come(err(MAX_SUBS))
    event = await anext(stream)
    assert isinstance(event, ErrorOccurred) and isinstance(event.error, TooManySubscriptionsError)
    await nc.close()


async def test_a_refused_publish_cannot_be_told_apart_and_is_reported() -> None:
    """Requests go on: whose publish it was, the text does not say."""
    errors: list[Exception] = []
    nc, link = await opened(error_callback=errors.append)
    task = asyncio.ensure_future(nc.request("svc", timeout=60))
    await turns()
    link.come(err('Permissions Violation for Publish to "svc"'))
    assert await is_waiting(task)
    (error,) = errors
    assert isinstance(error, PermissionsViolationError) and (error.operation, error.subject) == ("publish", "svc")
    await nc.close()
    with pytest.raises(ConnectionClosedError):
        await task
