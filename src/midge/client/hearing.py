"""Hearing: what comes of what a connection's driver says that is not a message: INFO, -ERR, a slow subscription, a callback that failed.

An -ERR tells whom it concerns by its text alone (``refusals``) and by what was sent lately (``suspects``). It never ends a connection:
only the server does, by closing it; then the refusal that came just before is why. The driver is told to listen to a Hearing for as
long as it is its connection's.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from midge import events
from midge.client import states
from midge.client.driver import Driver
from midge.client.handshake import ServerInfo
from midge.client.interest import Feed
from midge.client.refusals import Concern, Refusal, read_refusal
from midge.client.servers import Address
from midge.client.states import Event, Happening, State
from midge.client.subscription import Subscription
from midge.client.suspects import Suspects
from midge.errors import MalformedMessageError, ServerError, SlowConsumerError, TooManySubscriptionsError

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["Hearing"]


class Hearing:
    """Listens to the drivers of one connection, one after the other.

    Attributes:
        suspects: the subscriptions that an -ERR may be about.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.suspects = Suspects(connection.interest)
        self._lame_duck: Driver | None = None  # the driver whose server has said that it is about to shut down
        self._last_info: ServerInfo | None = None  # what was read last of what servers say of themselves
        self._last_refusal: tuple[int, ServerError | None] = 0, None  # and in which chunk it came

    def begin(self, driver: Driver, refusal: ServerError | None) -> None:
        """There is a new driver; ``refusal`` is what the server has said while it was being opened."""
        self._last_refusal = driver.chunks, refusal

    def read_info(self) -> None:
        """Take in what the server says of itself: that it is about to shut down, and which others there are."""
        connection = self._connection
        driver, info = connection.driver, connection.session.info
        self._last_info = info
        if info.ldm and driver is not None and self._lame_duck is not driver:
            self._lame_duck = driver
            connection.emit(events.LameDuck(connection.address))
            if connection.options.migrate:
                connection.migration.start(driver)
        server = connection.pool.current
        if server is None or not isinstance(server.address, Address) or not info.connect_urls:
            return
        if found := connection.pool.learn(info.connect_urls, server.address):
            connection.emit(events.ServersDiscovered(found))

    def note_malformed(self, subject: str) -> None:
        """Somebody has found the headers of a message to be malformed: count and report it."""
        connection = self._connection
        connection.counters.malformed += 1
        if connection.state is not State.CLOSED:  # after which there may be no event loop to report it in
            connection.report(MalformedMessageError(subject))

    # What the driver says

    def driver_heard(self, happening: Happening) -> None:
        self._HEARD[type(happening)](self, happening)

    def driver_lost(self, cause: Exception) -> None:
        connection = self._connection
        chunk, refusal = self._last_refusal
        if refusal is not None and connection.driver is not None and chunk == connection.driver.chunks:
            cause = refusal  # else the server went on after it, and it is not the reason
        connection.happen(Event.LOST if connection.search.is_possible(cause) else Event.GIVEN_UP, cause)

    # Private

    def _on_informed(self, _: states.Informed) -> None:
        if self._connection.session.info is not self._last_info:  # of those that came in one slice the last is read, once
            self.read_info()

    def _on_refused(self, refused: states.Refused) -> None:
        """An -ERR came: tell whom it concerns. Only the server closes the connection, if it does."""
        connection = self._connection
        refusal = read_refusal(refused.text)
        if refusal.concern is not Concern.OPERATION and connection.driver is not None:
            self._last_refusal = connection.driver.chunks, refusal.error
        feeds = self.suspects.find(refusal, refused.first, refused.stop)
        told = [self._refuse_feed(feed, refusal) for feed in feeds]
        if True in told:
            return
        if any(isinstance(feed, Subscription) for feed in feeds):  # its end is an event
            connection.reporter.report_quietly(refusal.error)
        else:
            connection.report(refusal.error)

    def _on_failed(self, failed: states.Failed) -> None:
        self._connection.report_callback(failed.feed.subject, failed.error)

    def _on_interrupted(self, interrupted: states.Interrupted) -> None:
        """End the program as the callback meant to, but not in the middle of a chunk."""
        assert self._connection.loop is not None
        self._connection.loop.call_soon(_raise, interrupted.error)

    def _on_slow(self, slow: states.Slow) -> None:
        feed = slow.feed
        self._connection.reporter.report_quietly(SlowConsumerError(feed.subject, feed.dropped))
        self._connection.emit(events.SlowConsumer(feed.subject, feed.sid, feed.dropped))

    def _on_ended(self, ended: states.Ended) -> None:
        if isinstance(ended.feed, Subscription):
            ended.feed.end()

    _HEARD: dict[type, Callable[[Hearing, Any], None]] = {
        states.Informed: _on_informed, states.Refused: _on_refused, states.Failed: _on_failed,
        states.Interrupted: _on_interrupted, states.Slow: _on_slow, states.Ended: _on_ended,
    }  # fmt: skip

    def _refuse_feed(self, feed: Feed, refusal: Refusal) -> bool:
        """End a feed that the server refused. True if a caller is told."""
        connection = self._connection
        error = partial(copy, refusal.error)
        if isinstance(feed, Subscription):
            told = feed.refuse(error)
        else:  # the answers to all requests would have come by it; the next request tries anew
            told = len(connection.interest.requests) > 0
            assert connection.requests is not None
            connection.requests.fail(error)
        if isinstance(refusal.error, TooManySubscriptionsError):
            connection.session.unsubscribe(feed)  # it may be another one that was refused
        else:
            connection.session.end(feed)
        return told


def _raise(error: BaseException) -> None:
    raise error
