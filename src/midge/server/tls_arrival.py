"""How a client comes in by a port with TLS, as nats-server has it (``createClient``):

    INFO, then the handshake             what comes in plain text after INFO, or came before it, is taken for the handshake, and fails
    the handshake, then INFO             ``handshake_first``; with seconds, whoever has said nothing by then gets INFO after all
    INFO, then whatever comes            ``allow_non_tls``: a first byte of 0x16 begins a handshake, any other the protocol

The socket is looked at (``SniffLink``) where there is a choice, and only then read. INFO is in the socket's buffer before the
handshake begins: a socket that was just accepted has room for it, or else is closed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

from midge.link.sniff import SniffLink
from midge.link.socket import SocketLink
from midge.link.tls import TlsLink
from midge.server.dice import jitter
from midge.server.identity import BY_TCP, Origin
from midge.server.lobby import Lobby
from midge.server.reasons import CLIENT_CLOSED, INTERNAL_ERROR, MAX_CONNECTIONS, READ_ERROR, TLS_HANDSHAKE_FAILURE
from midge.server.session import Session
from midge.server.tls import NO_TLS, Security, describe

__all__ = ["TlsArrival", "TlsGate"]

HANDSHAKE = b"\x16"  # the first byte of a ClientHello
PROBES = ("i/o timeout", NO_TLS)  # what goes wrong where a load balancer looks whether the port is open: no error of ours
THROTTLED = "Connection throttling is active. Please try again later."

log = logging.getLogger("midge.server")


class TlsGate:
    """The client port of a server with TLS.

    Args:
        lobby: the server's.
        security: the port's TLS.
    """

    def __init__(self, lobby: Lobby, security: Security) -> None:
        self.lobby = lobby
        self.security = security

    def adopt(self, sock: socket.socket, address: str) -> None:
        """Take a socket that was accepted."""
        turns = self.lobby.turns
        origin = Origin(tls_first=True) if self.security.options.handshake_first else BY_TCP
        session = turns.hub.admission.connect(address, turns.time(), jitter(), origin)
        try:
            arrival = TlsArrival(self, session, sock)
        except OSError:  # gone already: the socket options cannot be set
            sock.close()
            session.receive_eof()
            return
        self.lobby.add(arrival)
        arrival.start()


class TlsArrival:
    """One client on its way in. It is the session's transport, and the links' owner, until then.

    Raises:
        OSError: the socket is no longer connected; it is still the caller's.
    """

    __slots__ = ("_closed", "_gate", "_late", "_turns", "link", "session")

    def __init__(self, gate: TlsGate, session: Session, sock: socket.socket) -> None:
        self._gate = gate
        self._turns = gate.lobby.turns
        self._late: Callable[[], None] = self._go_plain  # what to do where nothing comes in time
        self._closed = False
        self.session = session
        self.link: SocketLink = self._sniff(sock)
        session.transport = self

    def start(self) -> None:
        """Do what comes first."""
        self._guard(self._start)

    def flush(self) -> None:
        """Send what the session has to send, where it is not for after the handshake; called by the hub."""
        self._guard(self._flush)

    def abort(self, reason: str) -> None:
        """Close at once."""
        try:
            self.session.abort(reason)
        finally:
            self._end()

    # What the link says

    def link_received(self, chunk: bytearray, size: int) -> bool:
        raise AssertionError("nobody is read from before it has come in")

    def link_progress(self) -> None:
        self._guard(self._finish)

    def link_stuck(self) -> None:
        self.abort(READ_ERROR)

    def link_lost(self, error: OSError | None) -> None:
        self._guard(self._lose, error)

    # Private

    def _guard(self, call: Callable[..., Any], *args: Any) -> None:
        """The safety net: a bug of ours costs this client its connection, and nobody else anything."""
        try:
            call(*args)
        except Exception:
            log.exception("%s - internal error, closing the connection", self.session.address)
            self.abort(INTERNAL_ERROR)
        self._turns.reactor.schedule()

    def _sniff(self, sock: socket.socket) -> SniffLink:
        return SniffLink(self._turns.reactor, self._turns.hub.options.write_deadline, sock, self.session.outbox, self._hear)

    def _start(self) -> None:
        first = self._gate.security.options.handshake_first
        if not first:
            self._greet()
        elif not self._turns.hub.admission.has_room():
            self._refuse("maximum connections exceeded")
        elif first is True:
            self._secure()
        else:
            self._wait(first, self._greet)

    def _greet(self) -> None:
        """Send INFO, then see to the handshake."""
        security, hub = self._gate.security, self._turns.hub
        if self.session.origin.tls_first:
            self.session.arrived(BY_TCP, self._turns.time())
        self.session.start()
        self._flush()
        if self._closed:
            return
        if self.link.blocked or self.link.error is not None:
            self.abort(READ_ERROR)
        elif hub.options.allow_non_tls and security.options.handshake_first is not True:
            self._wait(security.options.timeout, self._go_plain)
        else:
            self._secure()

    def _wait(self, seconds: float, late: Callable[[], None]) -> None:
        """See what the client says first; where it says nothing in time, do something else."""
        self._late = late
        self.link.start(self)
        self._turns.reactor.call_at(self._turns.time() + seconds, self._on_time)

    def _on_time(self) -> None:
        self.link.pause_reading()
        self._guard(self._late)

    def _hear(self, first: bytes) -> None:
        self._turns.reactor.cancel(self._on_time)
        self._guard(self._choose, first)

    def _choose(self, first: bytes) -> None:
        if not first:
            self.session.close(CLIENT_CLOSED)
            self._end()
        elif first == HANDSHAKE or self.session.origin.tls_first:  # who has not been greeted has nothing else to say
            self._secure()
        else:
            self._go_plain()

    def _secure(self) -> None:
        """Begin the handshake."""
        security = self._gate.security
        if not security.admits(self._turns.time()):
            self.session.send_error(THROTTLED)
            self.session.close(MAX_CONNECTIONS)
            self._flush()
            return
        self.session.log(logging.DEBUG, "Starting TLS client connection handshake")
        sock = self.link.detach()
        deadline = self._turns.hub.options.write_deadline
        try:
            self.link = TlsLink(
                self._turns.reactor, deadline, sock, self.session.outbox, security.context, server_side=True,
                handshake_timeout=security.options.timeout,
            )  # fmt: skip
        except OSError:
            sock.close()
            self.abort(READ_ERROR)
            return
        self.link.start(self)

    def _finish(self) -> None:
        """The handshake is done."""
        link, security = self.link, self._gate.security
        assert isinstance(link, TlsLink)
        if not link.secured or self._closed:
            return
        if not security.accepts(link.engine):
            self._fail("certificate not pinned")
            return
        session, now = self.session, self._turns.time()
        was_first = session.origin.tls_first
        session.arrived(security.origin(link.engine, session.origin), now)
        session.log(logging.DEBUG, "TLS handshake complete")
        session.log(logging.DEBUG, "TLS version %s, cipher suite %s", session.origin.tls_version, session.origin.tls_cipher)
        if was_first:
            session.start()
        self._come_in()

    def _go_plain(self) -> None:
        """Go on without TLS."""
        session = self.session
        try:
            sock = self.link.detach()
            self.link = SocketLink(self._turns.reactor, self._turns.hub.options.write_deadline, sock, session.outbox)
        except OSError:
            self.abort(READ_ERROR)
            return
        session.arrived(session.origin, self._turns.time())
        self.link.start(self)
        self._come_in()

    def _come_in(self) -> None:
        self._closed = True
        self._gate.lobby.admit(self, self.session, self.link)

    def _refuse(self, text: str) -> None:
        """Say why there is no room, in plain text, to one that was not greeted."""
        self.session.send_error(text)
        self.session.log(logging.ERROR, text)
        self.session.close(MAX_CONNECTIONS)
        self._flush()

    def _flush(self) -> None:
        if self._closed:
            return
        self.link.flush()
        if self.session.closing is not None:
            self._end()

    def _lose(self, error: OSError | None) -> None:
        if self._closed:
            return
        if isinstance(self.link, TlsLink):
            self._fail(describe(error) if error is not None else "EOF")
        else:
            self.abort(READ_ERROR if error is not None else CLIENT_CLOSED)

    def _fail(self, reason: str) -> None:
        """The handshake has failed."""
        if reason in PROBES:
            self.session.log(logging.DEBUG, "TLS handshake error: %s", reason)
        elif self._gate.lobby.may_complain():
            self.session.log(logging.ERROR, "TLS handshake error: %s", reason)
        self.abort(TLS_HANDSHAKE_FAILURE)

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._turns.reactor.cancel(self._on_time)
        try:
            self.link.close()
        finally:
            self.session.release()
            self._gate.lobby.remove(self)
