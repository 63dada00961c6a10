"""Groups: whose request for messages is served first, where a consumer has priority groups (ADR-42).

Three policies. ``overflow``: a request is served only while enough messages wait, or enough are delivered and not acknowledged.
``pinned_client``: one client gets all messages until it has not asked for a while; it is known by the id that its messages carry.
``prioritized``: requests are served by their number, 0 first; those of the same number in turn, which is the waiting queue's work
(``rank``).

Pure rules: who keeps the queue asks ``verdict`` for the request whose turn it is and does what it says. There is one pin a consumer,
whatever number of groups it has, as in nats-server.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

__all__ = ["LAST", "WRONG_PIN", "Claim", "Groups", "Verdict", "rank", "refusal"]

LAST = 10  # the rank of a request that says nothing
_HIGHEST = 9
WRONG_PIN = b"423 Nats-Wrong-Pin-Id"


class Claim(NamedTuple):
    """What a request says of its priority. One whose body is no JSON object says nothing: it has none."""

    group: str = ""
    min_pending: int = 0
    min_ack_pending: int = 0
    id: str = ""
    priority: int = 0


class Verdict(Enum):
    """What becomes of the request whose turn it is."""

    SERVE = "it gets the message"
    PASS = "it waits at the end of the queue"
    PIN = "it gets the message, and with it the pin: next, Groups.pin"
    WRONG = "it ends, with the status WRONG_PIN"


class Groups:
    """The priority groups of one consumer.

    Attributes:
        policy: "overflow", "pinned_client", "prioritized", or empty where there are none.
        names: of the groups.
        id: of the client that is pinned, empty where none is.
        group: that it is in.
        since: wall nanoseconds of its being pinned, 0 where none is.
        due: wall nanoseconds at which it is not any more, None where none is.
    """

    __slots__ = ("_timeout", "due", "group", "id", "names", "policy", "since")

    def __init__(self, policy: str, names: Sequence[str], timeout: int) -> None:
        self.id = self.group = ""
        self.since = 0
        self.due: int | None = None
        self.update(policy, names, timeout)

    def update(self, policy: str, names: Sequence[str], timeout: int) -> None:
        """Go on with another configuration; timeout is in nanoseconds."""
        self.policy = policy
        self.names = tuple(names)
        self._timeout = timeout

    def refusal(self, claim: Claim | None, wall: int) -> bytes:
        """Return the status for a request that cannot be taken, empty where it can; one of the pinned client keeps the pin."""
        if claim is None:
            return b""
        found = refusal(claim, self.policy, self.names)
        if found or not self.id or not self.policy:
            return found
        if claim.id == self.id:
            self.due = wall + self._timeout
        elif claim.id:
            return b"423 Nats-Pin-Id mismatch"
        return b""

    def verdict(self, claim: Claim | None, pending: int, ack_pending: int) -> Verdict:
        """Say what becomes of the request whose turn it is.

        Args:
            pending: the messages that wait for the consumer, with the one that would be delivered.
            ack_pending: those that are delivered and not acknowledged.
        """
        if self.policy == "pinned_client":
            return self._by_pin(claim)
        if self.policy == "overflow" and claim is not None and (claim.min_pending > 0 or claim.min_ack_pending > 0):
            enough = 0 < claim.min_pending <= pending or 0 < claim.min_ack_pending <= ack_pending
            return Verdict.SERVE if enough else Verdict.PASS
        return Verdict.SERVE

    def pin(self, id: str, group: str, wall: int) -> None:
        """A client is pinned from now on."""
        self.id, self.group = id, group
        self.since = wall
        self.due = wall + self._timeout

    def unpin(self) -> None:
        """No client is."""
        self.id = self.group = ""
        self.since = 0
        self.due = None

    def _by_pin(self, claim: Claim | None) -> Verdict:
        says_nothing = claim is None or not claim.id
        if not self.id:
            if not says_nothing:
                return Verdict.WRONG  # the pin that it had is lost
            return Verdict.PIN if claim is not None and claim.group else Verdict.SERVE
        if says_nothing:
            return Verdict.PASS
        assert claim is not None
        return Verdict.SERVE if claim.id == self.id else Verdict.WRONG


def refusal(claim: Claim, policy: str, names: Sequence[str]) -> bytes:
    """Return the status for a request that a consumer of this policy cannot take whoever is pinned; empty where it can."""
    if (claim.min_pending or claim.min_ack_pending) and policy != "overflow":
        return b"400 Bad Request - Not a Overflow Priority consumer"
    if claim.id and policy != "pinned_client":
        return b"400 Bad Request - Not a Pinned Client Priority consumer"
    if not 0 <= claim.priority <= _HIGHEST:
        return b"400 Bad Request - Priority must be between 0 and 9"
    if not policy:
        return b""
    if not claim.group:
        return b"400 Bad Request - Priority Group missing"
    return b"" if claim.group in names else b"400 Bad Request - Invalid Priority Group"


def rank(claim: Claim | None, policy: str) -> int:
    """Return where a request stands in the queue: among those of the same rank it is the last. All are the same unless prioritized."""
    return 0 if policy != "prioritized" else LAST if claim is None else claim.priority
