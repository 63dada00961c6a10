"""The configurations of streams and consumers, as a program writes them: None is what the server decides, or leaves as it is.

Durations are seconds. What each field means is in nats-server's ADRs; ``midge.model`` has the same on the wire. Policies are texts.
"""

from __future__ import annotations

from datetime import datetime

from midge.jetstream.entity import Entity, Seconds

__all__ = [
    "ConsumerConfig",
    "ConsumerLimits",
    "ExternalStream",
    "Placement",
    "Republish",
    "SourceConsumer",
    "StreamConfig",
    "StreamSource",
    "SubjectTransform",
]


class Placement(Entity):
    """Where in a cluster a stream is to be: in which cluster, and on servers with which tags."""

    cluster: str | None = None
    tags: list[str] | None = None
    preferred: str | None = None


class SubjectTransform(Entity):
    """A subject that matches ``src`` becomes ``dest``."""

    src: str = ""
    dest: str = ""


class ExternalStream(Entity):
    """A stream in another account or domain: the prefix of its API, and of what it delivers."""

    api: str = ""
    deliver: str | None = None


class SourceConsumer(Entity):
    """The durable consumer that a mirror or source reads through."""

    name: str | None = None
    deliver_subject: str | None = None


class StreamSource(Entity):
    """A stream that another one mirrors or takes messages from."""

    name: str = ""
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    filter_subject: str | None = None
    subject_transforms: list[SubjectTransform] | None = None
    external: ExternalStream | None = None
    consumer: SourceConsumer | None = None


class Republish(Entity):
    """Messages whose subject matches ``src`` are published again as ``dest`` once they are stored."""

    src: str | None = None
    dest: str = ""
    headers_only: bool | None = None


class ConsumerLimits(Entity):
    """What consumers of a stream are given, unless they ask for something else within it."""

    inactive_threshold: Seconds | None = None
    max_ack_pending: int | None = None


class StreamConfig(Entity):
    """The configuration of a stream; -1 in a limit is no limit.

    ``storage`` is "file" or "memory", ``retention`` "limits", "interest" or "workqueue", ``discard`` "old" or "new", ``compression``
    "none" or "s2", ``persist_mode`` "" or "async".
    """

    name: str | None = None
    description: str | None = None
    subjects: list[str] | None = None
    retention: str | None = None
    max_consumers: int | None = None
    max_msgs: int | None = None
    max_bytes: int | None = None
    max_age: Seconds | None = None
    max_msgs_per_subject: int | None = None
    max_msg_size: int | None = None
    discard: str | None = None
    storage: str | None = None
    num_replicas: int | None = None
    no_ack: bool | None = None
    duplicate_window: Seconds | None = None
    placement: Placement | None = None
    mirror: StreamSource | None = None
    sources: list[StreamSource] | None = None
    compression: str | None = None
    first_seq: int | None = None
    subject_transform: SubjectTransform | None = None
    republish: Republish | None = None
    allow_direct: bool | None = None
    mirror_direct: bool | None = None
    discard_new_per_subject: bool | None = None
    sealed: bool | None = None
    deny_delete: bool | None = None
    deny_purge: bool | None = None
    allow_rollup_hdrs: bool | None = None
    consumer_limits: ConsumerLimits | None = None
    allow_msg_ttl: bool | None = None
    subject_delete_marker_ttl: Seconds | None = None
    allow_msg_counter: bool | None = None
    allow_atomic: bool | None = None
    allow_msg_schedules: bool | None = None
    persist_mode: str | None = None
    allow_batched: bool | None = None
    metadata: dict[str, str] | None = None


class ConsumerConfig(Entity):
    """The configuration of a consumer; ``rate_limit_bps`` is in bits a second.

    ``deliver_policy`` is "all", "last", "new", "by_start_sequence", "by_start_time" or "last_per_subject", ``ack_policy`` "explicit" (what
    midge asks for unless it is told otherwise), "all", "none" or "flow_control", ``replay_policy`` "instant" or "original",
    ``priority_policy`` "overflow", "pinned_client" or "prioritized".
    """

    durable_name: str | None = None
    name: str | None = None
    description: str | None = None
    deliver_policy: str | None = None
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    ack_policy: str | None = None
    ack_wait: Seconds | None = None
    max_deliver: int | None = None
    backoff: list[Seconds] | None = None
    filter_subject: str | None = None
    filter_subjects: list[str] | None = None
    replay_policy: str | None = None
    rate_limit_bps: int | None = None
    sample_freq: str | None = None
    max_waiting: int | None = None
    max_ack_pending: int | None = None
    flow_control: bool | None = None
    headers_only: bool | None = None
    max_batch: int | None = None
    max_expires: Seconds | None = None
    max_bytes: int | None = None
    deliver_subject: str | None = None
    deliver_group: str | None = None
    idle_heartbeat: Seconds | None = None
    inactive_threshold: Seconds | None = None
    num_replicas: int | None = None
    mem_storage: bool | None = None
    direct: bool | None = None
    sourcing: bool | None = None
    metadata: dict[str, str] | None = None
    pause_until: datetime | None = None
    priority_groups: list[str] | None = None
    priority_policy: str | None = None
    priority_timeout: Seconds | None = None
