"""A client's connection: what it is, what happens to it, and what comes of that.

TABLE says for every state and event which state follows and what is done, in order; ``happen`` looks it up. A connection lives through
many links: it has a Driver while there is one, and for a moment after it was closed, to send what is left; between two, a Backlog takes
what is published, and its Search looks for the next. It ends in one row of the table: given up, drained or closed (``states``
has the words, ``farewell`` how the last two go). What outlives a driver is its Interest, its Counters, and the Subscriptions.
What a driver says goes to its Hearing.

Waits that end: whoever waits does so in the driver (PONGs, room), for a link (``changed``), in ``requests``, in ``consumers`` or in a
subscription, and the step ``_end_waits`` ends all of them.

A client belongs to one event loop and its thread: its ``home``, which refuses others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from midge import events
from midge.client.attempt import Attempt
from midge.client.backlog import Backlog
from midge.client.consumers import Consumers
from midge.client.credentials import Credentials
from midge.client.driver import Driver, Progress
from midge.client.encoder import PublishEncoder
from midge.client.exchange import Exchange
from midge.client.farewell import Farewell
from midge.client.handshake import ServerInfo
from midge.client.hearing import Hearing
from midge.client.home import Home
from midge.client.interest import Counters, Feed, Interest
from midge.client.migration import Migration
from midge.client.options import Options
from midge.client.pool import Server, ServerPool
from midge.client.reporter import Reporter
from midge.client.requests import Requests
from midge.client.room import READY, Answer, Room, Turn
from midge.client.search import Search
from midge.client.servers import Address
from midge.client.session import FLUSH_AT, HIGH_WATER, Session
from midge.client.states import Event, State
from midge.client.subscription import Subscription
from midge.client.tls import Security
from midge.client.websocket import WebSocketRequest
from midge.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    DisconnectedError,
    ServerError,
)
from midge.wire.frames import half_sent, publishes_left

__all__ = ["Connection"]

FLUSHES_A_TURN = 4  # 256 KiB that one publisher may send before everybody else has a turn of the event loop


class Row(NamedTuple):
    """What comes of an event: the state that follows, and what is done, in order, with the event's cause."""

    state: State
    steps: tuple[Callable[[Connection, Exception | None], None], ...] = ()


