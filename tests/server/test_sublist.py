"""server.sublist: members in place, routing passes, hostile subjects, and that nothing is left of what was removed.

That it finds the right subscriptions is shown in tests/model/test_sublist_model.py, what is kept and for how long in test_results.py.
"""

import gc
import subprocess
import sys
import weakref
from random import Random

import pytest

from midge.server import sublist as module
from midge.server.peer import CLIENT, Peer, Sink
from midge.server.results import Result
from midge.server.sublist import Group, Node, Sublist, Subscription

EMPTY = 1  # nodes of an empty sublist: its root

NOBODY = Peer(1, CLIENT, None)


def subscribe(subjects: Sublist, subject: bytes, queue: bytes | None = None) -> Subscription:
    """Insert a subscription and return it."""
    sub = Subscription(NOBODY, subject, queue, b"1")
    assert subjects.insert(sub)
    return sub


def plain(result: Result) -> list[Subscription]:
    """The plain subscriptions that a result stands for now, in the order of delivery."""
    found: list[Subscription] = []
    for node in result.nodes:
        assert node.one is None or node.plain is None
        found += [sub for sub in node.plain or [node.one] if sub is not None]
    return found


def members(result: Result) -> dict[bytes, list[Subscription]]:
    """The members of each queue group that a result stands for now."""
    return {groups[0].queue: [sub for group in groups for sub in group.members] for groups in result.groups}


