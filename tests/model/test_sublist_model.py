"""server.sublist against a plain list and the naive matcher: who matches, what is fresh, what is counted."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from midge.server.sublist import MAX_HOT, MAX_NEW, Result, Sublist, Subscription
from midge.subject import is_valid, matches

TOKENS = st.sampled_from(["a", "b", "c", "_INBOX", "*", ">"])
PATTERNS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join) | st.sampled_from(["", ".", "a.", ".a", "a..b", "a*", ">a", "a.>b", "**"])
SUBJECTS = st.lists(st.sampled_from(["a", "b", "c", "_INBOX"]), min_size=1, max_size=4).map(".".join) | PATTERNS
QUEUES = st.sampled_from([None, None, b"q", b"r"])


class SublistModel(RuleBasedStateMachine):
    """A sublist beside the list of what is in it, and results of before, which may claim to be fresh."""

    def __init__(self) -> None:
        super().__init__()
        self.sublist = Sublist()
        self.present: list[Subscription] = []
        self.removed: list[Subscription] = []
        self.results: list[Result] = []
        self.counts = {"inserts": 0, "removes": 0, "matches": 0}

    def expected(self, subject: bytes) -> tuple[set[Subscription], dict[bytes, set[Subscription]]]:
        """Who should match: plain subscriptions, and the members of each group."""
        plain: set[Subscription] = set()
        groups: dict[bytes, set[Subscription]] = {}
        for sub in self.present:
            if b"" not in subject.split(b".") and matches(sub.subject.decode(), subject.decode()):
                (plain if sub.queue is None else groups.setdefault(sub.queue, set())).add(sub)
        return plain, groups

    def check(self, result: Result) -> None:
        """Assert that a result is what it should be now, and names nobody twice."""
        plain, groups = self.expected(result.subject)
        assert set(result.plain) == plain and len(result.plain) == len(plain)
        assert len(result.groups) == len(groups)
        for members in result.groups:
            queue = members[0].queue
            assert queue is not None
            assert set(members) == groups[queue] and len(members) == len(groups[queue])

    @rule(pattern=PATTERNS, queue=QUEUES)
    def insert(self, pattern: str, queue: bytes | None) -> None:
        sub = Subscription(None, pattern.encode(), queue, b"1")
        inserted = self.sublist.insert(sub)
        assert inserted == is_valid(pattern)
        if inserted:
            self.present.append(sub)
            self.counts["inserts"] += 1

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.present:
            sub = self.present.pop(data.draw(st.integers(0, len(self.present) - 1)))
            assert self.sublist.remove(sub)
            self.removed.append(sub)
            self.counts["removes"] += 1

    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        if self.removed:
            sub = self.removed.pop(data.draw(st.integers(0, len(self.removed) - 1)))
            assert self.sublist.insert(sub)
            self.present.append(sub)
            self.counts["inserts"] += 1

    @rule(pattern=PATTERNS, queue=QUEUES)
    def remove_what_is_not_there(self, pattern: str, queue: bytes | None) -> None:
        assert not self.sublist.remove(Subscription(None, pattern.encode(), queue, b"1"))

    @rule()
    def remove_what_was_removed(self) -> None:
        for sub in self.removed:
            assert not self.sublist.remove(sub)

    @rule(subject=SUBJECTS, times=st.integers(1, 3))
    def match(self, subject: str, times: int) -> None:
        for _ in range(times):
            result = self.sublist.match(subject.encode())
            self.counts["matches"] += 1
            assert result.subject == subject.encode()
            assert self.sublist.is_fresh(result)
            self.check(result)
        self.results = [*self.results[-9:], result]

    @invariant()
    def what_claims_to_be_fresh_is_right(self) -> None:
        for result in self.results:
            if self.sublist.is_fresh(result):
                self.check(result)

    @invariant()
    def it_counts(self) -> None:
        assert self.sublist.count == len(self.present)
        assert {name: getattr(self.sublist, name) for name in self.counts} == self.counts
        assert 0 <= self.sublist.hits <= self.sublist.matches
        assert 0 <= self.sublist.cached() <= MAX_HOT + MAX_NEW


TestSublistModel = SublistModel.TestCase
TestSublistModel.settings = settings(deadline=None, max_examples=120, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
