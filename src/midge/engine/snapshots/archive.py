"""The archive that nats-server keeps a stream in since 2.15, "NATSARC1": entries, each with a head and what it holds. Pure.

    magic, then entries:  uvarint name size, varint time, uvarint sequence, uvarint header size, uvarint payload size, name, header, payload

The first entry is ``state.json``, then come as many ``consumers/<name>`` as it says, then the messages in order, each named after its
subject. An entry without anything ends the archive: one that has none was cut off.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CONSUMER", "END", "MAGIC", "MAX_OTHER", "STATE", "ArchiveReader", "Entry", "entry"]

MAGIC: Final = b"NATSARC1"
STATE: Final = b"state.json"
CONSUMER: Final = b"consumers/"
MAX_NAME: Final = 1 << 16  # of a subject; nats-server takes longer ones, and nobody could have published to them
MAX_OTHER: Final = 64 << 20  # bytes of an entry that is no message: a consumer with all that it waits for
_LAST = (1 << 63) - 1


class Entry(NamedTuple):
    """One entry; a message where it has a sequence."""

    name: bytes
    time: int
    sequence: int
    header: bytes
    payload: bytes


END: Final = Entry(b"", 0, 0, b"", b"")


def entry(name: bytes, time: int, sequence: int, header: bytes, payload: bytes) -> bytes:
    """Return an entry as the archive has it."""
    head = bytearray()
    for value in (len(name), time << 1 if time >= 0 else ~(time << 1), sequence, len(header), len(payload)):
        while value > 0x7F:
            head.append(value & 0x7F | 0x80)
            value >>= 7
        head.append(value)
    return bytes(head) + name + header + payload


class ArchiveReader:
    """The entries of an archive, whose bytes come piece by piece, the magic ones first.

    Args:
        max_message: bytes that a message's header and payload may have.

    What is kept is bounded by the longest entry that may be.
    """

    __slots__ = ("_at", "_buf", "_has_begun", "_max_message")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buf = bytearray()
        self._at = 0
        self._has_begun = False

    @property
    def is_between(self) -> bool:
        """True where no entry has begun."""
        return self._has_begun and self._at == len(self._buf)

    def feed(self, data: bytes) -> None:
        """Take what comes next. Next: ``next`` until it returns None."""
        if self._at:
            del self._buf[: self._at]
            self._at = 0
        self._buf += data

    def next(self) -> Entry | None:
        """Return the next entry, None where it is not all here.

        Raises:
            ValueError: it is none, or is longer than it may be.
        """
        if not self._has_begun:
            if len(self._buf) < len(MAGIC):
                return None
            if not self._buf.startswith(MAGIC):
                raise ValueError("archive: invalid archive stream")
            self._at = len(MAGIC)
            self._has_begun = True
        found = self._head()
        if found is None:
            return None
        (name_size, time, sequence, header_size, payload_size), at = found
        self._check(name_size, sequence, header_size, payload_size)
        end = at + name_size + header_size + payload_size
        if len(self._buf) < end:
            return None
        with memoryview(self._buf) as view:
            body = at + name_size
            name, header = bytes(view[at:body]), bytes(view[body : body + header_size])
            payload = bytes(view[body + header_size : end])
        self._at = end
        return Entry(name, time >> 1 if not time & 1 else ~(time >> 1), sequence, header, payload)

    def _head(self) -> tuple[list[int], int] | None:
        """Read the numbers of the next entry; return them, and where they end. None where they are not all here."""
        buf, at, size = self._buf, self._at, len(self._buf)
        numbers = []
        for _ in range(5):
            value = shift = 0
            while True:
                if at == size:
                    return None
                byte = buf[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 63:
                    raise ValueError("archive: invalid archive stream")
            if value >> 64:
                raise ValueError("archive: invalid archive stream")
            numbers.append(value)
        return numbers, at

    def _check(self, name_size: int, sequence: int, header_size: int, payload_size: int) -> None:
        """Compare what an entry claims to have with what it may."""
        size = header_size + payload_size
        if name_size > MAX_NAME or size > _LAST:
            raise ValueError("archive: invalid archive stream")
        if sequence and size > self._max_message:
            raise ValueError(f"message sequence {sequence} exceeds maximum payload size")
        if not sequence and size > MAX_OTHER:
            raise ValueError("archive: an entry is too long")
