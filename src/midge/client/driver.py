"""Driver: what drives one socket while it lasts. It joins a Session to a Link, to a clock and to the waits that no other socket can end.

Its one rule: after every call into the session, take its events, wake whom it woke, send its outbox. Writes of one turn of the
event loop are sent together at the end of the turn, or as soon as 64 KiB have gathered; there is no timer in between.

What came is parsed in slices. After SLICE_SECONDS everybody else has a turn of the loop; while the outbox is past its high-water
mark, nothing is parsed; either way reading pauses until the chunk is done with. A callback that runs an event loop of its own cannot
make the driver parse inside itself: what comes meanwhile waits.

While a feed *holds* the connection, because its buffer is full and it blocks, nothing is parsed either, and reading pauses. But who waits
for the connection itself, for a PONG or the answer to a request, may be the very one that is to empty the buffer, and what it waits for
may lie behind more messages: as long as anybody does, the driver goes on. So it does before the handshake is done, and once the link is
lost, because there is only so much left to parse.

A driver tells one *listener*: an Attempt while the connection is being opened, then the Connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from midge.client.session import HIGH_WATER, Session
from midge.client.states import Happening, Ponged, SessionState
from midge.errors import ConnectionClosedError, RemoteProtocolError
from midge.link import Link

__all__ = ["Heartbeat", "Driver", "Listener", "Pongs", "Progress"]

log = logging.getLogger("midge.client")

LOW_WATER = 1 << 18  # bytes that wait when those who wait for room may go on
SLICE_SECONDS = 0.005
HURRIES = 2  # requests that are sent each by itself, until something has come


class Listener(Protocol):
    """What a driver tells."""

    def driver_heard(self, happening: Happening) -> None:
        """Something happened that is not a message."""

    def driver_lost(self, cause: Exception) -> None:
        """The link is lost. The listener must close it."""


class Driver:
    """One socket's session and link.

    Args:
        loop: the running event loop.
        session: the session.
        listener: whom to tell.

    Attributes:
        pongs: those who wait for PONGs.
        progress: those who wait for the outbox to be sent.
        chunks: how many have come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, session: Session, listener: Listener) -> None:
        self.session = session
        self.listener = listener
        self.pongs = Pongs()
        self.progress = Progress()
        self.chunks = 0
        self._loop = loop
        self._link: Link | None = None
        self._heartbeat: Heartbeat | None = None
        self._is_scheduled = False  # _send is
        self._hurries = 0
        self._is_parsing = False
        self._is_paused = False  # reading is, because there is still something to parse
        self._is_done = True  # the chunk is parsed to its end
        self._will_parse = False  # _parse_next is scheduled
        self._early: deque[bytes] = deque()  # what came before the chunk was done with
        self._cause: Exception | None = None  # why the link is lost, once the chunk is done with

    @property
    def is_open(self) -> bool:
        """True while there is a link."""
        return self._link is not None

    def start(self, link: Link) -> None:
        """Speak and listen."""
        self._link = link
        link.start(self)

    def beat(self, interval: float, max_out: int) -> None:
        """Send PINGs from now on."""
        self._heartbeat = Heartbeat(self._loop, self.session, interval, max_out, self.schedule, self.lose)

    def schedule(self) -> None:
        """Send at the end of this turn of the event loop, or of what is being parsed."""
        if self._is_parsing:
            self.flush()  # a callback may wait for what comes of it in an event loop of its own
        elif not self._is_scheduled:
            self._loop.call_soon(self._send)
            self._is_scheduled = self.session.scheduled = True  # not before: in another thread call_soon may raise

    def hurry(self) -> None:
        """Send now, for who waits for the answer; where many do at once, at the end of the turn, together."""
        if self._is_paused:
            self.parse_soon()
        if self._hurries < HURRIES and not self._is_scheduled:
            self._hurries += 1
            self.flush()
        else:
            self.schedule()

    def flush(self) -> None:
        """Send now, as far as the server takes it."""
        if self._link is not None:
            self._link.flush()
        if self.progress.is_awaited and len(self.session.outbox) < LOW_WATER:
            self.progress.wake()

    def begun(self) -> int:
        """Return how many bytes of those that wait will be sent whatever becomes of the rest; see ``Link.begun``."""
        return 0 if self._link is None else self._link.begun()

    async def ponged(self, number: int) -> None:
        """Return when the PING of this number is answered."""
        self.schedule()
        self.parse_soon()
        await self.pongs.wait(number)

    def parse_soon(self) -> None:
        """Parse on in the next turn of the event loop, if that is possible now."""
        if self._is_paused and not self._will_parse and (len(self.session.outbox) < HIGH_WATER or self._cause is not None):
            self._loop.call_soon(self._parse_next)
            self._will_parse = True

    async def sent(self) -> None:
        """Return when everything is sent, or never will be."""
        self.flush()
        while self._link is not None and len(self.session.outbox):
            await self.progress.wait()

    def take_events(self) -> None:
        """Tell the listener what happened in the session."""
        while events := self.session.take_events():
            for happening in events:
                if type(happening) is Ponged:
                    self.pongs.reach(happening.number)
                else:
                    self.listener.driver_heard(happening)

    def lose(self, cause: Exception) -> None:
        """The link is lost: tell the listener, once what came before is parsed."""
        if self._link is None:
            return  # it was closed before that could be told
        if self._is_paused or self._is_parsing:
            self._cause = self._cause or cause
            self._loop.call_soon(self._parse_next)  # where it is not paused now, it may be then
        else:
            self.listener.driver_lost(cause)

    def end_waits(self, error: Callable[[], Exception]) -> None:
        """No PONG will come, and no room."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self.pongs.fail(error)
        self.progress.wake()

    def close(self) -> None:
        """Close the link. What is not sent is lost."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._link is not None:
            self._link.close()
            self._link = None
        self._early.clear()
        self.progress.wake()

    # What the link says

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.chunks += 1
        self._hurries = 0
        if self._is_parsing or self._is_paused:
            self._early.append(bytes(memoryview(chunk)[:size]))
            self._set_paused(True)
            return True
        return self._parse(self.session.receive, chunk, size)

    def link_progress(self) -> None:
        if len(self.session.outbox) < LOW_WATER:
            self.progress.wake()
            self._parse_next()

    def link_stuck(self) -> None:
        raise AssertionError("a client's link has no write deadline")

    def link_lost(self, error: OSError | None) -> None:
        self.lose(error or ConnectionClosedError("the server closed the connection"))

    # Private

    def _send(self) -> None:
        self._is_scheduled = False
        self.session.scheduled = self._is_parsing
        self.flush()

    def _parse(self, parse: Callable[..., bool], *arguments: Any) -> bool:
        """Parse what came until it is done with, the slice is over, or the outbox is too full. True where it is done with.

        What callbacks publish is sent at the end, so nothing need be scheduled for it.
        """
        session = self.session
        self._is_parsing = session.scheduled = True
        is_done = False
        try:
            try:
                is_done = not parse(*arguments) or self._parse_slice()
            finally:
                self._finish_slice()
        except RemoteProtocolError as error:
            self._cause = self._cause or error.with_traceback(None)  # which leads to us and to the chunk, and an event may hold it
            self._early.clear()  # nobody knows where an operation begins in it
            is_done = True
        except Exception as error:  # the driver's safety net: a bug of ours must not leave a connection that nobody reads
            log.exception("internal error, closing the connection")
            self._cause = self._cause or error
            self._early.clear()
            is_done = True
        except BaseException as error:  # an interrupt, not in a callback but in our own code: nobody knows how far it got
            self._loop.call_soon(self.lose, ConnectionClosedError(f"interrupted by {type(error).__name__}"))
            raise
        finally:
            self._is_parsing = False
            session.scheduled = self._is_scheduled
        if self._link is not None and (not is_done or self._is_paused or self._early or self._cause is not None):
            self._arrange_next(is_done)
        return is_done

    def _parse_slice(self) -> bool:
        """Parse more until nothing is left (True) or this is enough for now (False)."""
        session = self.session
        until = 0.0
        while True:
            if session.was_interrupted() or self._is_held():
                return False
            if len(session.outbox) >= HIGH_WATER:
                self.flush()
                if len(session.outbox) >= HIGH_WATER and self._cause is None:
                    return False  # once the link is lost nobody takes it any more, and it must not keep the rest from being parsed
            self.take_events()  # thousands of refusals take longer to handle than to parse
            now = self._loop.time()
            if not until:
                until = now + SLICE_SECONDS
            elif now > until:
                return False
            if not session.parse():
                return True

    def _finish_slice(self) -> None:
        """The rule of the module."""
        session = self.session
        self.take_events()
        if session.woken:
            woken, session.woken = session.woken, []
            for feed in woken:
                feed.woken = False
                feed.wake()  # type: ignore[attr-defined]
        if len(session.outbox):
            self.flush()

    def _arrange_next(self, is_done: bool) -> None:
        """Arrange for what comes next: the rest of the chunk, what came meanwhile, the end, or more from the link."""
        self._is_done = is_done
        if not is_done or self._early:
            self._set_paused(True)
            if not self._is_held():
                self.parse_soon()  # otherwise when the link gets on, or the feed lets go
        elif self._cause is not None:
            self.listener.driver_lost(self._cause)
        else:
            self._set_paused(self._is_held())

    def _is_held(self) -> bool:
        """True while a feed holds the connection, and nobody waits for the connection itself."""
        session = self.session
        if self._cause is not None or session.state != SessionState.OPEN or not session.interest.is_held():
            return False
        return not self.pongs.are_awaited() and not session.interest.requests

    def _set_paused(self, paused: bool) -> None:
        if paused != self._is_paused and self._link is not None:
            self._is_paused = paused
            if paused:
                self._link.pause_reading()
            else:
                self._link.resume_reading()

    def _parse_next(self) -> None:
        """Parse the next slice of a chunk that is not done with."""
        self._will_parse = False
        if not self._is_paused or self._is_parsing or self._link is None or self._is_held():
            return
        if not self._is_done:
            self._parse(self.session.parse)
        elif self._early:
            data = bytearray(self._early.popleft())
            self._parse(self.session.receive, data, len(data))
        else:
            self._arrange_next(True)


