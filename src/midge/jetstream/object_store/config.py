"""ObjectStoreConfig: what an object store is to be, and the stream that makes it so (ADR-20)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict

import msgspec

from midge.jetstream.bucket_names import check_bucket
from midge.jetstream.configs import Placement, StreamConfig
from midge.jetstream.entity import merged

__all__ = ["ObjectStoreConfig", "ObjectStoreKeywords", "config_of", "object_store_config", "stream_changes", "stream_config", "stream_name"]

PREFIX = "OBJ_"
Duration = float | timedelta


class ObjectStoreConfig(msgspec.Struct, kw_only=True):
    """The configuration of an object store; None is the default, or what it was.

    Attributes:
        bucket: its name.
        description: for people.
        ttl: seconds that objects are kept; without end by default.
        max_bytes: of all objects; what finds no room is refused. No limit by default.
        storage: "file" or "memory".
        replicas: servers that keep it, 1.
        placement: on which servers.
        compression: on disk.
        metadata: texts by name.
    """

    bucket: str
    description: str | None = None
    ttl: Duration | None = None
    max_bytes: int | None = None
    storage: str | None = None
    replicas: int | None = None
    placement: Placement | None = None
    compression: bool | None = None
    metadata: dict[str, str] | None = None


class ObjectStoreKeywords(TypedDict, total=False):
    """The fields of an ObjectStoreConfig but ``bucket``, as keywords."""

    description: str | None
    ttl: Duration | None
    max_bytes: int | None
    storage: str | None
    replicas: int | None
    placement: Placement | None
    compression: bool | None
    metadata: dict[str, str] | None


def object_store_config(bucket: str | ObjectStoreConfig, keywords: Mapping[str, Any]) -> ObjectStoreConfig:
    """Return a configuration with keywords over it.

    Raises:
        InvalidSubjectError: the name cannot be one.
        TypeError: a keyword is no field of it.
    """
    if unknown := sorted(keywords.keys() - set(ObjectStoreConfig.__struct_fields__)):
        raise TypeError(f"an ObjectStoreConfig has no field {unknown[0]!r}")
    config = bucket if isinstance(bucket, ObjectStoreConfig) else ObjectStoreConfig(bucket=bucket)
    if keywords:
        config = msgspec.structs.replace(config, **keywords)
    check_bucket(config.bucket)
    return config


def stream_name(bucket: str) -> str:
    """Return the name of the stream that a store is."""
    return PREFIX + bucket


def stream_config(config: ObjectStoreConfig) -> StreamConfig:
    """Return the stream that a new store is."""
    base = StreamConfig(
        subjects=[f"$O.{config.bucket}.C.>", f"$O.{config.bucket}.M.>"],
        allow_direct=True,
        allow_rollup_hdrs=True,
        discard="new",
        max_age=0.0,
        max_bytes=-1,
        num_replicas=1,
        storage="file",
    )
    return merged(base, stream_changes(config))


def stream_changes(config: ObjectStoreConfig) -> StreamConfig:
    """Return what is given of a store, as fields of its stream."""
    result = StreamConfig(
        name=stream_name(config.bucket),
        description=config.description,
        max_age=config.ttl,  # type: ignore[arg-type]  # a timedelta is taken as it is
        max_bytes=config.max_bytes or (None if config.max_bytes is None else -1),
        metadata=config.metadata,
        num_replicas=config.replicas,
        placement=config.placement,
        storage=config.storage,
    )
    if config.compression is not None:
        result.compression = "s2" if config.compression else "none"
    return result


def config_of(config: StreamConfig) -> ObjectStoreConfig:
    """Return the configuration of the store that a stream is."""
    return ObjectStoreConfig(
        bucket=(config.name or "").removeprefix(PREFIX),
        description=config.description,
        ttl=config.max_age or 0.0,
        max_bytes=config.max_bytes,
        storage=config.storage,
        replicas=config.num_replicas,
        placement=config.placement,
        compression=config.compression not in (None, "", "none"),
        metadata=config.metadata,
    )
