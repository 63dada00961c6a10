"""Subscription: the messages of one subject, as the application sees them under asyncio.

    plain function        session ──────────────────────────────► callback(message), inside the read
    coroutine function    session ──► Feed's buffer ──► worker ──► await callback(message), one after the other
    async for, next()     session ──► Feed's buffer ──► Consumer, or whoever asks

    Interest.feeds ──sid──► Subscription (is a Feed: what it receives; and the waiters: who waits for a message)
                                ▲
    Consumers ──weakly──► Consumer (a worker or an ``async for``: the task that takes messages, and how many it has taken)

A waiter is only woken, never handed a message, so a cancelled wait loses nothing. Every wait ends when the subscription or the
connection does. What few subscriptions need (a buffer, waiters, a worker) is made when it is needed.

A drain waits for the workers and for the loops that go on, each as long as its Consumer lives. It does not wait for a task that takes
single messages with ``next()``: nobody knows whether it will ask for more, and what it has not taken can still be read afterwards.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from midge.client.interest import Feed
from midge.client.options import check_timeout
from midge.client.reporter import is_cancelled
from midge.client.room import READY, Answer
from midge.errors import ConnectionClosedError, LocalProtocolError, MidgeError, MidgeTimeoutError, SubscriptionClosedError
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["DEFAULT_PENDING_BYTES", "DEFAULT_PENDING_MSGS", "Callback", "Consumer", "Consumers", "Subscription"]

DEFAULT_PENDING_MSGS = 500_000
DEFAULT_PENDING_BYTES = 64 << 20
TURN_MSGS = 256  # messages that are taken without a wait before everybody else has a turn of the event loop
WORK_SECONDS = 0.005  # how long a worker goes on without one

Callback = Callable[[Message], Any] | Callable[[Message], Awaitable[Any]]


class Subscription(Feed):
    """One subscription; made by ``Client.subscribe``. Awaiting it waits until the server has it.

    As a block, ``async with nc.subscribe(...) as sub``, it is confirmed at the start and drained at the end, or unsubscribed where the
    block raises. ``create_task`` takes no subscription: it is not a coroutine. ``gather`` and ``wait_for`` take it.
    """

    __slots__ = ("__weakref__", "_confirming", "_connection", "_end_error", "_taken", "_waiters", "_worker")

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
        is_coroutine = callback is not None and _is_coroutine_function(callback)
        super().__init__(subject, queue, None if is_coroutine else callback)
        self._connection = connection
        self._confirming = 0  # callers that wait until the server has it
        self._end_error: Callable[[], MidgeError] | None = None  # makes the error for who asks for more than there is
        self._waiters: deque[asyncio.Future[None]] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._taken = 0  # messages that were taken since somebody waited
        self.set_pending_limits(pending_msgs, pending_bytes, drop)
        connection.subscribe(self)
        if is_coroutine:
            consumer = Consumer(self, connection.consumers)
            consumer.task = self._worker = connection.run(self._work(callback, consumer))  # type: ignore[arg-type]

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

    def set_pending_limits(self, msgs: int, bytes: int, drop: Literal["new", "old"] = "new") -> None:
        """Bound the buffer. -1 or 0 takes a bound away; ``drop`` says which message goes when it is full."""
        if drop not in ("new", "old"):
            raise ValueError(f"drop={drop!r}: expected 'new' or 'old'")
        for bound in (msgs, bytes):
            if not isinstance(bound, int):
                raise TypeError(f"a bound is a number of messages or bytes, not {bound!r}")
        self.set_limits(max(msgs, 0), max(bytes, 0), drop == "old")

    def __repr__(self) -> str:
        queue = f", queue={self.queue!r}" if self.queue else ""
        return f"<Subscription {self.subject!r}{queue} sid={self.sid} pending={self.pending}{' closed' if self.is_closed else ''}>"

    def __await__(self) -> Generator[Any, None, Subscription]:
        """Wait until the server has the subscription. Where that fails or is cancelled, the subscription ends.

        Raises:
            PermissionsViolationError: the server refused it.
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
            PermissionsViolationError: the server refused the subscription.
        """
        self._refuse_callback()
        return Consumer(self, self._connection.consumers)

    async def __anext__(self) -> Message:
        """Return the next message: ``await anext(sub)``. As ``next``, but StopAsyncIteration says that nothing more comes."""
        try:
            return await self.next()
        except (SubscriptionClosedError, ConnectionClosedError) as error:
            if _is_loss(error):
                raise
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting for it as many seconds as given, or for as long as it takes.

        Raises:
            MidgeTimeoutError: none came in time. It is a TimeoutError.
            SubscriptionClosedError: the subscription has ended and its buffer is empty.
            ConnectionClosedError: the connection is closed, or was lost, and the buffer is empty.
            PermissionsViolationError: the server refused the subscription.
        """
        if self.callback is not None or self._worker is not None:
            self._refuse_callback()
        if not self.waiting() or self._taken >= TURN_MSGS:
            await self._wait(timeout)
        self._taken += 1
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

    # For the connection

    def wake(self) -> None:
        """Messages have come."""
        if self._waiters:
            for _ in range(self.waiting()):
                if not self._wake_one():
                    return

    def end(self, error: Callable[[], MidgeError] | None = None) -> None:
        """Nothing more will come. Who asks for more gets the error that is made, or learns that this is the end."""
        if self._end_error is None:
            self._end_error = error or self._ended
            while self._wake_one():
                pass

    def refuse(self, error: Callable[[], MidgeError]) -> bool:
        """The server refused the subscription. True if somebody waits for its confirmation, and so is told."""
        self.end(error)
        return self._confirming > 0

    def discard_work(self) -> None:
        """Keep what waits from the callback; without one it can still be taken."""
        if self._worker is not None:
            self.discard(0)

    # Private

    async def _wait(self, timeout: float | None) -> None:
        """Return when the buffer holds a message, and everybody else has had a turn of the event loop.

        Raises:
            MidgeTimeoutError: none came in time.
            MidgeError: what ``_end_error`` makes.
        """
        check_timeout(timeout)
        if self._taken >= TURN_MSGS:
            self._taken = 0
            await asyncio.sleep(0)
        deadline = None
        while not self.waiting():
            if self._end_error is not None:
                raise self._end_error()
            self._connection.home.check()
            self._taken = 0
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

    async def _work(self, callback: Callable[[Message], Awaitable[Any]], consumer: Consumer) -> None:
        """Await a coroutine callback with one message after the other until the subscription has ended.

        What the callback raises is reported and does not end the work. One that never waits lets the others have their turns.
        """
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
        try:
            await self._connection.exchange.confirm(self._connection.options.timeout)
            if self._end_error is not None and isinstance(error := self._end_error(), PermissionError):
                raise error
        except BaseException:
            self.unsubscribe()
            raise
        finally:
            self._confirming -= 1
        return self

    def _refuse_callback(self) -> None:
        if self.callback is not None or self._worker is not None:
            raise TypeError(f"the subscription to {self.subject!r} has a callback: its messages cannot be taken here too")

    def _ended(self) -> MidgeError:
        return SubscriptionClosedError(self.subject)

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


