"""KeyValueConfig: what a bucket is to be, and the stream that makes it so (ADR-8, 48, 57)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

import msgspec

from midge.jetstream.bucket_names import check_bucket
from midge.jetstream.configs import Placement, Republish, StreamConfig, StreamSource, SubjectTransform
from midge.jetstream.entity import merged

__all__ = ["KeyValueConfig", "KeyValueKeywords", "config_of", "key_value_config", "stream_changes", "stream_config", "stream_name"]

PREFIX = "KV_"
MAX_HISTORY = 64
DUPLICATE_WINDOW = 120.0  # the longest; no longer than the lifetime of values
Duration = float | timedelta


class KeyValueConfig(msgspec.Struct, kw_only=True):
    """The configuration of a bucket; None is the default, or what it was.

    Attributes:
        bucket: its name.
        description: for people.
        history: revisions kept of each key, 1 to 64; 1.
        ttl: seconds that values are kept; without end by default.
        max_bytes: of the whole bucket; what finds no room is refused. No limit by default.
        max_value_size: bytes of one value; no limit by default.
        storage: "file" or "memory".
        replicas: servers that keep it, 1.
        placement: on which servers.
        republish: publish what is stored again, under another subject.
        compression: on disk.
        mirror: the bucket that this one is a copy of; what is put here goes there.
        sources: buckets whose keys appear here, too. A source's ``filter_subject`` is a filter of its keys that ends in ``>``: what
            stands before that goes. A source with ``subject_transforms`` is any stream, by its own name.
        limit_marker_ttl: seconds from 1 on that a marker stays for a key whose lifetime has ended. It allows keys a ``ttl`` of their own.
        metadata: texts by name.
    """

    bucket: str
    description: str | None = None
    history: int | None = None
    ttl: Duration | None = None
    max_bytes: int | None = None
    max_value_size: int | None = None
    storage: str | None = None
    replicas: int | None = None
    placement: Placement | None = None
    republish: Republish | None = None
    compression: bool | None = None
    mirror: StreamSource | str | None = None
    sources: Sequence[StreamSource | str] | None = None
    limit_marker_ttl: Duration | None = None
    metadata: dict[str, str] | None = None


class KeyValueKeywords(TypedDict, total=False):
    """The fields of a KeyValueConfig but ``bucket``, as keywords."""

    description: str | None
    history: int | None
    ttl: Duration | None
    max_bytes: int | None
    max_value_size: int | None
    storage: str | None
    replicas: int | None
    placement: Placement | None
    republish: Republish | None
    compression: bool | None
    mirror: StreamSource | str | None
    sources: Sequence[StreamSource | str] | None
    limit_marker_ttl: Duration | None
    metadata: dict[str, str] | None


def key_value_config(bucket: str | KeyValueConfig, keywords: Mapping[str, Any]) -> KeyValueConfig:
    """Return a configuration with keywords over it.

    Raises:
        InvalidSubjectError: the name cannot be one.
        TypeError, ValueError: something else cannot be what it is.
    """
    if unknown := sorted(keywords.keys() - set(KeyValueConfig.__struct_fields__)):
        raise TypeError(f"a KeyValueConfig has no field {unknown[0]!r}")
    config = bucket if isinstance(bucket, KeyValueConfig) else KeyValueConfig(bucket=bucket)
    if keywords:
        config = msgspec.structs.replace(config, **keywords)
    check_bucket(config.bucket)
    if config.history is not None and not 1 <= config.history <= MAX_HISTORY:
        raise ValueError(f"history={config.history}: expected 1 to {MAX_HISTORY}")
    if config.limit_marker_ttl is not None and not _seconds(config.limit_marker_ttl) >= 1:
        raise ValueError(f"limit_marker_ttl={config.limit_marker_ttl}: the shortest is a second")
    if isinstance(config.sources, (str, StreamSource)):
        raise TypeError(f"sources is a list of buckets, not {config.sources!r}")
    if config.mirror is not None and config.sources:
        raise ValueError("a bucket has a mirror or sources, not both")
    return config


def stream_name(bucket: str) -> str:
    """Return the name of the stream that a bucket is."""
    return PREFIX + bucket


def stream_config(config: KeyValueConfig) -> StreamConfig:
    """Return the stream that a new bucket is."""
    base = StreamConfig(
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
        discard="new",
        duplicate_window=DUPLICATE_WINDOW,
        max_age=0.0,
        max_bytes=-1,
        max_consumers=-1,
        max_msg_size=-1,
        max_msgs=-1,
        max_msgs_per_subject=1,
        num_replicas=1,
        storage="file",
    )
    if config.mirror is None:
        base.subjects = [f"$KV.{config.bucket}.>"]
    return merged(base, stream_changes(config))


def stream_changes(config: KeyValueConfig) -> StreamConfig:
    """Return what is given of a bucket, as fields of its stream."""
    result = StreamConfig(
        name=stream_name(config.bucket),
        description=config.description,
        max_bytes=config.max_bytes or (None if config.max_bytes is None else -1),
        max_msg_size=config.max_value_size or (None if config.max_value_size is None else -1),
        max_msgs_per_subject=config.history,
        metadata=config.metadata,
        num_replicas=config.replicas,
        placement=config.placement,
        republish=config.republish,
        storage=config.storage,
    )
    if config.ttl is not None:
        result.max_age = _seconds(config.ttl)
        result.duplicate_window = min(result.max_age or DUPLICATE_WINDOW, DUPLICATE_WINDOW)
    if config.compression is not None:
        result.compression = "s2" if config.compression else "none"
    if config.limit_marker_ttl is not None:
        result.allow_msg_ttl = True
        result.subject_delete_marker_ttl = _seconds(config.limit_marker_ttl)
    if config.mirror is not None:
        result.mirror = _copied(config.mirror)
        result.mirror.name = PREFIX + result.mirror.name.removeprefix(PREFIX)
        result.mirror_direct = True
    if config.sources is not None:
        result.sources = [_source(config.bucket, _copied(each)) for each in config.sources]
    return result


def config_of(config: StreamConfig) -> KeyValueConfig:
    """Return the configuration of the bucket that a stream is."""
    return KeyValueConfig(
        bucket=(config.name or "").removeprefix(PREFIX),
        description=config.description,
        history=config.max_msgs_per_subject,
        ttl=config.max_age or 0.0,
        max_bytes=config.max_bytes,
        max_value_size=config.max_msg_size,
        storage=config.storage,
        replicas=config.num_replicas,
        placement=config.placement,
        republish=config.republish,
        compression=config.compression not in (None, "", "none"),
        mirror=config.mirror,
        sources=config.sources,
        limit_marker_ttl=config.subject_delete_marker_ttl,
        metadata=config.metadata,
    )


def _seconds(duration: Duration) -> float:
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"a duration is a number of seconds, not {duration!r}")
    return float(duration)


def _copied(source: StreamSource | str) -> StreamSource:
    return StreamSource(name=source) if isinstance(source, str) else msgspec.structs.replace(source)


def _source(bucket: str, source: StreamSource) -> StreamSource:
    """Return a source of a bucket's stream: a bucket's keys become keys of this one (ADR-57)."""
    if source.subject_transforms:
        return source
    origin = source.name.removeprefix(PREFIX)
    source.name = PREFIX + origin
    keys = (source.filter_subject or ">").removeprefix(f"$KV.{origin}.")
    if not keys.endswith(">"):
        raise ValueError(f"filter_subject={keys!r}: a source's filter of keys ends in '>'; for others give subject_transforms")
    source.filter_subject = None
    source.subject_transforms = [SubjectTransform(src=f"$KV.{origin}.{keys}", dest=f"$KV.{bucket}.>")]
    return source
