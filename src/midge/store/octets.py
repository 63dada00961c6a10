"""The few byte primitives of the store that exist twice: here for plain Python, in octets.pxd for the compiled modules.

Numbers are little-endian. Callers promise that every index lies inside the buffer; nothing here checks it, because the compiled twin
cannot. ``tests/store/test_record.py`` compares what both write and read.
"""

from __future__ import annotations

import zlib

__all__ = ["checksum", "get16", "get32", "get64", "past_zeros", "put16", "put32", "put64", "put_zeros"]


def checksum(buf: bytearray, start: int, stop: int, seed: int) -> int:
    """Return the CRC-32 (as zlib has it) of buf[start:stop], begun with the seed."""
    with memoryview(buf) as view:
        return zlib.crc32(view[start:stop], seed)


def put16(buf: bytearray, at: int, value: int) -> None:
    """Write an unsigned number of two bytes."""
    buf[at : at + 2] = value.to_bytes(2, "little")


def put32(buf: bytearray, at: int, value: int) -> None:
    """Write an unsigned number of four bytes."""
    buf[at : at + 4] = value.to_bytes(4, "little")


def put64(buf: bytearray, at: int, value: int) -> None:
    """Write a signed number of eight bytes."""
    buf[at : at + 8] = value.to_bytes(8, "little", signed=True)


def get16(buf: bytearray, at: int) -> int:
    """Read an unsigned number of two bytes."""
    return int.from_bytes(buf[at : at + 2], "little")


def get32(buf: bytearray, at: int) -> int:
    """Read an unsigned number of four bytes."""
    return int.from_bytes(buf[at : at + 4], "little")


def get64(buf: bytearray, at: int) -> int:
    """Read a signed number of eight bytes."""
    return int.from_bytes(buf[at : at + 8], "little", signed=True)


def put_zeros(buf: bytearray, start: int, stop: int) -> int:
    """Write zeros to buf[start:stop]; return stop."""
    buf[start:stop] = bytes(stop - start)
    return stop


def past_zeros(buf: bytearray, start: int, stop: int) -> int:
    """Return where in buf[start:stop] the first byte is that is not zero; stop where there is none."""
    return stop - len(buf[start:stop].lstrip(b"\0"))
