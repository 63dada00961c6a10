"""A client's connection: what it is, what happens to it, and what comes of that.

TABLE says for every state and event which state follows and what is done, in order; ``happen`` looks it up. A connection ends in one
of its rows: lost, drained or closed (``states`` has the words). It has a Driver while it is open, and for a moment after it was
closed, to send what is left. What outlives a driver is its Interest, its Counters, and the Subscriptions.

Waits that end: whoever waits does so in the driver (PONGs, room), in ``_requests``, in ``consumers`` or in a subscription, and the step
``_end_waits`` ends all of them.

A client belongs to one event loop and its thread: its ``home``, which refuses others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from copy import copy
from functools import partial
from typing import Any, NamedTuple

from midge.client import events, states
from midge.client.attempt import Attempt, connect_error
from midge.client.credentials import Credentials
from midge.client.driver import Driver
from midge.client.encoder import PublishEncoder
from midge.client.home import Home
from midge.client.interest import Counters, Feed, Interest
from midge.client.options import Options, check_timeout
from midge.client.refusals import Concern, Refusal, read_refusal
from midge.client.reporter import Reporter
from midge.client.requests import Request, Requests
from midge.client.room import READY, Answer, Room, Turn
from midge.client.servers import Address, ServerPool
from midge.client.session import FLUSH_AT, HIGH_WATER, Session
from midge.client.states import Event, Happening, State
from midge.client.subscription import Consumer, Consumers, Subscription
from midge.client.suspects import Suspects
from midge.client.tls import Security
from midge.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MalformedMessageError,
    MidgeError,
    MidgeTimeoutError,
    NoRespondersError,
    ServerError,
    SlowConsumerError,
    TooManySubscriptionsError,
)
from midge.message import Message

__all__ = ["Connection"]

log = logging.getLogger("midge.client")

CLOSE_SECONDS = 2.0  # how long ``close`` waits for the kernel to take what was published before, and then for callbacks to end
NO_RESPONDERS = 503
NO_ANSWER = "the server did not answer"  # what keeps a drain from its end
STILL_AT_WORK = "callbacks or loops were not done"


class Row(NamedTuple):
    """What comes of an event: the state that follows, and what is done, in order, with the event's cause."""

    state: State
    steps: tuple[Callable[[Connection, BaseException | None], None], ...] = ()


