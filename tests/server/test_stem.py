"""Stems: a result that was found for one subject is given for another only where a search would have found the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.server.peer import Sink
from midge.server.sublist import Sublist, Subscription

TOKENS = st.sampled_from([b"a", b"b", b"ab", b"*", b">"])
PATTERNS = st.lists(TOKENS, min_size=1, max_size=4).map(b".".join)
SUBJECTS = st.lists(st.sampled_from([b"a", b"b", b"ab", b"c", b"", b"*", b">"]), min_size=1, max_size=5).map(b".".join)


def subscription(subject: bytes, queue: bytes | None = None) -> Subscription:
    return Subscription(Sink(), subject, queue, b"")


def found(subjects: Sublist, subject: bytes) -> tuple[set[int], list[list[tuple[bytes, int]]]]:
    result = subjects.match_uncached(subject)
    return {id(node) for node in result.nodes}, [[(group.queue, id(group)) for group in groups] for groups in result.groups]


def fresh(subjects: Sublist, subject: bytes) -> tuple[set[int], list[list[tuple[bytes, int]]]]:
    """Search, whatever was found before."""
    other = subscription(b"z.z.z")
    subjects.insert(other)
    subjects.remove(other)
    return found(subjects, subject)


@settings(max_examples=400)
@given(
    patterns=st.lists(st.tuples(PATTERNS, st.sampled_from([None, b"q", b"r"])), max_size=6),
    steps=st.lists(st.one_of(SUBJECTS, st.tuples(PATTERNS, st.booleans())), min_size=1, max_size=30),
)
def test_what_is_found_is_what_a_search_finds(patterns: list[tuple[bytes, bytes | None]], steps: list[bytes | tuple[bytes, bool]]) -> None:
    subjects = Sublist()
    here = [each for each in (subscription(*pattern) for pattern in patterns) if subjects.insert(each)]
    for step in steps:
        if isinstance(step, bytes):
            answer = found(subjects, step)
            assert answer == fresh(subjects, step)
            found(subjects, step)  # from now on the last that was found is this one again
        elif step[1] and here:
            assert subjects.remove(here.pop())
        else:
            new = subscription(step[0])
            if subjects.insert(new):
                here.append(new)


@pytest.mark.parametrize(
    ("pattern", "first", "second", "shared"),
    [
        (b"_INBOX.x.*", b"_INBOX.x.1", b"_INBOX.x.2", True),
        (b"$JS.ACK.>", b"$JS.ACK.s.c.1.7.7.9.0", b"$JS.ACK.t.d.1.8.8.9.0.5", True),
        (b"_INBOX.x.*", b"_INBOX.x.1", b"_INBOX.y.1", False),
        (b"_INBOX.x.*", b"_INBOX.x.1", b"_INBOX.x.2.3", False),
        (b"_INBOX.x.*", b"_INBOX.x.1", b"_INBOX.x.", False),
        (b"$JS.ACK.>", b"$JS.ACK.s.c", b"$JS.ACK.s..c", False),
        (b"a.b", b"a.b", b"a.bc", False),
        (b"a.b", b"a.c", b"a.b", False),
        (b"a.*", b"a", b"a.b", False),
    ],
)
def test_the_last_result_serves_where_nothing_else_decides(pattern: bytes, first: bytes, second: bytes, shared: bool) -> None:
    subjects = Sublist()
    subjects.insert(subscription(pattern))
    result = subjects.match_uncached(first)
    assert (subjects.match_uncached(second) is result) == shared
    assert found(subjects, second) == fresh(subjects, second)
