"""Consumers of one stream beside a small model: they are pulled from and answered in every way while time passes, messages are removed,
configurations change, and the engine is stopped and killed.

What the model asks: a message comes in its turn, as often as it says, and not before its time; all that is due comes; what was confirmed
never comes again; what is counted is right; floors only rise, and stay below what is pending; after a crash there is at most what was there
before, and nothing of it is lost. In the end everything is taken: all came at least once, and a work queue is empty. In which order
messages come again the model does not know, and what the engine may decide as it likes is a range for it. ``MIDGE_LONG=1`` has it walk many
times farther, otherwise each time.
"""

import json
import shutil
from typing import Any

import pytest
from consumer_machine import ConsumerMachine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from plain_consumer import APART, FILTERS, SUBJECTS, Plain, consumer_of, matches
from trials import LONG, trials
from worlds import SECOND

NAMES = sorted(APART)
BACKOFF = (2 * SECOND, 5 * SECOND, 3 * SECOND)
UPDATES: list[dict[str, Any]] = [
    {"ack_wait": 3 * SECOND}, {"ack_wait": 20 * SECOND}, {"max_deliver": -1}, {"max_deliver": 4}, {"max_ack_pending": 2},
    {"max_ack_pending": 1_000}, {"description": "x"}, {"backoff": BACKOFF, "max_deliver": 5}, {"backoff": ()},
]  # fmt: skip


