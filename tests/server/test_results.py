"""server.results: what a change makes stale and what not, and what bounds the results that are kept."""

import gc
import sys

import pytest

from midge.server.peer import CLIENT, Peer
from midge.server.results import MAX_BUSY, MAX_NEW, MAX_WORDS
from midge.server.sublist import Sublist, Subscription

NOBODY = Peer(1, CLIENT, None)


def subscribe(subjects: Sublist, subject: bytes, queue: bytes | None = None) -> Subscription:
    """Insert a subscription and return it."""
    sub = Subscription(NOBODY, subject, queue, b"1")
    assert subjects.insert(sub)
    return sub


def hits(subjects: Sublist, subject: bytes) -> bool:
    """Match, and tell whether the answer was kept."""
    before = subjects.hits
    subjects.match(subject)
    return subjects.hits > before


def alive(kind: type) -> int:
    """How many objects of a class there are in this process."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


def test_the_second_match_is_a_hit() -> None:
    subjects = Sublist()
    subscribe(subjects, b"a")
    assert [hits(subjects, b"a") for _ in range(4)] == [False, True, True, True]
    assert subjects.match(b"a") is subjects.match(b"a")
    assert subjects.matches == 6 and subjects.hits == 5


def test_an_uncached_match_touches_nothing() -> None:
    subjects = Sublist()
    subscribe(subjects, b"a.*")
    kept = subjects.match(b"a.b")
    result = subjects.match_uncached(b"a.b")
    assert result is not kept and (result.subject, result.nodes, result.groups) == (b"a.b", kept.nodes, kept.groups)
    assert result.stale and not result.is_fresh(), "it is for one use"
    subjects.match_uncached(b"a.c")
    assert subjects.cached() == 1 and subjects.hits == 0 and not hits(subjects, b"a.c")


# What goes stale


@pytest.mark.parametrize("pattern", [b"orders.new", b"orders.*", b"orders.>", b"*.new", b"*.*", b"*.>", b">"], ids=repr)
@pytest.mark.parametrize("queue", [None, b"q"])
def test_a_pattern_that_gets_its_first_subscription_or_loses_its_last(pattern: bytes, queue: bytes | None) -> None:
    subjects = Sublist()
    subscribe(subjects, b"orders.new.x")
    before = subjects.match(b"orders.new")
    sub = subscribe(subjects, pattern, queue)
    assert not before.is_fresh()
    between = subjects.match(b"orders.new")
    assert (len(between.nodes), len(between.groups)) == ((1, 0) if queue is None else (0, 1))
    others = [subscribe(subjects, pattern, queue) for _ in range(3)]
    assert all(map(subjects.remove, others)) and between.is_fresh(), "the second and the last but one touch nothing"
    assert subjects.remove(sub)
    assert not between.is_fresh()
    after = subjects.match(b"orders.new")
    assert after.is_fresh() and (after.nodes, after.groups) == ([], [])
    assert not before.is_fresh() and not between.is_fresh(), "what is stale stays so"


def test_a_literal_touches_only_its_own_subject() -> None:
    subjects = Sublist()
    kept = [subjects.match(subject) for subject in (b"a", b"a.b.c", b"a.b.d", b"b", b"x")]
    own = subjects.match(b"a.b")
    sub = subscribe(subjects, b"a.b")
    assert own.stale and all(result.is_fresh() for result in kept)
    own = subjects.match(b"a.b")
    assert subjects.remove(sub)
    assert own.stale and all(result.is_fresh() for result in kept)


def test_changes_below_another_first_token_touch_nothing() -> None:
    """A requester subscribes to its inbox and leaves again."""
    subjects = Sublist()
    subscribe(subjects, b"orders.*")
    result, inbox = subjects.match(b"orders.new"), subjects.match(b"_INBOX.first.1")
    subs = [subscribe(subjects, b"_INBOX.%d.*" % number) for number in range(10)]
    assert result.is_fresh() and hits(subjects, b"orders.new") and not inbox.is_fresh()
    for sub in subs:
        subjects.remove(sub)
    assert result.is_fresh() and hits(subjects, b"orders.new")


def test_a_subject_of_an_interior_node() -> None:
    """A longer pattern makes the node, and nobody subscribes to it: its own first subscription has to be noticed."""
    subjects = Sublist()
    result = subjects.match(b"a.b")
    subscribe(subjects, b"a.b.c")
    assert result.is_fresh()
    sub = subscribe(subjects, b"a.b")
    assert not result.is_fresh() and subjects.match(b"a.b").nodes[0].one is sub


def test_a_token_that_goes_and_comes_back() -> None:
    subjects = Sublist()
    for pattern in (b"a.b", b"a.*"):
        first = subscribe(subjects, pattern)
        with_first = subjects.match(b"a.b")
        subjects.remove(first)
        without = subjects.match(b"a.b")
        second = subscribe(subjects, pattern)
        assert not with_first.is_fresh() and not without.is_fresh()
        assert subjects.match(b"a.b").nodes[0].one is second
        subjects.remove(second)


def test_a_wildcard_within_a_token_is_literal() -> None:
    subjects = Sublist()
    own, other = subjects.match(b"a*.b>"), subjects.match(b"a*.c")
    sub = subscribe(subjects, b"a*.b>")
    assert own.stale and other.is_fresh() and subjects.match(b"a*.b>").nodes[0].one is sub


@pytest.mark.parametrize("pattern", [b"a.b", b"a.*"], ids=repr)
def test_a_result_that_was_dropped_is_stale_for_who_holds_it(pattern: bytes) -> None:
    """Nothing would find it any more to tell it of a change."""
    subjects = Sublist()
    subscribe(subjects, pattern)
    held = subjects.match(b"a.b")
    number = 0
    while held.is_fresh():
        subjects.match(b"once.%d" % number)
        number += 1
        assert number < 100 * MAX_NEW
    assert held.stale and (held.nodes, held.groups) == ([], []), "it holds nobody"
    assert subjects.match(b"a.b") is not held


# What is kept


def test_the_results_are_bounded() -> None:
    subjects = Sublist()
    subscribe(subjects, b">")
    for number in range(3 * MAX_NEW):
        subjects.match(b"once.%d" % number)
        assert subjects.cached() <= MAX_NEW
    for number in range(3 * MAX_BUSY):
        for _ in range(3):
            subjects.match(b"often.%d" % number)
        assert subjects.cached() <= MAX_BUSY + MAX_NEW
    assert subjects.cached() == MAX_BUSY + MAX_NEW - 1  # the last one promoted took no new one's place


def test_subjects_that_are_used_once_do_not_drive_a_busy_one_out() -> None:
    """Every answer of request and reply has a subject of its own, asked for once."""
    subjects = Sublist()
    subscribe(subjects, b"orders.*")
    subscribe(subjects, b"_INBOX.me.*")
    busy = [b"orders.%d" % number for number in range(MAX_BUSY)]
    for subject in busy[:100] * 2:
        subjects.match(subject)
    for number in range(5 * MAX_NEW):
        subjects.match(b"_INBOX.me.%d" % number)
    assert all(hits(subjects, subject) for subject in busy[:100])


def test_a_busy_subject_that_is_used_stays_when_others_become_busy() -> None:
    subjects = Sublist()
    subscribe(subjects, b">")
    for number in range(3 * MAX_BUSY):
        for _ in range(2):
            subjects.match(b"twice.%d" % number)
        if number % 100 == 0:
            assert hits(subjects, b"always") or number == 0


@pytest.mark.parametrize("count", [1100, 4000])
def test_thousands_of_subjects_in_turn_are_hits(count: int) -> None:
    subjects = Sublist()
    subscribe(subjects, b"device.*.state")
    for _ in range(3):
        for number in range(count):
            subjects.match(b"device.%d.state" % number)
    assert subjects.hits == 2 * count


def test_too_many_subjects_in_turn_are_not_all_misses() -> None:
    subjects = Sublist()
    subscribe(subjects, b"device.*.state")
    for _ in range(6):
        before = subjects.hits
        for number in range(10_000):
            subjects.match(b"device.%d.state" % number)
    assert subjects.hits - before > 3000


def test_long_subjects_are_bounded_by_what_they_take() -> None:
    subjects = Sublist()
    subscribe(subjects, b">")
    busy = subjects.match(b"busy")
    for number in range(1000):
        for _ in range(2):
            subjects.match(b"%d.%s" % (number, b"x" * 4096))
        assert subjects.cached() <= MAX_WORDS // 512
    assert not busy.is_fresh() or hits(subjects, b"busy")
    huge = subjects.match(b"x" * MAX_WORDS)
    assert huge.stale and len(huge.nodes) == 1 and not hits(subjects, b"x" * MAX_WORDS)


def test_references_are_bounded() -> None:
    """Thousands of queue names make a result large, however few subjects there are."""
    subjects = Sublist()
    for number in range(1000):
        subscribe(subjects, b"a.*", b"%d" % number)
    for number in range(100):
        for _ in range(2):
            assert len(subjects.match(b"a.%d" % number).groups) == 1000
        assert subjects.cached() <= MAX_WORDS // 9000 + 1
    assert hits(subjects, b"a.99")


def test_a_result_that_outgrows_its_share_is_dropped() -> None:
    subjects = Sublist()
    for _ in range(2):
        held = subjects.match(b"a.b")
    for number in range(3000):
        subscribe(subjects, b"a.*", b"%d" % number)
    result = subjects.match(b"a.b")
    assert held.stale and result.stale and len(result.groups) == 3000 and subjects.cached() == 0


def test_subscribers_cost_a_result_nothing() -> None:
    subjects = Sublist()
    for _ in range(2000):
        subscribe(subjects, b"a.*")
    for number in range(100):
        result = subjects.match(b"a.%d" % number)
        assert len(result.nodes) == 1 and len(result.nodes[0].plain) == 2000


def test_first_tokens_leave_nothing_behind() -> None:
    """Each that there is a result for has an era; it goes with the last of its results, whether it is over or not."""
    subjects = Sublist()
    blocks = []
    for turn in range(6):
        for number in range(2 * MAX_NEW):
            first = b"%d.%d" % (turn, number)
            subjects.match(b"%s.x" % first)
            sub = subscribe(subjects, first + b".*")
            assert subjects.remove(sub)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert blocks[-1] - blocks[2] < MAX_NEW // 4
    subjects.clear()
    assert blocks[-1] - sys.getallocatedblocks() > 2 * MAX_NEW


def test_a_storm_of_subscriptions_keeps_nothing() -> None:
    subjects = Sublist()
    before = alive(Subscription)
    for number in range(2 * MAX_NEW):
        for pattern in (b"%d", b"%d.*", b"*.%d"):
            sub = subscribe(subjects, pattern % number)
            subjects.match(b"%d.%d" % (number, number))
            assert subjects.remove(sub)
    del sub
    assert alive(Subscription) == before and subjects.cached() <= MAX_NEW + MAX_BUSY
