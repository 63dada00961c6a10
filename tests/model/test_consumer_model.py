"""Consumers of one stream beside a small model: they are pulled from and answered in every way while time passes, messages are removed,
configurations change, and the engine is stopped and killed.

What the model asks: a message comes in its turn, as often as it says, and not before its time; all that is due comes; what was confirmed
never comes again; what is counted is right; floors only rise, and stay below what is pending; after a crash there is at most what was there
before, and nothing of it is lost. In the end everything is taken: all came at least once, and a work queue is empty. In which order
messages come again the model does not know, and what the engine may decide as it likes is a range for it. Where a consumer acknowledges all
up to a message, none is deleted or purged: what that acknowledges is not the model's business. ``MIDGE_LONG=1`` walks much farther.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from disks_of_engines import closed, opened
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from worlds import SECOND, Delivered, World

from midge.model.consumer import ConsumerInfo

LONG = bool(os.environ.get("MIDGE_LONG"))
SUBJECTS = ["s.a", "s.b", "s.a.b", "s.c.d"]
FILTERS = [(), ("s.a",), ("s.*",), ("s.a", "s.c.>"), ("s.x",)]
APART = {"A": (), "B": ("s.b",), "C": ("s.a", "s.a.b"), "D": ("s.c.>",)}  # of a work queue: each message is for one; A is for all
NAMES = sorted(APART)
DISK = "/dev/shm" if os.path.isdir("/dev/shm") else None  # syncing is not what is tested
FUZZ = SECOND // 100  # the engine looks at what is due a little later
BACKOFF = (2 * SECOND, 5 * SECOND, 3 * SECOND)
UPDATES: list[dict[str, Any]] = [
    {"ack_wait": 3 * SECOND}, {"ack_wait": 20 * SECOND}, {"max_deliver": -1}, {"max_deliver": 4}, {"max_ack_pending": 2},
    {"max_ack_pending": 1_000}, {"description": "x"}, {"backoff": BACKOFF, "max_deliver": 5}, {"backoff": ()},
]  # fmt: skip


@dataclass
class Entry:
    """A delivered message that is not acknowledged."""

    count: int  # deliveries
    place: int  # the first delivery sequence; 0 where it is not known any more
    time: int
    queued: str = ""  # to be delivered again: "" (no), "maybe", "yes"


@dataclass
class Plain:
    """The model of a consumer."""

    policy: str
    filters: tuple[str, ...]
    next: int
    ack_wait: int = 10 * SECOND
    backoff: tuple[int, ...] = ()
    max_deliver: int = -1
    max_pending: int = 1_000
    places: int = 0  # deliveries
    skips: list[int] = field(default_factory=list)
    pending: dict[int, Entry] = field(default_factory=dict)
    leaving: dict[int, Entry] = field(default_factory=dict)  # gone, or given up: counted, or not any more
    given_up: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    confirmed: set[int] = field(default_factory=set)
    came: set[int] = field(default_factory=set)
    floor: tuple[int, int] = (0, 0)
    born: int = 0  # the stream's last sequence when it was made

    def wants(self, subject: str) -> bool:
        return not self.filters or any(matches(each, subject) for each in self.filters)

    def wait_of(self, entry: Entry) -> int:
        return self.backoff[min(entry.count, len(self.backoff)) - 1] if self.backoff else self.ack_wait

    def is_over(self, entry: Entry) -> bool:
        return 0 < self.max_deliver <= entry.count

    def due_in(self, wall: int) -> bool:
        """True if for some entry it depends on the engine's mood whether its time is over."""
        return any(0 <= wall - each.time - self.wait_of(each) < FUZZ for each in self.pending.values() if each.queued != "yes")

    def pass_time(self, wall: int) -> None:
        for sequence, entry in list(self.pending.items()):
            if entry.queued != "yes" and entry.time + self.wait_of(entry) < wall:
                entry.queued = "yes"
            if entry.queued and self.is_over(entry):
                self.give_up(sequence)

    def give_up(self, sequence: int) -> None:
        self.leaving[sequence] = self.pending.pop(sequence)
        self.given_up.add(sequence)

    def finish(self, sequence: int) -> None:
        self.pending.pop(sequence, None)
        self.leaving.pop(sequence, None)
        self.given_up.discard(sequence)
        self.done.add(sequence)


