"""nuid: 22 base62 characters, never the same twice, a new prefix before the sequence can run over."""

from itertools import pairwise

import pytest

from midge import nuid
from midge.nuid import ALPHABET, Nuid


def value(text: str) -> int:
    """The number that base62 digits stand for."""
    total = 0
    for character in text:
        total = total * 62 + ALPHABET.index(character)
    return total


def test_the_alphabet() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 62
    assert ALPHABET == "".join(sorted(ALPHABET)) and ALPHABET.isalnum() and ALPHABET.isascii()


def test_form() -> None:
    for _ in range(100):
        text = Nuid().next()
        assert len(text) == 22
        assert set(text) <= set(ALPHABET)


def test_never_the_same_twice() -> None:
    source = Nuid()
    assert len({source.next() for _ in range(100_000)}) == 100_000


def test_two_sources_differ() -> None:
    assert len({Nuid().next()[:12] for _ in range(1000)}) == 1000


def test_the_sequence_climbs_by_a_constant_step() -> None:
    source = Nuid()
    ids = [source.next() for _ in range(1000)]
    assert len({text[:12] for text in ids}) == 1
    (step,) = {value(after[12:]) - value(before[12:]) for before, after in pairwise(ids)}
    assert nuid.MIN_STEP <= step < nuid.MAX_STEP


def test_a_new_prefix_before_the_sequence_runs_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random start is one id below the limit: the second id must not wrap to a number that was."""
    highest = nuid.SEQUENCE_LIMIT - 1 - nuid.MIN_STEP
    starts = iter([highest, 0, 1000, 0])  # start and step of the first prefix, then of the second
    monkeypatch.setattr("midge.nuid.secrets.randbelow", lambda limit: next(starts))
    source = Nuid()
    first, second, third = source.next(), source.next(), source.next()
    assert first[12:] == "z" * 10
    assert second[:12] == third[:12] != first[:12]
    assert (value(second[12:]), value(third[12:])) == (1000, 1000 + nuid.MIN_STEP)


@pytest.mark.parametrize("number, text", [(0, "0000000000"), (61, "000000000z"), (62, "0000000010"), (62**10 - 1, "zzzzzzzzzz")])
def test_base62(number: int, text: str) -> None:
    assert nuid._base62(number, 10) == text
    assert value(text) == number
