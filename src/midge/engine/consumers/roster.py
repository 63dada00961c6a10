"""Roster: the consumers of a stream as they come, change and go, and how each of that becomes safe.

``told`` is called when it is, with None, or with why it is not; for consumers in memory before the call returns. One that could not be made
safe is not there; one that could not be changed is as it was; one that could not be removed from the disk is gone, and removed later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.engine.consumers.consumer import Consumer
from midge.engine.consumers.dump import load
from midge.engine.consumers.pull import DELETED
from midge.engine.consumers.state import state_of
from midge.model.base import decode
from midge.model.consumer import ConsumerConfig
from midge.store.state import ConsumerRow

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["add", "change", "forget", "keep", "open_all", "remove"]

Told = Callable[[OSError | None], None]


def add(stream: Stream, config: ConsumerConfig, name: str, wall: int) -> Consumer:
    """Make a consumer whose configuration is checked. It delivers at once. Next: ``keep``."""
    consumer = Consumer(stream, config, wall, name)
    consumer.state = state_of(consumer)
    _enter(consumer)
    consumer.start(wall)
    return consumer


def keep(consumer: Consumer, told: Told) -> None:
    """Have a new consumer kept."""

    def settled(error: OSError | None) -> None:
        if error is not None and consumer.stream.consumers.get(consumer.name) is consumer:
            _leave(consumer, DELETED)
        told(error)

    if consumer.state is None:
        told(None)
    else:
        consumer.state.put(consumer.config, settled)


def change(consumer: Consumer, config: ConsumerConfig, wall: int, told: Told) -> None:
    """Let a consumer go on with another configuration, which is checked, when it is safe."""

    def settled(error: OSError | None) -> None:
        if error is None and consumer.stream.consumers.get(consumer.name) is consumer:
            _apply(consumer, config, wall)
        told(error)

    if config == consumer.config:
        told(None)
    elif consumer.state is None:
        settled(None)
    else:
        consumer.state.put(config, settled)


def remove(consumer: Consumer, status: bytes, told: Told) -> None:
    """Delete a consumer, whose waiting requests get the status. What was kept for it alone goes when its row has gone."""
    stream = consumer.stream
    _leave(consumer, status)
    floor = consumer.ledger.stream_floor
    is_told = False

    def removed(error: OSError | None) -> None:
        nonlocal is_told
        if error is None and stream.retention is not None and not stream.intake.closed:
            stream.retention.lost_interest(floor)
        if not is_told:
            is_told = True
            told(error)

    if consumer.state is None:
        removed(None)
    else:
        consumer.state.remove(removed)


def forget(stream: Stream) -> None:
    """A stream is about to be deleted, and the rows of its consumers with it."""
    for consumer in stream.consumers.values():
        if consumer.state is not None:
            consumer.state.forget()


def open_all(stream: Stream, rows: list[ConsumerRow], wall: int) -> None:
    """Have the consumers again that are kept. One that cannot be opened does not keep others from it; but then no message goes."""
    for row in rows:
        try:
            consumer = Consumer(stream, decode(ConsumerConfig, row.config), row.created, row.name)
            load(consumer.ledger, row.state)
        except Exception as error:
            stream.unopened.add(row.name)
            if stream.retention is not None:
                stream.retention.is_held = True
            what = f"opening consumer {row.name} of stream {stream.name} of account {stream.account.name}"
            stream.engine.outside.failed(what, error)
            continue
        consumer.state = state_of(consumer, row.id)
        _agree(consumer)
        _enter(consumer)
        consumer.open(wall)
    if stream.retention is not None:
        stream.retention.opened()


def _enter(consumer: Consumer) -> None:
    stream = consumer.stream
    stream.consumers[consumer.name] = consumer
    if stream.retention is not None:
        stream.retention.add(consumer)
    stream.see_who_follows()


def _leave(consumer: Consumer, status: bytes) -> None:
    stream = consumer.stream
    consumer.stop(status)
    del stream.consumers[consumer.name]
    if stream.retention is not None:
        stream.retention.remove(consumer, consumer.filters)
    stream.see_who_follows()


def _apply(consumer: Consumer, config: ConsumerConfig, wall: int) -> None:
    stream, filters = consumer.stream, consumer.filters
    if stream.retention is not None:
        stream.retention.remove(consumer, filters)
    consumer.update(config, wall)
    if stream.retention is not None:
        stream.retention.add(consumer)
        if consumer.filters != filters:
            stream.see_who_follows()
            stream.retention.lost_interest(consumer.ledger.stream_floor)


def _agree(consumer: Consumer) -> None:
    """Let what a consumer remembers agree with what the stream has: messages may have gone when it was not told any more.

    A disk that has lost what it promised may have less than was delivered.
    """
    ledger, store = consumer.ledger, consumer.stream.store
    if ledger.next > store.last + 1:
        ledger.next = store.last + 1
        ledger.last = min(ledger.last, store.last)
        ledger.stream_floor = min(ledger.stream_floor, store.last)
    for sequence in ledger.sequences():
        if not store.time_of(sequence):
            ledger.ack(sequence)
    for sequence in [sequence for sequence in ledger.exceeded if not store.time_of(sequence)]:
        ledger.ack(sequence)
