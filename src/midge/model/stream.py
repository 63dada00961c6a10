"""Streams: their configuration, their state, and what is told about them. The ADRs say what each field means."""

from __future__ import annotations

from typing import Annotated

import msgspec

from midge.model.base import ZERO_TIME, Base64, Duration, Int, Int32, Int64, Model, Time, Uint16, Uint64, always, policy

__all__ = [
    "ClusterInfo",
    "ErrorBody",
    "ExternalStream",
    "LostStreamData",
    "PeerInfo",
    "Placement",
    "PubAck",
    "RePublish",
    "StoredMessage",
    "StreamAlternate",
    "StreamConfig",
    "StreamConsumerLimits",
    "StreamConsumerSource",
    "StreamInfo",
    "StreamSource",
    "StreamSourceInfo",
    "StreamState",
    "SubjectTransformConfig",
]


Retention = Annotated[str, policy("server.RetentionPolicy", "limits", "interest", "workqueue")]
Discard = Annotated[str, policy("server.DiscardPolicy", "old", "new")]
Storage = Annotated[str, policy("server.StorageType", "file", "memory")]
Compression = Annotated[str, policy("server.StoreCompression", "none", "s2")]
PersistMode = Annotated[str, policy("server.PersistModeType", "", "async")]


class ErrorBody(Model):
    """An error as the API answers it: a code like HTTP's, the error's own code, and a text."""

    code: Int = always(0)
    err_code: Uint16 = 0
    description: str = ""


class Placement(Model):
    """Where in a cluster a stream is to be: in which cluster, and on servers with which tags."""

    cluster: str = ""
    tags: list[str] = []
    preferred: str = ""


class SubjectTransformConfig(Model):
    """A subject that matches ``src`` becomes ``dest``."""

    src: str = always("")
    dest: str = always("")


class ExternalStream(Model):
    """A stream in another account or domain: the prefix of its API, and of what it delivers."""

    api: str = always("")
    deliver: str = always("")


class StreamConsumerSource(Model):
    """The durable consumer that a mirror or source reads through."""

    name: str = ""
    deliver_subject: str = ""


class StreamSource(Model):
    """A stream that another one mirrors or takes messages from."""

    name: str = always("")
    opt_start_seq: Uint64 = 0
    opt_start_time: Time | None = None
    filter_subject: str = ""
    subject_transforms: list[SubjectTransformConfig] = []
    external: ExternalStream | None = None
    consumer: StreamConsumerSource | None = None


class RePublish(Model):
    """Messages whose subject matches ``src`` are published again as ``dest`` once they are stored."""

    src: str = ""
    dest: str = always("")
    headers_only: bool = False


class StreamConsumerLimits(Model):
    """What consumers of a stream are given, unless they ask for something else within it."""

    inactive_threshold: Duration = 0
    max_ack_pending: Int = 0


class StreamConfig(Model):
    """The configuration of a stream.

    0 in a limit is what nats-server makes -1 of: no limit. ``storage`` is "file" or "memory", ``retention`` "limits", "interest" or
    "workqueue", ``discard`` "old" or "new", ``compression`` "none" or "s2", ``persist_mode`` "" or "async".
    """

    name: str = always("")
    description: str = ""
    subjects: list[str] = []
    retention: Retention = always("limits")
    max_consumers: Int = always(0)
    max_msgs: Int64 = always(0)
    max_bytes: Int64 = always(0)
    max_age: Duration = always(0)
    max_msgs_per_subject: Int64 = always(0)
    max_msg_size: Int32 = 0
    discard: Discard = always("old")
    storage: Storage = always("file")
    num_replicas: Int = always(0)
    no_ack: bool = False
    duplicate_window: Duration = 0
    placement: Placement | None = None
    mirror: StreamSource | None = None
    sources: list[StreamSource] = []
    compression: Compression = always("none")
    first_seq: Uint64 = 0
    subject_transform: SubjectTransformConfig | None = None
    republish: RePublish | None = None
    allow_direct: bool = always(False)
    mirror_direct: bool = always(False)
    discard_new_per_subject: bool = False
    sealed: bool = always(False)
    deny_delete: bool = always(False)
    deny_purge: bool = always(False)
    allow_rollup_hdrs: bool = always(False)
    consumer_limits: StreamConsumerLimits = msgspec.field(default_factory=StreamConsumerLimits)
    allow_msg_ttl: bool = always(False)
    subject_delete_marker_ttl: Duration = 0
    allow_msg_counter: bool = False
    allow_atomic: bool = False
    allow_msg_schedules: bool = False
    persist_mode: PersistMode = ""
    allow_batched: bool = False
    metadata: dict[str, str] = {}


