"""Single: the short way of a direct get that asks for one sequence, or for the last message of one subject, as most do.

A ``Lookup`` hears the direct gets of one stream. What is in memory and committed it answers at once, composed from where it lies, and
together with all that is answered in this turn; any other request it hands to ``direct``, as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine import direct
from midge.model.base import second_text

if TYPE_CHECKING:
    import cython

    from midge.engine.stream import Stream
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import is_wild
    from cython.cimports.midge.wire.octets import cut, number, put, put_crlf, put_number, put_slice, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.store.cells import is_wild
    from midge.wire.octets import cut, number, put, put_crlf, put_number, put_slice, same
    from midge.wire.publication import Publication

__all__ = ["Lookup"]

WORK_LONG = 224  # what a request costs that goes the long way, in deliveries, beside what any does
_SEQUENCE, _LAST = b'{"seq":', b'{"last_by_subj":"'
_CLOSED, _END = b"}", b'"}'
_SUBJECT_SIZE = 19  # $JS.API.DIRECT.GET.
_VERSION = b"NATS/1.0\r\n"
_AFTER_SUBJECT, _AFTER_SEQUENCE = b"\r\nNats-Sequence: ", b"\r\nNats-Time-Stamp: "
_FREE_SIZE = 16384  # bytes of an answer that cost nothing of their own
_SIZE_SHIFT = 9  # 512 bytes are one delivery


class Lookup:
    """Answers the direct gets of one stream."""

    __slots__ = ("_account", "_before_subject", "_name", "_second", "_second_text", "_sight", "_store", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._account = stream.account
        self._store = stream.store
        self._sight = stream.store.sight
        self._name = stream.raw_name
        self._before_subject = b"Nats-Stream: %b\r\nNats-Subject: " % stream.raw_name
        self._second = -1
        self._second_text = b""

    def receive(self, publication: Publication, wall: int) -> bool:
        """Take a request."""
        answer = self._answer(publication)
        if answer is None:
            self._stream.engine.outside.spend(WORK_LONG)
            direct.serve(self._stream, publication, self._stream.engine.api_level)
            return True
        answers: list[Publication] = self._account.answers
        if answers:
            answers.append(answer)
        else:
            self._account.put(answer)
        if answer.end > _FREE_SIZE:
            self._stream.engine.outside.spend(answer.end >> _SIZE_SHIFT)
        return True

    def _answer(self, publication: Publication) -> Publication | None:
        """Return the answer. None where it is another request, or the answer has to wait."""
        if publication.header_size > 0 or publication.reply_end == 0:
            return None
        sequence = self._sequence_of(publication)
        if sequence <= 0 or sequence > self._store.committed or not self._sight.look(sequence):
            return None
        return self._composed(publication)

    def _sequence_of(self, publication: Publication) -> int:
        """Return the sequence that is asked for. 0 where it is another request."""
        buf, start, end = publication.buf, publication.payload_start, publication.payload_end
        size = publication.subject_end - publication.subject_start - _SUBJECT_SIZE - len(self._name)
        if size > 1 and start == end:
            return self._last_of(cut(buf, publication.subject_end - size + 1, publication.subject_end))
        if size != 0:
            return 0
        if end - start > 8 and same(buf, start, start + 7, _SEQUENCE) and same(buf, end - 1, end, _CLOSED):
            start += 8 if buf[start + 7] == 32 else 7
            return 0 if buf[start] == 48 else number(buf, start, end - 1)  # with a zero in front it is no JSON
        if end - start > 19 and same(buf, start, start + 17, _LAST) and same(buf, end - 2, end, _END):
            for at in range(start + 17, end - 2):
                if buf[at] < 33 or buf[at] > 126 or buf[at] == 34 or buf[at] == 92:
                    return 0
            return self._last_of(cut(buf, start + 17, end - 2))
        return 0

    def _last_of(self, subject: bytes) -> int:
        return 0 if is_wild(subject) else self._store.previous((subject,), self._store.last)

    def _composed(self, publication: Publication) -> Publication:
        """Return the message that is seen, with headers that say where it was."""
        sight = self._sight
        seconds = sight.time // 1_000_000_000
        fraction = sight.time - seconds * 1_000_000_000
        if seconds != self._second:
            self._second, self._second_text = seconds, second_text(seconds)
        digits = 9 if fraction else 0
        while digits and fraction % 10 == 0:
            fraction //= 10
            digits -= 1
        own = sight.payload_start - sight.header_start
        header = (own - 2 if own else len(_VERSION)) + len(self._before_subject) + len(sight.subject) + len(_AFTER_SUBJECT)
        header += _digits(sight.sequence) + len(_AFTER_SEQUENCE) + len(self._second_text) + (digits + 1 if digits else 0) + 5
        answer = publication.response(header, header + sight.payload_end - sight.payload_start)
        buf = answer.buf
        at = answer.payload_start
        at = put_slice(buf, at, sight.buf, sight.header_start, sight.payload_start - 2) if own else put(buf, at, _VERSION)
        at = put(buf, put(buf, put(buf, at, self._before_subject), sight.subject), _AFTER_SUBJECT)
        at = put(buf, put(buf, put_number(buf, at, sight.sequence), _AFTER_SEQUENCE), self._second_text)
        if digits:
            at = _put_fraction(buf, at, fraction, digits)
        buf[at] = 90
        at = put_crlf(buf, put_crlf(buf, at + 1))
        put_slice(buf, at, sight.buf, sight.payload_start, sight.payload_end)
        return answer


def _digits(number: int) -> int:
    """Return how many decimal digits a number has."""
    count = 1
    while number >= 10:
        number //= 10
        count += 1
    return count


def _put_fraction(buf: bytearray, at: int, fraction: int, digits: int) -> int:
    """Write a point and so many digits; return where they end."""
    buf[at] = 46
    end = at + 1 + digits
    at = end - 1
    while at >= end - digits:
        buf[at] = 48 + fraction % 10
        fraction //= 10
        at -= 1
    return end
