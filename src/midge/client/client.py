"""Client: the NATS client for asyncio, and ``connect``, which makes one.

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
from typing import Any, Literal

from midge._version import VERSION
from midge.client.attempt import InProcessServer
from midge.client.connection import Connection
from midge.client.encoder import Payload
from midge.client.event_stream import EventStream
from midge.client.handshake import ServerInfo
from midge.client.home import Home
from midge.client.interest import DEFAULT_PENDING_BYTES, DEFAULT_PENDING_MSGS, OnFull
from midge.client.options import ChooseServer, ErrorCallback, EventCallback, Options, ReconnectDelay
from midge.client.pool import ServerPool
from midge.client.publisher import Publisher
from midge.client.replies import Replies, Stop, is_empty
from midge.client.room import Beginning
from midge.client.secrets import FileSource, SignCallback, TextSource, UserSource
from midge.client.servers import parse_servers
from midge.client.states import State
from midge.client.subscription import Callback, Subscription
from midge.client.websocket import check_options
from midge.client.ws_options import HeadersSource
from midge.message import HeadersLike, Message
from midge.nuid import Nuid

__all__ = ["Client", "Connecting", "Stats", "connect"]


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
        self._connection.home.check()
        return self._connection.reporter.listen()

    def __repr__(self) -> str:
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
        the requests under way, sends what they published, and closes. Subscribing is refused meanwhile. A task that takes single
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
            timeout: seconds to wait; None waits for as long as the connection lasts.

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

    def new_inbox(self) -> str:
        """Return a subject that nobody else uses, for answers."""
        return f"{self._options.inbox_prefix}.{self._nuid.next()}"


class Connecting(Beginning):
    """What ``connect`` returns: await it for a Client, or enter it as a context that drains at its end."""

    __slots__ = ("_client", "_was_awaited")

    def __init__(self, client: Client) -> None:
        self._was_awaited = False
        super().__init__()
        self._client = client

    async def __aenter__(self) -> Client:
        return await self.begin()

    async def __aexit__(self, *exception: object) -> None:
        await self._client.__aexit__(*exception)

    def begin(self) -> Coroutine[Any, Any, Client]:
        """Return the coroutine that connects."""
        self._was_awaited = True
        return self._client._open()

    def __del__(self) -> None:
        if not self._was_awaited:
            warnings.warn("connect() was never awaited: nothing was connected", RuntimeWarning, 2, self)


def connect(
    servers: str | Iterable[str] | InProcessServer = "nats://127.0.0.1:4222",
    *,
    name: str | None = None,
    user: UserSource | None = None,
    password: TextSource | None = None,
    token: TextSource | None = None,
    nkey_seed: FileSource | None = None,
    nkey: TextSource | None = None,
    creds: FileSource | None = None,
    jwt: TextSource | None = None,
    sign: SignCallback | None = None,
    tls: Any = None,
    timeout: float | None = 5.0,
    ping_interval: float = 120.0,
    max_pings_out: int = 2,
    echo: bool = True,
    verbose: bool = False,
    pedantic: bool = False,
    inbox_prefix: str = "_INBOX",
    error_callback: ErrorCallback | None = None,
    ws_headers: HeadersSource | None = None,
    ws_compression: bool = False,
    ws_proxy_path: str | None = None,
    event_callback: EventCallback | None = None,
    drain_timeout: float | None = 30.0,
    outbound_limit: int = 64 << 20,
    randomize: bool = True,
    max_reconnects: int | None = None,
    reconnect_wait: float = 0.1,
    reconnect_max_wait: float = 4.0,
    reconnect_delay: ReconnectDelay | None = None,
    choose_server: ChooseServer | None = None,
    retry_on_failed_connect: bool = False,
    reconnect_buffer: int = 8 << 20,
    reconnect_buffer_full: Literal["raise", "block", "drop_old"] = "raise",
    fail_requests: bool = False,
    ignore_discovered: bool = False,
    migrate: bool = False,
) -> Connecting:
    """Connect to a server: ``nc = await connect(...)``, or ``async with connect(...) as nc``.

    Args:
        servers: a URL, several separated by commas or in a list, or a ``Server`` of this process, which is reached without a socket.
            A URL may hold credentials: ``nats://user:password@host:4222``, ``nats://token@host``. ``ws://host:port/path`` and ``wss://``
            are WebSockets; either all servers are or none is.
        name: the client's name, for the server's monitoring.
        user, password, token: credentials; those in a URL win. Each may be a callback: a plain function, which must not block, or a
            coroutine function, called at every attempt to connect. One for the user may return (user, password).
        nkey_seed: a user's nkey seed, or the path of a file that holds one, or a callback that returns either.
        nkey: a user's public nkey, or a callback, where ``sign`` signs.
        creds: the path of a creds file, read again at every attempt; or its content, or a callback that returns either.
        jwt: a user's JWT, or a callback; ``sign`` or ``nkey_seed`` signs, unless it is a bearer's, which nobody signs for.
        sign: a callback that gets the server's nonce, bytes, and returns an Ed25519 signature's 64 bytes.
        tls: True, or a ``TLSConfig`` with certificates, names and rules, or an ``ssl.SSLContext``, or a function (plain or async) that
            makes one for each attempt: TLS or nothing. Without it TLS is used where the server or its URL (``tls://``) asks for it;
            False forbids it.
        timeout: seconds for connecting to one server, TLS and handshake included.
        ping_interval: seconds between two PINGs to the server.
        max_pings_out: unanswered PINGs before the connection counts as lost.
        echo: False keeps the server from sending us what we published.
        verbose, pedantic: ask the server for +OK after, and for strict checks of, everything.
        inbox_prefix: what reply subjects begin with.
        error_callback: is told what has no caller: refused publishes, callbacks that raised, dropped messages, a lost
            connection. A plain function or a coroutine function, called with one error after the other; it may use the client.
            Errors are logged in any case.
        ws_headers: more headers for the request that opens a WebSocket: a mapping of names to values, pairs, or a function (plain or
            async) that gives either, called at every attempt.
        ws_compression: offer the server to deflate what goes over a WebSocket, both ways.
        ws_proxy_path: the path of every such request, in place of the URLs' own: a proxy's, for instance.
        event_callback: is told what happens to the client, each a ``midge.events.Event``: a plain function or a coroutine function,
            called with one event after the other; it may use the client. See also ``Client.events``.
        drain_timeout: seconds that ``drain`` may take.
        outbound_limit: bytes that may wait to be sent before publishing without awaiting fails.
        randomize: try the servers in an order that is drawn once; False keeps the order given.
        max_reconnects: attempts that may fail, one after the other, before a server is given up; without any left the connection ends.
            None never gives up; with 0 a lost connection ends at once.
        reconnect_wait, reconnect_max_wait: after all servers were tried in vain, the client waits for a random time: at first up to
            ``reconnect_wait`` seconds, later, in steps, up to ``reconnect_max_wait``. The first pass follows the loss at once.
        reconnect_delay: a function that says how many seconds to wait instead, given how many passes there were.
        choose_server: a function that says which server to try next, and after how many seconds, as a tuple; given their URLs and
            what the last server said of itself, or None. The URL may be None: then the choice is ours. Both functions may be coroutine
            functions; what they raise is reported, and things go on as without them.
        retry_on_failed_connect: where no server is there, ``connect`` succeeds all the same, and the client goes on trying.
        reconnect_buffer: bytes of publishes that may wait while the client is not connected; with 0, publishing raises meanwhile.
        reconnect_buffer_full: what becomes of more than that: it is refused with ReconnectBufferFullError ("raise"), awaiting it waits
            ("block"), or the oldest go and are reported ("drop_old").
        fail_requests: requests under way fail with DisconnectedError when the link is lost; else they go on waiting for their answer.
        ignore_discovered: do not use servers that other servers tell of.
        migrate: when the server says that it is about to shut down, connect to another before this link is closed.

    Raises:
        ValueError: an argument makes no sense.
        TypeError: an argument is of the wrong type.
        MissingExtraError: a server is a WebSocket and the package for those is not installed.
        ConnectError: when awaited: no server could be reached, or none let us in. It may be awaited again then.
        RuntimeError: when awaited after it has succeeded.
    """
    options = Options(
        name=name,
        user=user,
        password=password,
        token=token,
        tls=tls,
        nkey_seed=nkey_seed,
        nkey=nkey,
        creds=creds,
        jwt=jwt,
        sign=sign,
        timeout=timeout,
        ping_interval=ping_interval,
        max_pings_out=max_pings_out,
        echo=echo,
        verbose=verbose,
        pedantic=pedantic,
        inbox_prefix=inbox_prefix,
        error_callback=error_callback,
        ws_headers=ws_headers,
        ws_compression=ws_compression,
        ws_proxy_path=ws_proxy_path,
        event_callback=event_callback,
        drain_timeout=drain_timeout,
        outbound_limit=outbound_limit,
        randomize=randomize,
        max_reconnects=max_reconnects,
        reconnect_wait=reconnect_wait,
        reconnect_max_wait=reconnect_max_wait,
        reconnect_delay=reconnect_delay,
        choose_server=choose_server,
        retry_on_failed_connect=retry_on_failed_connect,
        reconnect_buffer=reconnect_buffer,
        reconnect_buffer_full=reconnect_buffer_full,
        fail_requests=fail_requests,
        ignore_discovered=ignore_discovered,
        migrate=migrate,
    )
    return Connecting(Client(servers, options))


def _servers(servers: str | Iterable[str] | InProcessServer, options: Options) -> list[Any]:
    found = [servers] if isinstance(servers, InProcessServer) else list(parse_servers(servers))
    check_options(options, found)
    return found


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return None
