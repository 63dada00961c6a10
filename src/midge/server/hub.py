"""Hub: routes what one peer publishes to everybody who is subscribed. Pure: no socket, no clock, no randomness of its own.

The hub owns the accounts and the sessions of one server. ``receive`` is the message path: it parses a chunk and routes each publish that
it finds; nothing is allocated per message. ``route`` is the one way in, for clients and for the server itself: it looks up
who is subscribed and appends the message to their outboxes. What waits to be sent, and what the server itself has to say, is kept in
``Sending``, the other half of a hub; ``flush_some`` routes and sends a piece of it.

A turn is bounded. ``receive`` stops after a budget of work, or when its client is to be held back, and leaves the rest of the chunk to
``proceed``.

Backpressure is nats-server's: a publisher that overfills another client's outbox (three quarters of max_pending) is marked
``stalled_by`` that client, and is not heard for a moment, unless it is ``hurried``: that was long enough for one read. A client that
exceeds max_pending all the same is a slow consumer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.errors import RemoteProtocolError
from midge.nuid import Nuid
from midge.quote import quote
from midge.server import hooks, trace
from midge.server.access import GLOBAL_ACCOUNT
from midge.server.accounts import Accounts
from midge.server.auth import Authenticator
from midge.server.info import Info
from midge.server.message_trace import MessageTrace
from midge.server.options import ServerOptions
from midge.server.sending import WORK
from midge.server.tracer import Tracer

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.account import Account
    from cython.cimports.midge.server.admission import Admission
    from cython.cimports.midge.server.chance import Chance
    from cython.cimports.midge.server.guard import Guard
    from cython.cimports.midge.server.inlet import Inlet
    from cython.cimports.midge.server.mapping import Mappings
    from cython.cimports.midge.server.peer import Peer
    from cython.cimports.midge.server.publishing import is_only_traced, note_mapping, refuse, refuse_reserved, say_no_responders
    from cython.cimports.midge.server.results import Result
    from cython.cimports.midge.server.route import Route
    from cython.cimports.midge.server.sending import Sending
    from cython.cimports.midge.server.service_imports import Relay, Services
    from cython.cimports.midge.server.session import Session
    from cython.cimports.midge.server.stream_imports import Shadow
    from cython.cimports.midge.server.sublist import Group, Node, Sublist, Subscription
    from cython.cimports.midge.server.tokens import is_literal
    from cython.cimports.midge.server.trace_headers import asks
    from cython.cimports.midge.wire.encoder import put_message, put_stripped
    from cython.cimports.midge.wire.octets import HPUB, NEED_DATA, PUB, cut, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.account import Account
    from midge.server.admission import Admission
    from midge.server.chance import Chance
    from midge.server.guard import Guard
    from midge.server.inlet import Inlet
    from midge.server.mapping import Mappings
    from midge.server.peer import Peer
    from midge.server.publishing import is_only_traced, note_mapping, refuse, refuse_reserved, say_no_responders
    from midge.server.results import Result
    from midge.server.route import Route
    from midge.server.sending import Sending
    from midge.server.service_imports import Relay, Services
    from midge.server.session import Session
    from midge.server.stream_imports import Shadow
    from midge.server.sublist import Group, Node, Sublist, Subscription
    from midge.server.tokens import is_literal
    from midge.server.trace_headers import asks
    from midge.wire.encoder import put_message, put_stripped
    from midge.wire.octets import HPUB, NEED_DATA, PUB, cut, same
    from midge.wire.publication import Publication

__all__ = ["Hub"]

_WORK = WORK
_WORK_CONTROL = 64  # what else costs as much as how many deliveries: an operation that is no publish,
_WORK_LINE = 4  # with each byte of its line, such as a subject of thousands of tokens,
_WORK_SHIFT = 9  # 512 bytes of a message,
_WORK_PUBLISH = 2  # and finding out who gets it,
_WORK_SEARCH = 2  # with each node of the sublist that is looked at,
_WORK_ANSWER = 96  # where the result serves one answer only
_HASH = 8  # characters of the server's id that mark the reply subjects of requests that are measured

log = logging.getLogger("midge.server")


class Hub(Sending):
    """Routing for one server.

    Args:
        options: the server's options.
        server_id: the server's public nkey.
        seed: where the choice among the members of a queue group begins.

    Attributes:
        accounts: by name.
        account: the one of everybody who is in no other, and of clients that have not said who they are.
        authenticator: says who may connect; ``admission`` lets them in.
        info: what the server says of itself.
        chance: rolls the dice.
        sessions: the open connections by number.
        services: what the accounts ask of each other.
        now: the time, as far as the hub knows it: at least that of the last chunk.
        epoch: what makes it seconds since the epoch, when it is added.
        imported: how many accounts the message under way has come through.
        trace: what becomes of the message under way, begun by the ``tracer``; None for nearly all.
        producer: who has sent what an Inlet is being given; None for the server itself.
        on_connected: called with a session whose first CONNECT was accepted.
        on_subscribed: called with a session and its new subscription.
        on_closed: called with a session that ends, and the reason. It may still be about to be sent something.
    """

    __slots__ = (
        "_all_accounts", "account", "accounts", "admission", "authenticator", "chance", "epoch", "imported", "info", "now", "on_closed",
        "on_connected", "on_subscribed", "options", "producer", "server_id", "server_name", "services", "sessions", "slow_consumers",
        "stale_connections", "stalls", "trace", "tracer",
    )  # fmt: skip

    def __init__(self, options: ServerOptions, server_id: str, seed: int) -> None:
        Sending.__init__(self, options.max_pending)
        self.options = options
        self.authenticator = Authenticator(options)
        self.admission = Admission(self)
        self.info = Info(options, self.authenticator, server_id)
        self.server_id, self.server_name = server_id, self.info.server_name
        self.trace: MessageTrace | None = None
        self.tracer = Tracer(self)
        self.chance = Chance(seed)
        self.now = self.epoch = 0.0
        self.services = Services(self, Nuid().next, b"." + server_id[-_HASH:].encode() + b".T")
        self._all_accounts = Accounts(options, self.chance, self.services)
        self._take_accounts()
        self.sessions: dict[int, Session] = {}
        self.on_connected: list[Callable[[Session], None]] = []
        self.on_subscribed: list[Callable[[Session, Subscription], None]] = []
        self.on_closed: list[Callable[[Session, str], None]] = []
        self.producer: Peer | None = None
        self.imported = self.slow_consumers = self.stale_connections = self.stalls = 0

    def set_options(self, options: ServerOptions) -> None:
        """Go on with these options. What they mean for the sessions that there are is seen to in ``reload``."""
        self.options = options
        self.authenticator = Authenticator(options)
        self.info.set_options(options, self.authenticator)

    def renew_accounts(self) -> None:
        """Make the accounts anew, as the options have them now. Next: let every session ``reconsider``, or close it."""
        self._all_accounts.renew(self.options)
        self._take_accounts()
        self.readdress(self.accounts)

    def _take_accounts(self) -> None:
        self.accounts = self._all_accounts.by_name
        self.account = self.accounts[GLOBAL_ACCOUNT]

    def totals(self) -> tuple[int, int, int, int]:
        """Return in_msgs, in_bytes, out_msgs, out_bytes of all sessions there ever were."""
        return self._all_accounts.totals()

    def remove(self, session: Session, reason: str) -> None:
        """Take out a session that has begun to close."""
        if self.sessions.pop(session.cid, None) is not None:
            session.account.remove(session)
            hooks.call(self.on_closed, session, reason)

    # The message path

    def receive(self, session: Session, chunk: bytearray, stop: int, now: float) -> bool:
        """Take chunk[:stop] from a client. True where it is done with. Next: flush; see the session's ``closing`` and ``stalled_by``.

        False where the turn is over before the chunk is: leave the chunk alone, take no other, and call ``proceed`` in a later turn.
        """
        if session.closing is not None:
            return True
        session.last_active = self.now = now
        session.hurried = False
        if session.may_begin and stop:
            self.admission.hear_first(session, chunk[0])
        if session.pending is not None:
            session.hold(chunk[:stop])
            return True
        session.parser.receive(chunk, stop)
        return self.proceed(session, now)

    def proceed(self, session: Session, now: float) -> bool:
        """Go on with the session's chunk. Answers what ``receive`` answers."""
        parser = session.parser
        self._work = _WORK
        self.now = now
        try:
            while session.closing is None:
                op = parser.next()
                if op == PUB or op == HPUB:
                    publication: Publication | None = parser.publication
                    if op == HPUB and asks(parser.publication):
                        publication = self.tracer.begin(session, publication)
                    if publication is not None:
                        self._publish(session, publication, op)
                    if self.trace is not None:
                        self.tracer.finish(session)
                elif op == NEED_DATA:
                    return True
                else:
                    self._work -= _WORK_CONTROL + _WORK_LINE * (parser.line_end - parser.line_start)
                    session.handle(op, now)
                    if session.pending is not None:
                        session.hold(parser.take_rest())
                        return True
                if self._work < 0 or session.stalled_by is not None:
                    return session.closing is not None
        except RemoteProtocolError as error:
            session.refuse(error)
        finally:
            self.trace = None
        return True

    def route(self, account: Account, publication: Publication, producer: Peer | None) -> bool:
        """Give a message to everybody in the account who is subscribed to its subject. True if anybody was.

        Args:
            producer: who sent it, None for the server itself.
        """
        cached = producer is not None and producer.account is account
        result: Result | None = producer.last if cached else None  # type: ignore[union-attr]
        if (
            result is None
            or not same(publication.buf, publication.subject_start, publication.subject_end, result.subject)
            or not result.is_fresh()
        ):
            sublist = account.sublist
            subject = cut(publication.buf, publication.subject_start, publication.subject_end)
            once = subject.startswith(b"_R_.") or subject.startswith(b"$JS.ACK.")  # published to once
            result = sublist.match_uncached(subject) if once else sublist.match(subject)
            self._work -= _WORK_SEARCH * sublist.searched
            if cached:
                producer.last = None if result.stale else result  # type: ignore[union-attr]
        self._work -= _WORK_PUBLISH
        if result.only is not None:  # most messages: nobody else to reach, so no place to lose meanwhile
            node: Node = result.only
            if node.one is not None and not node.one.limit:
                return self.deliver(producer, node.one, publication)
        return self._reach(account.sublist, producer, result, publication)

    def route_once(self, account: Account, publication: Publication, producer: Peer | None) -> bool:
        """The same for a subject that is published to once: who is subscribed is not remembered."""
        sublist = account.sublist
        result = sublist.match_uncached(publication.subject())
        self._work -= _WORK_PUBLISH + _WORK_SEARCH * sublist.searched
        return self._reach(sublist, producer, result, publication)

    def carry(self, route: Route, publication: Publication) -> int:
        """Give a message of the server's own to everybody at the end of a route. Not while anything is routed.

        Returns:
            0 where nobody got it, 1, or 2 where so much waits for one of them that the next message should wait.
        """
        account: Account | None = self.accounts.get(route.account)
        if account is None:
            return 0
        self.must_wait = False
        self.services.carried = route.subject
        try:
            if not self._reach(account.sublist, None, route.find(account), publication):
                return 0
        finally:
            self.services.carried = None
        return 2 if self.must_wait else 1

    def carry_on(self, account: Account, subject: bytes, publication: Publication) -> bool:
        """Give what is carried to those who listen to another subject in another account. True if anybody got it."""
        return self._reach(account.sublist, None, account.sublist.match_uncached(subject), publication)

    def _reach(self, sublist: Sublist, producer: Peer | None, result: Result, publication: Publication) -> bool:
        sublist.routing += 1
        try:
            return self._fan_out(producer, result, publication)
        finally:
            sublist.routing -= 1
            if sublist.unsettled:
                sublist.settle()

    def can_spend(self, work: int) -> bool:
        """Take so much work, in deliveries, out of what the turn may do. False where nothing is left: do without."""
        if self._work < 0:
            return False
        self._work -= work
        return True

    def _publish(self, session: Session, publication: Publication, op: int) -> None:
        session.in_msgs += 1
        session.in_bytes += publication.payload_end - publication.payload_start
        session.active = True
        if session.tracing:
            self._work -= _WORK_CONTROL
            trace.log_publish(session, op)
        if session.pedantic and not is_literal(publication.subject()):
            session.send_error("Invalid Publish Subject")
        account: Account = session.account
        if account.mappings is not None:
            publication = self._redirect(session, account.mappings, publication)
        guard: Guard | None = session.guard
        if guard is not None and not guard.may_publish(publication, self.now):
            self._work -= _WORK_CONTROL + _WORK_LINE * refuse(session, publication.subject())
            return
        first = publication.buf[publication.subject_start]
        if first == 36 or first == 95 or publication.reply_end:
            refused = refuse_reserved(session, publication)
            if refused:
                self._work -= _WORK_CONTROL + _WORK_LINE * refused
                return
        if session.verbose:
            session.send_ok()
        if not self.route(account, publication, session) and session.no_responders and publication.reply_end:
            self._say_no_responders(session, publication)

    def _redirect(self, session: Session, mappings: Mappings, publication: Publication) -> Publication:
        """Let the account's mappings have their say."""
        found = mappings.redirect(publication)
        if found is not publication:
            self._work -= found.subject_end  # what functions make of long tokens takes its time
            if session.tracing or self.trace is not None:
                note_mapping(session, publication.subject(), found.subject())
        return found

    def _fan_out(self, producer: Peer | None, result: Result, publication: Publication) -> bool:
        """Deliver to everybody in the result. Its members keep their places meanwhile; who leaves meanwhile does not get it."""
        delivered = False
        all_groups = result.groups  # the result itself may go stale on the way
        for node in result.nodes:
            sub = node.one
            if sub is not None:
                if self.deliver(producer, sub, publication):
                    delivered = True
            elif node.plain is not None:
                left = len(node.plain)  # and no more: a sink may subscribe anew each time it is delivered to
                for member in node.plain:
                    if left == 0:
                        break
                    left -= 1
                    if member is not None and self.deliver(producer, member, publication):
                        delivered = True
        for groups in all_groups:
            if self._deliver_one(producer, groups, publication):
                delivered = True
        return delivered

    def deliver(self, producer: Peer | None, sub: Subscription, publication: Publication) -> bool:
        """Append the message to the subscriber's outbox. False where it may not have it."""
        target = sub.peer
        if target is None:
            return self._deliver_to_sink(producer, sub, publication)
        if self.trace is not None and is_only_traced(self.trace, producer, sub, publication):
            return True
        if target.closing is not None or (target is producer and not target.echo):
            self._work -= 1
            return False
        guard: Guard | None = target.guard
        if guard is not None and guard.filtering and guard.denies(publication, sub.queue):
            self._work -= _WORK_PUBLISH
            return False
        sub.delivered += 1
        if sub.limit and sub.delivered >= sub.limit:
            target.unsubscribe(sub)
        out = target.outbox
        size = publication.payload_end - publication.payload_start
        if publication.header_size < 0 or (target.headers and publication.header_size):
            put_message(out, publication, sub.sid)
        else:
            size -= publication.header_size
            put_stripped(out, publication, sub.sid)
        target.out_msgs += 1
        target.out_bytes += size
        self._work -= 1 + (size >> _WORK_SHIFT)
        self.piled += size
        if guard is not None and guard.answers and publication.reply_end:
            guard.expect(publication, self.now)
        if not target.dirty:
            target.dirty = True
            self.dirty.append(target)
        if target.tracing:
            target.log_delivery(sub, publication)
        if out.before + out.fill - out.start > self.flush_at:
            self.send_early(target)
            self.note_long(target, producer)
        return True

    def _deliver_to_sink(self, producer: Peer | None, sub: Subscription, publication: Publication) -> bool:
        """Hand the message to a subscription of the server's own. The safety net: its bug costs neither publisher nor subscribers."""
        sink = sub.sink
        if isinstance(sink, Shadow):
            shadow = sink
            return self._deliver_to_shadow(producer, sub, shadow, publication)
        sub.delivered += 1
        try:
            if isinstance(sink, Inlet):
                inlet = sink
                if producer is None and not inlet.hears(publication):
                    return False
                self._work -= inlet.work + ((publication.payload_end - publication.payload_start) >> _WORK_SHIFT)
                self.producer = producer
                return inlet.receive(publication, int((self.now + self.epoch) * 1e9))
            self._work -= _WORK_CONTROL
            if isinstance(sink, Relay):
                relay = sink
                return relay.relay(self.services, publication, producer)
            if self.trace is None or not self.trace.only:
                sink.deliver(sub, publication, producer)  # type: ignore[union-attr]  # it has one of the two
        except Exception:
            log.exception("internal error, a message to %s is lost", quote(sub.subject))
        return True

    def _deliver_to_shadow(self, producer: Peer | None, sub: Subscription, shadow: Shadow, publication: Publication) -> bool:
        """Deliver to a subscriber in an account that imports the stream; not what has come by an import itself, as nats-server has it."""
        self._work -= _WORK_PUBLISH
        if self.trace is None or self.imported:
            return not self.imported and self.deliver(producer, shadow.inner, shadow.stream.localise(publication))
        return self.tracer.deliver_to_shadow(producer, sub, shadow, publication)

    def _deliver_one(self, producer: Peer | None, groups: list[Group], publication: Publication) -> bool:
        """Deliver to one member of a queue group: a random one, or the next that may have it. Each group has those of one pattern."""
        total = 0
        for group in groups:
            total += len(group.members)
        if total == 0:
            return False
        at = self.chance.below(total)
        turn = 0
        group = groups[0]
        while at >= len(group.members):
            at -= len(group.members)
            turn += 1
            group = groups[turn]
        for _ in range(len(groups) + 1):  # the first group twice: from the chosen member on, and at last from its beginning
            members = group.members
            while at < len(members):
                if self.deliver(producer, members[at], publication):
                    return True
                at += 1
            at = 0
            turn = turn + 1 if turn + 1 < len(groups) else 0
            group = groups[turn]
        return False

    def _say_no_responders(self, session: Session, publication: Publication) -> None:
        account: Account = session.account
        sublist = account.sublist
        result = sublist.match_uncached(publication.reply())
        self._work -= _WORK_CONTROL + _WORK_SEARCH * sublist.searched + say_no_responders(session, publication, result)

    # The end of a turn

    def flush(self) -> None:
        """Route what was emitted and let everybody send. Who must not take too long uses ``flush_some``."""
        while self.flush_some(1 << 30):
            pass

    def flush_some(self, count: int) -> bool:
        """Do some of what ``flush`` does: route so many messages at most, then send for as many. True while there is more.

        Routing ends after a budget of work. Everybody has a turn before somebody gets their second.
        """
        self.flush_urgent()
        self._work = _WORK
        for _ in range(min(count, len(self._emitted))):
            account, publication = self._emitted.popleft()
            self._emitted_size -= publication.end
            self.route(account, publication, None)
            if self._work < 0:
                break
        while self._answers and self._work >= 0:
            self._route_answers()
        self.flush_dirty(count)
        return self.has_more()

    def _route_answers(self) -> None:
        """Route what waits in the first list, as far as there is work left."""
        account, answers = self._answers[0]
        at = self._answered
        while at < len(answers) and self._work >= 0:
            self._work -= _WORK_ANSWER
            self.route_once(account, answers[at], None)
            at += 1
        self._answered = at
        if at == len(answers):
            self._answered = 0
            self._answers.popleft()
