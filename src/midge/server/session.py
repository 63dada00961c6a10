"""One client connection as the server sees it: pure, without a socket and without a clock.

The session answers for everything but routing: CONNECT, PING, SUB, UNSUB, limits, permissions to speak at all, and how the
connection ends. The hub parses what arrives (``Hub.receive``), routes publishes and hands every other operation to ``handle``.

What the driver must do: after any call send ``outbox``; when ``closing`` is set, send the rest of ``outbox`` unless ``abandon``
is set too, then close and call ``ended``; call ``handle_timeout(now)`` at ``next_deadline()``, send, and call ``rest``. Times are
seconds of a monotonic clock.

Invariant: a session that is closing has no subscription left in the sublist and never gets a message again.
"""

from __future__ import annotations

import logging
import re
from math import inf
from typing import TYPE_CHECKING, Any

from midge.errors import RemoteProtocolError
from midge.server import trace
from midge.server.auth import is_allowed
from midge.server.connect import Connect, check_info, parse_connect
from midge.server.quote import quote
from midge.wire.parser import ANSWER_AUTHORIZATION, ANSWER_CONTROL_LINE, ANSWER_MAX_PAYLOAD

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.results import Result
    from cython.cimports.midge.server.sublist import Sublist, Subscription
    from cython.cimports.midge.wire.encoder import put_line
    from cython.cimports.midge.wire.octets import CONNECT, ERR, HMSG, INFO, PING, PONG, SUB, UNSUB
    from cython.cimports.midge.wire.outbox import Outbox
    from cython.cimports.midge.wire.parser import Parser
else:
    from midge.server.results import Result
    from midge.server.sublist import Sublist, Subscription
    from midge.wire.encoder import put_line
    from midge.wire.octets import CONNECT, ERR, HMSG, INFO, PING, PONG, SUB, UNSUB
    from midge.wire.outbox import Outbox
    from midge.wire.parser import Parser

__all__ = ["Session"]

log = logging.getLogger("midge.server")

# Why a connection ended: nats-server's words, which its monitoring and logs show.
CLIENT_CLOSED = "Client Closed"
AUTHENTICATION_TIMEOUT = "Authentication Timeout"
AUTHENTICATION_FAILURE = "Authentication Failure"
SLOW_CONSUMER_PENDING = "Slow Consumer (Pending Bytes)"
SLOW_CONSUMER_DEADLINE = "Slow Consumer (Write Deadline)"
PARSE_ERROR = "Parse Error"
PROTOCOL_VIOLATION = "Protocol Violation"
MAX_PAYLOAD_EXCEEDED = "Maximum Message Payload Exceeded"
MAX_CONTROL_LINE_EXCEEDED = "Maximum Control Line Exceeded"
STALE_CONNECTION = "Stale Connection"
SERVER_SHUTDOWN = "Server Shutdown"
MAX_CONNECTIONS = "Maximum Connections Exceeded"
BAD_PROTOCOL_VERSION = "Bad Client Protocol Version"
NO_RESPONDERS_REQUIRES_HEADERS = "No Responders Requires Headers"

FIRST_PING = 2.0  # seconds after CONNECT, to measure the round trip (nats-server's firstClientPingInterval)
RTT_INTERVAL = 3600.0  # seconds after which a busy connection is pinged too
SYSTEM_QUEUE = b"_sys_"
_REASONS = {
    ANSWER_AUTHORIZATION: AUTHENTICATION_FAILURE,
    ANSWER_CONTROL_LINE: MAX_CONTROL_LINE_EXCEEDED,
    ANSWER_MAX_PAYLOAD: MAX_PAYLOAD_EXCEEDED,
}
_FIELD = re.compile(rb"[^ \t\r\n]+")
_SIZE_DIGITS = 9
_SPENT = Parser(True)  # stands in for the parser of a connection that is gone


