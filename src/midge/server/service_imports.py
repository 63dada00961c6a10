"""Service imports: a request of one account that is answered in another.

The importer's sublist has a subscription for what it imports, whose sink is a ``ServiceImport``. It passes the request on into the
exporter's account at once, within the delivery, because whoever asks wants to know whether anybody was there. The reply subject is
replaced by one of the exporter's own, ``_R_.xxxxxx.yyyyyy``, for which a ``Response`` remembers where the answer goes; what is published
to those subjects comes to the account's ``Responses``, which pass it on into the account that asked.

Bounds: a message goes through CHAIN accounts at most, and through no service twice. An answer is waited for until the service's
threshold is over (two minutes unless it says otherwise), and for MAX_PENDING requests of one service at most, or MAX_PENDING_BYTES of
their reply subjects: then the oldest is given up. One answer ends the wait, or for services that answer with several messages an empty
one, nobody being there to hear it, or the end of the interest in the reply subject.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from midge.server.account_options import Export
from midge.server.agreements import ServiceRoute
from midge.server.client_info import REQUEST_INFO, describe, go_json, nanoseconds, with_header
from midge.server.latency import BAD_REQUEST, NO_RESPONDER, OK, REQUEST_TIMEOUT, SERVICE_TIMEOUT, metric, sampled
from midge.transform import Transform

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.chance import Chance
    from cython.cimports.midge.server.peer import Peer, Sink
    from cython.cimports.midge.server.sublist import Subscription
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.chance import Chance
    from midge.server.peer import Peer, Sink
    from midge.server.sublist import Subscription
    from midge.wire.publication import Publication

__all__ = [
    "CHAIN",
    "MAX_PENDING",
    "THRESHOLD",
    "Relay",
    "Response",
    "Responses",
    "ServiceExport",
    "ServiceImport",
    "Services",
    "lose_interest",
]

CHAIN = 32
MAX_PENDING = 65536
THRESHOLD = 120.0
MAX_PENDING_BYTES = 16 << 20  # of their reply subjects
_WALK = 1024  # pending answers that are given up in one go, or looked at for the end of the interest in a wildcard; others expire
_WALK_WORK = 16  # what one of them costs, in deliveries
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ACK = b"$JS.ACK."
_RESERVED = b"_R_."


class Services:
    """What the service imports of one server have in common.

    Args:
        hub: the Hub that routes for them.
        ids: gives unique ids, for the messages about latencies.
        suffix: what marks the reply subjects of requests that are measured.

    Attributes:
        chain: the imports that the message under way has come through; None stands for an answer on its way back.
        carried: where the message under way goes, which is not its subject, as with what consumers deliver; None for nearly all.
        epoch: the time of day when the hub's clock was 0, in seconds.
        expecting: the exports that owe an answer.
        deadline: when ``handle_timeout`` must be called.
    """

    __slots__ = ("_chance", "_passed", "carried", "chain", "choose", "deadline", "epoch", "expecting", "hub", "ids", "suffix")

    def __init__(self, hub: Any, ids: Callable[[], str], suffix: bytes) -> None:
        self.hub = hub
        self.ids = ids
        self.suffix = suffix
        self._chance = Chance(hub.chance.below(1 << 31) << 31 | hub.chance.below(1 << 31))
        self.choose: Callable[[int], int] = hub.chance.below
        self.chain: list[ServiceImport | None] = []
        self._passed: list[ServiceExport] = []
        self.carried: bytes | None = None
        self.epoch = 0.0
        self.deadline = inf
        self.expecting: dict[ServiceExport, None] = {}

    def name(self) -> bytes:
        """Return six random letters and digits."""
        number = self._chance.bits() >> 24
        name = bytearray(6)
        for at in range(6):
            name[at] = _ALPHABET[number % 62]
            number //= 62
        return bytes(name)

    def passes(self, export: ServiceExport) -> bool:
        """True if the message under way may not go through this service: it has been there, or has come too far."""
        return len(self._passed) >= CHAIN or export in self._passed

    def pass_on(self, account: Any, message: Publication, producer: Peer | None, export: ServiceExport, link: ServiceImport | None) -> bool:
        """Route a message in another account. True if anybody got it."""
        self._passed.append(export)
        self.chain.append(link)
        self.hub.imported += 1
        carried, self.carried = self.carried, None
        try:
            if link is None:
                return self.hub.route_once(account, message, producer)  # type: ignore[no-any-return]
            return self.hub.route(account, message, producer)  # type: ignore[no-any-return]
        finally:
            self.carried = carried
            self.hub.imported -= 1
            self.chain.pop()
            self._passed.pop()

    def carry_on(self, account: Any, subject: bytes, message: Publication, export: ServiceExport) -> bool:
        """Let what is carried go to a subject of another account. True if anybody got it."""
        self._passed.append(export)
        self.hub.imported += 1
        carried, self.carried = self.carried, subject
        try:
            return self.hub.carry_on(account, subject, message)  # type: ignore[no-any-return]
        finally:
            self.carried = carried
            self.hub.imported -= 1
            self._passed.pop()

    def handle_timeout(self, now: float) -> None:
        """Give up the answers that are due by now. Next: flush, and see ``deadline``."""
        self.hub.now = now
        self.deadline = inf
        for export in list(self.expecting):
            export.expire(self, now)
            first = next(iter(export.pending.values()), None)
            if first is None:
                del self.expecting[export]
            elif first.at + export.threshold < self.deadline:
                self.deadline = first.at + export.threshold


class Relay(Sink):
    """A sink that passes messages on into another account, within the delivery."""

    __slots__ = ()

    def relay(self, services: Services, publication: Publication, producer: Peer | None) -> bool:
        """Pass a message on. True if anybody got it."""
        raise NotImplementedError


class ServiceExport:
    """One service as its account offers it.

    Attributes:
        options: as it is configured.
        threshold: seconds that an answer is waited for.
        is_single: one message is the whole answer.
        pending: the answers that are waited for, the first to expire first.
        pending_bytes: of their reply subjects.
    """

    __slots__ = ("is_single", "options", "pending", "pending_bytes", "threshold")

    def __init__(self, options: Export) -> None:
        self.options = options
        self.threshold = options.threshold or THRESHOLD
        self.is_single = options.response == "Singleton"
        self.pending: dict[bytes, Response] = {}
        self.pending_bytes = 0

    def expire(self, services: Services, now: float) -> None:
        """Give up answers that have not come in time; not thousands at once, the rest is due at once again."""
        for _ in range(_WALK):
            if not self.pending:
                break
            response = next(iter(self.pending.values()))
            if response.at + self.threshold > now:
                break
            response.holder.give_up(services, response, SERVICE_TIMEOUT)


class Response:
    """An answer that is waited for.

    Attributes:
        holder: the Responses that it stands in.
        subject: the reply subject that the service was given.
        reply: the one that the request had.
        importer: the Account that the answer goes to.
        export: what was asked for.
        at: when, or when the last part of the answer came.
        requestor: who asked, where that is to be measured.
        share: it may be shown to others.
        headers: why it is measured.
    """

    __slots__ = ("at", "export", "headers", "holder", "importer", "reply", "requestor", "share", "subject")

    def __init__(self, holder: Responses, subject: bytes, reply: bytes, importer: Any, export: ServiceExport, at: float) -> None:
        self.holder = holder
        self.subject = subject
        self.reply = reply
        self.importer = importer
        self.export = export
        self.at = at
        self.requestor: Any = None
        self.share = False
        self.headers: Any = None


class Responses(Relay):
    """The answers that one account's services owe. The sink of all their reply subjects.

    Args:
        account: the Account.
        services: the Services of the server.
    """

    __slots__ = ("_prefix", "account", "pending")

    def __init__(self, account: Any, services: Services) -> None:
        self.account = account
        self.pending: dict[bytes, Response] = {}
        self._prefix = b"_R_." + services.name() + b"."
        account.subscribe(self, self._prefix + b">")

    def expect(self, services: Services, reply: bytes, importer: Any, export: ServiceExport, suffix: bytes) -> Response:
        """Wait for an answer from now on."""
        subject = self.subject(services, suffix)
        while len(export.pending) >= MAX_PENDING or export.pending_bytes > MAX_PENDING_BYTES:
            oldest = next(iter(export.pending.values()))
            oldest.holder.give_up(services, oldest, SERVICE_TIMEOUT)
        response = Response(self, subject, reply, importer, export, services.hub.now)
        self.pending[subject] = response
        export.pending[subject] = response
        export.pending_bytes += len(reply)
        services.expecting[export] = None
        if services.hub.now + export.threshold < services.deadline:
            services.deadline = services.hub.now + export.threshold
        self._enlist(response)
        return response

    def subject(self, services: Services, suffix: bytes) -> bytes:
        """Return a reply subject that nobody has."""
        subject = self._prefix + services.name() + suffix
        while subject in self.pending:
            subject = self._prefix + services.name() + suffix
        return subject

    def forget(self, response: Response) -> bool:
        """Wait for it no longer. False where nobody does any more."""
        if self.pending.pop(response.subject, None) is None:
            return False
        export = response.export
        del export.pending[response.subject]
        export.pending_bytes -= len(response.reply)
        self._strike_out(response)
        return True

    def move(self, account: Any, accounts: dict[str, Any], services: Services) -> None:
        """Go on, now that the accounts have been made anew, for those who still have one.

        Args:
            account: the one that the services are of now; None where it has gone.
            accounts: all of them by name.
        """
        for response in list(self.pending.values()):
            importer = accounts.get(response.importer.name)
            if account is None or importer is None:
                self.forget(response)
            else:
                self._strike_out(response)
                response.importer = importer
                importer.use(services)
                self._enlist(response)
        if account is not None:  # to which its subscription is handed over
            self.account = account

    def _enlist(self, response: Response) -> None:
        """Let the account that has asked know what it waits for."""
        awaited = response.importer.awaited.get(response.reply)
        if awaited is None:
            response.importer.awaited[response.reply] = {response.subject: response}
        else:
            awaited[response.subject] = response

    def _strike_out(self, response: Response) -> None:
        awaited = response.importer.awaited[response.reply]
        del awaited[response.subject]
        if not awaited:
            del response.importer.awaited[response.reply]

    def give_up(self, services: Services, response: Response, status: tuple[int, str]) -> None:
        """Wait for it no longer, and tell those who measure the service why."""
        if self.forget(response) and response.requestor is not None:
            self._tell(services, response, status, None)

    def relay(self, services: Services, publication: Publication, producer: Peer | None) -> bool:
        """Pass an answer on to who asked. Always True: the service's own question whether anybody is there is not about this."""
        carried, subject = services.carried, publication.subject()
        response = self.pending.get(subject if carried is None else carried)
        if response is None or services.passes(response.export):
            return True
        if response.requestor is not None:
            self._tell(services, response, OK, producer)
        importer = response.importer
        reply = b""
        again = None
        if publication.reply_end:
            reply = publication.reply()
            if not reply.startswith(_ACK):
                again = importer.responses(services).expect(services, reply, self.account, response.export, b"")
                reply = again.subject
        to = response.reply if importer.mappings is None else importer.mappings.target(response.reply)
        is_own = carried is not None and carried != subject  # a message of a stream keeps its subject; a status has that of where it goes
        message = publication.redirected(subject if is_own else to, reply, None)
        if carried is not None:
            delivered = services.carry_on(importer, to, message, response.export)
        elif services.hub.trace is None:
            delivered = services.pass_on(importer, message, producer, response.export, None)
        else:
            delivered = services.hub.tracer.pass_on(importer, message, subject, producer, response.export, None)
        if not delivered or response.export.is_single or publication.payload_end == publication.payload_start:
            self.forget(response)
        elif response.subject in self.pending:
            response.at = services.hub.now
            del response.export.pending[response.subject]
            response.export.pending[response.subject] = response
        if again is not None and not delivered:
            again.holder.forget(again)
        return True

    def _tell(self, services: Services, response: Response, status: tuple[int, str], responder: Any) -> None:
        requestor = response.requestor
        response.requestor = None
        latency = response.export.options.latency
        assert latency is not None
        about = metric(services, status, requestor, responder, response.share, response.headers, response.at)
        services.hub.emit(self.account, latency.subject.encode("utf-8", "surrogateescape"), b"", b"", about)


