"""ObjectStoreStatus: what an object store is and holds."""

from __future__ import annotations

from typing import NamedTuple

from midge.jetstream.infos import StreamInfo
from midge.jetstream.object_store.config import ObjectStoreConfig, config_of

__all__ = ["ObjectStoreStatus"]


class ObjectStoreStatus(NamedTuple):
    """What is told of an object store.

    Attributes:
        bucket: its name.
        description: for people.
        size: bytes of all objects with what describes them.
        ttl: seconds that it keeps them, 0 without end.
        storage: "file" or "memory".
        replicas: servers that keep it.
        is_sealed: nothing can be changed any more.
        is_compressed: on disk.
        metadata: texts by name.
        config: all of its configuration.
        stream_info: what is told of the stream that it is.
        backing_store: what keeps it.
    """

    bucket: str
    description: str
    size: int
    ttl: float
    storage: str
    replicas: int
    is_sealed: bool
    is_compressed: bool
    metadata: dict[str, str]
    config: ObjectStoreConfig
    stream_info: StreamInfo
    backing_store: str = "JetStream"

    @classmethod
    def of(cls, info: StreamInfo) -> ObjectStoreStatus:
        """Return the status of the store that a stream is."""
        config, stream = config_of(info.config), info.config
        return cls(
            config.bucket,
            stream.description or "",
            info.state.bytes,
            stream.max_age or 0.0,
            stream.storage or "file",
            stream.num_replicas or 1,
            bool(stream.sealed),
            bool(config.compression),
            stream.metadata or {},
            config,
            info,
        )
