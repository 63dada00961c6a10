"""The connections that have ended last, remembered for monitoring: how many is an option, how many bytes is not for clients to decide.

A record holds texts that the client chose: its name, what it was subscribed to. So there are two more bounds: of the subscriptions of
one connection the first SUBSCRIPTIONS are remembered, and where all records together have more than BYTES of such text, the oldest go
early. Credentials are not remembered.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from midge.server.connect import Connect
from midge.server.identity import Origin
from midge.server.reasons import SLOW_CONSUMER_DEADLINE, SLOW_CONSUMER_PENDING
from midge.server.session import Session

__all__ = ["BYTES", "SUBSCRIPTIONS", "ClosedConnection", "ClosedConnections", "ClosedSubscription", "user_of"]

SUBSCRIPTIONS = 1024
BYTES = 64 << 20
_SLOW = (SLOW_CONSUMER_PENDING, SLOW_CONSUMER_DEADLINE)


@dataclass(frozen=True, slots=True)
class ClosedSubscription:
    """One subscription as it was at the end."""

    subject: bytes
    queue: bytes | None
    sid: bytes
    delivered: int


@dataclass(frozen=True, slots=True)
class ClosedConnection:
    """One connection as it was at the end. What has the same name as in Session has the same meaning.

    Attributes:
        user: as whom it was let in, or tried to be.
        account_name: the name of its account.
        subscriptions: how many it had; ``subs`` has no more than SUBSCRIPTIONS of them.
        pending: bytes that waited for it.
        size: bytes of text in the record.
    """

    cid: int
    address: str
    origin: Origin
    connect: Connect
    user: str
    account_name: str
    started: float
    last_active: float
    stopped: float
    reason: str
    rtt: float | None
    pending: int
    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    stalls: int
    subscriptions: int
    subs: tuple[ClosedSubscription, ...]
    size: int


class ClosedConnections:
    """Remembers connections as they end, the oldest first: hook ``remember`` into ``Hub.on_closed``.

    Args:
        count: how many at most.
        time: the server's monotonic clock.

    Attributes:
        slow_consumers: how many ended as slow consumers, by the name of their account.
    """

    def __init__(self, count: int, time: Callable[[], float]) -> None:
        self._records: deque[ClosedConnection] = deque()
        self._count = count
        self._time = time
        self._size = 0
        self.slow_consumers: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[ClosedConnection]:
        return iter(self._records)

    def remember(self, session: Session, reason: str) -> None:
        """Take down a connection that ends."""
        if reason in _SLOW:
            self.slow_consumers[session.account.name] += 1
        record = _record(session, reason, self._time())
        self._records.append(record)
        self._size += record.size
        while len(self._records) > self._count or self._size > BYTES:
            self._size -= self._records.popleft().size


def user_of(session: Session) -> str:
    """Return as whom a session was let in, or tried to be; of a token nothing but that there was one."""
    connect = session.connect
    return connect.nkey or connect.user or session.identity.name or ("[REDACTED]" if connect.auth_token else "")


def _record(session: Session, reason: str, now: float) -> ClosedConnection:
    connect, user = session.connect, user_of(session)
    if connect.has_credentials():
        connect = msgspec.structs.replace(connect, user="", password="", auth_token="", nkey="", sig="", jwt="")
    subs = tuple(
        ClosedSubscription(sub.subject, sub.queue, sub.sid, sub.delivered) for sub in islice(session.last_subs.values(), SUBSCRIPTIONS)
    )
    size = len(connect.name) + len(connect.lang) + len(connect.version) + len(user)
    size += sum(len(sub.subject) + len(sub.queue or b"") + len(sub.sid) for sub in subs)
    return ClosedConnection(
        session.cid, session.address, session.origin, connect, user, session.account.name, session.started, session.last_active, now,
        reason, session.rtt, len(session.outbox), session.in_msgs, session.in_bytes, session.out_msgs, session.out_bytes, session.stalls,
        len(session.last_subs), subs, size,
    )  # fmt: skip
