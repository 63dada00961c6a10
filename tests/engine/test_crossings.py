"""Subjects that collide: the tree finds what comparing each with each finds, and searching ends however many there are."""

import time
from itertools import product

import pytest
from worlds import World

from midge.engine.crossings import Crossings
from midge.engine.errors import ApiError
from midge.transform import collide, is_subset

TOKENS = ("a", "b", "*", ">", "*a", ">b")
SUBJECTS = [".".join(tokens) for size in (1, 2, 3) for tokens in product(TOKENS, repeat=size) if ">" not in tokens[:-1]]


def test_the_tree_finds_what_comparing_finds() -> None:
    for at in range(0, len(SUBJECTS), 40):
        some = SUBJECTS[at : at + 40]
        for subject in SUBJECTS[::3]:
            found = [each for each in some if collide(each, subject)]
            assert Crossings(some).find(subject) == (found[0] if found else None), subject


def test_the_tree_finds_what_holds_another_one() -> None:
    for at in range(0, len(SUBJECTS), 20):
        some = SUBJECTS[at : at + 20]
        crossings = Crossings(some)
        for place, subject in enumerate(some):
            assert crossings.is_within(place) == any(is_subset(subject, each) for each in some if each != subject), subject


def test_only_what_follows_a_place_is_found() -> None:
    crossings = Crossings(["a.b", "a.*", "c", "a.b"])
    assert [crossings.find("a.b", start) for start in range(5)] == ["a.b", "a.*", "a.b", "a.b", None]


def test_a_search_that_would_not_end_is_given_up() -> None:
    crossings = Crossings([f"a{number}.b" for number in range(2_000)])
    with pytest.raises(ApiError, match="too many"):
        for number in range(2_000):
            assert crossings.find(f"*.c{number}") is None


def test_a_stream_of_many_subjects_is_made_in_no_time() -> None:
    world = World()
    start = time.process_time()
    assert world.create("A", subjects=[f"a.{number}" for number in range(5_000)])["did_create"]
    assert world.create("B", subjects=[f"b.{number}.*" for number in range(5_000)])["did_create"]
    update = {"name": "B", "storage": "memory", "subjects": [f"b.{number}.*" for number in range(5_001)]}
    assert "error" not in world.api("STREAM.UPDATE.B", **update)
    assert world.create("C", subjects=["c", "b.7.x"])["error"]["err_code"] == 10065
    assert time.process_time() - start < 5, "it took a minute when each was compared with each"


def test_many_transforms_are_compared_in_no_time() -> None:
    transforms = [{"src": f"s.{number}.>", "dest": f"d.{number}.>"} for number in range(3_000)]
    start = time.process_time()
    for origin in (
        {"mirror": {"name": "x", "subject_transforms": transforms}},
        {"sources": [{"name": "x", "subject_transforms": transforms}]},
    ):
        World().create(subjects=[], **origin)
    assert time.process_time() - start < 5, "it took a minute when each was compared with each"


def test_a_stream_of_too_many_is_refused() -> None:
    subjects = [f"x.a{number}.b" for number in range(2_000)] + [f"x.*.c{number}" for number in range(2_000)]
    assert "too many" in World().create(subjects=subjects)["error"]["description"]
