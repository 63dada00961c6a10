"""ObjectStoreStatus: what an object store is and holds."""

from __future__ import annotations

from midge.jetstream.bucket_status import BucketStatus
from midge.jetstream.infos import StreamInfo
from midge.jetstream.object_store.config import ObjectStoreConfig, config_of

__all__ = ["ObjectStoreStatus"]


class ObjectStoreStatus(BucketStatus[ObjectStoreConfig], frozen=True):
    """What is told of an object store."""

    @property
    def description(self) -> str:
        """For people."""
        return self.stream_info.config.description or ""

    @property
    def size(self) -> int:
        """Bytes of all objects with what describes them."""
        return self.stream_info.state.bytes

    @property
    def storage(self) -> str:
        """Either "file" or "memory"."""
        return self.stream_info.config.storage or "file"

    @property
    def replicas(self) -> int:
        """Servers that keep it."""
        return self.stream_info.config.num_replicas or 1

    @property
    def is_sealed(self) -> bool:
        """Nothing can be changed any more."""
        return bool(self.stream_info.config.sealed)

    @classmethod
    def of(cls, info: StreamInfo) -> ObjectStoreStatus:
        """Return the status of the store that a stream is."""
        return cls(config_of(info.config), info)
