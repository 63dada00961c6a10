"""When a cron pattern fits: compared with looking at every second, or every minute of some years."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.engine.cron import next_time

SECOND = 1_000_000_000
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def after(pattern: str, text: str, zone: ZoneInfo | None = None) -> str:
    time = int(datetime.fromisoformat(text).timestamp()) * SECOND
    found = next_time(pattern, zone or UTC, time)
    assert found % SECOND == 0
    return datetime.fromtimestamp(found // SECOND, zone or UTC).isoformat()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("* * * * * *", "2026-01-31T23:59:59+00:00"),
        ("0 * * * * *", "2026-02-01T00:00:00+00:00"),
        ("*/20 59 23 * * *", "2026-02-01T23:59:00+00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
        ("0 0 0 31 * ?", "2026-03-31T00:00:00+00:00"),
        ("0 0 12 * * mon", "2026-02-02T12:00:00+00:00"),
        ("0 0 12 13 * fri", "2026-02-06T12:00:00+00:00"),  # one of the two is enough
        ("0 0 12 */2 * fri", "2026-02-01T12:00:00+00:00"),  # a step is no "any"
        ("0 0 12 */1 * fri", "2026-02-06T12:00:00+00:00"),
        ("5-7/2 0 0 1 1 *", "2027-01-01T00:00:05+00:00"),
        ("30/10 0 0 1 1 *", "2027-01-01T00:00:30+00:00"),
    ],
)
def test_the_next_time(pattern: str, expected: str) -> None:
    assert after(pattern, "2026-01-31T23:59:58+00:00") == expected


@pytest.mark.parametrize(
    "pattern",
    ["", "* * * * *", "60 * * * * *", "* * * 0 * *", "* * * * 13 *", "* * * * * 7", "* * * 30 2 *", ", * * * * *", "1-0 * * * * *",
     "*/0 * * * * *", "1/2/3 * * * * *", "1-2-3 * * * * *", "x * * * * *", "-1 * * * * *", "1_0 * * * * *", "* * * * janu *"],
)  # fmt: skip
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="."):
        next_time(pattern, UTC, 0)


def test_the_end_of_all_times() -> None:
    with pytest.raises(ValueError, match="never"):
        next_time("0 0 0 29 2 *", UTC, int(datetime(9998, 1, 1, tzinfo=UTC).timestamp()) * SECOND)
    with pytest.raises(ValueError, match="."):
        next_time("* * * * * *", UTC, 1 << 62 << 10)


def test_clocks_are_put_forward_and_back() -> None:
    assert after("0 30 2 * * *", "2026-03-28T03:00:00+01:00", AMSTERDAM) == "2026-03-30T02:30:00+02:00"
    assert after("0 30 2 * * *", "2026-10-25T02:00:00+02:00", AMSTERDAM) == "2026-10-25T02:30:00+02:00"
    assert after("0 30 2 * * *", "2026-10-25T02:30:00+02:00", AMSTERDAM) == "2026-10-25T02:30:00+01:00"
    assert after("0 30 2 * * *", "2026-10-25T02:30:00+01:00", AMSTERDAM) == "2026-10-26T02:30:00+01:00"


def test_a_zone_whose_day_begins_at_one() -> None:
    beirut = ZoneInfo("Asia/Beirut")  # 2026-03-29 has no midnight
    assert after("0 0 0 * * *", "2026-03-28T12:00:00+02:00", beirut) == "2026-03-30T00:00:00+03:00"
    assert after("0 0 * * * *", "2026-03-28T23:30:00+02:00", beirut) == "2026-03-29T01:00:00+03:00"


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int] | None]:
    """A field and its numbers; None for any."""
    kind = draw(st.sampled_from("*nrs"))
    first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    step = draw(st.integers(2, 9))
    if kind == "*":
        return "*", None
    if kind == "n":
        return f"{first},{last}", {first, last}
    if kind == "r":
        return f"{first}-{last}", set(range(first, last + 1))
    return f"{first}-{last}/{step}", set(range(first, last + 1, step))


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 6)),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_it_is_what_looking_at_every_minute_finds(these: tuple[tuple[str, set[int] | None], ...], start: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    (minutes, hours, days, months, weekdays) = (numbers for _, numbers in these)

    def fits(at: datetime) -> bool:
        in_month, in_week = days is None or at.day in days, weekdays is None or at.isoweekday() % 7 in weekdays
        is_day = in_month and in_week if days is None or weekdays is None else in_month or in_week
        return is_day and all(each is None or value in each for each, value in ((minutes, at.minute), (hours, at.hour), (months, at.month)))

    begin = start.replace(microsecond=0, tzinfo=UTC)
    pattern = " ".join(["0", *(text for text, _ in these)])
    try:
        found = datetime.fromtimestamp(next_time(pattern, zone, int(begin.timestamp()) * SECOND) // SECOND, UTC)
    except ValueError:
        found = begin + timedelta(days=6 * 366)
    else:
        assert found > begin and fits(found.astimezone(zone)) and found.second == 0
    at = begin.replace(second=0) + timedelta(minutes=1)
    for _ in range(1_000):  # minute by minute
        if at >= found:
            break
        assert not fits(at.astimezone(zone))
        at += timedelta(minutes=1)
