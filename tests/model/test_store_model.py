"""Every kind of store against a plain dict of messages: each verb, in any order, and after each step every answer.

``MIDGE_LONG=1`` walks many times farther, ``MIDGE_LONG=N`` so often.
"""

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from store.kinds import KINDS
from store.plain import Plain, totals
from trials import LONG, trials

from midge.wire.publication import Publication

SUBJECTS = [b"a", b"a.b", b"a.b.c", b"b", b"b.b", b"a.c", b"x.y.z.1", b"x.y.z.2"]
FILTERS = [b">", b"*", b"a.*", b"*.b", b"a.>", b"*.*.c", b"a.b", b"x.y.z.*", b"nobody", b"nobody.>"]
HEADERS = [b"", b"NATS/1.0\r\nA: b\r\n\r\n"]
some_filters = st.lists(st.sampled_from(FILTERS), max_size=3, unique=True).map(tuple)


class StoreModel(RuleBasedStateMachine):
    """A store beside the plain one."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.shop = KINDS[self.kind](Path(self.directory.name))
        self.store = self.shop.open()
        self.plain = Plain()
        self.time = 0
        self.settled: list[Exception | None] = []
        self.asked = 0

    def teardown(self) -> None:
        self.store.delete(lambda: None)
        self.shop.close()
        self.directory.cleanup()

    def append(self, subject: bytes, header: bytes, payload: bytes) -> None:
        weight = self.store.weight(len(subject), len(header), len(payload))
        expected = self.plain.append(subject, header, payload, self.time, weight)
        assert self.store.append(Publication.compose(subject, b"", header, payload), self.time) == expected

    @rule(subject=st.sampled_from(SUBJECTS), header=st.sampled_from(HEADERS), payload=st.binary(max_size=8), later=st.integers(-2, 3))
    def append_one(self, subject: bytes, header: bytes, payload: bytes, later: int) -> None:
        self.time = max(self.time + later, 0)
        self.append(subject, header, payload)

    @rule(seed=st.integers(0, 9), count=st.integers(1, 700), subjects=st.sampled_from([1, 3, 90]), size=st.sampled_from([0, 9, 400]))
    def append_many(self, seed: int, count: int, subjects: int, size: int) -> None:
        dice = random.Random(seed)
        for n in range(count):
            self.time += dice.randrange(3)
            subject = b"x.y.z.%d" % dice.randrange(subjects) if subjects > 1 else b"a.b"
            self.append(subject, dice.choice(HEADERS), b"%d" % n * dice.randrange(size + 1))

    @rule(sequence=st.integers(0, 40))
    def remove_near_the_first(self, sequence: int) -> None:
        self.remove(self.plain.first + sequence - 1)

    @rule(sequence=st.integers(0, 40), erase=st.booleans())
    def remove_near_the_last(self, sequence: int, erase: bool) -> None:
        if erase:
            assert self.store.erase(self.plain.last - sequence) == self.plain.remove(self.plain.last - sequence)
        else:
            self.remove(self.plain.last - sequence)

    @precondition(lambda self: self.plain.messages > 10)
    @rule(seed=st.integers(0, 9), share=st.sampled_from([0.1, 0.5, 0.9, 0.99]))
    def remove_many(self, seed: int, share: float) -> None:
        dice = random.Random(seed)
        doomed = [sequence for sequence in self.plain.stored if dice.random() < share]
        dice.shuffle(doomed)
        for sequence in doomed:
            self.remove(sequence)

    def remove(self, sequence: int) -> None:
        assert self.store.remove(sequence) == self.plain.remove(sequence)

    @rule(ahead=st.sampled_from([0, 1, 2, 60, 5_000, 10**6, 5 * 10**9]))
    def skip(self, ahead: int) -> None:
        self.store.skip(self.plain.last + ahead, self.time)
        self.plain.skip(self.plain.last + ahead, self.time)

    @rule(ahead=st.integers(0, 400))
    def drop_some(self, ahead: int) -> None:
        below = min(self.plain.first + ahead, self.plain.last + 1)
        assert self.store.drop(below) == self.plain.drop(below)

    @rule(ahead=st.sampled_from([0, 1, 2, 5_000]))
    def drop_all(self, ahead: int) -> None:
        below = self.plain.last + ahead
        assert self.store.drop(below) == self.plain.drop(below)

    @rule(filter=st.none() | st.sampled_from(FILTERS), back=st.none() | st.integers(0, 50), keep=st.sampled_from([0, 0, 1, 5]))
    def purge(self, filter: bytes | None, back: int | None, keep: int) -> None:
        below = 0 if back is None else max(self.plain.last - back, 0)
        doomed = self.plain.doomed(filter, below, keep)
        assert self.store.purge(filter, below, keep) == len(doomed)
        for sequence in doomed:
            self.plain.remove(sequence)

    @rule()
    def settle(self) -> None:
        self.store.settle(self.settled.append)
        self.asked += 1
        assert len(self.settled) < self.asked
        self.shop.turn()
        assert self.settled == [None] * self.asked and self.store.committed == self.store.last

    @rule(filters=some_filters, back=st.integers(-2, 300))
    def ask(self, filters: tuple[bytes, ...], back: int) -> None:
        sequence = max(self.plain.last - back, 0)
        store, plain = self.store, self.plain
        assert store.next(filters, sequence) == plain.next(filters, sequence)
        assert store.previous(filters, sequence) == plain.previous(filters, sequence)
        assert store.pending(filters, sequence) == plain.pending(filters, sequence)
        assert store.pending(filters, sequence, last_per_subject=True) == plain.pending(filters, sequence, True)
        assert store.lasts(filters) == plain.lasts(filters) and store.lasts(filters, sequence) == plain.lasts(filters, sequence)
        for filter in filters:
            assert totals(store, filter, 1 + abs(back) % 5) == plain.counts(filter)

    @rule(time=st.integers(-1, 30))
    def ask_by_time(self, time: int) -> None:
        assert self.store.at_time(self.time - time) == self.plain.at_time(self.time - time)

    @rule()
    def read_all(self) -> None:
        self.shop.turn()
        assert list(self.store.scan()) == list(self.plain.stored.values())
        assert list(self.store.gaps()) == list(self.plain.gaps())

    @rule(back=st.integers(-2, 300))
    def read_one(self, back: int) -> None:
        sequence = self.plain.last - back
        self.shop.turn()
        expected = self.plain.stored.get(sequence)
        assert self.store.read(sequence) == expected
        assert self.store.subject_of(sequence) == (None if expected is None else expected.subject)
        assert self.store.time_of(sequence) == (0 if expected is None else expected.time)
        assert self.store.size_of(sequence) == self.plain.weights.get(sequence, 0)

    @invariant()
    def it_counts(self) -> None:
        for name in ("messages", "size", "first", "last", "first_time", "last_time", "subjects", "deleted"):
            assert getattr(self.store, name) == getattr(self.plain, name), name
        for subject in SUBJECTS[:2]:
            assert self.store.total(subject) == self.plain.totals(subject).get(subject)


@pytest.mark.timeout(36_000 if LONG else 60)
@pytest.mark.parametrize("kind", KINDS)
def test_store_model(kind: str) -> None:
    model = type(f"StoreModel_{kind}", (StoreModel,), {"kind": kind})
    run_state_machine_as_test(
        model,
        settings=settings(
            deadline=None,
            max_examples=trials(40, 3_000),
            stateful_step_count=60 if LONG else 30,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
