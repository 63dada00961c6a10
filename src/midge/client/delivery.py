"""Delivery: how the messages of one feed reach the tasks that take them.

A waiter is only woken, never handed a message, so a cancelled wait loses nothing. A coroutine callback is awaited by one worker
task, message after message. Every wait ends when the feed or the connection does.

A drain must know who still works on messages: the worker, the loops that go on (each ``async for`` has an Iteration, which lives
as long as the loop) and, while the buffer holds something, the task that asked for a single message last.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from midge.client.reporter import is_cancelled
from midge.client.session import Feed
from midge.errors import ConnectionClosedError, MidgeError, MidgeTimeoutError, SubscriptionClosedError
from midge.message import Message

__all__ = ["Delivery", "Iteration"]


class Delivery:
    """The waiters, loops and worker of one feed, whose ``owner`` it is.

    Attributes:
        confirming: how many callers wait until the server has the subscription.
        end_error: makes the error for who asks for more than there is; None while more may come.
        worker: the task of a coroutine callback.
    """

    __slots__ = ("__weakref__", "_changed", "_feed", "_iterations", "_reader", "_waiters", "confirming", "end_error", "worker")

    def __init__(self, feed: Feed) -> None:
        self.confirming = 0
        self.end_error: Callable[[], MidgeError] | None = None
        self.worker: asyncio.Task[None] | None = None
        self._feed = feed
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._changed: list[asyncio.Future[None]] = []
        self._iterations: set[weakref.ref[Iteration]] = set()
        self._reader: asyncio.Task[Any] | None = None

    # For those who take messages

    def note_reader(self) -> None:
        """The current task asks for a single message."""
        if self._reader is None or not self._feed.buffer or self._reader.done():
            self._reader = asyncio.current_task()

    def iterate(self) -> Iteration:
        """Begin a loop."""
        iteration = Iteration(self, self._feed)
        self._iterations.add(weakref.ref(iteration, self._forget))
        return iteration

    async def wait(self, timeout: float | None) -> None:
        """Return when the buffer holds a message.

        Raises:
            MidgeTimeoutError: none came in time.
            MidgeError: what ``end_error`` makes.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._feed.buffer:
            if self.end_error is not None:
                raise self.end_error()
            waiter: asyncio.Future[None] = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, self._expire, waiter, timeout)
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                if self._feed.buffer:  # woken and cancelled at once: let another waiter have the message
                    self._wake_one()
                raise
            finally:
                if timer is not None:
                    timer.cancel()

    def take(self) -> Message:
        """Remove and return the oldest message."""
        message: Message = self._feed.take()
        if self._changed and not self._feed.buffer:
            self._tell_drain()
        return message

    def finish(self, iteration: Iteration) -> None:
        """A loop has come to its end."""
        self._iterations.discard(weakref.ref(iteration))
        self._tell_drain()

    async def work(self, callback: Callable[[Message], Awaitable[Any]], report: Callable[[str, BaseException], None]) -> None:
        """Await a coroutine callback with one message after the other until the feed has ended.

        What the callback raises is reported and does not end the work.
        """
        feed = self._feed
        while True:
            if not feed.buffer:
                try:
                    await self.wait(None)
                except MidgeError:
                    return
            message = feed.take()
            try:
                await callback(message)
            except asyncio.CancelledError as error:
                if is_cancelled():
                    raise
                report(feed.subject, error)
            except Exception as error:
                report(feed.subject, error)

    # For the connection

    def wake(self) -> None:
        """Messages have come."""
        for _ in range(len(self._feed.buffer)):
            if not self._wake_one():
                return

    def end(self, error: Callable[[], MidgeError] | None = None) -> None:
        """Nothing more will come. Who asks for more gets the error that is made, or learns that this is the end."""
        if self.end_error is None:
            self.end_error = error or self._ended
            while self._wake_one():
                pass

    def refuse(self, error: Callable[[], MidgeError]) -> bool:
        """The server refused the subscription. True if somebody waits for its confirmation, and so is told."""
        self.end(error)
        return self.confirming > 0

    def discard(self) -> None:
        """Keep what waits from the callback; without one it can still be taken."""
        if self.worker is not None:
            self._feed.trim(0)

    def is_read_by(self, task: asyncio.Task[Any] | None) -> bool:
        """True if the task works on messages of this feed, so that a drain waits for it."""
        return task is not None and (task is self.worker or task in self._readers())

    async def consumed(self) -> None:
        """Return when the messages that came are worked on, by whoever does so now, the caller's own task excepted."""
        me = asyncio.current_task()
        if self.worker is not None:
            if self.worker is not me:
                await asyncio.wait([self.worker])
            return
        while readers := self._readers() - {me}:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changed.append(changed)
            try:
                await asyncio.wait([changed, *readers], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._changed.remove(changed)

    # Private

    def _ended(self) -> MidgeError:
        return SubscriptionClosedError(self._feed.subject)

    def _expire(self, waiter: asyncio.Future[None], timeout: float | None) -> None:
        if not waiter.done():
            waiter.set_exception(MidgeTimeoutError(f"next message on {self._feed.subject!r}", timeout))

    def _wake_one(self) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False

    def _readers(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that take messages from the buffer now."""
        readers = {iteration.task for reference in list(self._iterations) if (iteration := reference()) is not None}
        if self._feed.buffer:
            readers.add(self._reader)
        return {task for task in readers if task is not None and not task.done()}

    def _forget(self, reference: weakref.ref[Iteration]) -> None:
        """A loop was left: its iteration is gone. It may have gone in another thread, where the garbage collector happened to run."""
        self._iterations.discard(reference)
        for changed in list(self._changed):
            changed.get_loop().call_soon_threadsafe(self._tell_drain)

    def _tell_drain(self) -> None:
        for changed in self._changed:
            if not changed.done():
                changed.set_result(None)


class Iteration:
    """One ``async for`` over a subscription. ``task`` is the one that loops, once it has begun."""

    __slots__ = ("__weakref__", "_delivery", "_feed", "task")

    def __init__(self, delivery: Delivery, feed: Feed) -> None:
        self._delivery = delivery
        self._feed = feed
        self.task: asyncio.Task[Any] | None = None

    def __aiter__(self) -> Iteration:
        return self

    async def __anext__(self) -> Message:
        if self.task is None:
            self.task = asyncio.current_task()
        if not self._feed.buffer:
            try:
                await self._delivery.wait(None)
            except SubscriptionClosedError:
                self._delivery.finish(self)
                raise StopAsyncIteration from None
            except ConnectionClosedError as error:
                self._delivery.finish(self)
                if error.__cause__ is None:  # closed by the application itself
                    raise StopAsyncIteration from None
                raise
        return self._delivery.take()
