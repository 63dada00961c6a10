"""The consumers in an archive: the one place where snapshots meet the engine's consumers.

``consumers_of`` gives what a snapshot keeps of each, ``restore_consumers`` takes that back, in the JSON of nats-server's archive:

    {"config": ConsumerConfig,
     "state": {"delivered": {"consumer_seq", "stream_seq"}, "ack_floor": {the same},
               "pending": {stream sequence: {"sequence", "ts"}}, "redelivered": {stream sequence: count}}}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec

from midge.model.base import Int64, Model, Uint64, always, decode
from midge.model.consumer import ConsumerConfig, SequenceInfo

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["KeptConsumer", "KeptState", "PendingMessage", "consumers_of", "read_consumer", "restore_consumers"]

_Sequence = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]


class PendingMessage(Model):
    """A message that was delivered and not acknowledged: the consumer's own sequence, and when, in nanoseconds."""

    sequence: Uint64 = always(0)
    ts: Int64 = always(0)


class KeptState(Model):
    """How far a consumer has come; ``pending`` and ``redelivered`` by the stream's sequences."""

    delivered: SequenceInfo = msgspec.field(default_factory=SequenceInfo)
    ack_floor: SequenceInfo = msgspec.field(default_factory=SequenceInfo)
    pending: dict[_Sequence, PendingMessage] = {}
    redelivered: dict[_Sequence, Uint64] = {}


class KeptConsumer(Model):
    """A consumer as an archive has it."""

    config: ConsumerConfig = msgspec.field(default_factory=ConsumerConfig)
    state: KeptState = msgspec.field(default_factory=KeptState)


def read_consumer(name: str, text: bytes) -> KeptConsumer:
    """Read what an archive has of a consumer.

    Raises:
        ValueError: it is none.
    """
    try:
        kept = decode(KeptConsumer, text)
    except msgspec.MsgspecError as error:
        raise ValueError(f"failed to decode consumer {name!r} state: {error}") from error
    if not kept.config.name:
        kept.config.name = name
    return kept


def consumers_of(stream: Stream) -> Iterator[KeptConsumer]:
    """Return what a snapshot keeps of a stream's consumers. (The engine has none so far.)"""
    yield from ()


def restore_consumers(stream: Stream, kept: list[KeptConsumer]) -> None:
    """Make consumers as they were. (The engine has none so far: that they are not there is said, and the messages are.)"""
    for each in kept:
        error = NotImplementedError("consumers are not supported yet: it has to be created anew")
        stream.engine.outside.failed(f"restoring consumer {each.config.name} of stream {stream.name}", error)
