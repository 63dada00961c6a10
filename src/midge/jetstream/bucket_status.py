"""BucketStatus: what buckets of keys and of objects tell alike of themselves."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from midge.jetstream.infos import StreamInfo

__all__ = ["BucketStatus"]


class BucketConfig(Protocol):
    """What both kinds have in their configuration, among others."""

    bucket: str
    compression: bool | None


ConfigT = TypeVar("ConfigT", bound=BucketConfig)


class BucketStatus(msgspec.Struct, Generic[ConfigT], frozen=True):
    """What is told of a bucket.

    Attributes:
        config: all of its configuration.
        stream_info: what is told of the stream that it is.
        backing_store: what keeps it.
    """

    config: ConfigT
    stream_info: StreamInfo
    backing_store: str = "JetStream"

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.config.bucket

    @property
    def ttl(self) -> float:
        """Seconds that it keeps what it has, 0 without end."""
        return self.stream_info.config.max_age or 0.0

    @property
    def is_compressed(self) -> bool:
        """On disk."""
        return bool(self.config.compression)

    @property
    def metadata(self) -> dict[str, str]:
        """Texts by name."""
        return self.stream_info.config.metadata or {}
