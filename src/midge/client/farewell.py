"""Farewell: how a connection goes that is drained or closed, and how one subscription is drained.

What was begun is finished (drain), what was published is sent, callbacks are stopped; all of it in bounded time, whatever the state, and
nobody waits for himself: who asks is spared.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from midge.client.consumers import Consumer
from midge.client.interest import Feed
from midge.client.states import Event, State
from midge.client.subscription import Subscription
from midge.errors import ConnectionClosedError, DisconnectedError, MidgeTimeoutError
from midge.events import Closed

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["CLOSE_SECONDS", "Farewell"]

NO_ANSWER = "the server did not answer"  # what keeps a drain from its end
STILL_AT_WORK = "callbacks or loops were not done"
CLOSE_SECONDS = 2.0  # how long ``close`` waits for the kernel to take what was published before, and then for callbacks to end


class Farewell:
    """Ends one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._drained: asyncio.Future[str] | None = None
        self._closed: asyncio.Future[None] | None = None

    async def drain_subscription(self, subscription: Subscription, asking: dict[Consumer, int]) -> None:
        """End one subscription without losing anything; see ``Subscription.drain``."""
        connection = self._connection
        connection.home.check()
        connection.refuse_closed()
        unmet = NO_ANSWER
        try:
            async with asyncio.timeout(connection.options.drain_timeout):
                if subscription.sid in connection.interest.feeds:
                    await self._stop([subscription])
                unmet = STILL_AT_WORK
                await connection.consumers.wait(asking, connection.is_closed, subscription)
        except TimeoutError:
            raise MidgeTimeoutError("drain", connection.options.drain_timeout, unmet) from None
        connection.refuse_closed()  # its end stops callbacks, which is not what was asked for

    async def stop_subscription(self, subscription: Subscription) -> None:
        """End one subscription and return when all that the server has sent by now has come, worked on or not."""
        connection = self._connection
        connection.home.check()
        connection.refuse_closed()
        try:
            async with asyncio.timeout(connection.options.drain_timeout):
                if subscription.sid in connection.interest.feeds:
                    await self._stop([subscription])
        except TimeoutError:
            raise MidgeTimeoutError("drain", connection.options.drain_timeout, NO_ANSWER) from None
        connection.refuse_closed()

    async def drain(self, asking: dict[Consumer, int], caller: asyncio.Task[Any] | None) -> None:
        """Finish what was begun, lose nothing, close; see ``Client.drain``."""
        connection = self._connection
        connection.home.check()
        if self._drained is not None:
            await self._wait_for_drain(self._drained, bool(asking) or caller in connection.tasks, caller)
        elif connection.state is State.CLOSED:
            await self._close(caller)
            if connection.session.cause is not None:
                raise connection.session.closed_error()
        else:
            self._drained = asyncio.get_running_loop().create_future()
            connection.happen(Event.DRAIN)
            failure = ""
            try:
                await self._drain(asking, caller)
            except BaseException as error:
                failure = str(error) or type(error).__name__
                raise
            finally:
                self._drained.set_result(failure)

    async def _drain(self, asking: dict[Consumer, int], caller: asyncio.Task[Any] | None) -> None:
        connection = self._connection
        interest, requests = connection.interest, connection.requests
        assert requests is not None
        had_link = connection.driver is not None
        unmet = NO_ANSWER
        try:
            async with asyncio.timeout(connection.options.drain_timeout):
                await self._stop([feed for feed in interest.feeds.values() if feed is not interest.answers])
                unmet = STILL_AT_WORK
                await connection.consumers.wait(asking, connection.is_closed)
                unmet = "requests were not answered"
                while interest.requests:
                    await requests.wait()
                unmet = NO_ANSWER
                if had_link or connection.driver is not None or len(connection.session.outbox):  # else no server need hear of it
                    await connection.exchange.flush_at_last()
        except TimeoutError:
            raise MidgeTimeoutError("drain", connection.options.drain_timeout, unmet) from None
        finally:
            connection.happen(Event.DRAINED)
            await self._close(caller)

    async def _stop(self, feeds: list[Feed]) -> None:
        """Unsubscribe feeds, and return when they have been given what the server had sent by then; or when the link is lost, which
        ends them: nothing more is on its way to them.
        """
        connection = self._connection
        await connection.migration.left()
        driver = connection.driver
        number = connection.session.stop(feeds)
        connection.settle()
        if driver is not None:
            try:
                await driver.ponged(number)
            except DisconnectedError:
                return

    async def _wait_for_drain(self, drained: asyncio.Future[str], waits_for_us: bool, caller: asyncio.Task[Any] | None) -> None:
        """Another call drains: wait for it, unless it waits for us. It may come from a callback, and have spared another that hangs."""
        if waits_for_us:
            return
        failure = await asyncio.shield(drained)
        await self._close(caller)
        if failure:
            raise ConnectionClosedError(f"the connection was closed before it was drained: {failure}")

    async def close(self, caller: asyncio.Task[Any] | None) -> None:
        """Send what was published, as far as the server takes it, then close and end every wait. May be called again."""
        self._connection.home.check()
        self._connection.happen(Event.CLOSE)
        await self._close(caller)

    async def _close(self, caller: asyncio.Task[Any] | None) -> None:
        """See a connection that is CLOSED to its end: what is left goes out, the driver is closed, callbacks are stopped.

        But not those that may be waiting for this: the task that runs it, and the one that asked for it.
        """
        connection = self._connection
        spared = {asyncio.current_task(), caller}
        first = self._closed is None
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
        for task in connection.tasks - spared - connection.reporter.tasks:
            task.cancel()
        if first:
            try:
                await self._send_what_is_left()
            finally:
                if connection.driver is not None:
                    connection.driver.close()
                self._closed.set_result(None)
                if connection.session.cause is None:  # else that was said when it was given up
                    connection.emit(Closed())
        else:
            await asyncio.shield(self._closed)
        telling = connection.reporter.tasks
        tasks = connection.tasks - spared - (telling if telling & spared else set())  # two of which may close, and wait for each other
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()
        connection.reporter.close()

    async def _send_what_is_left(self) -> None:
        """Wait until the server has taken what is left, for CLOSE_SECONDS at most."""
        connection = self._connection
        if connection.driver is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.driver.sent()
            except TimeoutError:
                pass
        if connection.backlog is not None:
            connection.backlog.report_rest()
        left = len(connection.session.outbox)
        connection.session.outbox.clear()
        if left:
            connection.report(ConnectionClosedError(f"the connection was closed before the server took the last {left} bytes"))
