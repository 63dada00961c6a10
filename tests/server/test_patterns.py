"""server.patterns: what is found is what a comparison with each would find, in the same order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.server.patterns import Patterns, collide
from midge.transform import is_subset

SUBJECTS = st.lists(st.sampled_from(["a", "b", "*", ">", "*x", ""]), min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize("one, other, expected", [
    ("a", "a", True), ("a", "b", False), ("a.*", "a.b", True), ("a.*", "*.b", True), ("a.>", "a", False), ("a.>", "a.b.c", True),
    ("a.*", "a.b.c", False), (">", "a", True), ("*.b", "a.c", False), ("a.*.c", "a.>", True),
])  # fmt: skip
def test_patterns_collide(one: str, other: str, expected: bool) -> None:
    assert collide(one, other) is collide(other, one) is expected


@settings(max_examples=300, deadline=None)
@given(st.lists(SUBJECTS, max_size=12), SUBJECTS)
def test_what_is_found(subjects: list[str], subject: str) -> None:
    found = Patterns[int]()
    for number, pattern in enumerate(subjects):
        found.add(pattern, number)
    assert found.covering(subject) == [number for number, pattern in enumerate(subjects) if is_subset(subject, pattern)]
    assert found.meeting(subject) == [number for number, pattern in enumerate(subjects) if collide(subject, pattern)]
