"""Admission: who comes in, and as whom. A connection gets a session; its CONNECT is shown to the authenticator; then it is in an account.

A client may say CONNECT as often as it likes: each is asked anew, and what it was subscribed to is gone. Where the verdict takes a while,
the session is *pending* until ``resolve``. Whoever is there when the options change is let in once more by ``reconsider``, and keeps what
may still be subscribed to. Nothing here is on the message path.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from midge.server import hooks
from midge.server.connect import Connect, parse_connect, with_cookies
from midge.server.identity import BY_TCP, Awaited, Computed, Identity, Origin, Pending
from midge.server.labels import who_tried
from midge.server.reasons import (
    AUTHENTICATION_FAILURE,
    BAD_PROTOCOL_VERSION,
    MAX_ACCOUNT_CONNECTIONS,
    MAX_SUBSCRIPTIONS_EXCEEDED,
    NO_RESPONDERS_REQUIRES_HEADERS,
)
from midge.wire.faults import ANSWER_AUTHORIZATION

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.account import Account
    from cython.cimports.midge.server.session import Session
    from cython.cimports.midge.server.subscribing import may_subscribe, tell_removed
else:
    from midge.server.account import Account
    from midge.server.session import Session
    from midge.server.subscribing import may_subscribe, tell_removed

__all__ = ["Admission"]

_SHARED = 256  # CONNECT lines that are remembered for all who say the same


class Admission:
    """Lets the clients of one server in.

    Args:
        hub: the Hub that routes for them: its options, its accounts and its authenticator are asked.

    Attributes:
        total: how many connections there ever were.
    """

    __slots__ = ("_connects", "_hub", "total")

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._connects: dict[Connect, Connect] = {}
        self.total = 0

    def connect(self, address: str, now: float, jitter: float, origin: Origin = BY_TCP) -> Session:
        """Return the session of a new connection. Next: set its ``transport``, call its ``start``, then flush."""
        self.total += 1
        hub = self._hub
        session = Session(hub, self.total, address, now, jitter, origin)
        hub.sessions[session.cid] = session
        hub.account.add(session)
        return session

    def has_room(self) -> bool:
        """True if the newest session is not one too many."""
        most: int = self._hub.options.max_connections
        return len(self._hub.sessions) <= most

    def identify(self, session: Session) -> Identity | Pending | None:
        """Return as whom the session is let in, None where it is not, or what that depends on."""
        hub = self._hub
        return hub.authenticator.identify(session.connect, session.origin, session.nonce, session.address, hub.now)  # type: ignore[no-any-return]

    def hear_first(self, session: Session, byte: int) -> None:
        """The client is heard for the first time, and this is how it begins. Unless it says CONNECT, it may yet be ``no_auth_user``."""
        session.may_begin = False
        if byte in b"Cc":
            return
        identity = self.identify(session)
        if isinstance(identity, Identity):  # otherwise the parser finds that it has not said CONNECT
            session.connected = True
            session.settle()
            if self._enter(session, identity):
                self._tell_opened(session)

    def hear(self, session: Session, line: bytes, now: float) -> None:
        """The client says CONNECT. Next: see the session's ``pending``.

        Raises:
            RemoteProtocolError: the line is not what it should be.
        """
        connect = parse_connect(line, session.connect)
        if session.origin.cookies:
            connect = with_cookies(connect, session.origin.cookies)
        session.introduce(self._shared(connect), now)
        verdict = self.identify(session)
        if isinstance(verdict, (Computed, Awaited)):
            session.wait_for(verdict, now)
        else:
            self._judge(session, verdict)

    def resolve(self, session: Session, identity: Identity | None, now: float) -> bytearray | None:
        """Let a session in whose verdict was pending, or refuse it. Returns what it has said meanwhile, to be given to ``Hub.receive``."""
        self._hub.now = now
        if session.pending is not None and session.closing is None:
            self._judge(session, identity)
        return None if session.closing is not None else session.take_held()

    def reconsider(self, session: Session, identity: Identity) -> None:
        """Let it go on as this, now that the options have changed: in the account as it is now, with what may be subscribed to now."""
        subs = list(session.subs.values())
        account: Account = session.account
        for sub in subs:
            account.leave(sub)
        if session.connected or not self._hub.authenticator.door(session.origin).required:
            session.settle()
            if not self._enter(session, identity):
                return
        else:  # it has yet to say who it is
            session.move_to(self._hub.accounts[identity.account])
        account = session.account
        if 0 <= account.max_subscriptions < len(subs):
            session.turn_away("maximum subscriptions exceeded", MAX_SUBSCRIPTIONS_EXCEEDED)
            return
        for sub in subs:
            if session.closing is not None:  # it reads nothing, and has been refused too much
                return
            if may_subscribe(session, sub):
                account.join(sub)
            else:
                del session.subs[sub.sid]
                tell_removed(session, sub)

    def _shared(self, connect: Connect) -> Connect:
        """Return one object for all clients that say the same of themselves, if there is no secret in it."""
        if connect.has_credentials():
            return connect
        if len(self._connects) >= _SHARED:
            self._connects.clear()
        return self._connects.setdefault(connect, connect)

    def _judge(self, session: Session, identity: Identity | None) -> None:
        """Let the client in as this, or refuse it."""
        first = not session.connected
        session.connected = True
        session.settle()
        if identity is None:
            session.log(logging.ERROR, "authentication error%s", who_tried(session.connect))
            session.send_error(ANSWER_AUTHORIZATION)
            session.close(AUTHENTICATION_FAILURE)
        elif self._enter(session, identity) and self._follow(session, first) and first:
            self._tell_opened(session)

    def _follow(self, session: Session, first: bool) -> bool:
        """Do as CONNECT says. False, and the client is refused, where that cannot be."""
        connect = session.connect
        session.follow(connect)
        if first:
            session.introduced = connect
        if connect.protocol not in (0, 1):
            session.turn_away("invalid client protocol", BAD_PROTOCOL_VERSION)
            return False
        if connect.no_responders and not session.headers:
            session.turn_away("no responders requires headers support", NO_RESPONDERS_REQUIRES_HEADERS)
            return False
        if connect.verbose:
            session.send_ok()
        return True

    def _enter(self, session: Session, identity: Identity) -> bool:
        """Let it into the account of this one. False, and the client is refused, where the account lets nobody in."""
        hub = self._hub
        account: Account = hub.accounts[identity.account]
        if account is not session.account and account.is_full():
            session.turn_away("maximum account active connections exceeded", MAX_ACCOUNT_CONNECTIONS)
            return False
        session.become(identity, account, hub.authenticator.policy(identity.permissions))
        if account.max_subscriptions == 0:  # what nats-server does with an account whose limit is 0
            session.turn_away("maximum subscriptions exceeded", MAX_SUBSCRIPTIONS_EXCEEDED)
            return False
        return True

    def _tell_opened(self, session: Session) -> None:
        hooks.call(self._hub.on_connected, session)
