"""Draft: a stream in the making, which is filled from an archive and nobody sees before it is whole.

Its store is marked from the first moment on as one to be removed: a process that ends in the middle leaves nothing, and where the draft
is given up nothing is left either. ``commit`` takes the mark away and makes the stream's configuration and its consumers durable in one
step.

What the store counts is counted for the account and the server from the beginning, and its limits hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.engine import checks
from midge.engine.errors import ApiError
from midge.engine.headers import nats_values
from midge.engine.renaming import is_publishable
from midge.engine.snapshots.consumers import row_of
from midge.engine.snapshots.kept import KeptConsumer
from midge.engine.stream import Stream
from midge.engine.ttl import parse_ttl
from midge.model.consumer import ConsumerConfig
from midge.model.stream import StreamConfig
from midge.store.state import ConsumerRow
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.account import Account
    from midge.store.base import Store

__all__ = ["Draft"]

MAX_SEQUENCE = 1 << 62  # as for streams that are created
MAX_PENDING = 1_000_000  # messages that may be pending for all consumers together
_SECOND = 1_000_000_000


class Draft:
    """A stream in the making.

    Args:
        account: whose it will be.
        config: checked already, and of a name that nobody else has.
        wall: when it was begun.
        store: see ``Engine.open_draft``.

    Attributes:
        stream: what it becomes; it does not listen yet.
        unwritten: bytes that were put since ``settle`` was called.
    """

    __slots__ = ("_account", "_committed", "_configs", "_engine", "_pending", "_rows", "stream", "unwritten")

    def __init__(self, account: Account, config: StreamConfig, wall: int, store: Store) -> None:
        self._account = account
        self._engine = account.engine
        self._committed = False
        self._configs: dict[str, ConsumerConfig] = {}
        self._rows: list[ConsumerRow] = []
        self._pending = 0
        self.unwritten = 0
        self.stream = Stream(account, config, wall, store)

    def begin(self, first: int, size: int, time: int) -> None:
        """Say which sequence is the first one that may come, what all will count for, and when the last one was used if none comes.

        Raises:
            ValueError, ApiError: that cannot be.
        """
        store = self.stream.store
        if not 0 <= first <= MAX_SEQUENCE:
            raise ValueError(f"first sequence is above {MAX_SEQUENCE}")
        self._check_room(size)
        if first > 1 and store.last < first - 1:
            store.skip(first - 1, time)

    def put(self, sequence: int, time: int, subject: bytes, header: bytes, payload: bytes) -> None:
        """Store a message; one that has lived its time leaves a gap.

        Raises:
            ValueError, ApiError, OSError: it cannot be.
        """
        store, config = self.stream.store, self.stream.config
        if sequence <= store.last:
            raise ValueError(f"message sequence {sequence} out of order")
        if sequence > MAX_SEQUENCE:
            raise ValueError(f"message sequence {sequence} is above {MAX_SEQUENCE}")
        if not is_publishable(subject):
            raise ValueError(f"message sequence {sequence} has no subject that can be published to")
        if 0 <= config.max_msg_size < len(header) + len(payload):
            raise ValueError(f"message sequence {sequence} exceeds maximum message size")
        checks.record(self.stream, subject, len(header), len(payload))
        if header.find(b"Nats-TTL") > 0 and self._is_over(time, header):
            self.skip(sequence, time)
            return
        self.skip(sequence - 1, 0)
        store.append(Publication.compose(subject, b"", header, payload), max(time, 0))
        self.unwritten += len(subject) + len(header) + len(payload)

    def add_consumer(self, name: str, kept: KeptConsumer) -> None:
        """Let the stream have a consumer when it is committed. One that feeds another stream is made by that one.

        Raises:
            ValueError, ApiError: it cannot be.
        """
        if kept.config is not None and kept.config.direct:
            return
        row, config, pending = row_of(self.stream, name, kept, self._configs)
        self._pending += pending
        if self._pending > MAX_PENDING:
            raise ValueError(f"more than {MAX_PENDING} messages are pending for consumers")
        self._configs[name] = config
        self._rows.append(row)

    def skip(self, sequence: int, time: int) -> None:
        """No message has a sequence that is not used yet, up to this one.

        Raises:
            ValueError, OSError: it cannot be.
        """
        store = self.stream.store
        if sequence > MAX_SEQUENCE:
            raise ValueError(f"last sequence is above {MAX_SEQUENCE}")
        if sequence > store.last:
            store.skip(sequence, max(time, 0))

    def remove(self, sequence: int) -> None:
        """A message that was put had been removed later."""
        if sequence <= self.stream.store.last:
            self.stream.store.remove(sequence)

    def drop(self, below: int) -> None:
        """All messages before a sequence had been removed later."""
        self.stream.store.drop(min(below, self.stream.store.last + 1))

    def count(self) -> None:
        """Let what was put so far count; to be called once a slice.

        Raises:
            ApiError: there is no room for it.
        """
        self._account.recount(self.stream)
        self._check_room(0)

    def settle(self, call: Callable[[Exception | None], None]) -> None:
        """Call back when all that was put is safe."""
        self.unwritten = 0
        self.stream.store.settle(call)

    def commit(self, told: Callable[[Exception | None], None]) -> None:
        """Make it a stream like any other; everything is settled. Nothing else may be asked until it is told.

        Args:
            told: when it is, or with why it is a draft yet; see ``Engine.commit_draft``.
        """
        self._committed = True

        def done(error: Exception | None) -> None:
            self._committed = error is None
            told(error)

        self._engine.commit_draft(self.stream, self._rows, done)

    def discard(self) -> None:
        """Leave nothing of it; nothing where it was committed, or that is under way."""
        if not self._committed:
            self._committed = True
            self._engine.discard_draft(self.stream)

    def _check_room(self, more: int) -> None:
        storage = self.stream.config.storage
        limit = self._engine.limits[storage]
        if self._account.would_exceed(storage, more) or 0 < limit < self._engine.used[storage] + more:
            raise ApiError(10028 if storage == "memory" else 10047)

    def _is_over(self, time: int, header: bytes) -> bool:
        """True if a message has a time to live, and that is over."""
        text = nats_values(header).get(b"Nats-TTL")
        ttl = parse_ttl(text) if text is not None else 0
        return ttl > 0 and time + ttl * _SECOND < self._engine.wall
