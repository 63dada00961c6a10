"""Direct gets (ADR-31): messages as they are stored, with headers that say where they were, and errors as status headers.

One message, the next ones in a batch, or the last of each of many subjects. The order of the checks and the numbers in the headers are
nats-server's, oddities included: ``Nats-Num-Pending`` counts down from what there was at the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import msgspec

from midge.engine.headers import value_of
from midge.engine.jobs import Found, Job, fetch, prepared
from midge.engine.reports import described
from midge.model.base import time_of
from midge.store.base import Elsewhere, Store, Stored
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["serve"]

MAX_BATCHES = 1_024  # under way at once, in all streams
MAX_RESULTS = 1_024  # subjects of one request for the last of each
MAX_COMPARED = 20_000_000  # patterns of such a request times subjects of the stream: about half a second
SUBJECTS = 4_096  # that are looked at in one slice
SLICE = 64  # messages of one slice of a batch
SLICE_SIZE = 1 << 18  # or so many bytes
_PREFIX_TOKENS = 5  # $JS API DIRECT GET and the stream

EMPTY_REQUEST = b"408 Empty Request"
MALFORMED_REQUEST = b"408 Malformed Request"
BAD_REQUEST = b"408 Bad Request"
NOT_FOUND = b"404 Message Not Found"
NO_RESULTS = b"404 No Results"
TOO_MANY = b"413 Too Many Results"
BUSY = b"429 Too Many Requests"
API_LEVEL = b"412 Required Api Level"


class DirectRequest(msgspec.Struct):
    """What is asked for; all of it may be left out, or null."""

    seq: int | None = None
    last_by_subj: str | None = None
    next_by_subj: str | None = None
    batch: int | None = None
    max_bytes: int | None = None
    start_time: str | None = None
    multi_last: list[str] | None = None
    up_to_seq: int | None = None
    up_to_time: str | None = None
    no_hdr: bool | None = None


_SEQUENCE = re.compile(rb'\{"seq": ?([1-9][0-9]{0,17})\}')  # what most requests say
_DECODER = msgspec.json.Decoder(DirectRequest)


def serve(stream: Stream, publication: Publication, api_level: int) -> None:
    """Answer a request, or begin to."""
    reply = publication.reply()
    if not reply:
        return
    try:
        request = _read(publication, api_level)
    except _Refused as refused:
        _say(stream, reply, refused.status)
        return
    store = stream.store
    if not request.batch and not request.multi_last:
        _single(stream, request, reply)
    elif stream.engine.jobs.active >= MAX_BATCHES:
        _say(stream, reply, BUSY)
    else:
        job = _multi(stream, request, reply) if request.multi_last else _batch(stream, request, reply)
        _when_committed(stream, store.last, lambda: stream.engine.jobs.start(store, job))


class _Refused(Exception):
    """The request makes no sense."""

    def __init__(self, status: bytes) -> None:
        super().__init__()
        self.status = status


def _read(publication: Publication, api_level: int) -> DirectRequest:
    """Return what is asked for, checked as nats-server does."""
    level = value_of(publication.header(), b"Nats-Required-Api-Level") if publication.header_size > 0 else b""
    if level and (not level.isdigit() or int(level[:9]) > api_level):
        raise _Refused(API_LEVEL)
    key = publication.subject().split(b".", _PREFIX_TOKENS)[_PREFIX_TOKENS:]
    body = publication.payload()
    if not key and (plain := _SEQUENCE.fullmatch(body)) is not None:
        return DirectRequest(int(plain[1]))
    if not body and not key:
        raise _Refused(EMPTY_REQUEST)
    try:
        request = _DECODER.decode(body) if body else DirectRequest()
        start_time, up_to_time = _time_of(request.start_time), _time_of(request.up_to_time)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _Refused(MALFORMED_REQUEST) from None
    if any(number is not None and number < 0 for number in (request.seq, request.up_to_seq)):
        raise _Refused(MALFORMED_REQUEST)
    one = (bool(request.seq), start_time is not None, bool(request.last_by_subj), bool(request.next_by_subj), bool(request.multi_last))
    if key:
        if not key[0] or any(one) or request.batch or request.up_to_seq or up_to_time is not None:
            raise _Refused(BAD_REQUEST)
        request.last_by_subj = key[0].decode("utf-8", "surrogateescape")
        return request
    if not any(one):
        raise _Refused(EMPTY_REQUEST)
    seq, start, last, following, multi = one
    if (
        (seq and (last or start)) or (last and (start or following or multi or (request.batch or 0) > 0)) or (following and multi)
        or (request.up_to_seq and up_to_time is not None)
    ):  # fmt: skip
        raise _Refused(BAD_REQUEST)
    return request


def _single(stream: Stream, request: DirectRequest, reply: bytes) -> None:
    """Answer with one message; at once where it is in memory and may be shown."""
    store = stream.store
    subject = request.next_by_subj or request.last_by_subj
    if subject and not store.prepare((_raw(subject),), _start(store, request) if request.next_by_subj else 0):
        if stream.engine.jobs.active >= MAX_BATCHES:
            _say(stream, reply, BUSY)
        else:
            stream.engine.jobs.start(store, _prepared_single(stream, request, reply, _raw(subject)))
        return
    if request.next_by_subj:
        sequence = store.next((_raw(request.next_by_subj),), _start(store, request))
    elif request.last_by_subj:
        sequence = stream.last_of(_raw(request.last_by_subj))
    else:
        sequence = _start(store, request)
    if sequence > store.committed and sequence <= store.last:
        _when_committed(stream, sequence, lambda: _single(stream, request, reply))
        return
    try:
        found = store.peek(sequence) if sequence else None
    except OSError as error:
        stream.engine.outside.failed("reading messages", error)
        return
    if isinstance(found, Elsewhere):
        stream.engine.jobs.start(store, _one(stream, sequence, reply, bool(request.no_hdr)))
    else:
        _tell(stream, found, reply, bool(request.no_hdr))


def _prepared_single(stream: Stream, request: DirectRequest, reply: bytes, subject: bytes) -> Job:
    yield from prepared(stream.store, (subject,))
    if not stream.intake.closed:
        _single(stream, request, reply)


def _one(stream: Stream, sequence: int, reply: bytes, bare: bool) -> Job:
    _tell(stream, (yield [sequence])[0], reply, bare)


def _tell(stream: Stream, message: Stored | None, reply: bytes, bare: bool) -> None:
    """Answer with a message, or that there is none."""
    if message is None:
        _say(stream, reply, NOT_FOUND)
    else:
        header = b"" if bare else described(stream.raw_name, message)
        stream.account.put(Publication.compose(reply, b"", header, message.payload))


def _batch(stream: Stream, request: DirectRequest, reply: bytes) -> Job:
    """Send the next messages of a filter, and that there are no more."""
    store, name = stream.store, stream.raw_name
    filters = (_raw(request.next_by_subj),) if request.next_by_subj else ()
    sequence = _start(store, request)
    yield from prepared(store, filters, sequence)
    pending, through = store.pending(filters, sequence), store.last
    last, left = 0, request.max_bytes or stream.engine.max_pending
    pace = _Pace()
    for place in range(max(request.batch or 0, 0)):
        sequence = store.next(filters, sequence)
        message = (yield from fetch(store, sequence)) if 0 < sequence <= store.committed else None
        if message is None:
            if place:
                break
            _say(stream, reply, NOT_FOUND)
            return
        sequence += 1
        header = b""
        if not request.no_hdr:
            pending = max(pending - 1, 0)
            header = described(name, message, pending, last)
        last = message.sequence
        stream.account.put(Publication.compose(reply, b"", header, message.payload))
        left -= _size(message)
        if left <= 0:
            break
        if pace.is_over(_size(message)):
            yield None
    if store.last > through:
        pending = store.pending(filters, sequence)
    _say(stream, reply, b"204 EOB\r\nNats-Num-Pending: %d\r\nNats-Last-Sequence: %d" % (pending, last))


def _multi(stream: Stream, request: DirectRequest, reply: bytes) -> Job:
    """Send the last message of every subject that a list of filters matches."""
    store, name = stream.store, stream.raw_name
    up_to = request.up_to_seq or 0
    up_to_time = _time_of(request.up_to_time)
    if up_to_time is not None:
        up_to = store.at_time(up_to_time)
        if up_to <= store.first:
            _say(stream, reply, NO_RESULTS)
            return
        up_to -= 1
    up_to = up_to or store.last
    assert request.multi_last
    filters = tuple(dict.fromkeys(map(_raw, request.multi_last)))
    if sum(b"*" in each or b">" in each for each in filters) * store.subjects > MAX_COMPARED:
        _say(stream, reply, TOO_MANY)
        return
    yield from prepared(store, filters)
    sequences = yield from _lasts(store, filters, up_to)
    if len(sequences) > MAX_RESULTS or not sequences:
        _say(stream, reply, TOO_MANY if sequences else NO_RESULTS)
        return
    pending, last, left, sent = len(sequences), 0, request.max_bytes or stream.engine.max_pending, 0
    pace = _Pace()
    for sequence in sequences:
        pending -= 1
        if sequence < (request.seq or 0):
            continue
        message = yield from fetch(store, sequence)
        if message is None:
            _say(stream, reply, NOT_FOUND)
            return
        header = described(name, message, pending, last)
        last = sequence
        stream.account.put(Publication.compose(reply, b"", header, message.payload))
        left -= _size(message)
        sent += 1
        if left <= 0 or 0 < (request.batch or 0) <= sent:
            break
        if pace.is_over(_size(message)):
            yield None
    status = b"204 EOB\r\nNats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\nNats-UpTo-Sequence: %d"
    _say(stream, reply, status % (pending, last, up_to))


def _lasts(store: Store, filters: tuple[bytes, ...], up_to: int) -> Generator[list[int] | None, Found, list[int]]:
    """Find the last messages of subjects, in order; no more than are needed to know that they are too many."""
    found: list[int] = []
    place = 0
    while True:
        some, place = store.some_lasts(filters, place, SUBJECTS, up_to)
        found += some
        if place < 0 or len(found) > MAX_RESULTS:
            return sorted(found)
        yield None


class _Pace:
    """How much a slice has done."""

    __slots__ = ("_messages", "_size")

    def __init__(self) -> None:
        self._messages = self._size = 0

    def is_over(self, size: int) -> bool:
        """Count a message. True where another slice should begin."""
        self._messages += 1
        self._size += size
        if self._messages < SLICE and self._size < SLICE_SIZE:
            return False
        self._messages = self._size = 0
        return True


def _start(store: Store, request: DirectRequest) -> int:
    """Return where to look from: a time or a sequence."""
    time = _time_of(request.start_time)
    return store.at_time(time) if time is not None else request.seq or 0


def _time_of(text: str | None) -> int | None:
    return None if text is None else time_of(text)


def _when_committed(stream: Stream, sequence: int, call: Callable[[], None]) -> None:
    """Call it when a message may be shown; at once where it may."""
    if sequence <= stream.store.committed:
        call()
    else:
        stream.store.settle(lambda _: None if stream.intake.closed else call())


def _say(stream: Stream, reply: bytes, status: bytes) -> None:
    stream.account.put(Publication.compose(reply, b"", b"NATS/1.0 %b\r\n\r\n" % status, b""))


def _size(message: Stored) -> int:
    return len(message.subject) + len(message.header) + len(message.payload)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
