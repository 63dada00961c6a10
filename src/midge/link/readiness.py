"""LoopReadiness: readiness by the event loop's own ``add_reader`` and ``add_writer``, for the one link of a client; and the buffers.

It costs about ten times what a ``Reactor`` does for each link and needs nothing around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midge.link import READ, WRITE, Watched

__all__ = ["CHUNK_SIZE", "Chunks", "LoopReadiness"]

CHUNK_SIZE = 131072
_CHUNK_SIZE = CHUNK_SIZE


class Chunks:
    """Buffers to read into, all of CHUNK_SIZE bytes. What comes back is lent again, up to a number of them; more are dropped.

    Args:
        spare: how many to keep.
    """

    __slots__ = ("_free", "_spare")

    def __init__(self, spare: int) -> None:
        self._free: list[bytearray] = []
        self._spare = spare

    def take(self) -> bytearray:
        """Lend a buffer; what is in it is anything."""
        return self._free.pop() if self._free else bytearray(_CHUNK_SIZE)

    def give_back(self, chunk: bytearray) -> None:
        """Take a buffer back. One of another size is dropped: not every chunk that an owner was given comes from here."""
        if len(self._free) < self._spare and len(chunk) == _CHUNK_SIZE:
            self._free.append(chunk)


class LoopReadiness:
    """Readiness for one link or a few.

    Args:
        loop: an event loop that has ``add_reader``.
    """

    __slots__ = ("_timers", "give_back", "loop", "take_chunk")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        chunks = Chunks(2)
        self.take_chunk = chunks.take
        self.give_back = chunks.give_back
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self.loop = loop

    def watch(self, link: Watched, read: bool, write: bool) -> None:
        wanted = (READ if read else 0) | (WRITE if write else 0)
        changed = wanted ^ link.watched
        link.watched = wanted
        if changed & READ:
            if read:
                self.loop.add_reader(link.fd, link.on_readable)
            else:
                self.loop.remove_reader(link.fd)
        if changed & WRITE:
            if write:
                self.loop.add_writer(link.fd, link.on_writable)
            else:
                self.loop.remove_writer(link.fd)

    def forget(self, link: Watched) -> None:
        if self.loop.is_closed():
            link.watched = 0
        else:
            self.watch(link, False, False)

    def time(self) -> float:
        return self.loop.time()

    def defer(self, call: Callable[[], None]) -> None:
        if not self.loop.is_closed():  # a closed one has no later turn
            self.loop.call_soon(call)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.cancel(call)
        self._timers[call] = self.loop.call_at(when, self._run, call)

    def cancel(self, call: Callable[[], None]) -> None:
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()

    def _run(self, call: Callable[[], None]) -> None:
        del self._timers[call]
        call()
