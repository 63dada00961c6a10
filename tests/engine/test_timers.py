"""engine.timers: what is due is called, in order, and what is cancelled is not kept for ever."""

from hypothesis import given
from hypothesis import strategies as st

from midge.engine.timers import Timers


def test_calls_come_in_order_and_get_the_time() -> None:
    timers, made = Timers(), []
    for when in (30, 10, 20, 10):
        timers.add(when, lambda wall, when=when: made.append((when, wall)))
    assert timers.next() == 10
    timers.run(20, 64)
    assert made == [(10, 20), (10, 20), (20, 20)]
    assert timers.next() == 30


def test_a_run_is_bounded() -> None:
    timers, made = Timers(), []
    for when in range(10):
        timers.add(when, made.append)
    timers.run(100, 3)
    assert len(made) == 3 and len(timers) == 7


def test_what_a_call_adds_waits_for_the_next_run() -> None:
    timers, made = Timers(), []

    def again(wall: int) -> None:
        made.append(wall)
        timers.add(0, again)

    timers.add(0, again)
    timers.run(5, 64)
    assert made == [5]
    timers.run(6, 64)
    assert made == [5, 6]


def test_a_cancelled_call_is_not_made_and_cancelling_twice_is_nothing() -> None:
    timers, made = Timers(), []
    timer = timers.add(1, made.append)
    timers.cancel(timer)
    timers.cancel(timer)
    timers.cancel(None)
    assert timers.next() is None and len(timers) == 0
    timers.run(5, 64)
    assert made == []


def test_a_made_call_can_be_cancelled() -> None:
    timers = Timers()
    timer = timers.add(1, lambda _: None)
    timers.run(1, 1)
    timers.cancel(timer)
    assert len(timers) == 0


def test_arming_and_cancelling_for_ever_keeps_little() -> None:
    timers = Timers()
    for when in range(10_000):
        timers.cancel(timers.add(1_000_000 + when, lambda _: None))
    assert len(timers._heap) <= 2 * 64 + 1


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans())))
def test_as_a_sorted_list(entries: list[tuple[int, bool]]) -> None:
    timers, made = Timers(), []
    for number, (when, is_cancelled) in enumerate(entries):
        timer = timers.add(when, lambda _, number=number: made.append(number))
        if is_cancelled:
            timers.cancel(timer)
    timers.run(50, len(entries))
    assert made == [number for _, number in sorted((when, number) for number, (when, gone) in enumerate(entries) if not gone)]
