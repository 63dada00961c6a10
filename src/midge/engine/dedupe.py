"""Dedupe: which message ids a stream has had within its window, so that what is published twice is stored once.

It lives in memory only; when a stream is opened it is filled again from the stored messages. What bounds it is the window and how fast
messages with ids are published, as in nats-server. Ids that came at the same time, as those of one turn do, are forgotten together.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Dedupe"]

_NEVER = (1 << 63) - 1


class Run:
    """Ids of one time, and the highest sequence of their messages."""

    __slots__ = ("ids", "last", "time")

    def __init__(self, time: int) -> None:
        self.time = time
        self.last = 0
        self.ids: list[bytes] = []


class Dedupe:
    """The ids of one stream.

    Args:
        window: nanoseconds for which an id is remembered; 0 for not at all.
    """

    __slots__ = ("_newest", "_oldest", "_runs", "_sequences", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self._sequences: dict[bytes, int] = {}
        self._runs: deque[Run] = deque()  # the oldest first
        self._newest: Run | None = None
        self._oldest = _NEVER

    def __len__(self) -> int:
        return len(self._sequences)

    def find(self, id: bytes, wall: int) -> int:
        """Return the sequence of the message with this id, 0 where there is none in the window."""
        if self._oldest <= wall - self.window:
            self.expire(wall)
        found = self._sequences.get(id)
        return 0 if found is None else found

    def add(self, id: bytes, sequence: int, time: int) -> None:
        """Remember an id; an earlier time than the last one becomes that."""
        if self.window <= 0:
            return
        run = self._newest
        if run is None or run.time < time:
            run = self._newest = Run(time)
            self._runs.append(run)
            if self._oldest == _NEVER:
                self._oldest = time
        run.ids.append(id)
        run.last = sequence
        self._sequences[id] = sequence

    def expire(self, wall: int) -> None:
        """Forget what is older than the window."""
        runs = self._runs
        while self._oldest <= wall - self.window:
            run: Run = runs.popleft()
            self._forget(run.ids, 0, run.last)
            self._look()

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds: ids are remembered for the rest of their time."""
        for run in self._runs:
            run.time += by
        self._look()

    def forget_after(self, sequence: int) -> None:
        """Forget messages behind this one: they were undone."""
        while self._newest is not None and self._newest.last > sequence:
            run = self._newest
            self._forget(run.ids, sequence, run.last)
            run.ids = [id for id in run.ids if id in self._sequences]
            run.last = sequence
            if not run.ids:
                self._runs.pop()
            self._look()

    def next_expiry(self) -> int | None:
        """Return when there is something to forget."""
        return None if self._oldest == _NEVER else self._oldest + self.window

    def _forget(self, ids: list[bytes], after: int, last: int) -> None:
        """Forget those whose message is one of these; an id that came again later belongs to another run."""
        sequences = self._sequences
        for id in ids:
            if after < sequences.get(id, 0) <= last:
                del sequences[id]

    def _look(self) -> None:
        """Note the ends of what is left."""
        runs = self._runs
        if runs:
            first: Run = runs[0]
            self._oldest, self._newest = first.time, runs[-1]
        else:
            self._oldest, self._newest = _NEVER, None