def matches(filter: str, subject: str) -> bool:
    mine, its = filter.split("."), subject.split(".")
    if mine[-1] == ">":
        return len(its) >= len(mine) and its[: len(mine) - 1] == mine[:-1]
    return len(mine) == len(its) and all(a in ("*", b) for a, b in zip(mine, its, strict=True))


class ConsumerModel(RuleBasedStateMachine):
    """A stream with consumers, and the model."""

    storage: ClassVar[str]
    retention: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir=DISK)
        self.opened = 0
        self.world = self._opened()
        self.world.create(storage=self.storage, retention=self.retention)
        self.messages: dict[int, str] = {}  # that are in the stream for sure
        self.doubtful: set[int] = set()  # that may be there as well
        self.last = 0
        self.plain: dict[str, Plain] = {}
        self.replies: list[Delivered] = []  # of all deliveries
        self.seen = 0
        self.number = 0

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.close(self.world)
            self.directory.cleanup()

    # Publishing and removing

    @rule(subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=12))
    def publish(self, subjects: list[str]) -> None:
        for subject in subjects:
            self.last += 1
            assert json.loads(self.world.ack(subject, b"%d" % self.last))["seq"] == self.last
            self.messages[self.last] = subject
        self.settle()

    @precondition(lambda self: self.messages and self.may_remove)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.messages)))
        assert self.world.api("STREAM.MSG.DELETE.S", seq=sequence)["success"]
        self.remove({sequence})

    @property
    def may_remove(self) -> bool:
        return all(plain.policy != "all" for plain in self.plain.values())

    @precondition(lambda self: self.messages and self.may_remove)
    @rule(subject=st.sampled_from(["", "s.a", "s.*"]), data=st.data())
    def purge(self, subject: str, data: st.DataObject) -> None:
        below = data.draw(st.integers(1, self.last + 1))
        self.world.api("STREAM.PURGE.S", seq=below, **({"filter": subject} if subject else {}))
        self.remove({each for each, its in self.messages.items() if each < below and (not subject or matches(subject, its))})

    def remove(self, gone: set[int]) -> None:
        """Messages are no more: whoever had them does not get them again."""
        for sequence in gone:
            self.messages.pop(sequence, None)
            self.doubtful.discard(sequence)
        for plain in self.plain.values():
            for sequence in gone & set(plain.pending):
                plain.leaving[sequence] = plain.pending.pop(sequence)

    # Consumers

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
            plain.skips, plain.next = sorted(latest.values()), self.last + 1
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

    def configure(self, plain: Plain, config: dict[str, Any]) -> None:
        plain.ack_wait = config.get("ack_wait", plain.ack_wait)
        plain.backoff = tuple(config.get("backoff", ()))
        plain.max_deliver = config.get("max_deliver", plain.max_deliver)
        plain.max_pending = config.get("max_ack_pending", plain.max_pending)
        if plain.backoff:
            plain.ack_wait = plain.backoff[0]

    @precondition(lambda self: self.retention == "limits" and self.plain)
    @rule(data=st.data(), filters=st.sampled_from(FILTERS))
    def change_filters(self, data: st.DataObject, filters: tuple[str, ...]) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        plain = self.plain[name]
        if plain.skips:
            return
        config = self.world.api(f"CONSUMER.INFO.S.{name}")["config"]
        filters = filters or ("s.>",)
        config = {key: value for key, value in config.items() if not key.startswith("filter_")} | {"filter_subjects": list(filters)}
        answer = self.world.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=config)
        assert "error" not in answer, answer
        reached = self.world.account.streams["S"].consumers[name].ledger.next
        assert all(each >= reached for each in self.fresh(plain)), "it was passed over"
        plain.filters, plain.next = filters, max(plain.next, reached)

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        assert self.world.api(f"CONSUMER.DELETE.S.{name}")["success"]
        plain = self.plain.pop(name)
        self.replies = [each for each in self.replies if consumer_of(each) != name]
        if self.retention == "interest":
            unneeded = {each for each, its in self.messages.items() if plain.wants(its) and not self.is_needed(each)}
            self.messages = {each: its for each, its in self.messages.items() if each not in unneeded}
            self.doubtful |= unneeded

    # Messages

    @precondition(lambda self: self.plain)
    @rule(data=st.data(), batch=st.integers(1, 8))
    def fetch(self, data: st.DataObject, batch: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        self.pull(name, batch)

    def pull(self, name: str, batch: int) -> list[Delivered]:
        """Ask for messages that are there; they come, so many as there can be."""
        body = json.dumps({"batch": batch, "no_wait": True}).encode()
        return self.take(name, batch, lambda to: self.world.publish(f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", body, to))

    def take(self, name: str, batch: int, ask: Callable[[str], object]) -> list[Delivered]:
        """Ask in any way, and check what comes."""
        self.number += 1
        least, most = self.expected(self.plain[name])
        ask(f"I.{self.number}")
        self.world.turn()
        news = [each for each in self.news() if each.reply]
        for message in news:
            assert message.to == b"I.%d" % self.number
            self.check(name, message)
        assert min(least, batch) <= len(news) <= min(most, batch), (least, most, batch, len(news))
        self.world.outside.deaf.add(b"I.%d" % self.number)  # where too much waits for acknowledgements, the request would wait, too
        self.settle()
        return news

    def news(self) -> list[Delivered]:
        new = self.world.outside.delivered[self.seen :]
        self.seen = len(self.world.outside.delivered)
        self.world.outside.sent.clear()
        self.replies += [each for each in new if each.reply]
        return new

    def expected(self, plain: Plain) -> tuple[int, int]:
        """How many messages can come now, at least and at most."""
        again = [each.queued for each in plain.pending.values()]
        fresh = len(self.fresh(plain))
        if plain.policy == "none" or plain.max_pending <= 0:
            return fresh, fresh
        least = max(plain.max_pending - len(plain.pending) - len(plain.leaving), 0)
        most = max(plain.max_pending - len(plain.pending), 0)
        return again.count("yes") + min(fresh, least), len(again) - again.count("") + min(fresh, most)

    def fresh(self, plain: Plain) -> list[int]:
        """What it has not got yet."""
        found = [each for each in plain.skips if each in self.messages]
        return found + [each for each, its in sorted(self.messages.items()) if each >= plain.next and plain.wants(its)]

    def gone(self, plain: Plain) -> int:
        """Messages that were to come as the last of their subjects, and are no more: they may be counted until their turn has come."""
        return sum(each not in self.messages for each in plain.skips)

    def check(self, name: str, message: Delivered) -> None:
        """A message has come: may it?"""
        plain, wall = self.plain[name], self.world.wall
        count, sequence, place, _, left = numbers(message)
        assert consumer_of(message) == name
        assert sequence in self.messages and message.subject == self.messages[sequence].encode(), "it is not in the stream"
        assert message.payload == b"%d" % sequence
        assert sequence not in plain.confirmed, "it was confirmed"
        assert sequence not in plain.done, "it was acknowledged"
        assert place == plain.places + 1
        plain.places = place
        plain.came.add(sequence)
        fresh = self.fresh(plain)
        if sequence in plain.pending:
            entry = plain.pending[sequence]
            assert entry.queued, "its time has not come"
            assert count == entry.count + 1 and not plain.is_over(entry)
            entry.count, entry.time, entry.queued = count, wall, ""
            assert len(fresh) <= left <= len(fresh) + self.gone(plain)
            return
        assert (count, sequence) == (1, fresh[0]), "it is not its turn"
        assert len(fresh) - 1 <= left <= len(fresh) - 1 + self.gone(plain)
        if plain.skips:
            plain.skips = [each for each in plain.skips if each > sequence]
        else:
            plain.next = sequence + 1
        if plain.policy == "none":
            plain.done.add(sequence)
        else:
            plain.pending[sequence] = Entry(1, place, wall)

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
        self.note(message)
        body = b'+NXT {"batch": %d, "no_wait": true}' % batch
        self.take(name, batch, lambda to: self.world.publish(message.reply.decode(), body, to))

    def answer(self, message: Delivered, body: bytes, confirmed: bool) -> None:
        plain, wall, ledger_floor = self.plain[consumer_of(message)], self.world.wall, self.floor(consumer_of(message))
        _, sequence, place, *_ = numbers(message)
        is_ours = sequence < plain.next or sequence in plain.came
        if body.startswith(b"-NAK"):
            entry = plain.pending.get(sequence)
            if entry is not None and place > ledger_floor[0]:
                delay = 4 * SECOND if b"4s" in body else 7 * SECOND if b"{" in body else 0
                if delay:
                    entry.time, entry.queued = wall - plain.ack_wait + delay, ""
                else:
                    entry.queued = "yes"
        elif body == b"+WPI":
            entry = plain.pending.get(sequence)
            if entry is not None:
                entry.time = wall
        else:
            self.note(message)
        reply = f"R.ack{self.number}" if confirmed else ""
        self.number += 1
        before = len(self.world.outside.sent)
        self.world.publish(message.reply.decode(), body, reply)
        self.world.turn()
        told = (reply.encode(), b"", b"") in self.world.outside.sent[before:]
        if not body.startswith((b"-NAK", b"+WPI")) and confirmed and plain.policy != "none":
            assert told == is_ours
            if told:
                plain.confirmed |= {sequence} & plain.done
        self.turn_clock(0)

    def note(self, message: Delivered) -> None:
        """The model's side of an acknowledgement."""
        name = consumer_of(message)
        plain, floor = self.plain[name], self.floor(name)
        _, sequence, place, *_ = numbers(message)
        if sequence >= plain.next and sequence not in plain.came:
            return  # of before a crash, and not delivered since
        if plain.policy == "all" and place > floor[0] and sequence > floor[1]:
            for each in [each for each in (*plain.pending, *plain.leaving) if each <= sequence]:
                plain.finish(each)
            plain.given_up = {each for each in plain.given_up if each > sequence}
        elif plain.policy == "explicit":
            plain.finish(sequence)

    def floor(self, name: str) -> tuple[int, int]:
        floor = self.info(name).ack_floor
        return floor.consumer_seq, floor.stream_seq

    def info(self, name: str) -> ConsumerInfo:
        return self.world.account.streams["S"].consumers[name].info(self.world.wall)

    # Time, and ends

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 11.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.turn_clock(int(seconds * SECOND))

    def turn_clock(self, nanoseconds: int) -> None:
        """Turn the clock on, and a little more where it would be just what somebody waits for; what is due is due in the model, too."""
        until = self.world.wall + nanoseconds
        while any(plain.due_in(until) for plain in self.plain.values()):
            until += FUZZ
        self.world.wait((until - self.world.wall) / SECOND)
        for plain in self.plain.values():
            plain.pass_time(self.world.wall)
        self.settle()

    def settle(self) -> None:
        """Messages that nobody needs any more may go; those that somebody needs stay."""
        if self.retention == "limits":
            return
        gone = set()
        for sequence, subject in self.messages.items():
            wanting = [plain for plain in self.plain.values() if plain.wants(subject)]
            if self.retention == "workqueue" and not wanting:
                continue
            if not self.is_needed(sequence):
                gone.add(sequence)
        self.remove(gone)

    def is_needed(self, sequence: int) -> bool:
        return any(
            plain.wants(self.messages[sequence])
            and (sequence >= plain.next or sequence in plain.skips or sequence in plain.pending or sequence in plain.given_up)
            for plain in self.plain.values()
        )

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
        for name, plain in self.plain.items():
            self.adopt(name, plain)
        self.turn_clock(0)

    def interrupt(self, name: str) -> None:
        """Nobody knows any more what was to be delivered again, apart from when it was delivered."""
        plain = self.plain[name]
        self.forget_skips(name)
        for entry in plain.pending.values():
            if entry.queued:
                entry.queued, entry.time = "maybe", self.world.wall

    def forget_skips(self, name: str) -> None:
        """The last of each subject were to come: now everything comes that is behind the first of them, as with nats-server."""
        plain = self.plain[name]
        if plain.skips:
            plain.next, plain.skips = self.world.account.streams["S"].consumers[name].ledger.next, []

    def adopt(self, name: str, plain: Plain) -> None:
        """After a crash: a consumer is where it was at some time, and nothing that was confirmed waits for anybody."""
        ledger = self.world.account.streams["S"].consumers[name].ledger
        assert ledger.next <= max(plain.next, self.last + 1) and ledger.delivered <= plain.places
        pending = {each: ledger.entry(each) for each in ledger.sequences()}
        assert not plain.confirmed & set(pending), "what was confirmed is pending"
        late = {each for each in plain.confirmed if each >= ledger.next}
        assert not late, "what was confirmed is to be delivered"
        plain.next, plain.places, plain.skips = ledger.next, ledger.delivered, []
        plain.pending = {each: Entry(entry[2] + 1, entry[0], self.world.wall, "maybe") for each, entry in pending.items() if entry}
        plain.given_up = set(ledger.exceeded)
        plain.leaving = {}
        plain.done = {each for each in plain.done if each < plain.next and each not in pending and each not in plain.given_up}
        plain.floor = (0, 0)
        plain.came = {each for each in plain.came if each < plain.next}
        lost = plain.came - set(pending) - plain.given_up - plain.done
        assert not lost & set(self.messages), "it is lost"

    @property
    def path(self) -> Path:
        return Path(self.directory.name) / str(self.opened)

    def _opened(self) -> World:
        return opened(self.path) if self.storage == "file" else World()

    def close(self, world: World) -> None:
        if self.storage == "file":
            closed(world)
        else:
            world.engine.close()

    def reopen(self) -> None:
        """Open what there is, at the same time."""
        wall = self.world.wall
        self.world = self._opened()
        self.world.wall = wall
        self.seen = 0
        self.world.turn()

    # What holds always

    @invariant()
    def counts_are_right(self) -> None:
        for name, plain in self.plain.items():
            info = self.info(name)
            assert len(plain.pending) <= info.num_ack_pending <= len(plain.pending) + len(plain.leaving), (name, plain, info)
            assert len(self.fresh(plain)) <= info.num_pending <= len(self.fresh(plain)) + self.gone(plain)
            assert info.delivered.consumer_seq == plain.places
            assert info.num_waiting == 0 or plain.max_pending < 10
            floor = info.ack_floor.consumer_seq, info.ack_floor.stream_seq
            assert floor[0] >= plain.floor[0] and floor[1] >= plain.floor[1], "a floor sinks"
            assert floor[0] <= plain.places and floor[1] < min(plain.pending, default=plain.next + self.last)
            plain.floor = floor

    @invariant()
    def messages_are_there(self) -> None:
        there = {each.sequence for each in self.world.account.streams["S"].store.scan()}
        assert set(self.messages) <= there <= set(self.messages) | self.doubtful
        assert not self.world.outside.failures

    def drain(self) -> None:
        """Take all there is: nothing was lost, and a work queue ends empty."""
        for name, plain in self.plain.items():
            for _ in range(200):
                if not plain.pending and not self.fresh(plain):
                    break
                for message in self.pull(name, 50):
                    self.answer(message, b"+ACK", True)
                self.turn_clock(31 * SECOND)
            assert not plain.pending and not self.fresh(plain)
            self.counts_are_right()
        for plain in self.plain.values():
            for sequence, subject in self.messages.items():
                if sequence > plain.born and plain.wants(subject):
                    assert sequence in plain.came | plain.done
        self.messages_are_there()
        if self.retention == "workqueue":
            wanted = [each for each, its in self.messages.items() if any(plain.wants(its) for plain in self.plain.values())]
            assert all(any(each in plain.given_up for plain in self.plain.values()) for each in wanted)


def numbers(message: Delivered) -> tuple[int, ...]:
    """Deliveries, the stream's and the consumer's sequence, time, and how many are left."""
    return tuple(map(int, message.reply.split(b".")[-5:]))


def consumer_of(message: Delivered) -> str:
    return message.reply.split(b".")[3].decode()


@pytest.mark.parametrize(("retention", "storage"), [("limits", "memory"), ("workqueue", "file")])
def test_consumers_and_the_model(retention: str, storage: str) -> None:
    model = type("Model", (ConsumerModel,), {"retention": retention, "storage": storage})
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=1_500 if LONG else 6,
            stateful_step_count=80 if LONG else 25,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
