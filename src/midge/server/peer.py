"""The two ends that a subscription can have: a Peer, which has a connection, or a Sink of the server's own.

A Peer is what routing needs to know of a receiver. A client's Session is one; another server's connection will be.

It is the state that the message path reads and writes and nothing else, so that routing does not care who is at the other end. The
driver of the connection is ``transport``: an object with a ``flush`` that sends what ``outbox`` holds, never raises and never
calls back into the hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.guard import Guard
    from cython.cimports.midge.server.results import Result
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.server.guard import Guard
    from midge.server.results import Result
    from midge.wire.outbox import Outbox

__all__ = ["CLIENT", "Peer", "Sink"]

CLIENT = "Client"


class Peer:
    """One receiver, which may also publish.

    Attributes:
        cid: the connection's number, unique in the server.
        kind: what is at the other end, such as CLIENT; nats-server's name for it.
        account: whose messages it gets and sends.
        outbox: what it has yet to be sent.
        transport: the driver of its connection, None before and after.
        closing: why it ends, None as long as it does not.
        dirty, urgent: it stands on the hub's list of that name.
        blocked: the connection takes nothing just now.
        guard: what it may publish and get, None for everything.
        echo: it wants to get what it publishes itself.
        headers: it understands headers.
        tracing: what it says and hears is logged.
        stalled_by: the slow receiver for whose sake it should not be read from for a moment.
        hurried: it has been held back for as long as one read may be: what is left of that read goes on for nobody's sake.
        last: the result of its last match.
        in_msgs, in_bytes, out_msgs, out_bytes: what it has published and got.
    """

    __slots__ = (
        "account", "blocked", "cid", "closing", "dirty", "echo", "guard", "headers", "hurried", "in_bytes", "in_msgs", "kind", "last",
        "out_bytes", "out_msgs", "outbox", "stalled_by", "tracing", "transport", "urgent",
    )  # fmt: skip

    def __init__(self, cid: int, kind: str, account: Any) -> None:
        self.cid = cid
        self.kind = kind
        self.account = account
        self.outbox = Outbox()
        self.transport: Any = None
        self.closing: str | None = None
        self.dirty = self.urgent = self.blocked = self.hurried = self.tracing = False
        self.echo = True
        self.headers = False
        self.guard: Guard | None = None
        self.stalled_by: Peer | None = None
        self.last: Result | None = None
        self.in_msgs = self.in_bytes = self.out_msgs = self.out_bytes = 0

    def unsubscribe(self, sub: Any) -> None:
        """Remove one of its subscriptions."""
        raise NotImplementedError

    def overflow(self) -> None:
        """More waits for it than may: end it."""
        raise NotImplementedError

    def log_delivery(self, sub: Any, publication: Any) -> None:
        """Trace a message on its way to it."""
        raise NotImplementedError


class Sink:
    """What the server itself listens with: streams, services, tests. A class and not any callable, so that routing never guesses."""

    __slots__ = ()

    def deliver(self, subscription: Any, publication: Any, producer: Peer | None) -> None:
        """Take a message. The publication is valid during the call only; ``Hub.emit`` may be called, ``Hub.route`` may not.

        Args:
            subscription: the Subscription that it comes by.
            publication: the Publication.
            producer: who sent it, None for the server itself.
        """
        raise NotImplementedError
