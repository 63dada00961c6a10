"""Pull: what one Consumer handle has asked for and what has come of it. The message path of consuming.

    ask ──► CONSUMER.MSG.NEXT ──► server ──► receive (inside the read) ──► held ──► take: fetch, next or consume

One subscription serves all requests of a handle, so whatever comes, however late, is held and is what the next call gets first. A
message does not say which request it answers: they are counted together, and only a status, the end of one, names it.

Who waits is woken once, when enough is held or the request has ended. A cancelled wait loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from midge.client.consumers import Consumer
from midge.client.subscription import Subscription
from midge.errors import ConnectionClosedError, MidgeError
from midge.jetstream.heard import HeardSubscription
from midge.jetstream.statuses import DIGITS, Kind, Status, read_status

if TYPE_CHECKING:
    import cython

    from midge.client.client import Client
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.jetstream.message import StreamMessage, stream_message
    from cython.cimports.midge.message import Message
else:
    from midge.jetstream.message import StreamMessage, stream_message
    from midge.message import Message

__all__ = ["Pull", "Watcher"]

PIN = "Nats-Pin-Id"
LONGEST = 1e9  # seconds that a request lasts: the server's nanoseconds have 64 bits


class Watcher:
    """One who waits for messages of a handle.

    Attributes:
        token: of the request that it waits for, "" for none.
        wanted: how many messages have to be held before it is woken.
        heartbeat: seconds within which the server says that it is there; None where it does not.
        asked: how many messages its request is for.
        received: how many had come to the handle before that.
        status: how its request has ended, None as long as it has not.
        is_lost: the link was lost, and the request with it.
        future: done when it has reason to look; None while it does not wait.
    """

    __slots__ = ("asked", "future", "heartbeat", "is_lost", "received", "status", "token", "wanted")

    def __init__(self, token: str, wanted: int, heartbeat: float | None = None, received: int = 0) -> None:
        self.token = token
        self.wanted = self.asked = wanted
        self.heartbeat = heartbeat
        self.received = received
        self.status: Status | None = None
        self.is_lost = False
        self.future: asyncio.Future[None] | None = None

    def has_reason(self, held: int) -> bool:
        """True if there is something to look at, where so many messages are held."""
        return held >= self.wanted or self.status is not None or self.is_lost

    def owed(self, received: int) -> int:
        """Return how many messages the server has sent for the request, which has ended, that have not come, where so many have.

        The end overtakes them where a consumer is replicated: they wait until the other servers know of them.
        """
        if self.status is None or self.status.msgs is None:
            return 0
        return self.asked - self.status.msgs - (received - self.received)

    def wake(self) -> None:
        """Let it look."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Pull:
    """The requests and messages of one handle.

    Args:
        client: whose.
        subject: where requests go.

    Attributes:
        subject: where requests go.
        held: the messages that wait to be taken.
        held_bytes: their bytes as the server counts them, where ``counts_bytes``.
        received: how many messages came in all.
        outstanding, outstanding_bytes: what the requests under way may still bring; bytes are 0 where nobody counts them.
        has_heard: something came since this was last set to False.
        is_grouped: the requests are of a priority group whose client may be pinned: messages say who is.
        pin: the id that says that this client is pinned, "" where it does not.
        on_status: called with each status that ends a request.
        on_link: called when there is a link again: what was asked for before is lost.
    """

    __slots__ = (
        "__weakref__", "_client", "_counter", "_end_error", "_first", "_inbox", "_subscription", "_watchers", "counts_bytes", "has_heard",
        "held", "held_bytes", "is_grouped", "on_link", "on_status", "outstanding", "outstanding_bytes", "pin", "received", "subject",
    )  # fmt: skip

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self.subject = subject
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._counter = 0
        self._first = 1  # the first request that is not given up
        self._watchers: list[Watcher] = []
        self._end_error: Callable[[], MidgeError] | None = None
        self.held: deque[StreamMessage] = deque()
        self.outstanding = self.outstanding_bytes = self.held_bytes = self.received = 0
        self.counts_bytes = self.has_heard = self.is_grouped = False
        self.pin = ""
        self.on_status: Callable[[Status], None] | None = None
        self.on_link: Callable[[], None] | None = None

    def ask(self, batch: int, expires: float, **more: Any) -> str:
        """Ask for messages, and return the request's token.

        Args:
            expires: seconds that the request lasts; 0 for no time at all.
            more: other fields of the request; what is None is left out.

        Raises:
            ConnectionClosedError: the connection is closed.
            RuntimeError: called in another thread or event loop than the client's.
        """
        self.begin()
        body: dict[str, Any] = {"batch": batch} | {name: value for name, value in more.items() if value is not None}
        if expires > 0:
            body["expires"] = round(min(expires, LONGEST) * 1e9)
        if self.pin:
            body["id"] = self.pin
        self._counter += 1
        token = str(self._counter)
        self._client.publish(self.subject, msgspec.json.encode(body), reply=f"{self._inbox}.{token}")
        self.outstanding += batch
        self.outstanding_bytes += body.get("max_bytes", 0)
        return token

    def begin(self) -> None:
        """Be there for what comes, and for the next link. Raises what ``ask`` raises."""
        self._client._connection.home.check()
        if self._subscription is None or self._subscription.is_closed:
            self._subscribe()

    def give_up(self) -> None:
        """Count nothing of what was asked for by now any more; what comes of it is held all the same."""
        self.outstanding = self.outstanding_bytes = 0
        self._first = self._counter + 1

    def use(self, subscription: Subscription) -> None:
        """Hear what comes by this subscription, until ``close``."""
        self._end_error = None
        self._subscription = subscription
        self._client._connection.followers.add(self.relink)

    def take(self) -> StreamMessage:
        """Return the oldest message that is held."""
        message: StreamMessage = self.held.popleft()
        if self.counts_bytes:
            self.held_bytes -= _size(message)
        return message

    def seat(self, kind: type[Consumer]) -> Consumer | None:
        """Return who takes messages, or will: one for whom a drain of the client waits, once its task is set, until it has finished.

        None where nothing more will come.
        """
        return None if self._subscription is None else kind(self._subscription, self._client._connection.consumers)

    def put_back(self, messages: list[StreamMessage]) -> None:
        """Hold messages that were taken again, before all others."""
        self.held.extendleft(reversed(messages))
        if self.counts_bytes:
            self.held_bytes += sum(map(_size, messages))

    def forget(self) -> None:
        """Hold nothing any more."""
        self.held.clear()
        self.held_bytes = 0

    async def wait(self, watcher: Watcher, deadline: float | None) -> None:
        """Return when enough is held, the watcher's request has ended, or the deadline of the loop's clock has come.

        Raises:
            MidgeError: nothing more can come, and nothing is held.
        """
        if watcher.has_reason(len(self.held)):
            return
        if self._end_error is not None:
            if self.held:
                return
            raise self._end_error()
        loop = asyncio.get_running_loop()
        watcher.future = loop.create_future()
        self._watchers.append(watcher)
        timer = None if deadline is None else loop.call_at(deadline, watcher.wake)
        try:
            await watcher.future
        finally:
            watcher.future = None
            self._watchers.remove(watcher)
            if timer is not None:
                timer.cancel()
        if self._end_error is not None and not self.held:
            raise self._end_error()

    @property
    def is_connected(self) -> bool:
        """True while there is a link to a server."""
        return self._client.is_connected

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The client's event loop."""
        loop: asyncio.AbstractEventLoop | None = self._client._connection.loop
        return loop

    @property
    def is_closed(self) -> bool:
        """True if nothing more will come."""
        return self._end_error is not None

    async def drain(self) -> None:
        """Ask for nothing more, and return when what the server had sent by then is held."""
        subscription = self._subscription
        if subscription is not None and not subscription.is_closed:
            try:
                await self._client._connection.farewell.stop_subscription(subscription)
            except ConnectionClosedError:
                pass  # so nothing more comes
        self.close()

    def close(self) -> None:
        """Ask for nothing more; what is held can still be taken. Called from any thread where the handle is forgotten."""
        subscription, self._subscription = self._subscription, None
        connection = self._client._connection
        connection.followers.discard(self.relink)
        if subscription is not None and not subscription.is_closed and not connection.is_closed():
            subscription.unsubscribe()

    # What happens

    def receive(self, message: Message) -> None:
        """A message came, or a status. Called inside the read."""
        self.has_heard = True
        if not message._reply:
            self._hear(read_status(message), message._subject)
            return
        self.held.append(stream_message(message))
        self.received += 1
        if self.outstanding > 0:
            self.outstanding -= 1
        if self.counts_bytes:
            size = _size(message)
            self.held_bytes += size
            self.outstanding_bytes = max(self.outstanding_bytes - size, 0)
        if self.is_grouped:
            pins = message.headers.get_all(PIN)  # the server's is the last: a publisher may have given one, too
            if pins and pins[-1].isascii():
                self.pin = pins[-1]
        if self._watchers:
            self._wake()

    def relink(self) -> None:
        """There is a link again: requests of the one before are lost."""
        self.give_up()
        self.wake_all()
        if self.on_link is not None:
            self.on_link()

    def end(self, error: Callable[[], MidgeError]) -> None:
        """The subscription has ended, and so does every wait."""
        self._end_error = error
        self.wake_all()

    def wake_all(self) -> None:
        """Let all who wait look for themselves."""
        for watcher in self._watchers:
            watcher.is_lost = True
            watcher.wake()

    # Inside

    def _subscribe(self) -> None:
        self._inbox = self._client.new_inbox()
        self.give_up()
        self.use(HeardSubscription(self._client, self._inbox + ".*", self))

    def _hear(self, status: Status, subject: str) -> None:
        if status.kind is Kind.HEARTBEAT:
            return
        token = subject[len(self._inbox) + 1 :]
        if len(token) <= DIGITS and token.isdecimal() and int(token) >= self._first:
            if status.msgs is None:  # such as of a leader that is none any more: all that was asked of it is over
                self.give_up()
            else:
                self.outstanding = max(self.outstanding - status.msgs, 0)
                self.outstanding_bytes = max(self.outstanding_bytes - (status.bytes or 0), 0)
        if status.kind is Kind.PIN or status.kind is Kind.UNPINNED:
            self.pin = ""
            self.is_grouped = status.kind is Kind.PIN and self.is_grouped
        for watcher in self._watchers:
            if watcher.token == token:
                watcher.status = status
                watcher.wake()
        if self.on_status is not None:
            self.on_status(status)

    def _wake(self) -> None:
        held = len(self.held)
        for watcher in self._watchers:
            if held >= watcher.wanted:
                watcher.wake()


def _size(message: Message) -> int:
    """Return a message's bytes as the server counts them against ``max_bytes``."""
    return message.size + len(message.subject) + len(message.reply)
