"""What a program wants a consumer to be, and the request that asks for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.entity import from_json, to_json
from midge.jetstream.infos import ConsumerInfo
from midge.jetstream.names import check_name
from midge.jetstream.requests import Requests, info_of
from midge.jetstream.setup import configured

__all__ = ["ConsumerKeywords", "consumer_config", "create_consumer"]

Duration = float | timedelta


class ConsumerKeywords(TypedDict, total=False):
    """The fields of a ConsumerConfig, as keywords; durations are seconds."""

    durable_name: str
    name: str
    description: str
    deliver_policy: str
    opt_start_seq: int
    opt_start_time: datetime
    ack_policy: str
    ack_wait: Duration
    max_deliver: int
    backoff: list[Duration]
    filter_subject: str
    filter_subjects: list[str]
    replay_policy: str
    rate_limit_bps: int
    sample_freq: str
    max_waiting: int
    max_ack_pending: int
    flow_control: bool
    headers_only: bool
    max_batch: int
    max_expires: Duration
    max_bytes: int
    deliver_subject: str
    deliver_group: str
    idle_heartbeat: Duration
    inactive_threshold: Duration
    num_replicas: int
    mem_storage: bool
    direct: bool
    sourcing: bool
    metadata: dict[str, str]
    pause_until: datetime
    priority_groups: list[str]
    priority_policy: str
    priority_timeout: Duration


def consumer_config(config: ConsumerConfig | None, keywords: ConsumerKeywords) -> ConsumerConfig:
    """Return what is wanted, with "explicit" for an ``ack_policy`` that nobody has chosen.

    Raises:
        InvalidSubjectError: a name cannot be one.
        TypeError: as ``configured``.
    """
    wanted = configured(ConsumerConfig, config, keywords)
    for name in (wanted.durable_name, wanted.name):
        if name is not None:
            check_name(name, "consumer name")
    if isinstance(wanted.filter_subjects, str):
        raise TypeError(f"filter_subjects is a list of subjects, not {wanted.filter_subjects!r}")
    if wanted.ack_policy is None:
        wanted.ack_policy = "explicit"
    return wanted


async def create_consumer(
    requests: Requests,
    stream: str,
    config: ConsumerConfig,
    *,
    action: Literal["create", "update", ""] = "",
    pedantic: bool = False,
    timeout: float | None = None,
) -> ConsumerInfo:
    """Create a consumer, or update it, as the action says: "" for either.

    Raises:
        ConsumerExistsError: "create", and there is one of this name with another configuration.
        ConsumerNotFoundError: "update", and there is none.
        JetStreamError: it was refused.
    """
    body: dict[str, Any] = {"stream_name": stream, "config": to_json(config), "action": action}
    if pedantic:
        body["pedantic"] = True
    subject = f"CONSUMER.CREATE.{stream}"
    name = config.name or config.durable_name
    if name is not None:
        subject += f".{name}"
        if config.filter_subject and not config.filter_subjects and " " not in config.filter_subject:
            subject += f".{config.filter_subject}"
    answer = await requests.ask(subject, body, timeout=timeout)
    return from_json(ConsumerInfo, info_of(answer))
