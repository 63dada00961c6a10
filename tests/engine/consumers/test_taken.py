"""engine.consumers.taken against a comparison of each with each."""

from hypothesis import given
from hypothesis import strategies as st

from midge.engine.consumers.taken import Taken
from midge.model.consumer import ConsumerConfig
from midge.transform import collide

subjects = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3).map(".".join) | st.sampled_from([">", "a.>", "b.*.>"])
filters = st.lists(subjects, max_size=3, unique=True)
names = st.sampled_from(["C", "D", "E", "F"])
changes = st.lists(st.tuples(names, st.none() | filters), max_size=12)


@given(changes, names, filters)
def test_as_if_all_were_compared(changes: list[tuple[str, list[str] | None]], name: str, wanted: list[str]) -> None:
    there: dict[str, list[str]] = {}
    taken = Taken({})
    for changed, its_filters in changes:
        if its_filters is None:
            there.pop(changed, None)
            taken.discard(changed)
        else:
            there[changed] = its_filters
            taken.add(changed, ConsumerConfig(filter_subjects=its_filters))
        others = [each for other, each in there.items() if other != name]
        expected = bool(wanted) and any(not each or any(collide(one, two) for one in each for two in wanted) for each in others)
        assert taken.is_shared(name, wanted) == expected
        assert Taken({other: ConsumerConfig(filter_subjects=each) for other, each in there.items()}).is_shared(name, wanted) == expected


def test_one_that_feeds_another_stream_has_nothing() -> None:
    taken = Taken({"C": ConsumerConfig(direct=True), "D": ConsumerConfig(sourcing=True, filter_subject="a")})
    assert not taken.is_shared("E", ["a"])
    taken.add("C", ConsumerConfig(filter_subject="a"))
    assert taken.is_shared("E", ["*"]) and not taken.is_shared("C", ["*"]) and not taken.is_shared("E", ["b"])


def test_what_has_gone_takes_no_room() -> None:
    taken = Taken({})
    taken.add("C", ConsumerConfig(filter_subject="a"))
    for number in range(1_000):
        taken.add("D", ConsumerConfig(filter_subject=f"b.{number}"))
    assert len(taken._owners) < 10 and taken.is_shared("E", ["b.999"]) and not taken.is_shared("E", ["b.998"])
