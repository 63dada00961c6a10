"""Numbers and names in flat bytes: the primitives of the index that exist twice, here for plain Python and in cells.pxd for C.

What is kept for each message and each subject lies in ``bytearray`` objects, as numbers of 4 or 8 bytes in the machine's own order, so
that millions cost no objects. Callers promise that every index lies inside and every value fits: the compiled twin checks nothing.
``tests/store/test_cells.py`` runs the same through both.
"""

from __future__ import annotations

import sys

__all__ = [
    "clear_bit", "copy", "covers", "find32", "find64", "get32", "get64", "has_bit", "hash_of", "is_wild", "next_bit", "prefetch", "put32",
    "put64", "same_as", "set_bit", "shift",
]  # fmt: skip


def get32(buf: bytearray, at: int) -> int:
    """Return the unsigned number in 4 bytes."""
    return int.from_bytes(buf[at : at + 4], sys.byteorder)


def put32(buf: bytearray, at: int, value: int) -> None:
    """Write an unsigned number to 4 bytes."""
    buf[at : at + 4] = value.to_bytes(4, sys.byteorder)


def get64(buf: bytearray, at: int) -> int:
    """Return the signed number in 8 bytes."""
    return int.from_bytes(buf[at : at + 8], sys.byteorder, signed=True)


def put64(buf: bytearray, at: int, value: int) -> None:
    """Write a signed number to 8 bytes."""
    buf[at : at + 8] = value.to_bytes(8, sys.byteorder, signed=True)


def prefetch(buf: bytearray, at: int) -> None:
    """Have what stands there brought to the processor's cache meanwhile; a hint, which changes nothing. ``at`` may be anywhere."""


def copy(out: bytearray, at: int, buf: bytearray, start: int, size: int) -> None:
    """Copy size bytes from another buffer."""
    out[at : at + size] = buf[start : start + size]


def shift(buf: bytearray, to: int, start: int, size: int) -> None:
    """Move size bytes within a buffer; the two places may overlap."""
    buf[to : to + size] = buf[start : start + size]


def find32(buf: bytearray, at: int, count: int, value: int) -> int:
    """Return how many of the count sorted 4-byte numbers from ``at`` on are less than the value, which may be any."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if get32(buf, at + 4 * middle) < value:
            low = middle + 1
        else:
            high = middle
    return low


def find64(buf: bytearray, at: int, stride: int, count: int, value: int) -> int:
    """Return how many of the count sorted 8-byte numbers, each stride bytes behind the one before, are less than the value."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if get64(buf, at + stride * middle) < value:
            low = middle + 1
        else:
            high = middle
    return low


def next_bit(bits: bytearray, start: int, stop: int) -> int:
    """Return the first bit from start to before stop that is set, -1 where there is none. Start may be past stop, which is whole bytes."""
    rest = int.from_bytes(bits[start >> 3 : stop >> 3], "little") >> (start & 7)
    return start + (rest & -rest).bit_length() - 1 if rest else -1


def has_bit(bits: bytearray, at: int) -> bool:
    """True if a bit is set."""
    return bits[at >> 3] >> (at & 7) & 1 == 1


def set_bit(bits: bytearray, at: int) -> None:
    """Set a bit."""
    bits[at >> 3] |= 1 << (at & 7)


def clear_bit(bits: bytearray, at: int) -> None:
    """Clear a bit."""
    bits[at >> 3] &= ~(1 << (at & 7))


def hash_of(buf: bytearray, start: int, end: int) -> int:
    """Return 32 bits of the interpreter's own hash, which nobody outside can foresee."""
    return hash(bytes(buf[start:end])) >> 8 & 0xFFFFFFFF


def same_as(one: bytearray, at: int, other: bytearray, start: int, size: int) -> bool:
    """True if size bytes are equal in two buffers."""
    return one[at : at + size] == other[start : start + size]


def is_wild(pattern: bytes) -> bool:
    """True if a token of the pattern is ``*``, or the last one is ``>``."""
    tokens = pattern.split(b".")
    return b"*" in tokens or tokens[-1] == b">"


def covers(pattern: bytes, buf: bytearray, start: int, end: int) -> bool:
    """True if the pattern, which may have wildcards, matches the subject in buf[start:end]."""
    wanted, tokens = pattern.split(b"."), bytes(buf[start:end]).split(b".")
    if wanted[-1] == b">":
        if len(tokens) < len(wanted):
            return False
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(mine in (b"*", its) for mine, its in zip(wanted, tokens))
