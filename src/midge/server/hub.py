"""Hub: routes what one client publishes to everybody who is subscribed. Pure: no socket, no clock, no randomness of its own.

The hub owns the sublist, the sessions and the counters of one server. ``receive`` is the message path: it parses a chunk and, for
each publish, looks up the subscribers and appends the message to their outboxes; nothing is allocated per message. Sessions that
have something to send are collected in ``dirty``, each once, and sent by ``flush`` after the chunk. An outbox that has collected
64 KiB meanwhile is sent at once, so that one chunk fanned out to thousands of clients does not pile up.

Backpressure is nats-server's: a publisher that overfills another client's outbox (three quarters of max_pending) is marked
``stalled_by`` that client, and the driver stops reading from it for a moment; a client that exceeds max_pending all the same is
a slow consumer and is disconnected.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

from midge.errors import RemoteProtocolError
from midge.server import trace
from midge.server.options import Options
from midge.server.quote import quote

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.results import Result
    from cython.cimports.midge.server.session import Session
    from cython.cimports.midge.server.sublist import Group, Sublist, Subscription
    from cython.cimports.midge.wire.encoder import put_message, put_stripped
    from cython.cimports.midge.wire.octets import HPUB, NEED_DATA, PUB, cut, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.results import Result
    from midge.server.session import Session
    from midge.server.sublist import Group, Sublist, Subscription
    from midge.wire.encoder import put_message, put_stripped
    from midge.wire.octets import HPUB, NEED_DATA, PUB, cut, same
    from midge.wire.publication import Publication

__all__ = ["GLOBAL_ACCOUNT", "NATS_VERSION", "Hub"]

NATS_VERSION = "2.11.0"  # clients ask for a server of some version before they use a feature; see docs/decisions.md
GLOBAL_ACCOUNT = "$G"
FLUSH_AT = 65536
_ACCOUNT_INFO = b',"connect_info":true,"remote_account":"%b"' % GLOBAL_ACCOUNT.encode()
_LCG_FACTOR = 1103515245
_LCG_STEP = 12345
_LCG_MASK = 0x7FFFFFFF


class Hub:
    """Routing for one server.

    Args:
        options: the server's options.
        server_id: the server's public nkey.
        seed: where the choice among the members of a queue group begins.
    """

    __slots__ = (
        "_closed", "_info", "_info_head", "_max_pending", "_seed",
        "dirty", "flush_at", "options", "sessions", "slow_consumers", "stale_connections", "stall_at", "sublist", "total_sessions",
    )  # fmt: skip

    def __init__(self, options: Options, server_id: str, seed: int) -> None:
        self.options = options
        self.sublist = Sublist()
        self.sessions: dict[int, Session] = {}
        self.dirty: list[Session] = []
        self.slow_consumers = 0
        self.stale_connections = 0
        self.total_sessions = 0
        self._closed = [0, 0, 0, 0]
        self._seed = seed & _LCG_MASK
        self._max_pending = options.max_pending
        self.stall_at = options.max_pending // 4 * 3
        self.flush_at = min(FLUSH_AT, self.stall_at)
        self._info: dict[str, object] = {
            "server_id": server_id,
            "server_name": options.name or server_id,
            "version": NATS_VERSION,
            "proto": 1,
            "go": f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}",
            "host": options.host,
            "port": options.port,
            "headers": True,
            "max_payload": options.max_payload,
        }
        if options.auth_required:
            self._info["auth_required"] = True
        self.set_address(options.host, options.port)

    def set_address(self, host: str, port: int) -> None:
        """Say where the server listens; goes into INFO."""
        self._info["host"] = host
        self._info["port"] = port
        self._info_head = json.dumps(self._info, separators=(",", ":")).encode()[:-1]

    @property
    def server_id(self) -> str:
        return str(self._info["server_id"])

    @property
    def server_name(self) -> str:
        return str(self._info["server_name"])

    def connect(self, peer: str, now: float, jitter: float) -> Session:
        """Return the session of a new connection. Next: set its ``transport``, call its ``start``, then ``flush``."""
        self.total_sessions += 1
        session = Session(self, self.total_sessions, peer, now, jitter)
        self.sessions[session.cid] = session
        return session

    def has_room(self) -> bool:
        """True if the newest session is not one too many."""
        return len(self.sessions) <= self.options.max_connections

    def forget(self, session: Session) -> None:
        """Take a session out; its counters stay in the totals."""
        if self.sessions.pop(session.cid, None) is not None:
            counts = (session.in_msgs, session.in_bytes, session.out_msgs, session.out_bytes)
            self._closed = [total + count for total, count in zip(self._closed, counts)]

    def totals(self) -> tuple[int, int, int, int]:
        """Return in_msgs, in_bytes, out_msgs, out_bytes of all sessions there ever were."""
        counts = [(s.in_msgs, s.in_bytes, s.out_msgs, s.out_bytes) for s in self.sessions.values()]
        in_msgs, in_bytes, out_msgs, out_bytes = (sum(column) for column in zip(self._closed, *counts))
        return in_msgs, in_bytes, out_msgs, out_bytes

    def info(self, session: Session, connect_info: bool) -> bytes:
        """Return the INFO for one session; the second one says to which account it belongs."""
        info = self._info_head + b',"client_id":%d' % session.cid
        client_ip = session.peer.rpartition(":")[0].strip("[]")
        if client_ip:
            info += b',"client_ip":%b' % json.dumps(client_ip).encode()
        return info + (_ACCOUNT_INFO if connect_info else b"") + b"}"

    # The message path

    def receive(self, session: Session, chunk: bytearray, stop: int, now: float) -> None:
        """Take chunk[:stop] from a client. Next: ``flush``; see the session's ``closing`` and ``stalled_by``."""
        if session.closing is not None:
            return
        parser = session.parser
        parser.receive(chunk, stop)
        try:
            while True:
                op = parser.next()
                if op == PUB or op == HPUB:
                    self._publish(session, parser.publication, op)
                elif op == NEED_DATA:
                    return
                else:
                    session.handle(op, now)
                if session.closing is not None:
                    return
        except RemoteProtocolError as error:
            session.fail(error)

    def flush(self) -> None:
        """Let the driver send what every dirty session has to send. Each is off the list first: nobody's failure keeps it there."""
        while self.dirty:
            session = self.dirty.pop()
            session.dirty = False
            if session.transport is not None:
                session.transport.flush()

    def relieve(self, target: Session) -> None:
        """Send a long outbox now; give its session up where that does not help."""
        if not target.blocked and target.transport is not None:
            target.transport.flush()
        out = target.outbox
        if target.closing is None and out.before + out.fill - out.start > self._max_pending:
            target.overflow()

    def _publish(self, session: Session, publication: Publication, op: int) -> None:
        buf = publication.buf
        session.in_msgs += 1
        session.in_bytes += publication.payload_end - publication.payload_start
        session.active = True
        if session.tracing:
            trace.log_publish(session, op)
        result = session.last
        if result is None or not same(buf, publication.subject_start, publication.subject_end, result.subject) or not result.is_fresh():
            result = self.sublist.match(cut(buf, publication.subject_start, publication.subject_end))
            session.last = None if result.stale else result
        if session.pedantic and not _is_literal(result.subject):
            session.send_error("Invalid Publish Subject")
        if self._is_reserved(session, publication, result.subject):
            return
        if session.verbose:
            session.send_ok()
        if not self._route(session, publication, result) and session.no_responders and publication.reply_end:
            self._say_no_responders(session, publication, result.subject)

    def _route(self, producer: Session, publication: Publication, result: Result) -> bool:
        """Deliver to everybody in the result. Its members keep their places meanwhile; who leaves meanwhile does not get it."""
        delivered = False
        sublist = self.sublist
        groups = result.groups  # the result itself may go stale on the way
        sublist.routing += 1
        try:
            for node in result.nodes:
                sub = node.one
                if sub is not None:
                    if self._deliver(producer, sub, publication):
                        delivered = True
                elif node.plain is not None:
                    for member in node.plain:
                        if member is not None and self._deliver(producer, member, publication):
                            delivered = True
            for namesakes in groups:
                if self._deliver_one(producer, namesakes, publication):
                    delivered = True
        finally:
            sublist.routing -= 1
            if sublist.unsettled:
                sublist.settle()
        return delivered

    def _deliver(self, producer: Session, sub: Subscription, publication: Publication) -> bool:
        """Append the message to the subscriber's outbox. False where it may not have it."""
        target = sub.session
        if target.closing is not None or (target is producer and not target.echo):
            return False
        sub.delivered += 1
        if sub.limit and sub.delivered >= sub.limit:
            target.drop(sub)
        out = target.outbox
        size = publication.payload_end - publication.payload_start
        if publication.header_size < 0 or (target.headers and publication.header_size):
            put_message(out, publication, sub.sid)
        else:
            size -= publication.header_size
            put_stripped(out, publication, sub.sid)
        target.out_msgs += 1
        target.out_bytes += size
        if not target.dirty:
            target.dirty = True
            self.dirty.append(target)
        if target.tracing:
            trace.log_delivery(target, sub.sid, publication)
        if out.before + out.fill - out.start > self.flush_at:
            self.relieve(target)
            if out.before + out.fill - out.start > self.stall_at:
                producer.stalled_by = target
        return True

    def _deliver_one(self, producer: Session, groups: list[Group], publication: Publication) -> bool:
        """Deliver to one member of a queue group: a random one, or the next that may have it. Each group has those of one pattern."""
        total = 0
        for group in groups:
            total += len(group.members)
        if total == 0:
            return False
        self._seed = (self._seed * _LCG_FACTOR + _LCG_STEP) & _LCG_MASK
        chosen = (self._seed >> 8) % total
        turn = 0
        group = groups[0]
        while chosen >= len(group.members):
            chosen -= len(group.members)
            turn += 1
            group = groups[turn]
        at = chosen
        for _ in range(len(groups) + 1):  # the first group twice: from the chosen member on, and at last from its beginning
            members = group.members
            while at < len(members):
                if self._deliver(producer, members[at], publication):
                    return True
                at += 1
            at = 0
            turn = turn + 1 if turn + 1 < len(groups) else 0
            group = groups[turn]
        return False

    def _is_reserved(self, session: Session, publication: Publication, subject: bytes) -> bool:
        """Refuse subjects and reply subjects that servers keep for themselves."""
        first = subject[0]
        if (first == 36 or first == 95) and (subject.startswith(b"$NRG.") or _is_gateway(subject)):
            session.send_error(f"Permissions Violation for Publish to {quote(subject)}")
            session.log(logging.ERROR, "Publish Violation - Subject %s", quote(subject))
            return True
        if publication.reply_end == 0:
            return False
        first = publication.buf[publication.reply_start]
        if first != 36 and first != 95:
            return False
        reply = publication.reply()
        if not (reply.startswith(b"_R_.") or (reply.startswith(b"$JS.ACK.") and len(reply) > 8) or _is_gateway(reply)):
            return False
        session.send_error(f"Permissions Violation for Publish with Reply of {quote(reply)}")
        session.log(logging.ERROR, "Publish Violation - Reply %s", quote(reply))
        return True

    def _say_no_responders(self, session: Session, publication: Publication, subject: bytes) -> None:
        """Answer a request that nobody gets with status 503, if the publisher itself listens on the reply subject."""
        reply = publication.reply()
        for node in self.sublist.match_uncached(reply).nodes:
            for sub in (node.one,) if node.plain is None else node.plain:
                if sub is not None and sub.session is session:
                    header = b"NATS/1.0 503\r\nNats-Subject: %b\r\n\r\n" % subject
                    session.put_line(b"HMSG %b %b %d %d\r\n%b" % (reply, sub.sid, len(header), len(header), header))
                    return


def _is_literal(subject: bytes) -> bool:
    """True if no token is empty, ``*`` or ``>``: what a pedantic client may publish to (nats-server's IsValidLiteralSubject)."""
    tokens = subject.split(b".")
    return not (b"" in tokens or b"*" in tokens or b">" in tokens)


def _is_gateway(subject: bytes) -> bool:
    """True for the subjects between clusters: a prefix and something behind it, in the old form and the new."""
    return (subject.startswith(b"_GR_.") and len(subject) > 5) or (subject.startswith(b"$GR.") and len(subject) > 4)
