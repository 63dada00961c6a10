"""Which header blocks ask for tracing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.server.trace_headers import asks, is_only, read_headers
from midge.wire.publication import Publication

FIRST = b"NATS/1.0\r\n"


def block(*lines: bytes) -> bytes:
    return FIRST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def looks_as_if(header: bytes) -> bool:
    """What the message path asks of a message with these headers, and a payload that looks like one that asks."""
    return asks(Publication.compose(b"a", b"", header, b"\nNats-Trace-Dest:x\r\ntraceparent:a-b-c-01"))


@pytest.mark.parametrize(
    "lines",
    [
        (b"Nats-Trace-Dest:a",), (b"Nats-Trace-Dest: a",), (b"a:b", b"Nats-Trace-Dest:a", b"c:d"), (b"traceparent: a-b-c-01",),
        (b"TRACEPARENT:a-b-c-01",), (b"TraceParent:\ta-b-c-ff", b"traceParent:a-b-c-7f"), (b"N:1", b"T:2", b"t:3", b"Nats-Trace-Dest:a"),
    ],
)  # fmt: skip
def test_asks(lines: tuple[bytes, ...]) -> None:
    assert looks_as_if(block(*lines))
    assert read_headers(block(*lines)) is not None


@pytest.mark.parametrize(
    "header",
    [
        b"", FIRST, block(), block(b"a:b"), block(b"nats-trace-dest:a"), block(b"Nats-Trace-Dest :a"), block(b" Nats-Trace-Dest:a"),
        block(b"traceparents:a-b-c-01"), block(b"xtraceparent:a-b-c-01"), block(b"N:", b"t", b"tr", b"T"), FIRST + b"Nats-Trace-Dest",
        FIRST + b"traceparent", FIRST + b"traceparen:a-b-c-01", FIRST + b"traceparent:", b"NATS/", b"Nats-Trace-Dest:a\r\n",
        b"traceparent:a-b-c-01\r\n\r\n",
    ],
)  # fmt: skip
def test_does_not_ask(header: bytes) -> None:
    assert not looks_as_if(header)
    assert read_headers(header) is None


@pytest.mark.parametrize(
    "header",
    [
        block(b"Nats-Trace-Dest:"), block(b"Nats-Trace-Dest:trace disabled"), block(b"traceparent:a-b-c-00"),
        block(b"traceparent:a-b-c-01", b"Nats-Trace-Dest: trace disabled "), b"NATS/1.0 503\r\nNats-Trace-Dest:a\r\n\r\n",
        FIRST + b"\r\nNats-Trace-Dest:a\r\n\r\n", FIRST + b"Nats-Trace-Dest:a", block(b"no colon", b"Nats-Trace-Dest:a"),
    ],
)  # fmt: skip
def test_looks_as_if_and_does_not(header: bytes) -> None:
    assert looks_as_if(header)
    assert read_headers(header) is None


@given(st.lists(st.sampled_from([b"Nats-Trace-Dest", b"traceparent", b":", b"\r\n", b"\n", b" ", b"a-b-c-01", b"x", FIRST]), max_size=12))
def test_nothing_that_asks_is_overlooked(parts: list[bytes]) -> None:
    header = FIRST + b"".join(parts)
    assert looks_as_if(header) or read_headers(header) is None


def test_what_it_says() -> None:
    found = read_headers(
        block(b"b:1", b"Nats-Trace-Dest:\t x.y ", b"B: 2", b"b:3", b"Nats-Trace-Only: ON", b"Accept-Encoding:gzip", b"e:", b":f")
    )
    assert found is not None
    assert (found.dest, found.only, found.is_external, found.origin, found.encoding) == (b"x.y", True, False, b"", b"gzip")
    assert found.headers == {
        b"b": [b"1", b"3"], b"Nats-Trace-Dest": [b"x.y"], b"B": [b"2"], b"Nats-Trace-Only": [b"ON"], b"Accept-Encoding": [b"gzip"],
    }  # fmt: skip
    found = read_headers(block(b"traceparent:a-b-c-01", b"Nats-Trace-Only:1", b"Nats-Trace-Origin-Account:A"))
    assert found is not None
    assert (found.dest, found.only, found.is_external, found.origin) == (b"", False, True, b"A")
    found = read_headers(block(b"Nats-Trace-Dest:a", b"Nats-Trace-Dest:trace disabled", b"Nats-Trace-Only:yes", b"Nats-Trace-Only:1"))
    assert found is not None and (found.dest, found.only) == (b"a", False)


def test_a_block_that_is_not_read() -> None:
    assert is_only(block(b"a:b", b"Nats-Trace-Only: TRUE ", b"c:d")) and is_only(block(b"Nats-Trace-Only:1"))
    assert not any(
        is_only(block(line)) for line in (b"nats-trace-only:1", b"Nats-Trace-Only:11", b"Nats-Trace-Only:0", b"Nats-Trace-Only:")
    )
