"""The driver of a client's connection: joins a Session to a Link, to timers and to asyncio's waiters.

Its one rule: after every call into the session, take its events, wake whom it woke, send its outbox. Writes of one turn of the
event loop are sent together at the end of the turn, or as soon as 64 KiB have gathered; there is no timer in between.

Waits that end: every future handed out here is in ``_pongs``, in the session's requests, in ``_room`` or in a subscription, and
``_shut`` ends all of them.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, runtime_checkable

from midge.client import session as states
from midge.client.auth import connect_line
from midge.client.options import Options
from midge.client.servers import Address
from midge.client.session import FLUSH_AT, READY, Feed, Session
from midge.errors import (
    AuthorizationError,
    ConnectError,
    ConnectionClosedError,
    MidgeError,
    MidgeTimeoutError,
    NoRespondersError,
    PermissionsViolationError,
    RemoteProtocolError,
    ServerError,
    SlowConsumerError,
)
from midge.link import CHUNK_SIZE, Link, SocketLink
from midge.message import Message
from midge.wire.outbox import Outbox

__all__ = ["Connection", "InProcessServer"]

log = logging.getLogger("midge.client")

HIGH_WATER = 1 << 20  # bytes that may wait before publishing really waits
LOW_WATER = 1 << 18
CLOSE_SECONDS = 2.0  # how long ``close`` waits for the kernel to take what was published before
NO_RESPONDERS = 503
_SUBSCRIPTION = re.compile(r'subscription to "([^"]*)"(?: using queue "([^"]*)")?', re.IGNORECASE)
_SID = re.compile(r'\(sid "(\d+)"\)')
_AUTHORIZATION = ("authorization violation", "authentication expired", "authentication revoked", "authentication timeout")


@runtime_checkable
class InProcessServer(Protocol):
    """A server in this process: it can be connected to without a socket."""

    @property
    def url(self) -> str: ...

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> Link: ...


class Request:
    """One request under way."""

    __slots__ = ("deadline", "future")

    def __init__(self, future: asyncio.Future[Message], deadline: float | None) -> None:
        self.future = future
        self.deadline = deadline

    def receive(self, message: Message) -> None:
        if not self.future.done():
            self.future.set_result(message)


class Turn:
    """An awaitable that gives everybody else one turn of the event loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Room:
    """An awaitable that waits until the outbox has room again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __await__(self) -> Generator[Any, None, None]:
        return self._connection.wait_for_room().__await__()


TURN = Turn()


class Connection:
    """One connection to one server.

    Args:
        options: the client's options.
        inbox: the prefix of reply subjects, unique to this client.
        publisher: what messages answer through.
        version: our version, for CONNECT.
    """

    def __init__(self, options: Options, inbox: str, publisher: Any, version: str) -> None:
        self.options = options
        self.session = Session(b"", inbox, publisher, options.outbound_limit)
        self.address = ""
        self._inbox = inbox
        self._publisher = publisher
        self._version = version
        self._link: Link | None = None
        self._room = Room(self)
        self._room_waiters: list[asyncio.Future[None]] = []
        self._pongs: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._opened: asyncio.Future[None] | None = None
        self._request_timer: asyncio.TimerHandle | None = None
        self._request_deadline = float("inf")
        self._ping_timer: asyncio.TimerHandle | None = None
        self._last_refusal: ServerError | None = None
        self._cause: BaseException | None = None
        self._closing: asyncio.Future[None] | None = None
        self._errors: deque[Exception] = deque()
        self._error_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # Opening

    async def open(self, servers: list[Address] | InProcessServer) -> None:
        """Connect to the first server that lets us in.

        Raises:
            ConnectError: none did; it says why, for each.
        """
        self._loop = asyncio.get_running_loop()
        attempts: list[tuple[str, BaseException]] = []
        candidates: list[Address | InProcessServer] = [*servers] if isinstance(servers, list) else [servers]
        for server in candidates:
            name = str(server) if isinstance(server, Address) else server.url
            try:
                async with asyncio.timeout(self.options.timeout):
                    await self._open_one(server)
            except (OSError, MidgeError) as error:
                # A timeout of ours says nothing of itself.
                attempts.append((name, error if str(error) else MidgeTimeoutError("connecting", self.options.timeout)))
                self._abandon_attempt()
                continue
            except BaseException:
                self._abandon_attempt()
                raise
            self.address = name
            self._ping_timer = self._loop.call_later(self.options.ping_interval, self._ping)
            return
        raise ConnectError(attempts)

    async def _open_one(self, server: Address | InProcessServer) -> None:
        address = server if isinstance(server, Address) else None
        line = connect_line(self.options, address, self._version)
        self.session = Session(line, self._inbox, self._publisher, self.options.outbound_limit)
        self._last_refusal = None
        self._opened = self._loop.create_future()
        if isinstance(server, Address):
            self._link = await self._dial(server)
        else:
            self._link = server.open_link(self._loop, self.session.outbox)
        self._link.start(self)
        await self._opened

    async def _dial(self, address: Address) -> SocketLink:
        """Connect a TCP socket, trying each address that the host name has."""
        found = await self._loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        problem: OSError | None = None
        for family, kind, protocol, _, target in found:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                await self._loop.sock_connect(sock, target)
                return SocketLink(self._loop, sock, self.session.outbox, bytearray(CHUNK_SIZE), None)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
        raise problem or OSError(f"{address.host} has no address")

    def _abandon_attempt(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._opened is not None:
            self._opened.cancel()

    # What the application says

    def press(self, waiting: int) -> Awaitable[None]:
        """A publish has left ``waiting`` bytes in the outbox: arrange for sending; return what the publisher is to await."""
        self.schedule()
        if waiting < FLUSH_AT:
            return READY
        assert self._link is not None
        self._link.flush()
        return TURN if len(self.session.outbox) < HIGH_WATER else self._room

    def schedule(self) -> None:
        """Send at the end of this turn of the event loop."""
        if not self.session.scheduled:
            self.session.scheduled = True
            self._loop.call_soon(self._send)

    async def wait_for_room(self) -> None:
        """Return when the outbox is below LOW_WATER, or the connection is closed."""
        while len(self.session.outbox) >= HIGH_WATER and self.session.state != states.CLOSED:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._room_waiters.append(waiter)
            await waiter
        if self.session.state == states.CLOSED:
            raise self.closed_error()

    def add(self, feed: Feed) -> None:
        """Subscribe a feed."""
        self.session.subscribe(feed)
        self.schedule()

    def unsubscribe(self, feed: Feed, limit: int = 0) -> None:
        """Unsubscribe a feed, at once or after limit messages in all."""
        self.session.unsubscribe(feed, limit)
        self._take_events()
        self.schedule()

    async def flush(self, timeout: float | None) -> None:
        """Return when the server has answered a PING sent now: it has seen everything before it.

        Raises:
            MidgeTimeoutError: it does not answer in time.
            ConnectionClosedError: the connection is closed, or was lost meanwhile.
        """
        self._refuse_closed()
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append((self.session.ping(), waiter))
        self.schedule()
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise MidgeTimeoutError("PONG", timeout) from None

    async def request(self, subject: str, data: bytes, timeout: float | None, headers: Any) -> Message:
        """Publish a request and return the answer; see ``Client.request``."""
        self._refuse_closed()
        future: asyncio.Future[Message] = self._loop.create_future()
        deadline = None if timeout is None else self._loop.time() + timeout
        token = self.session.request(subject, data, headers, Request(future, deadline))
        self.schedule()
        if deadline is not None and deadline < self._request_deadline:
            self._arm_requests(deadline)
        try:
            message = await future
        except TimeoutError:
            raise MidgeTimeoutError(f"request on {subject!r}", timeout) from None
        finally:
            self.session.requests.pop(token, None)
        if not message.data and message.status == NO_RESPONDERS:
            raise NoRespondersError(subject)
        return message

    # Ending

    async def drain_feeds(self, feeds: list[Feed]) -> None:
        """Unsubscribe the feeds and end them when everything that the server had sent them has come."""
        self._refuse_closed()
        for feed in feeds:
            self.session.stop(feed)
        try:
            await self.flush(self.options.drain_timeout)
        finally:
            for feed in feeds:
                self.session.end(feed)
            self._take_events()

    async def wait_for_consumers(self, feeds: list[Feed]) -> None:
        """Return when the workers of the feeds are done, and the buffers that another task reads are empty."""
        for feed in feeds:
            if feed.owner is not None:
                await feed.owner.consumed()

    async def drain(self) -> None:
        """Finish what was begun, lose nothing, close; see ``Client.drain``."""
        if self.session.state == states.CLOSED and self._cause is not None:
            await self.close()
            raise self.closed_error()
        if self.session.state != states.OPEN:
            await self.close()
            return
        self.session.drain()
        feeds = [feed for feed in self.session.feeds.values() if feed.owner is not None]
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                await self.drain_feeds(feeds)
                await self.wait_for_consumers(feeds)
                waiting = [request.future for request in self.session.requests.values()]
                if waiting:
                    await asyncio.wait(waiting)
                await self.flush(None)
        except TimeoutError:
            raise MidgeTimeoutError("drain", self.options.drain_timeout) from None
        finally:
            await self.close()

    async def close(self) -> None:
        """Send what was published, as far as the server takes it, then close and end every wait. May be called again."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            try:
                await self._send_rest()
            finally:
                self._shut(None)
                self._closing.set_result(None)
        else:
            await asyncio.shield(self._closing)
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            if task is not self._error_task:
                task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ``close`` will end."""
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What the link says

    def link_received(self, chunk: bytearray, size: int) -> None:
        try:
            self.session.receive(chunk, size)
        except RemoteProtocolError as error:
            self._after()
            self._lose(error)
            return
        self._after()

    def link_progress(self) -> None:
        if self._room_waiters and len(self.session.outbox) < LOW_WATER:
            self._wake_room()

    def link_stuck(self) -> None:
        raise AssertionError("a client's link has no write deadline")

    def link_lost(self, error: OSError | None) -> None:
        self._lose(error or self._last_refusal or ConnectionClosedError("the server closed the connection"))

    # Private: sending and receiving

    def _send(self) -> None:
        self.session.scheduled = False
        if self._link is not None:
            self._link.flush()

    def _after(self) -> None:
        """The rule of the module."""
        session = self.session
        self._take_events()
        if session.woken:
            woken, session.woken = session.woken, []
            for feed in woken:
                feed.woken = False
                feed.owner.wake()
        if len(session.outbox) and self._link is not None:
            self._link.flush()

    def _take_events(self) -> None:
        for kind, what, more in self.session.take_events():
            self._EVENTS[kind](self, what, more)

    def _on_opened(self, _what: Any, _more: Any) -> None:
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _on_ponged(self, _what: Any, _more: Any) -> None:
        while self._pongs and self._pongs[0][0] <= self.session.pongs:
            waiter = self._pongs.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def _on_informed(self, _what: Any, _more: Any) -> None:
        if self.session.info.ldm:
            log.info("the server is about to shut down (lame duck mode)")

    def _on_refused(self, text: str, _more: Any) -> None:
        """An -ERR came: tell whom it concerns. Only the server closes the connection, if it does."""
        folded = text.lower()
        if folded.startswith("permissions violation"):
            error: ServerError = PermissionsViolationError(text)
            feed = self._refused_feed(text)
            if feed is not None:
                feed.owner.fail(error)
                self.session.end(feed)
        elif any(known in folded for known in _AUTHORIZATION):
            error = AuthorizationError(text)
        else:
            error = ServerError(text)
        self._last_refusal = error
        if self._opened is None or self._opened.done():
            self.report(error)

    def _on_failed(self, feed: Feed, error: Exception) -> None:
        self.report_callback(feed, error)

    def _on_slow(self, feed: Feed, _more: Any) -> None:
        self.report(SlowConsumerError(feed.subject, feed.dropped))

    def _on_ended(self, feed: Feed, _more: Any) -> None:
        if feed.owner is not None:
            feed.owner.end()

    _EVENTS: dict[str, Callable[[Connection, Any, Any], None]] = {
        states.OPENED: _on_opened,
        states.PONGED: _on_ponged,
        states.INFORMED: _on_informed,
        states.REFUSED: _on_refused,
        states.FAILED: _on_failed,
        states.SLOW: _on_slow,
        states.ENDED: _on_ended,
    }

    def _refused_feed(self, text: str) -> Feed | None:
        """Return the feed that a permissions violation names: by its sid (nats-server 2.15), else by subject and queue."""
        sid = _SID.search(text)
        if sid is not None:
            return self.session.feeds.get(int(sid[1]))
        found = _SUBSCRIPTION.search(text)
        if found is not None:
            for feed in self.session.feeds.values():
                if feed.owner is not None and (feed.subject, feed.queue) == (found[1], found[2]):
                    return feed
        return None

    # Private: timers

    def _ping(self) -> None:
        if self.session.pings - self.session.pongs >= self.options.max_pings_out:
            self._lose(ConnectionClosedError(f"the server left {self.options.max_pings_out} PINGs unanswered"))
            return
        self.session.ping()
        self.schedule()
        self._ping_timer = self._loop.call_later(self.options.ping_interval, self._ping)

    def _arm_requests(self, deadline: float) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
        self._request_deadline = deadline
        self._request_timer = self._loop.call_at(deadline, self._expire_requests)

    def _expire_requests(self) -> None:
        """Time out the requests that are due; one timer serves all."""
        self._request_timer = None
        self._request_deadline = float("inf")
        now = self._loop.time()
        for request in list(self.session.requests.values()):
            if request.deadline is None:
                continue
            if request.deadline <= now:
                if not request.future.done():
                    request.future.set_exception(TimeoutError())
            elif request.deadline < self._request_deadline:
                self._request_deadline = request.deadline
        if self._request_deadline != float("inf"):
            self._arm_requests(self._request_deadline)

    # Private: errors

    def report(self, error: Exception) -> None:
        """Tell the error callback, in order and off the read path; log too."""
        log.error("%s: %s", type(error).__name__, error)
        if self.options.error_callback is None:
            return
        self._errors.append(error)
        if self._error_task is None or self._error_task.done():
            self._error_task = self.run(self._tell_errors(self.options.error_callback))

    def report_callback(self, feed: Feed, error: Exception) -> None:
        """A callback raised."""
        error.add_note(f"in the callback of the subscription to {feed.subject!r}")
        self.report(error)

    async def _tell_errors(self, callback: Callable[[Exception], Any]) -> None:
        while self._errors:
            try:
                result = callback(self._errors.popleft())
                if inspect.isawaitable(result):
                    await result
            except Exception:  # an error callback that fails has nobody left to tell but the log
                log.exception("the error callback raised")

    def closed_error(self) -> ConnectionClosedError:
        """Return the error for those who come too late."""
        error = ConnectionClosedError("the connection is closed" if self._cause is None else f"the connection was lost: {self._cause}")
        error.__cause__ = self._cause
        return error

    def _refuse_closed(self) -> None:
        if self.session.state == states.CLOSED:
            raise self.closed_error()

    # Private: ending

    def _lose(self, cause: BaseException) -> None:
        """The connection is lost. While it was being opened that is the attempt's error, later everybody's."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(self._last_refusal or cause)
            return
        if self.session.state == states.CLOSED:
            return
        if not isinstance(cause, ConnectionClosedError) or self._closing is None:
            log.error("connection to %s lost: %s", self.address, cause)
        self._shut(cause)
        self.report(self.closed_error())

    def _shut(self, cause: BaseException | None) -> None:
        """Close the link and end every wait."""
        if self.session.state == states.CLOSED:
            return
        self._cause = cause
        feeds = list(self.session.feeds.values())
        self.session.close()
        for timer in (self._ping_timer, self._request_timer):
            if timer is not None:
                timer.cancel()
        if self._link is not None:
            self._link.close()
        error = self.closed_error()
        for feed in feeds:
            if feed.owner is not None:
                feed.owner.end(None if cause is None else error)
        waiters: list[asyncio.Future[Any]] = [waiter for _, waiter in self._pongs]
        waiters += [request.future for request in self.session.requests.values()]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._pongs.clear()
        self._wake_room()

    def _wake_room(self) -> None:
        waiters, self._room_waiters = self._room_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _send_rest(self) -> None:
        deadline = self._loop.time() + CLOSE_SECONDS
        self._send()
        while len(self.session.outbox) and self.session.state != states.CLOSED and self._loop.time() < deadline:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._room_waiters.append(waiter)
            await asyncio.wait([waiter], timeout=deadline - self._loop.time())