class Connection:
    """One client's connection.

    Args:
        options: the client's options.
        pool: the servers.
        inbox: the prefix of reply subjects, unique to this client.
        version: our version, for CONNECT.

    Attributes:
        session: the driver's; before there is a driver, one that refuses everything.
        home: the thread and process that may use it, and the publisher that messages answer through. Set before ``open``.
    """

    home: Home

    def __init__(self, options: Options, pool: ServerPool, inbox: str, version: str) -> None:
        self.options = options
        self.state = State.CONNECTING
        self.address = ""
        self.interest = Interest(inbox)
        self.counters = Counters()
        self.consumers = Consumers()
        self._pool = pool
        self._credentials = Credentials(options, version)
        self._encoder = PublishEncoder(options.outbound_limit)
        self.session = Session(self.interest, self._encoder, self.counters, None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: Driver | None = None
        self._attempt: Attempt | None = None
        self._requests: Requests | None = None
        self._last_refusal: tuple[int, ServerError | None] = 0, None  # and in which chunk it came
        self._drained: asyncio.Future[str] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.suspects = Suspects(self.interest)
        self.reporter = Reporter(options.error_callback, options.event_callback, self.run)

    # Connecting

    async def open(self) -> None:
        """Connect to the first server that lets us in.

        Raises:
            ConnectError: none did; it says why, for each. ConnectAuthorizationError, where all refused our credentials.
            RuntimeError: this has succeeded before, or is under way.
        """
        if self.state is not State.CONNECTING or self._attempt is not None:
            raise RuntimeError("connected already: call connect() again for another connection")
        loop = self._loop = asyncio.get_running_loop()
        try:
            for server in self._pool.candidates():
                session = Session(self.interest, self._encoder, self.counters, self.home.publisher)
                line = partial(self._credentials.connect_line, server if isinstance(server, Address) else None)
                security = Security(self.options.tls, server if isinstance(server, Address) else None)
                self._attempt = Attempt(loop, server, session, security, line, self.options.timeout)
                try:
                    driver = await self._attempt.run()
                except (OSError, MidgeError) as error:
                    self._pool.note_refusal(server, error)
                else:
                    self._pool.note_success(server)
                    self._take_driver(driver, server.url, self._attempt.refusal)
                    return
        finally:
            self._attempt = None
        raise connect_error(self._pool.refusals())

    def _take_driver(self, driver: Driver, address: str, refusal: ServerError | None) -> None:
        self.address = address
        self._driver = driver
        self.happen(Event.OPENED)
        if refusal is not None:
            self._last_refusal = driver.chunks, refusal
            self.report(refusal)

    # What the application says

    def make_room(self, waiting: int) -> Answer:
        """A publish has left ``waiting`` bytes in the outbox: arrange for sending; return what the publisher is to await."""
        driver = self._driver
        assert driver is not None
        driver.schedule()
        if waiting < FLUSH_AT:
            return READY
        driver.flush()
        return Turn() if len(self.session.outbox) < HIGH_WATER else Room(self.wait_for_room)

    async def wait_for_room(self) -> None:
        """Return when the outbox is no longer too full.

        Raises:
            ConnectionClosedError: the connection is closed, or was lost meanwhile.
        """
        driver = self._driver
        if driver is not None:
            driver.flush()
            while len(self.session.outbox) >= HIGH_WATER and self.state is not State.CLOSED:
                await driver.progress.wait()
        self._refuse_closed()

    def subscribe(self, feed: Feed) -> None:
        """Subscribe a feed.

        Raises:
            ConnectionClosedError: the connection is closed or draining.
        """
        self.home.check()
        if self.state is State.DRAINING:
            raise ConnectionDrainingError()
        self.session.subscribe(feed)
        self._live_driver().schedule()

    def unsubscribe(self, feed: Feed, limit: int = 0) -> None:
        """Unsubscribe a feed, at once or after limit messages in all."""
        self.home.check()
        self.session.unsubscribe(feed, limit)
        if self._driver is not None:
            self._driver.take_events()
            self._driver.schedule()

    async def flush(self, timeout: float | None) -> None:
        """Return when the server has answered a PING sent now: it has seen everything before it.

        Raises:
            MidgeTimeoutError: it does not answer in time.
            ConnectionClosedError: the connection is closed, or was lost meanwhile.
        """
        self.home.check()
        check_timeout(timeout)
        number = self.session.ping()
        try:
            async with asyncio.timeout(timeout):
                await self._live_driver().ponged(number)
        except TimeoutError:
            raise MidgeTimeoutError("PONG", timeout) from None

    async def request(self, subject: str, data: Any, timeout: float | None, headers: Any) -> Message:
        """Publish a request and return the answer; see ``Client.request``."""
        self.home.check()
        if timeout is not None:
            check_timeout(timeout)
        loop, driver, requests, session = self._loop, self._driver, self._requests, self.session
        assert loop is not None and driver is not None and requests is not None
        deadline = None if timeout is None else loop.time() + timeout
        try:
            if len(session.outbox) >= HIGH_WATER:
                async with asyncio.timeout_at(deadline):
                    await self.wait_for_room()
            future: asyncio.Future[Message] = loop.create_future()
            token = session.request(subject, data, headers, Request(future))
            if deadline is not None:
                requests.watch(token, deadline)
            driver.hurry()
            try:
                message = await future
            finally:
                self.interest.requests.pop(token, None)
        except TimeoutError:
            raise MidgeTimeoutError(f"request on {subject!r}", timeout) from None
        if not message.data and message.status == NO_RESPONDERS:
            raise NoRespondersError(subject)
        return message

    # Draining and closing

    async def drain_subscription(self, subscription: Subscription, asking: dict[Consumer, int]) -> None:
        """End one subscription without losing anything; see ``Subscription.drain``."""
        self.home.check()
        self._refuse_closed()
        unmet = NO_ANSWER
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                if subscription.sid in self.interest.feeds:
                    await self._live_driver().ponged(self.session.stop([subscription]))
                unmet = STILL_AT_WORK
                await self.consumers.wait(asking, self._is_closed, subscription)
        except TimeoutError:
            raise MidgeTimeoutError("drain", self.options.drain_timeout, unmet) from None
        self._refuse_closed()  # its end stops callbacks, which is not what was asked for

    async def drain(self, asking: dict[Consumer, int], caller: asyncio.Task[Any] | None) -> None:
        """Finish what was begun, lose nothing, close; see ``Client.drain``."""
        self.home.check()
        if self._drained is not None:
            await self._wait_for_drain(self._drained, bool(asking) or caller in self._tasks)
        elif self.state is State.CLOSED:
            await self._close(caller)
            if self.session.cause is not None:
                raise self.session.closed_error()
        else:
            self._drained = asyncio.get_running_loop().create_future()
            self.happen(Event.DRAIN)
            failure = ""
            try:
                await self._drain(asking, caller)
            except BaseException as error:
                failure = str(error) or type(error).__name__
                raise
            finally:
                self._drained.set_result(failure)

    async def _drain(self, asking: dict[Consumer, int], caller: asyncio.Task[Any] | None) -> None:
        session, interest, requests = self.session, self.interest, self._requests
        assert requests is not None
        unmet = NO_ANSWER
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                feeds = [feed for feed in interest.feeds.values() if feed is not interest.answers]
                await self._live_driver().ponged(session.stop(feeds))
                unmet = STILL_AT_WORK
                await self.consumers.wait(asking, self._is_closed)
                unmet = "requests were not answered"
                while interest.requests:
                    await requests.wait()
                unmet = NO_ANSWER
                await self._live_driver().ponged(session.ping())
        except TimeoutError:
            raise MidgeTimeoutError("drain", self.options.drain_timeout, unmet) from None
        finally:
            self.happen(Event.DRAINED)
            await self._close(caller)

    async def _wait_for_drain(self, drained: asyncio.Future[str], waits_for_us: bool) -> None:
        """Another call drains: wait for it, unless it waits for us."""
        if waits_for_us:
            return
        failure = await asyncio.shield(drained)
        if failure:
            raise ConnectionClosedError(f"the connection was closed before it was drained: {failure}")

    async def close(self, caller: asyncio.Task[Any] | None) -> None:
        """Send what was published, as far as the server takes it, then close and end every wait. May be called again."""
        self.home.check()
        self.happen(Event.CLOSE)
        await self._close(caller)

    async def _close(self, caller: asyncio.Task[Any] | None) -> None:
        """See a connection that is CLOSED to its end: what is left goes out, the driver is closed, callbacks are stopped.

        But not those that may be waiting for this: the task that runs it, and the one that asked for it.
        """
        spared = {asyncio.current_task(), caller}
        first = self._closed is None
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
        for task in self._tasks - spared - self.reporter.tasks:
            task.cancel()
        if first:
            try:
                await self._send_what_is_left()
            finally:
                self._cut(None)
                self._closed.set_result(None)
        else:
            await asyncio.shield(self._closed)
        telling = self.reporter.tasks
        tasks = self._tasks - spared - (telling if telling & spared else set())  # two of which may close, and wait for each other
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()
        self.reporter.close()

    async def _send_what_is_left(self) -> None:
        """Wait until the server has taken what is left, for CLOSE_SECONDS at most."""
        if self._driver is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._driver.sent()
            except TimeoutError:
                pass
        left = len(self.session.outbox)
        self.session.outbox.clear()
        if left:
            self.report(ConnectionClosedError(f"the connection was closed before the server took the last {left} bytes"))

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ``close`` will end."""
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine, loop=self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def is_left_open(self) -> bool:
        """True if nobody has closed it, and it is ours to close."""
        return self.state in (State.OPEN, State.DRAINING) and not self.home.is_forked

    # Errors

    def report(self, error: Exception, where: str = "") -> None:
        """Tell the error callback, in order and off the read path; log too."""
        self.reporter.report(error, where)

    def report_callback(self, subject: str, error: BaseException) -> None:
        """Report what a subscription's callback raised."""
        self.reporter.report_callback(subject, error)

    def note_malformed(self, subject: str) -> None:
        """Somebody has found the headers of a message to be malformed: count and report it, from any thread."""
        if self.home.publisher.is_here():
            self._on_malformed(subject)
        elif self.state is not State.CLOSED and not self.home.is_forked and self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_malformed, subject)

    def emit(self, event: events.Event) -> None:
        """Tell who listens for events, in order and off the read path."""
        self.reporter.emit(event)

    def _refuse_closed(self) -> None:
        if self.state is State.CLOSED:
            raise self.session.closed_error()

    def _is_closed(self) -> bool:
        return self.state is State.CLOSED

    def _live_driver(self) -> Driver:
        """Return the driver, for who has just been let through by the session."""
        assert self._driver is not None
        return self._driver

    # What the driver says

    def driver_heard(self, happening: Happening) -> None:
        self._HEARD[type(happening)](self, happening)

    def driver_lost(self, cause: BaseException) -> None:
        chunk, refusal = self._last_refusal
        if refusal is not None and chunk == self._live_driver().chunks:  # else the server went on after it, and it is not the reason
            cause = refusal
        self.happen(Event.LOST, cause)

    def _on_informed(self, _: states.Informed) -> None:
        if self.session.info.ldm:
            log.info("the server is about to shut down (lame duck mode)")

    def _on_refused(self, refused: states.Refused) -> None:
        """An -ERR came: tell whom it concerns. Only the server closes the connection, if it does."""
        refusal = read_refusal(refused.text)
        if refusal.concern is not Concern.OPERATION:
            self._last_refusal = self._live_driver().chunks, refusal.error
        feeds = self.suspects.find(refusal, refused.first, refused.stop)
        told = [self._refuse_feed(feed, refusal) for feed in feeds]
        if True in told:
            return
        if any(isinstance(feed, Subscription) for feed in feeds):  # its end is an event
            self.reporter.report_quietly(refusal.error)
        else:
            self.report(refusal.error)

    def _on_failed(self, failed: states.Failed) -> None:
        self.report_callback(failed.feed.subject, failed.error)

    def _on_interrupted(self, interrupted: states.Interrupted) -> None:
        """End the program as the callback meant to, but not in the middle of a chunk."""
        assert self._loop is not None
        self._loop.call_soon(_raise, interrupted.error)

    def _on_slow(self, slow: states.Slow) -> None:
        feed = slow.feed
        self.reporter.report_quietly(SlowConsumerError(feed.subject, feed.dropped))
        self.emit(events.SlowConsumer(feed.subject, feed.sid, feed.dropped))

    def _on_malformed(self, subject: str) -> None:
        self.counters.malformed += 1
        if self.state is not State.CLOSED:  # after which there may be no event loop to report it in
            self.report(MalformedMessageError(subject))

    def _on_ended(self, ended: states.Ended) -> None:
        feed = ended.feed
        if isinstance(feed, Subscription):
            feed.end()
            self.emit(events.SubscriptionEnded(feed.subject, feed.sid, feed.end_error()))

    _HEARD: dict[type, Callable[[Connection, Any], None]] = {
        states.Informed: _on_informed, states.Refused: _on_refused, states.Failed: _on_failed,
        states.Interrupted: _on_interrupted, states.Slow: _on_slow, states.Ended: _on_ended,
    }  # fmt: skip

    def _refuse_feed(self, feed: Feed, refusal: Refusal) -> bool:
        """End a feed that the server refused. True if a caller is told."""
        error = partial(copy, refusal.error)
        if isinstance(feed, Subscription):
            told = feed.refuse(error)
        else:  # the answers to all requests would have come by it; the next request tries anew
            told = len(self.interest.requests) > 0
            assert self._requests is not None
            self._requests.fail(error)
        if isinstance(refusal.error, TooManySubscriptionsError):
            self.session.unsubscribe(feed)  # it may be another one that was refused
        else:
            self.session.end(feed)
        return told

    # The states

    def happen(self, event: Event, cause: BaseException | None = None) -> None:
        """Go from one state to the next."""
        row = TABLE[self.state, event]
        self.state = row.state
        for step in row.steps:
            step(self, cause)

    def _begin(self, _: BaseException | None) -> None:
        """Publish and subscribe through the driver that there is now."""
        assert self._loop is not None and self._driver is not None
        driver = self._driver
        driver.listener = self
        driver.beat(self.options.ping_interval, self.options.max_pings_out)
        self.session = driver.session
        self.home.enter(self.session)
        self._requests = Requests(self._loop, self.interest.requests)

    def _cut(self, _: BaseException | None) -> None:
        """Close the driver at once."""
        if self._driver is not None:
            self._driver.close()

    def _forget_what_is_left(self, _: BaseException | None) -> None:
        self.session.outbox.clear()

    def _discard_work(self, _: BaseException | None) -> None:
        """Keep from coroutine callbacks what they have not been given yet."""
        for subscription in self.consumers.subscriptions():
            subscription.discard_work()

    def _end_waits(self, cause: BaseException | None) -> None:
        """Refuse everything from now on, and end every wait."""
        session = self.session
        session.close(cause)
        for feed in self.interest.clear():
            if isinstance(feed, Subscription):
                feed.end(session.closed_error)
        if self._driver is not None:
            self._driver.end_waits(session.closed_error)
        if self._requests is not None:
            self._requests.stop()
            self._requests.fail(session.closed_error)
        self.consumers.tell()
        self.emit(events.Closed(None if cause is None else session.closed_error()))

    def _report_loss(self, _: BaseException | None) -> None:
        self.report(self.session.closed_error(), self.address)


