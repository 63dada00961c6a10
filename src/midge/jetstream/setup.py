"""What a program wants a stream to be: from a configuration or keywords to a request, and what of it is not so yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

from midge.jetstream.configs import ConsumerLimits, Placement, Republish, StreamConfig, StreamSource, SubjectTransform
from midge.jetstream.entity import Entity, merged, to_json
from midge.jetstream.names import check_name

__all__ = ["StreamKeywords", "configured", "beside", "differences", "stream_config", "stream_request"]

Duration = float | timedelta
EntityT = TypeVar("EntityT", bound=Entity)


class StreamKeywords(TypedDict, total=False):
    """The fields of a StreamConfig, as keywords; durations are seconds."""

    name: str
    description: str
    subjects: list[str]
    retention: str
    max_consumers: int
    max_msgs: int
    max_bytes: int
    max_age: Duration
    max_msgs_per_subject: int
    max_msg_size: int
    discard: str
    storage: str
    num_replicas: int
    no_ack: bool
    duplicate_window: Duration
    placement: Placement
    mirror: StreamSource
    sources: list[StreamSource]
    compression: str
    first_seq: int
    subject_transform: SubjectTransform
    republish: Republish
    allow_direct: bool
    mirror_direct: bool
    discard_new_per_subject: bool
    sealed: bool
    deny_delete: bool
    deny_purge: bool
    allow_rollup_hdrs: bool
    consumer_limits: ConsumerLimits
    allow_msg_ttl: bool
    subject_delete_marker_ttl: Duration
    allow_msg_counter: bool
    allow_atomic: bool
    allow_msg_schedules: bool
    persist_mode: str
    allow_batched: bool
    metadata: dict[str, str]


# Where 0, or an empty text, asks for what the server has as its default
_DEFAULTED = (
    "duplicate_window", "num_replicas", "storage", "retention", "discard", "compression", "persist_mode", "ack_wait", "max_ack_pending",
    "max_waiting", "deliver_policy", "ack_policy", "replay_policy",
)  # fmt: skip
_DEFAULTS = {"compression": "none", "persist_mode": "default"}  # which a server need not mention
# What 0 stands for in a configuration: the server says -1
_UNLIMITED = ("max_consumers", "max_msgs", "max_bytes", "max_msgs_per_subject", "max_msg_size", "max_deliver")
_SETS = ("subjects", "filter_subjects", "priority_groups", "tags")  # their order means nothing


def configured(kind: type[EntityT], config: EntityT | None, keywords: Mapping[str, Any]) -> EntityT:
    """Return a configuration with keywords over it.

    Raises:
        TypeError: a keyword is no field of it, or the configuration is none.
    """
    if config is not None and not isinstance(config, kind):
        raise TypeError(f"expected a {kind.__name__}, not {config!r}")
    if unknown := sorted(keywords.keys() - set(kind.__struct_fields__)):
        raise TypeError(f"a {kind.__name__} has no field {unknown[0]!r}")
    given = kind(**keywords)
    return given if config is None else merged(config, given)


def stream_config(config: StreamConfig | None, keywords: StreamKeywords) -> StreamConfig:
    """Return what is wanted; it has a name.

    Raises:
        InvalidSubjectError: the name cannot be one, or there is none.
        TypeError: as ``configured``.
    """
    wanted = configured(StreamConfig, config, keywords)
    check_name(wanted.name or "")
    if isinstance(wanted.subjects, str):
        raise TypeError(f"subjects is a list of subjects, not {wanted.subjects!r}")
    return wanted


def stream_request(config: StreamConfig) -> dict[str, Any]:
    """Return the request that asks for it. Raises what ``to_json`` raises."""
    return to_json(config)


def differences(current: Entity, wanted: Entity) -> list[str]:
    """Return the fields that are set in what is wanted, and are otherwise at present."""
    asked = to_json(wanted)
    if asked.get("backoff"):
        asked.pop("ack_wait", None)  # the server takes the first of the backoff for it
    return _differing(to_json(current), asked)


def beside(current: EntityT, wanted: EntityT) -> EntityT:
    """Return what is wanted, with the metadata beside it that others have set."""
    theirs, ours = getattr(current, "metadata", None), getattr(wanted, "metadata", None)
    return wanted if not theirs or not ours else merged(wanted, type(wanted)(**{"metadata": theirs | ours}))


def _differing(current: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [name for name, value in wanted.items() if not _is_same(name, current.get(name), value)]


def _is_same(name: str, current: Any, wanted: Any) -> bool:
    if name in _DEFAULTED and not wanted:
        return True
    if name in _DEFAULTS:
        return bool((current or _DEFAULTS[name]) == wanted)
    if name in _UNLIMITED:
        return (current or -1) == (wanted or -1)
    if isinstance(wanted, dict):
        return not _differing(current or {}, wanted)
    if isinstance(wanted, list):
        current = current or []
        if name in _SETS:
            return sorted(current) == sorted(wanted)
        return len(current) == len(wanted) and all(_is_same("", *pair) for pair in zip(current, wanted, strict=True))
    return bool((current or None) == (wanted or None))  # what is empty is left out
