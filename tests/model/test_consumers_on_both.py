"""Consumers of our engine beside nats-server's, walked at random: what each pull brings, each answer, and what both say of themselves.

Hardly any time passes: what is to come again comes because somebody says so, at once or a little later. Ours is stopped and started in
between, where that is nothing to be seen; walking far, both are, and deliveries are left unanswered until they are due. Left out is where
nats-server is known to do something else (docs/decisions.md): messages are not removed while the last messages of subjects are delivered,
nor beside a consumer that acknowledges all up to one, nor where it has delivered what it looks for no more.
``MIDGE_LONG=1`` walks many times farther, ``MIDGE_LONG=N`` so often, otherwise each time.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from disks_of_engines import closed, opened
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pair import Pair, Real
from plain_consumer import APART, DISK, FILTERS, SUBJECTS, consumer_of, matches, numbers
from servers import need_nats_server
from trials import LONG, trials
from worlds import SECOND, Delivered

MINUTE = 60 * SECOND
LATE = SECOND // 50
SLOW = 3


class ConsumersOfBoth(RuleBasedStateMachine):
    """A stream of ours and one of nats-server's, and their consumers."""

    real: ClassVar[Real]
    storage: ClassVar[str]
    retention: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir=DISK)
        self.pair = Pair(opened(Path(self.directory.name)), self.real.player)
        self.pair.api("STREAM.CREATE.S", name="S", subjects=["s.>"], storage=self.storage, retention=self.retention)
        self.policies: dict[str, str] = {}
        self.came: list[Delivered] = []
        self.last = 0
        self.subjects: dict[int, str] = {}
        self.slow = 0  # steps that take a second

    def teardown(self) -> None:
        self.pair.api("STREAM.DELETE.S")
        closed(self.pair.world)
        self.directory.cleanup()

    def consumer(self, name: str) -> Any:
        return self.pair.world.account.streams["S"].consumers[name]

    # Messages

    @rule(subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=8))
    def publish(self, subjects: list[str]) -> None:
        for subject in subjects:
            self.last += 1
            self.subjects[self.last] = subject
            self.pair.publish(subject, b"%d" % self.last)

    @property
    def may_remove(self) -> bool:
        consumers = [self.consumer(name) for name in self.policies]
        if any(each.delivery.skips is not None or "all" in each.config.ack_policy for each in consumers):
            return False
        return self.last > 0 and not any(self.widowed(name) for name in self.policies)

    def widowed(self, name: str) -> bool:
        """True if something is pending that a consumer does not look for any more: nothing tells nats-server's that it goes."""
        consumer = self.consumer(name)
        pending = [self.subjects[each] for each in consumer.ledger.sequences()]
        filters = [each.decode() for each in consumer.filters]
        return bool(filters) and not all(any(matches(each, subject) for each in filters) for subject in pending)

    @precondition(lambda self: self.may_remove)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.pair.api("STREAM.MSG.DELETE.S", seq=data.draw(st.integers(1, self.last)))

    @precondition(lambda self: self.may_remove)
    @rule(subject=st.sampled_from(["", "s.a", "s.*"]), data=st.data())
    def purge(self, subject: str, data: st.DataObject) -> None:
        below = data.draw(st.integers(1, self.last + 1))
        there = [each.sequence for each in self.pair.world.account.streams["S"].store.scan() if each.sequence < below]
        if self.storage == "memory" and sum(not subject or matches(subject, self.subjects[each]) for each in there) == 1:
            return  # nats-server takes that for a deletion there, and moves floors otherwise
        self.pair.api("STREAM.PURGE.S", seq=below, **({"filter": subject} if subject else {}))

    # Consumers

    @rule(
        name=st.sampled_from(sorted(APART)),
        policy=st.sampled_from(["explicit", "explicit", "all", "none"]),
        filters=st.sampled_from(FILTERS),
        start=st.sampled_from(["all", "all", "new", "last", "by_start_sequence", "last_per_subject"]),
        options=st.sampled_from([{}, {}, {"max_deliver": 2}, {"max_ack_pending": 3}]),
    )
    def create(self, name: str, policy: str, filters: tuple[str, ...], start: str, options: dict[str, Any]) -> None:
        if name in self.policies or (self.retention == "interest" and start == "last_per_subject"):
            return
        if self.retention == "workqueue":
            filters, start, policy = APART[name], "all", "explicit"
        if start == "last_per_subject" and not filters:
            filters = ("s.>",)
        config: dict[str, Any] = {"durable_name": name, "ack_policy": policy, "ack_wait": MINUTE, "deliver_policy": start}
        config |= {"filter_subjects": list(filters)} if filters else {}
        config |= {"opt_start_seq": self.last // 2 + 1} if start == "by_start_sequence" else {}
        answer = self.pair.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config | ({} if policy == "none" else options))
        if "error" not in answer:
            self.policies[name] = policy

    @precondition(lambda self: self.policies)
    @rule(data=st.data(), change=st.sampled_from([{"max_deliver": -1}, {"max_deliver": 3}, {"max_ack_pending": 2}, {"max_ack_pending": 9}]))
    def update(self, data: st.DataObject, change: dict[str, Any]) -> None:
        self.change(data.draw(st.sampled_from(sorted(self.policies))), change)

    @precondition(lambda self: self.policies)
    @rule(data=st.data(), filters=st.sampled_from(FILTERS))
    def change_filters(self, data: st.DataObject, filters: tuple[str, ...]) -> None:
        name = data.draw(st.sampled_from(sorted(self.policies)))
        consumer = self.consumer(name)
        if consumer.config.deliver_policy != "last_per_subject" and (self.retention == "limits" or not consumer.ledger.pending):
            self.change(name, {"filter_subject": None, "filter_subjects": list(filters or ("s.>",))})

    def change(self, name: str, change: dict[str, Any]) -> None:
        config = self.pair.world.api(f"CONSUMER.INFO.S.{name}")["config"] | change
        config = {key: value for key, value in config.items() if value is not None and key != "metadata"}
        self.pair.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config)

    @precondition(lambda self: self.policies)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.policies)))
        self.pair.api(f"CONSUMER.DELETE.S.{name}")
        del self.policies[name]
        self.came = [each for each in self.came if consumer_of(each) != name]

    # Deliveries

    @precondition(lambda self: self.policies)
    @rule(data=st.data(), batch=st.integers(1, 8))
    def fetch(self, data: st.DataObject, batch: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.policies)))
        body = json.dumps({"batch": batch, "no_wait": True}).encode()
        self.came += self.pair.ask(f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", body)

    @precondition(lambda self: self.came)
    @rule(data=st.data(), body=st.sampled_from([b"", b"+ACK", b"+OK", b"-NAK", b"-NAK", b"+WPI", b"+TERM", b"+TERM why"]))
    def answer(self, data: st.DataObject, body: bytes) -> None:
        self.pair.answer(data.draw(st.sampled_from(self.came[-12:])), body)

    @precondition(lambda self: self.came)
    @rule(which=st.lists(st.integers(0, 15), min_size=1, max_size=8))
    def acknowledge(self, which: list[int]) -> None:
        for place in which:
            self.pair.answer(self.came[max(len(self.came) - 1 - place, 0)], b"+ACK")

    @precondition(lambda self: self.came)
    @rule(data=st.data(), batch=st.integers(1, 3))
    def answer_and_fetch(self, data: st.DataObject, batch: int) -> None:
        message = data.draw(st.sampled_from(self.came[-12:]))
        if self.policies[consumer_of(message)] != "none":
            self.came += self.pair.ask(message.reply.decode(), b'+NXT {"batch": %d, "no_wait": true}' % batch)

    @precondition(lambda self: self.came)
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        """Somebody waits for a message that is to come again a little later, where no other can come."""
        message = data.draw(st.sampled_from(self.came[-12:]))
        name = consumer_of(message)
        consumer = self.consumer(name)
        if consumer.ledger.queued or consumer.delivery.count():
            return
        self.pair.answer(message, b'-NAK {"delay": %d}' % LATE)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.S.{name}"
        self.came += self.pair.ask(subject, b'{"expires": %d}' % (10 * SECOND), 5 * LATE / SECOND)

    def in_order(self, name: str) -> bool:
        """True if what is pending was delivered in the order of its sequences, the last time."""
        latest = {numbers(each)[1]: place for place, each in enumerate(self.came) if consumer_of(each) == name}
        places = [latest.get(sequence, -1) for sequence in self.consumer(name).ledger.sequences()]
        return -1 not in places and places == sorted(places)

    @precondition(lambda self: LONG and self.came and self.slow < SLOW)
    @rule(data=st.data())
    def leave_unanswered(self, data: st.DataObject) -> None:
        """What is pending is due after a second, once, and comes again: where nothing else can come."""
        name = consumer_of(data.draw(st.sampled_from(self.came[-12:])))
        consumer = self.consumer(name)
        pending = consumer.ledger.pending
        if not pending or consumer.ledger.queued or consumer.delivery.count() or not self.in_order(name):
            return
        self.slow += 1
        self.change(name, {"ack_wait": SECOND})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.S.{name}"
        self.came += self.pair.ask(subject, b'{"batch": %d, "expires": %d}' % (pending, 10 * SECOND), 1.5)
        self.change(name, {"ack_wait": MINUTE})

    # The end of ours, and of both

    @precondition(lambda self: LONG and self.storage == "file" and self.slow < SLOW)
    @rule()
    def restart_both(self) -> None:
        """Neither knows any more what was to be delivered again at once: it is when it is due."""
        self.slow += 1
        wall = self.pair.world.wall
        closed(self.pair.world)
        self.real.stop()
        self.pair.world = opened(Path(self.directory.name), wall=wall)
        self.real.start()
        self.pair.real = self.real.player

    @precondition(lambda self: self.storage == "file" and not any(self.consumer(name).ledger.queued for name in self.policies))
    @rule()
    def restart(self) -> None:
        """Only ours, where nothing waits to be delivered again."""
        wall = self.pair.world.wall
        closed(self.pair.world)
        self.pair.world = opened(Path(self.directory.name), wall=wall)

    @invariant()
    def both_agree(self) -> None:
        self.pair.agree(sorted(self.policies))
        assert not self.pair.world.outside.failures


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    need_nats_server()
    with tempfile.TemporaryDirectory(dir=DISK) as path:
        real = Real(path)
        real.start()
        yield real
        real.stop()


@pytest.mark.timeout(36_000 if LONG else 60)
@pytest.mark.parametrize("storage", ["memory", "file"])
@pytest.mark.parametrize("retention", ["limits", "interest", "workqueue"])
def test_both_do_the_same(retention: str, storage: str, real: Real) -> None:
    model = type("Model", (ConsumersOfBoth,), {"retention": retention, "storage": storage, "real": real})
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=trials(4, 300),
            stateful_step_count=60 if LONG else 20,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
