"""Message tracing, the headers: does a message ask to be traced (ADR-41), and for what. Pure.

A message asks with a header ``Nats-Trace-Dest``, whose value is the subject that hears what becomes of it, or with a ``traceparent`` of the
W3C that says it is sampled: then its account says where to. ``asks`` is what the message path asks of each header block: it looks for a
line that begins with one of the two, copies nothing, and may be wrong about a block that is no proper one. ``read_headers`` is right, and
slow: it is for the few blocks that are left.
"""

from __future__ import annotations

import re
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

__all__ = ["DISABLED", "MAX_BLOCK", "TRACE_DEST", "TraceHeaders", "asks", "is_only", "read_headers"]

MAX_BLOCK = 65536  # bytes of a header block that is read; who sends more is not traced, lest others wait for it

TRACE_DEST = b"Nats-Trace-Dest"
DISABLED = b"trace disabled"  # as Nats-Trace-Dest, which it cannot be: some server has said that this is not to be traced
_DEST_LINE = TRACE_DEST + b":"
_PARENT = b"traceparent"
_ONLY = b"Nats-Trace-Only"
_ORIGIN = b"Nats-Trace-Origin-Account"
_ENCODING = b"Accept-Encoding"
_FIRST_LINE = b"NATS/1.0\r\n"
_FIRST_LENGTH, _DEST_LENGTH, _SHORTEST = 10, 16, 12  # the last is ``traceparent:``
_LF, _UPPER_N, _UPPER_T, _LOWER_T, _COLON = 10, 78, 84, 116, 58
_TRUE = (b"1", b"true", b"on")
_ONLY_LINE = re.compile(rb"\r\nNats-Trace-Only:[ \t]*(?:1|(?i:true|on))[ \t]*\r\n")


class TraceHeaders:
    """The headers of a message that asks to be traced.

    Attributes:
        headers: all of them, by name as it was written.
        dest: the subject that it names, empty where it is for the account to say (``is_external``).
        only: it is to be traced, and not delivered.
        origin: the value of the header by which servers before 2.11.0 named an account; empty where there is none.
        encoding: the encodings that the one who listens there understands, as they were written.
    """

    __slots__ = ("dest", "encoding", "headers", "is_external", "only", "origin")

    def __init__(self, headers: dict[bytes, list[bytes]]) -> None:
        self.headers = headers
        self.dest = self._first(TRACE_DEST)
        self.is_external = not self.dest
        self.only = bool(self.dest) and self._first(_ONLY).lower() in _TRUE
        self.origin = self._first(_ORIGIN)
        self.encoding = self._first(_ENCODING)

    def _first(self, name: bytes) -> bytes:
        return self.headers[name][0] if name in self.headers else b""


def asks(publication: Publication) -> bool:
    """True if a line of the message's header block, but for the first, begins as those do that ask for tracing."""
    buf = publication.buf
    stop = publication.payload_start + publication.header_size
    at = publication.payload_start + _FIRST_LENGTH
    while stop - at > _SHORTEST:
        first = buf[at]
        if first == _UPPER_N:
            if stop - at > _DEST_LENGTH and same(buf, at, at + _DEST_LENGTH, _DEST_LINE):
                return True
        elif (first == _LOWER_T or first == _UPPER_T) and buf[at + _SHORTEST - 1] == _COLON:
            if cut(buf, at, at + _SHORTEST - 1).lower() == _PARENT:
                return True
        at = find_byte(buf, _LF, at, stop) + 1
        if at == 0:
            return False
    return False


def read_headers(block: bytes) -> TraceHeaders | None:
    """Return the headers of a block that asks for tracing, None where it does not.

    As nats-server reads them: a name ends at the first colon, wherever that is; what has no name or no value does not count.
    """
    if not block.startswith(_FIRST_LINE):
        return None
    headers: dict[bytes, list[bytes]] = {}
    is_sampled = False
    at = len(_FIRST_LINE)
    while (colon := block.find(b":", at)) >= 0 and (end := block.find(b"\r\n", colon)) >= 0:
        name, value = block[at:colon], block[colon + 1 : end].strip(b" \t")
        at = end + 2
        if not name or not value:
            continue
        if name == TRACE_DEST and name not in headers and value == DISABLED:
            return None
        is_sampled = is_sampled or (name.lower() == _PARENT and _is_sampled(value))
        headers.setdefault(name, []).append(value)
    return TraceHeaders(headers) if is_sampled or TRACE_DEST in headers else None


def is_only(block: bytes) -> bool:
    """True if a block that is too long to be read says that its message is not to be delivered."""
    return _ONLY_LINE.search(block) is not None


def _is_sampled(parent: bytes) -> bool:
    """True if a traceparent has the sampled flag: the last bit of its fourth and last part, a byte that Go reads as one with a sign."""
    parts = parent.split(b"-")
    if len(parts) != 4 or len(parts[3]) != 2:
        return False
    digits = parts[3].removeprefix(b"+")
    if any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
        return False
    flags = int(digits, 16)
    return flags < 0x80 and flags & 1 == 1
