"""Queue: one account's requests, which are answered in the order in which they came.

One is worked on at a time, and the next one waits until it is answered. Creations are the exception: one that only waits for the disk lets
the next one begin, where that creates something else. So what is created by requests that come together is safe with one write, and costs
the wait for one. Answers are held until those before have left.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from midge.engine.requests import ApiRequest

__all__ = ["Answer", "Queue"]

_ASIDE = 256  # creations that wait for the disk at the same time


class Answer(NamedTuple):
    """What a request is answered with."""

    payload: bytes
    header: bytes
    is_error: bool


class Queue:
    """The requests of one account.

    Attributes:
        waiting: those that nobody has begun with, and ``size`` their bytes.
        busy: the one that is being answered.
    """

    __slots__ = ("_aside", "_names", "busy", "size", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[ApiRequest] = deque()
        self.size = 0
        self.busy: ApiRequest | None = None
        self._aside: dict[ApiRequest, Answer | None] = {}  # in order: what waits for the disk, and what is answered behind it
        self._names: set[tuple[str, ...]] = set()  # of what those of them create that wait for the disk

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, request: ApiRequest) -> None:
        self.waiting.append(request)
        self.size += request.size

    def clear(self) -> None:
        """Begin with no more requests."""
        self.waiting.clear()
        self.size = 0

    @property
    def is_ready(self) -> bool:
        """True if the next request can begin."""
        if self.busy is not None or not self.waiting:
            return False
        if not self._aside:
            return True
        name = _created_by(self.waiting[0])
        is_other = bool(name) and name not in self._names and name[:1] not in self._names
        return is_other and len(self._aside) < _ASIDE

    def take(self) -> ApiRequest:
        """Return the next request, which is being answered from now on."""
        self.busy = request = self.waiting.popleft()
        self.size = self.size - request.size if self.waiting else 0
        return request

    def set_aside(self, request: ApiRequest) -> None:
        """A request has begun, and is not answered yet: where it creates something, the next one need not wait."""
        name = _created_by(request)
        if name and self.busy is request:
            self.busy = None
            self._aside[request] = None
            self._names.add(name)

    def answered(self, request: ApiRequest, answer: Answer) -> list[tuple[ApiRequest, Answer]]:
        """A request has its answer: return all that may leave now, in order; each of them is to be ``done``."""
        if not self._aside:
            return [(request, answer)]
        if self.busy is request:
            self.busy = None
        self._aside[request] = answer
        self._names.discard(_created_by(request))
        leaving = []
        for each, its_answer in self._aside.items():
            if its_answer is None:
                break
            leaving.append((each, its_answer))
        for each, _ in leaving:
            del self._aside[each]
        return leaving

    def done(self, request: ApiRequest) -> None:
        """A request needs no more: the next one may begin."""
        if self.busy is request:
            self.busy = None


def _created_by(request: ApiRequest) -> tuple[str, ...]:
    """Return the stream, and the consumer, whose names a request to create them has in its subject; nothing where it is no such one."""
    tokens = request.tokens
    if tokens[:2] == ["STREAM", "CREATE"]:
        return tuple(tokens[2:3])
    if tokens[:2] == ["CONSUMER", "CREATE"] and len(tokens) > 3:
        return tuple(tokens[2:4])
    return tuple(tokens[3:5]) if tokens[:3] == ["CONSUMER", "DURABLE", "CREATE"] and len(tokens) == 5 else ()
