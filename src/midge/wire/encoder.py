"""Writes protocol lines into an Outbox. What it is given is valid already: subjects and sizes are checked by its callers.

``put_publish`` is what a client does per message, ``put_message`` what a server does per delivery; both write straight into the
outbox's memory. The rest is not on the message path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import put, put_number, put_slice
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.wire.octets import put, put_number, put_slice
    from midge.wire.outbox import Outbox

__all__ = ["put_line", "put_message", "put_publish", "put_stripped"]

_OVERHEAD = 64  # verb, blanks, CRLF twice and two numbers of at most 19 digits, rounded up


def put_publish(out: Outbox, subject: bytes, reply: bytes | None, header: bytes | None, payload: bytes) -> None:
    """Append a PUB, or an HPUB where there is a header block."""
    size = len(payload)
    need = _OVERHEAD + len(subject) + size
    if reply is not None:
        need += len(reply)
    if header is not None:
        need += len(header)
    if out.fill + need > len(out.buf):
        out.grow(need)
    buf = out.buf
    at = put(buf, out.fill, b"PUB " if header is None else b"HPUB ")
    at = put(buf, at, subject)
    at = put(buf, at, b" ")
    if reply is not None:
        at = put(buf, at, reply)
        at = put(buf, at, b" ")
    if header is not None:
        at = put_number(buf, at, len(header))
        at = put(buf, at, b" ")
        size += len(header)
    at = put_number(buf, at, size)
    at = put(buf, at, b"\r\n")
    if header is not None:
        at = put(buf, at, header)
    at = put(buf, at, payload)
    out.fill = put(buf, at, b"\r\n")


def put_message(out: Outbox, with_header: bool, buf: bytearray, start: int, end: int, sid: bytes, tail: int, stop: int) -> None:
    """Append a MSG, or an HMSG where it has a header block.

    The subject is buf[start:end]; the tail buf[tail:stop] is the reply, the sizes, the payload and both CRLF, as a parser
    reports them.
    """
    need = _OVERHEAD + end - start + len(sid) + stop - tail
    if out.fill + need > len(out.buf):
        out.grow(need)
    dst = out.buf
    at = put(dst, out.fill, b"HMSG " if with_header else b"MSG ")
    at = put_slice(dst, at, buf, start, end)
    at = put(dst, at, b" ")
    at = put(dst, at, sid)
    at = put(dst, at, b" ")
    out.fill = put_slice(dst, at, buf, tail, stop)


def put_stripped(out: Outbox, subject: bytes, sid: bytes, reply: bytes, payload: bytes) -> None:
    """Append a MSG composed anew: for a receiver without header support, whose payload has lost its header block."""
    line = b"MSG " + subject + b" " + sid + b" "
    if reply:
        line += reply + b" "
    put_line(out, line + b"%d" % len(payload))
    put_line(out, payload)


def put_line(out: Outbox, line: bytes) -> None:
    """Append a line and its CRLF."""
    out.reserve(len(line) + 2)
    at = put(out.buf, out.fill, line)
    out.fill = put(out.buf, at, b"\r\n")
