"""KeyValueStatus: what a bucket is and holds."""

from __future__ import annotations

from midge.jetstream.bucket_status import BucketStatus
from midge.jetstream.infos import StreamInfo
from midge.jetstream.key_value.config import KeyValueConfig, config_of

__all__ = ["KeyValueStatus"]


class KeyValueStatus(BucketStatus[KeyValueConfig], frozen=True):
    """What is told of a bucket of keys."""

    @property
    def values(self) -> int:
        """How many entries it has, of all keys and with their history."""
        return self.stream_info.state.messages

    @property
    def history(self) -> int:
        """How many it keeps of a key."""
        return self.stream_info.config.max_msgs_per_subject or 0

    @property
    def limit_marker_ttl(self) -> float:
        """Seconds that a marker stays for a key whose lifetime has ended; 0 where keys have none of their own."""
        return self.stream_info.config.subject_delete_marker_ttl or 0.0

    @property
    def bytes(self) -> int:
        """What it takes."""
        return self.stream_info.state.bytes

    @classmethod
    def of(cls, info: StreamInfo) -> KeyValueStatus:
        """Return the status of the bucket that a stream is."""
        return cls(config_of(info.config), info)
