"""Hunger: the consumers of a stream that somebody waits for, and whom a new message may wake.

A few are all woken when more is committed, whatever it is. Of many only those are whose filters match, which are found by the subjects of
the messages: ten thousand filtered consumers do not cost ten thousand looks. Such a consumer is told which message is the first for it, so
it need not look at all that came before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.interest import Interest
from midge.store.base import Store

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer

__all__ = ["Hunger"]

FEW = 16  # consumers
MANY = 4_096  # messages: of more than those, waking everybody is cheaper than looking at each


class Hunger:
    """The hungry consumers of one stream, each once."""

    __slots__ = ("_even", "_few", "_interest", "_seen", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._few: dict[Consumer, tuple[bytes, ...]] = {}
        self._even: set[Consumer] = set()  # those of them who had all up to ``_seen`` when they came: the others may have passed some by
        self._interest: Interest[Consumer] | None = None  # made when they are more than a few
        self._seen = 0  # up to which sequence messages have woken whom they had to

    def __len__(self) -> int:
        return len(self._few)

    def add(self, consumer: Consumer) -> None:
        """A consumer has delivered all that is committed, and would deliver more."""
        if consumer in self._few:
            return
        if not self._few:
            self._seen = self._store.committed
        self._few[consumer] = consumer.filters
        if consumer.ledger.next > self._seen and not consumer.delivery.skips:
            self._even.add(consumer)
        if self._interest is not None:
            self._interest.add(consumer.filters, consumer)
        elif len(self._few) > FEW:
            self._interest = Interest()
            for each, filters in self._few.items():
                self._interest.add(filters, each)

    def discard(self, consumer: Consumer) -> None:
        """A consumer is woken by something else, or is no more."""
        filters = self._few.pop(consumer, None)
        self._even.discard(consumer)
        if filters is not None and self._interest is not None:
            self._interest.remove(filters, consumer)
            if not self._few:
                self._interest = None

    def feed(self) -> None:
        """More may be committed: wake who may want it."""
        committed, seen = self._store.committed, self._seen
        if committed <= seen or not self._few:
            return
        self._seen = committed
        if self._interest is None or committed - seen > MANY:
            hungry = dict.fromkeys(self._few, 0)
        else:
            hungry = self._wanting(self._interest, seen + 1, committed)
        for consumer, first in hungry.items():
            if consumer in self._even:
                consumer.ledger.next = max(consumer.ledger.next, first)
            self.discard(consumer)
            consumer.wake()

    def _wanting(self, interest: Interest[Consumer], first: int, last: int) -> dict[Consumer, int]:
        """Return who wants any of these messages, and the first that each wants."""
        subjects: dict[bytes, int] = {}
        for sequence in range(first, last + 1):
            subject = self._store.subject_of(sequence)
            if subject is not None:
                subjects.setdefault(subject, sequence)
        found: dict[Consumer, int] = {}
        for subject, sequence in subjects.items():
            for consumer in interest.of(subject):
                found.setdefault(consumer, sequence)
        return found
