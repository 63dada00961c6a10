"""Go's ways to write, beside what Go itself writes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.server import gotext
from midge.server.gotext import duration, json_plain, parse_bool, parse_int, parse_uint, timestamp, uptime, wall_time
from midge.server.pieces import BATCH, PAUSE, Rows, pieces


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (999, "999ns"), (1_000, "1µs"), (669_000, "669µs"), (1_500, "1.5µs"), (69_194_254, "69.194254ms"),
        (1_000_000_000, "1s"), (2_500_000_000, "2.5s"), (60_000_000_000, "1m0s"), (123_004_000_000, "2m3.004s"),
    ],
)  # fmt: skip
def test_a_duration(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "0s"), (-1, "0s"), (59.9, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (86399, "23h59m59s"), (86400, "1d0h0m0s"),
        (365 * 86400, "1y0d0h0m0s"), (366 * 86400 + 3723, "1y1d1h2m3s"),
    ],
)  # fmt: skip
def test_an_uptime(seconds: float, text: str) -> None:
    assert uptime(seconds) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"), (1_790_000_000_042_699_218, "2026-09-21T14:13:20.042699218Z"), (500_000_000, "1970-01-01T00:00:00.5Z"),
    ],
)  # fmt: skip
def test_a_time(nanoseconds: int, text: str) -> None:
    assert timestamp(nanoseconds) == text


def test_a_time_in_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    try:
        for zone, text in (("XXX-9", "1970-01-01T09:00:00.5+09:00"), ("UTC0", "1970-01-01T00:00:00.5Z")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert wall_time(500_000_000) == text
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true(text: str) -> None:
    assert parse_bool(text)


@pytest.mark.parametrize(
    ("parse", "text", "error"),
    [
        (parse_bool, "2", 'strconv.ParseBool: parsing "2": invalid syntax'),
        (parse_bool, 'a"\x00', 'strconv.ParseBool: parsing "a\\"\\x00": invalid syntax'),
        (parse_int, "x", 'strconv.Atoi: parsing "x": invalid syntax'),
        (parse_int, "", 'strconv.Atoi: parsing "": invalid syntax'),
        (parse_int, "1_0", 'strconv.Atoi: parsing "1_0": invalid syntax'),
        (parse_int, "٣", 'strconv.Atoi: parsing "٣": invalid syntax'),
        (parse_int, "9223372036854775808", 'strconv.Atoi: parsing "9223372036854775808": value out of range'),
        (parse_uint, "-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        (parse_uint, "18446744073709551616", 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
    ],
)
def test_what_is_no_value(parse: object, text: str, error: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse(text)  # type: ignore[operator]
    assert str(raised.value) == error


def test_numbers() -> None:
    assert (parse_int("-9223372036854775808"), parse_int("+7"), parse_int("007")) == (-(1 << 63), 7, 7)
    assert parse_uint("18446744073709551615") == (1 << 64) - 1
    with pytest.raises(ValueError, match="out of range"):
        parse_int("1" * 100_000)


def test_what_a_browser_might_take_for_markup_is_escaped() -> None:
    assert json_plain({"a": "<b>&\u2028é"}) == '{"a":"\\u003cb\\u003e\\u0026\\u2028é"}'.encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab<", min_size=1), inner, max_size=3),
    max_leaves=8,
)


def without_rows(value: object) -> object:
    if isinstance(value, Rows):
        return [without_rows(item) for item in value.items if item is not PAUSE]
    return {name: without_rows(item) for name, item in value.items()} if isinstance(value, dict) else value


def like_go(value: object) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False).encode()
    return gotext.escaped(text.replace(b"\\u007f", b"\x7f"))


@given(st.dictionaries(st.text(alphabet="xyz", min_size=1), VALUES, min_size=1), st.lists(VALUES, max_size=150), st.booleans())
def test_pieces_are_the_same_text_as_all_at_once(head: dict[str, object], items: list[object], nested: bool) -> None:
    rows = [{"n": 1, "list": Rows([1, PAUSE, item]), "end": item} if nested else item for item in items]
    value = head | {"rows": Rows([*rows[:2], PAUSE, *rows[2:]]), "none": Rows([]), "after": 1}
    found = list(pieces(value))
    assert b"".join(found) == like_go(without_rows(value))
    assert len(found) > len(items) // BATCH