def alive(kind: type) -> int:
    """How many objects of a class there are in this process."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


def nodes() -> int:
    """How many nodes there are in this process."""
    return alive(module.Node)


def test_a_subscription() -> None:
    sub = Subscription(NOBODY, b"a.*", b"q", b"7")
    assert (sub.peer, sub.sink) == (NOBODY, None)
    sink = Sink()
    assert (Subscription(sink, b"a", None, b"").peer, Subscription(sink, b"a", None, b"").sink) == (None, sink)
    assert (sub.subject, sub.queue, sub.sid, sub.limit, sub.delivered) == (b"a.*", b"q", b"7", 0, 0)
    sub.limit, sub.delivered = 5, 2
    assert (sub.limit, sub.delivered) == (5, 2)


@pytest.mark.parametrize("subject", [b"", b".", b".a", b"a.", b"a..b", b">.a", b"a.>.b", b">.>"], ids=repr)
def test_a_malformed_subject_is_refused_and_leaves_nothing(subject: bytes) -> None:
    before = nodes()
    subjects = Sublist()
    assert not subjects.insert(Subscription(NOBODY, subject, None, b"1"))
    assert (subjects.count, subjects.inserts) == (0, 0)
    assert nodes() - before == EMPTY
    with pytest.raises(ValueError):
        subjects.watch(subject, print)


def test_a_subscription_is_in_one_sublist_at_a_time() -> None:
    one, other = Sublist(), Sublist()
    sub = subscribe(one, b"a")
    neighbour = subscribe(other, b"a")
    assert not other.remove(sub) and other.count == 1
    with pytest.raises(AssertionError):
        other.insert(sub)
    assert one.remove(sub) and other.insert(sub) and plain(other.match(b"a")) == [neighbour, sub]


@pytest.mark.parametrize("subject", [b"a..b", b".a", b"a.", b".", b""], ids=repr)
def test_a_publish_with_an_empty_token_reaches_nobody(subject: bytes) -> None:
    subjects = Sublist()
    for pattern in (b">", b"*", b"a.>", b"a.*.b", b"*.*", b"*.*.*"):
        subscribe(subjects, pattern)
    for result in (subjects.match(subject), subjects.match_uncached(subject)):
        assert (result.nodes, result.groups) == ([], [])


def test_a_publish_to_a_wildcard_is_routed_literally() -> None:
    subjects = Sublist()
    star, rest, literal, both = (subscribe(subjects, pattern) for pattern in (b"a.*", b"a.>", b"a.b", b"*.*"))
    assert set(plain(subjects.match(b"a.*"))) == {star, rest, both}
    assert set(plain(subjects.match(b"a.>"))) == {star, rest, both}
    assert set(plain(subjects.match(b"a.b"))) == {star, rest, literal, both}


def test_a_queue_group_is_one_whatever_its_members_subscribe_to() -> None:
    subjects = Sublist()
    of_q = {subscribe(subjects, pattern, b"q") for pattern in (b"a.b", b"a.*", b"*.b", b">", b"a.b")}
    of_r = {subscribe(subjects, pattern, b"r") for pattern in (b"a.b", b"a.>")}
    lone = subscribe(subjects, b"a.b")
    result = subjects.match(b"a.b")
    assert plain(result) == [lone]
    assert {queue: set(subs) for queue, subs in members(result).items()} == {b"q": of_q, b"r": of_r}
    assert [len(groups) for groups in sorted(result.groups, key=len)] == [2, 4]
    assert all(isinstance(group, Group) for groups in result.groups for group in groups)


# Members in place


def test_who_comes_and_goes_is_seen_in_a_result_of_before() -> None:
    subjects = Sublist()
    first = subscribe(subjects, b"a.*")
    worker = subscribe(subjects, b"a.*", b"q")
    result = subjects.match(b"a.b")
    more = [subscribe(subjects, b"a.*") for _ in range(5)]
    workers = [subscribe(subjects, b"a.*", b"q") for _ in range(5)]
    assert result.is_fresh() and subjects.match(b"a.b") is result
    assert plain(result) == [first, *more] and members(result) == {b"q": [worker, *workers]}
    assert subjects.remove(first) and subjects.remove(more[2]) and subjects.remove(worker)
    assert result.is_fresh()
    assert plain(result) == [more[0], more[1], *more[3:]] and set(members(result)[b"q"]) == set(workers)


def test_a_lone_subscription_has_no_list() -> None:
    subjects = Sublist()
    first, second, third = (subscribe(subjects, b"a") for _ in range(3))
    (node,) = subjects.match(b"a").nodes
    assert (node.one, node.plain) == (None, [first, second, third])
    assert subjects.remove(second) and node.plain == [first, None, third]
    assert subjects.remove(first) and (node.one, node.plain) == (third, None)
    fourth = subscribe(subjects, b"a")
    assert (node.one, node.plain) == (None, [third, fourth])


def test_members_keep_their_order_and_holes_are_bounded() -> None:
    random, subjects, expected = Random(3), Sublist(), []
    for step in range(3000):
        if expected and random.random() < (0.3 if step < 1500 else 0.6):
            assert subjects.remove(expected.pop(random.randrange(len(expected))))
        else:
            expected.append(subscribe(subjects, b"a"))
        result = subjects.match(b"a")
        assert plain(result) == expected
        assert sum(len(node.plain or [0]) for node in result.nodes) <= max(1, 2 * len(expected))


def test_a_large_group_is_never_copied() -> None:
    """Neither by a member that comes or goes, nor by a match after it."""
    subjects = Sublist()
    for _ in range(1000):
        subscribe(subjects, b"a", b"q")
    ((group,),) = subjects.match(b"a").groups
    listed = group.members
    for _ in range(100):
        sub = subscribe(subjects, b"a", b"q")
        assert listed[-1] is sub and subjects.remove(sub)
        assert subjects.match(b"a").groups[0][0] is group and group.members is listed
    for sub in list(listed):
        assert subjects.remove(sub)
    assert listed == [] and subjects.match(b"a").groups == []


# While routing


def test_a_pass_meets_everybody_once_who_stays_and_nobody_who_left() -> None:
    random = Random(5)
    for size in (1, 2, 3, 4, 10, 100):
        subjects = Sublist()
        subs = [subscribe(subjects, b"a") for _ in range(size)]
        result = subjects.match(b"a")
        met: list[Subscription] = []
        gone: set[Subscription] = set()
        subjects.routing += 1
        for node in result.nodes:
            for sub in [node.one] if node.plain is None else node.plain:
                if sub is None:
                    continue
                assert sub not in gone
                met.append(sub)
                for leaver in random.sample(subs, random.randint(0, 2) if size > 2 else 1):
                    gone.add(leaver)
                    subjects.remove(leaver)
        subjects.routing -= 1
        subjects.settle()
        assert len(met) == len(set(met)) and set(met) >= set(subs) - gone
        assert met == [sub for sub in subs if sub in met]
        left = [sub for sub in subs if sub not in gone]
        assert plain(subjects.match(b"a")) == left
        assert sum(len(node.plain or [0]) for node in subjects.match(b"a").nodes) <= max(1, 2 * len(left))


def test_holes_are_closed_when_the_outermost_pass_is_over() -> None:
    subjects = Sublist()
    subs = [subscribe(subjects, b"a") for _ in range(10)]
    (node,) = subjects.match(b"a").nodes
    subjects.routing += 2
    for sub in subs[:9]:
        assert subjects.remove(sub)
    subjects.routing -= 1
    subjects.settle()
    assert subjects.unsettled and node.plain == [None] * 9 + [subs[9]]
    late = subscribe(subjects, b"a")
    assert subjects.remove(subs[9]) and node.plain == [None] * 10 + [late]
    subjects.routing -= 1
    subjects.settle()
    assert not subjects.unsettled and (node.one, node.plain) == (late, None)


def test_a_node_that_empties_and_fills_within_a_pass() -> None:
    before = nodes()
    subjects = Sublist()
    subs = [subscribe(subjects, b"a") for _ in range(4)]
    (node,) = subjects.match(b"a").nodes
    passing = node.plain
    subjects.routing += 1
    for sub in subs:
        assert subjects.remove(sub)
    assert passing == [None] * 4
    back = [subscribe(subjects, b"a") for _ in range(3)]
    subjects.routing -= 1
    subjects.settle()
    assert passing == [None] * 4 and plain(subjects.match(b"a")) == back
    assert all(map(subjects.remove, back)) and subjects.match(b"a").nodes == []
    del node
    assert nodes() - before == EMPTY


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
    assert set(plain(result)) == {stars, rest, literal} and members(result) == {b"q": [queue]}
    assert subjects.match(b".".join([b"a"] * (depth - 1))).nodes == []
    assert plain(subjects.match(b".".join([b"a"] * (depth + 1)))) == [rest]
    for sub in (stars, rest, literal, queue):
        assert subjects.remove(sub)
    assert subjects.match(b".".join([b"a"] * depth)).nodes == []


DEEP = """
import midge
import gc, sys, threading
from midge.server.peer import CLIENT, Peer
from midge.server.sublist import Sublist, Subscription

