"""JetStream in the client: publish to streams, manage them, consume from them. ``Client.jetstream`` is the way in.

What a program names itself is here, and is imported when it is asked for: configurations, errors to catch, types for annotations.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midge.jetstream.async_publisher import PendingAck
    from midge.jetstream.atomic_batch import AtomicBatch
    from midge.jetstream.configs import (
        ConsumerConfig,
        ConsumerLimits,
        ExternalStream,
        Placement,
        Republish,
        SourceConsumer,
        StreamConfig,
        StreamSource,
        SubjectTransform,
    )
    from midge.jetstream.consumer import Consumer
    from midge.jetstream.consuming import Consuming
    from midge.jetstream.context import JetStream
    from midge.jetstream.counter import Counter, CounterEntry
    from midge.jetstream.errors import (
        AlreadyAcknowledgedError,
        ConsumerExistsError,
        ConsumerNotFoundError,
        JetStreamNotEnabledError,
        JetStreamUnavailableError,
        MalformedAnswerError,
        MessageNotFoundError,
        NoStreamError,
        NotAcknowledgedError,
        SnapshotError,
        StreamNameInUseError,
        StreamNotFoundError,
        TooManyPendingError,
        UnheardAckError,
        WrongLastError,
    )
    from midge.jetstream.fast_ingest import FastIngest
    from midge.jetstream.infos import AccountInfo, ConsumerInfo, StreamInfo, StreamState
    from midge.jetstream.message import Metadata, StreamMessage
    from midge.jetstream.ordered import OrderedConsumer
    from midge.jetstream.pub_ack import PubAck
    from midge.jetstream.schedule import Schedule
    from midge.jetstream.snapshot import Snapshot
    from midge.jetstream.stored_message import StoredMessage
    from midge.jetstream.stream import Stream

__all__ = [
    "AccountInfo",
    "AlreadyAcknowledgedError",
    "AtomicBatch",
    "Consumer",
    "ConsumerConfig",
    "ConsumerExistsError",
    "ConsumerInfo",
    "ConsumerLimits",
    "ConsumerNotFoundError",
    "Consuming",
    "Counter",
    "CounterEntry",
    "ExternalStream",
    "FastIngest",
    "JetStream",
    "JetStreamNotEnabledError",
    "JetStreamUnavailableError",
    "MalformedAnswerError",
    "MessageNotFoundError",
    "Metadata",
    "NoStreamError",
    "NotAcknowledgedError",
    "OrderedConsumer",
    "PendingAck",
    "Placement",
    "PubAck",
    "Republish",
    "Schedule",
    "Snapshot",
    "SnapshotError",
    "SourceConsumer",
    "StoredMessage",
    "Stream",
    "StreamConfig",
    "StreamInfo",
    "StreamMessage",
    "StreamNameInUseError",
    "StreamNotFoundError",
    "StreamSource",
    "StreamState",
    "SubjectTransform",
    "TooManyPendingError",
    "UnheardAckError",
    "WrongLastError",
]

_HOMES = {
    "async_publisher": "PendingAck",
    "atomic_batch": "AtomicBatch",
    "configs": "ConsumerConfig ConsumerLimits ExternalStream Placement Republish SourceConsumer StreamConfig StreamSource SubjectTransform",
    "consumer": "Consumer",
    "consuming": "Consuming",
    "context": "JetStream",
    "counter": "Counter CounterEntry",
    "errors": (
        "AlreadyAcknowledgedError ConsumerExistsError ConsumerNotFoundError JetStreamNotEnabledError JetStreamUnavailableError "
        "MalformedAnswerError MessageNotFoundError NoStreamError NotAcknowledgedError SnapshotError StreamNameInUseError "
        "StreamNotFoundError TooManyPendingError UnheardAckError WrongLastError"
    ),
    "fast_ingest": "FastIngest",
    "infos": "AccountInfo ConsumerInfo StreamInfo StreamState",
    "message": "Metadata StreamMessage",
    "ordered": "OrderedConsumer",
    "pub_ack": "PubAck",
    "schedule": "Schedule",
    "snapshot": "Snapshot",
    "stored_message": "StoredMessage",
    "stream": "Stream",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
