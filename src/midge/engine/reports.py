"""Stored messages as they are sent on: with headers that say where and when they were stored."""

from __future__ import annotations

from midge.model.base import time_text
from midge.store.base import Stored
from midge.wire.publication import Publication

__all__ = ["described", "republished"]

_VERSION = b"NATS/1.0\r\n"


def republished(
    stream: bytes, subject: bytes, stored: Publication, sequence: int, time: int, before: int, headers_only: bool
) -> Publication:
    """Return a stored message as the stream republishes it."""
    payload = stored.payload()
    header = _placed(stored.header() if stored.header_size > 0 else b"", stream, stored.subject(), sequence, time)
    header += b"Nats-Last-Sequence: %d\r\n" % before
    if headers_only:
        header += b"Nats-Msg-Size: %d\r\n" % len(payload)
        payload = b""
    return Publication.compose(subject, b"", header + b"\r\n", payload)


def described(stream: bytes, stored: Stored, pending: int = -1, before: int = 0) -> bytes:
    """Return the header block of a message that was asked for directly; with pending and before in a batch."""
    header = _placed(stored.header, stream, stored.subject, stored.sequence, stored.time)
    if pending >= 0:
        header += b"Nats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\n" % (pending, before)
    return header + b"\r\n"


def _placed(header: bytes, stream: bytes, subject: bytes, sequence: int, time: int) -> bytes:
    """Return the block, without its last line end, and what tells its place."""
    lines = b"Nats-Stream: %b\r\nNats-Subject: %b\r\nNats-Sequence: %d\r\nNats-Time-Stamp: %b\r\n"
    return (header[:-2] if header else _VERSION) + lines % (stream, subject, sequence, time_text(time).encode())
