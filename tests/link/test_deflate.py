"""Deflated messages: there and back, in pieces of a bounded size, whatever a peer packs into a few bytes."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.errors import RemoteProtocolError
from midge.link.deflate import Inflater, deflate

ZEROS = bytes(1 << 20)


def inflate(inflater: Inflater, parts: list[bytes], size: int = 1000) -> bytes:
    """Feed one message in parts."""
    found = []
    for number, part in enumerate(parts, 1):
        inflater.feed(part, number == len(parts))
        while inflater.has_more:
            found.append(inflater.read(size))
            assert len(found[-1]) <= size
    return b"".join(found)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=3000), max_size=4), st.integers(9, 15), st.integers(1, 4000), st.lists(st.integers(0, 3000), max_size=4))
def test_there_and_back(messages: list[bytes], window_bits: int, size: int, cuts: list[int]) -> None:
    inflater = Inflater(window_bits)
    for message in messages:
        deflated = deflate(message, window_bits)
        edges = sorted({0, len(deflated), *(cut for cut in cuts if cut < len(deflated))})
        parts = [deflated[start:stop] for start, stop in zip(edges, edges[1:])] or [b""]
        assert inflate(inflater, parts, size) == message


def bomb(size: int) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join([*(stream.compress(ZEROS) for _ in range(size >> 20)), stream.flush(zlib.Z_SYNC_FLUSH)[:-4]])


def test_a_bomb_comes_out_in_pieces() -> None:
    inflater = Inflater(15)
    data = bomb(64 << 20)
    assert len(data) < 70_000
    inflater.feed(data, True)
    pieces = 0
    while inflater.has_more:
        assert len(inflater.read(100_000)) <= 100_000
        pieces += 1
    assert pieces >= 670


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x07", deflate(b"abc" * 100, 15)[1:]])
def test_what_is_not_deflated(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="cannot be inflated"):
        inflate(Inflater(15), [data])


def test_a_stream_may_say_where_it_ends() -> None:
    """RFC 7692, 7.2.3.4: a final block, and a zero that makes an empty one of the tail."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = stream.compress(b"Hello") + stream.flush()
    inflater = Inflater(15)
    for parts in ([final], [final + b"\x00"], [final, b"\x00"], [final, b""], [final[:3], final[3:] + b"\x00"]):
        assert inflate(inflater, parts) == b"Hello"


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_nothing_follows_the_end_of_a_stream(parts: int) -> None:
    """What follows is neither kept nor dropped without a word."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = stream.compress(b"Hello") + stream.flush()
    message = {1: [final + b"more"], 2: [final, b"more"], 3: [final, b"more" * 1000, b""]}[parts]
    with pytest.raises(RemoteProtocolError, match="behind its end"):
        inflate(Inflater(15), message)