class Consumer:
    """One worker, or one ``async for`` over a subscription.

    Attributes:
        subscription: what it takes from.
        task: the one that takes, once it has begun.
        taken: how many messages it has taken; with the next one it is done with the last.
    """

    __slots__ = ("__weakref__", "_consumers", "subscription", "taken", "task")

    def __init__(self, subscription: Subscription, consumers: Consumers) -> None:
        self._consumers = consumers
        self.subscription = subscription
        self.task: asyncio.Task[Any] | None = None
        self.taken = 0
        consumers.add(self)

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Message:
        if self.task is None:
            self.task = asyncio.current_task()
        subscription = self.subscription
        if not subscription.waiting() or subscription._taken >= TURN_MSGS:
            try:
                await subscription._wait(None)
            except (SubscriptionClosedError, ConnectionClosedError) as error:
                self.finish()
                if _is_loss(error):
                    raise
                raise StopAsyncIteration from None
        subscription._taken += 1
        self.taken += 1
        return subscription.take()

    def finish(self) -> None:
        """It has come to its end."""
        self._consumers.remove(self)

    def __del__(self) -> None:
        """A loop was left. It may be gone in another thread, where the garbage collector happened to run."""
        self._consumers.tell_from_anywhere(self.subscription)


class Consumers:
    """The workers and loops of one client: those whom a drain waits for.

    One that asks for the drain itself is not waited for as long as it has the same message in its hands: it may be waiting for the
    drain. So what counts is the task that called ``drain``, not the one that runs it (``create_task(nc.drain())``, ``wait_for``).
    """

    def __init__(self) -> None:
        self._all: WeakSet[Consumer] = WeakSet()
        self._changed: dict[asyncio.Future[None], Subscription | None] = {}  # who waits, and for the consumers of which subscription

    def add(self, consumer: Consumer) -> None:
        """It may begin to take messages."""
        self._all.add(consumer)

    def remove(self, consumer: Consumer) -> None:
        """It takes no more."""
        self._all.discard(consumer)
        self._tell_of(consumer.subscription)

    def subscriptions(self) -> set[Subscription]:
        """Return the subscriptions that are taken from."""
        return {consumer.subscription for consumer in self._all}

    def asking(self) -> dict[Consumer, int]:
        """Return the consumers whose task calls this, each with how many messages it has taken."""
        try:
            me = asyncio.current_task()
        except RuntimeError:
            return {}
        return {consumer: consumer.taken for consumer in self._all if me is not None and consumer.task is me}

    async def wait(self, asking: dict[Consumer, int], is_over: Callable[[], bool], only: Subscription | None = None) -> None:
        """Return when all have finished, those of one subscription or of all, or when it is over.

        It waits for one after the other: each may finish in a turn of its own, and thousands are not to be looked through each time.
        """
        while not is_over() and (busy := self._busy(asking, only)) is not None:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changed[changed] = only
            try:
                await asyncio.wait({changed, busy}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                del self._changed[changed]

    def tell(self) -> None:
        """It is over."""
        for changed in self._changed:
            if not changed.done():
                changed.set_result(None)

    def tell_from_anywhere(self, subscription: Subscription) -> None:
        """A consumer of this subscription takes no more; called in any thread."""
        for changed in list(self._changed):
            if self._changed.get(changed) in (None, subscription) and not changed.get_loop().is_closed():
                changed.get_loop().call_soon_threadsafe(self._tell_of, subscription)
                return

    def _tell_of(self, subscription: Subscription) -> None:
        """A consumer of this subscription takes no more: tell those whom that concerns. Thousands may be drained at once."""
        for changed, only in self._changed.items():
            if only in (None, subscription) and not changed.done():
                changed.set_result(None)

    def _busy(self, asking: dict[Consumer, int], only: Subscription | None) -> asyncio.Task[Any] | None:
        """Return the task of one that is to be waited for."""
        for consumer in self._all:
            task = consumer.task
            if task is None or task.done() or (only is not None and consumer.subscription is not only):
                continue
            if asking.get(consumer) != consumer.taken:
                return task
        return None


def _is_loss(error: MidgeError) -> bool:
    """True if a connection was lost: what the application closed or ended itself is the end of a loop, not an error."""
    return isinstance(error, ConnectionClosedError) and error.__cause__ is not None


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
