"""One client connection as the server sees it: pure, without a socket and without a clock.

The session answers for everything but routing: PING, SUB, UNSUB, limits, what is due when, and how the connection ends (``reasons`` has
the words for that). The hub parses what arrives (``Hub.receive``), routes publishes and hands every other operation to ``handle``. What
CONNECT comes to is decided in ``admission``, who may subscribe in ``subscribing``.

What the driver must do: after any call flush the hub; when ``closing`` is set, send the rest of ``outbox`` unless ``aborted``
is set too, then close the socket and call ``release``; call ``handle_timeout(now)`` at ``next_deadline()`` and flush. Times are
seconds of a monotonic clock.

Where it takes a while to find out who a client is, ``pending`` is what that depends on. The client is not heard meanwhile: what it sends is
held, as ``held`` says. The driver finds out, and calls ``Admission.resolve``; it stops reading where more is held than it likes.

Invariant: a session that is closing has no subscription left in the sublist and never gets a message again.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Any

from midge.errors import RemoteProtocolError
from midge.server import hooks, reasons, trace
from midge.server.complaints import Complaints
from midge.server.connect import DEFAULT, Connect, check_info
from midge.server.identity import ANYBODY, Identity, Origin, Pending
from midge.server.labels import came_from, describe
from midge.server.peer import CLIENT
from midge.server.permissions import Policy
from midge.wire.faults import ANSWER_AUTHORIZATION, ANSWER_CONTROL_LINE, ANSWER_MAX_PAYLOAD

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.account import Account
    from cython.cimports.midge.server.guard import Guard
    from cython.cimports.midge.server.peer import Peer
    from cython.cimports.midge.server.sublist import Subscription
    from cython.cimports.midge.server.subscribing import may_subscribe, read_sub, read_unsub, refuse, refuse_tokens
    from cython.cimports.midge.wire.encoder import put_line
    from cython.cimports.midge.wire.octets import CONNECT, ERR, HMSG, INFO, PING, PONG, SUB, UNSUB
    from cython.cimports.midge.wire.outbox import Outbox
    from cython.cimports.midge.wire.parser import Parser
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.account import Account
    from midge.server.guard import Guard
    from midge.server.peer import Peer
    from midge.server.sublist import Subscription
    from midge.server.subscribing import may_subscribe, read_sub, read_unsub, refuse, refuse_tokens
    from midge.wire.encoder import put_line
    from midge.wire.octets import CONNECT, ERR, HMSG, INFO, PING, PONG, SUB, UNSUB
    from midge.wire.outbox import Outbox
    from midge.wire.parser import Parser
    from midge.wire.publication import Publication

__all__ = ["Session"]

FIRST_PING = 2.0  # seconds after CONNECT, to measure the round trip (nats-server's firstClientPingInterval)
RTT_INTERVAL = 3600.0  # seconds after which a busy connection is pinged too
_REASONS = {
    ANSWER_AUTHORIZATION: reasons.AUTHENTICATION_FAILURE,
    ANSWER_CONTROL_LINE: reasons.MAX_CONTROL_LINE_EXCEEDED,
    ANSWER_MAX_PAYLOAD: reasons.MAX_PAYLOAD_EXCEEDED,
}
_SPENT = Parser(True)  # stands in for the parser of a connection that is gone

log = logging.getLogger("midge.server")


class Session(Peer):
    """One connection's state.

    Args:
        hub: the Hub that routes for it.
        cid: the connection's number, unique in the server.
        address: "host:port" of the client.
        now: the time.
        jitter: 0.0 to 1.0, spreads the first PINGs of connections that come together.
        origin: how it came.

    Attributes:
        asked: it must say who it is before it says anything else.
        identity: as whom it was let in.
        nonce: what it was given to sign; empty where it was not.
        pending: what it depends on whether it is let in; None where that is known.
        held: what it has sent meanwhile.
        may_begin: it may begin with any operation, though it is not known who it is: it is ``no_auth_user`` then.
        connect: what the client has said of itself; ``connected`` tells whether it has. ``introduced`` is what it said when it came in.
        subs: its subscriptions by sid; while it is told of its end, ``last_subs`` are those that it had.
        stalls: how often it was held back for the sake of a slow receiver.
        aborted: it ends at once: nothing that waits is worth sending.
        active: it has said something since its last deadline.
        started, last_active: when it came, and when it was last heard of.
        rtt: seconds that the last PING took to be answered, or CONNECT to come; None before.
        pings_out: PINGs that are not answered.
    """

    __slots__ = (
        "_auth_deadline", "_complaints", "_expiry", "_flush_at", "_jitter", "_last_ping", "_measured", "_ping_deadline", "_pong_sent",
        "aborted", "active", "address", "connect", "connected", "held", "hub", "identity", "introduced", "last_active", "last_subs",
        "may_begin", "no_responders", "nonce", "origin", "parser", "pedantic", "pending", "pings_out", "rtt", "stalls", "started", "subs",
        "verbose",
    )  # fmt: skip

    def __init__(self, hub: Any, cid: int, address: str, now: float, jitter: float, origin: Origin) -> None:
        Peer.__init__(self, cid, CLIENT, hub.account)
        options = hub.options
        self.hub = hub
        self.address = address
        self.origin = origin
        self.identity = ANYBODY
        door = hub.authenticator.door(origin)
        self.nonce: str = hub.authenticator.nonce()
        self.pending: Pending | None = None
        self.held: bytearray | None = None
        self.may_begin: bool = door.required and hub.authenticator.admits_silent(origin)
        self.parser = Parser(True, options.max_control_line, options.max_payload)
        self.parser.set_headers(False)
        if door.required:
            self.parser.set_connect_only(True)
        self.connect = DEFAULT
        self.connected = False
        self.verbose = self.pedantic = True
        self.no_responders = False
        self.subs: dict[bytes, Subscription] = {}
        self.last_subs: dict[bytes, Subscription] = {}
        self.stalls = 0
        self.aborted = False
        self.active = False
        self.tracing = log.isEnabledFor(trace.LEVEL)
        self.started = self.last_active = now
        self.rtt: float | None = None
        self.pings_out = 0
        self._flush_at: int = hub.flush_at
        self.introduced = DEFAULT
        self._jitter = jitter
        self._pong_sent = False
        self._measured = False
        self._expiry = inf
        self._auth_deadline: float = now + door.timeout if door.required else inf
        self._ping_deadline: float = now + door.ping_interval
        self._last_ping = -inf
        self._complaints: Complaints | None = None
        self.log(logging.DEBUG, "Client connection created")

    def use(self, outbox: Outbox) -> None:
        """Send by an outbox that was there before it. Nothing waits to be sent yet."""
        self.outbox = outbox

    def start(self) -> None:
        """Greet the client with INFO. Next: flush."""
        self.put_line(b"INFO " + self.hub.info.first(self) + b" ")
        if not self.hub.admission.has_room():
            self.turn_away("maximum connections exceeded", reasons.MAX_CONNECTIONS)

    def arrived(self, origin: Origin, now: float) -> None:
        """It has come in, by TLS for instance, and is heard from now on: what it has time for begins now. Next: see ``next_deadline``."""
        self.origin = origin
        self.last_active = now
        door = self.hub.authenticator.door(origin)
        self._auth_deadline = now + door.timeout if door.required else inf
        self._ping_deadline = now + door.ping_interval

    def receive_data(self, data: bytes, now: float) -> bool:
        """Take bytes from the client. Answers what ``Hub.receive`` answers."""
        return self.hub.receive(self, bytearray(data), len(data), now)  # type: ignore[no-any-return]

    def receive_eof(self) -> None:
        """The client has gone."""
        self.close(reasons.CLIENT_CLOSED)

    def data_to_send(self) -> bytes:
        """Return and forget what waits to be sent."""
        return self.outbox.take_all()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timeout`` must be called, or None."""
        if self.closing is not None:
            return None
        return min(self._auth_deadline, self._expiry, self._ping_deadline)

    def handle_timeout(self, now: float) -> None:
        """Do what is due by now. Next: flush, and see ``closing``."""
        if self.closing is not None:
            return
        if now >= self._auth_deadline:
            self.send_error("Authentication Timeout")
            self.log(logging.DEBUG, "Authentication Timeout")
            self.close(reasons.AUTHENTICATION_TIMEOUT)
        elif now >= self._expiry:
            self.send_error("User Authentication Expired")
            self.log(logging.DEBUG, "User Authentication Expired")
            self.close(reasons.AUTHENTICATION_EXPIRED)
        elif now >= self._ping_deadline:
            self._ping(now)
            self.last = None  # so that one who has stopped publishing keeps nothing alive

    def handle(self, op: int, now: float) -> None:
        """Carry out an operation that the parser has found, other than a publish."""
        if self.tracing:
            trace.log_in(self, op)
        if op == PING:
            self._answer_ping()
        elif op == PONG:
            if self.pings_out:
                self.rtt = now - self._last_ping
            self.pings_out = 0
            self._measured = True
        elif op == SUB:
            self._subscribe()
        elif op == UNSUB:
            self._unsubscribe()
        elif op == CONNECT:
            self.hub.admission.hear(self, self.parser.line(), now)
        elif op == INFO:
            check_info(self.parser.line())
        elif op == HMSG:
            if self.verbose:  # nats-server takes it for a publish that goes nowhere
                self.send_ok()
        elif op == ERR:
            self.log(logging.ERROR, "Client Error %s", self.parser.line().decode("utf-8", "replace"))
            self.close(reasons.PARSE_ERROR)

    # How it comes in: what ``admission`` does with it

    def introduce(self, connect: Connect, now: float) -> None:
        """The client has said this of itself. It has no subscriptions, whatever it has said before."""
        self.connect = connect
        if self.connected:
            self.unsubscribe_all()
        if not self._measured:  # nats-server takes the time from accept to here for the first round trip
            self._measured = True
            self.rtt = now - self.started
        self._ping_deadline = now + min(FIRST_PING, self.hub.authenticator.door(self.origin).ping_interval) * (1 + self._jitter / 5)
        self._expiry = inf

    def wait_for(self, verdict: Pending, now: float) -> None:
        """Hear nothing more until it is known whether the client is let in. Next: the driver finds out, for which there is a time limit."""
        self.pending = verdict
        self._auth_deadline = min(self._auth_deadline, now + self.hub.authenticator.door(self.origin).timeout)

    def settle(self) -> None:
        """Nothing is awaited any more that decides whether the client is let in."""
        self.pending = None
        self._auth_deadline = inf

    def become(self, identity: Identity, account: Account, policy: Policy | None) -> None:
        """Be somebody, with an account and permissions; the client may speak from now on."""
        self.identity = identity
        self.move_to(account)
        self.guard = None if policy is None else Guard(policy)
        self._expiry = inf if identity.deadline is None else identity.deadline - self.hub.epoch
        self.parser.set_connect_only(False)
        self.parser.set_max_payload(account.max_payload)

    def move_to(self, account: Account) -> None:
        """Belong to this account from now on. Nothing is subscribed to yet."""
        if account is not self.account:
            self.account.remove(self)
            self.account = account
            self.last = None
            account.add(self)

    def follow(self, connect: Connect) -> None:
        """Do as the client wishes."""
        self.verbose, self.pedantic, self.echo = connect.verbose, connect.pedantic, connect.echo
        self.headers = connect.headers and not self.hub.options.no_header_support
        self.no_responders = connect.no_responders
        self.parser.set_headers(self.headers)

    def hold(self, data: bytearray) -> None:
        """Keep what the client sends until it is known who it is."""
        if self.held is None:
            self.held = data
        else:
            self.held += data

    def take_held(self) -> bytearray | None:
        """Return and forget what was held."""
        held, self.held = self.held, None
        return held

    # How it ends

    def close(self, reason: str) -> None:
        """End in order. Only the first reason counts. Next: flush, then close the socket."""
        if self.closing is not None:
            return
        self.closing = reason
        self.last_subs = self.subs
        self.unsubscribe_all()
        if self.aborted:
            self.outbox.clear()
        self.last = None
        self.pending = self.held = None
        self._mark_urgent()
        if self._complaints is not None:
            self._log_left_out(self._complaints)
        self.log(logging.DEBUG, "Client connection closed: %s", reason)
        self.hub.remove(self, reason)
        self.last_subs = {}

    def abort(self, reason: str) -> None:
        """End at once: what waits is thrown away. Next: close the socket."""
        self.aborted = True
        self.close(reason)

    def refuse(self, error: RemoteProtocolError) -> None:
        """The client broke the protocol: say what nats-server says, and close."""
        if error.answer == ANSWER_MAX_PAYLOAD:
            self.hub.tracer.tell_too_large(self, self.parser.begun())
        # The reason for refusing a long line shows how it begins, and a CONNECT may begin with a password.
        self.log(logging.ERROR, "%s", error.answer if error.answer == ANSWER_CONTROL_LINE else error.reason)
        if error.answer is not None:
            self.send_error(error.answer)
        self.close(_REASONS.get(error.answer or "", reasons.PROTOCOL_VIOLATION))

    def turn_away(self, text: str, reason: str) -> None:
        """Close the connection for a reason that the client is told."""
        self.send_error(text)
        self.log(logging.ERROR, text)
        self.close(reason)

    def overflow(self) -> None:
        """More than max_pending bytes wait: the client is a slow consumer."""
        self.hub.slow_consumers += 1
        self.log(logging.INFO, "Slow Consumer Detected: MaxPending of %d Exceeded", self.hub.options.max_pending)
        self.abort(reasons.SLOW_CONSUMER_PENDING)

    def expire(self) -> None:
        """The client took nothing for write_deadline seconds: it is a slow consumer."""
        self.hub.slow_consumers += 1
        deadline, waiting = self.hub.options.write_deadline, len(self.outbox)
        self.log(logging.INFO, "Slow Consumer Detected: WriteDeadline of %gs exceeded with 1 chunks of %d total bytes.", deadline, waiting)
        self.abort(reasons.SLOW_CONSUMER_DEADLINE)

    def release(self) -> None:
        """The driver has closed the socket. A session can be remembered for a while, by match results; it then holds nothing."""
        self.transport = None
        self.stalled_by = None
        self.parser = _SPENT
        self.outbox.clear()

    # What it hears

    def put_line(self, line: bytes) -> None:
        """Queue a line. A client that asks for ever more of them and reads none is a slow consumer too."""
        put_line(self.outbox, line)
        if self.tracing:
            trace.log_out(self, line)
        self._mark_urgent()
        if self.outbox.waiting() > self._flush_at:
            self.hub.send_early(self)

    def send_error(self, text: str) -> None:
        """Queue an -ERR."""
        self.put_line(b"-ERR '" + text.encode("utf-8", "surrogateescape") + b"'")

    def send_info(self, info: bytes) -> None:
        """Tell the client what is new about the server, if it is one that can be told, and has been told the rest."""
        if self._pong_sent and self.connect.protocol >= 1:
            self.put_line(b"INFO " + info + b" ")

    def send_ok(self) -> None:
        """Queue a +OK."""
        self.put_line(b"+OK")

    def log(self, level: int, text: str, *values: object) -> None:
        """Log with the connection's prefix, as nats-server writes it."""
        if log.isEnabledFor(level):
            who = describe(self.introduced, self.identity.name, self.account.name)
            log.log(level, f"%s - {text}", f"{came_from(self.address, self.cid, self.origin)}{who}", *values)

    def complain(self, text: str, *values: object) -> None:
        """Log what the client was refused, which it may try as often as it likes: so many lines a second at most."""
        if not log.isEnabledFor(logging.ERROR):
            return
        if self._complaints is None:
            self._complaints = Complaints()
        if self._complaints.admit(self.last_active):
            self._log_left_out(self._complaints)
            self.log(logging.ERROR, text, *values)

    def log_delivery(self, sub: Subscription, publication: Publication) -> None:
        trace.log_delivery(self, sub.sid, publication)

    def _log_left_out(self, complaints: Complaints) -> None:
        left_out = complaints.take_left_out()
        if left_out:
            self.log(logging.ERROR, "%d more refusals", left_out)

    # Its subscriptions

    def unsubscribe(self, sub: Subscription) -> None:
        """Remove one subscription."""
        if self.tracing:
            trace.log_dropped(self, sub.sid)
        if self.subs.pop(sub.sid, None) is not None:
            account: Account = self.account
            account.leave(sub)

    def unsubscribe_all(self) -> None:
        """Remove every subscription."""
        account: Account = self.account
        for sub in self.subs.values():
            account.leave(sub)
        self.subs = {}

    # Operations

    def _mark_urgent(self) -> None:
        if not self.urgent:
            self.urgent = True
            self.hub.urgent.append(self)

    def _answer_ping(self) -> None:
        self.put_line(b"PONG")
        self.active = True
        if self.connected and not self._pong_sent:
            self._pong_sent = True
            if self.connect.protocol >= 1:
                self.put_line(b"INFO " + self.hub.info.second(self) + b" ")

    def _subscribe(self) -> None:
        self.active = True
        sub = read_sub(self, self.parser.line())
        account: Account = self.account
        if not may_subscribe(self, sub):
            refuse(self, sub)
        elif 0 < self.hub.options.max_sub_tokens < sub.subject.count(b".") + 1:
            refuse_tokens(self, sub)
        elif 0 <= account.max_subscriptions <= len(self.subs):
            self.send_error("maximum subscriptions exceeded")
            self.complain("maximum subscriptions exceeded")
        elif sub.sid in self.subs or self._add(sub):
            if self.verbose:
                self.send_ok()
        else:
            self.send_error("Invalid Subject")

    def _add(self, sub: Subscription) -> bool:
        account: Account = self.account
        if not account.join(sub):
            return False
        self.subs[sub.sid] = sub
        if self.hub.on_subscribed:
            hooks.call(self.hub.on_subscribed, self, sub)
        return True

    def _unsubscribe(self) -> None:
        self.active = True
        sid, limit = read_unsub(self.parser.line())
        sub = self.subs.get(sid)
        if sub is not None:
            if limit > sub.delivered:
                sub.limit = limit
            else:
                self.unsubscribe(sub)
        if self.verbose:
            self.send_ok()

    def _ping(self, now: float) -> None:
        """Send a PING, unless the client was heard of lately; give it up where it leaves too many unanswered."""
        options = self.hub.options
        measure = not self._measured or now - self._last_ping > RTT_INTERVAL
        if measure or not self.active:
            if self.pings_out + 1 > options.ping_max:
                self.log(logging.DEBUG, "Stale Client Connection - Closing")
                self.hub.stale_connections += 1
                self.send_error("Stale Connection")
                self.close(reasons.STALE_CONNECTION)
                return
            self.pings_out += 1
            self._last_ping = now
            self.put_line(b"PING")
        self.active = False
        self._ping_deadline = now + self.hub.authenticator.door(self.origin).ping_interval
