"""Sending: what waits in a hub to be sent, and what the server itself has to say. The other half is the routing, in ``hub``.

Who has something to send stands on one of two lists, each once: ``urgent``, those who are answered (PONG, INFO, +OK, -ERR), and
``dirty``, those who got a message. ``flush_urgent`` and ``flush_dirty`` send, at the end of a turn; an outbox of 64 KiB is sent at once.
What the server itself has to say is queued by ``emit`` and ``answer`` until the hub routes it, so a sink may emit while it is
delivered to, and nothing recurses.

A base class, and not an object that the hub holds: what it keeps is read and written for each delivery. It never calls the hub.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.account import Account
    from cython.cimports.midge.server.peer import Peer
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.account import Account
    from midge.server.peer import Peer
    from midge.wire.publication import Publication

__all__ = ["FEW", "FLUSH_AT", "LITTLE", "WORK", "Sending"]

FLUSH_AT = 65536
WORK = 16384  # what one step of a hub may do, in deliveries; about half a millisecond, or one where memory is cold
FEW = 8  # receivers
LITTLE = 65536  # bytes of messages: so much for so few is not worth waiting with
WAIT_AT = 1 << 20  # bytes that may wait for a receiver before those who can wait do
_FEW = FEW
_LITTLE = LITTLE
_WORK_SEND = 256  # sending a long outbox costs as much as so many deliveries


class Sending:
    """What one hub has yet to send.

    Args:
        max_pending: bytes that may wait for a client, and of what was emitted.

    Attributes:
        urgent: who is answered.
        dirty: who got a message.
        piled: about how many bytes of messages have been produced since the last time that nobody had anything to send.
        flush_at: bytes of an outbox that do not wait for the end of the turn.
        stall_at: bytes of an outbox that are too many to hear who fills it.
        wait_at: the same for those who can wait.
        must_wait: the last message made somebody's outbox longer than ``wait_at``.
    """

    __slots__ = (
        "_answered", "_answers", "_emitted", "_emitted_size", "_max_pending", "_sending", "_work", "dirty", "flush_at",
        "must_wait", "piled", "stall_at", "urgent", "wait_at",
    )  # fmt: skip

    def __init__(self, max_pending: int) -> None:
        self.urgent: list[Peer] = []
        self.dirty: list[Peer] = []
        self._sending: list[Peer] = []  # what ``flush_dirty`` has taken off ``dirty``, the first last
        self._emitted: deque[tuple[Account, Publication]] = deque()
        self._answers: deque[tuple[Account, list[Publication]]] = deque()
        self._answered = 0  # how many of the first list have been routed
        self._emitted_size = self.piled = 0
        self._work = 0  # what is left of what this step may do
        self._max_pending = max_pending
        self.stall_at = max_pending // 4 * 3
        self.flush_at = min(FLUSH_AT, self.stall_at)
        self.wait_at = min(WAIT_AT, self.stall_at)
        self.must_wait = False

    # What the server itself has to say

    def emit(self, account: Account, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> bool:
        """Queue a message of the server's own, to be routed when the hub is flushed. Next: flush.

        False, and nothing is queued, where as much waits already as may wait for a client: whoever emits must wait or give up.
        """
        if self._emitted_size > self._max_pending:
            return False
        publication = Publication.compose(subject, reply, header, payload)
        self._emitted_size += publication.end
        self._emitted.append((account, publication))
        return True

    def answer(self, account: Account, answers: list[Publication]) -> None:
        """Queue messages of the server's own whose subjects are published to once, to be routed when the hub is flushed. Next: flush.

        They are many and small, so they wait in lists, and the hub takes as many at a time as there is work for. What bounds them is
        what they answer.
        """
        self._answers.append((account, answers))

    def readdress(self, accounts: dict[str, Account]) -> None:
        """The accounts were made anew: what is still to be routed is for those of the same names."""
        self._emitted = deque((accounts.get(account.name, account), message) for account, message in self._emitted)
        self._answers = deque((accounts.get(account.name, account), answers) for account, answers in self._answers)

    # Sending

    def has_more(self) -> bool:
        """True while a message waits to be routed or anybody has something to send."""
        return bool(self.urgent) or bool(self.dirty) or bool(self._sending) or bool(self._emitted) or bool(self._answers)

    def owes_little(self) -> bool:
        """True while what is to be sent is a little for a few."""
        return not self._sending and len(self.dirty) <= _FEW and self.piled <= _LITTLE

    def flush_urgent(self) -> None:
        """Let everybody send who is answered. Each is off the list first: nobody's failure keeps it there."""
        while self.urgent:
            peer = self.urgent.pop()
            peer.urgent = False
            if peer.transport is not None:
                peer.transport.flush()

    def flush_dirty(self, count: int) -> None:
        """Send for so many who got a message at most. Everybody has a turn before somebody gets their second."""
        while count > 0:
            if not self._sending:
                if not self.dirty:
                    break
                self._sending = self.dirty
                self._sending.reverse()
                self.dirty = []
            peer = self._sending.pop()
            peer.dirty = False
            count -= 1
            if peer.transport is not None:
                peer.transport.flush()
        if not self._sending and not self.dirty:
            self.piled = 0

    # Long outboxes

    def send_early(self, peer: Peer) -> None:
        """Send a long outbox now; give its owner up where that does not help."""
        if not peer.blocked and peer.transport is not None:
            self._work -= _WORK_SEND
            peer.transport.flush()
        out = peer.outbox
        if peer.closing is None and out.waiting() > self._max_pending:
            peer.overflow()

    def note_long(self, peer: Peer, producer: Peer | None) -> None:
        """Note what an outbox that stays long means for who fills it: a producer is held back, unless it was already."""
        out = peer.outbox
        waiting = out.waiting()
        if waiting > self.wait_at:
            self.must_wait = True
        if producer is not None and not producer.hurried and waiting > self.stall_at:
            producer.stalled_by = peer
