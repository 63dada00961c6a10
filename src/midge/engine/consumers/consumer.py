"""Consumer: one consumer of a stream, from being created or opened to being deleted.

It joins what each has a file of its own: what was delivered (``ledger``), what is delivered next (``delivery``), to whom (``target``), and
sees to time: one timer at most, none while nothing can happen. Everything is done in ``work``, a slice of which the engine lets it do at
the end of a turn after ``wake``: what comes in between (acknowledgements aside) is only noted.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from midge.engine.consumers import advisories
from midge.engine.consumers.answers import answer
from midge.engine.consumers.delivery import BUSY, DONE, FULL, IDLE, LOADING, STALLED, Delivery
from midge.engine.consumers.pace import Replay, moved
from midge.engine.consumers.pull import Arrival, Pull
from midge.engine.consumers.push import Push
from midge.engine.consumers.seeking import find, forget
from midge.engine.consumers.start import LAST_START, filters_of, start_of, start_with
from midge.engine.consumers.state import ConsumerState
from midge.engine.consumers.upkeep import Upkeep
from midge.engine.consumers.waiting import Request
from midge.engine.timers import Timer
from midge.model.base import time_text
from midge.model.consumer import ConsumerConfig, ConsumerInfo, PriorityGroupState, SequenceInfo
from midge.store.base import Stored
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.consumers.lasts import Lasts
    from midge.engine.engine import Engine
    from midge.engine.jobs import Job
    from midge.engine.stream import Stream

__all__ = ["Consumer"]

MESSAGES = 256  # of one slice
SIZE = 1 << 18  # or about so many bytes
AHEAD = 64  # messages that are loaded at once
AHEAD_SIZE = 1 << 18  # or so many bytes
FIRST_DELAY, LAST_DELAY = 1_000_000, 100_000_000  # nanoseconds that a full receiver is given
RETRY = 250_000_000  # after which what could not be read is tried again
SWEEP = 10_000  # entries that are compared with the stream at once
DELETED = "Message deleted or expired"


class Consumer:
    """One consumer.

    Args:
        stream: whose messages it delivers.
        config: checked already, and complete.
        created: wall nanoseconds.
        name: its name, where the configuration has none.

    Attributes:
        delivery: what is delivered next; ``ledger`` what was.
        target: to whom.
        filters: of the configuration, empty for all subjects.
        state: what outlives the process; None where nothing does.
        upkeep: what happens to it by itself.
        replay: the gaps between messages that it keeps; None where it does not, or not any more.
        search: what finds the last messages of subjects that it has still to deliver; None where they are known.
    """

    __slots__ = (
        "_ack_due", "_delay", "_is_loading", "_is_ready", "_is_stopped", "_not_before", "_soonest", "_swept", "_timer", "config", "created",
        "delivery", "engine", "ledger", "name", "replay", "search", "state", "stream", "target", "upkeep",
    )  # fmt: skip

    def __init__(self, stream: Stream, config: ConsumerConfig, created: int, name: str = "") -> None:
        self.stream = stream
        self.engine: Engine = stream.engine
        self.config = config
        self.created = created
        self.name: str = name or config.name or config.durable_name
        self.delivery: Delivery = Delivery(self, stream.store, self.engine.outside)
        self.delivery.head = b"$JS.ACK.%b.%b." % (stream.raw_name, self.raw_name)
        self.ledger = self.delivery.ledger
        self.state: ConsumerState | None = None
        self._timer: Timer | None = None
        self._is_ready = self._is_loading = self._is_stopped = False
        self._ack_due = self._not_before = self._delay = self._soonest = 0
        self._swept = -1
        self._apply()
        wall = self.engine.wall
        self.target: Pull | Push = Push(self, config, wall) if config.deliver_subject else Pull(self, config)
        self.delivery.target = self.target
        self.upkeep = Upkeep(self, config)
        self.replay: Replay | None = None
        self.search: Job | None = None

    @property
    def raw_name(self) -> bytes:
        """Its name, as it is in subjects."""
        return _raw(self.name)

    @property
    def filters(self) -> tuple[bytes, ...]:
        return self.delivery.filters

    @property
    def retention(self) -> Any:
        """What the stream keeps messages for; only where ``delivery.retains``."""
        return self.stream.retention

    def start(self, wall: int, lasts: Lasts | None = None) -> None:
        """Begin where the configuration says. Next: ``open``.

        Args:
            lasts: what it begins with, where that was found before.
        """
        store, config = self.stream.store, self.stream.config
        if lasts is None:
            start = start_of(store, self.config, self.filters, keeps_one=config.max_msgs_per_subject == 1)
        else:
            start = start_with(store, self.config, lasts.sequences, lasts.up_to)
        self.ledger.start(start.next)
        if start.skips:
            self.ledger.resume = start.resume
            self.delivery.skip(start.skips)
        self.open(wall)

    def open(self, wall: int) -> None:
        """Deliver: the ledger says from where on."""
        self.upkeep.start(wall)
        if self.config.replay_policy == "original":
            self.replay = Replay(self.stream.store.last)
            self.delivery.paced = True
        if self.search is None:
            self.delivery.recount()
        else:
            self.delivery.doubt()
        if self.config.ack_policy != "none":
            self.stream.account.acks.deliveries[b"%b.%b" % (self.stream.raw_name, self.raw_name)] = self.delivery
        self._ack_due = wall if self.ledger.pending else 0
        self.wake()

    def update(self, config: ConsumerConfig, wall: int) -> None:
        """Go on with another configuration, which is checked already."""
        find(self)
        self.target.update(config, wall)
        self.upkeep.update(config, wall)
        self.config = config
        filters = self.filters
        self._apply()
        if self.filters != filters:
            self.delivery.ahead = None  # what was for nobody may be for these: it is looked at again, as with nats-server
            self.stream.hungry.discard(self)
            self.delivery.recount()
        self._ack_due = wall if self.ledger.pending else 0
        self.wake()

    def reset(self, sequence: int, wall: int) -> None:
        """Begin anew at a sequence of the stream: nothing was delivered."""
        find(self)
        self.stream.hungry.discard(self)
        self.ledger.start(min(max(sequence, 1), LAST_START))
        self.delivery.restart()
        if self.stream.config.retention == "interest":
            self.retention.recheck()  # what it had not acknowledged it may need no more
        self.wake()

    def stop(self, status: bytes) -> None:
        """Deliver nothing more; who waits is told the status."""
        if self._is_stopped:
            return
        self._is_stopped = True
        forget(self)
        self.target.stop(status)
        self.engine.timers.cancel(self._timer)
        self.stream.hungry.discard(self)
        self.stream.account.acks.deliveries.pop(b"%b.%b" % (self.stream.raw_name, self.raw_name), None)

    # Turns

    def wake(self) -> None:
        """There may be something to do: let it have a slice of a turn."""
        if not self._is_ready and not self._is_stopped:
            self._is_ready = True
            self.engine.ready.append(self)

    def work(self) -> None:
        """Do one slice of what there is to do."""
        self._is_ready = False
        if self._is_stopped or self.search is not None:  # which wakes it
            return
        wall = self.engine.wall
        self._see_to_time(wall)
        if self._is_stopped:
            return  # nobody uses it any more
        self.target.work(wall)
        if self.is_paused(wall):
            self.target.rested(wall, False)
        elif not self._is_loading and wall >= self._not_before:
            self._run(wall)
        self._arm()

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds: who waits goes on waiting for the rest of the time. A pause ends when it says."""
        ledger, delivery = self.ledger, self.delivery
        for sequence in ledger.sequences() if ledger.pending else ():
            entry = ledger.entry(sequence)
            assert entry is not None
            ledger.progress(sequence, entry[1] + by)
            delivery.touch()
        self._ack_due = moved(self._ack_due, by)
        self._not_before = moved(self._not_before, by)
        delivery.heard, delivery.acked, delivery.sent = (moved(each, by) for each in (delivery.heard, delivery.acked, delivery.sent))
        if self.replay is not None:
            self.replay.set_clock(by)
        self.target.set_clock(by)
        self.upkeep.set_clock(by)
        if self._timer is not None:
            self.wake()

    def is_paused(self, wall: int) -> bool:
        """True while nothing is delivered."""
        return wall < self.upkeep.paused_until

    def bound(self, is_bound: bool, wall: int) -> None:
        """Somebody listens to the deliver subject from now on, or nobody does any more."""
        self.upkeep.bound(is_bound, wall)

    def route(self, subject: bytes) -> Any:
        """Return the server's way to a subject of the consumer's account."""
        return self.engine.outside.route(self.stream.account.name, subject)

    def heartbeat(self) -> bytes:
        """Return the header of a message that says how far it has come."""
        lines = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: %d\r\n\r\n"
        return lines % (self.ledger.delivered, self.ledger.next - 1)

    # What comes in

    def ask(self, reply: bytes, header: bytes, body: bytes, wall: int) -> None:
        """Take a pull request; one without a reply subject is ignored."""
        if not reply:
            return
        if isinstance(self.target, Pull):
            self.target.receive(Arrival(reply, header, body, wall))
        else:
            status = Publication.compose(reply, b"", b"NATS/1.0 409 Consumer is push based\r\n\r\n", b"")
            self.engine.outside.answer(self.stream.account.name, [status])

    def heard(self, sequence: int, delivery: int, deliveries: int, publication: Publication, wall: int) -> None:
        """Take an acknowledgement that is more than that, or wants an answer."""
        answer(self, sequence, delivery, deliveries, publication, wall)

    def confirm(self, reply: bytes) -> None:
        """Answer an acknowledgement, when it is safe."""
        answers = [Publication.compose(reply, b"", b"", b"")]
        if self.state is None:
            self.engine.outside.answer(self.stream.account.name, answers)
        else:
            self.state.confirm(lambda: self.engine.outside.answer(self.stream.account.name, answers))

    # What the delivery says

    def may_leave(self, sequence: int) -> bool:
        """True unless a message has to wait, because it did when it was stored; then it is looked at again when it may leave."""
        wall = self.delivery.wall
        due = wall if self.replay is None else self.replay.due(self.stream.store.time_of(sequence), wall)
        if due > wall:
            self._not_before = due
        return due <= wall

    def left(self, sequence: int) -> None:
        """A message was delivered: the next may have to wait for as long as it did then."""
        if self.replay is not None:
            self.replay.took(self.stream.store.time_of(sequence), self.delivery.wall)

    def touched(self) -> None:
        """Something has changed that is kept: ``delivery.changed`` is True until it was."""
        if self.state is not None:
            self.state.note()

    def exceeded(self, sequence: int, deliveries: int) -> None:
        """A message was delivered as often as it may be."""
        advisories.max_deliveries(self, sequence, deliveries)

    def removed(self, sequence: int) -> None:
        """A message that was delivered is not in the stream any more: it is done with, and no other is, however they are acknowledged."""
        ledger, delivery = self.ledger, self.delivery
        entry = ledger.entry(sequence)
        if entry is not None:
            was_full = 0 < delivery.max_pending <= ledger.pending
            ledger.ack(sequence)
            delivery.acked = self.engine.wall
            delivery.touch()
            if was_full:
                self.wake()
            advisories.terminated(self, sequence, entry[0], entry[2] + 1, DELETED)

    def sweep(self) -> None:
        """Let go of what was delivered and is not in the stream any more."""
        store = self.stream.store
        holes = store.last - store.messages
        if holes != self._swept and (self.ledger.pending or self.ledger.exceeded):
            for sequence in self.ledger.sequences(0, SWEEP):
                if not store.time_of(sequence):
                    self.removed(sequence)
            for sequence in list(islice(self.ledger.exceeded, SWEEP)):
                if not store.time_of(sequence):
                    self.ledger.forgive(sequence)
                    self.delivery.acked = self.engine.wall
        self._swept = holes

    def pin(self, request: Request) -> None:
        """The client of a request is the one that gets messages from now on."""
        assert isinstance(self.target, Pull) and self.target.groups is not None and request.claim is not None
        self.target.groups.pin(self.engine.nuid(), request.claim.group, self.delivery.wall)
        request.claim = request.claim._replace(id=self.target.groups.id)
        advisories.pinned(self, request.claim.group, self.target.groups.id)

    # What is told

    def info(self, wall: int) -> ConsumerInfo:
        """Return how it is configured, and how far it has come."""
        ledger, delivery, config = self.ledger, self.delivery, self.config
        find(self)
        self.sweep()
        paused = max(self.upkeep.paused_until - wall, 0)
        groups = self.target.groups if isinstance(self.target, Pull) else None
        return ConsumerInfo(
            stream_name=self.stream.name,
            name=self.name,
            created=time_text(self.created),
            config=config,
            delivered=SequenceInfo(consumer_seq=ledger.delivered, stream_seq=ledger.last, last_active=_moment(delivery.sent)),
            ack_floor=SequenceInfo(
                consumer_seq=ledger.told_floor, stream_seq=ledger.told_stream_floor, last_active=_moment(delivery.acked)
            ),
            num_ack_pending=ledger.pending,
            num_redelivered=0 if config.max_deliver == 1 else ledger.redelivered,
            num_waiting=self.target.waiting,
            num_pending=delivery.count(),
            push_bound=isinstance(self.target, Push) and self.target.bound,
            paused=paused > 0,
            pause_remaining=paused,
            ts=time_text(wall),
            priority_groups=[_state(groups, config.priority_groups[0])] if groups is not None else [],
        )

    # Inside

    def _apply(self) -> None:
        """Let the configuration say what is delivered, and when again."""
        config, delivery, ledger = self.config, self.delivery, self.ledger
        delivery.filters = filters_of(config)
        delivery.set_policy(config.ack_policy)
        delivery.max_pending = max(config.max_ack_pending, 0) if config.ack_policy != "none" else 0
        delivery.headers_only = config.headers_only
        delivery.sampled = bool(config.sample_freq)
        delivery.retains = self.stream.config.retention != "limits"
        ledger.ack_wait = config.ack_wait
        ledger.backoff = tuple(config.backoff)
        ledger.max_deliver = config.max_deliver
        self._soonest = min(config.backoff) if config.backoff else config.ack_wait

    def _see_to_time(self, wall: int) -> None:
        """Do what is due."""
        if 0 < self._ack_due <= wall:
            self.sweep()
            self._ack_due, given_up = self.ledger.expire(wall, self.stream.store.first)
            self.delivery.touch()
            for sequence in given_up:
                self.exceeded(sequence, self.config.max_deliver)
        if 0 < self.target.next_deadline() <= wall:
            self.target.handle_timeout(wall)
        if 0 < self.upkeep.next_deadline() <= wall:
            self.upkeep.handle_timeout(wall)

    def _run(self, wall: int) -> None:
        delivery, sent = self.delivery, self.ledger.delivered
        outcome = delivery.run(MESSAGES, SIZE, wall)
        if outcome == BUSY:
            self.wake()
        elif outcome == DONE:
            self._catch_up()
            self.target.rested(wall, False)
            if delivery.wanted:
                self.stream.hungry.add(self)
        elif outcome == STALLED:
            pending = self.ledger.pending
            self.sweep()
            self.target.rested(wall, True)
            if self.ledger.pending < pending:
                self.wake()
        elif outcome == LOADING:
            self._load()
        elif outcome == FULL and self.target.crowded(wall):
            self.wake()
        elif outcome == FULL:
            is_stuck = self.ledger.delivered <= sent + 1  # else it reads, and needs only a moment
            self._delay = min(2 * self._delay, LAST_DELAY) if is_stuck and self._delay else FIRST_DELAY
            self._not_before = wall + self._delay
        if outcome != FULL:
            self._delay = 0
        if outcome == IDLE:
            delivery.loaded = None
            if delivery.wanted and wall >= self._not_before:
                self.stream.hungry.add(self)  # somebody waits, but not for what is there now
        if self.ledger.delivered != sent and self._soonest and self.ledger.pending:
            due = wall + self._soonest + 1_000_000
            if due < self._ack_due or not self._ack_due:
                self._ack_due = due

    def _catch_up(self) -> None:
        """Everything was delivered that is there: a replay ends, if all of it is past."""
        if self.replay is not None and self.replay.is_over(self.ledger.next):
            self.replay = None
            self.delivery.paced = False

    def expect(self, due: int) -> None:
        """Something of the ledger is due at that time, which may be sooner than it seemed."""
        if due < self._ack_due or not self._ack_due:
            self._ack_due = due
            self._arm()

    def _arm(self) -> None:
        """Have the one timer at what is due first."""
        times = [self._ack_due if self.ledger.pending else 0, self.target.next_deadline(), self.upkeep.next_deadline()]
        if self.delivery.wanted and self._not_before > self.engine.wall:
            times.append(self._not_before)
        first = min((time for time in times if time), default=0)
        timer = self._timer
        if timer is not None and timer.call is not None:
            if 0 < timer.when <= first:
                return  # it looks again then
            self.engine.timers.cancel(timer)
        self._timer = self.engine.timers.add(first, self._on_time) if first else None

    def _on_time(self, _: int) -> None:
        self._timer = None
        self.wake()

    def _load(self) -> None:
        """Have messages read that are not in memory: a run of them, from the missing one on."""
        store, filters = self.stream.store, self.filters
        wanted = [self.delivery.missing]
        self.delivery.missing = 0
        size = store.size_of(wanted[0])
        while len(wanted) < AHEAD and size < AHEAD_SIZE and not self.ledger.queued and not self.delivery.skips:
            sequence = store.next(filters, wanted[-1] + 1)
            if not 0 < sequence <= store.committed:
                break
            wanted.append(sequence)
            size += store.size_of(sequence)
        self._is_loading = True
        store.load(wanted, lambda found: self._loaded(wanted, found))

    def _loaded(self, wanted: list[int], found: list[Stored | None] | Exception) -> None:
        self._is_loading = False
        if isinstance(found, Exception):
            self._not_before = self.engine.wall + RETRY
            self.engine.outside.failed(f"reading messages of stream {self.stream.name} for consumer {self.name}", found)
        else:
            self.delivery.loaded = dict(zip(wanted, found, strict=True))
        self.wake()


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _moment(wall: int) -> str | None:
    return time_text(wall) if wall else None


def _state(groups: Any, name: str) -> PriorityGroupState:
    state = PriorityGroupState(group=name, pinned_client_id=groups.id)
    if groups.since:
        state.pinned_ts = time_text(groups.since)
    return state
