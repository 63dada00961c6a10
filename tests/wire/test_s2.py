"""S2's framing: what nats-server writes is read, and nothing that is damaged or made up does any harm."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.uncompiled import load_uncompiled

from midge.wire import crc32c, s2, s2_block
from midge.wire.crc32c import Crc32c, checksum
from midge.wire.s2 import BEGIN, PIECE, S2Reader, frame
from midge.wire.s2_block import MAX_BLOCK, S2Block

DATA = Path(__file__).parents[1] / "data" / "snapshots"
FILES = sorted(path.name for path in DATA.iterdir())
plain_crc32c, plain_block = load_uncompiled("midge.wire.crc32c", "midge.wire.s2_block")
calm = settings(deadline=None, max_examples=200)


def unpacked(data: bytes, size: int = 1 << 20) -> bytes:
    """Read a stream that comes so many bytes at a time."""
    reader, found = S2Reader(), []
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (piece := reader.step()) is not None:
            assert len(piece) <= PIECE
            found.append(piece)
    assert reader.is_between
    return b"".join(found)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def chunk(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def compressed(block: bytes, data: bytes) -> bytes:
    return BEGIN + chunk(0, checksum(data).to_bytes(4, "little") + block)


def decoded(block: bytes, budget: int, kind: type = S2Block) -> bytes | str:
    try:
        found = kind(bytearray(b"??" + block + b"??"), 2, 2 + len(block))
        for _ in range(found.size + 1):
            if found.work(budget):
                return bytes(found.out)
    except ValueError as error:
        return str(error)
    raise AssertionError("it goes on for ever")


@pytest.mark.parametrize("name", FILES)
def test_what_nats_server_writes_at_every_split(name: str) -> None:
    data = (DATA / name).read_bytes()
    whole = unpacked(data)
    assert len(whole) > 15_000
    assert [unpacked(data, size) == whole for size in (1, 2, 3, 7, 1000)] == [True] * 5


def test_what_is_written_can_be_read() -> None:
    data = bytes(range(256)) * 600
    assert unpacked(BEGIN + frame(Crc32c(), data) + frame(Crc32c(), b"") + frame(Crc32c(), b"x")) == data + b"x"


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"\x00", b""),
        (b"\x05\x10hello", b"hello"),
        (varint(70) + bytes([60 << 2, 69]) + b"x" * 70, b"x" * 70),
        (varint(300) + bytes([61 << 2]) + (299).to_bytes(2, "little") + b"x" * 300, b"x" * 300),
        (b"\x08\x00a" + bytes([1 | 3 << 2, 1]), b"a" * 8),  # a copy that reaches into itself
        (b"\x0b\x04ab" + bytes([2 | 8 << 2, 2, 0]), b"ab" * 5 + b"a"),
        (b"\x0b\x04ab" + bytes([3 | 8 << 2, 2, 0, 0, 0]), b"ab" * 5 + b"a"),
        (b"\x0b\x04ab" + bytes([1, 2, 1 | 1 << 2, 0]), b"ab" * 5 + b"a"),  # the last offset again, five bytes
        (varint(14) + b"\x04ab" + bytes([1, 2, 1 | 5 << 2, 0, 0]), b"ab" * 7),
        (varint(2 + 4 + 260) + b"\x04ab" + bytes([1, 2, 1 | 6 << 2, 0, 0, 0]), b"ab" * 133),
        (varint(2 + 4 + 65540 + 4) + b"\x04ab" + bytes([1, 2, 1 | 7 << 2, 0, 4, 0, 0]), b"ab" * 32775),
    ],
)
def test_the_elements(block: bytes, data: bytes) -> None:
    assert decoded(block, 1 << 20) == data
    assert decoded(block, 3) == data
    assert decoded(block, 3, plain_block.S2Block) == data
    assert unpacked(compressed(block, data)) == data


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\x80",
        b"\xff\xff\xff\xff\xff\x01",
        varint(MAX_BLOCK + 1),
        b"\x05",  # nothing follows
        b"\x05\x10hell",
        b"\x04\x10hello",  # more than it said
        b"\x05\x10hello!",
        b"\x05" + bytes([63 << 2, 255, 255, 255, 255]),
        b"\x08" + bytes([1 | 3 << 2, 1]),  # a copy of nothing
        b"\x08\x00a" + bytes([1 | 3 << 2, 2]),  # from before the beginning
        b"\x08\x00a" + bytes([1 | 3 << 2, 0]),  # the last offset, and there was none
        b"\x08\x00a" + bytes([2, 0, 0]),
        b"\x09\x00a" + bytes([3, 255, 255, 255, 255]),
        b"\x04\x00a" + bytes([1 | 3 << 2, 1]),  # longer than all
        b"\x08\x00a" + bytes([1]),
    ],
)
def test_damaged_blocks(block: bytes) -> None:
    assert isinstance(decoded(block, 100), str)
    assert decoded(block, 100) == decoded(block, 100, plain_block.S2Block)
    with pytest.raises(ValueError, match="s2"):
        unpacked(compressed(block, b""))


@calm
@given(
    st.integers(0, 200).map(varint),
    st.lists(st.binary(max_size=6) | st.sampled_from([b"\x00a", b"\x10hello", b"\x01\x01", b"\x15\x00\x09"])),
)
def test_both_builds_do_the_same_with_anything(head: bytes, elements: list[bytes]) -> None:
    block = head + b"".join(elements)
    assert decoded(block, 7) == decoded(block, 7, plain_block.S2Block) == decoded(block, 1 << 20)


@calm
@given(st.binary(max_size=300), st.integers(0, 300))
def test_both_checksums_are_the_same(data: bytes, cut: int) -> None:
    found = []
    for kind in (crc32c.Crc32c, plain_crc32c.Crc32c):
        crc = kind()
        crc.update(bytearray(data), 0, min(cut, len(data)))
        crc.update(bytearray(data), min(cut, len(data)), len(data))
        found += [crc.take(), crc.take()]
    assert found[:2] == found[2:]
    assert found[0] == checksum(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x05\x00\x00aaaax",  # no beginning
        chunk(255, b"S2sTwX"),
        chunk(255, b"S2sTwO!"),
        BEGIN + chunk(2, b""),
        BEGIN + chunk(0x7F, b"x"),
        BEGIN + chunk(1, b"abc"),  # no room for the checksum
        BEGIN + chunk(1, b"abcd" + b"x"),
        BEGIN + chunk(0, b"abcd" + b"\x05\x10hello"),
        BEGIN + chunk(0, b"abcd" + b"\x00"),
        BEGIN + b"\x01\xff\xff\xff",  # refused before it is waited for
        BEGIN + b"\x00\xff\xff\xff",
    ],
)
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(ValueError, match="s2"):
        unpacked(data)


def test_what_may_be_passed_over() -> None:
    assert unpacked(BEGIN + chunk(0xFE, b"x" * 70_000) + chunk(0x99, b"index") + BEGIN + frame(Crc32c(), b"hello"), 1000) == b"hello"


def test_a_stream_that_is_cut_off_says_so() -> None:
    data = BEGIN + frame(Crc32c(), b"hello")
    for size in range(1, len(data)):
        reader = S2Reader()
        reader.feed(data[:size])
        while reader.step() is not None:
            pass
        assert reader.is_between == (size == len(BEGIN))


def test_the_module_is_what_is_tested() -> None:
    assert s2.S2Block is s2_block.S2Block
