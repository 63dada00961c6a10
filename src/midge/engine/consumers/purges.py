"""Purges: what a purge of the stream means for its consumers (nats-server's ``purge`` of consumer and stream).

A consumer that looks for nothing but what was purged goes on behind it. One that looks for more goes on where the stream begins now, and
what it has delivered and is not there any more is done with. What is pending and still there (it looked for more then) stays pending, which
it does not in nats-server. Messages that go by limits, or are deleted, are told otherwise: see ``sweep``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.transform import is_subset

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.stream import Stream

__all__ = ["purged"]


def purged(stream: Stream, filter: bytes, wall: int) -> None:
    """Messages were purged: all that match the filter; an empty one is for all, where the first sequence says which."""
    store = stream.store
    is_whole = filter in (b"", b">")
    behind = store.first if is_whole else 0
    for consumer in stream.consumers.values():
        if is_whole or (consumer.filters and all(_is_within(each, filter) for each in consumer.filters)):
            behind = behind or store.next((filter,), store.first) or store.last + 1
            _go_on(consumer, behind, wall, is_wider=False)
        elif not consumer.filters or any(_is_within(filter, each) or _is_within(each, filter) for each in consumer.filters):
            _go_on(consumer, store.first, wall, is_wider=True)


def _go_on(consumer: Consumer, first: int, wall: int, *, is_wider: bool) -> None:
    """Let a consumer begin at a sequence, if it is not behind it.

    Args:
        is_wider: some of the messages behind it may be gone.
    """
    ledger, store = consumer.ledger, consumer.stream.store
    pending, floor = ledger.pending, ledger.stream_floor
    before = ledger.next, ledger.last, ledger.told_floor, ledger.told_stream_floor, pending
    kept = next((each for each in ledger.sequences() if store.time_of(each)), first) if first > store.first else first
    ledger.floor = max(ledger.floor, ledger.purge(min(first, kept)))
    ledger.next = max(ledger.next, first)
    if (is_wider or kept < first) and floor < first:
        for sequence in ledger.sequences() if ledger.pending else ():
            entry = None if store.time_of(sequence) else ledger.entry(sequence)
            if entry is not None and consumer.config.ack_policy == "explicit":
                ledger.floor = max(ledger.floor, entry[0])
                ledger.drop(sequence)
            elif entry is not None:
                ledger.ack(sequence)  # what was delivered before it is still to be acknowledged, which a floor behind it would not let be
    if not ledger.pending:
        for sequence in list(ledger.exceeded):
            ledger.forgive(sequence)
        ledger.floor, ledger.stream_floor = ledger.delivered, ledger.next - 1
    ledger.tell()
    if ledger.pending < pending:
        consumer.delivery.acked = wall
        consumer.wake()
    if before != (ledger.next, ledger.last, ledger.told_floor, ledger.told_stream_floor, ledger.pending):
        consumer.delivery.touch()


def _is_within(subject: bytes, pattern: bytes) -> bool:
    return is_subset(subject.decode("utf-8", "surrogateescape"), pattern.decode("utf-8", "surrogateescape"))
