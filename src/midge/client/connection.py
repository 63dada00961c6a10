"""The driver of a client's connection: joins a Session to a Link, to timers and to asyncio's waiters.

Its one rule: after every call into the session, take its events, wake whom it woke, send its outbox. Writes of one turn of the
event loop are sent together at the end of the turn, or as soon as 64 KiB have gathered; there is no timer in between.

Waits that end: whoever waits does so in ``_opened``, ``_pongs``, ``_progress``, ``_requests`` or a subscription, and ``_shut`` ends
all of them. A connection ends once, by ``close`` or by ``_lose``; whoever comes later is told why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol, runtime_checkable
from weakref import WeakSet

from midge.client import session as states
from midge.client.auth import connect_line
from midge.client.delivery import Delivery
from midge.client.dial import dial
from midge.client.heartbeat import Heartbeat
from midge.client.options import Options
from midge.client.refusals import read_refusal
from midge.client.reporter import Reporter
from midge.client.requests import Requests
from midge.client.servers import Address
from midge.client.session import FLUSH_AT, READY, Feed, Session
from midge.client.waits import TURN, Pongs, Progress, Room
from midge.errors import (
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
from midge.link import Link
from midge.link.readiness import LoopReadiness
from midge.link.socket import SocketLink
from midge.message import Message
from midge.wire.outbox import Outbox

__all__ = ["Connection", "InProcessServer"]

log = logging.getLogger("midge.client")

HIGH_WATER = 1 << 20  # bytes that may wait before publishing really waits
LOW_WATER = 1 << 18
CLOSE_SECONDS = 2.0  # how long ``close`` waits for the kernel to take what was published before, and then for callbacks to end
NO_RESPONDERS = 503


@runtime_checkable
class InProcessServer(Protocol):
    """A server in this process: it can be connected to without a socket."""

    @property
    def url(self) -> str: ...

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> Link: ...


class Connection:
    """One connection to one server.

    Args:
        options: the client's options.
        inbox: the prefix of reply subjects, unique to this client.
        publisher: what messages answer through.
        version: our version, for CONNECT.
    """

    _loop: asyncio.AbstractEventLoop
    _requests: Requests

    def __init__(self, options: Options, inbox: str, publisher: Any, version: str) -> None:
        self.options = options
        self.address = ""
        self._inbox = inbox
        self._publisher = publisher
        self._version = version
        self.session = self._new_session(None)
        self._link: Link | None = None
        self._opened: asyncio.Future[None] | None = None
        self._is_open = False
        self._pongs = Pongs()
        self._progress = Progress()
        self._room = Room(self.wait_for_room)
        self._heartbeat: Heartbeat | None = None
        self._last_refusal: ServerError | None = None
        self._closing: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[str] | None = None
        self._reporter = Reporter(options.error_callback, self.run)
        self._deliveries: WeakSet[Delivery] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()

    # Opening

    async def open(self, servers: list[Address] | InProcessServer) -> None:
        """Connect to the first server that lets us in.

        Raises:
            ConnectError: none did; it says why, for each.
            RuntimeError: this has succeeded before, or is under way.
        """
        if self._opened is not None:
            raise RuntimeError("connected already: call connect() again for another connection")
        self._loop = asyncio.get_running_loop()
        attempts: list[tuple[str, BaseException]] = []
        candidates: list[Address | InProcessServer] = [*servers] if isinstance(servers, list) else [servers]
        for server in candidates:
            name = str(server) if isinstance(server, Address) else server.url
            try:
                async with asyncio.timeout(self.options.timeout):
                    await self._open_one(server)
            except (OSError, MidgeError) as error:
                self._abandon_attempt()
                if isinstance(error, TimeoutError) and not str(error):  # ours, which says nothing of itself
                    error = self._last_refusal or MidgeTimeoutError("connecting", self.options.timeout)
                attempts.append((name, error))
            except BaseException:
                self._abandon_attempt()
                raise
            else:
                self.address = name
                self._heartbeat = Heartbeat(
                    self._loop, self.session, self.options.ping_interval, self.options.max_pings_out, self.schedule, self._lose
                )
                return
        raise ConnectError(attempts)

    async def _open_one(self, server: Address | InProcessServer) -> None:
        self.session = self._new_session(server if isinstance(server, Address) else None)
        self._requests = Requests(self._loop, self.session)
        self._last_refusal = None
        self._opened = self._loop.create_future()
        if isinstance(server, Address):
            sock = await dial(self._loop, server)
            try:
                self._link = SocketLink(LoopReadiness(self._loop), None, sock, self.session.outbox)
            except OSError:  # gone already: the socket's options cannot be set
                sock.close()
                raise
        else:
            self._link = server.open_link(self._loop, self.session.outbox)
        self._link.start(self)
        await self._opened
        if self.session.state == states.CLOSED:  # opened and lost in the same turn of the loop
            raise self.session.closed_error()
        self._is_open = True
        if self._last_refusal is not None:
            self.report(self._last_refusal)

    def _new_session(self, address: Address | None) -> Session:
        connect = partial(connect_line, self.options, address, self._version)
        return Session(connect, self._inbox, self._publisher, self.options.outbound_limit)

    def _abandon_attempt(self) -> None:
        self._drop_link()
        if self._opened is not None:
            self._opened.cancel()
            self._opened = None

    # What the application says

    def press(self, waiting: int) -> Awaitable[None]:
        """A publish has left ``waiting`` bytes in the outbox: arrange for sending; return what the publisher is to await."""
        self.schedule()
        if waiting < FLUSH_AT:
            return READY
        if self._link is not None:
            self._link.flush()
        return TURN if len(self.session.outbox) < HIGH_WATER else self._room

    def schedule(self) -> None:
        """Send at the end of this turn of the event loop."""
        if not self.session.scheduled:
            self.session.scheduled = True
            self._loop.call_soon(self._send)

    async def wait_for_room(self) -> None:
        """Return when the outbox is no longer too full.

        Raises:
            ConnectionClosedError: the connection is closed, or was lost meanwhile.
        """
        while len(self.session.outbox) >= HIGH_WATER and self.session.state != states.CLOSED:
            await self._progress.wait()
        self._refuse_closed()

    def add(self, feed: Feed) -> None:
        """Subscribe a feed."""
        self.session.subscribe(feed)
        self._deliveries.add(feed.owner)
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
        try:
            async with asyncio.timeout(timeout):
                await self._wait_for_pong(self.session.ping())
        except TimeoutError:
            raise MidgeTimeoutError("PONG", timeout) from None

    async def request(self, subject: str, data: bytes, timeout: float | None, headers: Any) -> Message:
        """Publish a request and return the answer; see ``Client.request``."""
        self._refuse_closed()
        deadline = None if timeout is None else self._loop.time() + timeout
        try:
            if len(self.session.outbox) >= HIGH_WATER:
                async with asyncio.timeout_at(deadline):
                    await self.wait_for_room()
            token, future = self._requests.add(subject, data, headers, deadline)
            self.schedule()
            try:
                message = await future
            finally:
                self._requests.remove(token)
        except TimeoutError:
            raise MidgeTimeoutError(f"request on {subject!r}", timeout) from None
        if not message.data and message.status == NO_RESPONDERS:
            raise NoRespondersError(subject)
        return message

    # Ending

    async def drain_feed(self, feed: Feed) -> None:
        """End one subscription without losing anything; see ``Subscription.drain``."""
        self._refuse_closed()
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                if feed.sid in self.session.feeds:
                    await self._wait_for_pong(self.session.stop([feed]))
                await feed.owner.consumed()
        except TimeoutError:
            raise MidgeTimeoutError("drain", self.options.drain_timeout) from None
        self._refuse_closed()  # its end stops callbacks, which is not what was asked for

    async def drain(self) -> None:
        """Finish what was begun, lose nothing, close; see ``Client.drain``."""
        if self._drained is not None:
            await self._wait_for_drain(self._drained)
        elif self.session.state == states.CLOSED:
            await self._close()
            if self.session.cause is not None:
                raise self.session.closed_error()
        else:
            self._drained = self._loop.create_future()
            failure = ""
            try:
                await self._drain()
            except BaseException as error:
                failure = str(error) or type(error).__name__
                raise
            finally:
                self._drained.set_result(failure)

    async def _drain(self) -> None:
        session = self.session
        session.drain()
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                await self._wait_for_pong(session.stop([feed for feed in session.feeds.values() if feed.owner is not None]))
                for delivery in list(self._deliveries):
                    await delivery.consumed()
                while self._requests:
                    await self._requests.wait()
                await self._wait_for_pong(session.ping())
        except TimeoutError:
            raise MidgeTimeoutError("drain", self.options.drain_timeout) from None
        finally:
            await self._close()

    async def _wait_for_drain(self, drained: asyncio.Future[str]) -> None:
        """Another call drains: wait for it, unless it waits for us."""
        me = asyncio.current_task()
        if me in self._tasks or any(delivery.is_read_by(me) for delivery in self._deliveries):
            return
        failure = await asyncio.shield(drained)
        if failure:
            raise ConnectionClosedError(f"the connection was closed before it was drained: {failure}")

    async def close(self) -> None:
        """Send what was published, as far as the server takes it, then close and end every wait. May be called again."""
        for delivery in list(self._deliveries):
            delivery.discard()
        await self._close()

    async def _close(self) -> None:
        first = self._closing is None
        if self._closing is None:
            self._closing = self._loop.create_future()
            self._shut(None)
        for task in self._tasks - {asyncio.current_task(), self._reporter.task}:
            task.cancel()
        if first:
            try:
                await self._send_rest()
            finally:
                self._drop_link()
                self._closing.set_result(None)
        else:
            await asyncio.shield(self._closing)
        tasks = self._tasks - {asyncio.current_task()}
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

    def link_received(self, chunk: bytearray, size: int) -> bool:
        if self._is_open:
            self._last_refusal = None  # the server went on after it, so it is not why the connection ends
        try:
            try:
                self.session.receive(chunk, size)
            finally:
                self._after()
        except RemoteProtocolError as error:
            self._lose(error)
        except Exception as error:  # the driver's safety net: a bug of ours must not leave a connection that nobody reads
            log.exception("internal error, closing the connection")
            self._lose(error)
        return True

    def link_progress(self) -> None:
        if len(self.session.outbox) < LOW_WATER:
            self._progress.wake()

    def link_stuck(self) -> None:
        raise AssertionError("a client's link has no write deadline")

    def link_lost(self, error: OSError | None) -> None:
        self._lose(self._last_refusal or error or ConnectionClosedError("the server closed the connection"))

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
        while events := self.session.take_events():
            for kind, what, more in events:
                self._EVENTS[kind](self, what, more)

    def _on_opened(self, _what: Any, _more: Any) -> None:
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _on_ponged(self, _what: Any, _more: Any) -> None:
        self._pongs.reach(self.session.pongs)

    def _on_informed(self, _what: Any, _more: Any) -> None:
        if self.session.info.ldm:
            log.info("the server is about to shut down (lame duck mode)")

    def _on_refused(self, text: str, _more: Any) -> None:
        """An -ERR came: tell whom it concerns. Only the server closes the connection, if it does."""
        refusal = read_refusal(text)
        if not self._is_open or not isinstance(refusal.error, PermissionsViolationError):
            self._last_refusal = refusal.error
        feed = refusal.find(self.session.feeds)
        if self._is_open and (feed is None or not self._refuse(feed, text)):
            self.report(refusal.error)

    def _on_failed(self, feed: Feed, error: BaseException) -> None:
        self.report_callback(feed.subject, error)

    def _on_slow(self, feed: Feed, _more: Any) -> None:
        self.report(SlowConsumerError(feed.subject, feed.dropped))

    def _on_ended(self, feed: Feed, _more: Any) -> None:
        if feed.owner is not None:
            feed.owner.end()

    _EVENTS: dict[str, Callable[[Connection, Any, Any], None]] = {
        states.OPENED: _on_opened, states.PONGED: _on_ponged, states.INFORMED: _on_informed, states.REFUSED: _on_refused,
        states.FAILED: _on_failed, states.SLOW: _on_slow, states.ENDED: _on_ended,
    }  # fmt: skip

    def _refuse(self, feed: Feed, text: str) -> bool:
        """End a feed that the server refused. True if a caller is told."""
        error = partial(PermissionsViolationError, text)
        if feed.owner is None:  # the answers to all requests would have come by it; the next request tries anew
            told = len(self._requests) > 0
            self._requests.fail(error)
        else:
            told = feed.owner.refuse(error)
        self.session.end(feed)
        return told

    # Private: waiting

    async def _wait_for_pong(self, number: int) -> None:
        self.schedule()
        await self._pongs.wait(number)

    # Private: errors

    def report(self, error: Exception) -> None:
        """Tell the error callback, in order and off the read path; log too."""
        self._reporter.report(error)

    def report_callback(self, subject: str, error: BaseException) -> None:
        """Report what a subscription's callback raised."""
        self._reporter.report_callback(subject, error)

    def _refuse_closed(self) -> None:
        if self.session.state == states.CLOSED:
            raise self.session.closed_error()

    # Private: ending

    def _lose(self, cause: BaseException) -> None:
        """The connection is lost. While it was being opened that is the attempt's error, later everybody's."""
        self._drop_link()
        if not self._is_open:
            if self._opened is not None and not self._opened.done():
                self._opened.set_exception(self._last_refusal or cause)
            else:
                self.session.close(cause)
        elif self.session.state != states.CLOSED:
            log.error("the connection to %s was lost", self.address)
            self._shut(cause)
            self.session.outbox.clear()
            self.report(self.session.closed_error())
        self._progress.wake()

    def _shut(self, cause: BaseException | None) -> None:
        """End every wait and refuse everything from now on; the link may live on to send the rest."""
        session = self.session
        if session.state == states.CLOSED:
            return
        feeds = list(session.feeds.values())
        session.close(cause)
        if self._heartbeat is not None:
            self._heartbeat.stop()
        for feed in feeds:
            if feed.owner is not None:
                feed.owner.end(session.closed_error)
        self._pongs.fail(session.closed_error)
        self._requests.stop()
        self._requests.fail(session.closed_error)
        self._progress.wake()

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _send_rest(self) -> None:
        """Wait until the link has taken what is left, for CLOSE_SECONDS at most."""
        self._send()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._link is not None and len(self.session.outbox):
                    await self._progress.wait()
        except TimeoutError:
            pass
        left = len(self.session.outbox)
        self.session.outbox.clear()
        if left:
            self.report(ConnectionClosedError(f"the connection was closed before the server took the last {left} bytes"))
