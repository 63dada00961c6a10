"""When a consumer that nobody uses is deleted."""

import pytest

from midge.engine.consumers.inactivity import DEFAULT, Inactivity, patience

SECOND = 1_000_000_000
MS = 1_000_000
START = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("threshold", "is_durable", "is_push", "dice", "expected"),
    [
        (0, True, False, 0, 0),
        (0, True, True, 0, 0),
        (2 * SECOND, True, True, 500, 2 * SECOND),
        (2 * SECOND, True, False, 0, 2 * SECOND + 100 * MS),
        (2 * SECOND, False, False, 899, 2 * SECOND + 999 * MS),
        (2 * SECOND, False, True, 500, 2 * SECOND),
        (0, False, True, 0, DEFAULT + 100 * MS),
        (0, False, False, 899, DEFAULT + 999 * MS),
    ],
)
def test_patience(threshold: int, is_durable: bool, is_push: bool, dice: int, expected: int) -> None:
    assert patience(threshold, is_durable, is_push, lambda _: dice) == expected


def test_it_is_over_when_it_was_not_used_for_so_long() -> None:
    inactivity = Inactivity(SECOND, START)
    assert inactivity.due == START + SECOND
    assert not inactivity.is_over(START + SECOND - 1, 0)
    assert inactivity.is_over(START + SECOND, 0)


def test_use_puts_it_off() -> None:
    inactivity = Inactivity(SECOND, START)
    inactivity.used = START + 900 * MS
    assert not inactivity.is_over(START + SECOND, 0)
    assert inactivity.due == START + 1_900 * MS


def test_somebody_may_be_working_on_a_message() -> None:
    inactivity = Inactivity(SECOND, START)
    assert not inactivity.is_over(START + SECOND, START + 30 * SECOND)
    assert inactivity.due == START + 31 * SECOND
    inactivity.used = START + 2 * SECOND  # it was acknowledged
    assert inactivity.due == START + 3 * SECOND
    assert inactivity.is_over(START + 3 * SECOND, 0)


def test_a_consumer_without_patience_or_with_interest_stays() -> None:
    assert Inactivity(0, START).due is None
    assert not Inactivity(0, START).is_over(START + 3600 * SECOND, 0)
    inactivity = Inactivity(SECOND, START)
    inactivity.is_held = True
    assert inactivity.due is None
    assert not inactivity.is_over(START + 3600 * SECOND, 0)
    inactivity.release(START + 5 * SECOND)
    assert inactivity.due == START + 6 * SECOND
