"""Waiting: the pull requests that wait for messages, and whose turn it is.

Served one message at a time, in turns: who got one goes to the end of the queue, until its batch is complete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from midge.engine.consumers.groups import Claim

__all__ = ["Request", "Waiting"]

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
    """

    __slots__ = (
        "beat", "claim", "done", "expires", "heartbeat", "left", "no_wait", "received", "reply", "route", "size",
    )  # fmt: skip

    def __init__(self, reply: bytes, route: Any, received: int) -> None:
        self.reply = reply
        self.route = route
        self.received = received
        self.left = 1
        self.done = self.size = self.expires = self.heartbeat = self.beat = 0
        self.no_wait = False
        self.claim: Claim | None = None


class Waiting:
    """The queue.

    Args:
        most: how many may wait.
    """

    __slots__ = ("most", "queue")

    def __init__(self, most: int) -> None:
        self.most = most
        self.queue: deque[Request] = _NOBODY

    def __len__(self) -> int:
        return len(self.queue)

    def __iter__(self) -> Iterator[Request]:
        return iter(self.queue)

    @property
    def is_full(self) -> bool:
        return len(self.queue) >= self.most

    @property
    def first(self) -> Request:
        """Whose turn it is; there is one."""
        return self.queue[0]

    def add(self, request: Request) -> None:
        """Let a request wait behind the others."""
        if not self.queue:
            self.queue = deque()
        self.queue.append(request)

    def pass_over(self) -> None:
        """Let the first wait behind the others."""
        self.queue.rotate(-1)

    def drop(self) -> Request:
        """Take out the first."""
        request = self.queue.popleft()
        if not self.queue:
            self.queue = _NOBODY
        return request

    def serve(self) -> Request:
        """The first gets a message: take it out where that was its last, else its turn comes again behind the others. Return it."""
        queue = self.queue
        request = queue[0]
        request.done += 1
        request.left -= 1
        if request.left <= 0:
            self.drop()
        elif len(queue) > 1:
            queue.rotate(-1)
        return request

    def keep(self, requests: list[Request]) -> None:
        """Let only these wait, in this order."""
        self.queue = deque(requests) if requests else _NOBODY
