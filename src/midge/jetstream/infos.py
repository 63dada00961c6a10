"""What is told about streams, consumers and accounts. Durations are seconds, times ``datetime``, None where there is none."""

from __future__ import annotations

from datetime import datetime

import msgspec

from midge.jetstream.configs import ConsumerConfig, ExternalStream, StreamConfig, SubjectTransform
from midge.jetstream.entity import Entity, Seconds

__all__ = [
    "AccountInfo",
    "AccountLimits",
    "ApiStats",
    "ClusterInfo",
    "ConsumerInfo",
    "LostData",
    "PeerInfo",
    "PriorityGroup",
    "Sequences",
    "SourceInfo",
    "StreamAlternate",
    "StreamInfo",
    "StreamState",
    "Tier",
]


class LostData(Entity):
    """The sequences of messages that damage took, and how many bytes they were."""

    msgs: list[int] | None = None
    bytes: int = 0


class StreamState(Entity):
    """What a stream holds. ``num_deleted`` counts the gaps between first and last; ``deleted`` and ``subjects`` only where asked for."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    first_ts: datetime | None = None
    last_seq: int = 0
    last_ts: datetime | None = None
    num_subjects: int = 0
    subjects: dict[str, int] = {}
    num_deleted: int = 0
    deleted: list[int] = []
    lost: LostData | None = None
    consumer_count: int = 0


class PeerInfo(Entity):
    """A server of a cluster that keeps a replica."""

    name: str = ""
    current: bool = False
    offline: bool = False
    active: Seconds = 0.0
    lag: int = 0
    peer: str = ""
    pending: bool = False


class ClusterInfo(Entity):
    """The servers that keep a stream or consumer."""

    name: str = ""
    raft_group: str = ""
    leader: str = ""
    leader_since: datetime | None = None
    system_account: bool = False
    traffic_account: str = ""
    replicas: list[PeerInfo] = []


class SourceInfo(Entity):
    """How far a mirror or source has come: ``lag`` messages behind; ``active`` seconds ago it was heard of, less than 0 for never."""

    name: str = ""
    external: ExternalStream | None = None
    lag: int = 0
    seq: int = 0
    active: Seconds = 0.0
    error: dict[str, object] | None = None
    filter_subject: str = ""
    subject_transforms: list[SubjectTransform] = []


class StreamAlternate(Entity):
    """Another stream that has the same messages."""

    name: str = ""
    domain: str = ""
    cluster: str = ""


class StreamInfo(Entity):
    """A stream: how it is configured, what it holds, and where it is. ``ts`` is when that was so."""

    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    created: datetime | None = None
    state: StreamState = msgspec.field(default_factory=StreamState)
    domain: str = ""
    cluster: ClusterInfo | None = None
    mirror: SourceInfo | None = None
    sources: list[SourceInfo] = []
    alternates: list[StreamAlternate] = []
    ts: datetime | None = None


class Sequences(Entity):
    """A consumer's own sequence beside the stream's."""

    consumer_seq: int = 0
    stream_seq: int = 0
    last_active: datetime | None = None


class PriorityGroup(Entity):
    """A priority group, and who is pinned."""

    group: str = ""
    pinned_client_id: str = ""
    pinned_ts: datetime | None = None


class ConsumerInfo(Entity):
    """A consumer: how it is configured, and how far it has come. ``ts`` is when that was so."""

    stream_name: str = ""
    name: str = ""
    created: datetime | None = None
    config: ConsumerConfig = msgspec.field(default_factory=ConsumerConfig)
    delivered: Sequences = msgspec.field(default_factory=Sequences)
    ack_floor: Sequences = msgspec.field(default_factory=Sequences)
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0
    num_pending: int = 0
    cluster: ClusterInfo | None = None
    push_bound: bool = False
    paused: bool = False
    pause_remaining: Seconds = 0.0
    ts: datetime | None = None
    priority_groups: list[PriorityGroup] = []


class AccountLimits(Entity):
    """What an account may use; -1 is no limit of its own."""

    max_memory: int = -1
    max_storage: int = -1
    max_streams: int = -1
    max_consumers: int = -1
    max_ack_pending: int = -1
    memory_max_stream_bytes: int = -1
    storage_max_stream_bytes: int = -1
    max_bytes_required: bool = False


class Tier(Entity):
    """What is used and what is allowed."""

    memory: int = 0
    storage: int = 0
    reserved_memory: int = 0
    reserved_storage: int = 0
    streams: int = 0
    consumers: int = 0
    limits: AccountLimits = msgspec.field(default_factory=AccountLimits)


class ApiStats(Entity):
    """The API's level, and its requests since the start."""

    level: int = 0
    total: int = 0
    errors: int = 0
    inflight: int = 0


class AccountInfo(Tier):
    """An account: its totals, the domain, the API's requests, and each tier where there are tiers."""

    domain: str = ""
    api: ApiStats = msgspec.field(default_factory=ApiStats)
    tiers: dict[str, Tier] = {}
