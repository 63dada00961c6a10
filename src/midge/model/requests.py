"""The bodies of requests to the JetStream API, each named after what it asks for."""

from __future__ import annotations

from typing import Annotated

import msgspec

from midge.model.base import ZERO_TIME, Duration, Int, Int64, Model, Time, Uint64, always, policy
from midge.model.consumer import ConsumerConfig
from midge.model.stream import Placement, StreamConfig, StreamState

__all__ = [
    "ConsumerCreateRequest",
    "ConsumerNextRequest",
    "ConsumerPauseRequest",
    "ConsumerResetRequest",
    "ConsumerUnpinRequest",
    "LeaderStepDownRequest",
    "MessageDeleteRequest",
    "MessageGetRequest",
    "PagedRequest",
    "StreamConfigRequest",
    "StreamInfoRequest",
    "StreamListRequest",
    "StreamPurgeRequest",
    "StreamRemovePeerRequest",
    "StreamRestoreRequest",
    "StreamSnapshotRequest",
]

ConsumerAction = Annotated[str, policy("server.ConsumerAction", "", "create", "update")]


class StreamConfigRequest(StreamConfig):
    """Create or update a stream; ``pedantic`` refuses what the server would otherwise set right."""

    pedantic: bool = False


class PagedRequest(Model):
    """A page of a long answer, from an entry on."""

    offset: Int = always(0)


class StreamListRequest(PagedRequest):
    """Streams, of those with a subject that collides with ``subject``; also for names."""

    subject: str = ""


class StreamInfoRequest(PagedRequest):
    """A stream, with its gaps and the subjects that match a filter where wanted."""

    deleted_details: bool = False
    subjects_filter: str = ""


class StreamPurgeRequest(Model):
    """Remove messages: of a subject, before a sequence, or all but the last ``keep``."""

    seq: Uint64 = 0
    filter: str = ""
    keep: Uint64 = 0


class MessageDeleteRequest(Model):
    """Remove a message; unless ``no_erase``, overwrite what was kept of it."""

    seq: Uint64 = always(0)
    no_erase: bool = False


class MessageGetRequest(Model):
    """Read a message or, directly, many."""

    seq: Uint64 = 0
    last_by_subj: str = ""
    next_by_subj: str = ""
    batch: Int = 0
    max_bytes: Int = 0
    start_time: Time | None = None
    multi_last: list[str] = []
    up_to_seq: Uint64 = 0
    up_to_time: Time | None = None
    no_hdr: bool = False


class StreamSnapshotRequest(Model):
    """Deliver a stream as a file, in chunks."""

    deliver_subject: str = always("")
    no_consumers: bool = False
    chunk_size: Int = 0
    window_size: Int = 0
    jsck: bool = False


class StreamRestoreRequest(Model):
    """Take a stream from such chunks."""

    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    state: StreamState = msgspec.field(default_factory=StreamState)


class StreamRemovePeerRequest(Model):
    """Of clusters: take a replica away."""

    peer: str = always("")


class LeaderStepDownRequest(Model):
    """Of clusters: let another server lead."""

    placement: Placement | None = None


class ConsumerCreateRequest(Model):
    """Create or update a consumer; ``action`` says which: "" for either, "create", "update"."""

    stream_name: str = always("")
    config: ConsumerConfig = msgspec.field(default_factory=ConsumerConfig)
    action: ConsumerAction = always("")
    pedantic: bool = False


class ConsumerPauseRequest(Model):
    """Deliver nothing until then."""

    pause_until: Time = always(ZERO_TIME)


class ConsumerUnpinRequest(Model):
    """Pin another client of a group."""

    group: str = always("")


class ConsumerResetRequest(Model):
    """Start again at a sequence of the stream."""

    seq: Uint64 = 0


class ConsumerNextRequest(Model):
    """Deliver the next messages."""

    expires: Duration = 0
    batch: Int = 0
    max_bytes: Int = 0
    no_wait: bool = False
    idle_heartbeat: Duration = 0
    group: str = ""
    min_pending: Int64 = 0
    min_ack_pending: Int64 = 0
    id: str = ""
    priority: Int = 0
