"""The messages in one file of nats-server's store, as its archives before 2.15 hold them: records, one behind the other. Pure.

    u32 size (the highest bit: it has headers)
    u64 sequence (the highest bit: erased; the next one: it tells of a message that was removed)
    i64 time, u16 subject size, subject, [u32 header size, header], payload, u64 checksum

Numbers are little-endian. The checksum is not compared: what brought the file here, S2's framing, has its own of every byte.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BlockReader", "Record"]

_HEAD, _HASH = 22, 8
_HAS_HEADER = 1 << 31
_ERASED, _REMOVED = 1 << 63, 1 << 62
MAX_RECORD: Final = (32 << 20) + _HEAD + _HASH  # nats-server's rlBadThresh


class Record(NamedTuple):
    """A message, or ``erased``: its sequence alone; or ``removed``: another one is gone."""

    sequence: int
    time: int
    subject: bytes
    header: bytes
    payload: bytes
    erased: bool
    removed: bool


class BlockReader:
    """The records of a file that comes in pieces. What is kept is bounded by the longest record that may be."""

    __slots__ = ("_at", "_buf")

    def __init__(self) -> None:
        self._buf = bytearray()
        self._at = 0

    @property
    def is_between(self) -> bool:
        """True where no record is under way."""
        return self._at == len(self._buf)

    def feed(self, data: bytes) -> None:
        """Take what comes next. Next: ``next`` until it returns None."""
        del self._buf[: self._at]
        self._at = 0
        self._buf += data

    def next(self) -> Record | None:
        """Return the next record, None where it is not all here.

        Raises:
            ValueError: it is none.
        """
        buf, at = self._buf, self._at
        if len(buf) - at < _HEAD:
            return None
        size = int.from_bytes(buf[at : at + 4], "little")
        has_header, size = bool(size & _HAS_HEADER), size & ~_HAS_HEADER
        sequence = int.from_bytes(buf[at + 4 : at + 12], "little")
        time = int.from_bytes(buf[at + 12 : at + 20], "little", signed=True)
        subject_size = int.from_bytes(buf[at + 20 : at + 22], "little")
        body, end = at + _HEAD + subject_size, at + size
        if size > MAX_RECORD or body + (4 if has_header else 0) > end - _HASH:
            raise ValueError("a record of a message block is damaged")
        if len(buf) < end:
            return None
        header_size = int.from_bytes(buf[body : body + 4], "little") if has_header else 0
        start = body + 4 if has_header else body
        if start + header_size > end - _HASH:
            raise ValueError("a record of a message block is damaged")
        self._at = end
        return Record(
            sequence & ~(_ERASED | _REMOVED),
            time,
            bytes(buf[at + _HEAD : body]),
            bytes(buf[start : start + header_size]),
            bytes(buf[start + header_size : end - _HASH]),
            bool(sequence & _ERASED) or not sequence,
            bool(sequence & _REMOVED) and not sequence & _ERASED,
        )