S, E, C = State, Event, Connection
TABLE: dict[tuple[State, Event], Row] = {
    (S.CONNECTING, E.OPENED): Row(S.OPEN, (C._begin,)),
    (S.CONNECTING, E.CLOSE): Row(S.CLOSED, (C._end_waits,)),
    (S.OPEN, E.DRAIN): Row(S.DRAINING),
    (S.OPEN, E.LOST): Row(S.CLOSED, (C._cut, C._forget_what_is_left, C._end_waits, C._report_loss)),
    (S.OPEN, E.CLOSE): Row(S.CLOSED, (C._discard_work, C._end_waits)),
    (S.DRAINING, E.DRAINED): Row(S.CLOSED, (C._end_waits,)),
    (S.DRAINING, E.LOST): Row(S.CLOSED, (C._cut, C._forget_what_is_left, C._end_waits, C._report_loss)),
    (S.DRAINING, E.CLOSE): Row(S.CLOSED, (C._discard_work, C._end_waits)),
    (S.CLOSED, E.DRAINED): Row(S.CLOSED),  # lost or closed meanwhile
    (S.CLOSED, E.LOST): Row(S.CLOSED, (C._cut,)),  # the server went while it was sent what is left
    (S.CLOSED, E.CLOSE): Row(S.CLOSED, (C._discard_work,)),
}
del S, E, C


def _raise(error: BaseException) -> None:
    raise error
