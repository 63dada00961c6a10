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
    from cython.cimports.midge.wire.octets import put, put_blank, put_crlf, put_number, put_subscribed
    from cython.cimports.midge.wire.outbox import Outbox
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.wire.octets import put, put_blank, put_crlf, put_number, put_subscribed
    from midge.wire.outbox import Outbox
    from midge.wire.publication import Publication

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
    if out.fill + need > out.size:
        out.grow(need)
    buf = out.buf
    at = put(buf, out.fill, b"PUB " if header is None else b"HPUB ")
    at = put(buf, at, subject)
    at = put_blank(buf, at)
    if reply is not None:
        at = put(buf, at, reply)
        at = put_blank(buf, at)
    if header is not None:
        at = put_number(buf, at, len(header))
        at = put_blank(buf, at)
        size += len(header)
    at = put_number(buf, at, size)
    at = put_crlf(buf, at)
    if header is not None:
        at = put(buf, at, header)
    at = put(buf, at, payload)
    out.fill = put_crlf(buf, at)


def put_message(out: Outbox, publication: Publication, sid: bytes) -> None:
    """Append a publication as a MSG for one subscription, or as an HMSG where it has a header block."""
    buf = publication.buf
    need = _OVERHEAD + publication.subject_end - publication.subject_start + len(sid) + publication.end - publication.tail_start
    if out.fill + need > out.size:
        out.grow(need)
    dst = out.buf
    at = out.fill if publication.header_size < 0 else put(dst, out.fill, b"H")
    out.fill = put_subscribed(
        dst, at, buf, publication.subject_start, publication.subject_end, sid, publication.tail_start, publication.end
    )


def put_stripped(out: Outbox, publication: Publication, sid: bytes) -> None:
    """Append a publication as a MSG without its header block: for a receiver without header support."""
    line = b"MSG " + publication.subject() + b" " + sid + b" "
    if publication.reply_end:
        line += publication.reply() + b" "
    payload = publication.payload()
    out.write(line + b"%d\r\n" % len(payload) + payload + b"\r\n")


def put_line(out: Outbox, line: bytes) -> None:
    """Append a line and its CRLF."""
    out.reserve(len(line) + 2)
    at = put(out.buf, out.fill, line)
    out.fill = put_crlf(out.buf, at)
