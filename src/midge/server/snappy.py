"""Snappy's framing format, for those who accept no other encoding: the bytes as they are, each piece with its checksum. Pure.

A stream of this format may hold pieces that are not compressed, and every reader takes them. What is framed here is a few hundred bytes
most of the time; to save half of them is not worth an algorithm of our own. The checksum is one, and slow: one piece, and no more.
"""

from __future__ import annotations

__all__ = ["MAX_SIZE", "frame"]

MAX_SIZE = 65536  # of a piece
_BEGIN = b"\xff\x06\x00\x00sNaPpY"
_MASK = 0xA282EAD8  # what the format adds to a checksum, so that one of data with checksums in it is no special case


def frame(data: bytes) -> bytes:
    """Return the data, which has MAX_SIZE bytes at most, as a stream in Snappy's framing format."""
    assert len(data) <= MAX_SIZE
    return _BEGIN + b"\x01" + (len(data) + 4).to_bytes(3, "little") + _checksum(data).to_bytes(4, "little") + data


def _table() -> list[int]:
    """Return what CRC-32C (Castagnoli) makes of each byte."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _checksum(data: bytes) -> int:
    """Return the masked CRC-32C."""
    table = _TABLE
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
