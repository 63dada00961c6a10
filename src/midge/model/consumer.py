"""Consumers: their configuration, their state, and what is told about them. The ADRs say what each field means."""

from __future__ import annotations

from typing import Annotated

import msgspec

from midge.model.base import ZERO_TIME, Duration, Int, Model, Time, Uint64, always, policy
from midge.model.stream import ClusterInfo

__all__ = ["ConsumerConfig", "ConsumerInfo", "PriorityGroupState", "SequenceInfo"]


DeliverPolicy = Annotated[
    str, policy("server.DeliverPolicy", "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject")
]
AckPolicy = Annotated[str, policy("server.AckPolicy", "none", "all", "explicit", "flow_control")]
ReplayPolicy = Annotated[str, policy("server.ReplayPolicy", "instant", "original")]
PriorityPolicy = Annotated[str, policy("server.PriorityPolicy", "", "overflow", "pinned_client", "prioritized")]


class ConsumerConfig(Model):
    """The configuration of a consumer; ``rate_limit_bps`` is in bits a second."""

    durable_name: str = ""
    name: str = ""
    description: str = ""
    deliver_policy: DeliverPolicy = always("all")
    opt_start_seq: Uint64 = 0
    opt_start_time: Time | None = None
    ack_policy: AckPolicy = always("none")
    ack_wait: Duration = 0
    max_deliver: Int = 0
    backoff: list[Duration] = []
    filter_subject: str = ""
    filter_subjects: list[str] = []
    replay_policy: ReplayPolicy = always("instant")
    rate_limit_bps: Uint64 = 0
    sample_freq: str = ""
    max_waiting: Int = 0
    max_ack_pending: Int = 0
    flow_control: bool = False
    headers_only: bool = False
    max_batch: Int = 0
    max_expires: Duration = 0
    max_bytes: Int = 0
    deliver_subject: str = ""
    deliver_group: str = ""
    idle_heartbeat: Duration = 0
    inactive_threshold: Duration = 0
    num_replicas: Int = always(0)
    mem_storage: bool = False
    direct: bool = False
    sourcing: bool = False
    metadata: dict[str, str] = {}
    pause_until: Time | None = None
    priority_groups: list[str] = []
    priority_policy: PriorityPolicy = ""
    priority_timeout: Duration = 0


class SequenceInfo(Model):
    """A consumer's own sequence beside the stream's."""

    consumer_seq: Uint64 = always(0)
    stream_seq: Uint64 = always(0)
    last_active: Time | None = None


class PriorityGroupState(Model):
    """A priority group, and who is pinned."""

    group: str = always("")
    pinned_client_id: str = ""
    pinned_ts: Time = always(ZERO_TIME)


class ConsumerInfo(Model):
    """A consumer: how it is configured, and how far it has come."""

    stream_name: str = always("")
    name: str = always("")
    created: Time = always(ZERO_TIME)
    config: ConsumerConfig | None = None
    delivered: SequenceInfo = msgspec.field(default_factory=SequenceInfo)
    ack_floor: SequenceInfo = msgspec.field(default_factory=SequenceInfo)
    num_ack_pending: Int = always(0)
    num_redelivered: Int = always(0)
    num_waiting: Int = always(0)
    num_pending: Uint64 = always(0)
    cluster: ClusterInfo | None = None
    push_bound: bool = False
    paused: bool = False
    pause_remaining: Duration = 0
    ts: Time = always(ZERO_TIME)
    priority_groups: list[PriorityGroupState] = []
