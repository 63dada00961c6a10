"""Window: how many bytes a push consumer with flow control may have on the way, as nats-server counts them.

It begins small and doubles with each answer, up to the limit. When more than half of it is on the way, the receiver is asked; what was
on the way then is taken off when it answers, and nothing is sent meanwhile once the window is overrun. An answer counts once, and only
the newest question has one: what else is published to ``$JS.FC.>`` changes nothing.

It sends nothing itself: who owns it asks, and says so with ``ask``.
"""

from __future__ import annotations

__all__ = ["LIMIT", "Window"]

LIMIT = 32 << 20  # bytes, of a window that has grown as far as it may
_FIRST = 16  # it begins with one of so many parts


class Window:
    """The window of one consumer.

    Attributes:
        size: bytes that may be on the way.
        sent: bytes that are on the way.
        question: the reply subject of the question that is not answered; empty where there is none.
    """

    __slots__ = ("_limit", "_taken", "question", "sent", "size")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self.size = max(limit // _FIRST, 1)
        self.sent = 0
        self.question = b""
        self._taken = 0  # what an answer takes off

    @property
    def is_full(self) -> bool:
        """True while nothing may be sent."""
        return self.sent > self.size

    def add(self, size: int) -> bool:
        """So many bytes were sent. True where the receiver has to be asked now: next, send the question and ``ask``."""
        self.sent += size
        if not self.question:
            return self.sent > self.size // 2
        if self.sent - self._taken >= self.size:
            self._taken += size
        return False

    def room(self) -> int:
        """Return how many bytes may be sent, and counted in ``sent``, without ``add``: nobody would have to be asked."""
        return max((self.size // 2 if not self.question else self.size - 1) - self.sent, 0)

    def ask(self, question: bytes) -> None:
        """The receiver was asked with this reply subject."""
        self.question = question
        self._taken = self.sent

    def answer(self, question: bytes) -> bool:
        """Somebody has answered. False where it is no answer to the newest question; else more may be sent."""
        if not self.question or question != self.question:
            return False
        self.size = min(2 * self.size, self._limit)
        self.sent = max(self.sent - self._taken, 0)
        self.question = b""
        self._taken = 0
        return True
