"""Subscription: how the messages of one subject reach the application under asyncio.

Three ways: a plain function is called the moment a message is parsed; a coroutine function is awaited by one worker task, message
after message; without a callback, ``async for`` and ``next()`` take from a bounded buffer. A waiter is only woken, never handed a
message, so a cancelled wait loses nothing. Every wait ends when the subscription or the connection does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from midge.client.session import Feed, check_limit
from midge.errors import ConnectionClosedError, MidgeTimeoutError, SubscriptionClosedError
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["DEFAULT_PENDING_BYTES", "DEFAULT_PENDING_MSGS", "Callback", "Subscription"]

DEFAULT_PENDING_MSGS = 500_000
DEFAULT_PENDING_BYTES = 64 << 20

Callback = Callable[[Message], Any] | Callable[[Message], Awaitable[Any]]


class Subscription:
    """One subscription; made by ``Client.subscribe``. Awaiting it waits until the server has it."""

    __slots__ = ("_connection", "_consumer", "_emptied", "_ended", "_error", "_feed", "_waiters", "_worker")

    def __init__(
        self,
        connection: Connection,
        subject: str,
        queue: str | None,
        callback: Callback | None,
        pending_msgs: int,
        pending_bytes: int,
        drop: Literal["new", "old"],
    ) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"a callback is a function or a coroutine function, not {type(callback).__name__}")
        is_coroutine = callback is not None and _is_coroutine_function(callback)
        self._connection = connection
        self._feed = Feed(subject, queue, None if is_coroutine else callback, self)
        self.set_pending_limits(pending_msgs, pending_bytes, drop)
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._emptied: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._consumer: asyncio.Task[Any] | None = None
        self._worker: asyncio.Task[None] | None = None
        connection.add(self._feed)
        if is_coroutine:
            self._worker = connection.run(self._work(callback))  # type: ignore[arg-type]

    @property
    def subject(self) -> str:
        return self._feed.subject

    @property
    def queue(self) -> str | None:
        return self._feed.queue

    @property
    def sid(self) -> int:
        """The subscription's id on the wire."""
        return self._feed.sid

    @property
    def pending(self) -> int:
        """Messages that wait to be taken."""
        return len(self._feed.buffer)

    @property
    def pending_bytes(self) -> int:
        """Bytes of header and payload that wait to be taken."""
        return self._feed.buffered

    @property
    def received(self) -> int:
        """Messages that came, dropped ones included."""
        return self._feed.received

    @property
    def dropped(self) -> int:
        """Messages that were dropped because the buffer was full."""
        return self._feed.dropped

    @property
    def is_closed(self) -> bool:
        """True if nothing more will come; the buffer may still hold messages."""
        return self._ended

    def set_pending_limits(self, msgs: int, bytes: int, drop: Literal["new", "old"] = "new") -> None:
        """Bound the buffer. -1 or 0 takes a bound away; ``drop`` says which message goes when it is full."""
        if drop not in ("new", "old"):
            raise ValueError(f"drop={drop!r}: expected 'new' or 'old'")
        self._feed.set_limits(max(msgs, 0), max(bytes, 0), drop == "old")

    def __repr__(self) -> str:
        queue = f", queue={self.queue!r}" if self.queue else ""
        return f"<Subscription {self.subject!r}{queue} sid={self.sid} pending={self.pending}{' closed' if self._ended else ''}>"

    def __await__(self) -> Generator[Any, None, Subscription]:
        """Wait until the server has the subscription.

        Raises:
            PermissionsViolationError: the server refused it.
            ConnectionClosedError: the connection ended first.
            MidgeTimeoutError: the server does not answer.
        """
        return self._confirm().__await__()

    def __aiter__(self) -> Subscription:
        self._refuse_callback()
        return self

    async def __anext__(self) -> Message:
        feed = self._feed
        if not feed.buffer:
            try:
                await self._wait(None)
            except SubscriptionClosedError:
                raise StopAsyncIteration from None
        return self._take()

    async def next(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting for it as many seconds as given, or for as long as it takes.

        Raises:
            MidgeTimeoutError: none came in time. It is a TimeoutError.
            SubscriptionClosedError: the subscription has ended and its buffer is empty.
            ConnectionClosedError: the connection was lost and the buffer is empty.
        """
        self._refuse_callback()
        if not self._feed.buffer:
            await self._wait(timeout)
        return self._take()

    async def unsubscribe(self, limit: int | None = None) -> None:
        """End the subscription: at once, or after it has received ``limit`` messages in all. Its buffer can still be read."""
        if limit is not None:
            check_limit(limit)
        self._connection.unsubscribe(self._feed, limit or 0)

    async def drain(self) -> None:
        """End the subscription without losing anything: what the server has sent by now is delivered first."""
        await self._connection.drain_feeds([self._feed])
        await self._connection.wait_for_consumers([self._feed])

    # For the connection

    def wake(self) -> None:
        """Messages have come."""
        for _ in range(len(self._feed.buffer)):
            if not self._wake_one():
                return

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come. Waiters get the error, or the end."""
        if self._ended:
            return
        self._ended = True
        self._error = error if self._error is None else self._error
        while self._wake_one():
            pass

    def fail(self, error: Exception) -> None:
        """The server refused the subscription."""
        self._error = error
        self.end()

    async def consumed(self) -> None:
        """Return when the worker is done, or another task has emptied the buffer; at once where nobody is there to do it."""
        me = asyncio.current_task()
        if self._worker is not None:
            if self._worker is not me:
                await asyncio.wait([self._worker])
            return
        consumer = self._consumer
        if consumer is None or consumer is me or not self._feed.buffer:
            return
        self._emptied = asyncio.get_running_loop().create_future()
        await asyncio.wait([consumer, self._emptied], return_when=asyncio.FIRST_COMPLETED)

    # Private

    async def _confirm(self) -> Subscription:
        await self._connection.flush(self._connection.options.timeout)
        if self._error is not None:
            raise self._error
        return self

    def _refuse_callback(self) -> None:
        if self._feed.callback is not None or self._worker is not None:
            raise TypeError(f"the subscription to {self.subject!r} has a callback: its messages cannot be taken here too")

    async def _wait(self, timeout: float | None) -> None:
        """Return when the buffer holds a message."""
        self._consumer = asyncio.current_task()
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._feed.buffer:
            if self._ended:
                raise self._error or SubscriptionClosedError(self.subject)
            waiter: asyncio.Future[None] = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, _expire, waiter, self.subject, timeout)
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                self._waiters = deque(other for other in self._waiters if other is not waiter)
                if self._feed.buffer:  # woken and cancelled at once: let another waiter have the message
                    self._wake_one()
                raise
            finally:
                if timer is not None:
                    timer.cancel()

    def _take(self) -> Message:
        message = self._feed.take()
        if self._emptied is not None and not self._feed.buffer and not self._emptied.done():
            self._emptied.set_result(None)
        return message

    def _wake_one(self) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False

    async def _work(self, callback: Callable[[Message], Awaitable[Any]]) -> None:
        """The worker of a coroutine callback: one message after the other, until the subscription ends."""
        feed = self._feed
        while True:
            if not feed.buffer:
                try:
                    await self._wait(None)
                except (SubscriptionClosedError, ConnectionClosedError, PermissionError):
                    return
            message = feed.take()
            try:
                await callback(message)
            except Exception as error:  # the handler's error must not end the subscription; it goes where errors go
                self._connection.report_callback(feed, error)


def _expire(waiter: asyncio.Future[None], subject: str, timeout: float | None) -> None:
    if not waiter.done():
        waiter.set_exception(MidgeTimeoutError(f"next message on {subject!r}", timeout))


def _is_coroutine_function(callback: Any) -> bool:
    while hasattr(callback, "func"):  # functools.partial
        callback = callback.func
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))
