"""Single: the short way of a direct get that asks for one sequence and nothing else, as most do. Everything else is ``direct``'s.

``serve_plain`` answers at once what is in memory and committed, and says False to any other request, which it has left as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.model.base import second_text
from midge.store.base import ELSEWHERE

if TYPE_CHECKING:
    import cython

    from midge.engine.stream import Stream
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import number, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.wire.octets import number, same
    from midge.wire.publication import Publication

__all__ = ["serve_plain"]

_HEAD = b'{"seq":'
_SUBJECT_SIZE = 19  # $JS.API.DIRECT.GET.
_LINES = b"%bNats-Stream: %b\r\nNats-Subject: %b\r\nNats-Sequence: %d\r\nNats-Time-Stamp: %b%bZ\r\n\r\n"


def serve_plain(stream: Stream, publication: Publication) -> bool:
    """Answer a request for one sequence. False where it is another request, or the answer has to wait."""
    if publication.header_size > 0 or publication.reply_end == 0:
        return False
    name: bytes = stream.raw_name
    if publication.subject_end - publication.subject_start != _SUBJECT_SIZE + len(name):
        return False  # the subject goes on: it names the subject that is wanted
    start, end = publication.payload_start, publication.payload_end
    if end - start < 9 or not same(publication.buf, start, start + 7, _HEAD) or not same(publication.buf, end - 1, end, b"}"):
        return False
    sequence = number(publication.buf, start + 7, end - 1)
    store = stream.store
    if sequence <= 0 or sequence > store.committed or publication.buf[start + 7] == 48:
        return False  # with a zero in front it is no JSON
    try:
        message = store.peek(sequence)
    except OSError:
        return False  # there it is told
    if message is None or message is ELSEWHERE:
        return False
    _, time, subject, header, payload = message
    seconds = time // 1_000_000_000
    rest = time - seconds * 1_000_000_000
    fraction = (b".%09d" % rest).rstrip(b"0") if rest else b""
    lines = _LINES % (header[:-2] if header else b"NATS/1.0\r\n", name, subject, sequence, second_text(seconds), fraction)
    stream.answer([Publication.compose(publication.reply(), b"", lines, payload)])
    return True
