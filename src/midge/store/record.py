"""Record: what a segment consists of. Version 1 of the format; docs/storage-format.md tells the whole of it.

     0  u32  head check: CRC-32 of bytes 4 to 36, begun with the seed of the store
     4  u32  body check: CRC-32 of everything behind byte 36, begun with 0
     8  u32  size: bytes of subject, header and payload together
    12  u32  bytes of the header
    16  u16  bytes of the subject
    18  u8   kind: MESSAGE, REMOVE, DROP, SKIP or ERASED
    19  u8   flags: MORE, OVERWRITE
    20  i64  sequence
    28  i64  time, nanoseconds since the epoch
    36       subject, header, payload, and zeros up to a multiple of 8

Numbers are little-endian, and records begin at multiples of 8. The head has a check of its own, so that its lengths can be believed
before anything is read by them, and so that a damaged body costs one message and not what follows. The seed is a random number that no
publisher knows: what looks like a record inside of a payload is not taken for one when what follows damage is searched for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.octets import checksum, get16, get32, get64, past_zeros, put16, put32, put64, put_zeros
    from cython.cimports.midge.wire.octets import cut, put, put_slice
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.store.octets import checksum, get16, get32, get64, past_zeros, put16, put32, put64, put_zeros
    from midge.wire.octets import cut, put, put_slice
    from midge.wire.publication import Publication

__all__ = [
    "DAMAGED", "DROP", "ERASED", "GOOD", "HEAD", "MESSAGE", "MORE", "OVERWRITE", "REMOVE", "Record", "SHORT", "SKIP", "TORN", "encode",
    "encode_publication", "find", "length",
]  # fmt: skip

HEAD = 36
_HEAD = HEAD

# Kinds
MESSAGE = 1  # a message of that sequence; of all other kinds it is the last one that is used up, when they are written
REMOVE = 2  # the payload is pairs of i64: the messages from the one to the other, both included, are gone
DROP = 3  # the payload is an i64: all messages before it are gone, and the sequences before it are used up
SKIP = 4  # sequences are used up without a message
ERASED = 5  # a message was here and has been overwritten
_MESSAGE = MESSAGE

# Flags
MORE = 1  # of a MESSAGE: counts only if one without this flag follows
OVERWRITE = 2  # of a REMOVE: what is kept of the messages is overwritten with zeros

# What Record.decode() found
GOOD = 0  # a record
TORN = 1  # no head of a record
DAMAGED = 2  # a head whose body is not what was written; ``end`` tells where it would have ended
SHORT = 3  # a head, and the body goes on behind ``stop``: decode again with bytes up to ``end``
_GOOD, _TORN, _DAMAGED, _SHORT = GOOD, TORN, DAMAGED, SHORT


class Record:
    """One record, as it lies in a buffer: filled by ``decode``.

    Attributes:
        buf: the buffer that the offsets point into.
        start, end: the whole record, with what fills it up.
        kind, flags, sequence, time: as above.
        subject_start, header_start, payload_start, payload_end: the parts.
    """

    __slots__ = (
        "buf",
        "end",
        "flags",
        "header_start",
        "kind",
        "payload_end",
        "payload_start",
        "sequence",
        "start",
        "subject_start",
        "time",
    )

    def __init__(self) -> None:
        self.buf = bytearray()
        self.start = self.end = self.kind = self.flags = self.sequence = self.time = 0
        self.subject_start = self.header_start = self.payload_start = self.payload_end = 0

    def decode(self, buf: bytearray, at: int, stop: int, seed: int) -> int:
        """Read the record that begins at ``at``; nothing at or behind ``stop`` is looked at. Return GOOD, TORN, DAMAGED or SHORT."""
        if at < 0 or stop > len(buf):
            raise IndexError(f"{at} to {stop} of {len(buf)} bytes")
        if at + _HEAD > stop or get32(buf, at) != checksum(buf, at + 4, at + _HEAD, seed):
            return _TORN
        size = get32(buf, at + 8)
        header = get32(buf, at + 12)
        subject = get16(buf, at + 16)
        if subject + header > size or buf[at + 18] == 0:
            return _TORN
        self.buf = buf
        self.start = at
        self.kind = buf[at + 18]
        self.flags = buf[at + 19]
        self.sequence = get64(buf, at + 20)
        self.time = get64(buf, at + 28)
        self.subject_start = at + _HEAD
        self.header_start = self.subject_start + subject
        self.payload_start = self.header_start + header
        self.payload_end = self.subject_start + size
        self.end = at + ((_HEAD + size + 7) & ~7)
        if self.end > stop:
            return _SHORT
        if get32(buf, at + 4) != checksum(buf, at + _HEAD, self.end, 0):
            return _DAMAGED
        return _GOOD

    def subject(self) -> bytes:
        return cut(self.buf, self.subject_start, self.header_start)

    def header(self) -> bytes:
        return cut(self.buf, self.header_start, self.payload_start)

    def payload(self) -> bytes:
        return cut(self.buf, self.payload_start, self.payload_end)

    def size(self) -> int:
        """Return the bytes of subject, header and payload."""
        return self.payload_end - self.subject_start

    def has_header(self) -> bool:
        return self.payload_start > self.header_start


def length(size: int) -> int:
    """Return how many bytes a record takes whose subject, header and payload have so many."""
    return (_HEAD + size + 7) & ~7


def encode(
    buf: bytearray, at: int, seed: int, kind: int, flags: int, sequence: int, time: int, subject: bytes, header: bytes, payload: bytes
) -> int:
    """Write a record to buf[at:], which has room for it; return where it ends."""
    size = len(subject) + len(header) + len(payload)
    if len(subject) > 0xFFFF:
        raise ValueError(f"a subject of {len(subject)} bytes: the most is 65535")
    if at < 0 or at + length(size) > len(buf):
        raise IndexError(f"{size} bytes do not fit in {len(buf)} at {at}")
    end = put(buf, put(buf, put(buf, at + _HEAD, subject), header), payload)
    return _seal(buf, at, end, seed, kind, flags, sequence, time, len(subject), len(header))


def encode_publication(buf: bytearray, at: int, seed: int, flags: int, sequence: int, time: int, publication: Publication) -> int:
    """Write a message to buf[at:], which has room for it; return where it ends."""
    subject = publication.subject_end - publication.subject_start
    body = publication.payload_end - publication.payload_start
    if subject > 0xFFFF:
        raise ValueError(f"a subject of {subject} bytes: the most is 65535")
    if at < 0 or at + length(subject + body) > len(buf):
        raise IndexError(f"{subject + body} bytes do not fit in {len(buf)} at {at}")
    end = put_slice(buf, at + _HEAD, publication.buf, publication.subject_start, publication.subject_end)
    end = put_slice(buf, end, publication.buf, publication.payload_start, publication.payload_end)
    header = publication.header_size if publication.header_size > 0 else 0
    return _seal(buf, at, end, seed, _MESSAGE, flags, sequence, time, subject, header)


def _seal(
    buf: bytearray, at: int, end: int, seed: int, kind: int, flags: int, sequence: int, time: int, subject: int, header: int
) -> int:  # fmt: skip
    """Fill up the record whose body stands in buf[at + HEAD : end], and write its head; return where it ends."""
    size = end - at - _HEAD
    end = put_zeros(buf, end, at + ((_HEAD + size + 7) & ~7))
    put32(buf, at + 4, checksum(buf, at + _HEAD, end, 0))
    put32(buf, at + 8, size)
    put32(buf, at + 12, header)
    put16(buf, at + 16, subject)
    buf[at + 18] = kind
    buf[at + 19] = flags
    put64(buf, at + 20, sequence)
    put64(buf, at + 28, time)
    put32(buf, at, checksum(buf, at + 4, at + _HEAD, seed))
    return end


def find(buf: bytearray, at: int, stop: int, seed: int) -> int:
    """Return where in buf[at:stop], at a multiple of 8 from ``at``, the next whole head of a record stands; -1 where there is none."""
    if at < 0 or stop > len(buf):
        raise IndexError(f"{at} to {stop} of {len(buf)} bytes")
    while at + _HEAD <= stop:
        if get32(buf, at) == checksum(buf, at + 4, at + _HEAD, seed) and buf[at + 18] != 0:
            return at
        skipped = past_zeros(buf, at, stop)  # no head has its first 24 bytes zero, as the kind is none
        at = at + 8 if skipped - at < 32 else at + ((skipped - at) & ~7) - 24
    return -1
