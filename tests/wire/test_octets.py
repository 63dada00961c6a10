"""wire.octets exists twice: its two forms get the same hostile input and must give the same answers.

The compiled form is header only, so a probe (``octets_probe.pyx``) is compiled here to reach it; without Cython or a C compiler
that half of the tests is skipped.
"""

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from probes import compiled_probe

from midge.wire import octets

HERE = Path(__file__).parent
PXD = HERE.parents[1] / "src" / "midge" / "wire" / "octets.pxd"
calm = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The probe, compiled from octets.pxd as it is now."""
    return compiled_probe(HERE / "octets_probe.pyx", tmp_path_factory.mktemp("probe"))


DIGITS = [b"0", b"1", b"9", b"123456789", b"1234567890", b"999999999", b"9" * 10, b"9" * 20, b"18446744073709551617", b"000000001"]
NOT_DIGITS = [b"", b"+1", b"-1", b" 1", b"1 ", b"0x1", b"1_0", b"1\x00", b"\x00", b"/", b":", b"\xb2", "\u0661".encode(), b"\xff" * 9]
LINES = st.one_of(
    st.lists(st.sampled_from([b" ", b"\t", b"\r", b"\n", b"\x00", b"\x1f", b"\x7f", b"\xff", b"!", b"a", b"orders.new"])).map(b"".join),
    st.lists(st.binary(min_size=1, max_size=3), max_size=9).map(b" ".join),
    st.binary(max_size=40),
)


@st.composite
def slices(draw: st.DrawFn, lines: st.SearchStrategy[bytes] = LINES) -> tuple[bytearray, int, int]:
    """A buffer and a valid slice of it: the line between some other bytes."""
    before, line, after = draw(st.binary(max_size=5)), draw(lines), draw(st.binary(max_size=5))
    return bytearray(before + line + after), len(before), len(before) + len(line)


@calm
@given(slices(), st.integers(0, 255))
@example((bytearray(b"\n"), 0, 1), 10)
@example((bytearray(b"\n\n"), 2, 1), 10)
@example((bytearray(b"a\x00b"), 0, 3), 0)
@example((bytearray(), 0, 0), 10)
def test_find_byte(compiled: ModuleType, where: tuple[bytearray, int, int], byte: int) -> None:
    buf, start, stop = where
    found = octets.find_byte(buf, byte, start, stop)
    assert found == compiled.find_byte(buf, byte, start, stop)
    assert found == -1 or (start <= found < stop and buf[found] == byte)


@calm
@given(slices())
@example((bytearray(b"abc"), 2, 1))
def test_cut(compiled: ModuleType, where: tuple[bytearray, int, int]) -> None:
    piece = octets.cut(*where)
    assert type(piece) is bytes
    assert piece == compiled.cut(*where)


@calm
@given(slices(), st.binary(max_size=6))
def test_same(compiled: ModuleType, where: tuple[bytearray, int, int], other: bytes) -> None:
    buf, start, stop = where
    for text in (other, octets.cut(*where), octets.cut(*where) + b"x", octets.cut(*where)[:-1], octets.cut(*where).upper()):
        assert octets.same(buf, start, stop, text) is compiled.same(buf, start, stop, text) is (bytes(buf[start:stop]) == text)


@calm
@given(slices(st.sampled_from(DIGITS + NOT_DIGITS) | st.text("0123456789", max_size=25).map(str.encode) | st.binary(max_size=12)))
def test_number(compiled: ModuleType, where: tuple[bytearray, int, int]) -> None:
    value = octets.number(*where)
    assert value == compiled.number(*where)
    text = octets.cut(*where)
    assert value == (int(text) if re.fullmatch(rb"[0-9]{1,9}", text) else -1)


@pytest.mark.parametrize("text", DIGITS + NOT_DIGITS, ids=repr)
def test_number_of(compiled: ModuleType, text: bytes) -> None:
    buf = bytearray(b"7" + text + b"7")
    expected = int(text) if text in DIGITS and len(text) <= 9 else -1
    assert octets.number(buf, 1, 1 + len(text)) == compiled.number(buf, 1, 1 + len(text)) == expected


@calm
@given(slices())
@example((bytearray(b"a b c d e f"), 0, 11))
@example((bytearray(b"a b c d e f g"), 0, 13))
@example((bytearray(b"a b c d e f "), 0, 12))
@example((bytearray(b"a b c d e f g h i j k l"), 0, 23))
@example((bytearray(b" a"), 0, 2))
@example((bytearray(b"a "), 0, 2))
@example((bytearray(b"a  b"), 0, 4))
@example((bytearray(b"a\tb"), 0, 3))
@example((bytearray(b"a b\t"), 0, 3))
@example((bytearray(b""), 0, 0))
@example((bytearray(b"\x00 \x01 \r \n"), 0, 7))
def test_fields(compiled: ModuleType, where: tuple[bytearray, int, int]) -> None:
    ours, theirs = [-7] * 12, [-7] * 12
    count = octets.fields(*where, ours)
    assert count == compiled.fields(*where, theirs)
    if count == -1:
        return
    assert 1 <= count <= octets.MAX_FIELDS
    assert ours[: 2 * count] == theirs[: 2 * count]
    parts = [octets.cut(where[0], ours[2 * i], ours[2 * i + 1]) for i in range(count)]
    assert b" ".join(parts) == octets.cut(*where)
    assert all(part and b"\t" not in part and b" " not in part for part in parts)


@calm
@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=5))
def test_put(compiled: ModuleType, before: bytes, data: bytes, after: bytes) -> None:
    ours, theirs = bytearray(before + bytes(len(data)) + after), bytearray(before + bytes(len(data)) + after)
    assert octets.put(ours, len(before), data) == compiled.put(theirs, len(before), data) == len(before) + len(data)
    assert ours == theirs == before + data + after


@pytest.mark.parametrize(("name", "what"), [("put_blank", b" "), ("put_crlf", b"\r\n")])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_put_constants(compiled: ModuleType, name: str, what: bytes, at: int) -> None:
    wanted = b"....."[:at] + what + b"....."[at + len(what) :]
    for module in (octets, compiled):
        buf = bytearray(b".....")
        assert getattr(module, name)(buf, at) == at + len(what)
        assert buf == wanted


@calm
@given(st.binary(max_size=30), slices(st.binary(max_size=30)), st.binary(max_size=5))
def test_put_slice(compiled: ModuleType, before: bytes, where: tuple[bytearray, int, int], after: bytes) -> None:
    buf, start, stop = where
    ours, theirs = bytearray(before + bytes(stop - start) + after), bytearray(before + bytes(stop - start) + after)
    assert octets.put_slice(ours, len(before), buf, start, stop) == compiled.put_slice(theirs, len(before), buf, start, stop)
    assert ours == theirs == before + bytes(buf[start:stop]) + after


@calm
@given(st.binary(max_size=30), slices(st.binary(max_size=30)), st.binary(max_size=20), st.binary(max_size=30), st.binary(max_size=5))
def test_put_subscribed(
    compiled: ModuleType, before: bytes, where: tuple[bytearray, int, int], sid: bytes, tail: bytes, after: bytes
) -> None:
    buf, start, stop = where
    end = len(buf)
    expected = b"MSG " + buf[start:stop] + b" " + sid + b" " + tail
    buf += tail + after
    for function in (octets.put_subscribed, compiled.put_subscribed):
        out = bytearray(before + bytes(len(expected)) + after)
        assert function(out, len(before), buf, start, stop, sid, end, end + len(tail)) == len(before) + len(expected)
        assert out == before + expected + after


@calm
@given(st.binary(max_size=30), slices(st.binary(max_size=40)), st.binary(max_size=5), st.binary(min_size=4, max_size=4))
def test_put_masked(compiled: ModuleType, before: bytes, where: tuple[bytearray, int, int], after: bytes, key: bytes) -> None:
    buf, start, stop = where
    expected = bytes(byte ^ key[i % 4] for i, byte in enumerate(buf[start:stop]))
    for function in (octets.put_masked, compiled.put_masked):
        out = bytearray(before + bytes(stop - start) + after)
        assert function(out, len(before), buf, start, stop, key) == len(before) + len(expected)
        assert out == before + expected + after


@calm
@given(st.binary(max_size=60), st.integers(0, 20), st.binary(min_size=4, max_size=4))
def test_put_masked_towards_the_front_of_the_same_buffer(compiled: ModuleType, data: bytes, gap: int, key: bytes) -> None:
    expected = bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    for function in (octets.put_masked, compiled.put_masked):
        buf = bytearray(bytes(gap) + data)
        assert function(buf, 0, buf, gap, len(buf), key) == len(data)
        assert buf[: len(data)] == expected


@calm
@given(st.integers(0, 10**18) | st.integers(0, 18).map(lambda power: 10**power) | st.integers(0, 18).map(lambda power: 10**power - 1))
def test_put_number(compiled: ModuleType, value: int) -> None:
    ours, theirs = bytearray(b"." * 25), bytearray(b"." * 25)
    assert octets.put_number(ours, 2, value) == compiled.put_number(theirs, 2, value) == 2 + len(str(value))
    assert ours == theirs == b".." + str(value).encode() + b"." * (23 - len(str(value)))


# The text of the two files


def declared() -> dict[str, int]:
    """The constants of octets.pxd."""
    block = re.search(r"^cdef enum:\n((?:    .*\n)+)", PXD.read_text(), re.MULTILINE)
    assert block is not None
    return {name: int(value) for name, value in re.findall(r"^    ([A-Z_]+) = (\d+)$", block[1], re.MULTILINE)}


def test_the_constants_are_the_same() -> None:
    constants = {name: value for name, value in vars(octets).items() if isinstance(value, int) and name.isupper()}
    assert declared() == constants
    codes = [value for name, value in constants.items() if name != "MAX_FIELDS"]
    assert sorted(codes) == list(range(len(codes)))


def test_the_functions_are_the_same() -> None:
    found = re.findall(r"^cdef inline [\w ]+? (\w+)\((.*?)\)", PXD.read_text(), re.MULTILINE | re.DOTALL)
    theirs = {name: [re.split(r"[ *]+", argument)[-1] for argument in re.split(r",\s+", arguments)] for name, arguments in found}
    ours = {name: list(inspect.signature(function).parameters) for name, function in inspect.getmembers(octets, inspect.isfunction)}
    assert ours == theirs


def test_the_pair_stays_tiny() -> None:
    for path in (PXD, PXD.with_suffix(".py")):
        code = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith(("#", '"""'))]
        assert len(code) <= 130, path
