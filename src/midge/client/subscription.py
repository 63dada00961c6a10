"""Subscription: the messages of one subject, as the application sees them under asyncio.

Three ways: a plain function is called the moment a message is parsed; a coroutine function is awaited by one worker task, message
after message; without a callback, ``async for`` and ``next()`` take from a bounded buffer.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from midge.client.checks import check_limit
from midge.client.delivery import Delivery, Iteration
from midge.client.session import READY, Feed
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["DEFAULT_PENDING_BYTES", "DEFAULT_PENDING_MSGS", "Callback", "Subscription"]

DEFAULT_PENDING_MSGS = 500_000
DEFAULT_PENDING_BYTES = 64 << 20

Callback = Callable[[Message], Any] | Callable[[Message], Awaitable[Any]]


class Subscription:
    """One subscription; made by ``Client.subscribe``. Awaiting it waits until the server has it."""

    __slots__ = ("_connection", "_delivery", "_feed")

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
        self._connection = connection
        self._feed = Feed(subject, queue, None if is_coroutine else callback, None)
        self._delivery = self._feed.owner = Delivery(self._feed)
        self.set_pending_limits(pending_msgs, pending_bytes, drop)
        connection.add(self._feed)
        if is_coroutine:
            self._delivery.worker = connection.run(self._delivery.work(callback, connection.report_callback))  # type: ignore[arg-type]

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
        return self._delivery.end_error is not None

    def set_pending_limits(self, msgs: int, bytes: int, drop: Literal["new", "old"] = "new") -> None:
        """Bound the buffer. -1 or 0 takes a bound away; ``drop`` says which message goes when it is full."""
        if drop not in ("new", "old"):
            raise ValueError(f"drop={drop!r}: expected 'new' or 'old'")
        for bound in (msgs, bytes):
            if not isinstance(bound, int):
                raise TypeError(f"a bound is a number of messages or bytes, not {bound!r}")
        self._feed.set_limits(max(msgs, 0), max(bytes, 0), drop == "old")

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

    def __aiter__(self) -> Iteration:
        """Iterate over the messages until the subscription has ended and its buffer is empty.

        Raises:
            ConnectionClosedError: the connection was lost. Where it was closed or drained, the loop just ends.
            PermissionsViolationError: the server refused the subscription.
        """
        self._refuse_callback()
        return self._delivery.iterate()

    async def next(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting for it as many seconds as given, or for as long as it takes.

        Raises:
            MidgeTimeoutError: none came in time. It is a TimeoutError.
            SubscriptionClosedError: the subscription has ended and its buffer is empty.
            ConnectionClosedError: the connection is closed, or was lost, and the buffer is empty.
            PermissionsViolationError: the server refused the subscription.
        """
        delivery = self._delivery
        if self._feed.callback is not None or delivery.worker is not None:
            self._refuse_callback()
        delivery.note_reader()
        if not self._feed.buffer:
            await delivery.wait(timeout)
        return delivery.take()

    def unsubscribe(self, limit: int | None = None) -> Awaitable[None]:
        """End the subscription: at once, or after it has received ``limit`` messages in all. Done when the call returns.

        What its buffer holds can still be read, with a limit only so many messages. A callback is called no more or, with a limit,
        for those messages.

        Raises:
            LocalProtocolError: the limit is not a number of messages from 1 on.
        """
        if limit is not None:
            check_limit(limit)
        self._connection.unsubscribe(self._feed, limit or 0)
        if limit is None:
            self._delivery.discard()
        return READY

    async def drain(self) -> None:
        """End the subscription without losing anything: what the server has sent by now is delivered and worked on first.

        Raises:
            MidgeTimeoutError: it took longer than ``drain_timeout``.
            ConnectionClosedError: the connection is closed, or was lost meanwhile.
        """
        await self._connection.drain_feed(self._feed)

    # Private

    async def _confirm(self) -> Subscription:
        delivery = self._delivery
        delivery.confirming += 1
        try:
            await self._connection.flush(self._connection.options.timeout)
            if delivery.end_error is not None and isinstance(error := delivery.end_error(), PermissionError):
                raise error
        except BaseException:
            self.unsubscribe()
            raise
        finally:
            delivery.confirming -= 1
        return self

    def _refuse_callback(self) -> None:
        if self._feed.callback is not None or self._delivery.worker is not None:
            raise TypeError(f"the subscription to {self.subject!r} has a callback: its messages cannot be taken here too")


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
