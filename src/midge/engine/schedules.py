"""Schedules: the messages of one stream that are schedules, and what happens when they are due (ADR-51).

A subject has one at most: its last message. Whatever else is stored under the subject ends it, and so does every way of removing the
message, which is seen when it is due. What a schedule sends is stored in the stream like any other message, and says when the schedule
is due again; with it a schedule that does not go on is purged. All that is known here is made again from the stored headers.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from midge.engine.admission import admit_scheduled
from midge.engine.errors import ApiError
from midge.engine.headers import nats_values
from midge.engine.jobs import Job, fetch
from midge.engine.schedule import NEXT, SCHEDULER, due, sent
from midge.engine.timers import Timer
from midge.engine.times import read_time
from midge.model.base import time_of
from midge.store.base import Stored

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Schedules"]

FLOOR = 250_000_000  # nanoseconds between two looks
RETRY = 1_000_000_000
SLICE = 64  # schedules served in one turn
ROOM = 1_024
LARGE = 1 << 20  # bytes of messages that are read at once


class Schedules:
    """What is due in one stream, and when."""

    __slots__ = ("_busy", "_heap", "_known", "_room", "_stream", "_timer")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._known: dict[bytes, tuple[int, int]] = {}  # by subject: when, and the sequence of the message
        self._heap: list[tuple[int, int, bytes]] = []  # the same, and what is over
        self._timer: Timer | None = None
        self._room = ROOM  # how much may be noted before what is gone is sorted out
        self._busy = 0  # jobs that are under way

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, sequence: int, time: int, subject: bytes, values: dict[bytes, bytes], wall: int) -> None:
        """A message is stored. Next: ``arm``."""
        try:
            found = due(values, time, wall)
        except ApiError:
            found = None  # it was stored before the stream had schedules
        if found is not None:
            self._put(subject, found[0], sequence)
        elif SCHEDULER not in values:
            self._known.pop(subject, None)
        next, scheduler = values.get(NEXT, b"purge"), values.get(SCHEDULER, b"")
        if next == b"purge":
            self._known.pop(scheduler, None)
        elif scheduler in self._known:
            try:
                self._put(scheduler, time_of(read_time(next.decode())), self._known[scheduler][1])
            except ValueError:
                return  # a client's, and of no meaning

    def learn_stored(self) -> None:
        """Begin anew with what is stored. It is read a slice at a time; nothing is due before all is."""
        self._known.clear()
        self._heap.clear()
        self._busy += 1
        self._stream.engine.jobs.start(self._stream.store, self._learn_stored())

    def arm(self, wall: int) -> None:
        """See to it that what is due next is served."""
        while self._heap and self._known.get(self._heap[0][2]) != self._heap[0][:2]:
            heappop(self._heap)
        timers = self._stream.engine.timers
        if not self._heap or self._busy:
            timers.cancel(self._timer)
            self._timer = None
            return
        when = max(self._heap[0][0], wall + FLOOR)
        if self._timer is None or self._timer.call is None or when < self._timer.when:
            timers.cancel(self._timer)
            self._timer = timers.add(when, self._run)

    def stop(self) -> None:
        """Nothing is due any more."""
        self._stream.engine.timers.cancel(self._timer)
        self._timer = None
        self._known.clear()
        self._heap.clear()

    def _put(self, subject: bytes, when: int, sequence: int) -> None:
        self._known[subject] = when, sequence
        heappush(self._heap, (when, sequence, subject))
        if len(self._heap) > self._room:
            self._sort()

    def _sort(self) -> None:
        """Forget what is gone. Paid for by what was added: it happens when there is twice as much as the last time."""
        store = self._stream.store
        self._known = {subject: each for subject, each in self._known.items() if store.time_of(each[1])}
        self._room = max(ROOM, 2 * len(self._known))
        self._heap = [(*each, subject) for subject, each in self._known.items()]
        heapify(self._heap)

    def _run(self, wall: int) -> None:
        """Serve what is due, or a slice of it; messages are read away from the loop where they are not in memory."""
        ready: list[tuple[int, bytes, int]] = []
        while self._heap and self._heap[0][0] <= wall and len(ready) < SLICE:
            when, sequence, subject = heappop(self._heap)
            if self._known.get(subject) == (when, sequence):
                ready.append((sequence, subject, when))
        self._busy += 1
        self._stream.engine.jobs.start(self._stream.store, self._serve(sorted(ready)))

    def _serve(self, ready: list[tuple[int, bytes, int]]) -> Job:
        engine = self._stream.engine
        for sequence, subject, when in ready:
            try:
                stored = yield from fetch(self._stream.store, sequence)
                values = nats_values(stored.header) if stored is not None else {}
                last = self._stream.last_of(values.get(b"Nats-Schedule-Source", b""))
                source = (yield from fetch(self._stream.store, last)) if last else None
                if self._known.get(subject) == (when, sequence):
                    self._send(subject, when, stored, source, values, engine.wall)
            except Exception as error:  # also the safety net: the others are due, too
                engine.outside.failed(f"a schedule of stream {self._stream.name}", error)
                if self._known.get(subject) == (when, sequence):
                    self._put(subject, engine.wall + RETRY, sequence)
        self._done()

    def _learn_stored(self) -> Job:
        """Read all messages, and learn from those that are schedules still, or were sent by one."""
        store, intake = self._stream.store, self._stream.intake
        at = store.next((), 1)
        while at and not intake.closed:
            wanted, size = [at], store.size_of(at)
            while (at := store.next((), at + 1)) and len(wanted) < SLICE and size < LARGE:
                wanted.append(at)
                size += store.size_of(at)
            try:
                found = yield wanted
            except OSError as error:
                self._stream.engine.outside.failed(f"reading the schedules of stream {self._stream.name}", error)
                break
            for stored in found:
                if stored is not None and b"\r\nNats-Schedule" in stored.header:
                    self._learn_again(stored)
        self._done()

    def _learn_again(self, stored: Stored) -> None:
        values = nats_values(stored.header)
        if SCHEDULER in values or self._stream.last_of(stored.subject) == stored.sequence:
            self.learn(stored.sequence, stored.time, stored.subject, values, self._stream.engine.wall)

    def _done(self) -> None:
        self._busy -= 1
        if not self._stream.intake.closed:
            self.arm(self._stream.engine.wall)

    def _send(self, subject: bytes, when: int, stored: Stored | None, source: Stored | None, values: dict[bytes, bytes], wall: int) -> None:
        """Store what a schedule sends."""
        target = values.get(b"Nats-Schedule-Target")
        found = due(values, when, wall) if stored is not None else None
        if stored is None or found is None or target is None:  # it was removed
            del self._known[subject]
            return
        next, goes_on = found
        message = source or stored
        admit_scheduled(self._stream, target, sent(subject, message.header, values, next, goes_on), message.payload, wall)
        self._stream.changed()  # nobody else says so: consumers wait for it
        if goes_on and self._known.get(subject) == (when, stored.sequence):  # else it was due for itself, and is over
            self._put(subject, next, stored.sequence)