class Holding(Peer):
    def __init__(self, subjects):
        super().__init__(1, CLIENT, subjects)

def fill():
    subjects = Sublist()
    for tokens in ([b"*"], [b"a"], [b"a", b"*"], [b"*"] * 100 + [b"a"]):
        assert subjects.insert(Subscription(Holding(subjects), b".".join(tokens * (100_000 // len(tokens))), None, b"1"))
    return subjects

def work():
    subjects = fill()
    subjects.match(b".".join([b"a"] * 100_000))
    del subjects
    assert gc.collect() > 100_000  # a ring: the subscriptions know the sublist
    subjects = fill()
    subjects.clear()
    del subjects
    subjects = Sublist()
    assert subjects.insert(Subscription(Peer(1, CLIENT, None), b".".join([b"*"] * 100_000), None, b"1"))
    del subjects
    print("alive")

# What the interpreter itself frees takes more, from 3.13 on also where the nodes are compiled; an ordinary thread has 8 MiB.
threading.stack_size(256 * 1024 if midge.compiled and sys.version_info < (3, 13) else 8 << 20 if midge.compiled else 16 << 20)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_freeing_a_deep_sublist_does_not_overflow_the_stack() -> None:
    """Cleared, garbage collected or simply let go of: in a thread with a small stack."""
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_matching_visits_each_node_at_most_once() -> None:
    """Stars and literals at every level make 2**n paths on paper; there are only as many as were subscribed to."""
    subjects = Sublist()
    depth = 200
    for at in range(depth):
        subscribe(subjects, b".".join([b"a"] * at + [b"*"] + [b"a"] * (depth - at - 1)))
        subscribe(subjects, b".".join([b"*"] * at + [b"a"] + [b"*"] * (depth - at - 1)))
    assert len(plain(subjects.match(b".".join([b"a"] * depth)))) == 2 * depth


def test_thousands_of_queue_names_on_overlapping_patterns() -> None:
    """Bringing groups of one name together is not quadratic: this takes seconds if it is."""
    subjects = Sublist()
    for pattern in (b"a.b", b"a.*", b"*.b", b">"):
        for number in range(10_000):
            subscribe(subjects, pattern, b"%d" % number)
    result = subjects.match(b"a.b")
    assert len(result.groups) == 10_000 and all(len(groups) == 4 for groups in result.groups)
    assert result.stale and subjects.cached() == 0, "too large to keep"


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
    del subs, sub
    assert nodes() - before == EMPTY * len(emptied)


def test_removing_keeps_what_others_need() -> None:
    subjects = Sublist()
    short, long = subscribe(subjects, b"a.b"), subscribe(subjects, b"a.b.c")
    assert subjects.remove(short)
    assert plain(subjects.match(b"a.b.c")) == [long] and subjects.match(b"a.b").nodes == []
    short = subscribe(subjects, b"a.b")
    assert subjects.remove(long)
    assert plain(subjects.match(b"a.b")) == [short] and subjects.match(b"a.b.c").nodes == []


def test_removing_what_is_not_there_changes_nothing() -> None:
    subjects = Sublist()
    sub = subscribe(subjects, b"a.*", b"q")
    result = subjects.match(b"a.b")
    for subject, queue in ((b"a.*", b"q"), (b"a.*", b"r"), (b"a.*", None), (b"a", b"q"), (b"b", None), (b">", None), (b"a.*.c", b"q")):
        stranger = Subscription(NOBODY, subject, queue, b"1")
        assert not subjects.remove(stranger)
        assert Sublist().insert(stranger) and not subjects.remove(stranger)
    assert result.is_fresh()
    assert (subjects.count, subjects.removes) == (1, 0)
    assert members(subjects.match(b"a.b")) == {b"q": [sub]}


def test_clear_takes_everything_out() -> None:
    subjects = Sublist()
    told: list[bool] = []
    subs = [subscribe(subjects, pattern, queue) for pattern in PATTERNS for queue in (None, None, b"q")]
    watch = subjects.watch(b"a", told.append)
    result = subjects.match(b"a.b")
    before = nodes()
    subjects.clear()
    assert before - nodes() > 10 and (subjects.count, subjects.removes, subjects.cached()) == (0, len(subs), 0)
    assert not result.is_fresh() and not any(map(subjects.remove, subs)) and told == []
    watch.cancel()
    assert all(map(subjects.insert, subs)) and subjects.count == len(subs) and told == []
    assert plain(subjects.match(b"x.y.z.1.2.3")) == [sub for sub in subs if sub.queue is None and sub.subject in (b">", b"x.y.z.1.2.3")]


def test_clear_within_a_pass() -> None:
    subjects = Sublist()
    for _ in range(5):
        subscribe(subjects, b"a")
        subscribe(subjects, b"a", b"q")
    result = subjects.match(b"a")
    passing, group = result.nodes[0].plain, result.groups[0][0]
    subjects.routing += 1
    subjects.clear()
    subjects.routing -= 1
    subjects.settle()
    assert passing == [None] * 5 and group.members == []


def test_a_subscription_that_left_is_held_by_nobody() -> None:
    class Session(Peer):
        """Something that can be referred to weakly."""

    subjects = Sublist()
    stays = subscribe(subjects, b"a.*")
    held = []
    for queue in (None, b"q"):
        session = Session(1, CLIENT, None)
        sub = Subscription(session, b"a.*", queue, b"1")
        assert subjects.insert(sub)
        held += [subjects.match(b"a.b"), subjects.match_uncached(b"a.b"), weakref.ref(session)]
        assert subjects.remove(sub)
        del session, sub
    gc.collect()
    assert held[2]() is None and held[5]() is None and plain(subjects.match(b"a.b")) == [stays]


def test_a_node_can_be_read() -> None:
    subjects = Sublist()
    sub = subscribe(subjects, b"a.b")
    (node,) = subjects.match(b"a.b").nodes
    assert isinstance(node, Node) and node.one is sub
    assert (node.plain, node.groups, node.children, node.star, node.rest) == (None, None, None, None, None)
