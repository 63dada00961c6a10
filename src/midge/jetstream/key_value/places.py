"""Places: the subjects of a bucket's keys: where they are read and where they are written, which differs for a mirror (ADR-57)."""

from __future__ import annotations

from typing import NamedTuple

from midge.jetstream.configs import StreamConfig
from midge.jetstream.requests import API_PREFIX

__all__ = ["Places"]


class Places(NamedTuple):
    """What stands before a key.

    Attributes:
        read: in a subject as the stream has it.
        write: in a subject that is published to.
        is_direct: whether each server with a copy answers.
    """

    read: str
    write: str
    is_direct: bool

    @classmethod
    def of(cls, config: StreamConfig, api_prefix: str) -> Places:
        """Return those of the bucket that a stream is, by an API with this prefix."""
        bucket = (config.name or "").removeprefix("KV_")
        read = write = f"$KV.{bucket}."
        mirror = config.mirror
        if mirror is not None:
            write = f"$KV.{mirror.name.removeprefix('KV_')}."
            if not any(each.dest.startswith(read) for each in mirror.subject_transforms or ()):
                read = write
            if mirror.external is not None and mirror.external.api:
                return cls(read, f"{mirror.external.api}.{write}", bool(config.mirror_direct or config.allow_direct))
        if api_prefix != API_PREFIX:
            write = f"{api_prefix}.{write}"
        return cls(read, write, bool(config.allow_direct or (mirror is not None and config.mirror_direct)))
