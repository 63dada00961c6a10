"""Inlet: the sink by which JetStream hears what is published. Routing knows it, and pays less for it than for any sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.peer import Peer, Sink
else:
    from midge.server.peer import Peer, Sink

__all__ = ["Inlet"]


class Inlet(Sink):
    """Hands what is published to a function.

    Attributes:
        work: what one call may cost, in deliveries.
        receive: called with a publication, valid during the call only, and wall nanoseconds; False where it was for nobody.
    """

    __slots__ = ("receive", "work")

    def __init__(self, receive: Callable[[Any, int], bool], work: int) -> None:
        self.receive = receive
        self.work = work

    def deliver(self, subscription: Any, publication: Any, producer: Peer | None) -> None:
        raise AssertionError("routing calls receive itself")
