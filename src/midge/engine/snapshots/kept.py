"""Kept consumers: what an archive says of each, read from either of nats-server's formats. Pure.

    {"config": ConsumerConfig,
     "state": {"delivered": {"consumer_seq", "stream_seq"}, "ack_floor": {the same},
               "pending": {stream sequence: {"Sequence", "Timestamp"}}, "redelivered": {stream sequence: count}}}

Before 2.15 there were two files of each: the configuration in JSON, and the state as nats-server's store keeps it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from midge.engine.snapshots.varints import Numbers
from midge.model.base import Int64, Model, Uint64, always, decode
from midge.model.consumer import ConsumerConfig, SequenceInfo
from midge.quote import quote

__all__ = ["KeptConsumer", "KeptState", "PendingMessage", "read_consumer", "read_files"]

_STATE_MAGIC = 22
_SECOND = 1_000_000_000
_Sequence = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]


class PendingMessage(Model, rename={"sequence": "Sequence", "time": "Timestamp"}):
    """A message that was delivered and not acknowledged: the consumer's own sequence, and when, in nanoseconds."""

    sequence: Uint64 = always(0)
    time: Int64 = always(0)


class KeptState(Model):
    """How far a consumer has come; ``pending`` and ``redelivered`` by the stream's sequences."""

    delivered: SequenceInfo = msgspec.field(default_factory=SequenceInfo)
    ack_floor: SequenceInfo = msgspec.field(default_factory=SequenceInfo)
    pending: dict[_Sequence, PendingMessage] = {}
    redelivered: dict[_Sequence, Uint64] = {}


class KeptConsumer(Model):
    """A consumer as an archive has it."""

    config: ConsumerConfig | None = None
    state: KeptState | None = None


def read_consumer(name: str, text: bytes) -> KeptConsumer:
    """Read what an archive has of a consumer, of which nothing is missing.

    Raises:
        ValueError: it is none.
    """
    try:
        kept = decode(KeptConsumer, text)
    except msgspec.MsgspecError as error:
        raise ValueError(f"failed to decode consumer {_quoted(name)} state: {error}") from error
    for part, what in ((kept.config, "config"), (kept.state, "state")):
        if part is None:
            raise ValueError(f"consumer {_quoted(name)} is missing {what}")
    return kept


def read_files(name: str, config: bytes, state: bytes) -> KeptConsumer:
    """Read what an archive from before 2.15 has of a consumer.

    In the first version of the state it does not say which deliveries are pending: then all behind the last one that is sure are to be
    delivered again.

    Raises:
        ValueError: it is none.
    """
    try:
        kept = KeptConsumer(config=_config(config), state=_state(state))
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"error restoring consumer [{_quoted(name)}]: {error}") from error
    return kept


def _config(text: bytes) -> ConsumerConfig:
    config = decode(ConsumerConfig, text)
    for name in ("Created", "Name"):  # of the file
        config.unknown.pop(name, None)
    return config


def _state(data: bytes) -> KeptState:
    if len(data) < 2 or data[0] != _STATE_MAGIC or data[1] not in (1, 2):
        raise ValueError("its state is damaged")
    numbers, state = Numbers(data, 2), KeptState()
    floor, delivered = state.ack_floor, state.delivered
    floor.consumer_seq, floor.stream_seq = numbers.unsigned(), numbers.unsigned()
    delivered.consumer_seq, delivered.stream_seq = numbers.unsigned(), numbers.unsigned()
    count = numbers.unsigned()
    if data[1] == 1:  # of the time before 2.2
        if count:
            state.delivered = floor
        return state
    base = numbers.signed() if count else 0
    for _ in range(count):
        sequence, place, age = numbers.unsigned(), numbers.unsigned(), numbers.signed()
        message = PendingMessage(sequence=floor.consumer_seq + place, time=(base - age) * _SECOND)
        state.pending[str(floor.stream_seq + sequence)] = message
    for _ in range(numbers.unsigned()):
        sequence, redeliveries = numbers.unsigned(), numbers.unsigned()
        state.redelivered[str(floor.stream_seq + sequence)] = redeliveries
    return state


def _quoted(name: str) -> str:
    return quote(name.encode("utf-8", "surrogateescape"))
