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
        if self._interest is None or committed - seen > max(MANY, len(self._few)):
            self._wake(list(self._few))
            self.seen = committed
            return
        self._wake(list(self._interest.everywhere))
        if self._interest is not None:
            found = self._wanting(self._interest, seen + 1, committed)
            self._wake([each for each, sequences in found.items() if not _told(each, sequences)])
        self.seen = committed

    def _wake(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            self.discard(consumer)
            consumer.wake()

    def _wanting(self, interest: Interest[Consumer], first: int, last: int) -> dict[Consumer, list[int]]:
        """Return who wants any of these messages, and the first ``FORESEEN`` that each wants.

        A subject and who wants it are looked at once more than messages are noted of it: who has enough is left out.
        """
        asking: dict[bytes, list[Consumer]] = {}
        found: dict[Consumer, list[int]] = {}
        for sequence in range(first, last + 1):
            subject = self._store.subject_of(sequence)
            if subject is None:
                continue
            if subject not in asking:
                asking[subject] = list(interest.of(subject))
            if asking[subject]:
                asking[subject] = [each for each in asking[subject] if _noted(found.setdefault(each, []), sequence)]
        return found


def _told(consumer: Consumer, sequences: list[int]) -> bool:
    """Tell a consumer which messages are for it; False if it cannot be, or these are too many."""
    known = consumer.delivery.ahead
    if known is None or len(known) + len(sequences) >= FORESEEN:
        return False
    consumer.delivery.ahead = (*known, *sequences)
    consumer.wake()
    return True


def _noted(sequences: list[int], sequence: int) -> bool:
    """Note a message, unless there are enough; True if there may be more."""
    if len(sequences) < FORESEEN:
        sequences.append(sequence)
    return len(sequences) < FORESEEN
