"""Stream imports: what is published in one account and heard in another.

Nothing is copied from account to account. For each subscription that an import can serve, the importer puts a *shadow* into the exporter's
sublist: a subscription whose sink is a ``Shadow``, from which routing goes straight to the subscriber of the importer. So a stream that
nobody imports costs nothing, one that is imported costs what a subscriber costs, and interest comes and goes with the subscriptions.

A shadow counts its deliveries for itself and knows no limit: as with nats-server, ``UNSUB sid max`` is about what comes in the
subscription's own account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.server.agreements import StreamRoute
from midge.server.peer import Sink
from midge.transform import Transform, is_subset_of

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.sublist import Subscription
    from cython.cimports.midge.wire.octets import cut, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.sublist import Subscription
    from midge.wire.octets import cut, same
    from midge.wire.publication import Publication

__all__ = ["Shadow", "StreamImport"]


class StreamImport:
    """One import of a stream.

    Args:
        route: what was agreed.
        importer: the name of the account that it is an import of.
        exporter: the Account it comes from.

    Attributes:
        allow_trace: messages that are traced are traced here, too.
    """

    __slots__ = (
        "_back", "_is_same", "_last", "_last_local", "_local", "_local_tokens", "_source", "_there", "allow_trace", "exporter", "importer",
    )  # fmt: skip

    def __init__(self, route: StreamRoute, importer: str, exporter: Any) -> None:
        self.importer = importer
        self.exporter = exporter
        self.allow_trace = route.options.allow_trace
        self._source = route.source
        self._local = route.local
        self._local_tokens = route.local.split(".")
        self._there: Transform | None = route.transform
        self._back = None if route.transform is None else route.transform.reverse()
        self._is_same = route.is_same or (route.transform is None and route.local == route.source)
        self._last = b""
        self._last_local = b""

    def shadow(self, sub: Subscription) -> Subscription | None:
        """Return what must be subscribed to at the exporter for a subscription of the importer; None where there is nothing for it."""
        subject = self._interest(sub.subject.decode("utf-8", "surrogateescape"))
        if subject is None:
            return None
        return Subscription(Shadow(self, sub), subject.encode("utf-8", "surrogateescape"), sub.queue, sub.sid)

    def localise(self, publication: Publication) -> Publication:
        """Return a message of the exporter as the importer gets it."""
        if self._is_same:
            return publication
        if not same(publication.buf, publication.subject_start, publication.subject_end, self._last):
            subject = cut(publication.buf, publication.subject_start, publication.subject_end)
            there = self._there
            if there is None:
                self._last_local = self._local.encode("utf-8", "surrogateescape")
            else:
                self._last_local = there.apply(subject.split(b"."), _never)
            self._last = subject
        return publication.renamed(self._last_local)

    def _interest(self, subject: str) -> str | None:
        """Return the pattern at the exporter for a pattern here: as narrow as it can be, so that nothing else is delivered."""
        if subject == self._local:
            return self._source
        tokens = subject.split(".")
        if is_subset_of(tokens, self._local_tokens):
            return self._translate(subject)
        if "*" not in tokens and tokens[-1] != ">":
            return None
        if is_subset_of(self._local_tokens, tokens):
            return self._source
        overlap = self._overlap(tokens)
        if not is_subset_of(overlap, self._local_tokens):
            return None
        return self._translate(".".join(overlap))

    def _translate(self, subject: str) -> str:
        """Return what a pattern here, which is part of the import, is at the exporter."""
        if self._back is None:
            return subject if self._is_same else self._source
        return self._back.apply(subject.encode("utf-8", "surrogateescape").split(b"."), _never).decode("utf-8", "surrogateescape")

    def _overlap(self, tokens: list[str]) -> list[str]:
        """Return a pattern with each wildcard as narrow as the import's own tokens are."""
        found = list(tokens)
        for at, wanted in enumerate(self._local_tokens[: len(found)]):
            if found[at] == "*" and wanted != ">":
                found[at] = wanted
        if found[-1] == ">" and len(self._local_tokens) >= len(found):
            found[-1:] = self._local_tokens[len(found) - 1 :]
        return found


class Shadow(Sink):
    """The end of a shadow subscription.

    Attributes:
        stream: the import that it is of.
        inner: the subscriber, as a subscription that is in no sublist: who gets it, and by which sid.
    """

    __slots__ = ("inner", "stream")

    def __init__(self, stream: StreamImport, sub: Subscription) -> None:
        self.stream = stream
        end: Any = sub.sink if sub.peer is None else sub.peer
        self.inner = Subscription(end, sub.subject, sub.queue, sub.sid)


def _never(_count: int) -> int:
    raise AssertionError("an import has nothing random in it")
