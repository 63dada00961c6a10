"""Migration: from a server that is about to shut down (lame duck mode) to another, before it closes the link.

The new link is made first. In one turn everything is subscribed there and publishing goes there; when its server has confirmed that, the
old link is unsubscribed and gives what it had on its way. Nothing is lost, and a queue group gets each message once; a subscription
without a group may get one twice that was published in the moment in which both servers had it, as messages have no names.

It begins after a random while, so that thousands of clients do not move together. It never gives up the only server: as long as no other
lets us in, the link stays until the server closes it, and then it is lost like any other.
"""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING

from midge.client import states
from midge.client.callbacks import is_cancelled
from midge.client.driver import Driver
from midge.client.pool import Server
from midge.client.states import Happening, State
from midge.errors import DisconnectedError, MidgeError
from midge.wire.frames import frames_begun, half_sent, pings_left, publishes_left
from midge.wire.outbox import Outbox

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["SPREAD_SECONDS", "Migration"]

log = logging.getLogger("midge.client")

LET_GO_SECONDS = 2.0  # how long a link that is no longer wanted may take to end well: it may be stuck, and be left for that
SPREAD_SECONDS = 5.0  # nats-server begins to close links ten seconds after it has said so


class Migration:
    """Moves one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._leaving: set[asyncio.Task[None]] = set()  # each sees one link that is left to its end
        self._let_go: set[Driver] = set()  # those of them that another link takes the place of, as soon as there is one

    def start(self, old: Driver) -> None:
        """The server of this link is about to shut down. To be called once for each link."""
        self._connection.run(self._migrate(old))

    def let_go(self, old: Driver, begun: int) -> None:
        """The application wants another link than this one, which may be as good as ever: close it when its server has read what it was
        sent. A server that is still writing when it hears of the end forgets what it has not read.

        What is begun is finished: the frame that is sent in part, and so many bytes more than the link has told. The publishes behind are
        kept elsewhere, and go. What it delivers counts until there is another link: no message comes twice.
        """
        outbox = old.session.outbox
        unsent = pings_left(outbox, begun)
        outbox.cut(frames_begun(outbox, begun))
        self._let_go.add(old)
        self._begin_leaving(old, LET_GO_SECONDS, unsent=unsent)

    def take_place(self) -> None:
        """There is another link: what comes by those that were let go might come by this one, too, and is dropped."""
        for old in self._let_go:
            old.session.forget_feeds()
        self._let_go.clear()

    async def left(self) -> None:
        """Return when the links that are being left have given what they still had; or after a while, as they may be stuck."""
        if self._leaving:
            await asyncio.wait(set(self._leaving), timeout=LET_GO_SECONDS)

    async def _migrate(self, old: Driver) -> None:
        connection = self._connection
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))
        while self._is_wanted(old):
            for server in connection.pool.others():
                if self._is_wanted(old) and await self._move(server, old):
                    return
            await asyncio.sleep(random.uniform(0, connection.options.reconnect_max_wait))

    def _is_wanted(self, old: Driver) -> bool:
        """True while the old link stands, and nobody ends the connection."""
        return self._connection.driver is old and self._connection.state is State.OPEN

    async def _move(self, server: Server, old: Driver) -> bool:
        """Move to this server, if it lets us in and will stay. True if it has."""
        connection = self._connection
        attempt = connection.new_attempt(server)
        driver = None
        try:
            driver = await attempt.run()
            is_good = self._is_other(driver, old) and await self._is_quiet(old)
        except BaseException as error:
            if driver is not None:
                driver.close()
            if not isinstance(error, Exception) and (is_cancelled() or not isinstance(error, asyncio.CancelledError)):
                raise
            log.info("could not move to %s: %s", server.url, error)
            return False
        if not (is_good and driver.is_open and self._is_wanted(old)):
            driver.close()
            return False
        old.flush()
        old.listener = _Leaving(connection, old)
        connection.pool.note_success(server)
        connection.search.note_move()
        connection.take_driver(driver, attempt.refusal)
        self._begin_leaving(old, connection.options.drain_timeout, driver)
        return True

    def _is_other(self, driver: Driver, old: Driver) -> bool:
        """True if this is another server, not the same by another name, and not about to shut down as well."""
        return driver.session.info.server_id != old.session.info.server_id and not driver.session.info.ldm

    async def _is_quiet(self, old: Driver) -> bool:
        """Return when no subscription is just being drained: its end must come by the link that it is drained on."""
        async with asyncio.timeout(self._connection.options.timeout):
            while True:
                await old.ponged(old.session.ping())
                if not old.session.has_stopped():
                    return True

    def _begin_leaving(self, old: Driver, seconds: float | None, new: Driver | None = None, unsent: int = 0) -> None:
        old.listener = _Leaving(self._connection, old)
        leaving = self._connection.run(self._leave(old, seconds, new, unsent))
        self._leaving.add(leaving)
        leaving.add_done_callback(partial(self._end_leaving, old))  # also where it is cancelled before it has begun

    async def _leave(self, old: Driver, seconds: float | None, new: Driver | None, unsent: int) -> None:
        """Take from the old link what it still has for us, once the new one has what was subscribed, and close it. So many of the PINGs
        that its session has counted will never be sent.
        """
        connection = self._connection
        try:
            async with asyncio.timeout(seconds):
                if new is not None:
                    await new.ponged(new.session.ping())
                connection.interest.unsubscribe(old.session.outbox)
                await old.ponged(old.session.ping() - unsent)
        except (MidgeError, TimeoutError) as error:
            log.info("a link that is not wanted any more was left before its end: %s", error)

    def _end_leaving(self, old: Driver, leaving: asyncio.Task[None]) -> None:
        self._leaving.discard(leaving)
        self._let_go.discard(old)
        self._take_over(old.session.outbox)
        old.close()
        old.session.close()
        old.end_waits(DisconnectedError)

    def _take_over(self, outbox: Outbox) -> None:
        """Send by the present link, or the next, what was published and the old one has not begun to send; tell of what cannot be."""
        connection = self._connection
        lost, left = half_sent(outbox), publishes_left(outbox)
        outbox.clear()
        if connection.is_closed():
            lost, left = lost + len(left), []
        for frame in left:
            connection.session.outbox.write(frame)
        if left:
            connection.settle()
        if lost:
            reason = f"{lost} publishes were not sent when a link that was not wanted any more was left"
            connection.report(DisconnectedError(reason, lost))


class _Leaving:
    """Listens to a link that is being left: what concerns subscriptions goes on, what concerns the link is nobody's business any more."""

    def __init__(self, connection: Connection, driver: Driver) -> None:
        self._connection = connection
        self._driver = driver

    def driver_heard(self, happening: Happening) -> None:
        if not isinstance(happening, states.Informed | states.Refused):
            self._connection.hearing.driver_heard(happening)

    def driver_lost(self, cause: Exception) -> None:
        self._driver.close()
        self._driver.session.close(cause)
        self._driver.end_waits(DisconnectedError)
