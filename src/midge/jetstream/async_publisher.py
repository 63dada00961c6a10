"""Publishing without waiting for each acknowledgement: a window of publishes that wait for theirs, and what each caller holds.

    publish_async ──► session (a request) ──► PendingAck.receive ──► the window has room ──► whoever awaits the PendingAck, or room

Nothing is made for a publish but its PendingAck: no task, no timer, and no future before somebody waits. One timer per window, while
there is anything in it, gives up what was not acknowledged in time: it counts ticks, so no clock is read per message.

When the link to the server is lost, what was sent through it may have been stored or not: those acknowledgements fail with
DisconnectedError. What waits for the next link goes on waiting.

What nobody took is sent again, see ``retrying``; it stays in the window, and its time begins anew with each attempt.

One that failed and goes without that anybody asked is reported, together with all others of that turn: see ``unheard``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from midge.client.encoder import payload_of
from midge.client.room import READY
from midge.errors import MidgeTimeoutError
from midge.jetstream.errors import TooManyPendingError, UnheardAckError
from midge.jetstream.pub_ack import PubAck, is_unheard, read_ack
from midge.jetstream.requests import Requests
from midge.jetstream.retrying import Patience, Retrying
from midge.jetstream.unheard import Unheard

if TYPE_CHECKING:
    import cython

    from midge.client.connection import Connection
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.client.publisher import Publisher
    from cython.cimports.midge.message import Message
else:
    from midge.client.publisher import Publisher
    from midge.message import Message

__all__ = ["AsyncPublisher", "PendingAck"]

TICKS = 8  # parts of the time that an acknowledgement may take: it is given up at most one part late
SURPLUS = 1_000  # that are done and may be kept behind one that is not


class PendingAck:
    """An acknowledgement on its way. Await it, as often as wanted: ``ack = await pending``.

    Raises:
        JetStreamError: when awaited: the stream refused the message.
        NoStreamError: when awaited: no stream takes it.
        JetStreamUnavailableError: when awaited: its stream has no leader, and got none for ``retry_time`` seconds.
        DisconnectedError, ConnectionClosedError: when awaited: the link was lost, so nobody knows.
        MidgeTimeoutError: when awaited: none came in time.
    """

    __slots__ = (
        "_answer",
        "_data",
        "_error",
        "_future",
        "_headers",
        "_publisher",
        "_unheard",
        "is_done",
        "subject",
        "tick",
        "token",
        "tries",
    )

    def __init__(self, publisher: AsyncPublisher, subject: str, data: Any, headers: Any, tick: int) -> None:
        self._publisher = publisher
        self.subject = subject
        self._data = data
        self._headers = headers
        self._answer: Message | None = None
        self._error: Exception | None = None
        self._future: asyncio.Future[None] | None = None
        self._unheard: Unheard | None = None  # only where it has failed
        self.is_done = False
        self.tick = tick
        self.token = ""
        self.tries = 0  # after the first

    @property
    def future(self) -> asyncio.Future[None]:
        """Done when the acknowledgement is there, or will not come."""
        if self._future is None:
            self._future = self._publisher.loop.create_future()
            if self.is_done:
                self._future.set_result(None)
        return self._future

    @property
    def is_lost_with_link(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, PubAck]:
        if not self.is_done:
            yield from asyncio.shield(self.future).__await__()
        return self.result()

    def result(self) -> PubAck:
        """Return the acknowledgement, where ``is_done``.

        Raises:
            asyncio.InvalidStateError: it has not come yet; else as awaiting it.
        """
        if not self.is_done:
            raise asyncio.InvalidStateError("the acknowledgement has not come yet")
        if self._unheard is not None:
            self._unheard.hear()
            self._unheard = None
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return read_ack(self.subject, self._answer)

    def exception(self) -> Exception | None:
        """Return why none will come, None where one has."""
        try:
            self.result()
        except asyncio.InvalidStateError:
            raise
        except Exception as error:
            return error
        return None

    # For the connection

    def receive(self, message: Message) -> bool:
        """The answer came. False: no more is wanted."""
        if self.is_done:
            return False
        if is_unheard(message) and self._publisher.retrying.add(self):
            return False
        self._answer = message
        data = message._data
        if len(data) < 3 or data[2] != 115:  # {"s, of "stream": what begins otherwise may be an error
            self._look()
        self._finish()
        return False

    def fail(self, error: Exception) -> None:
        """None will come."""
        if not self.is_done:
            self._error = error
            self._unheard = Unheard(self._publisher, error)
            self._publisher.forget(self.token)
            self._finish()

    def expire(self) -> None:
        """None came in time."""
        self.fail(MidgeTimeoutError(f"the acknowledgement of a publish on {self.subject!r}", self._publisher.timeout))

    def send(self) -> None:
        """Publish, for the first time or again. Raises what ``publish`` raises."""
        self.token = self._publisher.ask(self.subject, self._data, self._headers, self)

    def _look(self) -> None:
        """What came does not look like an acknowledgement."""
        assert self._answer is not None
        try:
            read_ack(self.subject, self._answer)
        except Exception as error:  # whatever it is, who awaits this is told, or nobody has asked
            self._unheard = Unheard(self._publisher, error.with_traceback(None))  # which would keep this

    def _finish(self) -> None:
        self.is_done = True
        self._data = self._headers = None
        if self.tries:
            self._publisher.retrying.tried -= 1
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
        self._publisher.note_done()


class AsyncPublisher:
    """The window of one JetStream context.

    Args:
        connection: the client's.
        max_pending: how many publishes may wait for their acknowledgements.
        timeout: seconds that an acknowledgement may take, and that a publish may wait for room; None for as long as it takes. While some
            are sent again that nobody took, others wait for room all the same.
        requests: who is asked whether there is a stream for what nobody took.
        patience: for how long that is sent again.

    Attributes:
        pending: how many wait.
        retrying: where those are that nobody took.
    """

    __slots__ = (
        "_connection", "_idle", "_order", "_patience", "_requests", "_retrying", "_rooms", "_sender", "_tick", "_timer", "_unheard",
        "max_pending", "pending", "timeout",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, max_pending: int, timeout: float | None, requests: Requests, patience: Patience
    ) -> None:  # fmt: skip
        self._connection = connection
        self._sender: Publisher = connection.home.publisher
        self._requests = requests
        self._patience = patience
        self._retrying: Retrying | None = None  # before one is needed: it keeps this
        self.max_pending = max_pending
        self.timeout = timeout
        self.pending = 0
        self._order: deque[PendingAck] = deque()  # the oldest first; those that are done leave when they are the first, or many
        self._rooms: deque[asyncio.Future[None]] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._unheard: list[Exception] = []  # not more than were in the window
        self._tick = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        loop = self._connection.loop
        assert loop is not None
        return loop

    @property
    def retrying(self) -> Retrying:
        if self._retrying is None:
            self._retrying = Retrying(self, self._requests, self._patience)
        return self._retrying

    @property
    def is_full(self) -> bool:
        """True if the connection has no room for more, for the moment."""
        return self._connection.is_full()

    async def publish(self, subject: str, data: Any, headers: Any) -> PendingAck:
        """Publish, once there is room in the window and in the client's buffer; the headers are nobody else's."""
        if type(data) is not bytes:
            data = payload_of(data)  # it may have to be sent again, when the application has something else in its buffer
        if self.pending >= self.max_pending:
            await self._wait_for_room()
        ack = PendingAck(self, subject, data, headers, self._tick)
        ack.send()
        self.pending += 1
        if self.timeout is not None:
            order = self._order
            order.append(ack)
            while order and order[0].is_done:
                order.popleft()
            if len(order) > 2 * self.pending + SURPLUS:
                self._order = deque([each for each in order if not each.is_done])
            if self._timer is None:
                self._set_timer()
        room = self._sender.room()
        if room is not READY:
            await room
        return ack

    async def done(self, timeout: float | None) -> None:
        """Return when no acknowledgement is on its way.

        Raises:
            MidgeTimeoutError: some still are, after so many seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while self.pending:
                    waiter = self.loop.create_future()
                    self._idle.append(waiter)
                    try:
                        await waiter
                    finally:
                        if waiter in self._idle:
                            self._idle.remove(waiter)
        except TimeoutError:
            raise MidgeTimeoutError(f"{self.pending} acknowledgements", timeout) from None

    # For the acknowledgements

    def ask(self, subject: str, data: Any, headers: Any, ack: PendingAck) -> str:
        """Publish something that an acknowledgement answers; return its token."""
        return self._sender.ask(subject, data, headers, ack)

    def forget(self, token: str) -> None:
        """Nobody waits for the answer to this one any more."""
        self._connection.interest.requests.pop(token, None)

    def renew(self, acks: list[PendingAck]) -> None:
        """The time of these begins anew."""
        again = set(acks)
        for ack in acks:
            ack.tick = self._tick
        if self.timeout is not None:
            self._order = deque([each for each in self._order if not each.is_done and each not in again] + acks)

    def send_again(self, ack: PendingAck) -> None:
        """Publish once more what nobody took."""
        try:
            ack.send()
            self._sender.room()
        except Exception as error:
            ack.fail(error)

    def note_done(self) -> None:
        """There is room for another one."""
        self.pending -= 1
        if self._rooms:
            self._let_in()
        if not self.pending and self._idle:
            idle, self._idle = self._idle, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)

    def note_unheard(self, error: Exception) -> None:
        """Nobody has asked why there was none. Called in whichever thread the garbage collector runs."""
        loop = self._connection.loop
        self._unheard.append(error)
        if len(self._unheard) == 1 and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._report_unheard)

    # Inside

    def _report_unheard(self) -> None:
        errors, self._unheard = self._unheard, []
        if errors:
            self._connection.report(UnheardAckError(len(errors), errors[0]))

    async def _wait_for_room(self) -> None:
        deadline = None if self.timeout is None else self.loop.time() + self.timeout
        while self.pending >= self.max_pending:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._rooms.append(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                assert self.timeout is not None
                if self._retrying is None or not self._retrying.is_busy:
                    raise TooManyPendingError(self.max_pending, self.timeout) from None
                deadline = self.loop.time() + self.timeout  # a leader is elected, which has an end of its own
            finally:
                if waiter in self._rooms:
                    self._rooms.remove(waiter)
                else:
                    self._let_in()  # who was let in may have been cancelled, and there may be room for more than one

    def _let_in(self) -> None:
        """Let one publish go on that waits for room, where there is some."""
        while self._rooms and self.pending < self.max_pending:
            waiter = self._rooms.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        assert self.timeout is not None
        self._timer = self.loop.call_later(self.timeout / TICKS, self._on_timer)

    def _on_timer(self) -> None:
        """Give up what is older than it may be."""
        self._timer = None
        self._tick += 1
        order = self._order
        while order and (order[0].is_done or order[0].tick + TICKS < self._tick):
            ack = order.popleft()
            if not ack.is_done:
                ack.expire()
        if order:
            self._set_timer()
