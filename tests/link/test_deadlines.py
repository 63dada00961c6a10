"""Deadlines: never early, at most a twentieth of a second late, and as cheap with ten thousand."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from midge.link.deadlines import GRANULARITY, Deadlines


def nobody() -> None: ...


class Call:
    """A call with a name; its bound method is another object each time, and equal."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> None: ...

    def method(self) -> None: ...


def pop_all(deadlines: Deadlines, now: float) -> list[Callable[[], None]]:
    due = []
    while (call := deadlines.pop_due(now)) is not None:
        due.append(call)
    return due


def test_none() -> None:
    deadlines = Deadlines()
    assert deadlines.next() is None and deadlines.pop_due(1e9) is None and len(deadlines) == 0
    deadlines.remove(nobody)


def test_never_early_and_never_much_too_late() -> None:
    for when in (0.0, 0.01, 0.05, 0.1, 1.0, 99.999, 100.0, 123456.789):
        deadlines = Deadlines()
        deadlines.add(nobody, when)
        due = deadlines.next()
        assert due is not None and when < due <= when + GRANULARITY + 1e-9
        assert deadlines.pop_due(when) is None
        assert deadlines.pop_due(due) is nobody
        assert deadlines.next() is None and len(deadlines) == 0


def test_adding_again_moves() -> None:
    deadlines = Deadlines()
    call = Call("a")
    deadlines.add(call.method, 10.0)
    deadlines.add(call.method, 20.0)
    assert len(deadlines) == 1 and pop_all(deadlines, 15.0) == []
    deadlines.add(call.method, 12.0)
    assert pop_all(deadlines, 15.0) == [call.method] and pop_all(deadlines, 99.0) == []


def test_removing() -> None:
    deadlines = Deadlines()
    one, two = Call("one"), Call("two")
    deadlines.add(one.method, 10.0)
    deadlines.add(two.method, 10.0)
    deadlines.remove(one.method)
    deadlines.remove(one.method)
    assert pop_all(deadlines, 11.0) == [two.method] and deadlines.next() is None


def test_in_order() -> None:
    deadlines = Deadlines()
    calls = [Call(str(number)) for number in range(100)]
    for number, call in enumerate(calls):
        deadlines.add(call, float(number * 37 % 100))
    assert pop_all(deadlines, 1000.0) == sorted(calls, key=lambda call: int(call.name) * 37 % 100)


def test_what_comes_and_goes_leaves_no_more_than_there_is_time() -> None:
    deadlines = Deadlines()
    for number in range(100_000):
        deadlines.add(nobody, 10.0 + number % 120)
    deadlines.remove(nobody)
    assert len(deadlines._heap) == len(deadlines._buckets) <= 120
    assert deadlines.next() is None and not deadlines._heap


Step = tuple[str, int, float]
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove", "pass"]), st.integers(0, 5), st.floats(0.0, 3.0)), max_size=60)


@given(STEPS)
def test_like_a_dictionary(steps: list[Step]) -> None:
    deadlines = Deadlines()
    calls = [Call(str(number)) for number in range(6)]
    expected: dict[Call, float] = {}
    now = 1000.0
    for what, number, seconds in steps:
        call = calls[number]
        if what == "add":
            deadlines.add(call, now + seconds)
            expected[call] = now + seconds
        elif what == "remove":
            deadlines.remove(call)
            expected.pop(call, None)
        else:
            now += seconds
            due = pop_all(deadlines, now)
            assert all(expected.pop(one) <= now for one in due), "early, or not there"  # type: ignore[call-overload]
            assert all(now < when + GRANULARITY + 1e-6 for when in expected.values()), "late"
        assert len(deadlines) == len(expected)
