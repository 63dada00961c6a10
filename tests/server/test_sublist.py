"""server.sublist: the rules of its cache, hostile subjects, and that nothing is left of what was removed.

That it finds the right subscriptions is shown in tests/model/test_sublist_model.py.
"""

import gc
from random import Random

import pytest

from midge.server import sublist as module
from midge.server.sublist import MAX_HOT, MAX_NEW, Sublist, Subscription

EMPTY = 3  # nodes of an empty sublist: its root and two that only count changes


def subscribe(subjects: Sublist, subject: bytes, queue: bytes | None = None) -> Subscription:
    """Insert a subscription and return it."""
    sub = Subscription(None, subject, queue, b"1")
    assert subjects.insert(sub)
    return sub


def hits(subjects: Sublist, subject: bytes) -> bool:
    """Match, and tell whether the answer came from the cache."""
    before = subjects.hits
    subjects.match(subject)
    return subjects.hits > before


def alive(kind: type) -> int:
    """How many objects of a class there are in this process."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


def nodes() -> int:
    """How many nodes there are in this process."""
    return alive(module.Node)


def test_a_subscription() -> None:
    session = object()
    sub = Subscription(session, b"a.*", b"q", b"7")
    assert (sub.session, sub.subject, sub.queue, sub.sid, sub.limit, sub.delivered) == (session, b"a.*", b"q", b"7", 0, 0)
    sub.limit, sub.delivered = 5, 2
    assert (sub.limit, sub.delivered) == (5, 2)


@pytest.mark.parametrize("subject", [b"", b".", b".a", b"a.", b"a..b", b">.a", b"a.>.b", b">.>"], ids=repr)
def test_a_malformed_subject_is_refused_and_leaves_nothing(subject: bytes) -> None:
    before = nodes()
    subjects = Sublist()
    assert not subjects.insert(Subscription(None, subject, None, b"1"))
    assert (subjects.count, subjects.inserts) == (0, 0)
    assert nodes() - before == EMPTY


@pytest.mark.parametrize("subject", [b"a..b", b".a", b"a.", b".", b""], ids=repr)
def test_a_publish_with_an_empty_token_reaches_nobody(subject: bytes) -> None:
    subjects = Sublist()
    for pattern in (b">", b"*", b"a.>", b"a.*.b", b"*.*", b"*.*.*"):
        subscribe(subjects, pattern)
    result = subjects.match(subject)
    assert (result.plain, result.groups) == ([], [])


def test_a_publish_to_a_wildcard_is_routed_literally() -> None:
    subjects = Sublist()
    star, rest, literal, both = (subscribe(subjects, pattern) for pattern in (b"a.*", b"a.>", b"a.b", b"*.*"))
    assert set(subjects.match(b"a.*").plain) == {star, rest, both}
    assert set(subjects.match(b"a.>").plain) == {star, rest, both}
    assert set(subjects.match(b"a.b").plain) == {star, rest, literal, both}


def test_a_queue_group_is_one_whatever_its_members_subscribe_to() -> None:
    subjects = Sublist()
    members = {subscribe(subjects, pattern, b"q") for pattern in (b"a.b", b"a.*", b"*.b", b">", b"a.b")}
    others = {subscribe(subjects, pattern, b"r") for pattern in (b"a.b", b"a.>")}
    plain = subscribe(subjects, b"a.b")
    result = subjects.match(b"a.b")
    assert result.plain == [plain]
    assert sorted((set(group) for group in result.groups), key=len) == [others, members]
    assert sum(map(len, result.groups)) == len(members) + len(others)


# The cache


def test_the_second_match_is_a_hit() -> None:
    subjects = Sublist()
    subscribe(subjects, b"a")
    assert [hits(subjects, b"a") for _ in range(4)] == [False, True, True, True]
    assert subjects.match(b"a") is subjects.match(b"a")
    assert subjects.matches == 6 and subjects.hits == 5


def test_the_cache_is_bounded() -> None:
    subjects = Sublist()
    subscribe(subjects, b">")
    for number in range(3 * (MAX_HOT + MAX_NEW)):
        subjects.match(b"once.%d" % number)
        assert subjects.cached() <= MAX_NEW
    for number in range(2 * (MAX_HOT + MAX_NEW)):
        for _ in range(3):
            subjects.match(b"often.%d" % number)
        assert subjects.cached() <= MAX_HOT + MAX_NEW


def test_inbox_traffic_does_not_drive_a_busy_subject_out() -> None:
    """Every answer of request/reply has a subject of its own, asked for once."""
    subjects = Sublist()
    subscribe(subjects, b"orders.*")
    subscribe(subjects, b"_INBOX.me.*")
    busy = [b"orders.%d" % number for number in range(100)]
    for subject in busy * 2:
        subjects.match(subject)
    for number in range(5 * (MAX_HOT + MAX_NEW)):
        subjects.match(b"_INBOX.me.%d" % number)
    assert all(hits(subjects, subject) for subject in busy)


def test_changes_elsewhere_leave_a_result_fresh() -> None:
    """A requester subscribes to its inbox and leaves again: results for other first tokens do not notice."""
    subjects = Sublist()
    subscribe(subjects, b"orders.*")
    subscribe(subjects, b"_INBOX.first.*")
    result = subjects.match(b"orders.new")
    inbox = subjects.match(b"_INBOX.first.1")
    subs = [subscribe(subjects, b"_INBOX.%d.*" % number) for number in range(10)]
    assert subjects.is_fresh(result) and hits(subjects, b"orders.new")
    assert not subjects.is_fresh(inbox)
    for sub in subs:
        subjects.remove(sub)
    assert subjects.is_fresh(result) and hits(subjects, b"orders.new")


@pytest.mark.parametrize("pattern", [b"orders.new", b"orders.*", b"orders.>", b"*.new", b"*.*", b"*.>", b">"], ids=repr)
@pytest.mark.parametrize("queue", [None, b"q"])
def test_a_change_that_concerns_a_result_makes_it_stale(pattern: bytes, queue: bytes | None) -> None:
    subjects = Sublist()
    subscribe(subjects, b"orders.new")
    before = [subjects.match(b"orders.new") for _ in range(2)][-1]
    sub = subscribe(subjects, pattern, queue)
    assert not subjects.is_fresh(before)
    between = subjects.match(b"orders.new")
    assert sub in [*between.plain, *sum(between.groups, [])]
    assert subjects.remove(sub)
    assert not subjects.is_fresh(between)
    after = subjects.match(b"orders.new")
    assert sub not in [*after.plain, *sum(after.groups, [])]
    assert sub in [*between.plain, *sum(between.groups, [])]  # a result itself never changes


def test_a_result_for_a_token_that_appears_later_is_refreshed() -> None:
    subjects = Sublist()
    for _ in range(3):
        nobody = subjects.match(b"later.a")
        assert nobody.plain == []
    sub = subscribe(subjects, b"later.*")
    assert not subjects.is_fresh(nobody)
    assert subjects.match(b"later.a").plain == [sub]


def test_a_token_that_goes_and_comes_back() -> None:
    subjects = Sublist()
    first = subscribe(subjects, b"a.b")
    with_first = subjects.match(b"a.b")
    subjects.remove(first)
    without = subjects.match(b"a.b")
    second = subscribe(subjects, b"a.b")
    assert not subjects.is_fresh(with_first) and not subjects.is_fresh(without)
    assert subjects.match(b"a.b").plain == [second]


@pytest.mark.parametrize("pattern", [b"%d", b"%d.*", b"busy.%d", b"*.%d"], ids=repr)
def test_the_cache_keeps_nothing_alive_for_long(pattern: bytes) -> None:
    """A result names subscriptions, and they their sessions; a stale one is nobody's but goes after MAX_HOT removals at the latest."""
    before = alive(Subscription)
    subjects = Sublist()
    subscribe(subjects, b"busy.*")
    for number in range(MAX_NEW):
        sub = subscribe(subjects, pattern % number)
        for _ in range(1 + number % 2):
            subjects.match(pattern % number)
        assert subjects.remove(sub)
    for _ in range(MAX_HOT):
        assert subjects.remove(subscribe(subjects, b"other"))
    del sub
    assert alive(Subscription) == before + 1
    assert hits(subjects, b"busy.x") is False and hits(subjects, b"busy.x") is True


