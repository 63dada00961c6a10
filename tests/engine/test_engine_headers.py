"""engine.headers: what is read in a header block, and how it is changed."""

import pytest

from midge.engine.headers import add, nats_values, remove, strip_status, value_of

BLOCK = b"NATS/1.0\r\nA: 1\r\nNats-Msg-Id:  7 \r\nnats-msg-id: 8\r\nNats-Msg-Id: 9\r\nX-Nats-TTL: 5\r\nNats-Rollup:\r\n\r\n"


def test_values() -> None:
    assert value_of(BLOCK, b"Nats-Msg-Id") == b"7 "
    assert value_of(BLOCK, b"Nats-Msg") == b""
    assert value_of(BLOCK, b"Nats-Rollup") == b""
    assert value_of(b"", b"A") == b""


def test_nats_values_are_the_first_ones_and_none_is_empty() -> None:
    assert nats_values(BLOCK) == {b"Nats-Msg-Id": b"7 "}
    assert nats_values(b"NATS/1.0\r\nA: 1\r\n\r\n") == {}
    assert nats_values(b"NATS/1.0\r\nNats-A: 1\r\nNats-B\r\nNats-C: 2") == {b"Nats-A": b"1", b"Nats-C": b"2"}


@pytest.mark.parametrize(
    ("block", "name", "rest"),
    [
        (b"NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n", b"A", b"NATS/1.0\r\nB: 2\r\n\r\n"),
        (b"NATS/1.0\r\nA: 1\r\n\r\n", b"A", b""),
        (b"NATS/1.0\r\nA: 1\r\n\r\n", b"B", b"NATS/1.0\r\nA: 1\r\n\r\n"),
        (b"", b"B", b""),
    ],
)
def test_remove(block: bytes, name: bytes, rest: bytes) -> None:
    assert remove(block, name) == rest


def test_add() -> None:
    assert add(b"", b"A", b"1") == b"NATS/1.0\r\nA: 1\r\n\r\n"
    assert add(b"NATS/1.0\r\nA: 1\r\n\r\n", b"B", b"2") == b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("block", "stripped"),
    [
        (b"NATS/1.0 503\r\n\r\n", b""), (b"NATS/1.0 100 Idle\r\nA: 1\r\n\r\n", b"NATS/1.0\r\nA: 1\r\n\r\n"),
        (b"NATS/1.0\r\nA: 1\r\n\r\n", b"NATS/1.0\r\nA: 1\r\n\r\n"), (b"junk\r\n", b"junk\r\n"), (b"", b""), (b"NATS/1.0", b"NATS/1.0"),
    ],
)  # fmt: skip
def test_strip_status(block: bytes, stripped: bytes) -> None:
    assert strip_status(block) == stripped