class LostStreamData(Model):
    """The sequences of messages that damage took, and how many bytes they were."""

    msgs: list[Uint64] = msgspec.field(default_factory=lambda: [])  # noqa: PIE807 - written where it is empty, too
    bytes: Uint64 = always(0)


class StreamState(Model):
    """What a stream holds. ``num_deleted`` counts the gaps between first and last; ``deleted`` and ``subjects`` only where asked for."""

    messages: Uint64 = always(0)
    bytes: Uint64 = always(0)
    first_seq: Uint64 = always(0)
    first_ts: Time = always(ZERO_TIME)
    last_seq: Uint64 = always(0)
    last_ts: Time = always(ZERO_TIME)
    num_subjects: Int = 0
    subjects: dict[str, Uint64] = {}
    num_deleted: Int = 0
    deleted: list[Uint64] = []
    lost: LostStreamData | None = None
    consumer_count: Int = always(0)


class PeerInfo(Model):
    """A server of a cluster that keeps a replica."""

    name: str = always("")
    current: bool = always(False)
    offline: bool = False
    active: Duration = always(0)
    lag: Uint64 = 0
    peer: str = always("")
    pending: bool = False


class ClusterInfo(Model):
    """The servers that keep a stream or consumer."""

    name: str = ""
    raft_group: str = ""
    leader: str = ""
    leader_since: Time | None = None
    system_account: bool = False
    traffic_account: str = ""
    replicas: list[PeerInfo] = []


class StreamSourceInfo(Model):
    """How far a mirror or source has come; ``active`` is -1 where nothing was heard of it yet, ``seq`` is told of sources only."""

    name: str = always("")
    external: ExternalStream | None = None
    lag: Uint64 = always(0)
    seq: Uint64 = 0
    active: Duration = always(0)
    error: ErrorBody | None = None
    filter_subject: str = ""
    subject_transforms: list[SubjectTransformConfig] = []


class StreamAlternate(Model):
    """Another stream that has the same messages."""

    name: str = always("")
    domain: str = ""
    cluster: str = always("")


class StreamInfo(Model):
    """A stream: how it is configured, what it holds, and where it is."""

    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    created: Time = always(ZERO_TIME)
    state: StreamState = msgspec.field(default_factory=StreamState)
    domain: str = ""
    cluster: ClusterInfo | None = None
    mirror: StreamSourceInfo | None = None
    sources: list[StreamSourceInfo] = []
    alternates: list[StreamAlternate] = []
    ts: Time = always(ZERO_TIME)


class PubAck(Model):
    """The stream has it: under which sequence. ``val`` is a counter's new value, ``batch`` and ``count`` tell of a batch."""

    error: ErrorBody | None = None
    stream: str = always("")
    seq: Uint64 = always(0)
    domain: str = ""
    duplicate: bool = False
    val: str = ""
    batch: str = ""
    count: Uint64 = 0


class StoredMessage(Model):
    """A message as it is read from a stream by the API; header and payload in base64."""

    subject: str = always("")
    seq: Uint64 = always(0)
    hdrs: Base64 = ""
    data: Base64 = ""
    time: Time = always(ZERO_TIME)