def test_removing_does_not_look_through_the_cache_each_time() -> None:
    """It costs the same however much is cached: stale results are swept out once in MAX_HOT removals."""
    subjects = Sublist()
    for _ in range(2):
        for number in range(100):
            subjects.match(b"a.%d" % number)
        subjects.remove(subscribe(subjects, b"a.1"))
        for _ in range(MAX_HOT - 2):
            subjects.remove(subscribe(subjects, b"other"))
            assert subjects.cached() == 100
        subjects.remove(subscribe(subjects, b"other"))
        assert subjects.cached() == 0


# Hostile subjects


def test_thousands_of_tokens() -> None:
    """As deep as a control line allows, and more; found, matched and removed without recursion."""
    subjects = Sublist()
    depth = 3000
    stars = subscribe(subjects, b".".join([b"*"] * depth))
    rest = subscribe(subjects, b".".join([b"*"] * (depth - 1) + [b">"]))
    literal = subscribe(subjects, b".".join([b"a"] * depth))
    queue = subscribe(subjects, b".".join([b"a"] * (depth - 1) + [b"*"]), b"q")
    result = subjects.match(b".".join([b"a"] * depth))
    assert set(result.plain) == {stars, rest, literal} and result.groups == [[queue]]
    assert subjects.match(b".".join([b"a"] * (depth - 1))).plain == []
    assert subjects.match(b".".join([b"a"] * (depth + 1))).plain == [rest]
    for sub in (stars, rest, literal, queue):
        assert subjects.remove(sub)
    assert subjects.match(b".".join([b"a"] * depth)).plain == []


