"""What a client can be told: one frozen value, checked when it is made. Secrets do not show in its repr."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from midge.client.secrets import (
    CREDENTIALS,
    FileSource,
    SignCallback,
    TextSource,
    UserSource,
    check_file_source,
    check_text,
    check_text_source,
    check_together,
)
from midge.client.tls_config import read_tls
from midge.client.ws_options import HeadersSource, check_path, check_source
from midge.events import Event
from midge.nkeys import Prefix, check_public
from midge.subject import check_publish

__all__ = ["ChooseServer", "ErrorCallback", "EventCallback", "Options", "ReconnectDelay", "check_timeout"]

ErrorCallback = Callable[[Exception], Awaitable[Any] | None]
EventCallback = Callable[[Event], Awaitable[Any] | None]
ReconnectDelay = Callable[[int], float | Awaitable[float]]
ChooseServer = Callable[[list[str], Any], tuple[str | None, float] | Awaitable[tuple[str | None, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one client.

    Attributes:
        name: the client's name, for the server's monitoring.
        user, password, token: credentials; those in a server's URL win. Each is a text, or a callback that gives one, a plain
            function or a coroutine function, called at every attempt; a callback for the user may give (user, password).
        nkey_seed: a user's nkey seed, or the path of a file with one, or a callback that gives either.
        nkey: a user's public nkey, or a callback that gives it; ``sign`` signs for it.
        creds: the path of a creds file, which is read at every attempt; or its content, or a callback that gives either.
        jwt: a user's JWT, or a callback that gives it; ``sign`` or ``nkey_seed`` sign for it, unless it is a bearer's.
        sign: called with the server's nonce at every attempt, returns the signature's 64 bytes; plain or a coroutine function.
        tls: whether and how to use TLS; see ``tls_config``. None: where the server or its URL asks for it.
        timeout: seconds for connecting to one server: TCP, INFO, TLS, CONNECT and PONG together (ADR-40).
        ping_interval: seconds between two PINGs to the server.
        max_pings_out: unanswered PINGs before the connection counts as lost.
        echo: False keeps the server from sending us what we published.
        verbose, pedantic: ask the server for +OK after, and for strict checks of, everything.
        inbox_prefix: what reply subjects begin with.
        ws_headers: more headers for the request that opens a WebSocket: a mapping of names to values, pairs, or a callback that gives
            either, a plain function or a coroutine function, called at every attempt.
        ws_compression: offer the server to deflate what is sent on a WebSocket, both ways.
        ws_proxy_path: the path of every such request, in place of those in URLs; servers that others told of have none.
        error_callback: is told what has no caller; a plain function or a coroutine function. Errors are logged in any case.
        event_callback: is told what happens to the client; a plain function or a coroutine function.
        drain_timeout: seconds that ``drain`` may take.
        outbound_limit: bytes that may wait to be sent before publishing without awaiting fails.
        randomize: try the servers in an order of our own, not in the one given.
        max_reconnects: attempts that may fail, one after the other, before a server is given up; 0 never connects again, None never gives
            up.
        reconnect_wait, reconnect_max_wait: how many seconds pass at most after all servers were tried in vain, at first and at last.
        reconnect_delay: says how many seconds to wait instead, given how many times all were tried.
        choose_server: says which server to try next, and after how many seconds, given their URLs and the last INFO.
        retry_on_failed_connect: connect() succeeds without a server, and the client goes on trying.
        reconnect_buffer: bytes of publishes that may wait for the client to connect again.
        reconnect_buffer_full: what is done with more than that.
        fail_requests: requests under way fail when the link is lost, instead of waiting for the next one.
        ignore_discovered: do not use servers that other servers tell of.
        migrate: move to another server before this one, which is about to shut down, closes the connection.
    """

    name: str | None = None
    user: UserSource | None = None
    password: TextSource | None = field(default=None, repr=False)
    token: TextSource | None = field(default=None, repr=False)
    nkey_seed: FileSource | None = field(default=None, repr=False)
    nkey: TextSource | None = None
    creds: FileSource | None = field(default=None, repr=False)
    jwt: TextSource | None = field(default=None, repr=False)
    sign: SignCallback | None = field(default=None, repr=False)
    tls: Any = None
    timeout: float | None = 5.0
    ping_interval: float = 120.0
    max_pings_out: int = 2
    echo: bool = True
    verbose: bool = False
    pedantic: bool = False
    inbox_prefix: str = "_INBOX"
    error_callback: ErrorCallback | None = None
    ws_headers: HeadersSource | None = field(default=None, repr=False)
    ws_compression: bool = False
    ws_proxy_path: str | None = None
    event_callback: EventCallback | None = None
    drain_timeout: float | None = 30.0
    outbound_limit: int = 64 << 20
    randomize: bool = True
    max_reconnects: int | None = None
    reconnect_wait: float = 0.1
    reconnect_max_wait: float = 4.0
    reconnect_delay: ReconnectDelay | None = None
    choose_server: ChooseServer | None = None
    retry_on_failed_connect: bool = False
    reconnect_buffer: int = 8 << 20
    reconnect_buffer_full: Literal["raise", "block", "drop_old"] = "raise"
    fail_requests: bool = False
    ignore_discovered: bool = False
    migrate: bool = False

    def __post_init__(self) -> None:
        read_tls(self.tls)
        check_text("name", self.name)
        for name in ("user", "password", "token", "nkey", "jwt"):
            check_text_source(name, getattr(self, name))
        for name in ("nkey_seed", "creds"):
            check_file_source(name, getattr(self, name))
        if isinstance(self.nkey, str):
            check_public(self.nkey, Prefix.USER)
        if self.sign is not None and not callable(self.sign):
            raise TypeError(f"sign is a function or a coroutine function, not {type(self.sign).__name__}")
        check_publish(self.inbox_prefix, "inbox prefix")
        for name in ("error_callback", "event_callback"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} is a function or a coroutine function, not {type(getattr(self, name)).__name__}")
        self._check_reconnecting()
        check_source(self.ws_headers)
        check_path(self.ws_proxy_path)
        if not isinstance(self.ws_compression, bool):
            raise TypeError(f"ws_compression is True or False, not {self.ws_compression!r}")
        for name in ("max_pings_out", "outbound_limit"):
            _check_above_zero(name, getattr(self, name), int)
        _check_above_zero("ping_interval", self.ping_interval, int, float)
        for name in ("timeout", "drain_timeout"):
            if getattr(self, name) is not None:
                _check_above_zero(name, getattr(self, name), int, float)
        check_together({name for name in CREDENTIALS if getattr(self, name) is not None})

    def _check_reconnecting(self) -> None:
        for name in ("reconnect_delay", "choose_server"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} is a function or a coroutine function, not {type(getattr(self, name)).__name__}")
        for name in ("max_reconnects", "reconnect_buffer"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | None if name == "max_reconnects" else int):
                raise TypeError(f"{name} is an int, not {value!r}")
            if value is not None and value < 0:
                raise ValueError(f"{name} {value}: expected 0 or more{', or None for ever' if name == 'max_reconnects' else ''}")
        if self.retry_on_failed_connect and self.max_reconnects == 0:
            raise ValueError("retry_on_failed_connect tries again, and max_reconnects=0 forbids it")
        for name in ("reconnect_wait", "reconnect_max_wait"):
            _check_above_zero(name, getattr(self, name), int, float)
        if self.reconnect_max_wait < self.reconnect_wait:
            raise ValueError(f"reconnect_max_wait {self.reconnect_max_wait} is less than reconnect_wait {self.reconnect_wait}")
        if self.reconnect_buffer_full not in ("raise", "block", "drop_old"):
            raise ValueError(f"reconnect_buffer_full={self.reconnect_buffer_full!r}: expected 'raise', 'block' or 'drop_old'")


def check_timeout(timeout: object) -> None:
    """Check a number of seconds to wait, or None.

    Raises:
        TypeError: it is neither.
    """
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float))):
        raise TypeError(f"a timeout is a number of seconds, or None to wait without one, not {timeout!r}")


def _check_above_zero(name: str, value: Any, *kinds: type) -> None:
    if isinstance(value, bool) or type(value) not in kinds:
        raise TypeError(f"{name} is a {kinds[-1].__name__}, not {value!r}")
    if not value > 0:
        raise ValueError(f"{name} {value}: expected more than 0")