class Connection:
    """One client's connection.

    Args:
        options: the client's options.
        pool: the servers.
        inbox: the prefix of reply subjects, unique to this client.
        version: our version, for CONNECT.

    Attributes:
        session: the driver's; between two drivers one that waits, before the first one that refuses everything.
        driver: None between two links; then there is a backlog.
        changed: those who wait for a link, or the end.
        followers: called each time that there is a link again after one was lost.
        address: the URL of the server that there is a link to, "" between two links.
        reconnects: links after the first.
        home: the thread and process that may use it, and the publisher that messages answer through. Set before ``open``.
    """

    home: Home

    def __init__(self, options: Options, pool: ServerPool, inbox: str, version: str) -> None:
        self.options = options
        self.pool = pool
        self.state = State.CONNECTING
        self.address = ""
        self.interest = Interest(inbox)
        self.counters = Counters()
        self.consumers = Consumers()
        self.session = Session(self.interest, PublishEncoder(options.outbound_limit), self.counters, None)
        self.driver: Driver | None = None
        self.changed = Progress()
        self.followers: set[Callable[[], None]] = set()
        self.requests: Requests | None = None
        self.reconnects = 0
        self._flushes = 0  # that publishers have made
        self.was_connected = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.hearing = Hearing(self)
        self.reporter = Reporter(options.error_callback, options.event_callback, self.run)
        self.exchange = Exchange(self)
        self.farewell = Farewell(self)
        self.search = Search(self)
        self.migration = Migration(self)
        self.backlog: Backlog | None = None
        self._credentials = Credentials(options, version)
        self.loop: asyncio.AbstractEventLoop | None = None

    # Links

    async def open(self) -> None:
        """Connect for the first time; see ``Search.open``."""
        if self.state is not State.CONNECTING:
            raise RuntimeError("connected already: call connect() again for another connection")
        self.loop = asyncio.get_running_loop()
        await self.search.open()

    def new_attempt(self, server: Server) -> Attempt:
        """Return an attempt to reach a server, with a session of its own."""
        assert self.loop is not None
        address = server.address if isinstance(server.address, Address) else None
        session = Session(self.interest, PublishEncoder(self.options.outbound_limit), self.counters, self.home.publisher)
        line = partial(self._credentials.connect_line, address)
        security = Security(self.options.tls, address)
        websocket = WebSocketRequest(self.options, address) if address is not None and address.is_websocket else None
        return Attempt(self.loop, server.address, session, security, websocket, line, self.options.timeout, self.pool.shuffle)

    def take_driver(self, driver: Driver, refusal: ServerError | None) -> None:
        """An attempt to reach what is now the pool's current server has succeeded."""
        assert self.pool.current is not None
        self.address = self.pool.current.url
        self.driver = driver
        self.hearing.begin(driver, refusal)
        self.happen(Event.OPENED)
        if refusal is not None:
            self.report(refusal)

    def is_searching(self) -> bool:
        """True while there is no link, and there shall be one."""
        return self.driver is None and self.state is not State.CLOSED

    async def reconnect(self) -> None:
        """Let go of the link, if there is one, and connect again at once; return when that has succeeded.

        Raises:
            ConnectionClosedError: the connection is closed or draining, or no server lets us in any more.
        """
        self.home.check()
        self.refuse_closed()
        if self.state is State.DRAINING:
            raise ConnectionDrainingError()
        self.search.hurry()
        if self.driver is not None:
            self.happen(Event.LOST)
        await self.linked()

    async def linked(self) -> Driver:
        """Return the driver, when there is one.

        Raises:
            ConnectionClosedError: the connection is closed.
        """
        while self.is_searching():
            await self.changed.wait()
        self.refuse_closed()
        assert self.driver is not None
        return self.driver

    def last_info(self) -> ServerInfo | None:
        """Return what the last server said of itself, None where there was none."""
        info: ServerInfo = self.session.info
        return info if self.was_connected else None

    # What the application says

    def make_room(self, waiting: int) -> Answer:
        """A publish has left ``waiting`` bytes in the outbox: arrange for sending; return what the publisher is to await."""
        driver = self.driver
        if driver is None:
            assert self.backlog is not None
            return self.backlog.make_room(self.wait_for_room)
        driver.schedule()
        if waiting < FLUSH_AT:
            return READY
        driver.flush()
        if len(self.session.outbox) >= HIGH_WATER:
            return Room(self.wait_for_room)
        self._flushes += 1
        return READY if self._flushes % FLUSHES_A_TURN else Turn()

    async def wait_for_room(self) -> None:
        """Return when the outbox, or the backlog, is no longer too full.

        Raises:
            ConnectionClosedError: the connection is closed meanwhile.
        """
        while self.state is not State.CLOSED:
            driver = self.driver
            if driver is not None:
                driver.flush()
                if len(self.session.outbox) < HIGH_WATER:
                    return
                await driver.progress.wait()
            elif self.backlog is not None and self.backlog.is_full():
                await self.changed.wait()
            else:
                return
        self.refuse_closed()

    def is_full(self) -> bool:
        """True if who publishes more should wait for room."""
        return len(self.session.outbox) >= HIGH_WATER if self.backlog is None else self.backlog.is_full()

    def subscribe(self, feed: Feed) -> None:
        """Subscribe a feed. Between two links, the next server will be told.

        Raises:
            ConnectionClosedError: the connection is closed or draining.
        """
        self.home.check()
        if self.state is State.DRAINING:
            raise ConnectionDrainingError()
        self.session.subscribe(feed)
        self.settle()

    def unsubscribe(self, feed: Feed, limit: int = 0) -> None:
        """Unsubscribe a feed, at once or after limit messages in all."""
        self.home.check()
        self.session.unsubscribe(feed, limit)
        self.settle()

    def parse_soon(self) -> None:
        """A subscription that held the connection has room again."""
        if self.driver is not None:
            self.driver.parse_soon()

    def settle(self) -> None:
        """Take what happened in the session, and have sent what it has to send."""
        if self.driver is not None:
            self.driver.take_events()
            self.driver.schedule()
        else:
            for happening in self.session.take_events():
                self.hearing.driver_heard(happening)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ``close`` will end."""
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine, loop=self.loop)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def is_left_open(self) -> bool:
        """True if nobody has closed it, and it is ours to close."""
        return self.state not in (State.CONNECTING, State.CLOSED) and not self.home.is_forked

    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    def refuse_closed(self) -> None:
        if self.state is State.CLOSED:
            raise self.session.closed_error()

    # Errors and events

    def emit(self, event: events.Event) -> None:
        """Tell who listens for events, in order and off the read path."""
        self.reporter.emit(event)

    def report(self, error: Exception, where: str = "") -> None:
        """Tell the error callback, in order and off the read path; log too."""
        self.reporter.report(error, where)

    def report_callback(self, subject: str, error: BaseException) -> None:
        """Report what a subscription's callback raised."""
        self.reporter.report_callback(subject, error)

    def note_malformed(self, subject: str) -> None:
        """Somebody has found the headers of a message to be malformed: count and report it, from any thread."""
        self.home.call(self.hearing.note_malformed, subject)

    # The states

    def happen(self, event: Event, cause: Exception | None = None) -> None:
        """Go from one state to the next."""
        row = TABLE[self.state, event]
        self.state = row.state
        for step in row.steps:
            step(self, cause)

    def _part(self, cause: Exception | None) -> None:
        """Let go of the driver, if there is one: what it has not begun to send waits for the next."""
        driver, last, options = self.driver, self.session, self.options
        self.backlog = Backlog(last, options, self.home.publisher, self.report)
        lost = 0
        if driver is not None:
            last.end_stopped()
            driver.take_events()
            begun = driver.begun() if cause is None else 0
            self.backlog.keep(last.outbox, begun, not options.fail_requests)
            driver.end_waits(partial(_disconnected, cause))
            if cause is None:
                self.migration.let_go(driver, begun)
            else:
                lost = half_sent(last.outbox)
                last.outbox.clear()
                driver.close()
                last.close(cause)
        self.driver = None
        self._use(self.backlog.session)
        if self.requests is not None:
            if options.fail_requests:
                self.requests.fail(partial(_disconnected, cause))
            elif self.requests.lose(partial(_disconnected, cause)):
                self.backlog.forget_request()
        if self.was_connected:
            self.emit(events.Disconnected(self.address, cause, lost))
            if cause is not None:
                self.reporter.report_quietly(_disconnected(cause), self.address)  # the event has said it
        self.address = ""
        self.search.start()

    def _begin(self, _: Exception | None) -> None:
        """Publish and subscribe through the driver that there is now; first what waited for it."""
        driver, backlog = self.driver, self.backlog
        assert driver is not None
        driver.listener = self.hearing
        self.migration.take_place()
        driver.beat(self.options.ping_interval, self.options.max_pings_out)
        self.interest.resubscribe(driver.session.outbox)
        self._use(driver.session)
        if backlog is not None:
            backlog.hand_over(driver.session)
            self.backlog = None
        driver.flush()
        self.changed.wake()
        self._tell_of_link()

    def _use(self, session: Session) -> None:
        """The application speaks to this session from now on."""
        assert self.loop is not None
        self.session = session
        self.home.enter(session)
        if self.requests is None:
            self.requests = Requests(self.loop, self.interest.requests)

    def _tell_of_link(self) -> None:
        self.search.note_link()
        if self.was_connected:
            self.reconnects += 1
            self.emit(events.Reconnected(self.address, self.search.attempts, self.search.seconds()))
        else:
            self.pool.begin_anew()  # the first loss is followed by an attempt at once, however soon it comes
            self.emit(events.Connected(self.address))
        self.was_connected = True
        self.hearing.read_info()
        for follower in tuple(self.followers) if self.reconnects else ():
            follower()

    def _cut(self, _: Exception | None) -> None:
        """Close the driver at once."""
        if self.driver is not None:
            self.driver.close()

    def _forget_what_is_left(self, _: Exception | None) -> None:
        outbox, backlog = self.session.outbox, self.backlog
        left, messages = len(outbox), half_sent(outbox) + len(publishes_left(outbox))
        outbox.clear()
        if backlog is not None:
            backlog.report_rest()
            if left:
                self.report(ConnectionClosedError(f"no server could be reached, and {left} bytes of what was published were not sent"))
        elif messages:
            self.report(ConnectionClosedError(f"the connection was lost, and {messages} messages that were published were not sent"))

    def _discard_work(self, _: Exception | None) -> None:
        """Keep from coroutine callbacks what they have not been given yet."""
        for subscription in self.consumers.subscriptions():
            subscription.discard_work()

    def _end_waits(self, cause: Exception | None) -> None:
        """Refuse everything from now on, and end every wait."""
        session = self.session
        session.close(cause)
        for feed in self.interest.clear():
            if isinstance(feed, Subscription):
                feed.end(session.closed_error)
        if self.driver is not None:
            self.driver.end_waits(session.closed_error)
        if self.requests is not None:
            self.requests.stop()
            self.requests.fail(session.closed_error)
        self.changed.wake()
        self.consumers.tell()

    def _tell_of_draining(self, _: Exception | None) -> None:
        self.emit(events.Draining())

    def _report_loss(self, cause: Exception | None) -> None:
        if self.driver is not None:
            self.emit(events.Disconnected(self.address, cause))
        self.reporter.report_quietly(self.session.closed_error(), self.address)  # Closed says it
        self.emit(events.Closed(self.session.closed_error()))


