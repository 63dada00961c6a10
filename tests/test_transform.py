"""transform: what becomes of subjects, what is refused and in which words."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.transform import Transform, check_destination, collide, is_subset, mark_wildcards, unmark_wildcards

TABLE = [
    ("a", "b", "a", "b"),
    ("a.*", "b.$1", "a.x", "b.x"),
    ("a.*.*", "b.$2.$1.$2", "a.x.y", "b.y.x.y"),
    ("a.*.*", "b.{{wildcard(2)}}.{{ Wildcard( 1 ) }}", "a.x.y", "b.y.x"),
    ("a.*", "b.$0.$-1", "a.x", "b.a.a"),
    ("a.*", "b.$x.$.$1x", "a.x", "b.$x.$.$1x"),
    ("a.>", "b.>", "a.x.y", "b.x.y"),
    ("a.*.>", "b.$1.>", "a.x.y.z", "b.x.y.z"),
    (">", "p.>", "x.y", "p.x.y"),
    ("", "p.>", "x", "p.x"),
    ("a.*", "b.{{partition(10,1)}}", "a.abcdef", "b.6"),
    ("a.*", "b.{{partition(0,1)}}", "a.x", "b.0"),
    ("a.*", "b.{{split(1,-)}}", "a.-x--y-z-", "b.x.y.z"),
    ("a.*", "b.{{split(1,)}}", "a.xyz", "b.x.y.z"),
    ("a.*", "b.{{splitFromLeft(1,2)}}", "a.abcde", "b.ab.cde"),
    ("a.*", "b.{{splitfromright(1,2)}}", "a.abcde", "b.abc.de"),
    ("a.*", "b.{{splitfromright(1,9)}}", "a.abcde", "b.abcde"),
    ("a.*", "b.{{slicefromleft(1,2)}}", "a.abcde", "b.ab.cd.e"),
    ("a.*", "b.{{slicefromright(1,2)}}", "a.abcde", "b.a.bc.de"),
    ("a.*", "b.{{slicefromright(1,0)}}", "a.abcde", "b.abcde"),
    ("a.*", "b.{{left(1,2)}}.{{right(1,2)}}", "a.abcde", "b.ab.de"),
    ("a.*", "b.{{random(5)}}.$1", "a.x", "b.4.x"),
    ("a.*", "b.{{random(0)}}.{{random(-5)}}", "a.x", "b.0.4"),
]
REFUSED = [
    ("a.*", "b.$2", "invalid mapping destination: wildcard index out of range in $2: [2]"),
    ("a", "b.$1", "invalid mapping destination: wildcard index out of range in $1"),
    ("a.*", "b.{{wildcard()}}", "invalid mapping destination: not enough arguments passed to the function in {{wildcard()}}"),
    ("a.*", "b.{{wildcard(1,2)}}", "invalid mapping destination: too many arguments passed to the function in {{wildcard(1,2)}}"),
    ("a.*", "b.{{wildcard(1_0)}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(1_0)}}"),
    ("a.*", "b.{{left(1,4294967296)}}", "function argument is invalid"),
    ("a.*", "b.{{partition(" + "9" * 5000 + ",1)}}", "function argument is invalid"),
    ("a.*", "b.{{other(1)}}", "invalid mapping destination: unknown function in {{other(1)}}"),
    ("a.*", "b.*", "invalid subject"),
    ("a.>", "b", "invalid subject"),
    ("a..b", "c", "invalid subject"),
]


def last(count: int) -> int:
    return count - 1


@pytest.mark.parametrize("source, destination, subject, expected", TABLE)
def test_what_becomes_of_a_subject(source: str, destination: str, subject: str, expected: str) -> None:
    assert Transform(source, destination).apply(subject.encode().split(b"."), last).decode() == expected


@pytest.mark.parametrize("source, destination, text", REFUSED, ids=lambda value: value[:30])
def test_refused(source: str, destination: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Transform(source, destination)
    assert text in str(caught.value)


def test_an_import_uses_each_wildcard_and_nothing_but_wildcards() -> None:
    assert Transform("a.*.*", "b.$2.$1", True).reverse().destination == "a.$2.$1"
    with pytest.raises(ValueError, match="not using all of the token wildcard"):
        Transform("a.*.*", "b.$1", True)
    with pytest.raises(ValueError, match=r"only mapping function allowed for import transforms is \{\{Wildcard"):
        Transform("a.*", "b.{{split(1,-)}}", True)


def test_what_depends_on_nothing_is_constant() -> None:
    assert Transform("a.*", "b.c").constant == b"b.c"
    assert Transform("a.*", "b.$1").constant is None
    assert Transform("a.*", "b.{{random(3)}}").is_random and not Transform("a.*", "b.$1").is_random


def test_marks() -> None:
    assert mark_wildcards("a.*.b.*.>") == "a.$1.b.$2.>"
    assert unmark_wildcards("a.$2.{{wildcard(1)}}.$x.$0.c") == ("a.*.*.$x.$0.c", ["$2", "{{wildcard(1)}}"])


@pytest.mark.parametrize("subject, pattern, expected", [
    ("a", "a", True), ("a.b", "a.*", True), ("a.*", "a.b", False), ("a.*", "a.*", True), ("a.>", "a.*", False), ("a.*", "a.>", True),
    ("a", "a.>", False), ("a.b.c", ">", True), ("a..c", "a.*.c", False), ("a.b", "a", False),
])  # fmt: skip
def test_subsets(subject: str, pattern: str, expected: bool) -> None:
    assert is_subset(subject, pattern) is expected


TOKEN = st.text("ab-.$*>{}()1,", min_size=1, max_size=12)


@given(st.lists(TOKEN, min_size=1, max_size=4).map(".".join), st.lists(TOKEN, min_size=1, max_size=4).map(".".join))
def test_anything_is_accepted_or_refused_with_a_reason(source: str, destination: str) -> None:
    try:
        transform = Transform(source, destination)
    except ValueError as error:
        assert str(error)
        return
    tokens = ["x" if token in ("*", ">") else token for token in source.split(".")]
    made = transform.apply([token.encode() for token in tokens], last)
    assert isinstance(made, bytes)


TURNS = [["$1", "$2", "$3"], ["$2", "$1", "$3"], ["$3", "$2", "$1"], ["$1", "$3", "$2"]]  # of others nats-server makes something else


@given(st.sampled_from(TURNS), st.tuples(*[st.text("abc", min_size=1, max_size=3)] * 3))
def test_reversed_it_gives_back_what_it_was_given(order: list[str], tokens: tuple[str, ...]) -> None:
    there = Transform("s.*.*.*", ".".join(["d", *order]), True)
    back: Callable[[list[bytes], Callable[[int], int]], bytes] = there.reverse().apply
    subject = ".".join(["s", *tokens]).encode()
    assert back(there.apply(subject.split(b"."), last).split(b"."), last) == subject


@pytest.mark.parametrize("one, other, expected", [
    ("a", "a", True), ("a", "b", False), ("a.*", "a.b", True), ("a.*", "*.b", True), ("a.>", "a", False), ("a.>", "a.b.c", True),
    ("a.*", "a.b.c", False), (">", "a", True), ("*.b", "a.c", False), ("a.*.c", "a.>", True), ("*.*x", "a.b", True),
    ("a.*x", "a.b", False), ("*.x", ">", True),
    ("*.b.c", "a.>", True), ("*.*", "*.*.>", False), ("*.a", "*.b", False), ("", "", True), ("*", ".", False),
])  # fmt: skip
def test_patterns_collide(one: str, other: str, expected: bool) -> None:
    assert collide(one, other) is collide(other, one) is expected


@pytest.mark.parametrize("destination, text", [
    ("a..b", "invalid transform"), ("a.>.b", "invalid transform in b"), ("a. b", "invalid transform"), ("", "invalid transform"),
    ("{{left(1,2)}}.{{nothing(1)}}.>.x", "unknown function in {{nothing(1)}}"),
])  # fmt: skip
def test_what_is_no_destination(destination: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_destination(destination)
    assert str(caught.value) == f"invalid mapping destination: {text}"
