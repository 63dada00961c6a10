"""``connect``: what it takes, and what it returns, which is awaited for a Client or entered as a context that drains at its end."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Iterable
from typing import Any, Literal

from midge.client.attempt import InProcessServer
from midge.client.client import Client
from midge.client.options import ChooseServer, ErrorCallback, EventCallback, Options, ReconnectDelay
from midge.client.room import Beginning
from midge.client.secrets import FileSource, SignCallback, TextSource, UserSource
from midge.client.ws_options import HeadersSource

__all__ = ["Connecting", "connect"]


class Connecting(Beginning[Client]):
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
        name=name, user=user, password=password, token=token, nkey_seed=nkey_seed, nkey=nkey, creds=creds, jwt=jwt, sign=sign, tls=tls,
        timeout=timeout, ping_interval=ping_interval, max_pings_out=max_pings_out, echo=echo, verbose=verbose, pedantic=pedantic,
        inbox_prefix=inbox_prefix, error_callback=error_callback, event_callback=event_callback, ws_headers=ws_headers,
        ws_compression=ws_compression, ws_proxy_path=ws_proxy_path, drain_timeout=drain_timeout, outbound_limit=outbound_limit,
        randomize=randomize, max_reconnects=max_reconnects, reconnect_wait=reconnect_wait, reconnect_max_wait=reconnect_max_wait,
        reconnect_delay=reconnect_delay, choose_server=choose_server, retry_on_failed_connect=retry_on_failed_connect,
        reconnect_buffer=reconnect_buffer, reconnect_buffer_full=reconnect_buffer_full, fail_requests=fail_requests,
        ignore_discovered=ignore_discovered, migrate=migrate,
    )  # fmt: skip
    return Connecting(Client(servers, options))
