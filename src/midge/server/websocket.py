"""How a client comes in by the WebSocket port: TLS where there is some, the request and its answer, then INFO in the first frame.

There is no session before the request was accepted, as in nats-server: whoever is refused was never a client. One deadline is for all
of it.
"""

from __future__ import annotations

import logging
import socket
from ipaddress import ip_address

from midge.errors import UpgradeError
from midge.link import Link
from midge.link.server_upgrade import Request, ServerUpgrade
from midge.link.socket import SocketLink
from midge.link.tls import TlsLink
from midge.link.websocket import WebSocketLink
from midge.server.dice import jitter
from midge.server.identity import WEBSOCKET, Origin
from midge.server.listener_options import WebSocketListener
from midge.server.lobby import Lobby
from midge.server.origins import Origins
from midge.server.reasons import (
    AUTHENTICATION_EXPIRED,
    AUTHENTICATION_FAILURE,
    AUTHENTICATION_TIMEOUT,
    BAD_PROTOCOL_VERSION,
    CLIENT_CLOSED,
    MAX_ACCOUNT_CONNECTIONS,
    MAX_CONNECTIONS,
    MAX_CONTROL_LINE_EXCEEDED,
    MAX_PAYLOAD_EXCEEDED,
    PARSE_ERROR,
    PROTOCOL_VIOLATION,
    READ_ERROR,
    SERVER_SHUTDOWN,
    SLOW_CONSUMER_DEADLINE,
    SLOW_CONSUMER_PENDING,
    STALE_CONNECTION,
)
from midge.server.session import Session
from midge.server.tls import Security, describe
from midge.wire.outbox import Outbox

__all__ = ["WebSocketArrival", "WebSocketGate", "close_status"]

INTERNAL = 1011
_STATUS = {  # what a CLOSE says, by the reason; any other is INTERNAL (nats-server's wsEnqueueCloseMessage)
    CLIENT_CLOSED: 1000,
    READ_ERROR: 1001,
    SERVER_SHUTDOWN: 1001,
    STALE_CONNECTION: 1001,
    BAD_PROTOCOL_VERSION: 1002,
    PARSE_ERROR: 1002,
    PROTOCOL_VIOLATION: 1002,
    AUTHENTICATION_EXPIRED: 1008,
    AUTHENTICATION_FAILURE: 1008,
    AUTHENTICATION_TIMEOUT: 1008,
    MAX_ACCOUNT_CONNECTIONS: 1008,
    MAX_CONNECTIONS: 1008,
    MAX_CONTROL_LINE_EXCEEDED: 1008,
    SLOW_CONSUMER_DEADLINE: 1008,
    SLOW_CONSUMER_PENDING: 1008,
    MAX_PAYLOAD_EXCEEDED: 1009,
}
_COOKIE_FIELDS = (("jwt_cookie", "jwt"), ("user_cookie", "user"), ("pass_cookie", "password"), ("token_cookie", "auth_token"))

log = logging.getLogger("midge.server")


class WebSocketGate:
    """The WebSocket port of a server.

    Args:
        lobby: the server's.
        options: how the port is configured.
        security: its TLS, if it has any.
    """

    def __init__(self, lobby: Lobby, options: WebSocketListener, security: Security | None) -> None:
        self.lobby = lobby
        self.options = options
        self.security = security
        self.origins = Origins(options.same_origin, options.allowed_origins, security is not None)
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in options.headers.items()).encode("latin-1")
        self._cookies = {cookie: field for name, field in _COOKIE_FIELDS if (cookie := getattr(options, name))}

    def adopt(self, sock: socket.socket, address: str) -> None:
        """Take a socket that was accepted. They are not counted as connections yet, but there is no end of them either."""
        if len(self.lobby.arrivals) >= self.lobby.turns.hub.options.max_connections:
            sock.close()
            return
        try:
            arrival = WebSocketArrival(self, sock, address)
        except OSError:  # gone already: the socket options cannot be set
            sock.close()
            return
        self.lobby.add(arrival)
        arrival.start()

    def upgrade(self) -> ServerUpgrade:
        """Return the part of one connection's handshake that is ours."""
        return ServerUpgrade(self.options.compression, self._refuse_origin, self.headers)

    def origin(self, request: Request) -> Origin:
        """Return how the client has come whose request this is."""
        return Origin(
            kind=WEBSOCKET,
            forwarded_for=_forwarded(request.first(b"x-forwarded-for")),
            cookies=_read_cookies(request, self._cookies) if self._cookies else {},
        )

    def _refuse_origin(self, request: Request) -> str | None:
        given = request.first(b"origin") or request.first(b"sec-websocket-origin")
        return self.origins.refuse(given.decode("latin-1"), request.first(b"host").decode("latin-1"))


class Farewell:
    """What the link of a session says when it closes."""

    __slots__ = ("session",)

    def __init__(self) -> None:
        self.session: Session | None = None

    def __call__(self) -> tuple[int, bytes]:
        return close_status(SERVER_SHUTDOWN if self.session is None else self.session.closing or CLIENT_CLOSED)