class Session:
    """One connection's state.

    Args:
        hub: the Hub that routes for it.
        cid: the connection's number, unique in the server.
        peer: "host:port" for the log.
        now: the time.
        jitter: 0.0 to 1.0, spreads the first PINGs of connections that come together.
    """

    __slots__ = (
        "_auth_deadline", "_flush_at", "_jitter", "_last_ping", "_max_subs", "_measured", "_ping_deadline", "_pong_sent", "_sublist",
        "_who",
        "abandon", "active", "blocked", "cid", "closing", "connect", "connected", "dirty", "echo", "headers", "hub",
        "in_bytes", "in_msgs", "last", "no_responders", "out_bytes", "out_msgs", "outbox", "parser", "pedantic",
        "peer", "pings_out", "stalled_by", "subs", "tracing", "transport", "verbose",
    )  # fmt: skip

    def __init__(self, hub: Any, cid: int, peer: str, now: float, jitter: float) -> None:
        options = hub.options
        self.hub = hub
        self.cid = cid
        self.peer = peer
        self.outbox = Outbox()
        self.parser = Parser(True, options.max_control_line, options.max_payload)
        self.parser.set_headers(False)
        self.parser.set_connect_only(options.auth_required)
        self.connect = Connect()
        self.connected = False
        self.verbose = self.pedantic = self.echo = True
        self.headers = self.no_responders = False
        self.subs: dict[bytes, Subscription] = {}
        self.closing: str | None = None
        self.abandon = False
        self.dirty = False
        self.active = False
        self.blocked = False
        self.tracing = log.isEnabledFor(trace.LEVEL)
        self.transport: Any = None
        self.stalled_by: Session | None = None
        self.last: Result | None = None
        self.in_msgs = self.in_bytes = self.out_msgs = self.out_bytes = 0
        self.pings_out = 0
        self._sublist: Sublist = hub.sublist
        self._flush_at: int = hub.flush_at
        self._max_subs: int = options.max_subscriptions
        self._who = f"{peer} - cid:{cid}"
        self._jitter = jitter
        self._pong_sent = False
        self._measured = False
        self._auth_deadline: float = now + options.auth_timeout if options.auth_required else inf
        self._ping_deadline: float = now + options.ping_interval
        self._last_ping = -inf
        self.log(logging.DEBUG, "Client connection created")

    def start(self) -> None:
        """Greet the client with INFO. Next: send ``outbox``."""
        self.put_line(b"INFO " + self.hub.info(self, connect_info=False) + b" ")
        if not self.hub.has_room():
            self.send_error("maximum connections exceeded")
            self.log(logging.ERROR, "maximum connections exceeded")
            self.close(MAX_CONNECTIONS)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the client. Next: send every session in ``hub.dirty``, and see ``closing``."""
        self.hub.receive(self, bytearray(data), len(data), now)

    def receive_eof(self) -> None:
        """The client has gone."""
        self.close(CLIENT_CLOSED)

    def data_to_send(self) -> bytes:
        """Return and forget what waits to be sent."""
        return self.outbox.take_all()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timeout`` must be called, or None."""
        if self.closing is not None:
            return None
        return self._auth_deadline if self._auth_deadline < self._ping_deadline else self._ping_deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due by now. Next: send ``outbox``, see ``closing``; then ``rest``."""
        if self.closing is not None:
            return
        if now >= self._auth_deadline:
            self.send_error("Authentication Timeout")
            self.log(logging.DEBUG, "Authentication Timeout")
            self.close(AUTHENTICATION_TIMEOUT)
        elif now >= self._ping_deadline:
            self._ping(now)

    def rest(self) -> None:
        """Give back what an idle connection does not need; it comes back by itself. Not while ``outbox`` is being written to."""
        self.last = None

    def ended(self) -> None:
        """The driver has closed the connection. A session can be remembered for a while, by match results; it then holds nothing."""
        self.transport = None
        self.stalled_by = None
        self.parser = _SPENT
        self.outbox.clear()

    def handle(self, op: int, now: float) -> None:
        """Carry out an operation that the parser has found, other than a publish."""
        if self.tracing:
            trace.log_in(self, op)
        if op == PING:
            self._answer_ping()
        elif op == PONG:
            self.pings_out = 0
            self._measured = True
        elif op == SUB:
            self._subscribe()
        elif op == UNSUB:
            self._unsubscribe()
        elif op == CONNECT:
            self._connect(self.parser.line(), now)
        elif op == INFO:
            check_info(self.parser.line())
        elif op == HMSG:
            if self.verbose:  # nats-server takes it for a publish that goes nowhere
                self.send_ok()
        elif op == ERR:
            self.log(logging.ERROR, "Client Error %s", self.parser.line().decode("utf-8", "replace"))
            self.close(PARSE_ERROR)

    def fail(self, error: RemoteProtocolError) -> None:
        """The client broke the protocol: say what nats-server says, and close."""
        # The reason for refusing a long line shows how it begins, and a CONNECT may begin with a password.
        self.log(logging.ERROR, "%s", error.answer if error.answer == ANSWER_CONTROL_LINE else error.reason)
        if error.answer is not None:
            self.send_error(error.answer)
        self.close(_REASONS.get(error.answer or "", PROTOCOL_VIOLATION))

    def overflow(self) -> None:
        """More than max_pending bytes wait: the client is a slow consumer, and none of them is worth sending."""
        self.hub.slow_consumers += 1
        self.log(logging.INFO, "Slow Consumer Detected: MaxPending of %d Exceeded", self.hub.options.max_pending)
        self.abandon = True
        self.close(SLOW_CONSUMER_PENDING)

    def stuck(self, waiting: int) -> None:
        """The client took nothing for write_deadline seconds."""
        self.hub.slow_consumers += 1
        deadline = self.hub.options.write_deadline
        self.log(logging.INFO, "Slow Consumer Detected: WriteDeadline of %gs exceeded with 1 chunks of %d total bytes.", deadline, waiting)
        self.abandon = True
        self.close(SLOW_CONSUMER_DEADLINE)

    def close(self, reason: str) -> None:
        """End the connection. Only the first reason counts. Next: send the rest unless ``abandon``, then close the socket."""
        if self.closing is not None:
            return
        self.closing = reason
        self.drop_subscriptions()
        if self.abandon:
            self.outbox.clear()
        self.last = None
        if not self.dirty:
            self.dirty = True
            self.hub.dirty.append(self)
        self.hub.forget(self)
        self.log(logging.DEBUG, "Client connection closed: %s", reason)

    def drop_subscriptions(self) -> None:
        """Remove every subscription of this session."""
        for sub in self.subs.values():
            self.hub.sublist.remove(sub)
        self.subs.clear()

    def put_line(self, line: bytes) -> None:
        """Queue a line. A client that asks for ever more of them and reads none is a slow consumer too."""
        put_line(self.outbox, line)
        if self.tracing:
            trace.log_out(self, line)
        if not self.dirty:
            self.dirty = True
            self.hub.dirty.append(self)
        if self.outbox.waiting() > self._flush_at:
            self.hub.relieve(self)

    def send_error(self, text: str) -> None:
        """Queue an -ERR."""
        self.put_line(b"-ERR '" + text.encode("utf-8", "surrogateescape") + b"'")

    def send_ok(self) -> None:
        """Queue a +OK."""
        self.put_line(b"+OK")

    def log(self, level: int, text: str, *values: object) -> None:
        """Log with the connection's prefix, as nats-server writes it."""
        if log.isEnabledFor(level):
            log.log(level, f"%s - {text}", self._who, *values)

    # Operations

    def _connect(self, line: bytes, now: float) -> None:
        first = not self.connected
        connect = parse_connect(line, self.connect)
        self.connect = connect
        self.connected = True
        self._measured = True  # nats-server takes the time from accept to here for the first round trip
        self._auth_deadline = inf
        interval = self.hub.options.ping_interval
        self._ping_deadline = now + min(FIRST_PING, interval) * (1 + self._jitter / 5)
        if not first:
            self.drop_subscriptions()
        if not is_allowed(self.hub.options, connect) or connect.account or connect.new_account:
            self.log(logging.ERROR, "authentication error%s", _who_tried(connect))
            self.send_error(ANSWER_AUTHORIZATION)
            self.close(AUTHENTICATION_FAILURE)
            return
        self.parser.set_connect_only(False)
        self.verbose, self.pedantic, self.echo = connect.verbose, connect.pedantic, connect.echo
        self.headers = connect.headers
        self.parser.set_headers(connect.headers)
        if first:
            self._who += _describe(connect)
        if connect.protocol not in (0, 1):
            self._refuse("invalid client protocol", BAD_PROTOCOL_VERSION)
        elif connect.no_responders and not connect.headers:
            self._refuse("no responders requires headers support", NO_RESPONDERS_REQUIRES_HEADERS)
        else:
            self.no_responders = connect.no_responders
            if connect.verbose:
                self.send_ok()

    def _answer_ping(self) -> None:
        self.put_line(b"PONG")
        self.active = True
        if self.connected and not self._pong_sent:
            self._pong_sent = True
            if self.connect.protocol >= 1:
                self.put_line(b"INFO " + self.hub.info(self, connect_info=True) + b" ")

    def _refuse(self, text: str, reason: str) -> None:
        self.send_error(text)
        self.log(logging.ERROR, text)
        self.close(reason)

    def _subscribe(self) -> None:
        self.active = True
        line = self.parser.line()
        args = _arguments(line)
        count = len(args)
        if count != 2 and count != 3:
            raise RemoteProtocolError(f"processSub Parse Error: {quote(line)}")
        subject = args[0]
        sid = args[count - 1]
        queue = args[1] if count == 3 else None
        if queue == SYSTEM_QUEUE:
            names = quote(subject), quote(SYSTEM_QUEUE)
            self.send_error("Permissions Violation for Subscription to {} using queue {}".format(*names))
            self.log(logging.ERROR, "Subscription Violation - Subject %s, Queue: %s, SID %s", *names, sid.decode("utf-8", "replace"))
        elif self._max_subs and len(self.subs) >= self._max_subs:
            self.send_error("maximum subscriptions exceeded")
            self.log(logging.ERROR, "maximum subscriptions exceeded")
        elif sid in self.subs or self._add(Subscription(self, subject, queue, sid)):
            if self.verbose:
                self.send_ok()
        else:
            self.send_error("Invalid Subject")

    def _add(self, sub: Subscription) -> bool:
        if not self._sublist.insert(sub):
            return False
        self.subs[sub.sid] = sub
        return True

    def _unsubscribe(self) -> None:
        self.active = True
        line = self.parser.line()
        args = _arguments(line)
        count = len(args)
        if count != 1 and count != 2:
            raise RemoteProtocolError(f"processUnsub Parse Error: {quote(line)}")
        sub = self.subs.get(args[0])
        if sub is not None:
            limit = int(args[1]) if count == 2 and args[1].isdigit() and len(args[1]) <= _SIZE_DIGITS else 0
            if limit > sub.delivered:
                sub.limit = limit
            else:
                self.drop(sub)
        if self.verbose:
            self.send_ok()

    def drop(self, sub: Subscription) -> None:
        """Remove one subscription."""
        if self.tracing:
            trace.log_dropped(self, sub.sid)
        if self.subs.pop(sub.sid, None) is not None:
            self._sublist.remove(sub)

    def _ping(self, now: float) -> None:
        """Send a PING, unless the client was heard of lately; give it up where it leaves too many unanswered."""
        options = self.hub.options
        measure = not self._measured or now - self._last_ping > RTT_INTERVAL
        if measure or not self.active:
            if self.pings_out + 1 > options.ping_max:
                self.log(logging.DEBUG, "Stale Client Connection - Closing")
                self.hub.stale_connections += 1
                self.send_error("Stale Connection")
                self.close(STALE_CONNECTION)
                return
            self.pings_out += 1
            self._last_ping = now
            self.put_line(b"PING")
        self.active = False
        self._ping_deadline = now + options.ping_interval