def test_a_deep_sublist_can_be_thrown_away() -> None:
    """Freeing a chain of nodes must not overflow the stack, however deep the longest control line lets it be."""
    subjects = Sublist()
    subscribe(subjects, b".".join([b"*"] * 30_000))
    subscribe(subjects, b".".join([b"a"] * 30_000))
    before = nodes()
    del subjects
    assert before - nodes() >= 60_000


def test_matching_visits_each_node_at_most_once() -> None:
    """Stars and literals at every level make 2**n paths on paper; there are only as many as were subscribed to."""
    subjects = Sublist()
    depth = 200
    for at in range(depth):
        subscribe(subjects, b".".join([b"a"] * at + [b"*"] + [b"a"] * (depth - at - 1)))
        subscribe(subjects, b".".join([b"*"] * at + [b"a"] + [b"*"] * (depth - at - 1)))
    assert len(subjects.match(b".".join([b"a"] * depth)).plain) == 2 * depth


# What is left


PATTERNS = [b"a", b"a.b", b"a.b.c", b"a.*", b"a.*.c", b"a.>", b"*", b"*.b", b">", b"x.y.z.1.2.3", b"a.b.c"]


def test_removing_leaves_no_node_behind() -> None:
    """In whatever order: many sublists are filled and emptied, each in an order of its own."""
    random, emptied, before = Random(1), [], nodes()
    for size in list(range(1, len(PATTERNS) + 1)) * 30:
        subjects = Sublist()
        patterns = random.sample(PATTERNS, size)
        subs = [subscribe(subjects, pattern, random.choice((None, None, b"q", b"r"))) for pattern in patterns * random.randint(1, 3)]
        random.shuffle(subs)
        for sub in subs:
            assert subjects.remove(sub)
        assert (subjects.count, subjects.inserts, subjects.removes) == (0, len(subs), len(subs))
        emptied.append(subjects)
    assert nodes() - before == EMPTY * len(emptied)


def test_removing_keeps_what_others_need() -> None:
    subjects = Sublist()
    short, long = subscribe(subjects, b"a.b"), subscribe(subjects, b"a.b.c")
    assert subjects.remove(short)
    assert subjects.match(b"a.b.c").plain == [long] and subjects.match(b"a.b").plain == []
    short = subscribe(subjects, b"a.b")
    assert subjects.remove(long)
    assert subjects.match(b"a.b").plain == [short] and subjects.match(b"a.b.c").plain == []


def test_removing_what_is_not_there_changes_nothing() -> None:
    subjects = Sublist()
    sub = subscribe(subjects, b"a.*", b"q")
    result = subjects.match(b"a.b")
    for subject, queue in ((b"a.*", b"q"), (b"a.*", b"r"), (b"a.*", None), (b"a", b"q"), (b"b", None), (b">", None), (b"a.*.c", b"q")):
        assert not subjects.remove(Subscription(None, subject, queue, b"1"))
    assert subjects.is_fresh(result)
    assert (subjects.count, subjects.removes) == (1, 0)
    assert subjects.match(b"a.b").groups == [[sub]]
