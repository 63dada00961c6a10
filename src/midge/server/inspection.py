"""What can be seen of a running server and done to it from outside: for tests of programs that use NATS, and for the curious.

Everything here runs in the server's own thread; ``Server`` has methods of the same names that see to that from whichever thread they
are called. What is returned is a copy: it does not change any more, and belongs to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from midge.errors import ServerStartError
from midge.server.connection import Connection
from midge.server.hub import Hub
from midge.server.reasons import KICKED
from midge.server.session import Session
from midge.server.sublist import Subscription
from midge.subject import matches

__all__ = ["ClientInfo", "Counters", "SubscriptionInfo", "Waiting", "clients", "counters", "disconnect", "subscriptions"]


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """One connected client.

    Attributes:
        cid: the number of the connection; clients see it in INFO.
        name: what the client calls itself, empty where it does not.
        address: "host:port", or "pipe" for a client of the same process.
        subscriptions: how many it has.
        pending: bytes that wait for it.
        rtt: seconds that its last PING took to be answered, None where it was not asked yet.
        idle: seconds since it was last heard of.
    """

    cid: int
    name: str
    address: str
    subscriptions: int
    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    pending: int
    rtt: float | None
    idle: float


@dataclass(frozen=True, slots=True)
class SubscriptionInfo:
    """One subscription: whose it is, to what, and how many messages it has got."""

    cid: int
    sid: str
    subject: str
    queue: str | None
    delivered: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What a server has counted since it was started; connections and subscriptions are those of now."""

    connections: int
    total_connections: int
    subscriptions: int
    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    slow_consumers: int
    stale_connections: int


def clients(hub: Hub, now: float) -> list[ClientInfo]:
    """Return the connected clients, those that came first first."""
    return [
        ClientInfo(
            session.cid, session.connect.name, session.address, len(session.subs), session.in_msgs, session.in_bytes, session.out_msgs,
            session.out_bytes, len(session.outbox), session.rtt, now - session.last_active,
        )
        for session in hub.sessions.values()
    ]  # fmt: skip


def subscriptions(hub: Hub) -> list[SubscriptionInfo]:
    """Return the subscriptions of all clients."""
    return [
        SubscriptionInfo(session.cid, _text(sub.sid), _text(sub.subject), None if sub.queue is None else _text(sub.queue), sub.delivered)
        for session in hub.sessions.values()
        for sub in session.subs.values()
    ]


def counters(hub: Hub) -> Counters:
    """Return what was counted."""
    in_msgs, in_bytes, out_msgs, out_bytes = hub.totals()
    count = sum(account.sublist.count for account in hub.accounts.values())
    return Counters(
        len(hub.sessions), hub.admission.total, count, in_msgs, in_bytes, out_msgs, out_bytes, hub.slow_consumers, hub.stale_connections
    )


class Waiting:
    """Who waits for subscriptions of a server."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: set[Future[None]] = set()

    def subscribed(self, hub: Hub, subject: str, count: int) -> tuple[Future[None], Callable[[], None]]:
        """Return a future that is done once so many subscriptions get what is published to the subject; and what takes the question back.

        Where the subject has wildcards, those count that are the same or wider.
        """
        future: Future[None] = Future()
        self._futures.add(future)
        missing = 0  # subscriptions that must come before it is worth while to count again: no more are there than came

        def look() -> None:
            nonlocal missing
            found = sum(matches(_text(sub.subject), subject) for session in hub.sessions.values() for sub in session.subs.values())
            missing = count - found
            if missing <= 0 and not future.done():
                future.set_result(None)

        def notice(_session: Session, sub: Subscription) -> None:
            nonlocal missing
            if matches(_text(sub.subject), subject):
                missing -= 1
                if missing <= 0 and not future.done():
                    look()

        def forget() -> None:
            self._futures.discard(future)
            if notice in hub.on_subscribed:
                hub.on_subscribed.remove(notice)

        hub.on_subscribed.append(notice)
        look()
        return future, forget

    def give_up(self) -> None:
        """The server is stopped: nobody need wait any more."""
        for future in self._futures:
            if not future.done():
                future.set_exception(ServerStartError("the server was stopped"))
        self._futures.clear()


def disconnect(connections: Iterable[Connection], client: int | str) -> int:
    """Close the connection of this number, or all of this name; what is on its way to them is sent first. Return how many there were."""
    found = [each for each in connections if client in (each.session.cid, each.session.connect.name) and each.session.closing is None]
    for each in found:
        each.close(KICKED)
    return len(found)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
