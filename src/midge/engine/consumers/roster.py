"""Roster: the consumers of a stream as they come, change and go, told to those who listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.consumers import advisories
from midge.engine.consumers.consumer import Consumer
from midge.engine.consumers.pull import Pull
from midge.model.consumer import ConsumerConfig

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["add", "change", "remove", "unpin"]


def add(stream: Stream, config: ConsumerConfig, name: str, wall: int) -> Consumer:
    """Make a consumer whose configuration is checked; where that fails nothing is left of it."""
    consumer = Consumer(stream, config, wall, name)
    stream.consumers[name] = consumer
    try:
        consumer.start(wall)
    except BaseException:
        del stream.consumers[name]
        raise
    stream.see_who_follows()
    advisories.action(consumer, "create")
    return consumer


def change(consumer: Consumer, config: ConsumerConfig, wall: int) -> None:
    """Let a consumer go on with another configuration, which is checked."""
    before = consumer.config
    if config == before:
        return
    consumer.update(config, wall)
    if config.pause_until != before.pause_until:
        advisories.paused(consumer, wall)


def remove(consumer: Consumer, status: bytes) -> None:
    """Delete a consumer, whose waiting requests get the status."""
    stream = consumer.stream
    advisories.action(consumer, "delete")
    consumer.stop(status)
    if stream.consumers.get(consumer.name) is consumer:
        del stream.consumers[consumer.name]
    stream.see_who_follows()


def unpin(consumer: Consumer, group: str) -> None:
    """Let another client have the messages of a group, whoever has them now."""
    if isinstance(consumer.target, Pull) and consumer.target.groups is not None:
        consumer.target.groups.unpin()
    advisories.unpinned(consumer, group, "admin")
    consumer.wake()
