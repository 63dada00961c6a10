"""The lobby: connections on their way in, between accept and the first byte that their session hears.

By plain TCP nobody waits there. With TLS and WebSocket there is a handshake first, and an *arrival* drives it: ``TlsArrival``,
``WebSocketArrival``. Each has one deadline, holds what one link and one request hold and no more, and is read from in turns like
everybody else; so what thousands that never finish can cost is bounded by their number and by those deadlines.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Protocol

from midge.link import Link
from midge.link.socket import SocketLink
from midge.server.complaints import Complaints
from midge.server.dice import jitter
from midge.server.session import Session
from midge.server.turns import Turns

__all__ = ["Arrival", "Gate", "Lobby", "PlainGate"]

Admit = Callable[[Session, Link], None]

log = logging.getLogger("midge.server")


class Arrival(Protocol):
    """A connection on its way in."""

    @property
    def link(self) -> Link: ...

    def abort(self, reason: str) -> None:
        """Close at once."""


class Gate(Protocol):
    """What is behind one port."""

    def adopt(self, sock: socket.socket, address: str) -> None:
        """Take a socket that was accepted, from the client at this address."""


class PlainGate:
    """A port where nobody waits: by plain TCP a client is in.

    Args:
        lobby: the server's.
    """

    def __init__(self, lobby: Lobby) -> None:
        self.lobby = lobby

    def adopt(self, sock: socket.socket, address: str) -> None:
        turns = self.lobby.turns
        session = turns.hub.admission.connect(address, turns.time(), jitter())
        try:
            link = SocketLink(turns.reactor, turns.hub.options.write_deadline, sock, session.outbox)
        except OSError:  # gone already: the socket options cannot be set
            sock.close()
            session.receive_eof()
            return
        self.lobby.let_in(session, link)


class Lobby:
    """The arrivals of one running server.

    Args:
        turns: the server's.
        let_in: called with a new session and its link, which are both to be started.
        take_over: called with a session that was greeted and its link, which is started.

    Attributes:
        arrivals: who is on the way.
    """

    def __init__(self, turns: Turns, let_in: Admit, take_over: Admit) -> None:
        self.turns = turns
        self.let_in = let_in
        self.arrivals: set[Arrival] = set()
        self._take_over = take_over
        self._complaints = Complaints()

    def add(self, arrival: Arrival) -> None:
        self.arrivals.add(arrival)

    def remove(self, arrival: Arrival) -> None:
        """It is gone."""
        self.arrivals.discard(arrival)

    def admit(self, arrival: Arrival, session: Session, link: Link) -> None:
        """It has come in."""
        self.arrivals.discard(arrival)
        self._take_over(session, link)

    def abort(self, reason: str) -> None:
        """Close all of them."""
        for arrival in list(self.arrivals):
            arrival.abort(reason)

    def close(self) -> None:
        """Close all links; the event loop is gone."""
        for arrival in self.arrivals:
            arrival.link.close()
        self.arrivals.clear()

    def may_complain(self) -> bool:
        """Return whether one more line may be logged of those who never came in: so many a second, for there is no end of them."""
        if not self._complaints.admit(self.turns.time()):
            return False
        left_out = self._complaints.take_left_out()
        if left_out:
            log.error("%d more handshakes have failed", left_out)
        return True
