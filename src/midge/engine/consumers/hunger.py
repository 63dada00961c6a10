"""Hunger: the consumers of a stream that somebody waits for, and whom a new message may wake.

A few are all woken when more is committed, whatever it is. Of many only those are whose filters match, which are found by the subjects of
the messages: ten thousand filtered consumers do not cost ten thousand looks. Such a consumer stays, and is told which messages are for it
(``Delivery.ahead``): it looks neither at those before, nor at those between and behind them. Who is told of more than it takes is
left to find the rest by itself, until it has all again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.interest import Interest
from midge.store.base import Store

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer

__all__ = ["Hunger"]

FEW = 16  # consumers
MANY = 4_096  # messages: of more than those, and than there are consumers, waking everybody is cheaper than looking at each
FORESEEN = 16  # messages: of fewer a consumer is told; it finds more by itself


class Hunger:
    """The hungry consumers of one stream, each once.

    Attributes:
        seen: up to which sequence messages have woken whom they had to.
    """

    __slots__ = ("_few", "_interest", "_store", "seen")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._few: dict[Consumer, tuple[bytes, ...]] = {}
        self._interest: Interest[Consumer] | None = None  # made when they are more than a few
        self.seen = 0

    def __len__(self) -> int:
        return len(self._few)

    def add(self, consumer: Consumer) -> None:
        """A consumer has delivered all that is committed, and would deliver more."""
        if consumer in self._few:
            return
        if not self._few:
            self.seen = self._store.committed
        self._few[consumer] = consumer.filters
        if consumer.ledger.next > self.seen and not consumer.delivery.skips:  # the others may have passed some by
            consumer.delivery.ahead = ()
        if self._interest is not None:
            self._interest.add(consumer.filters, consumer)
        elif len(self._few) > FEW:
            self._interest = Interest()
            for each, filters in self._few.items():
                self._interest.add(filters, each)

    def discard(self, consumer: Consumer) -> None:
        """A consumer is woken by something else, or is no more."""
        filters = self._few.pop(consumer, None)
        if filters is None:
            return
        consumer.delivery.strike_out()
        if self._interest is not None:
            self._interest.remove(filters, consumer)
            if not self._few:
                self._interest = None

    def feed(self) -> None:
        """More may be committed: wake who may want it."""
        committed, seen = self._store.committed, self.seen
        if committed <= seen or not self._few:
            return
        interest = self._interest
        if interest is None or committed - seen > max(MANY, len(self._few)):
            self._wake(list(self._few))
        else:
            self._wake(list(interest.everywhere))
            for consumer, sequences in self._wanting(interest, seen + 1, committed).items():
                consumer.delivery.ahead = (*(consumer.delivery.ahead or ()), *sequences)
                consumer.wake()
        self.seen = committed

    def _wake(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            self.discard(consumer)
            consumer.wake()

    def _wanting(self, interest: Interest[Consumer], first: int, last: int) -> dict[Consumer, list[int]]:
        """Return who is to be told of any of these messages, and of which; wake at once whoever cannot be told, or has enough.

        Those are hungry no more, and so no later message looks at them: what a consumer costs is bounded, however many messages match.
        """
        found: dict[Consumer, list[int]] = {}
        for sequence in range(first, last + 1):
            if not self._few:
                break
            subject = self._store.subject_of(sequence)
            for consumer in interest.of(subject) if subject is not None else ():
                known, noted = consumer.delivery.ahead, found.setdefault(consumer, [])
                noted.append(sequence)
                if known is None or len(known) + len(noted) >= FORESEEN:
                    del found[consumer]
                    self._wake([consumer])
        return found
