"""Inlet: the sink by which JetStream hears what is published. Routing knows it, and pays less for it than for any sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from midge.subject import matches

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.peer import Peer, Sink
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.peer import Peer, Sink
    from midge.wire.publication import Publication

__all__ = ["Inlet"]


class Inlet(Sink):
    """Hands what is published to a function.

    Attributes:
        work: what one call may cost, in deliveries.
        receive: called with a publication, valid during the call only, and wall nanoseconds; False where it was for nobody.
        pattern: what the publication's own subject has to match; empty for any. A consumer's messages go to subjects that somebody names
            in a request, and keep their own: what reads its subject is not to get those.
    """

    __slots__ = ("pattern", "receive", "work")

    def __init__(self, receive: Callable[[Any, int], bool], work: int, pattern: str = "") -> None:
        self.receive = receive
        self.work = work
        self.pattern = pattern

    def hears(self, publication: Publication) -> bool:
        """True if this is for messages of such a subject."""
        return not self.pattern or matches(self.pattern, publication.subject().decode("utf-8", "surrogateescape"))

    def deliver(self, subscription: Any, publication: Any, producer: Peer | None) -> None:
        raise AssertionError("routing calls receive itself")
