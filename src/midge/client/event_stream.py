"""EventStream: what ``Client.events()`` returns, to be iterated over.

It holds a bounded number of events. Where its loop is slower than they come, the oldest go, and ``dropped`` counts them: what is told
last is how things are. The loop ends after Closed.

The client knows a stream only as long as somebody else does or waits in it, so one that is cancelled or thrown away is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from midge.client.driver import Progress
from midge.events import Closed, Event

__all__ = ["EventStream"]

MAX_EVENTS = 1024


class EventStream:
    """The events of one client from the call of ``events()`` on, or its Closed where it had closed before.

    Args:
        awaited: where it is noted while somebody waits in it.
        check: refuses who may not wait here: another thread or event loop, a forked process. Nobody would ever wake them.

    Attributes:
        dropped: how many events were forgotten because too many waited.
    """

    __slots__ = ("__weakref__", "_awaited", "_check", "_is_over", "_progress", "_waiting", "dropped")

    def __init__(self, awaited: set[EventStream], check: Callable[[], None]) -> None:
        self.dropped = 0
        self._awaited = awaited
        self._check = check
        self._waiting: deque[Event] = deque()
        self._progress = Progress()
        self._is_over = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._check()
            self._awaited.add(self)
            try:
                await self._progress.wait()
            finally:
                if not self._progress.is_awaited:
                    self._awaited.discard(self)
        return self._waiting.popleft()

    def put(self, event: Event) -> bool:
        """Append an event. False where the oldest had to go for it."""
        has_room = len(self._waiting) < MAX_EVENTS
        if not has_room:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)
        self._is_over = isinstance(event, Closed)
        self._progress.wake()
        return has_room
