"""KeyValueStatus: what a bucket is and holds."""

from __future__ import annotations

from typing import NamedTuple

from midge.jetstream.infos import StreamInfo
from midge.jetstream.key_value.config import KeyValueConfig, config_of

__all__ = ["KeyValueStatus"]


class KeyValueStatus(NamedTuple):
    """What is told of a bucket.

    Attributes:
        bucket: its name.
        values: how many entries it has, of all keys and with their history.
        history: how many it keeps of a key.
        ttl: seconds that it keeps them, 0 without end.
        limit_marker_ttl: seconds that a marker stays for a key whose lifetime has ended; 0 where keys have none of their own.
        bytes: what it takes.
        is_compressed: on disk.
        metadata: texts by name.
        config: all of its configuration.
        stream_info: what is told of the stream that it is.
        backing_store: what keeps it.
    """

    bucket: str
    values: int
    history: int
    ttl: float
    limit_marker_ttl: float
    bytes: int
    is_compressed: bool
    metadata: dict[str, str]
    config: KeyValueConfig
    stream_info: StreamInfo
    backing_store: str = "JetStream"

    @classmethod
    def of(cls, info: StreamInfo) -> KeyValueStatus:
        """Return the status of the bucket that a stream is."""
        config, stream = config_of(info.config), info.config
        return cls(
            config.bucket,
            info.state.messages,
            stream.max_msgs_per_subject or 0,
            stream.max_age or 0.0,
            stream.subject_delete_marker_ttl or 0.0,
            info.state.bytes,
            bool(config.compression),
            stream.metadata or {},
            config,
            info,
        )
