"""A stream with consumers beside their model: what both do with a delivery, an acknowledgement, time that passes, a stop and a crash."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from disks_of_engines import closed, opened
from hypothesis.stateful import RuleBasedStateMachine, invariant
from plain_consumer import DISK, FUZZ, Entry, Plain, consumer_of, numbers
from worlds import SECOND, START, Delivered, World

from midge.model.consumer import ConsumerInfo


class ConsumerMachine(RuleBasedStateMachine):
    """A stream with consumers, and the model; which rules there are is said by who inherits from it."""

    storage: ClassVar[str]
    retention: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir=DISK)
        self.opened = 0
        self.world = self._opened()
        self.world.create(storage=self.storage, retention=self.retention)
        self.messages: dict[int, str] = {}  # that are in the stream for sure
        self.subjects: dict[int, str] = {}  # of all that were published
        self.deleted: set[int] = set()  # or purged
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

    def remove(self, gone: set[int]) -> None:
        """Messages are no more: whoever had them does not get them again."""
        for sequence in gone:
            self.messages.pop(sequence, None)
        for plain in self.plain.values():
            for sequence in gone & set(plain.pending):
                plain.leaving[sequence] = plain.pending.pop(sequence)

    def configure(self, plain: Plain, config: dict[str, Any]) -> None:
        plain.ack_wait = config.get("ack_wait", plain.ack_wait)
        plain.backoff = tuple(config.get("backoff", ()))
        plain.max_deliver = config.get("max_deliver", plain.max_deliver)
        plain.max_pending = config.get("max_ack_pending", plain.max_pending)
        if plain.backoff:
            plain.ack_wait = plain.backoff[0]

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
        plain = self.plain[name]
        assert min(least, batch) <= len(news) <= min(most, batch), (least, most, batch, news, name, plain, self.fresh(plain))
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
        assert [count, sequence] == [1, *fresh[:1]], ("it is not its turn", name, plain, fresh)
        assert len(fresh) - 1 <= left <= len(fresh) - 1 + self.gone(plain)
        if sequence in plain.skips:
            plain.skips = [each for each in plain.skips if each > sequence]
        else:
            plain.skips, plain.next = [], sequence + 1
        if plain.policy == "none":
            plain.done.add(sequence)
        else:
            plain.pending[sequence] = Entry(1, place, wall)

    def answer(self, message: Delivered, body: bytes, confirmed: bool) -> None:
        plain, wall, ledger_floor = self.plain[consumer_of(message)], self.world.wall, self.floor(consumer_of(message))
        _, sequence, place, *_ = numbers(message)
        is_ours = sequence < self.reached(consumer_of(message))
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
        if sequence >= self.reached(name):
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
        there, gone = self.there(), set()
        for sequence, subject in self.messages.items():
            wanting = [plain for plain in self.plain.values() if plain.wants(subject)]
            if self.is_needed(sequence) or (self.retention == "workqueue" and not wanting):
                continue
            if self.retention == "workqueue" or sequence not in there or any(sequence in plain.done for plain in wanting):
                gone.add(sequence)  # what somebody took goes when the last one takes it; what nobody did may stay
        self.remove(gone)

    def there(self) -> set[int]:
        return {each.sequence for each in self.world.account.streams["S"].store.scan()}

    def is_needed(self, sequence: int) -> bool:
        return any(
            plain.wants(self.messages[sequence])
            and (sequence >= plain.next or sequence in plain.skips or sequence in plain.pending or sequence in plain.given_up)
            for plain in self.plain.values()
        )

    def interrupt(self, name: str) -> None:
        """Nobody knows any more what was to be delivered again, apart from when it was delivered."""
        plain = self.plain[name]
        self.recall_skips(name)
        for entry in plain.pending.values():
            if entry.queued:
                entry.queued, entry.time = "maybe", self.world.wall

    def recall_skips(self, name: str) -> None:
        """The last of each subject were to come: now those do that are the last of what there is of those times, where they have not."""
        plain, reached = self.plain[name], self.reached(name)
        if plain.skips:
            latest = {its: each for each, its in sorted(self.messages.items()) if each < plain.next and plain.wants(its)}
            before = {each for each in plain.skips if each in self.messages and plain.wants(self.messages[each])}
            plain.skips = sorted(each for each in latest.values() if each >= reached)
            assert before <= set(plain.skips)

    def reached(self, name: str) -> int:
        """The first sequence that was not looked at by a consumer yet."""
        return int(self.world.account.streams["S"].consumers[name].ledger.next)

    def adopt(self, name: str, plain: Plain) -> None:
        """After a crash: a consumer is where it was at some time, and nothing that was confirmed waits for anybody."""
        ledger = self.world.account.streams["S"].consumers[name].ledger
        assert ledger.next <= max(plain.next, self.last + 1) and ledger.delivered <= plain.places
        pending = {each: ledger.entry(each) for each in ledger.sequences()}
        assert not plain.confirmed & set(pending), "what was confirmed is pending"
        late = {each for each in plain.confirmed if each >= ledger.next}
        assert not late, "what was confirmed is to be delivered"
        plain.next, plain.places = ledger.next, ledger.delivered
        if ledger.resume:
            plain.next, plain.skips = ledger.resume + 1, plain.skips or [ledger.resume]
            self.recall_skips(name)
        else:
            plain.skips = []
        plain.pending = {each: Entry(entry[2] + 1, entry[0], self.world.wall, "maybe") for each, entry in pending.items() if entry}
        plain.given_up = set(ledger.exceeded)
        plain.leaving = {}
        plain.done = {each for each in plain.done if each < ledger.next and each not in pending and each not in plain.given_up}
        plain.floor = (0, 0)
        plain.came = {each for each in plain.came if each < ledger.next}
        lost = plain.came - set(pending) - plain.given_up - plain.done
        assert not lost & set(self.messages), "it is lost"

    def find_messages(self) -> None:
        """After a crash: what nobody needed any more may be there again, and nothing that was deleted."""
        there = self.there()
        assert set(self.messages) <= there and not there & self.deleted
        self.messages = {each: self.subjects[each] for each in sorted(there)}

    @property
    def path(self) -> Path:
        return Path(self.directory.name) / str(self.opened)

    def _opened(self, wall: int = START) -> World:
        return opened(self.path, wall=wall) if self.storage == "file" else World()

    def close(self, world: World) -> None:
        if self.storage == "file":
            closed(world)
        else:
            world.engine.close()

    def reopen(self) -> None:
        """Open what there is, at the same time."""
        self.world = self._opened(self.world.wall)
        self.seen = 0
        self.world.turn()

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
        assert set(self.messages) == self.there()
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
