"""server.client_info: JSON as Go writes it, and headers that are put into a block."""

import time

import pytest

from midge.server.client_info import go_json, nanoseconds, timestamp, with_header


@pytest.mark.parametrize("header, expected", [
    (b"", b"NATS/1.0\r\nX: v\r\n\r\n"),
    (b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nX: v\r\n\r\n"),
    (b"NATS/1.0\r\nA: b\r\n\r\n", b"NATS/1.0\r\nA: b\r\nX: v\r\n\r\n"),
    (b"NATS/1.0\r\nX: 1\r\nA: b\r\nX:2\r\n\r\n", b"NATS/1.0\r\nA: b\r\nX: v\r\n\r\n"),
    (b"NATS/1.0\r\nX: 1\r\n\r\n", b"NATS/1.0\r\nX: v\r\n\r\n"),
    (b"NATS/1.0 503 no\r\n\r\n", b"NATS/1.0 503 no\r\nX: v\r\n\r\n"),
    (b"NATS/1.0\r\nx: 1\r\nXX: 2\r\n\r\n", b"NATS/1.0\r\nx: 1\r\nXX: 2\r\nX: v\r\n\r\n"),
])  # fmt: skip
def test_a_header_takes_the_place_of_all_of_its_name(header: bytes, expected: bytes) -> None:
    assert with_header(header, b"X", b"v") == expected


def test_a_header_that_is_there_fifty_thousand_times_is_taken_out_in_no_time() -> None:
    header = b"NATS/1.0\r\nA: b\r\n" + b"X:\r\n" * 200_000 + b"\r\n"
    start = time.perf_counter()
    assert with_header(header, b"X", b"v") == b"NATS/1.0\r\nA: b\r\nX: v\r\n\r\n"
    assert time.perf_counter() - start < 1.0


def test_json_as_go_writes_it() -> None:
    assert go_json({"a": "<&>\u2028ü", "b": [1]}) == '{"a":"\\u003c\\u0026\\u003e\\u2028ü","b":[1]}'.encode()
    assert go_json("\udcff") == b'"\xef\xbf\xbd"'


def test_times() -> None:
    assert timestamp(0.0) == "1970-01-01T00:00:00Z" and timestamp(1.25) == "1970-01-01T00:00:01.25Z"
    assert [nanoseconds(value) for value in (None, -1.0, 0.5)] == [0, 0, 500_000_000]
