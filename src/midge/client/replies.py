"""Replies: what comes of one request that many may answer (ADR-47).

    Interest.requests ──token──► Collector ◄── Replies (the application's: an iterator, and a block)

The replies come by the inbox that all requests share, so there is nothing to subscribe and nothing to unsubscribe, and they go on after
a reconnect. The Collector decides as each comes whether more is wanted; what it holds can be read after that. Who leaves the Replies
leaves nothing behind: they take their Collector along.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from midge.client.interest import DEFAULT_PENDING_BYTES, DEFAULT_PENDING_MSGS
from midge.client.options import check_timeout
from midge.errors import NoRespondersError, SlowConsumerError
from midge.message import HeadersLike, Message

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["Collector", "Replies", "Stop", "is_empty"]

NO_RESPONDERS = 503

Reason = Literal["timeout", "stall", "max_msgs", "sentinel"]
Sentinel = Callable[[Message], bool]


def is_empty(message: Message) -> bool:
    """True if a reply has no payload: the sentinel that services send by default."""
    return not message.data


class Replies:
    """The replies to one request; made by ``Client.request_many``. Iterate over them, once.

    The request is sent when the loop begins or, with ``async with nc.request_many(...) as replies``, when the block does. A cancelled wait
    loses no reply.

    Attributes:
        reason: what ended them: "timeout", "stall", "max_msgs" or "sentinel"; None while more may come, and where an error did.
        last: the reply that the sentinel took for the end, which is not among those that the loop gives.
    """

    __slots__ = ("_collector", "_connection", "_has_begun", "_request", "_stop", "_timeout")

    def __init__(
        self, connection: Connection, subject: str, data: Any, headers: HeadersLike | None, timeout: float | None, stop: Stop
    ) -> None:  # fmt: skip
        self._collector: Collector | None = None
        self._has_begun = True  # as far as ``__del__`` is concerned: an argument may be refused
        check_timeout(timeout)
        self._connection = connection
        self._request = subject, data, headers
        self._timeout = timeout
        self._stop = stop
        self._has_begun = False

    @property
    def reason(self) -> Reason | None:
        return None if self._collector is None else self._collector.reason

    @property
    def last(self) -> Message | None:
        return None if self._collector is None else self._collector.last

    async def __aenter__(self) -> Replies:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._collector is not None:
            self._collector.finish()

    def __aiter__(self) -> Replies:
        return self

    async def __anext__(self) -> Message:
        collector = self._collector
        if collector is None:
            collector = await self._begin()
        while not collector.held:
            if collector.future.done():
                if collector.error is not None:
                    raise collector.error
                raise StopAsyncIteration
            await collector.wait()
        return collector.take()

    async def _begin(self) -> Collector:
        """Send the request, once there is room."""
        connection = self._connection
        self._has_begun = True
        connection.home.check()
        subject, data, headers = self._request
        deadline = None if self._timeout is None else asyncio.get_running_loop().time() + self._timeout
        if connection.is_full():
            try:
                async with asyncio.timeout_at(deadline):
                    await connection.wait_for_room()
            except TimeoutError:
                raise connection.exchange.timed_out(f"request on {subject!r}", self._timeout) from None
        if self._collector is None:  # nobody else has begun meanwhile
            collector = Collector(subject, connection.interest.requests, self._stop)
            collector.token = connection.exchange.ask(subject, data, headers, collector, deadline)
            self._collector = collector
        return self._collector

    def __del__(self) -> None:
        if self._collector is not None:
            self._collector.leave()
        elif not self._has_begun:
            subject = self._request[0]
            warnings.warn(f"request_many({subject!r}) was never iterated over: nothing was sent", RuntimeWarning, 2, self)


class Stop:
    """When enough has come.

    Args:
        stall: seconds to wait for another reply after each.
        max_msgs: how many replies are enough.
        sentinel: says whether a reply is the end.

    Raises:
        TypeError, ValueError: an argument makes no sense.
    """

    __slots__ = ("max_msgs", "sentinel", "stall")

    def __init__(self, stall: float | None, max_msgs: int | None, sentinel: Sentinel | None) -> None:
        check_timeout(stall)
        if stall is not None and not stall > 0:
            raise ValueError(f"stall={stall}: expected more than 0")
        if max_msgs is not None and (isinstance(max_msgs, bool) or not isinstance(max_msgs, int)):
            raise TypeError(f"max_msgs is a number of replies, not {max_msgs!r}")
        if max_msgs is not None and max_msgs < 1:
            raise ValueError(f"max_msgs={max_msgs}: expected 1 or more")
        if sentinel is not None and not callable(sentinel):
            raise TypeError(f"a sentinel is a function or None, not {type(sentinel).__name__}")
        self.stall = stall
        self.max_msgs = max_msgs
        self.sentinel = sentinel


class Collector:
    """The replies that have come, as a request under way.

    Attributes:
        future: done when no more is wanted, or will come.
        token: the request's.
        held: the replies that wait to be taken.
        reason, last: see Replies.
        error: what ended them, if that is an error.
    """

    is_lost_with_link = False  # they go on with the next one

    def __init__(self, subject: str, under_way: dict[str, Any], stop: Stop) -> None:
        self.token = ""
        self.held: deque[Message] = deque()
        self.reason: Reason | None = None
        self.last: Message | None = None
        self.error: Exception | None = None
        self._subject = subject
        self._under_way = under_way
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self._loop.create_future()
        self._waiters: list[asyncio.Future[None]] = []
        self._count = 0
        self._bytes = 0
        self._heard = 0.0  # when the last reply came
        self._timer: asyncio.TimerHandle | None = None

    # For the connection

    def receive(self, message: Message) -> bool:
        """A reply came. True: more is wanted."""
        if self.future.done():
            return False
        try:
            self._take_in(message)
        except Exception as error:  # the sentinel's, which is raised where its replies are read
            self.fail(error)
        self._wake()
        return not self.future.done()

    def fail(self, error: Exception) -> None:
        """No more will come."""
        if not self.future.done():
            self.error = error
            self.finish()

    def expire(self) -> None:
        """The time is over."""
        self._end("timeout")

    # For Replies

    async def wait(self) -> None:
        """Return when a reply has come, or none will."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def take(self) -> Message:
        """Return the oldest reply."""
        message = self.held.popleft()
        self._bytes -= message.size
        return message

    def finish(self) -> None:
        """No more is wanted."""
        self._under_way.pop(self.token, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.future.done():
            self.future.set_result(None)
        self._wake()

    def leave(self) -> None:
        """Nobody is there to take any more. May be called in another thread, where the garbage collector happened to run."""
        if not self.future.done() and not self._loop.is_closed():
            self._under_way.pop(self.token, None)
            self._loop.call_soon_threadsafe(self.finish)

    # Private

    def _take_in(self, message: Message) -> None:
        stop = self._stop
        self._count += 1
        if self._count == 1 and not message.data and message.status == NO_RESPONDERS:
            self.fail(NoRespondersError(self._subject))
            return
        if stop.sentinel is not None and stop.sentinel(message):
            self.last = message
            self._end("sentinel")
            return
        if len(self.held) >= DEFAULT_PENDING_MSGS or self._bytes + message.size > DEFAULT_PENDING_BYTES:
            self.fail(SlowConsumerError(self._subject, 1))
            return
        self.held.append(message)
        self._bytes += message.size
        if self._count == stop.max_msgs:
            self._end("max_msgs")
        elif stop.stall is not None:
            self._heard = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_at(self._heard + stop.stall, self._look)

    def _wake(self) -> None:
        """Let all who wait look for themselves."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _look(self) -> None:
        """End where nothing came for as long as that."""
        assert self._stop.stall is not None
        until = self._heard + self._stop.stall
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._look)
        else:
            self._end("stall")

    def _end(self, reason: Reason) -> None:
        if not self.future.done():
            self.reason = reason
            self.finish()