class Heartbeat:
    """Sends a PING every interval, until too many of its own are unanswered.

    The PINGs of ``flush`` are not counted: any number of them may be under way, which says nothing of the server.

    Args:
        send: sends what the session has to send.
        lose: is told, once, that the server is gone.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, session: Session, interval: float, max_out: int,
        send: Callable[[], None], lose: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self._session = session
        self._interval = interval
        self._max_out = max_out
        self._send = send
        self._lose = lose
        self._unanswered: deque[int] = deque()
        self._timer = loop.call_later(interval, self._beat)

    def stop(self) -> None:
        """Send no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        while self._unanswered and self._unanswered[0] <= self._session.pongs:
            self._unanswered.popleft()
        if self._session.interest.is_held():  # it is we who do not read, and who will read its PONGs behind all that waits
            self._unanswered.clear()
        if len(self._unanswered) >= self._max_out:
            self._lose(ConnectionClosedError(f"the server left {self._max_out} PINGs unanswered"))
            return
        self._unanswered.append(self._session.ping())
        self._timer = self._loop.call_later(self._interval, self._beat)
        self._send()


class Pongs:
    """Those who wait for PONGs, which answer PINGs in order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def wait(self, number: int) -> None:
        """Return when the PING of this number is answered. Numbers must not fall from call to call."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, waiter))
        await waiter

    def are_awaited(self) -> bool:
        """True if somebody still waits."""
        return any(not waiter.done() for _, waiter in self._waiting)

    def reach(self, number: int) -> None:
        """The PINGs up to this number are answered."""
        while self._waiting and self._waiting[0][0] <= number:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, error: Callable[[], Exception]) -> None:
        """No PONG will come: everybody gets an error of their own."""
        while self._waiting:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_exception(error())


class Progress:
    """Those who wait for something to get on; they look for themselves how far it got."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def is_awaited(self) -> bool:
        """True if somebody waits."""
        return bool(self._waiting)

    async def wait(self) -> None:
        """Return at the next ``wake``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            self._waiting.pop(waiter, None)

    def wake(self) -> None:
        """Something got on, or nothing ever will."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
