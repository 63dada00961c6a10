"""server.sublist against a plain list and the naive matcher: who matches, what is fresh, who is told, what is counted."""

from collections.abc import Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from midge.server.peer import CLIENT, Peer
from midge.server.results import MAX_BUSY, MAX_NEW, Result
from midge.server.sublist import Sublist, Subscription
from midge.server.watch import Watch
from midge.subject import is_valid, matches

NOBODY = Peer(1, CLIENT, None)
LITERALS = st.sampled_from(["a", "b"])  # few, so that patterns, subjects and watches meet
MALFORMED = st.sampled_from(["", ".", "a.", ".a", "a..b", "a*", ">a", "a.>b", "**"])
PATTERNS = st.lists(LITERALS | st.sampled_from(["*", ">"]), min_size=1, max_size=3).map(".".join)
ANY_PATTERNS = PATTERNS | PATTERNS | PATTERNS | MALFORMED
SUBJECTS = st.lists(LITERALS, min_size=1, max_size=3).map(".".join)
ANY_SUBJECTS = SUBJECTS | SUBJECTS | SUBJECTS | ANY_PATTERNS
QUEUES = st.sampled_from([None, None, b"q", b"r"])


def members(node: object) -> list[Subscription]:
    """The plain subscriptions of a node, in order."""
    one, plain = node.one, node.plain  # type: ignore[attr-defined]
    assert one is None or plain is None
    return [sub for sub in ([one] if plain is None else plain) if sub is not None]


def route(result: Result) -> Iterator[Subscription]:
    """Pass over the plain subscriptions as the hub does; whoever takes from this may change the sublist in between."""
    for node in result.nodes:
        if node.one is not None:
            yield node.one
        elif node.plain is not None:
            for sub in node.plain:
                if sub is not None:
                    yield sub


class Pass:
    """A routing pass that is under way: whom it has met, who was there from its beginning and still is, who left meanwhile."""

    def __init__(self, result: Result) -> None:
        self.way = route(result)
        self.met: list[Subscription] = []
        self.staying = {sub for node in result.nodes for sub in members(node)}
        self.gone: set[Subscription] = set()

    def step(self) -> bool:
        """Meet the next. False at the end."""
        sub = next(self.way, None)
        if sub is None:
            return False
        assert sub not in self.met, "nobody is met twice"
        assert sub not in self.gone, "who left is not met"
        self.met.append(sub)
        return True


