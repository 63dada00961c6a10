"""Dedupe: which message ids a stream has had within its window, so that what is published twice is stored once.

It lives in memory only; when a stream is opened it is filled again from the stored messages. What bounds it is the window and how fast
messages with ids are published, as in nats-server.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Dedupe"]


class Dedupe:
    """The ids of one stream.

    Args:
        window: nanoseconds for which an id is remembered; 0 for not at all.
    """

    __slots__ = ("_order", "_sequences", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self._sequences: dict[bytes, int] = {}
        self._order: deque[tuple[int, int, bytes]] = deque()  # time, sequence, id: the oldest first

    def __len__(self) -> int:
        return len(self._sequences)

    def find(self, id: bytes, wall: int) -> int:
        """Return the sequence of the message with this id, 0 where there is none in the window."""
        self.expire(wall)
        return self._sequences.get(id, 0)

    def add(self, id: bytes, sequence: int, time: int) -> None:
        """Remember an id."""
        if self.window > 0:
            self._sequences[id] = sequence
            self._order.append((time, sequence, id))

    def expire(self, wall: int) -> None:
        """Forget what is older than the window."""
        order, oldest = self._order, wall - self.window
        while order and order[0][0] <= oldest:
            _, sequence, id = order.popleft()
            if self._sequences.get(id) == sequence:
                del self._sequences[id]

    def forget_after(self, sequence: int) -> None:
        """Forget messages behind this one: they were undone."""
        order = self._order
        while order and order[-1][1] > sequence:
            _, undone, id = order.pop()
            if self._sequences.get(id) == undone:
                del self._sequences[id]

    def next_expiry(self) -> int | None:
        """Return when there is something to forget."""
        return self._order[0][0] + self.window if self._order else None