S, E, C = State, Event, Connection
_GIVE_UP = (C._cut, C._forget_what_is_left, C._end_waits, C._report_loss)
TABLE: dict[tuple[State, Event], Row] = {
    (S.CONNECTING, E.OPENED): Row(S.OPEN, (C._begin,)),
    (S.CONNECTING, E.LOST): Row(S.RECONNECTING, (C._part,)),  # no server was there, and connect() does not wait for one
    (S.CONNECTING, E.CLOSE): Row(S.CLOSED, (C._end_waits,)),
    (S.OPEN, E.OPENED): Row(S.OPEN, (C._begin,)),  # moved to another server
    (S.OPEN, E.LOST): Row(S.RECONNECTING, (C._part,)),
    (S.OPEN, E.GIVEN_UP): Row(S.CLOSED, _GIVE_UP),
    (S.OPEN, E.DRAIN): Row(S.DRAINING, (C._tell_of_draining,)),
    (S.OPEN, E.CLOSE): Row(S.CLOSED, (C._discard_work, C._end_waits)),
    (S.RECONNECTING, E.OPENED): Row(S.OPEN, (C._begin,)),
    (S.RECONNECTING, E.GIVEN_UP): Row(S.CLOSED, _GIVE_UP),
    (S.RECONNECTING, E.DRAIN): Row(S.DRAINING, (C._tell_of_draining,)),
    (S.RECONNECTING, E.CLOSE): Row(S.CLOSED, (C._discard_work, C._end_waits)),
    (S.DRAINING, E.OPENED): Row(S.DRAINING, (C._begin,)),
    (S.DRAINING, E.LOST): Row(S.DRAINING, (C._part,)),  # what was published is still to be sent
    (S.DRAINING, E.GIVEN_UP): Row(S.CLOSED, _GIVE_UP),
    (S.DRAINING, E.DRAINED): Row(S.CLOSED, (C._end_waits,)),
    (S.DRAINING, E.CLOSE): Row(S.CLOSED, (C._discard_work, C._end_waits)),
    (S.CLOSED, E.OPENED): Row(S.CLOSED, (C._cut,)),  # too late
    (S.CLOSED, E.DRAINED): Row(S.CLOSED),  # given up or closed meanwhile
    (S.CLOSED, E.LOST): Row(S.CLOSED, (C._cut,)),  # the server went while it was sent what is left
    (S.CLOSED, E.GIVEN_UP): Row(S.CLOSED, (C._cut,)),
    (S.CLOSED, E.CLOSE): Row(S.CLOSED, (C._discard_work,)),
}
del S, E, C


def _disconnected(cause: Exception | None) -> DisconnectedError:
    """Return an error of its own for each who waited when the link was lost."""
    error = DisconnectedError("the link was given up to connect again" if cause is None else f"the link was lost: {cause}")
    error.__cause__ = cause
    return error
