"""server.config.durations against Go's time.ParseDuration and Duration.String."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.durations import parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("0", 0, "0s"), ("1s", 1, "1s"), ("-1.5s", -1.5, "-1.5s"), ("+5m", 300, "5m0s"), ("1h30m", 5400, "1h30m0s"), (".5s", 0.5, "500ms"),
        ("5.s", 5, "5s"), ("1h2m3.5s", 3723.5, "1h2m3.5s"), ("250ms", 0.25, "250ms"), ("3us", 3e-6, "3µs"), ("3µs", 3e-6, "3µs"),
        ("3ns", 3e-9, "3ns"), ("1.5ms", 0.0015, "1.5ms"), ("36h", 129600, "36h0m0s"), ("0s", 0, "0s"),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float, shown: str) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'), ("5", 'time: missing unit in duration "5"'), ("x", 'time: invalid duration "x"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'), (".s", 'time: invalid duration ".s"'), ("-", 'time: invalid duration "-"'),
        ("1s 2s", 'time: unknown unit "s " in duration "1s 2s"'), ("99999999999h", 'time: invalid duration "99999999999h"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'), ("--1s", 'time: invalid duration "--1s"'),
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@given(st.integers(0, 10**15))
def test_what_is_shown_is_read_again(micros: int) -> None:
    assert parse_duration(show_duration(micros / 1e6)) == pytest.approx(micros / 1e6)


@given(st.text("0123456789.smhnuµ-+", max_size=8))
def test_it_is_read_or_refused(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError as error:
        assert str(error).startswith("time: ")
