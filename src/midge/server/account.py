"""Account: a world of subjects of its own. Who is in one account never hears what is published in another.

There are always two: ``$G``, of everybody whom nobody has put into another, and the system account, in which the server itself
speaks. Everything that belongs to an account is asked of the account: the subscriptions, the connections, the limits, what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.errors import InvalidSubjectError
from midge.server.account_options import AccountOptions
from midge.server.mapping import Mappings
from midge.server.service_imports import Responses, Services, lose_interest
from midge.server.stream_imports import StreamImport

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.peer import Sink
    from cython.cimports.midge.server.sublist import Sublist, Subscription
else:
    from midge.server.peer import Sink
    from midge.server.sublist import Sublist, Subscription

__all__ = ["Account"]


class Account:
    """One account.

    Args:
        options: what it is called, and its limits.
        max_subscriptions, max_payload: the server's limits, which hold where the account has none or larger ones; 0 subscriptions are any
            number.

    Attributes:
        name: its name.
        max_connections: how many connections it may have; -1 for any number.
        max_subscriptions: how many subscriptions one of its connections may have; -1 for any number.
        max_payload: how many bytes of header and payload one message may have.
        sublist: who is subscribed to what.
        sessions: its connections, by their number.
        mappings: where what is published really goes; None where it is as it is published.
        msg_trace: where messages are traced to that name no place themselves, a MsgTrace; None for nowhere.
        streams: what it imports from others.
        awaited: the answers that its requests to others wait for, by reply subject.
    """

    __slots__ = (
        "_before", "_own", "_responses", "_services", "_shadows", "awaited", "mappings", "max_connections", "max_payload",
        "max_subscriptions", "msg_trace", "name", "sessions", "streams", "sublist",
    )  # fmt: skip

    def __init__(self, options: AccountOptions, max_subscriptions: int = 0, max_payload: int = 1 << 20) -> None:
        self.name = options.name
        self.max_connections = options.max_connections
        self.max_subscriptions = _smaller(options.max_subscriptions, max_subscriptions or -1)
        self.max_payload = _smaller(options.max_payload, max_payload)
        self.msg_trace = options.msg_trace
        self.sublist = Sublist()
        self.sessions: dict[int, Any] = {}
        self.mappings: Mappings | None = None
        self.streams: list[StreamImport] = []
        self.awaited: dict[bytes, dict[bytes, Any]] = {}
        self._shadows: dict[Subscription, list[tuple[Any, Subscription]]] = {}  # at whose account, and which
        self._own: dict[Subscription, None] = {}  # what the server itself listens with
        self._responses: Responses | None = None
        self._services: Services | None = None
        self._before = [0, 0, 0, 0]  # what was counted for those that have left, less what had been for those that came from elsewhere

    def is_full(self) -> bool:
        """True if another connection would be one too many."""
        return 0 <= self.max_connections <= len(self.sessions)

    def add(self, session: Any) -> None:
        """Take a connection in; what was counted for it before does not count here."""
        self.sessions[session.cid] = session
        self._before = [total - count for total, count in zip(self._before, _counts(session))]

    def remove(self, session: Any) -> None:
        """Take a connection out; what was counted for it stays in the totals."""
        if self.sessions.pop(session.cid, None) is not None:
            self._before = [total + count for total, count in zip(self._before, _counts(session))]

    def totals(self) -> tuple[int, int, int, int]:
        """Return in_msgs, in_bytes, out_msgs, out_bytes of all connections there ever were."""
        in_msgs, in_bytes, out_msgs, out_bytes = self._before
        for session in self.sessions.values():  # there may be ten thousand, and monitoring asks every second
            in_msgs += session.in_msgs
            in_bytes += session.in_bytes
            out_msgs += session.out_msgs
            out_bytes += session.out_bytes
        return in_msgs, in_bytes, out_msgs, out_bytes

    def hand_over(self, accounts: dict[str, Any], services: Services) -> bool:
        """The accounts have been made anew: let the one of this one's name go on with what was counted here, with what the server itself
        listens with, and with the answers that services here owe. False where there is none: they have ended.
        """
        successor: Account | None = accounts.get(self.name)
        if self._responses is not None:
            self._responses.move(successor, accounts, services)
        if successor is None:
            return False
        successor._before = [before + total for before, total in zip(successor._before, self.totals())]
        successor._responses = self._responses
        for sub in self._own:
            self.sublist.remove(sub)
            successor.join(sub)
        successor._own, self._own = self._own, {}
        return True

    def subscribe(self, sink: Sink, subject: bytes, queue: bytes | None = None) -> Subscription:
        """Let the server itself listen: the sink gets what is published to the subject, also when the account has been made anew.

        Raises:
            InvalidSubjectError: the subject is malformed.
        """
        sub = Subscription(sink, subject, queue, b"")
        if not self.join(sub):
            raise InvalidSubjectError(subject, "a token is empty, or something follows `>`")
        self._own[sub] = None
        return sub

    def unsubscribe(self, sub: Subscription) -> bool:
        """End a subscription of the server's own. False where it has ended already, or is another account's: ask ``Hub.accounts``."""
        if sub not in self._own:
            return False
        del self._own[sub]
        return self.leave(sub)

    def join(self, sub: Subscription) -> bool:
        """Let a subscription hear what is published here, and what the account imports. False where its subject is malformed."""
        if not self.sublist.insert(sub):
            return False
        if self.streams:
            self._follow(sub)
        return True

    def leave(self, sub: Subscription) -> bool:
        """Take a subscription out again. False where it is not there."""
        is_out = self.sublist.remove(sub)
        if self._shadows:
            for exporter, shadow in self._shadows.pop(sub, ()):
                exporter.sublist.remove(shadow)
        if self.awaited and is_out:
            assert self._services is not None
            lose_interest(self._services, self, sub.subject)
        return is_out

    def responses(self, services: Services) -> Responses:
        """Return what waits for the answers to its services' reply subjects."""
        if self._responses is None:
            self._responses = Responses(self, services)
        return self._responses

    def use(self, services: Services) -> None:
        """It imports services."""
        self._services = services

    def _follow(self, sub: Subscription) -> None:
        """Subscribe where the account imports from."""
        shadows = []
        for stream in self.streams:
            shadow = stream.shadow(sub)
            if shadow is not None and stream.exporter.sublist.insert(shadow):
                shadows.append((stream.exporter, shadow))
        if shadows:
            self._shadows[sub] = shadows


def _smaller(one: int, other: int) -> int:
    """Return the smaller of two limits of which less than 0 is none."""
    return max(one, other) if one < 0 or other < 0 else min(one, other)


def _counts(session: Any) -> tuple[int, int, int, int]:
    return session.in_msgs, session.in_bytes, session.out_msgs, session.out_bytes