class WebSocketArrival:
    """One client on its way in.

    Raises:
        OSError: the socket is no longer connected; it is still the caller's.
    """

    __slots__ = ("_address", "_closed", "_farewell", "_gate", "_inner", "_outbox", "_turns", "_upgrade", "link")

    def __init__(self, gate: WebSocketGate, sock: socket.socket, address: str) -> None:
        self._gate = gate
        self._turns = gate.lobby.turns
        self._address = address
        self._outbox = Outbox()
        self._upgrade = gate.upgrade()
        self._farewell = Farewell()
        self._closed = False
        inner_outbox = Outbox()
        reactor, deadline = self._turns.reactor, self._turns.hub.options.write_deadline
        self._inner: Link
        if gate.security is None:
            self._inner = SocketLink(reactor, deadline, sock, inner_outbox)
        else:
            self._inner = TlsLink(reactor, deadline, sock, inner_outbox, gate.security.context, server_side=True)
        self.link = WebSocketLink(reactor, self._outbox, self._inner, inner_outbox, self._upgrade, ending=self._farewell)

    def start(self) -> None:
        """Begin to listen."""
        reactor = self._turns.reactor
        reactor.call_at(reactor.time() + self._gate.options.handshake_timeout, self._expire)
        self.link.start(self)

    def abort(self, reason: str) -> None:
        """Close at once."""
        if not self._closed:
            self._closed = True
            self._turns.reactor.cancel(self._expire)
            self._gate.lobby.remove(self)
            self.link.close()

    # What the link says

    def link_received(self, chunk: bytearray, size: int) -> bool:
        raise AssertionError("nobody is read from before it has come in")

    def link_progress(self) -> None:
        request = self._upgrade.request
        if request is None or self._closed:
            return
        try:
            self._come_in(request)
        except Exception:  # the safety net: a bug of ours costs this client its connection, and nobody else anything
            log.exception("%s - internal error, closing the connection", self._address)
            self.abort(READ_ERROR)

    def link_stuck(self) -> None:
        self.abort(READ_ERROR)

    def link_lost(self, error: OSError | None) -> None:
        if isinstance(error, UpgradeError):
            complaint = self._upgrade.complaint
            self._complain(f"{self._address} - {complaint}" if complaint.startswith("websocket") else complaint)
        elif error is not None:
            self._tell_of_tls(describe(error))
        self.abort(READ_ERROR)

    # Private

    def _come_in(self, request: Request) -> None:
        """The answer is on its way: what follows is a client."""
        gate, turns = self._gate, self._turns
        origin = gate.origin(request)
        if isinstance(self._inner, TlsLink):
            assert gate.security is not None
            if not gate.security.accepts(self._inner.engine):
                self._tell_of_tls("certificate not pinned")
                self.abort(READ_ERROR)
                return
            origin = gate.security.origin(self._inner.engine, origin)
        self._closed = True
        turns.reactor.cancel(self._expire)
        session = turns.hub.admission.connect(self._address, turns.time(), jitter(), origin)
        session.use(self._outbox)
        self._farewell.session = session
        session.start()
        gate.lobby.admit(self, session, self.link)

    def _expire(self) -> None:
        self._tell_of_tls("i/o timeout")
        self.abort(READ_ERROR)

    def _tell_of_tls(self, reason: str) -> None:
        """Log what has gone wrong with the TLS handshake, if that is where it has."""
        if isinstance(self._inner, TlsLink) and (not self._inner.secured or self._upgrade.request is not None):
            self._complain(f"websocket: TLS handshake error from {self._address}: {reason}")

    def _complain(self, text: str) -> None:
        if text and self._gate.lobby.may_complain():
            log.error("%s", text)


def close_status(reason: str) -> tuple[int, bytes]:
    """Return status and text of a CLOSE, for the reason why a session ends."""
    return _STATUS.get(reason, INTERNAL), reason.encode()


def _forwarded(address: bytes) -> str:
    """Return an address that a proxy has named, as it goes into a log line; empty where it is none."""
    try:
        found = ip_address(address.decode("ascii"))
    except ValueError:
        return ""
    if found.version == 4:
        return str(found)
    return "" if found.scope_id else f"[{found}]"  # a zone is any text


def _read_cookies(request: Request, wanted: dict[str, str]) -> dict[str, str]:
    """Return the cookies that hold credentials, by the field of CONNECT that each stands for."""
    found: dict[str, str] = {}
    for name, line in request.fields:
        if name != b"cookie":
            continue
        for part in line.split(b";"):
            key, _, value = part.strip(b" \t").partition(b"=")
            field = wanted.get(key.decode("latin-1"))
            if field is not None:
                found[field] = _unquoted(value).decode("latin-1")
    return found


def _unquoted(value: bytes) -> bytes:
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value
