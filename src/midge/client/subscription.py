"""Subscription: the messages of one subject, as the application sees them under asyncio.

    plain function        session ──────────────────────────────► callback(message), inside the read
    coroutine function    session ──► Feed's buffer ──► workers ──► await callback(message), one after the other in each
    async for, next()     session ──► Feed's buffer ──► Consumer, or whoever asks

    Interest.feeds ──sid──► Subscription (is a Feed: what it receives; and the waiters: who waits for a message)

A waiter is only woken, never handed a message, so a cancelled wait loses nothing. Every wait ends when the subscription or the
connection does. What few subscriptions need (a buffer, waiters, more than one worker) is made when it is needed.

A drain waits for the workers and for the loops that go on, each as long as its Consumer lives. It does not wait for a task that takes
single messages with ``next()``, and what that has not taken can still be read afterwards.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from midge.client.callbacks import is_cancelled
from midge.client.consumers import TURN_MSGS, Consumer, is_end
from midge.client.interest import ON_FULL, Feed, OnFull
from midge.client.options import check_timeout
from midge.client.room import READY, Answer
from midge.errors import (
    ConnectionClosedError,
    LocalProtocolError,
    MidgeError,
    MidgeTimeoutError,
    ServerError,
    SlowConsumerError,
    SubscriptionClosedError,
)
from midge.events import SubscriptionEnded
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["Callback", "Subscription"]

WORK_SECONDS = 0.005  # how long a worker goes on without one

Callback = Callable[[Message], Any] | Callable[[Message], Awaitable[Any]]


class Subscription(Feed):
    """One subscription; made by ``Client.subscribe``. Awaiting it waits until the server has it.

    As a block, ``async with nc.subscribe(...) as sub``, it is confirmed at the start and drained at the end, or unsubscribed where the
    block raises. ``create_task`` takes no subscription: it is not a coroutine. ``gather`` and ``wait_for`` take it.
    """

    __slots__ = (
        "__weakref__", "_confirming", "_connection", "_coroutine", "_end_error", "_ended", "_max_concurrency", "_run", "_waiters",
        "_workers",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        subject: str,
        queue: str | None,
        callback: Callback | None,
        pending_msgs: int,
        pending_bytes: int,
        on_full: OnFull,
        max_concurrency: int,
    ) -> None:
        is_coroutine = callback is not None and _is_coroutine_function(callback)
        _check_concurrency(max_concurrency, is_coroutine)
        super().__init__(subject, queue, None if is_coroutine else callback)
        self.set_pending_limits(pending_msgs, pending_bytes, on_full)
        self._connection = connection
        self._confirming = 0  # callers that wait until the server has it
        self._end_error: Callable[[], MidgeError] | None = None  # makes the error for who asks for more than there is
        self._ended: asyncio.Future[None] | None = None  # for who waits for the end
        self._waiters: deque[asyncio.Future[None]] | None = None
        self._coroutine: Callable[[Message], Awaitable[Any]] | None = callback if is_coroutine else None
        self._max_concurrency = max_concurrency
        self._workers: list[asyncio.Task[None]] = []
        self._run = 0  # messages that were taken since somebody waited
        connection.subscribe(self)
        if is_coroutine:
            self._add_worker()

    @property
    def pending(self) -> int:
        """Messages that wait to be taken."""
        return self.waiting()

    @property
    def pending_bytes(self) -> int:
        """Bytes of header and payload that wait to be taken."""
        return self.buffered

    @property
    def is_closed(self) -> bool:
        """True if nothing more will come; the buffer may still hold messages."""
        return self._end_error is not None

    @property
    def max_pending(self) -> int:
        """The most messages that have waited at a time."""
        return self.top()[0]

    @property
    def max_pending_bytes(self) -> int:
        """The most bytes of header and payload that have waited at a time."""
        return self.top()[1]

    @property
    def delivered(self) -> int:
        """Messages that the application was given: taken from the buffer, or handed to the callback.

        ``received`` is all that came, ``dropped`` what found the buffer full, ``discarded`` what was forgotten by ``unsubscribe``.
        """
        return self.taken()

    def set_pending_limits(self, msgs: int, bytes: int, on_full: OnFull | None = None) -> None:
        """Bound the buffer; -1 is no bound. ``on_full`` says what comes of a message that finds it full, None that this stays as it is."""
        if on_full is not None and on_full not in ON_FULL:
            raise ValueError(f"on_full={on_full!r}: expected one of {', '.join(map(repr, ON_FULL))}")
        for bound in (msgs, bytes):
            if isinstance(bound, bool) or not isinstance(bound, int):
                raise TypeError(f"a bound is a number of messages or bytes, not {bound!r}")
            if bound < -1 or bound == 0:
                raise ValueError(f"a bound of {bound}: expected 1 or more, or -1 for none")
        self.set_limits(msgs, bytes, self.on_full if on_full is None else on_full)

    def __repr__(self) -> str:
        queue = f", queue={self.queue!r}" if self.queue else ""
        return f"<Subscription {self.subject!r}{queue} sid={self.sid} pending={self.pending}{' closed' if self.is_closed else ''}>"

    def __await__(self) -> Generator[Any, None, Subscription]:
        """Wait until the server has the subscription. Where that fails or is cancelled, the subscription ends.

        Raises:
            PermissionsViolationError: the server refused it.
            TooManySubscriptionsError: the server refused it, or another one that was sent with it.
            ConnectionClosedError: the connection ended first.
            MidgeTimeoutError: the server does not answer.
        """
        return self._confirm().__await__()

    async def __aenter__(self) -> Subscription:
        return await self._confirm()

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.unsubscribe()
        elif not self.is_closed:
            await self.drain()

    def __aiter__(self) -> Consumer:
        """Iterate over the messages until the subscription has ended and its buffer is empty.

        Raises:
            ConnectionClosedError: the connection was lost. Where it was closed or drained, the loop just ends.
            SlowConsumerError: its buffer was full, and ``on_full`` says that this is an error.
            ServerError: the server refused the subscription, or has taken it back: mostly a PermissionsViolationError.
        """
        self._refuse_callback()
        return Consumer(self, self._connection.consumers)

    async def __anext__(self) -> Message:
        """Return the next message: ``await anext(sub)``. As ``next``, but StopAsyncIteration says that nothing more comes."""
        try:
            return await self.next()
        except MidgeError as error:
            if not is_end(error):
                raise
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting for it as many seconds as given, or for as long as it takes.

        Raises:
            MidgeTimeoutError: none came in time. It is a TimeoutError.
            SubscriptionClosedError: the subscription has ended and its buffer is empty.
            ConnectionClosedError: the connection is closed, or was lost, and the buffer is empty.
            SlowConsumerError: its buffer was full, ``on_full`` says that this is an error, and what it held has been read.
            ServerError: the server refused the subscription, or has taken it back: mostly a PermissionsViolationError.
        """
        if self.callback is not None or self._coroutine is not None:
            self._refuse_callback()
        if not self.waiting() or self._run >= TURN_MSGS:
            await self._wait(timeout)
        self._run += 1
        return self.take()

    def unsubscribe(self, limit: int | None = None) -> Answer:
        """End the subscription: at once, or after it has received ``limit`` messages in all. Done when the call returns.

        What its buffer holds can still be read, with a limit only so many messages. A callback is called no more or, with a limit,
        for those messages.

        Raises:
            LocalProtocolError: the limit is not a number of messages from 1 on.
        """
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise LocalProtocolError(f"a limit is a number of messages from 1 on, not {limit!r}")
        self._connection.unsubscribe(self, limit or 0)
        if limit is None:
            self.discard_work()
        return READY

    def drain(self) -> Coroutine[Any, Any, None]:
        """End the subscription without losing anything: what the server has sent by now is delivered and worked on first.

        A callback or loop that drains its own subscription is not waited for.

        Raises:
            MidgeTimeoutError: it took longer than ``drain_timeout``.
            ConnectionClosedError: the connection is closed, or was lost meanwhile.
        """
        return self._connection.farewell.drain_subscription(self, self._connection.consumers.asking())

    async def wait_closed(self) -> None:
        """Return when nothing more will come, and its callback is done with what came. The buffer may still hold messages.

        A callback that waits for its own subscription's end is not waited for.

        Raises:
            ConnectionClosedError: the connection was lost. Where it was closed or drained, this just returns.
            PermissionsViolationError: the server refused the subscription.
            SlowConsumerError: its buffer was full, and ``on_full`` says that this is an error.
        """
        consumers = self._connection.consumers
        asking = consumers.asking()
        if self._end_error is None:
            self._connection.home.check()
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)
        assert self._end_error is not None
        if self._coroutine is not None:
            await consumers.wait(asking, lambda: False, self)
        if not is_end(error := self._end_error()):
            raise error

    # For the connection

    def wake(self) -> None:
        """Messages have come: let those who wait take them, and begin with more of the workers where all are busy."""
        self.note_top()
        left = self.waiting()
        while left and self._wake_one():
            left -= 1
        if left and self._coroutine is not None:
            self._workers = [worker for worker in self._workers if not worker.done()]  # a callback may have cancelled its own task
            for _ in range(min(left, self._max_concurrency - len(self._workers))):
                self._add_worker()

    def end(self, error: Callable[[], MidgeError] | None = None) -> None:
        """Nothing more will come. Who asks for more gets the error that is made, or learns that this is the end."""
        if self._end_error is None:
            self._end_error = error or (self._overrun_error if self.has_overrun else self._closed_error)
            while self._wake_one():
                pass
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)
            why = self._end_error()
            if not isinstance(why, ConnectionClosedError):  # else the end of the connection is the event
                self._connection.emit(SubscriptionEnded(self.subject, self.sid, None if is_end(why) else why))

    def refuse(self, error: Callable[[], MidgeError]) -> bool:
        """The server refused the subscription. True if somebody waits for its confirmation, and so is told."""
        self.end(error)
        return self._confirming > 0

    def end_error(self) -> MidgeError | None:
        """Return why it has ended; None where it has not, or because the application wanted that."""
        error = None if self._end_error is None else self._end_error()
        return None if isinstance(error, SubscriptionClosedError) else error

    def discard_work(self) -> None:
        """Keep what waits from the callback; without one it can still be taken."""
        if self._coroutine is not None:
            self.discard(0)

    def on_let_go(self) -> None:
        """There is room again: parsing may go on."""
        self._connection.parse_soon()

    # Private

    async def _wait(self, timeout: float | None) -> None:
        """Return when the buffer holds a message, and everybody else has had a turn of the event loop.

        Raises:
            MidgeTimeoutError: none came in time.
            MidgeError: what ``_end_error`` makes.
        """
        check_timeout(timeout)
        if self._run >= TURN_MSGS:
            self._run = 0
            await asyncio.sleep(0)
        deadline = None
        while not self.waiting():
            if self._end_error is not None:
                raise self._end_error()
            self._connection.home.check()
            self._run = 0
            loop = asyncio.get_running_loop()
            if timeout is not None and deadline is None:
                deadline = loop.time() + timeout
            waiter: asyncio.Future[None] = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, self._expire, waiter, timeout)
            await self._wait_for(waiter, timer)

    async def _wait_for(self, waiter: asyncio.Future[None], timer: asyncio.TimerHandle | None) -> None:
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if self.waiting():  # woken and cancelled at once: let another waiter have the message
                self._wake_one()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _add_worker(self) -> None:
        assert self._coroutine is not None
        consumer = Consumer(self, self._connection.consumers)
        consumer.task = self._connection.run(self._work(self._coroutine, consumer))
        self._workers.append(consumer.task)

    async def _work(self, callback: Callable[[Message], Awaitable[Any]], consumer: Consumer) -> None:
        """Await a coroutine callback with one message after the other until the subscription has ended.

        What the callback raises is reported and does not end the work. One that never waits lets the others have their turns.
        """
        consumer.task = asyncio.current_task()  # before the callback is called: an eager task begins inside the call that makes it
        loop = asyncio.get_running_loop()
        until = loop.time() + WORK_SECONDS
        try:
            while True:
                if not self.waiting():
                    await self._wait(None)
                    until = loop.time() + WORK_SECONDS
                elif loop.time() > until:
                    await asyncio.sleep(0)
                    until = loop.time() + WORK_SECONDS
                    continue
                consumer.taken += 1
                message = self.take()
                try:
                    await callback(message)
                except asyncio.CancelledError as error:
                    if is_cancelled():
                        raise
                    self._connection.report_callback(self.subject, error)
                except Exception as error:
                    self._connection.report_callback(self.subject, error)
        except MidgeError:
            return  # the subscription has ended
        finally:
            consumer.finish()

    async def _confirm(self) -> Subscription:
        self._confirming += 1
        self._connection.hearing.suspects.confirming[self.sid] = self
        try:
            await self._connection.exchange.confirm(self._connection.options.timeout)
            if isinstance(error := self.end_error(), ServerError):
                raise error
        except BaseException:
            self.unsubscribe()
            raise
        finally:
            self._confirming -= 1
            if not self._confirming:
                self._connection.hearing.suspects.confirming.pop(self.sid, None)
        return self

    def _refuse_callback(self) -> None:
        if self.callback is not None or self._coroutine is not None:
            raise TypeError(f"the subscription to {self.subject!r} has a callback: its messages cannot be taken here too")

    def _closed_error(self) -> MidgeError:
        return SubscriptionClosedError(self.subject)

    def _overrun_error(self) -> MidgeError:
        return SlowConsumerError(self.subject, self.dropped)

    def _expire(self, waiter: asyncio.Future[None], timeout: float | None) -> None:
        if not waiter.done():
            waiter.set_exception(MidgeTimeoutError(f"next message on {self.subject!r}", timeout))

    def _wake_one(self) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False


def _is_coroutine_function(callback: Any) -> bool:
    """True if the callback is to be awaited.

    Raises:
        TypeError: nothing that is called with a message, or a generator function, which would do nothing when called.
    """
    if not callable(callback):
        raise TypeError(f"a callback is a function or a coroutine function, not {type(callback).__name__}")
    while hasattr(callback, "func"):  # functools.partial
        callback = callback.func
    kinds = (callback, getattr(callback, "__call__", None))
    if any(inspect.isgeneratorfunction(kind) or inspect.isasyncgenfunction(kind) for kind in kinds):
        raise TypeError("a callback is a function or a coroutine function, not a generator function")
    return any(inspect.iscoroutinefunction(kind) for kind in kinds)


def _check_concurrency(max_concurrency: object, is_coroutine: bool) -> None:
    if isinstance(max_concurrency, bool) or not isinstance(max_concurrency, int):
        raise TypeError(f"max_concurrency is a number of callbacks, not {max_concurrency!r}")
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency={max_concurrency}: expected 1 or more")
    if max_concurrency > 1 and not is_coroutine:
        raise ValueError("max_concurrency is for callbacks that are coroutine functions")
