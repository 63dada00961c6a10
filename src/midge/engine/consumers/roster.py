"""Roster: the consumers of a stream as they come, change and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.consumers.consumer import Consumer
from midge.model.consumer import ConsumerConfig

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["add", "change", "remove"]


def add(stream: Stream, config: ConsumerConfig, name: str, wall: int) -> Consumer:
    """Make a consumer whose configuration is checked."""
    consumer = stream.consumers[name] = Consumer(stream, config, wall, name)
    consumer.start(wall)
    return consumer


def change(consumer: Consumer, config: ConsumerConfig, wall: int) -> None:
    """Let a consumer go on with another configuration, which is checked."""
    if consumer.config != config:
        consumer.update(config, wall)


def remove(consumer: Consumer, status: bytes) -> None:
    """Delete a consumer, whose waiting requests get the status."""
    consumer.stop(status)
    consumer.stream.consumers.pop(consumer.name, None)
