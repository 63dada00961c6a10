"""Waiting: the pull requests that wait for messages, and whose turn it is.

Served one message at a time, in turns: who got one goes to the end of the queue, until its batch is complete. A request that ends while
others are before it stays in the queue as one that is over until its turn comes, or most are: a hundred thousand that wait are never
walked for one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from midge.engine.consumers.groups import Claim

__all__ = ["Request", "Waiting"]

_SLACK = 64  # requests that are over and may always stay
_NOBODY: deque[Any] = deque()  # never filled: most consumers have no request most of the time


class Request:
    """One pull request. Times are wall nanoseconds, 0 for none.

    Attributes:
        reply: where its messages go; ``route`` is the server's way there.
        left: messages that it still wants; ``done`` how many it got.
        size: bytes that it may still get, 0 for any number.
        expires: when it ends.
        no_wait: it ends at the end of the stream.
        heartbeat: how often it hears something, at least; ``beat`` when the next time is.
        claim: what it says of priority groups; None where its body is no JSON object.
        received: when it came.
        is_over: it waits no more.
    """

    __slots__ = (
        "beat", "claim", "done", "expires", "heartbeat", "is_over", "left", "no_wait", "received", "reply", "route", "size",
    )  # fmt: skip

    def __init__(self, reply: bytes, route: Any, received: int) -> None:
        self.reply = reply
        self.route = route
        self.received = received
        self.left = 1
        self.done = self.size = self.expires = self.heartbeat = self.beat = 0
        self.no_wait = self.is_over = False
        self.claim: Claim | None = None


class Waiting:
    """The queue.

    Attributes:
        wanted: messages that those who wait want together.
    """

    __slots__ = ("_over", "_queue", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self._queue: deque[Request] = _NOBODY  # the first one waits
        self._over = 0  # how many in it do not

    def __len__(self) -> int:
        return len(self._queue) - self._over

    def __iter__(self) -> Iterator[Request]:
        return (request for request in self._queue if not request.is_over)

    @property
    def first(self) -> Request:
        """Whose turn it is; there is one."""
        return self._queue[0]

    def add(self, request: Request) -> None:
        """Let a request wait behind the others."""
        if not self._queue:
            self._queue = deque()
        self._queue.append(request)
        self.wanted += request.left

    def pass_over(self) -> None:
        """Let the first wait behind the others."""
        self._queue.rotate(-1)
        self._tidy()

    def drop(self) -> Request:
        """Take out the first."""
        request = self._queue.popleft()
        request.is_over = True
        self.wanted -= request.left
        self._tidy()
        return request

    def serve(self) -> Request:
        """The first gets a message: take it out where that was its last, else its turn comes again behind the others. Return it."""
        request = self.first
        self.took(request, 1)
        if request.left <= 0:
            self.drop()
        else:
            self.pass_over()
        return request

    def took(self, request: Request, messages: int) -> None:
        """A request that waits got so many messages, and wants more."""
        request.done += messages
        request.left -= messages
        self.wanted -= messages

    def limit(self, request: Request, left: int) -> None:
        """Let a request that waits want only so many messages more."""
        self.wanted += left - request.left
        request.left = left

    def end(self, request: Request) -> None:
        """Let a request wait no more, wherever it is."""
        request.is_over = True
        self.wanted -= request.left
        self._over += 1
        if self._over > _SLACK and 2 * self._over > len(self._queue):
            self._queue = deque(self)
            self._over = 0
        self._tidy()

    def clear(self) -> None:
        """Let nobody wait."""
        for request in self:
            request.is_over = True
        self._queue = _NOBODY
        self.wanted = self._over = 0

    def _tidy(self) -> None:
        """See to it that the first one waits, and that an empty queue takes no memory."""
        queue = self._queue
        while self._over and queue[0].is_over:
            queue.popleft()
            self._over -= 1
        if not queue:
            self._queue = _NOBODY
