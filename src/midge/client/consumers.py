"""Who takes messages: the workers of coroutine callbacks and the ``async for`` loops of one client, for whom a drain waits.

    Consumers ──weakly──► Consumer (a worker or a loop: its task, and how many messages it has taken) ──► Subscription

A Consumer lives as long as its worker or loop; where a loop is left, it is gone with the iterator. Who takes single messages with
``next()`` is none: nobody knows whether it will ask for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from midge.errors import ConnectionClosedError, MidgeError, SubscriptionClosedError
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.subscription import Subscription

__all__ = ["TURN_MSGS", "Consumer", "Consumers", "is_end"]

TURN_MSGS = 256  # messages that are taken without a wait before everybody else has a turn of the event loop


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
        if not subscription.waiting() or subscription._run >= TURN_MSGS:
            try:
                await subscription._wait(None)
            except MidgeError as error:
                self.finish()
                if not is_end(error):
                    raise
                raise StopAsyncIteration from None
        subscription._run += 1
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
    drain. So what counts is the task that called ``drain``, not the one that runs it (``create_task(nc.drain())``, ``wait_for``). Of those
    who ask, nobody waits for another, but for who drains the client, of whom there is only one: it waits for who drains a subscription.
    """

    def __init__(self) -> None:
        self._all: WeakSet[Consumer] = WeakSet()
        self._asking: list[dict[Consumer, int]] = []  # those who wait below, each with what ``asking`` returned for it
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
        self._asking.append(asking)
        if asking:
            self.tell()  # those who wait for one of these wait for it no longer
        try:
            while not is_over() and (busy := self._busy(asking, only)) is not None:
                changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._changed[changed] = only
                try:
                    await asyncio.wait({changed, busy}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    del self._changed[changed]
        finally:
            self._asking.remove(asking)

    def tell(self) -> None:
        """It is over, or may be."""
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
        spared = [asking] if only is None else self._asking
        for consumer in self._all:
            task = consumer.task
            if task is None or task.done() or (only is not None and consumer.subscription is not only):
                continue
            if not any(asking.get(consumer) == consumer.taken for asking in spared):
                return task
        return None


def is_end(error: MidgeError) -> bool:
    """True if this is the end of a loop and no error: the application has ended the subscription, or closed the connection itself."""
    return isinstance(error, SubscriptionClosedError) or (isinstance(error, ConnectionClosedError) and error.__cause__ is None)
