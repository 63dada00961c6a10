"""What nats-server's store writes down of all its files together, ``index.db``: which messages of them are there. Pure.

    u8 magic, u8 version, then numbers: messages, bytes, first sequence, first time, last sequence, last time; subjects, each with three
    numbers; files, each with its number, bytes, first sequence and time, last sequence and time, how many are removed, and the set of them

A set is an avl tree's nodes, each a base and 2048 (or, in its first version, 4096) bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from midge.engine.snapshots.varints import Numbers

__all__ = ["BlockIndex", "BlockState", "read_index"]

_MAGIC, _VERSIONS = 11, (1, 2, 3, 4)
_SET_MAGIC = 22
_BITS = {1: 4096, 2: 2048}
_DAMAGED = "the index of the message blocks is damaged"


class BlockState(NamedTuple):
    """What there is of one file: from the first message to the last sequence, without ``removed`` (bits, each with its first sequence)."""

    first: int
    last: int
    removed: list[tuple[int, int]]

    def sequences(self) -> Iterator[int]:
        """Return the sequences that were removed."""
        for base, bits in self.removed:
            while bits:
                lowest = bits & -bits
                yield base + lowest.bit_length() - 1
                bits ^= lowest


class BlockIndex(NamedTuple):
    """What there is of the stream."""

    first: int
    last: int
    last_time: int
    blocks: list[BlockState]


def read_index(data: bytes) -> Iterator[BlockIndex | None]:
    """Read it, some of it at a time: None where there is more to do, and what it says at the end.

    Raises:
        ValueError: it is none, or of a later version.
    """
    if len(data) < 2 or data[0] != _MAGIC or data[1] not in _VERSIONS:
        raise ValueError(_DAMAGED)
    version, numbers = data[1], Numbers(data, 2)
    for _ in range(2):  # messages and bytes
        numbers.unsigned()
    first, _, last, last_time = numbers.unsigned(), numbers.signed(), numbers.unsigned(), numbers.signed()
    for count in range(numbers.unsigned()):
        numbers.take(numbers.unsigned())
        total = numbers.unsigned()
        numbers.unsigned()  # its first file
        if total > 1 or version >= 4:
            numbers.unsigned()  # and its last one
        if count % 256 == 255:
            yield None
    blocks = []
    for _ in range(numbers.unsigned()):
        for _ in range(2):  # number and bytes
            numbers.unsigned()
        start, _, stop, _, removed = numbers.unsigned(), numbers.signed(), numbers.unsigned(), numbers.signed(), numbers.unsigned()
        for _ in range(min(version, 3) - 1):  # messages that expire, and schedules
            numbers.unsigned()
        blocks.append(BlockState(start, stop, _set(numbers) if removed else []))
        yield None
    yield BlockIndex(first, last, last_time, blocks)


def _set(numbers: Numbers) -> list[tuple[int, int]]:
    magic, version = numbers.take(2)
    if magic != _SET_MAGIC or version not in _BITS:
        raise ValueError(_DAMAGED)
    size = _BITS[version] // 8
    nodes = int.from_bytes(numbers.take(4), "little")
    numbers.take(4)  # how many there are
    if nodes > (len(numbers.buf) - numbers.at) // (10 + size):
        raise ValueError(_DAMAGED)
    found = []
    for _ in range(nodes):
        base = int.from_bytes(numbers.take(8), "little")
        bits = int.from_bytes(numbers.take(size), "little")
        numbers.take(2)  # how high it stands in the tree
        found.append((base, bits))
    return found
