"""Account: a world of subjects of its own. Who is in one account never hears what is published in another.

There are always two: ``$G``, of everybody whom nobody has put into another, and the system account, in which the server itself
speaks. Everything that belongs to an account is asked of the account: the subscriptions, the connections, the limits, what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.errors import InvalidSubjectError

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
        name: its name.
        max_subscriptions: how many subscriptions one of its connections may have; 0 means no limit.

    Attributes:
        sublist: who is subscribed to what.
        sessions: its connections, by their number.
    """

    __slots__ = ("_before", "max_subscriptions", "name", "sessions", "sublist")

    def __init__(self, name: str, max_subscriptions: int = 0) -> None:
        self.name = name
        self.max_subscriptions = max_subscriptions
        self.sublist = Sublist()
        self.sessions: dict[int, Any] = {}
        self._before = [0, 0, 0, 0]  # what was counted for those that have left, less what had been for those that came from elsewhere

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

    def subscribe(self, sink: Sink, subject: bytes, queue: bytes | None = None) -> Subscription:
        """Let the server itself listen: the sink gets what is published to the subject.

        Raises:
            InvalidSubjectError: the subject is malformed.
        """
        sub = Subscription(sink, subject, queue, b"")
        if not self.sublist.insert(sub):
            raise InvalidSubjectError(subject, "a token is empty, or something follows `>`")
        return sub

    def unsubscribe(self, sub: Subscription) -> bool:
        """End a subscription of the server's own. False where it has ended already."""
        return self.sublist.remove(sub)


def _counts(session: Any) -> tuple[int, int, int, int]:
    return session.in_msgs, session.in_bytes, session.out_msgs, session.out_bytes