class SublistModel(RuleBasedStateMachine):
    """A sublist beside the list of what is in it; results of before, which may claim to be fresh; watches; a pass under way."""

    def __init__(self) -> None:
        super().__init__()
        self.sublist = Sublist()
        self.present: list[Subscription] = []
        self.removed: list[Subscription] = []
        self.results: list[Result] = []
        self.watches: list[tuple[Watch, bytes, bytes | None, list[bool]]] = []
        self.passing: Pass | None = None
        self.counts = {"inserts": 0, "removes": 0, "matches": 0}

    def expected(self, subject: bytes) -> tuple[list[Subscription], dict[bytes, set[Subscription]]]:
        """Who should match: plain subscriptions in the order they came, and the members of each group."""
        plain: list[Subscription] = []
        groups: dict[bytes, set[Subscription]] = {}
        for sub in self.present:
            if b"" not in subject.split(b".") and matches(sub.subject.decode(), subject.decode()):
                if sub.queue is None:
                    plain.append(sub)
                else:
                    groups.setdefault(sub.queue, set()).add(sub)
        return plain, groups

    def check(self, subject: bytes, result: Result) -> None:
        """Assert that a result is what it should be now, in order within each pattern, and names nobody twice."""
        plain, groups = self.expected(subject)
        named = [members(node) for node in result.nodes]
        assert all(named), "no node without members"
        assert sorted(map(id, sum(named, []))) == sorted(map(id, plain))
        for subs in named:
            assert subs == [sub for sub in plain if sub.subject == subs[0].subject]
        assert len(result.groups) == len(groups)
        for namesakes in result.groups:
            (queue,) = {group.queue for group in namesakes}
            found = [sub for group in namesakes for sub in group.members]
            assert set(found) == groups[queue] and len(found) == len(groups[queue]) and all(group.members for group in namesakes)

    @rule(pattern=ANY_PATTERNS, queue=QUEUES, times=st.integers(1, 4))
    def insert(self, pattern: str, queue: bytes | None, times: int) -> None:
        for _ in range(times):
            sub = Subscription(NOBODY, pattern.encode(), queue, b"1")
            inserted = self.sublist.insert(sub)
            assert inserted == is_valid(pattern)
            if inserted:
                self.present.append(sub)
                self.counts["inserts"] += 1

    @precondition(lambda self: self.present)
    @rule(data=st.data(), times=st.integers(1, 4))
    def remove(self, data: st.DataObject, times: int) -> None:
        at = data.draw(st.integers(0, len(self.present) - 1))  # neighbours: they often have one pattern
        for _ in range(min(times, len(self.present) - at)):
            sub = self.present.pop(at)
            assert self.sublist.remove(sub)
            self.removed.append(sub)
            self.counts["removes"] += 1
            if self.passing is not None:
                self.passing.staying.discard(sub)
                self.passing.gone.add(sub)

    @precondition(lambda self: self.removed and self.passing is None)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        sub = self.removed.pop(data.draw(st.integers(0, len(self.removed) - 1)))
        assert self.sublist.insert(sub)
        self.present.append(sub)
        self.counts["inserts"] += 1

    @rule(pattern=ANY_PATTERNS, queue=QUEUES)
    def remove_what_is_not_there(self, pattern: str, queue: bytes | None) -> None:
        sub = Subscription(NOBODY, pattern.encode(), queue, b"1")
        assert not self.sublist.remove(sub)
        Sublist().insert(sub)
        assert not self.sublist.remove(sub)
        assert not any(map(self.sublist.remove, self.removed))

    @rule(subject=ANY_SUBJECTS, times=st.integers(1, 3))
    def match(self, subject: str, times: int) -> None:
        for _ in range(times):
            result = self.sublist.match(subject.encode())
            self.counts["matches"] += 1
            assert result.subject == subject.encode() and result.is_fresh()
            self.check(result.subject, result)
        self.results = [*self.results[-19:], result]

    @rule(subject=ANY_SUBJECTS)
    def match_uncached(self, subject: str) -> None:
        cached, hits = self.sublist.cached(), self.sublist.hits
        result = self.sublist.match_uncached(subject.encode())
        assert (self.sublist.cached(), self.sublist.hits) == (cached, hits) and not result.is_fresh()
        self.check(subject.encode(), result)
        kept = self.sublist.match(subject.encode())
        assert (result.nodes, result.groups) == (kept.nodes, kept.groups)
        self.counts["matches"] += 2

    @rule(subject=PATTERNS.filter(is_valid), queue=QUEUES)
    def watch(self, subject: str, queue: bytes | None) -> None:
        told: list[bool] = []
        watch = self.sublist.watch(subject.encode(), told.append, queue)
        self.watches.append((watch, subject.encode(), queue, told))
        told.append(watch.interested)

    @precondition(lambda self: self.watches)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        watch, *_ = self.watches.pop(data.draw(st.integers(0, len(self.watches) - 1)))
        watch.cancel()

    @precondition(lambda self: self.passing is None)
    @rule(subject=SUBJECTS)
    def begin_a_pass(self, subject: str) -> None:
        result = self.sublist.match(subject.encode())
        self.counts["matches"] += 1
        self.sublist.routing += 1
        self.passing = Pass(result)
        self.passing.step()

    @precondition(lambda self: self.passing is not None)
    @rule(steps=st.integers(1, 3), ends=st.booleans())
    def go_on_with_the_pass(self, steps: int, ends: bool) -> None:
        assert self.passing is not None
        going = all(self.passing.step() for _ in range(steps))
        if ends:
            while going:
                going = self.passing.step()
        if going:
            return
        assert self.passing.staying <= set(self.passing.met), "nobody is skipped"
        self.passing = None
        self.sublist.routing -= 1
        self.sublist.settle()
        assert not self.sublist.unsettled

    @precondition(lambda self: self.passing is None and len(self.present) > 12)
    @rule()
    def clear(self) -> None:
        self.sublist.clear()
        self.counts["removes"] += len(self.present)
        self.removed += self.present
        self.present, self.watches = [], []
        assert not any(result.is_fresh() for result in self.results)

    @invariant()
    def what_claims_to_be_fresh_is_right(self) -> None:
        for result in self.results:
            if result.is_fresh():
                self.check(result.subject, result)
            else:
                assert not result.stale or (result.nodes, result.groups) == ([], [])

    @invariant()
    def watches_know(self) -> None:
        for watch, subject, queue, told in self.watches:
            interested = any(sub.subject == subject and sub.queue == queue for sub in self.present)
            assert self.sublist.has_interest(subject, queue) == interested
            assert told[-1] == watch.interested and all(before != after for before, after in zip(told, told[1:]))
            assert watch.interested == interested or self.passing is not None

    @invariant()
    def it_counts(self) -> None:
        assert self.sublist.count == len(self.present)
        assert {name: getattr(self.sublist, name) for name in self.counts} == self.counts
        assert 0 <= self.sublist.hits <= self.sublist.matches
        assert 0 <= self.sublist.cached() <= MAX_BUSY + MAX_NEW


TestSublistModel = SublistModel.TestCase
TestSublistModel.settings = settings(deadline=None, max_examples=200, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow])
