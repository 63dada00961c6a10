"""Client: the NATS client for asyncio. ``connect`` makes one:

    async with midge.connect("nats://127.0.0.1:4222") as nc:     drains when the block succeeds, closes when it raises
    nc = await midge.connect(...)                                the caller drains or closes

A client belongs to the event loop that it was made in; call it from that loop's thread only.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midge._version import VERSION
from midge.client.attempt import InProcessServer
from midge.client.connection import Connection
from midge.client.encoder import Payload
from midge.client.event_stream import EventStream
from midge.client.handshake import ServerInfo
from midge.client.home import Home
from midge.client.interest import DEFAULT_PENDING_BYTES, DEFAULT_PENDING_MSGS, OnFull
from midge.client.options import Options
from midge.client.pool import ServerPool
from midge.client.publisher import Publisher
from midge.client.replies import Replies, Stop, is_empty
from midge.client.servers import Address, parse_servers
from midge.client.states import State
from midge.client.subscription import Callback, Subscription
from midge.client.websocket import check_options
from midge.message import HeadersLike, Message
from midge.nuid import Nuid

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["Client", "Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What went through a client.

    Attributes:
        in_msgs, in_bytes: messages that came, answers to requests included, and their bytes of header and payload.
        out_msgs, out_bytes: the same of what was published.
        reconnects: how often the client was connected again.
        dropped: messages of all subscriptions that were dropped because a buffer was full; see also ``Subscription.dropped``.
        malformed: messages whose header block turned out not to be one when somebody looked at it; see ``Headers.is_malformed``.
    """

    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    reconnects: int
    dropped: int
    malformed: int


