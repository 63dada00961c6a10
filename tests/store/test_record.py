"""Records: written and read, compiled and plain alike, and what is not what was written."""

import random
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.uncompiled import load_uncompiled

import midge
from midge.store import record
from midge.store.record import DAMAGED, GOOD, HEAD, SHORT, TORN, Record, encode, encode_publication, find, length
from midge.wire.publication import Publication

plain_publication, plain = load_uncompiled("midge.wire.publication", "midge.store.record")
calm = settings(deadline=None, max_examples=150)
PARTS = st.tuples(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=300))
SEEDS = st.integers(0, 2**32 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)


def written(module: Any, seed: int, kind: int, sequence: int, time: int, parts: tuple[bytes, bytes, bytes]) -> bytearray:
    buf = bytearray(b"\xff" * (8 + length(sum(map(len, parts)))))
    assert module.encode(buf, 8, seed, kind, 1, sequence, time, *parts) == len(buf)
    return buf


@calm
@given(SEEDS, st.integers(1, 255), st.integers(0, 2**63 - 1), TIMES, PARTS)
def test_what_was_written_is_read(seed: int, kind: int, sequence: int, time: int, parts: tuple[bytes, bytes, bytes]) -> None:
    buf = written(record, seed, kind, sequence, time, parts)
    assert buf == written(plain, seed, kind, sequence, time, parts)
    for one in (Record(), plain.Record()):
        assert one.decode(buf, 8, len(buf), seed) == GOOD
        assert (one.kind, one.flags, one.sequence, one.time, one.start, one.end) == (kind, 1, sequence, time, 8, len(buf))
        assert (one.subject(), one.header(), one.payload()) == parts
        assert one.size() == sum(map(len, parts)) and one.has_header() == bool(parts[1])
        assert one.decode(buf, 8, len(buf), seed ^ 1) == TORN
        assert one.decode(buf, 8, 8 + HEAD - 1, seed) == TORN
        if len(buf) > 8 + HEAD:
            assert one.decode(buf, 8, len(buf) - 1, seed) == SHORT
    for module in (record, plain):
        assert module.find(buf, 0, len(buf), seed) == 8


@calm
@given(SEEDS, PARTS, st.data())
def test_a_changed_byte_is_found(seed: int, parts: tuple[bytes, bytes, bytes], data: st.DataObject) -> None:
    buf = written(record, seed, 1, 5, 6, parts)
    at = data.draw(st.integers(8, len(buf) - 1))
    buf[at] ^= data.draw(st.integers(1, 255))
    for one in (Record(), plain.Record()):
        assert one.decode(buf, 8, len(buf), seed) == (TORN if at < 8 + HEAD else DAMAGED)


@calm
@given(SEEDS, PARTS.filter(lambda parts: parts[0]))
def test_a_publication_is_a_message(seed: int, parts: tuple[bytes, bytes, bytes]) -> None:
    expected = written(record, seed, 1, 5, 6, parts)[8:]
    for module, publications in ((record, Publication), (plain, plain_publication.Publication)):
        buf = bytearray(b"\xff" * len(expected))
        publication = publications.compose(parts[0], b"reply", parts[1], parts[2])
        assert module.encode_publication(buf, 0, seed, 1, 5, 6, publication) == len(buf)
        assert buf == expected


def test_the_check_is_the_one_of_zlib() -> None:
    buf = written(record, 7, 1, 5, 6, (b"a", b"", b"payload"))
    assert int.from_bytes(buf[8:12], "little") == zlib.crc32(buf[12 : 8 + HEAD], 7)
    assert int.from_bytes(buf[12:16], "little") == zlib.crc32(buf[8 + HEAD :])


@calm
@given(st.lists(st.sampled_from([b"\0" * 8, b"\0" * 64, b"junkjunk", b"record"]), max_size=12), SEEDS)
def test_records_are_found_behind_anything(pieces: list[bytes], seed: int) -> None:
    one = bytes(written(record, seed, 4, 0, 0, (b"", b"", b""))[8:])
    buf, places = bytearray(), []
    for piece in pieces:
        if piece == b"record":
            places.append(len(buf))
        buf += one if piece == b"record" else piece
    for start in range(0, len(buf), 8):
        expected = next((place for place in places if place >= start), -1)
        assert find(buf, start, len(buf), seed) == plain.find(buf, start, len(buf), seed) == expected


def test_nothing_is_found_in_zeros() -> None:
    for seed in [0, 1, 0xFFFFFFFF, *(random.Random(1).getrandbits(32) for _ in range(50))]:
        assert find(bytearray(1000), 0, 1000, seed) == -1


@pytest.mark.parametrize("module", [record, plain])
def test_indices_are_checked(module: Any) -> None:
    buf = bytearray(100)
    for call in (
        lambda: module.Record().decode(buf, -1, 50, 0),
        lambda: module.Record().decode(buf, 0, 101, 0),
        lambda: module.find(buf, -8, 100, 0),
        lambda: module.find(buf, 0, 101, 0),
        lambda: module.encode(buf, 0, 0, 1, 0, 1, 1, b"", b"", bytes(65)),
        lambda: module.encode(buf, -8, 0, 1, 0, 1, 1, b"", b"", b""),
    ):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(IndexError):
        encode_publication(buf, 60, 0, 0, 1, 1, Publication.compose(b"a", b"", b"", bytes(20)))
    with pytest.raises(ValueError):
        encode(bytearray(70000), 0, 0, 1, 0, 1, 1, bytes(65536), b"", b"")


def test_compiled_or_not() -> None:
    assert midge.compiled is not (record.__file__ or "").endswith(".py")
