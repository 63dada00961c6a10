"""Expiry: messages of a stream that end by themselves, because they are too old (max_age) or by their own time (Nats-TTL, ADR-43).

The age needs no list: messages are in the order of their times. Those with a time of their own are in a heap, the ones that never
expire and the delete markers in sets; all three are made again from the stored headers when a stream is opened. One timer serves both,
and one call ends a bounded number of messages.

Where the stream has delete markers, the last message of a subject does not just go: a marker takes its place, which expires itself.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from midge.durations import show_duration
from midge.engine.admission import admit_marker
from midge.engine.timers import Timer
from midge.engine.ttl import NEVER

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Expiry"]

SLICE = 1_000  # messages that are ended one by one in one call
FLOOR = 50_000_000  # nanoseconds between two calls
ROOM = 4_096
_SECOND = 1_000_000_000


class Expiry:
    """What expires in one stream.

    Attributes:
        markers: the sequences of delete markers: where one expires, no other takes its place.
    """

    __slots__ = ("_heap", "_never", "_past", "_room", "_stream", "_timer", "markers")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._heap: list[tuple[int, int]] = []  # when and which
        self._never: set[int] = set()
        self._past = 0  # all messages before this one never expire: they are not looked at again
        self._timer: Timer | None = None
        self._room = ROOM  # how much may be noted before what is gone is sorted out
        self.markers: set[int] = set()

    def add(self, sequence: int, time: int, ttl: int) -> None:
        """A message lives so many seconds from a time on, or for ever. Next: ``arm``."""
        if ttl == NEVER:
            self._never.add(sequence)
        else:
            heappush(self._heap, (time + ttl * _SECOND, sequence))
        self._see_to_room()

    def mark(self, sequence: int) -> None:
        """A message is a delete marker."""
        self.markers.add(sequence)
        self._see_to_room()

    def _see_to_room(self) -> None:
        if len(self._heap) + len(self._never) + len(self.markers) > self._room:
            self._keep(self._is_there)

    def forget_after(self, sequence: int) -> None:
        """Messages behind this one were undone."""
        self._past = 0
        self._keep(lambda each: each <= sequence)

    def arm(self) -> None:
        """See to it that the next message that expires does."""
        due = self._next()
        timer, timers = self._timer, self._stream.engine.timers
        if due is None:
            timers.cancel(timer)
            self._timer = None
        elif timer is None or timer.call is None or due < timer.when:
            timers.cancel(timer)
            self._timer = timers.add(due, self.run)

    def stop(self) -> None:
        """Nothing expires any more."""
        self._stream.engine.timers.cancel(self._timer)
        self._timer = None

    def run(self, wall: int) -> None:
        """End what is due, or a slice of it; the timer comes back for the rest."""
        if self._stream.store.failure is not None:
            self._timer = self._stream.engine.timers.add(wall + _SECOND, self.run)
            return
        try:
            self._end_old(wall)
            ended = self._end_timed(wall)
            self._stream.store.settle(lambda error: None if error is None else self._take_back(ended))
            self._stream.changed()
        finally:  # whatever fails, there is another time
            due = self._next()
            if due is not None:
                self._timer = self._stream.engine.timers.add(max(due, wall + FLOOR), self.run)

    def _keep(self, is_kept: Callable[[int], bool]) -> None:
        """Forget what is not kept. Paid for by the additions: it happens when there are twice as many as the last time."""
        self._heap = sorted(each for each in self._heap if is_kept(each[1]))  # sorted, it is a heap
        self._never = {each for each in self._never if is_kept(each)}
        self.markers = {each for each in self.markers if is_kept(each)}
        self._room = max(ROOM, 2 * (len(self._heap) + len(self._never) + len(self.markers)))

    def _is_there(self, sequence: int) -> bool:
        return self._stream.store.time_of(sequence) != 0

    def _next(self) -> int | None:
        """Return when the next message expires."""
        store, age = self._stream.store, self._stream.config.max_age
        due = self._heap[0][0] if self._heap else None
        if age > 0 and store.messages:
            first = self._first_to_expire()
            if first:
                oldest = (store.time_of(first) if self._never else store.first_time) + age
                due = oldest if due is None else min(due, oldest)
        return due

    def _first_to_expire(self) -> int:
        """Return the first message whose age counts, 0 where there is none."""
        store = self._stream.store
        if not self._never:
            return store.first
        first = store.next((), self._past)
        while first in self._never:
            first = store.next((), first + 1)
        self._past = first or store.last + 1
        return first

    def _end_old(self, wall: int) -> None:
        stream = self._stream
        store, age = stream.store, stream.config.max_age
        if age <= 0 or not store.messages or store.first_time > wall - age:
            return
        end = store.at_time(wall - age + 1)
        if not self._never and not stream.config.subject_delete_marker_ttl:
            store.drop(end)
            return
        sequence, left = self._first_to_expire(), SLICE
        while left and 0 < sequence < end:
            if sequence not in self._never:
                self._end(sequence, wall)
            sequence = store.next((), sequence + 1)
            left -= 1

    def _end_timed(self, wall: int) -> list[tuple[int, int]]:
        """End messages whose own time has come; return which."""
        ended: list[tuple[int, int]] = []
        while len(ended) < SLICE and self._heap and self._heap[0][0] <= wall:
            ended.append(heappop(self._heap))
            self._end(ended[-1][1], wall)
        return ended

    def _take_back(self, ended: list[tuple[int, int]]) -> None:
        """The disk did not take it: what was ended is there again, and has to be ended later."""
        if self._stream.intake.closed:
            return
        for when, sequence in ended:
            if self._is_there(sequence):
                heappush(self._heap, (when, sequence))
        self.arm()

    def _end(self, sequence: int, wall: int) -> None:
        """End one message, if it is there."""
        stream = self._stream
        subject = stream.store.subject_of(sequence)
        if subject is None:
            self.markers.discard(sequence)
            return
        seconds = stream.config.subject_delete_marker_ttl // _SECOND
        if seconds and sequence not in self.markers:
            total = stream.store.total(subject)
            if total is not None and total.messages == 1:
                lines = b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: %b\r\nNats-Rollup: sub\r\n\r\n"
                admit_marker(stream, subject, lines % show_duration(seconds).encode(), wall)
                return
        self.markers.discard(sequence)
        stream.store.remove(sequence)
