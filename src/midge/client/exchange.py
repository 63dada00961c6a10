"""Exchange: what is said to the server and waited for: a PING and its PONG, a request and its answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from midge.client.options import check_timeout
from midge.client.requests import Request
from midge.errors import DisconnectedError, MidgeTimeoutError, NoRespondersError
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["Exchange"]

NO_RESPONDERS = 503


class Exchange:
    """Speaks and waits, through whatever link a connection has, or has next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def flush(self, timeout: float | None) -> float:
        """Return when the server has answered a PING sent now: it has seen everything before it. Returns how many seconds that took.

        Between two links it waits for the next.

        Raises:
            MidgeTimeoutError: it does not answer in time.
            DisconnectedError: the link was lost meanwhile.
            ConnectionClosedError: the connection is closed, or was given up meanwhile.
        """
        self._connection.home.check()
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._flush()
        except TimeoutError:
            raise self.timed_out("PONG", timeout) from None

    async def confirm(self, timeout: float | None) -> None:
        """Return when a server has seen everything before, on this link or another. Raises as ``flush``, but no DisconnectedError."""
        self._connection.home.check()
        try:
            async with asyncio.timeout(timeout):
                await self.flush_at_last()
        except TimeoutError:
            raise self.timed_out("PONG", timeout) from None

    async def flush_at_last(self) -> None:
        """Flush, on as many links as it takes."""
        while True:
            try:
                await self._flush()
            except DisconnectedError:
                continue
            return

    def timed_out(self, what: str, timeout: float | None) -> MidgeTimeoutError:
        """Return the error for who has waited in vain: where there is no link, it says so, and why."""
        connection = self._connection
        if not connection.is_searching():
            return MidgeTimeoutError(what, timeout)
        url, error = next(reversed(connection.pool.errors()), (None, None))
        last = f" (the last attempt, {url}: {error})" if url is not None else ""
        return MidgeTimeoutError(what, timeout, f"there was no connection{last}, and none came")

    async def _flush(self) -> float:
        driver = await self._connection.linked()
        before = time.perf_counter()
        await driver.ponged(driver.session.ping())
        return time.perf_counter() - before

    async def request(self, subject: str, data: Any, timeout: float | None, headers: Any) -> Message:
        """Publish a request and return the answer; see ``Client.request``."""
        self._connection.home.check()
        if timeout is not None:
            check_timeout(timeout)
            if timeout <= 0:
                raise MidgeTimeoutError(f"request on {subject!r}", timeout, "it was not sent")  # nobody would wait for the answer
        connection = self._connection
        loop = connection.loop
        assert loop is not None
        deadline = None if timeout is None else loop.time() + timeout
        try:
            if connection.is_full():
                async with asyncio.timeout_at(deadline):
                    await connection.wait_for_room()
            future: asyncio.Future[Message] = loop.create_future()
            token = self.ask(subject, data, headers, Request(future), deadline)
            try:
                message = await future
            finally:
                if connection.interest.requests.pop(token, None) is not None and connection.backlog is not None:
                    connection.backlog.forget_request()
        except TimeoutError:
            raise self.timed_out(f"request on {subject!r}", timeout) from None
        if not message.data and message.status == NO_RESPONDERS:
            raise NoRespondersError(subject)
        return message

    def ask(self, subject: str, data: Any, headers: Any, waiter: Any, deadline: float | None) -> str:
        """Publish a request whose answers a waiter gets, as long as it wants more and the deadline has not come; return its token."""
        connection = self._connection
        requests = connection.requests
        assert requests is not None
        token = connection.session.request(subject, data, headers, waiter)
        if deadline is not None:
            requests.watch(token, deadline)
        if connection.driver is not None:
            connection.driver.hurry()
        else:
            connection.make_room(0)
        return token