class ServiceImport(Relay):
    """One import of a service: the sink of the requests in the importing account.

    Args:
        route: what was agreed.
        importer, exporter: the Accounts.
        export: what it is an import of.
    """

    __slots__ = (
        "_info_head",
        "_is_same",
        "_last_header",
        "_last_rtt",
        "_local",
        "_target",
        "_transform",
        "export",
        "exporter",
        "importer",
        "share",
    )

    def __init__(self, route: ServiceRoute, importer: Any, exporter: Any, export: ServiceExport) -> None:
        self.importer = importer
        self.exporter = exporter
        self.export = export
        self.share = route.options.share
        self._local = route.local.encode("utf-8", "surrogateescape")
        self._target = route.target.encode("utf-8", "surrogateescape")
        self._transform: Transform | None = route.transform
        self._is_same = route.is_same
        self._info_head = b'{"acc":' + go_json(importer.name)
        self._last_rtt = 0
        self._last_header: bytes | None = None

    def subscription(self) -> Subscription:
        """Return what catches the requests in the importing account."""
        return Subscription(self, self._local, None, b"")

    def relay(self, services: Services, publication: Publication, producer: Peer | None) -> bool:
        """Pass a request on to the service."""
        if services.passes(self.export):
            return False
        header: bytes | None = None
        response = None
        reply = b""
        measured, why = False, None
        if self.export.options.latency is not None and producer is not None:
            measured, why = sampled(self.export.options.latency, publication.header(), services.choose)
        if publication.reply_end:
            reply = publication.reply()
            if not reply.startswith(_ACK):
                suffix = services.suffix if measured else b""
                response = self.exporter.responses(services).expect(services, reply, self.importer, self.export, suffix)
                reply = response.subject
                if measured:
                    response.requestor, response.headers, response.share = producer, why, self.share
        elif measured:
            self._tell_bad_request(services, producer, why)
        to = self._subject_there(publication)
        if self.exporter.mappings is not None:
            to = self.exporter.mappings.target(to)
        if producer is not None:
            header = self._header(services, publication, producer)
        message = publication.redirected(to, reply, header)
        trace = services.hub.trace
        if trace is None:
            delivered: bool = services.pass_on(self.exporter, message, producer, self.export, self)
        else:
            delivered = services.hub.tracer.pass_on(self.exporter, message, publication.subject(), producer, self.export, self)
        if response is None:
            return delivered
        if not delivered:
            response.holder.give_up(services, response, NO_RESPONDER)
        elif trace is not None and trace.only:
            response.holder.forget(response)
        return delivered

    def _subject_there(self, publication: Publication) -> bytes:
        if self._is_same:
            return publication.subject()
        if self._transform is not None:
            return self._transform.apply(publication.subject().split(b"."), _never)
        return self._target

    def _header(self, services: Services, publication: Publication, producer: Any) -> bytes:
        """Return the header block with what the service may know of who asks. One that is often the same is kept."""
        if publication.header_size > 0 or self.share or services.chain or producer.account is not self.importer:
            return with_header(publication.header(), REQUEST_INFO, self._info(services, producer))
        rtt = nanoseconds(producer.rtt)
        if rtt != self._last_rtt or self._last_header is None:
            self._last_rtt = rtt
            self._last_header = with_header(b"", REQUEST_INFO, self._info(services, producer))
        return self._last_header

    def _info(self, services: Services, producer: Any) -> bytes:
        """Return what the service learns of who asks: the account and how far away it is; more where the import shares more."""
        chain = [link for link in services.chain if link is not None]
        first = chain[0] if chain else self
        if not chain and not self.share and producer.account is self.importer:
            rtt = nanoseconds(producer.rtt)
            return self._info_head + (b',"rtt":%d}' % rtt if rtt else b"}")
        shown = describe(producer, services.hub.server_name, services.epoch)
        if not first.share:
            kept = ("acc", "svc", "rtt", "server") if any(link.share for link in [*chain, self]) else ("acc", "svc", "rtt")
            shown = {name: value for name, value in shown.items() if name in kept}
        shown["svc"] = self.importer.name if chain else ""
        return go_json({name: value for name, value in shown.items() if value})

    def _tell_bad_request(self, services: Services, producer: Any, why: Any) -> None:
        """A request without a reply subject cannot be measured."""
        latency = self.export.options.latency
        assert latency is not None
        about = metric(services, BAD_REQUEST, producer, None, self.share, why, services.hub.now)
        services.hub.emit(self.exporter, latency.subject.encode("utf-8", "surrogateescape"), b"", b"", about)


def lose_interest(services: Services, account: Any, subject: bytes) -> None:
    """A subscription of the account has ended: wait no longer for answers that nobody would hear."""
    if subject.startswith(_RESERVED) or subject.startswith(_ACK):
        return
    tokens = subject.split(b".")
    if b"*" not in tokens and tokens[-1] != b">":
        replies = [subject] if subject in account.awaited else []
    elif len(account.awaited) <= _WALK and services.hub.can_spend(_WALK_WORK * len(account.awaited)):
        replies = [reply for reply in account.awaited if _covers(tokens, reply.split(b"."))]
    else:
        return
    for reply in replies:
        result = account.sublist.match_uncached(reply)
        if not result.nodes and not result.groups:
            for response in list(islice(account.awaited.get(reply, {}).values(), _WALK)):
                response.holder.give_up(services, response, REQUEST_TIMEOUT)


def _covers(pattern: list[bytes], tokens: list[bytes]) -> bool:
    for wanted, token in zip(pattern, tokens):
        if wanted == b">":
            return True
        if wanted not in (b"*", token):
            return False
    return len(pattern) == len(tokens)


def _never(_count: int) -> int:
    raise AssertionError("an import has nothing random in it")
