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

from midge.engine.snapshots.varints import Numbers
from midge.model.base import Int64, Model, Uint64, always, decode
from midge.model.consumer import ConsumerConfig, SequenceInfo
from midge.quote import quote

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["KeptConsumer", "KeptState", "PendingMessage", "consumers_of", "read_consumer", "read_files", "restore_consumers"]

_STATE_MAGIC = 22
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
        raise ValueError(f"failed to decode consumer {quote(name.encode('utf-8', 'surrogateescape'))} state: {error}") from error
    if not kept.config.name:
        kept.config.name = name
    return kept


def read_files(name: str, config: bytes, state: bytes) -> KeptConsumer:
    """Read what an archive from before 2.15 has of a consumer: its configuration in JSON, and its state as nats-server's store keeps it.

    Where messages wait for an acknowledgement, all behind the last one that is sure are to be delivered again.

    Raises:
        ValueError: it is none.
    """
    kept = KeptConsumer(config=_config(name, config))
    if len(state) < 2 or state[0] != _STATE_MAGIC or state[1] not in (1, 2):
        raise ValueError(f"error restoring consumer [{quote(name.encode('utf-8', 'surrogateescape'))}]: its state is damaged")
    numbers = Numbers(state, 2)
    kept.state.ack_floor.consumer_seq, kept.state.ack_floor.stream_seq = numbers.unsigned(), numbers.unsigned()
    kept.state.delivered.consumer_seq, kept.state.delivered.stream_seq = numbers.unsigned(), numbers.unsigned()
    if numbers.unsigned():
        kept.state.delivered = kept.state.ack_floor
    return kept


def _config(name: str, text: bytes) -> ConsumerConfig:
    try:
        config = decode(ConsumerConfig, text)
    except msgspec.MsgspecError as error:
        raise ValueError(f"error restoring consumer [{quote(name.encode('utf-8', 'surrogateescape'))}]: {error}") from error
    config.name = config.name or name
    return config


def consumers_of(stream: Stream) -> Iterator[KeptConsumer]:
    """Return what a snapshot keeps of a stream's consumers. (The engine has none so far.)"""
    yield from ()


def restore_consumers(stream: Stream, kept: list[KeptConsumer]) -> None:
    """Make consumers as they were. (The engine has none so far: that they are not there is said, and the messages are.)"""
    for each in kept:
        error = NotImplementedError("consumers are not supported yet: it has to be created anew")
        stream.engine.outside.failed(f"restoring consumer {each.config.name} of stream {stream.name}", error)
