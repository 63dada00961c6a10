"""Publication: a message on its way, as a buffer and offsets into it.

A parser owns one and fills it for each PUB, HPUB, MSG and HMSG that it finds: nothing is copied, and it holds until the parser is
asked for the next operation. ``compose`` makes one of its own, for messages that come from no parser. Routing takes either.

    subject [sid] [reply] [header size] size CRLF header payload CRLF
    ^subject_start ^sid_start                     ^payload_start      ^end
                   (or ^tail_start)                            ^payload_end

What stands from ``tail_start`` to ``end`` (the reply, the sizes, header and payload) can be forwarded as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import cut, new_buffer, put, put_blank, put_crlf, put_number, put_slice
else:
    from midge.wire.octets import cut, new_buffer, put, put_blank, put_crlf, put_number, put_slice

__all__ = ["Publication"]

_OVERHEAD = 48  # blanks, CRLF twice and two numbers of at most 19 digits


class Publication:
    """A message on its way.

    Attributes:
        buf: the buffer that the offsets point into.
        subject_start, subject_end: the subject.
        sid_start, sid_end: the subscription's id, of MSG and HMSG.
        reply_start, reply_end: the reply subject; both 0 where there is none.
        tail_start: the first byte behind the subject (PUB, HPUB) or sid (MSG, HMSG) and one space.
        header_size: bytes of header, -1 where the message has none.
        payload_start, payload_end: header and payload together; CRLF follows.
        end: the first byte behind all of it.
    """

    __slots__ = (
        "buf", "end", "header_size", "payload_end", "payload_start", "reply_end", "reply_start", "sid_end", "sid_start", "subject_end",
        "subject_start", "tail_start",
    )  # fmt: skip

    def __init__(self) -> None:
        self.buf = bytearray()
        self.subject_start = self.subject_end = self.sid_start = self.sid_end = self.reply_start = self.reply_end = 0
        self.tail_start = self.payload_start = self.payload_end = self.end = 0
        self.header_size = -1

    @staticmethod
    def compose(subject: bytes, reply: bytes, header: bytes, payload: bytes) -> Publication:
        """Return a message of these parts; the reply and the header may be empty. They are valid already: nothing is checked."""
        publication = Publication()
        line = subject + b" " + reply + b" " if reply else subject + b" "
        size = len(header) + len(payload)
        if header:
            publication.header_size = len(header)
            line += b"%d " % len(header)
        line += b"%d\r\n" % size
        publication.buf = bytearray(line + header + payload + b"\r\n")
        publication.subject_end = len(subject)
        publication.tail_start = len(subject) + 1
        if reply:
            publication.reply_start = len(subject) + 1
            publication.reply_end = len(subject) + 1 + len(reply)
        publication.payload_start = len(line)
        publication.payload_end = len(line) + size
        publication.end = len(line) + size + 2
        return publication

    def response(self, header_size: int, size: int) -> Publication:
        """Return a message to its reply subject, whose ``buf`` is to be filled from ``payload_start`` to ``payload_end``.

        Args:
            header_size: bytes of header, above 0.
            size: bytes of header and payload together.
        """
        publication = Publication.__new__(Publication)
        buf = publication.buf = new_buffer(self.reply_end - self.reply_start + size + _OVERHEAD)
        at = publication.subject_end = put_slice(buf, 0, self.buf, self.reply_start, self.reply_end)
        at = publication.tail_start = put_blank(buf, at)
        at = publication.payload_start = put_crlf(buf, put_number(buf, put_blank(buf, put_number(buf, at, header_size)), size))
        publication.payload_end = at + size
        publication.end = put_crlf(buf, at + size)
        publication.subject_start = publication.sid_start = publication.sid_end = publication.reply_start = publication.reply_end = 0
        publication.header_size = header_size
        return publication

    def answer(self, head: bytes, number: int, tail: bytes) -> Publication:
        """Return the message to its reply subject whose payload is head, a decimal number from 0 to 10**18, and tail."""
        publication = Publication.__new__(Publication)
        subject_size = self.reply_end - self.reply_start
        buf = publication.buf = new_buffer(subject_size + len(head) + len(tail) + _OVERHEAD)
        at = publication.subject_end = put_slice(buf, 0, self.buf, self.reply_start, self.reply_end)
        at = publication.tail_start = put_blank(buf, at)
        at = publication.payload_start = put_crlf(buf, put_number(buf, at, len(head) + len(tail) + _digits(number)))
        publication.payload_end = put(buf, put_number(buf, put(buf, at, head), number), tail)
        publication.end = put_crlf(buf, publication.payload_end)
        publication.subject_start = publication.sid_start = publication.sid_end = publication.reply_start = publication.reply_end = 0
        publication.header_size = -1
        return publication

    def renamed(self, subject: bytes) -> Publication:
        """Return the same message with another subject, in a buffer of its own."""
        publication = Publication.__new__(Publication)
        size = len(subject) + 1 + self.end - self.tail_start
        buf = publication.buf = new_buffer(size)
        at = publication.tail_start = put_blank(buf, put(buf, 0, subject))
        put_slice(buf, at, self.buf, self.tail_start, self.end)
        shift = at - self.tail_start
        publication.subject_start = publication.sid_start = publication.sid_end = 0
        publication.subject_end = at - 1
        publication.reply_start = self.reply_start + shift if self.reply_end else 0
        publication.reply_end = self.reply_end + shift if self.reply_end else 0
        publication.header_size = self.header_size
        publication.payload_start = self.payload_start + shift
        publication.payload_end = self.payload_end + shift
        publication.end = size
        return publication

    def redirected(self, subject: bytes, reply: bytes, header: bytes | None) -> Publication:
        """Return the same message with another subject and reply, and another header block unless that is None; the reply may be empty."""
        publication = Publication.__new__(Publication)
        skip = self.header_size if header is not None and self.header_size > 0 else 0
        size = self.payload_end - self.payload_start - skip + (0 if header is None else len(header))
        buf = publication.buf = new_buffer(len(subject) + len(reply) + size + _OVERHEAD)
        at = publication.tail_start = put_blank(buf, put(buf, 0, subject))
        publication.subject_start = publication.sid_start = publication.sid_end = publication.reply_start = publication.reply_end = 0
        publication.subject_end = at - 1
        if reply:
            publication.reply_start = at
            publication.reply_end = at = put(buf, at, reply)
            at = put_blank(buf, at)
        publication.header_size = self.header_size if header is None else len(header)
        if publication.header_size >= 0:
            at = put_blank(buf, put_number(buf, at, publication.header_size))
        at = publication.payload_start = put_crlf(buf, put_number(buf, at, size))
        if header is not None:
            at = put(buf, at, header)
        publication.payload_end = put_slice(buf, at, self.buf, self.payload_start + skip, self.payload_end)
        publication.end = put_crlf(buf, publication.payload_end)
        return publication

    def size(self) -> int:
        """Return the bytes of header and payload."""
        return self.payload_end - self.payload_start

    def subject(self) -> bytes:
        return cut(self.buf, self.subject_start, self.subject_end)

    def sid(self) -> bytes:
        return cut(self.buf, self.sid_start, self.sid_end)

    def reply(self) -> bytes:
        """Return the reply subject, empty where there is none."""
        return cut(self.buf, self.reply_start, self.reply_end)

    def header(self) -> bytes:
        """Return the header block, empty where there is none."""
        return cut(self.buf, self.payload_start, self.payload_start + self.header_size)

    def payload(self) -> bytes:
        """Return the payload alone."""
        return cut(self.buf, self.payload_start + (self.header_size if self.header_size > 0 else 0), self.payload_end)

    def body(self) -> bytes:
        """Return header and payload together."""
        return cut(self.buf, self.payload_start, self.payload_end)


def _digits(number: int) -> int:
    """Return how many decimal digits a number has."""
    count = 1
    while number >= 10:
        number //= 10
        count += 1
    return count
