"""Retention: a stream that keeps messages for consumers, and lets go of those that no consumer needs any more.

With ``interest`` a message that nobody is interested in is not kept at all, and one that all have acknowledged goes; with ``workqueue`` it
goes when the one consumer that gets it has. What was acknowledged is gathered and goes once a turn: what is at the head of the stream by
moving its first sequence, however many messages that are.

That a message goes is believed when it is written, as every change of a store is. Should it not be (a disk that fails, a crash before), the
message is there again, and so is what its consumers have acknowledged, in memory or in their rows: then it is looked for (``recheck``). A
consumer is asked by its ledger alone, so none of this holds anything of its own that could be lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from operator import neg
from typing import TYPE_CHECKING, Any

from midge.engine.interest import Interest
from midge.engine.jobs import Job, finish

if TYPE_CHECKING:
    from midge.engine.stream import Stream
    from midge.engine.timers import Timer

__all__ = ["Retention"]

SLICE = 1_000  # messages that are looked at, or removed, in one slice
_MANY = 16  # consumers: where more are asked about each message, a slice is of fewer
AGAIN = 1_000_000_000  # nanoseconds after which a store that fails is tried again


class Retention:
    """What a stream keeps for its consumers.

    Args:
        stream: whose policy is ``interest`` or ``workqueue``.

    Attributes:
        interest: the consumers by what they want.
        is_held: nothing goes: a consumer is there whose state is not known.
    """

    __slots__ = ("_done", "_is_deserted", "_spans", "_stream", "_timer", "interest", "is_held")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._done: list[int] = []
        self._spans: dict[tuple[bytes, ...], tuple[int, int]] = {}  # from where to where those with some filters have acknowledged all
        self._timer: Timer | None = None
        self._is_deserted = False  # the last consumer was deleted: what there is was for nobody else
        self.interest: Interest[Any] = Interest()
        self.is_held = False

    def close(self) -> None:
        """Let go of the timer."""
        self._stream.engine.timers.cancel(self._timer)
        self._done.clear()
        self._spans.clear()

    # Consumers

    @property
    def is_choosy(self) -> bool:
        """True if it may be that nobody wants a message."""
        return self._stream.config.retention == "interest" and not self.interest.everywhere

    def renew(self) -> None:
        """The configuration of the stream is new."""
        self.interest = Interest()
        for consumer in self._stream.consumers.values():
            self.add(consumer)

    def add(self, consumer: Any) -> None:
        """A consumer was made or opened."""
        self._is_deserted = False
        self.interest.add(self.filters_of(consumer.filters), consumer)

    def remove(self, consumer: Any, filters: tuple[bytes, ...]) -> None:
        """A consumer is no more, or has other filters from now on: next is ``add``.

        Args:
            filters: those it had.
        """
        self.interest.remove(self.filters_of(filters), consumer)

    def lost_interest(self, floor: int) -> None:
        """A consumer was deleted, or wants less than before: let go of what it was kept for only. That is durable already.

        A work queue keeps it, for who comes next.

        Args:
            floor: everything up to this sequence it had acknowledged.
        """
        store = self._stream.store
        if self._stream.config.retention != "interest" or self.is_held:
            return
        if not self.interest.count:
            self._is_deserted = True
            try:
                self._stream.purge(b"", 0, 0)
            except OSError:  # the store says so itself: all goes when it works again
                self._try_later()
        else:
            self._start(floor, store.last, (), self._is_unneeded)

    def filters_of(self, filters: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return filters; none where they are the stream's subjects: then they are for every message that it has."""
        subjects = {subject.encode("utf-8", "surrogateescape") for subject in self._stream.config.subjects}
        return () if set(filters) == subjects else filters

    # Messages

    def is_wanted(self, subject: bytes) -> bool:
        """True if a message of this subject has to be kept."""
        return not self.is_choosy or bool(self.interest.of(subject))

    def done(self, sequence: int) -> None:
        """A consumer has acknowledged a message, or needs it no more for another reason."""
        if not self._done and not self._spans:
            self._stream.engine.acknowledged.append(self)
        self._done.append(sequence)

    def done_all(self, filters: tuple[bytes, ...], first: int, last: int) -> None:
        """A consumer has acknowledged everything from one sequence to another."""
        if not self._done and not self._spans:
            self._stream.engine.acknowledged.append(self)
        before = self._spans.get(filters, (first, last))
        self._spans[filters] = min(before[0], first), max(before[1], last)

    def flush(self) -> None:
        """Let go of what was acknowledged in this turn and is needed by nobody; of very much, a slice in each turn."""
        done, self._done = self._done, []
        spans, self._spans = self._spans, {}
        for filters, (first, last) in spans.items():
            if not self._stream.intake.closed:
                self._start(first, last, filters, self._is_unneeded)
        if len(done) <= SLICE:
            if not self._stream.intake.closed:
                self._let_go(sorted(sequence for sequence in set(done) if self._is_unneeded(sequence)))
        else:
            self._stream.engine.jobs.start(self._stream.store, self._in_slices(sorted(set(done))))

    def undone(self) -> None:
        """What the store had not committed was undone: what was removed may be there again."""
        self._done.clear()
        self._spans.clear()
        self._try_later()

    def recheck(self) -> None:
        """Look for what consumers have acknowledged and is there all the same, a slice at a time."""
        self._start(0, self._last_done(), (), self._is_done_with)

    def opened(self) -> None:
        """The stream and its consumers are there again: look for such messages at once, before anybody can ask for one."""
        finish(self._stream.store, self._walk(0, self._last_done(), (), self._is_done_with))

    # Inside

    def _is_unneeded(self, sequence: int) -> bool:
        """True if nobody needs a message."""
        interest = self.interest
        if len(interest.everywhere) == interest.count:
            wanting: Any = interest.everywhere
        else:
            subject = self._stream.store.subject_of(sequence)
            wanting = () if subject is None else interest.of(subject)
        for consumer in wanting:
            if needs(consumer, sequence):
                return False
        return True

    def _let_go(self, gone: list[int]) -> None:
        """Remove messages, in order; those at the head by moving the first sequence."""
        store, place = self._stream.store, 0
        if not gone or self.is_held:
            return
        first = store.first
        place = bisect_left(gone, first)
        floor = first
        while place < len(gone) and gone[place] == floor:
            place += 1
            following = gone[place] if place < len(gone) else 0
            floor = floor + 1 if following == floor + 1 else store.next((), floor + 1) or store.last + 1
        try:
            if floor > first:
                store.drop(floor)
            for sequence in gone[place:]:
                store.remove(sequence)
        except OSError:  # the store says so itself, and goes back; so what is to go is looked for when it works again
            self._try_later()
        self._stream.changed()

    def _try_later(self) -> None:
        if self._timer is None:
            engine = self._stream.engine
            self._timer = engine.timers.add(engine.wall + AGAIN, self._try_again)

    def _try_again(self, _: int) -> None:
        self._timer = None
        if self._stream.store.failure is not None:
            self._try_later()
        elif self._is_deserted:
            self.lost_interest(0)
        else:
            self.recheck()

    def _start(self, first: int, last: int, filters: tuple[bytes, ...], is_over: Callable[[int], bool]) -> None:
        self._stream.engine.jobs.start(self._stream.store, self._walk(first, last, filters, is_over))

    def _walk(self, first: int, last: int, filters: tuple[bytes, ...], is_over: Callable[[int], bool]) -> Job:
        """Let go of those of the messages in a range that are over."""
        stream, store, gone, count = self._stream, self._stream.store, [], 0
        size = max(SLICE * _MANY // max(self.interest.count, _MANY), 1)
        sequence = store.next(filters, max(first, store.first))
        while 0 < sequence <= last:
            if is_over(sequence):
                gone.append(sequence)
            count += 1
            sequence += 1
            if count % size == 0:
                self._let_go(gone)
                gone.clear()
                yield None
                if stream.intake.closed:
                    return
            sequence = store.next(filters, sequence)
        self._let_go(gone)

    def _in_slices(self, done: list[int]) -> Job:
        for start in range(0, len(done), SLICE):
            if self._stream.intake.closed:
                return
            self._let_go([sequence for sequence in done[start : start + SLICE] if self._is_unneeded(sequence)])
            yield None

    def _last_done(self) -> int:
        """Return the last sequence that may be done with, 0 for none."""
        interest = self.interest
        if interest.everywhere:
            return min(reached(consumer) for consumer in interest.everywhere)
        return max(map(reached, self._stream.consumers.values()), default=0)

    def _is_done_with(self, sequence: int) -> bool:
        """True if somebody had to acknowledge a message, and all of those have; of interest, also if all have come past it."""
        if not self._is_unneeded(sequence):
            return False
        subject = self._stream.store.subject_of(sequence)
        if self.interest.everywhere or (subject is not None and self.interest.of(subject)):
            return True
        floors = (consumer.ledger.stream_floor for consumer in self._stream.consumers.values())
        return self._stream.config.retention == "interest" and sequence <= min(floors)


def needs(consumer: Any, sequence: int) -> bool:
    """True if a consumer still needs a message of a subject that it is for.

    So it is with one that was delivered as often as it may be and not acknowledged: as with nats-server, it stays. What is passed over on
    the way to the last message of a subject is not needed (there it stays until the server is started again).
    """
    ledger, delivery = consumer.ledger, consumer.delivery
    if sequence >= ledger.next:
        return delivery.skips is None or sequence > ledger.resume or is_among(delivery.skips, sequence)
    return (sequence > ledger.stream_floor and ledger.has(sequence)) or sequence in ledger.exceeded


def is_among(skips: list[int], sequence: int) -> bool:
    """True if a sequence is one of these, the last first."""
    place = bisect_left(skips, -sequence, key=neg)
    return place < len(skips) and skips[place] == sequence


def reached(consumer: Any) -> int:
    """Return the last sequence that a consumer may have acknowledged."""
    return int(consumer.ledger.next - 1)