class ConsumerModel(ConsumerMachine):
    """The rules."""

    @rule(subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=12))
    def publish(self, subjects: list[str]) -> None:
        for subject in subjects:
            self.last += 1
            assert json.loads(self.world.ack(subject, b"%d" % self.last))["seq"] == self.last
            self.messages[self.last] = self.subjects[self.last] = subject
        self.settle()

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.messages)))
        assert self.world.api("STREAM.MSG.DELETE.S", seq=sequence)["success"]
        self.delete_all({sequence})

    @precondition(lambda self: self.messages)
    @rule(subject=st.sampled_from(["", "s.a", "s.*"]), data=st.data())
    def purge(self, subject: str, data: st.DataObject) -> None:
        below = data.draw(st.integers(1, self.last + 1))
        self.world.api("STREAM.PURGE.S", seq=below, **({"filter": subject} if subject else {}))
        self.delete_all({each for each, its in self.messages.items() if each < below and (not subject or matches(subject, its))})

    def delete_all(self, gone: set[int]) -> None:
        self.deleted |= gone
        self.remove(gone)

    @rule(
        name=st.sampled_from(NAMES),
        policy=st.sampled_from(["explicit", "explicit", "explicit", "all", "none"]),
        filters=st.sampled_from(FILTERS),
        start=st.sampled_from(["all", "all", "new", "by_start_sequence", "last_per_subject"]),
        options=st.sampled_from([{}, {}, {"max_deliver": 2}, {"max_ack_pending": 3}, {"backoff": BACKOFF, "max_deliver": 4}]),
    )
    def create(self, name: str, policy: str, filters: tuple[str, ...], start: str, options: dict[str, Any]) -> None:
        if name in self.plain:
            return
        if self.retention == "workqueue":
            filters, start, policy = APART[name], "all", "explicit"
            if set(self.plain) if name == "A" else "A" in self.plain:
                return
        if policy == "none":
            options = {}
        if start == "last_per_subject" and not filters:
            filters = ("s.>",)
        config: dict[str, Any] = {"durable_name": name, "ack_policy": policy, "ack_wait": 10 * SECOND, "deliver_policy": start}
        config |= {"filter_subjects": list(filters)} if filters else {}
        config |= {"opt_start_seq": self.last // 2 + 1} if start == "by_start_sequence" else {}
        answer = self.world.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config | options)
        assert "error" not in answer, answer
        plain = self.plain[name] = Plain(policy, filters, 1, born=self.last)
        self.configure(plain, options)
        if start == "new":
            plain.next = self.last + 1
        elif start == "by_start_sequence":
            plain.next = self.last // 2 + 1
        elif start == "last_per_subject":
            latest = {its: each for each, its in sorted(self.messages.items()) if plain.wants(its)}
            plain.skips = sorted(latest.values())
            plain.next = self.last + 1 if latest else self.reached(name)
        self.settle()

    @precondition(lambda self: self.plain)
    @rule(data=st.data(), change=st.sampled_from(UPDATES))
    def update(self, data: st.DataObject, change: dict[str, Any]) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        plain = self.plain[name]
        config = self.world.api(f"CONSUMER.INFO.S.{name}")["config"]
        if (
            plain.policy == "none"
            or len(change.get("backoff", config.get("backoff", ()))) > change.get("max_deliver", plain.max_deliver) > 0
        ):
            return
        answer = self.world.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config | change)
        assert "error" not in answer, (change, answer)
        self.configure(plain, answer["config"])
        self.turn_clock(0)

    @precondition(lambda self: self.retention == "limits" and self.plain)
    @rule(data=st.data(), filters=st.sampled_from(FILTERS))
    def change_filters(self, data: st.DataObject, filters: tuple[str, ...]) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        plain = self.plain[name]
        config = self.world.api(f"CONSUMER.INFO.S.{name}")["config"]
        filters = filters or ("s.>",)
        config = {key: value for key, value in config.items() if not key.startswith("filter_")} | {"filter_subjects": list(filters)}
        answer = self.world.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config)
        assert "error" not in answer, answer
        reached = self.reached(name)
        assert all(each >= reached for each in self.fresh(plain)), "it was passed over"
        plain.filters, plain.next = filters, max(plain.next, reached)
        plain.born = max(plain.born, plain.next - 1)  # what it has passed over it never gets

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        assert self.world.api(f"CONSUMER.DELETE.S.{name}")["success"]
        del self.plain[name]
        self.replies = [each for each in self.replies if consumer_of(each) != name]
        self.settle()

    @precondition(lambda self: self.plain)
    @rule(data=st.data(), batch=st.integers(1, 8))
    def fetch(self, data: st.DataObject, batch: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        self.pull(name, batch)

    @precondition(lambda self: self.replies)
    @rule(
        data=st.data(),
        body=st.sampled_from([b"", b"+ACK", b"+OK", b"-NAK", b"-NAK 4s", b'-NAK {"delay": 7000000000}', b"+WPI", b"+TERM", b"+TERM why"]),
        how=st.sampled_from(["", "", "confirmed"]),
    )
    def reply(self, data: st.DataObject, body: bytes, how: str) -> None:
        """Answer one of the latest deliveries."""
        message = data.draw(st.sampled_from(self.replies[-12:]))
        self.answer(message, body, how == "confirmed")

    @precondition(lambda self: self.replies)
    @rule(which=st.lists(st.integers(0, 15), min_size=1, max_size=8), confirmed=st.booleans())
    def acknowledge(self, which: list[int], confirmed: bool) -> None:
        for place in which:
            self.answer(self.replies[max(len(self.replies) - 1 - place, 0)], b"+ACK", confirmed)

    @precondition(lambda self: self.replies)
    @rule(data=st.data(), batch=st.integers(1, 3))
    def reply_and_fetch(self, data: st.DataObject, batch: int) -> None:
        message = data.draw(st.sampled_from(self.replies[-12:]))
        name = consumer_of(message)
        if self.plain[name].policy == "none":
            return  # nobody listens to it
        self.note(message)
        body = b'+NXT {"batch": %d, "no_wait": true}' % batch
        self.take(name, batch, lambda to: self.world.publish(message.reply.decode(), body, to))

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 11.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.turn_clock(int(seconds * SECOND))

    @precondition(lambda self: self.storage == "file")
    @rule()
    def restart(self) -> None:
        """Stop as a server does, and start again."""
        self.close(self.world)
        self.reopen()
        for name in self.plain:
            self.interrupt(name)
        self.turn_clock(0)

    @precondition(lambda self: self.storage == "file")
    @rule()
    def write(self) -> None:
        """What nobody waits for is written."""
        self.world.wall += SECOND
        self.world.directory.handle_timeout(self.world.wall)
        self.world.turn()
        self.turn_clock(0)

    @precondition(lambda self: self.storage == "file")
    @rule()
    def crash(self) -> None:
        """The machine stops: the files are as they are."""
        old, wall = self.world, self.world.wall
        path = self.path
        self.opened += 1
        shutil.copytree(path, self.path)
        self.reopen()
        assert self.world.wall == wall
        self.close(old)
        shutil.rmtree(path)
        self.find_messages()
        for name, plain in self.plain.items():
            self.adopt(name, plain)
        self.turn_clock(0)


@pytest.mark.timeout(36_000 if LONG else 60)
@pytest.mark.parametrize("storage", ["memory", "file"])
@pytest.mark.parametrize("retention", ["limits", "interest", "workqueue"])
def test_consumers_and_the_model(retention: str, storage: str) -> None:
    model = type("Model", (ConsumerModel,), {"retention": retention, "storage": storage})
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=trials(6, 1_500),
            stateful_step_count=80 if LONG else 25,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
