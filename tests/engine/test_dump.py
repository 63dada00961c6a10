"""A consumer's progress as bytes, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.engine.consumers.dump import dump, load
from midge.engine.consumers.ledger import Ledger

MILLISECOND = 1_000_000
START = 1_800_000_000_000 * MILLISECOND


def seen(ledger: Ledger) -> object:
    numbers = (ledger.next, ledger.last, ledger.delivered, ledger.told_floor, ledger.told_stream_floor, ledger.pending, ledger.redelivered)
    entries = [(sequence, entry[:3]) for sequence in ledger.sequences() if (entry := ledger.entry(sequence)) is not None]
    return numbers, entries, dict(ledger.exceeded)


STEPS = st.lists(
    st.tuples(st.sampled_from(["deliver", "skip", "ack", "all", "again", "give up", "late"]), st.integers(1, 400)), max_size=60
)


@given(st.integers(1, 1 << 50), STEPS)
def test_all_of_it_comes_back(start: int, steps: list[tuple[str, int]]) -> None:
    ledger = Ledger()
    ledger.start(start)
    wall = START
    for what, number in steps:
        pending = ledger.sequences()
        chosen = pending[number % len(pending)] if pending else 0
        wall += number * MILLISECOND
        if what == "deliver":
            ledger.deliver(ledger.next, wall)
        elif what == "skip":
            ledger.deliver(ledger.next + number, wall)
        elif chosen and what == "ack":
            ledger.ack(chosen)
        elif chosen and what == "all":
            ledger.ack_all(chosen, ledger.entry(chosen)[0])
        elif chosen and what == "again":
            ledger.deliver_again(chosen, wall)
        elif chosen and what == "give up":
            ledger.give_up(chosen)
        elif chosen:
            ledger.postpone(chosen, wall - 30_000 * MILLISECOND)
    again = Ledger()
    again.start(7)
    load(again, dump(ledger, wall), wall)
    assert seen(again) == seen(ledger)
    assert (again.floor, again.stream_floor) == (ledger.told_floor, ledger.told_stream_floor)
    assert dump(again, wall) == dump(ledger, wall)


def test_it_is_small() -> None:
    ledger = Ledger()
    assert len(dump(ledger, START)) < 16
    for sequence in range(1, 1_001):
        ledger.deliver(sequence, START + sequence * MILLISECOND)
    assert len(dump(ledger, START)) < 5_000


@pytest.mark.parametrize(
    "data", [b"", b"\x02\x01\x00\x00\x00\x00\x00\x00", b"\x01\x01\x00\x00\x00\x00\x01\x00", b"\xff" * 40, b"\x01", b"\x03", b"\x03\x00\x01"]
)
def test_what_is_no_progress_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="how far a consumer has come"):
        load(Ledger(), data, START)


def test_one_without_a_moment_is_read() -> None:
    """As it was written at first."""
    ledger = Ledger()
    load(ledger, b"\x01\x06\x05\x02\x01\x01\x01\x00\x05\x02\x80\x01\x03", START)
    assert seen(ledger) == ((6, 5, 2, 1, 1, 1, 1), [(5, (2, 64 * MILLISECOND, 3))], {})


@pytest.mark.parametrize("step", [-86_400_000, 0, 86_400_000])
def test_a_clock_that_was_set_back_takes_what_waits_with_it(step: int) -> None:
    ledger, again = Ledger(), Ledger()
    ledger.deliver(1, START - 5 * MILLISECOND)
    load(again, dump(ledger, START), START + step * MILLISECOND)
    assert again.entry(1)[1] == START + (min(step, 0) - 5) * MILLISECOND  # type: ignore[index]
