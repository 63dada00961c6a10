"""The consumers in an archive: the one place where snapshots meet the engine's consumers.

``consumers_of`` says who is in a snapshot, ``kept_of`` what it keeps of each; ``row_of`` makes of that what a store directory has of a
consumer, and whoever has the row opens it as after a start. What of a consumer outlives an archive is the same as in nats-server's: its
configuration, the floors, what is pending since when, and what was delivered more than once. The queue of what is to be delivered again is
not there: that is delivered when it expires.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from midge.engine.consumers.api import terms_of
from midge.engine.consumers.config import decided
from midge.engine.consumers.dump import dump
from midge.engine.consumers.ledger import Ledger
from midge.engine.snapshots.kept import KeptConsumer, KeptState, PendingMessage
from midge.model.base import encode
from midge.model.consumer import ConsumerConfig, SequenceInfo
from midge.quote import quote
from midge.store.state import ConsumerRow

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.stream import Stream

__all__ = ["consumers_of", "kept_of", "row_of"]

_MAX: Final = 1 << 62  # of a sequence, a time, a count


def consumers_of(stream: Stream) -> list[Consumer]:
    """Return the consumers that a snapshot of a stream has: all that it shows."""
    return [consumer for consumer in stream.consumers.values() if not consumer.config.direct]


def kept_of(consumer: Consumer, last: int) -> KeptConsumer:
    """Return what a snapshot keeps of a consumer whose last message is this one."""
    ledger = consumer.ledger
    pending, redelivered = {}, {}
    for sequence in ledger.sequences():
        entry = ledger.entry(sequence)
        if entry is not None and sequence <= last:
            delivery, time, count, _ = entry
            pending[str(sequence)] = PendingMessage(sequence=delivery, time=time)
            if count:
                redelivered[str(sequence)] = count
    redelivered |= {str(sequence): count for sequence, count in ledger.exceeded.items() if sequence <= last}
    state = KeptState(
        delivered=SequenceInfo(consumer_seq=ledger.delivered, stream_seq=min(ledger.last, last)),
        ack_floor=SequenceInfo(consumer_seq=ledger.told_floor, stream_seq=min(ledger.told_stream_floor, last)),
        pending=pending,
        redelivered=redelivered,
    )
    return KeptConsumer(config=msgspec.structs.replace(consumer.config, name=consumer.name), state=state)


def row_of(stream: Stream, name: str, kept: KeptConsumer, others: Mapping[str, ConsumerConfig]) -> tuple[ConsumerRow, ConsumerConfig, int]:
    """Return a consumer as a store directory has it, its configuration, and how many messages are pending.

    Args:
        stream: whose it will be; it may be a draft yet.
        name: under which the archive has it.
        others: the configurations of those that were there before it.

    Raises:
        ValueError, ApiError: it may not be, or nothing can be as its state says.
    """
    assert kept.config is not None and kept.state is not None
    config = msgspec.structs.replace(kept.config, name=kept.config.durable_name or name)
    decision = decided(config, "create", terms_of(stream.engine, stream, others), choose=lambda: name)
    if decision.name != name or not decision.is_new:
        quoted = quote(name.encode("utf-8", "surrogateescape"))
        raise ValueError(f"failed to add consumer {quoted}: its name is another one, or there twice")
    ledger = _ledger(kept.state)
    row = ConsumerRow(
        0, stream.account.name, stream.name, name, encode(decision.config), stream.engine.wall, dump(ledger, stream.engine.wall)
    )
    return row, decision.config, ledger.pending


def _ledger(state: KeptState) -> Ledger:
    """Return what a consumer has delivered.

    Raises:
        ValueError: it cannot have.
    """
    delivered, floor = state.delivered, state.ack_floor
    numbers = (delivered.consumer_seq, delivered.stream_seq, floor.consumer_seq, floor.stream_seq, *state.redelivered.values())
    if max(numbers) >= _MAX or floor.consumer_seq > delivered.consumer_seq or floor.stream_seq > delivered.stream_seq:
        raise ValueError("the state of a consumer cannot be")
    ledger = Ledger()
    ledger.start(delivered.stream_seq + 1)
    ledger.delivered, ledger.floor, ledger.stream_floor = delivered.consumer_seq, floor.consumer_seq, floor.stream_seq
    ledger.told_floor, ledger.told_stream_floor = ledger.floor, ledger.stream_floor
    counts = {int(sequence): count for sequence, count in state.redelivered.items()}
    for sequence, message in sorted((int(sequence), message) for sequence, message in state.pending.items()):
        if floor.stream_seq < sequence <= delivered.stream_seq:  # others are acknowledged, or come anyway
            place = min(max(message.sequence, 1), delivered.consumer_seq or 1)
            ledger.put(sequence, place, min(max(message.time, 0), _MAX), counts.pop(sequence, 0))
    for sequence, count in counts.items():  # they were delivered as often as they may be
        if 0 < sequence <= delivered.stream_seq:
            ledger.exceed(sequence, count)
    return ledger
