"""store.cells exists twice: its two forms get the same and must give the same answers."""

from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from probes import compiled_probe

from midge.store import cells
from midge.subject import has_wildcard, is_valid, matches

calm = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
TOKENS = st.sampled_from(["a", "b", "ab", "*", ">", "", "a*", ">a"])
PATTERNS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)
BITS = st.lists(st.integers(0, 511), max_size=6)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The probe, compiled from cells.pxd as it is now."""
    return compiled_probe(Path(__file__).with_name("cells_probe.pyx"), tmp_path_factory.mktemp("probe"))


def test_the_probe_has_all(compiled: ModuleType) -> None:
    assert set(cells.__all__) <= set(dir(compiled))


@calm
@given(st.integers(0, (1 << 32) - 1), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 7))
def test_numbers(compiled: ModuleType, small: int, large: int, at: int) -> None:
    for one, other in ((cells, compiled), (compiled, cells)):
        buf = bytearray(b"." * 20)
        one.put32(buf, at, small)
        assert other.get32(buf, at) == one.get32(buf, at) == small
        one.put64(buf, at + 4, large)
        assert other.get64(buf, at + 4) == one.get64(buf, at + 4) == large
        assert buf[:at] == b"." * at and buf[at + 12 :] == b"." * (8 - at)


@calm
@given(st.binary(min_size=20, max_size=20), st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
def test_bytes_move(compiled: ModuleType, data: bytes, to: int, start: int, size: int) -> None:
    moved, copied = [], []
    for one in (cells, compiled):
        buf, out = bytearray(data), bytearray(20)
        one.shift(buf, to, start, size)
        one.copy(out, to, bytearray(data), start, size)
        moved.append(buf)
        copied.append(out)
        assert one.same_as(out, to, bytearray(data), start, size) and buf[to : to + size] == data[start : start + size]
    assert moved[0] == moved[1] and copied[0] == copied[1] and len(moved[0]) == len(copied[0]) == 20
    assert cells.same_as(bytearray(data), to, bytearray(data), start, size) == compiled.same_as(
        bytearray(data), to, bytearray(data), start, size
    )


@calm
@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=12).map(sorted), st.integers(-5, 1 << 40), st.data())
def test_finding(compiled: ModuleType, numbers: list[int], value: int, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([value, *numbers, *(number + 1 for number in numbers)]))
    small, large = bytearray(8 + 4 * len(numbers)), bytearray(8 + 16 * len(numbers))
    for at, number in enumerate(numbers):
        cells.put32(small, 8 + 4 * at, number)
        cells.put64(large, 8 + 16 * at, number)
    expected = sum(number < value for number in numbers)
    for one in (cells, compiled):
        assert one.find32(small, 8, len(numbers), value) == one.find64(large, 8, 16, len(numbers), value) == expected


@calm
@given(BITS, BITS, st.integers(0, 600), st.integers(0, 64).map(lambda size: size * 8))
def test_bits(compiled: ModuleType, these: list[int], gone: list[int], start: int, stop: int) -> None:
    expected = set(these) - set(gone)
    for one in (cells, compiled):
        bits = bytearray(64)
        for bit in these:
            one.set_bit(bits, bit)
        for bit in gone:
            one.clear_bit(bits, bit)
        assert {bit for bit in range(512) if one.has_bit(bits, bit)} == expected
        assert one.next_bit(bits, start, stop) == min((bit for bit in expected if start <= bit < stop), default=-1)


@calm
@given(st.binary(max_size=30), st.integers(0, 3))
def test_hashes(compiled: ModuleType, data: bytes, start: int) -> None:
    buf = bytearray(b"..." + data + b"...")
    found = cells.hash_of(buf, start, start + len(data))
    assert found == compiled.hash_of(buf, start, start + len(data)) and 0 <= found < 1 << 32


@calm
@given(PATTERNS, PATTERNS)
def test_patterns(compiled: ModuleType, pattern: str, subject: str) -> None:
    buf = bytearray(f"x{subject}y".encode())
    found = cells.covers(pattern.encode(), buf, 1, len(buf) - 1)
    assert found == compiled.covers(pattern.encode(), buf, 1, len(buf) - 1)
    assert cells.is_wild(pattern.encode()) == compiled.is_wild(pattern.encode())
    if is_valid(pattern):
        assert found == matches(pattern, subject) and cells.is_wild(pattern.encode()) == has_wildcard(pattern)
