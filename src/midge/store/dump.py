"""Dumps: a run of an index as bytes, for a file beside the messages, from which it is there again without reading them.

    magic and version 4 | messages 4 | subjects 4 | bytes of their names 4 | first sequence 8
    the arrays of a sparse block (``store.blocks``), subjects numbered from 0 | length of each name, 4 each | the names | CRC-32 of it all 4

Numbers are in the machine's own order; one of the other order finds a wrong magic. What does not fit is refused, whatever the CRC says:
a dump is a hint, and the messages tell the same.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from midge.store.blocks import Block, Blocks
from midge.store.subjects import Subjects

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import get32, get64, has_bit, put32, put64, set_bit
else:
    from midge.store.cells import get32, get64, has_bit, put32, put64, set_bit

__all__ = ["decode", "encode", "fill"]

_MAGIC = 0x01584D4D
_HEAD = 24
_MESSAGE = 24
_LAST_SEQUENCE = (1 << 63) - 2


def fill(run: Block, last: int, blocks: Blocks, subjects: Subjects) -> list[bytes]:
    """Copy messages of an index to a block, from its first sequence to the last. Return their subjects, numbered as they came."""
    names: list[bytes] = []
    numbers = bytearray(4 * subjects.top)  # of each subject the one it has in the dump, plus one
    for block in blocks.blocks[max(blocks.at(run.first), 0) :]:
        if block.first > last:
            break
        index = block.next(block.find(run.first))
        while index < block.used and block.sequence(index) <= last:
            subject = block.subject(index)
            number = get32(numbers, 4 * subject)
            if number == 0:
                names.append(subjects.name(subject))
                number = len(names)
                put32(numbers, 4 * subject, number)
            run.put(block.sequence(index), block.time(index), block.place(index), block.measure(index), number - 1)
            index = block.next(index + 1)
    return names


def encode(block: Block, names: list[bytes]) -> bytes:
    """Return the bytes of a sparse block that is full and whose subjects are numbers of names."""
    text = b"".join(names)
    head = bytearray(_HEAD)
    put32(head, 0, _MAGIC)
    put32(head, 4, block.used)
    put32(head, 8, len(names))
    put32(head, 12, len(text))
    put64(head, 16, block.first)
    lengths = bytearray(4 * len(names) + 4)
    for at in range(len(names)):
        put32(lengths, 4 * at, len(names[at]))
    data = b"".join((head, block.cells, lengths[: 4 * len(names)], text))
    put32(lengths, 0, zlib.crc32(data))
    return data + lengths[:4]


def decode(buf: bytearray) -> tuple[Block, int, int]:
    """Return the block of a dump, where in it the lengths of the names stand, and how many; the names follow. Two may be the same.

    Raises:
        ValueError: it is no dump, or one of another machine or version, or was damaged.
    """
    size = len(buf)
    if size < _HEAD + 4 or get32(buf, 0) != _MAGIC:
        raise ValueError("this is no dump of an index, or one of another version or machine")
    count, subjects, text = get32(buf, 4), get32(buf, 8), get32(buf, 12)
    start = _HEAD + _MESSAGE * count
    if size != start + 4 * subjects + text + 4 or get32(buf, size - 4) != zlib.crc32(memoryview(buf)[: size - 4]):
        raise ValueError("the dump of an index is damaged")
    _check_names(buf, start, subjects, text)
    block = Block(get64(buf, 16), count, True)
    block.cells = buf[_HEAD:start]
    block.used = count
    _check(block, subjects)
    return block, start, subjects


def _check_names(buf: bytearray, start: int, count: int, text: int) -> None:
    """Raise ValueError unless the names are as long as they are together."""
    for number in range(count):
        text -= get32(buf, start + 4 * number)
    if text:
        raise ValueError("the names in the dump of an index are damaged")


def _check(block: Block, subjects: int) -> None:
    """Raise ValueError unless sequences ascend, every subject has a name, and every name a message."""
    used = bytearray((subjects >> 3) + 1)
    found = 0
    before = max(block.first, 1) - 1
    for at in range(block.used):
        sequence, subject = block.sequence(at), block.subject(at)
        if not before < sequence <= _LAST_SEQUENCE or subject >= subjects:
            raise ValueError("the numbers in the dump of an index are damaged")
        before = sequence
        if not has_bit(used, subject):
            set_bit(used, subject)
            found += 1
    if found != subjects:
        raise ValueError("the dump of an index has a subject without a message")
