"""Snappy's framing format, for those who accept no other encoding: the bytes as they are, each piece with its checksum. Pure.

A stream of this format may hold pieces that are not compressed, and every reader takes them. What is framed here is a few hundred bytes
most of the time; to save half of them is not worth an algorithm of our own. One piece, and no more.
"""

from __future__ import annotations

from midge.wire.crc32c import checksum

__all__ = ["MAX_SIZE", "frame"]

MAX_SIZE = 65536  # of a piece
_BEGIN = b"\xff\x06\x00\x00sNaPpY"


def frame(data: bytes) -> bytes:
    """Return the data, which has MAX_SIZE bytes at most, as a stream in Snappy's framing format."""
    assert len(data) <= MAX_SIZE
    return _BEGIN + b"\x01" + (len(data) + 4).to_bytes(3, "little") + checksum(data).to_bytes(4, "little") + data
