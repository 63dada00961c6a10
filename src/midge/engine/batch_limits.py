"""Batch limits: how much of open batches a server keeps, and how much of it is used."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BatchLimits", "BatchUse"]

MAX_BYTES = 256 << 20
TIMEOUT = 10_000_000_000


class BatchLimits(NamedTuple):
    """What the server's options say; 0 for nats-server's own number.

    Attributes:
        per_stream, total: batches that may be open, of each of the two kinds.
        size: messages in an atomic batch.
        timeout: nanoseconds from one message of a batch to the next.
    """

    per_stream: int = 0
    total: int = 0
    size: int = 0
    timeout: int = 0


class BatchUse:
    """What may be open of one kind of batches in one server, and what is.

    Args:
        limits: the options'.
        per_stream, total: where those say nothing.

    Attributes:
        open: batches that are open.
        bytes: what their messages take.
        max_open, max_bytes, max_per_stream, max_size, timeout: the limits.
    """

    __slots__ = ("bytes", "max_bytes", "max_open", "max_per_stream", "max_size", "open", "timeout")

    def __init__(self, limits: BatchLimits, per_stream: int, total: int) -> None:
        self.open = self.bytes = 0
        self.max_bytes = MAX_BYTES
        self.max_per_stream = limits.per_stream or per_stream
        self.max_open = limits.total or total
        self.max_size = limits.size or 1_000
        self.timeout = limits.timeout or TIMEOUT