class Client(Publisher):
    """One connection to a NATS server. Made by ``connect``; ``publish`` is in Publisher, which is compiled."""

    def __init__(self, servers: str | Iterable[str] | InProcessServer, options: Options) -> None:
        shuffle = random.shuffle if options.randomize else None
        pool = ServerPool(_servers(servers, options), shuffle, options.max_reconnects, options.ignore_discovered)
        self._options = options
        self._nuid = Nuid()
        super().__init__(Connection(options, pool, self.new_inbox(), VERSION))
        self._connection.home = Home(self)

    # The connection

    async def _open(self) -> Client:
        await self._connection.open()
        return self

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self.drain()
        else:
            await self.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)  # None where the arguments were refused
        if connection is not None and connection.is_left_open():
            warnings.warn(f"unclosed client {self!r}: drain() or close() it, or use async with", ResourceWarning, 2, self)

    @property
    def is_connected(self) -> bool:
        """True while there is a link to a server."""
        return self._connection.driver is not None and self._connection.state is not State.CLOSED

    @property
    def is_reconnecting(self) -> bool:
        """True while there is no link to a server, and one is looked for."""
        return self._connection.state is not State.CONNECTING and self._connection.is_searching()

    @property
    def status(self) -> str:
        """What the client is: "connecting", "open", "reconnecting", "draining" or "closed"."""
        status: str = self._connection.state.value
        return status

    @property
    def is_draining(self) -> bool:
        """True between the call of ``drain`` and the end."""
        return self._connection.state is State.DRAINING

    @property
    def is_closed(self) -> bool:
        return self._connection.state is State.CLOSED

    @property
    def connected_url(self) -> str:
        """The server's URL, without credentials; "" while there is no link to one."""
        return self._connection.address

    @property
    def servers(self) -> tuple[str, ...]:
        """The URLs of the servers that may be connected to, without credentials."""
        return tuple(server.url for server in self._connection.pool.servers())

    @property
    def discovered_servers(self) -> tuple[str, ...]:
        """Those of them that other servers have told of."""
        return tuple(server.url for server in self._connection.pool.servers() if server.is_discovered)

    def set_servers(self, servers: str | Iterable[str] | InProcessServer) -> None:
        """Connect to these from now on, and to what they tell of; the link that there is stays.

        Raises:
            ValueError, TypeError: as ``connect``.
        """
        self._connection.home.check()
        self._connection.pool.replace(_servers(servers, self._options))

    def reconnect(self) -> Coroutine[Any, Any, None]:
        """Let go of the link to the server, connect again without any wait, and return when that has succeeded; to be awaited.

        Where no server answers it goes on as after any loss, until the wait is cancelled; the client then goes on by itself.

        Raises:
            ConnectionClosedError: the client is closed or draining, or no server lets it in any more.
        """
        return self._connection.reconnect()

    @property
    def server_info(self) -> ServerInfo:
        """What the server last said of itself."""
        info: ServerInfo = self._session.info
        return info

    @property
    def max_payload(self) -> int:
        """Bytes of header and payload that the server takes in one message."""
        return self.server_info.max_payload

    @property
    def stats(self) -> Stats:
        counters = self._connection.counters
        dropped, malformed = self._connection.interest.dropped(), counters.malformed
        messages = counters.in_msgs, counters.in_bytes, counters.out_msgs, counters.out_bytes
        return Stats(*messages, self._connection.reconnects, dropped, malformed)

    @property
    def last_error(self) -> Exception | None:
        """The last error that was reported because no caller could be given it; None where there was none."""
        return self._connection.reporter.last_error

    def events(self) -> EventStream:
        """Return what happens to the client from now on, for ``async for event in nc.events()``; see ``midge.events``.

        The loop ends after Closed, which is all there is where the client has closed already. Any number may listen. A loop that is
        slower than the events come loses the oldest beyond 1,024; ``dropped`` of what is returned counts them.

        Raises:
            ConnectionClosedError: the client was never connected.
            RuntimeError: called in another thread or event loop than the client's, or in a forked process.
        """
        home = self._connection.home
        home.check()
        return self._connection.reporter.listen(home.check)

    def __repr__(self) -> str:
        if getattr(self, "_connection", None) is None:  # its arguments were refused, and a traceback shows local variables
            return "<Client not connected>"
        name = "" if self._options.name is None else f"{self._options.name!r} "
        status = " closed" if self.is_closed else " reconnecting" if self.is_reconnecting else ""
        return f"<Client {name}{self.connected_url or 'not connected'}{status}>"

    async def flush(self, timeout: float | None = 10.0) -> None:
        """Return when the server has seen everything that was published and subscribed before. Between two links, wait for the next.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Raises:
            MidgeTimeoutError: the server does not answer in time. The connection stays as it is.
            DisconnectedError: the link was lost meanwhile; nobody knows what the server has seen.
            ConnectionClosedError: the connection is closed, or was given up meanwhile.
        """
        await self._connection.exchange.flush(timeout)

    async def rtt(self, timeout: float | None = 10.0) -> float:
        """Return the seconds of one round trip to the server. Raises what ``flush`` raises."""
        return await self._connection.exchange.flush(timeout)

    def drain(self) -> Coroutine[Any, Any, None]:
        """Close without losing anything; to be awaited.

        Unsubscribes, delivers what the server had sent by then, waits for the callbacks, for the loops over subscriptions and for
        the requests under way, sends what they published, and closes. While there is no server, it waits for one where something is to
        be sent or answered, and only then. Subscribing is refused meanwhile. A task that takes single
        messages with ``next`` is not waited for; what it has not taken stays in the buffer and can be read afterwards.

        May be called again, and from inside a callback or loop: that one is not waited for as long as it has the same message in
        its hands, so what is left for it is delivered after the connection has closed. Where a drain is under way that waits for
        the caller, the call returns at once.

        Raises:
            MidgeTimeoutError: it took longer than ``drain_timeout``; the connection is closed all the same.
            ConnectionClosedError: the connection was given up, so something may have been lost.
        """
        connection = self._connection
        return connection.farewell.drain(connection.consumers.asking(), _current_task())

    def close(self) -> Coroutine[Any, Any, None]:
        """Close; to be awaited.

        What was published is sent, as far as the server takes it within a moment; what it does not take is reported.

        Every wait ends with ConnectionClosedError, and loops over subscriptions end when their buffers are empty. Callbacks that run
        are cancelled, and none is called again. May be called again, and from inside a callback, which is not cancelled then.
        """
        return self._connection.farewell.close(_current_task())

    # Messages

    def subscribe(
        self,
        subject: str,
        *,
        queue: str | None = None,
        callback: Callback | None = None,
        pending_msgs: int = DEFAULT_PENDING_MSGS,
        pending_bytes: int = DEFAULT_PENDING_BYTES,
        on_full: OnFull = "drop_new",
        max_concurrency: int = 1,
    ) -> Subscription:
        """Subscribe. Sent with what is published around it; ``await nc.subscribe(...)`` also waits until the server has it.

        Args:
            subject: may hold wildcards.
            queue: the queue group: each message goes to one of its members.
            callback: a plain function, called with each message as it is parsed; or a coroutine function, awaited with one message
                after the other. Without one, iterate over the subscription or call its ``next``.
            pending_msgs, pending_bytes: how much may wait to be taken; -1 for no bound.
            on_full: what comes of a message that finds that much waiting. "drop_new" drops it, "drop_old" the oldest ones; both report a
                SlowConsumerError. "error" ends the subscription: SlowConsumerError is raised once what waits has been read. "block"
                keeps it, and reads nothing more from the server, for any subscription, until half of that much is taken; a server that
                is kept waiting too long closes the connection. It holds back no wait for the connection itself: while a ``flush``, a
                request, a confirmation or a drain is under way, reading goes on, and up to 500,000 messages or 64 MiB more may wait;
                what is beyond that is an "error". A wait for another subscription is no such wait.
            max_concurrency: how many messages a coroutine function may be working on at a time. With 1 it has done with a message before
                it gets the next; with more it still gets them in their order, but may be done with them in any.

        Raises:
            InvalidSubjectError: the subject or queue group is not valid.
            TypeError: the callback cannot be called, or is a generator function.
            ValueError: another argument makes no sense.
            ConnectionClosedError: the connection is closed or draining.
        """
        return Subscription(self._connection, subject, queue, callback, pending_msgs, pending_bytes, on_full, max_concurrency)

    def request(
        self, subject: str, data: Payload = b"", *, timeout: float | None = 5.0, headers: HeadersLike | None = None
    ) -> Coroutine[Any, Any, Message]:
        """Publish a request and return the first answer, when awaited.

        Args:
            timeout: seconds to wait; None waits for as long as the connection lasts. With 0, or less, the request is not sent.

        Raises:
            NoRespondersError: nobody is subscribed to the subject.
            PermissionsViolationError: the server does not let us subscribe to our inbox, so no answer can come.
            MidgeTimeoutError: no answer came in time.
            DisconnectedError: the link was lost meanwhile, with ``fail_requests``.
            ConnectionClosedError: the connection is closed, or was given up meanwhile.
        """
        return self._connection.exchange.request(subject, data, timeout, headers)

    def request_many(
        self,
        subject: str,
        data: Payload = b"",
        *,
        timeout: float | None = 5.0,
        stall: float | None = None,
        max_msgs: int | None = None,
        sentinel: Callable[[Message], bool] | None = is_empty,
        headers: HeadersLike | None = None,
    ) -> Replies:
        """Publish a request that many may answer, and iterate over the replies: ``async for reply in nc.request_many(...)``.

        The loop ends, without an error, at the first of what is given here; without any reply, too. As a block, ``async with
        nc.request_many(...) as replies``, nothing more is received after the block. They survive a reconnect, but for what was sent
        while the connection was lost.

        Args:
            timeout: seconds in all; None for as long as the connection lasts.
            stall: seconds to wait for another reply after each; the first may take as long as ``timeout``.
            max_msgs: how many replies are enough.
            sentinel: is called with each reply as it comes, and says whether it is the end; the loop does not give that one. By
                default, a reply without a payload is. None for no sentinel.

        Raises:
            TypeError, ValueError: an argument makes no sense.
            NoRespondersError: in the loop: nobody is subscribed to the subject.
            PermissionsViolationError: in the loop: the server does not let us subscribe to our inbox.
            SlowConsumerError: in the loop, behind what had come: 500,000 replies or 64 MiB waited for it.
            ConnectionClosedError: in the loop: the connection is closed, or was lost meanwhile.
        """
        return Replies(self._connection, subject, data, headers, timeout, Stop(stall, max_msgs, sentinel))

    def jetstream(
        self,
        *,
        domain: str | None = None,
        prefix: str | None = None,
        timeout: float | None = 5.0,
        max_pending: int = 4_000,
        retry_time: float = 15.0,
        retry_wait: float = 0.25,
    ) -> JetStream:
        """Return the way to the streams of this client's account.

        Args:
            domain: the JetStream domain they are in, where that is not the server's own.
            prefix: what the API's subjects begin with, such as "$JS.API"; for imports of another account's API. Not with ``domain``.
            timeout: seconds that an answer may take, where a call says nothing; None for as long as it takes.
            max_pending: how many publishes of ``publish_async`` may wait for their acknowledgements.
            retry_time: seconds that a publish is tried again which nobody takes, as where a leader is elected; 0 for not at all.
            retry_wait: seconds between two such attempts.

        Raises:
            TypeError, ValueError: an argument makes no sense.
        """
        from midge.jetstream.context import JetStream  # only where it is used

        return JetStream(
            self, domain=domain, prefix=prefix, timeout=timeout, max_pending=max_pending, retry_time=retry_time, retry_wait=retry_wait
        )

    def new_inbox(self) -> str:
        """Return a subject that nobody else uses, for answers."""
        return f"{self._options.inbox_prefix}.{self._nuid.next()}"


def _servers(servers: str | Iterable[str] | InProcessServer, options: Options) -> list[Any]:
    found = [servers] if isinstance(servers, InProcessServer) else list(parse_servers(servers))
    check_options(options, found)
    if options.tls is False and any(isinstance(server, Address) and server.wants_tls for server in found):
        raise ValueError("tls=False forbids what a URL asks for: tls:// and wss:// are TLS or nothing")
    return found


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return None
