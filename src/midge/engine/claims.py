"""Claims: the headers that most publishers use, if they use any of ours, found by passing over the block once and without copying it.

A message id, and the sequences that are expected to be the last of the stream and of the subject. A block that says anything else, or says
one of them in an odd way, is left to ``admission``, which reads it as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import cut, find_byte, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.wire.octets import cut, find_byte, same
    from midge.wire.publication import Publication

__all__ = ["Claims"]

_PLAIN = b"NATS/1.0\r\n"  # how a block without a status begins
_NATS, _ID = b"Nats-", b"Nats-Msg-Id"
_LAST, _LAST_OF_SUBJECT = b"Nats-Expected-Last-Sequence", b"Nats-Expected-Last-Subject-Sequence"
_MAX_DIGITS = 18


class Claims:
    """What one block claims.

    Attributes:
        id: the message id, empty where there is none.
        last, last_of_subject: the sequences that are expected: -1 where none is, -2 where what is said is no number, and none is right.
    """

    __slots__ = ("id", "last", "last_of_subject")

    def __init__(self) -> None:
        self.id = b""
        self.last = self.last_of_subject = -1

    def read(self, publication: Publication) -> bool:
        """Read the block of a publication that has one. False where it has to be read with more care: then nothing here is right."""
        self.id = b""
        self.last = self.last_of_subject = -1
        buf = publication.buf
        at = publication.payload_start
        end = at + publication.header_size
        if end - at < 12 or not same(buf, at, at + 10, _PLAIN):
            return False
        at += 10
        while at < end:
            stop = _end_of_line(buf, at, end)
            if stop < 0:
                return False
            if stop - at > 5 and same(buf, at, at + 5, _NATS) and not self._take(buf, at, stop):
                return False
            at = stop + 2
        return True

    def _take(self, buf: bytearray, at: int, stop: int) -> bool:
        """Take one line of ours."""
        colon = find_byte(buf, 58, at, stop)
        if colon < 0:
            return False
        start = colon + 1
        while start < stop and buf[start] == 32:
            start += 1
        if start == stop:
            return False
        if same(buf, at, colon, _ID) and not self.id:
            self.id = cut(buf, start, stop)
        elif stop - start > _MAX_DIGITS:
            return False
        elif same(buf, at, colon, _LAST) and self.last == -1:
            self.last = _number(buf, start, stop)
        elif same(buf, at, colon, _LAST_OF_SUBJECT) and self.last_of_subject == -1:
            self.last_of_subject = _number(buf, start, stop)
        else:
            return False
        return True


def _end_of_line(buf: bytearray, at: int, end: int) -> int:
    """Return where the line that begins at an offset has its CRLF, -1 where there is none."""
    stop = find_byte(buf, 13, at, end)
    while stop >= 0:
        if stop + 1 < end and buf[stop + 1] == 10:
            return stop
        stop = find_byte(buf, 13, stop + 1, end)
    return -1


def _number(buf: bytearray, start: int, stop: int) -> int:
    """Return a number that has 18 digits at most, -2 where it is none."""
    value = 0
    for at in range(start, stop):
        digit = buf[at] - 48
        if digit < 0 or digit > 9:
            return -2
        value = value * 10 + digit
    return value
