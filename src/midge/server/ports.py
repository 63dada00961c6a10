"""The ports of one server: where clients come in, by plain TCP, by TLS, and by WebSocket.

``bind`` takes the ports and reads the certificates, ``open`` lets clients in, ``close`` frees the ports. A port that was taken because
it was free is kept, so that a server that is started again is where it was.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.errors import ServerStartError
from midge.link.reactor import Reactor
from midge.server.info import Info
from midge.server.listener import Adopt, Listener, open_sockets
from midge.server.listener_options import ServerTLS
from midge.server.lobby import Gate, Lobby, PlainGate
from midge.server.options import ServerOptions

if TYPE_CHECKING:
    import ssl

    from midge.server.tls import Security

__all__ = ["Adopter", "Ports", "in_brackets"]

EVERY_INTERFACE = "0.0.0.0"  # how nats-server calls it, also where that means IPv6 too
_REACHABLE = {EVERY_INTERFACE: "127.0.0.1", "::": "::1", "[::]": "::1"}

log = logging.getLogger("midge.server")

Adopter = Callable[[Gate], Adopt]


class ClientGate:
    """The client port: by TLS or not, whichever it is when somebody comes.

    Args:
        lobby: the server's.
        security: the port's TLS, None for none.
    """

    def __init__(self, lobby: Lobby, security: Security | None) -> None:
        self.lobby = lobby
        self.use(security)

    def use(self, security: Security | None) -> None:
        """Let those who come from now on in that way."""
        if security is None:
            self._gate: Gate = PlainGate(self.lobby)
            return
        from midge.server.tls_arrival import TlsGate

        self._gate = TlsGate(self.lobby, security)

    def adopt(self, sock: socket.socket, address: str) -> None:
        """Take a socket that was accepted."""
        self._gate.adopt(sock, address)


class Ports:
    """The client port and the WebSocket port.

    Args:
        options: the server's.
        listen: False for no port at all.

    Attributes:
        host, port: of the client port; the port is known once it is bound.
        websocket_host, websocket_port: of the other, where there is one.
        is_open: clients can come in.
    """

    def __init__(self, options: ServerOptions, listen: bool) -> None:
        self._options = options
        self._listen = listen
        self.host = options.host or EVERY_INTERFACE
        self.port = max(options.port, 0)
        websocket = options.websocket if listen else None
        self.websocket_host = (websocket.host or EVERY_INTERFACE) if websocket is not None else ""
        self.websocket_port = max(websocket.port, 0) if websocket is not None else 0
        self._sockets: list[socket.socket] = []
        self._websocket_sockets: list[socket.socket] = []
        self._security: Security | None = None
        self._websocket_security: Security | None = None
        self._gate: ClientGate | None = None
        self._listeners: list[Listener] = []

    @property
    def is_open(self) -> bool:
        return bool(self._listeners)

    @property
    def is_ready(self) -> bool:
        """True if clients can come in by every way that there is to be."""
        return self.is_open or not self._listen

    @property
    def url(self) -> str:
        """Where clients connect. Where no port is open it is no address: ``pipe://`` and the name."""
        if not self._listen:
            return f"pipe://{self._options.name or 'midge'}"
        scheme = "tls" if self._options.tls is not None and not self._options.allow_non_tls else "nats"
        return f"{scheme}://{_reachable(self.host)}:{self.port}"

    @property
    def websocket_url(self) -> str | None:
        """Where clients connect by WebSocket; None where they cannot."""
        if not self.websocket_host:
            return None
        return f"{self._websocket_scheme}://{_reachable(self.websocket_host)}:{self.websocket_port}"

    def tell(self, info: Info) -> None:
        """Let the server say of itself where it is reached."""
        info.set_address(self.host, self.port)
        info.set_websocket_address(self.websocket_host, self.websocket_port)

    async def bind(self) -> None:
        """Read the certificates and take the ports, without letting anybody in.

        Raises:
            ServerStartError: one of them is not to be had.
        """
        if not self._listen:
            return
        websocket = self._options.websocket
        self._security = await _read(self._options.tls)
        self._websocket_security = await _read(websocket.tls) if websocket is not None else None
        try:
            if websocket is not None:
                self._websocket_sockets = await open_sockets(self.websocket_host, self.websocket_port)
                self.websocket_port = self._websocket_sockets[0].getsockname()[1]
            self._sockets = await open_sockets(self.host, self.port)
            self.port = self._sockets[0].getsockname()[1]
        except BaseException:
            self.close()
            raise

    def open(self, lobby: Lobby, adopt: Adopter) -> None:
        """Let clients in.

        Args:
            adopt: given what is behind a port, returns what its listeners call.

        Raises:
            NotImplementedError: the event loop cannot watch sockets.
            ServerStartError: there is no descriptor left.
        """
        try:
            self._gate = ClientGate(lobby, self._security)
            self._listen_on(self._sockets, lobby.turns.reactor, adopt(self._gate))
            if self._options.websocket is not None:
                from midge.server.websocket import WebSocketGate

                gate = WebSocketGate(lobby, self._options.websocket, self._websocket_security)
                self._listen_on(self._websocket_sockets, lobby.turns.reactor, adopt(gate))
        except OSError as error:
            self.close()
            raise ServerStartError(f"cannot listen on {self.host}:{self.port}: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free the ports."""
        for listener in self._listeners:
            listener.close()
        for sock in (*self._sockets, *self._websocket_sockets):
            sock.close()
        self._listeners, self._sockets, self._websocket_sockets = [], [], []

    def prepare(self, options: ServerOptions) -> Callable[[], None]:
        """Read the certificates again, as these options name them; return what has connections use them that come from then on.

        The client port may begin to have TLS, or cease to; nobody who is there notices.

        Raises:
            ServerStartError: one cannot be read, and nothing has changed; or the WebSocket port would begin or cease to have TLS.
        """
        if not self._listen:
            return lambda: None
        websocket = options.websocket.tls if options.websocket is not None else None
        if (self._websocket_security is None) != (websocket is None):
            raise ServerStartError("whether the WebSocket port has TLS cannot be changed while the server runs")
        context = None if options.tls is None else _context(options.tls)
        websocket_context = None if websocket is None else _context(websocket)

        def renew() -> None:
            self._options = options
            if self._websocket_security is not None and websocket is not None and websocket_context is not None:
                self._websocket_security.reload(websocket, websocket_context)
            if self._security is not None and options.tls is not None and context is not None:
                self._security.reload(options.tls, context)
                return
            self._security = None if options.tls is None or context is None else _secure(options.tls, context)
            if self._gate is not None:
                self._gate.use(self._security)

        return renew

    def announce(self) -> None:
        """Log where we listen, as nats-server does, in its order: other programs wait for these lines."""
        options = self._options
        if self.websocket_host:
            log.info("Listening for websocket clients on %s://%s:%d", self._websocket_scheme, self.websocket_host, self.websocket_port)
            if self._websocket_security is None:
                log.warning("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!")
        log.info("Listening for client connections on %s:%d", in_brackets(self.host), self.port)
        if options.tls is not None:
            first_only = options.tls.handshake_first is True
            log.info("TLS %s for client connections", "available" if options.allow_non_tls and not first_only else "required")
            if first_only:
                log.warning('Clients that are not using "TLS Handshake First" option will fail to connect')

    @property
    def _websocket_scheme(self) -> str:
        assert self._options.websocket is not None
        return "ws" if self._options.websocket.tls is None else "wss"

    def _listen_on(self, sockets: list[socket.socket], reactor: Reactor, adopt: Adopt) -> None:
        while sockets:
            self._listeners.append(Listener(reactor, sockets[0], adopt))
            del sockets[0]


def in_brackets(host: str) -> str:
    """Return a host as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _reachable(host: str) -> str:
    return in_brackets(_REACHABLE.get(host, host))


async def _read(tls: ServerTLS | None) -> Security | None:
    return None if tls is None else _secure(tls, await asyncio.to_thread(_context, tls))


# What a server without TLS does not import


def _context(tls: ServerTLS) -> ssl.SSLContext:
    from midge.server.tls import make_context

    return make_context(tls)


def _secure(tls: ServerTLS, context: ssl.SSLContext) -> Security:
    from midge.server.tls import Security

    return Security(tls, context)
