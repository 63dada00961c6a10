"""Roster: the consumers of a stream as they come, change and go, how each of that becomes safe, and that it is told to those who listen.

``told`` is called when something is safe, with None, or with why it is not; for consumers in memory before the call returns. One that could
not be made safe is not there; one that could not be changed is as it was; one that could not be removed from the disk is gone, and removed
from there later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.engine.consumers import advisories
from midge.engine.consumers.consumer import Consumer
from midge.engine.consumers.pull import DELETED, Pull
from midge.engine.consumers.state import state_of
from midge.model.consumer import ConsumerConfig

if TYPE_CHECKING:
    from midge.engine.consumers.lasts import Lasts
    from midge.engine.stream import Stream

__all__ = ["add", "change", "enter", "keep", "remove", "remove_all", "unpin"]

Told = Callable[[OSError | None], None]


def add(stream: Stream, config: ConsumerConfig, name: str, wall: int, lasts: Lasts | None = None) -> Consumer:
    """Make a consumer whose configuration is checked; where that fails nothing is left of it. It delivers at once. Next: ``keep``.

    Args:
        lasts: what it begins with, where that was found before.
    """
    consumer = Consumer(stream, config, wall, name)
    consumer.state = state_of(consumer)
    enter(consumer)
    try:
        consumer.start(wall, lasts)
    except BaseException:
        _leave(consumer, DELETED)
        raise
    advisories.action(consumer, "create")
    return consumer


def keep(consumer: Consumer, told: Told) -> None:
    """Have a new consumer kept."""

    def settled(error: OSError | None) -> None:
        if error is not None and _is_there(consumer):
            _leave(consumer, DELETED)
        told(error)

    if consumer.state is None:
        told(None)
    else:
        consumer.state.put(consumer.config, settled)


def change(consumer: Consumer, config: ConsumerConfig, wall: int, told: Told) -> None:
    """Let a consumer go on with another configuration, which is checked, when it is safe."""

    def settled(error: OSError | None) -> None:
        if error is None and _is_there(consumer):
            _apply(consumer, config, wall)
        told(error)

    if config == consumer.config:
        told(None)
    elif consumer.state is None:
        settled(None)
    else:
        consumer.state.put(config, settled)


def remove(consumer: Consumer, status: bytes, told: Told = lambda error: None) -> None:
    """Delete a consumer, whose waiting requests get the status. What was kept for it alone goes when its row has gone.

    Where the row stays for now, the keeper says so, and whoever was told nothing.
    """
    stream = consumer.stream
    advisories.action(consumer, "delete")
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


def remove_all(stream: Stream) -> None:
    """A stream is about to be deleted, with all its consumers and their rows."""
    for consumer in list(stream.consumers.values()):
        advisories.action(consumer, "delete")
        _leave(consumer, DELETED)
        if consumer.state is not None:
            consumer.state.forget()


def unpin(consumer: Consumer, group: str) -> None:
    """Let another client have the messages of a group, whoever has them now."""
    if isinstance(consumer.target, Pull) and consumer.target.groups is not None:
        consumer.target.groups.unpin()
    advisories.unpinned(consumer, group, "admin")
    consumer.wake()


def enter(consumer: Consumer) -> None:
    """Let the stream have a consumer, which was made or opened."""
    stream = consumer.stream
    stream.consumers[consumer.name] = consumer
    if stream.taken is not None:
        stream.taken.add(consumer.name, consumer.config)
    if stream.retention is not None:
        stream.retention.add(consumer)
    stream.see_who_follows()


def _leave(consumer: Consumer, status: bytes) -> None:
    stream = consumer.stream
    consumer.stop(status)
    if _is_there(consumer):
        del stream.consumers[consumer.name]
        if stream.taken is not None:
            stream.taken.discard(consumer.name)
        if stream.retention is not None:
            stream.retention.remove(consumer, consumer.filters)
    stream.see_who_follows()


def _apply(consumer: Consumer, config: ConsumerConfig, wall: int) -> None:
    stream, filters, before = consumer.stream, consumer.filters, consumer.config
    if stream.retention is not None:
        stream.retention.remove(consumer, filters)
    consumer.update(config, wall)
    if stream.taken is not None:
        stream.taken.add(consumer.name, config)
    if stream.retention is not None:
        stream.retention.add(consumer)
        if consumer.filters != filters:
            stream.see_who_follows()
            stream.retention.lost_interest(consumer.ledger.stream_floor)
    if config.pause_until != before.pause_until:
        advisories.paused(consumer, wall)


def _is_there(consumer: Consumer) -> bool:
    return consumer.stream.consumers.get(consumer.name) is consumer