def _arguments(line: bytes) -> list[bytes]:
    """Split a line as nats-server does: at runs of blank, tab, CR and LF. ``bytes.split`` would split at VT and FF as well."""
    args = line.split()
    return args if b" ".join(args) == line else _FIELD.findall(line)


def _describe(connect: Connect) -> str:
    """Return the part of the log prefix that names the client: ``"v1.2:go:name"``, then ``"$G/user:bob"``."""
    parts = ([f"v{connect.version}"] if connect.version else []) + [part for part in (connect.lang, connect.name) if part]
    who = f" - {_in_quotes(':'.join(parts))}" if parts else ""
    if connect.nkey:
        return f"{who} - {_in_quotes(f'$G/nkey:{connect.nkey}')}"
    if connect.user:
        return f"{who} - {_in_quotes(f'$G/user:{connect.user}')}"
    return f'{who} - "$G/token"' if connect.auth_token else who


def _who_tried(connect: Connect) -> str:
    """Return what the log says of a client that presented the wrong credentials."""
    if connect.nkey:
        return f" - Nkey {_in_quotes(connect.nkey)}"
    if connect.user:
        return f" - User {_in_quotes(connect.user)}"
    return ' - Token "[REDACTED]"' if connect.auth_token else ""


def _in_quotes(text: str) -> str:
    """Quote what a client says of itself: it must not be able to write log lines of its own."""
    return quote(text.encode("utf-8", "replace"))
