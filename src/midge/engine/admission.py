"""Admission: the long way of a message into its stream, with every header and every policy. The order is nats-server's, because it decides
which of several errors is told.

``admit`` transforms the subject, checks the headers (``checks``), counts, finds room, stores, and does what the headers ask for
afterwards. What it changes of a message is in ``_Message``; a message that nothing changes is stored from the buffer it came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine import checks
from midge.engine.counter import combined, counted, last_count
from midge.engine.errors import ApiError
from midge.engine.headers import remove
from midge.engine.ttl import parse_ttl, with_least_ttl

if TYPE_CHECKING:
    import cython

    from midge.engine.stream import Stream
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.engine.dedupe import Dedupe
    from cython.cimports.midge.engine.headers import is_delete_marker, nats_values, strip_status
    from cython.cimports.midge.engine.intake import ends_fast
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.engine.dedupe import Dedupe
    from midge.engine.headers import is_delete_marker, nats_values, strip_status
    from midge.engine.intake import ends_fast
    from midge.wire.publication import Publication

__all__ = ["LARGE", "admit", "admit_copy", "admit_marker", "admit_scheduled", "store_checked"]

LARGE = 16 << 20  # nobody looks closer at what is smaller
_NATS = b"\r\nNats-"
_ID, _EXPECTED = b"Nats-Msg-Id", b"Nats-Expected-Last-Sequence"


class _Message:
    """A message on its way in: its parts as they are going to be stored."""

    __slots__ = ("given", "header", "named", "payload", "publication", "subject", "values")

    def __init__(self, publication: Publication, named: bytes, subject: bytes) -> None:
        self.publication = publication
        self.named = named  # as it was published
        self.subject = subject
        self.given = publication.header() if publication.header_size > 0 else b""
        self.header = strip_status(self.given) if self.given else b""
        self.values = nats_values(self.header) if self.header else {}
        self.payload: bytes | None = None  # None for that of the publication

    def payload_size(self) -> int:
        publication = self.publication
        return publication.size() - max(publication.header_size, 0) if self.payload is None else len(self.payload)

    def to_store(self) -> Publication:
        """Return it as a publication."""
        publication = self.publication
        if self.payload is not None:
            return Publication.compose(self.subject, b"", self.header, self.payload)
        if self.header is not self.given:
            return publication.redirected(self.subject, b"", self.header)
        return publication if self.subject is self.named else publication.renamed(self.subject)


def admit(stream: Stream, publication: Publication, wall: int) -> None:
    """Store a message that was published to a stream, or refuse it; either is answered."""
    try:
        if stream.purging is not None:
            stream.purging.finish()
        if not stream.intake.careful and publication.header_size > 0 and _admit_plain(stream, publication, wall):
            return
        subject = publication.subject()
        message = _Message(publication, subject, stream.transformed(subject) if stream.intake.renames else subject)
        if publication.reply_end and ends_fast(publication):
            stream.ingest.receive(message, wall)
        elif b"Nats-Batch-Id" in message.values:
            stream.batches.receive(publication, message.header, message.values, wall)
        else:
            _admit(stream, message, wall)
    except ApiError as error:
        stream.intake.refuse(publication, error)
    except OSError as error:
        stream.intake.refuse(publication, ApiError(10077, err=error))


def _admit_plain(stream: Stream, publication: Publication, wall: int) -> bool:
    """Store a message that has an id, or a sequence that it expects, or neither, and no other header of ours. False for any other.

    It does what ``_admit`` does where nothing else was asked for, and is much shorter.
    """
    intake = stream.intake
    if intake.timed or intake.limited or intake.full or intake.max_size >= 0 or publication.header_size > checks.MAX_HEADER:
        return False
    if publication.size() > LARGE or (publication.reply_end and ends_fast(publication)):
        return False
    header = publication.header()
    if strip_status(header) is not header:
        return False
    values = nats_values(header)
    id = values.get(_ID)
    expected = values.get(_EXPECTED)
    if len(values) != (id is not None) + (expected is not None):
        return False
    if expected is not None:
        checks.expect_last(stream, expected)
    if id is not None:
        dedupe: Dedupe = stream.dedupe
        sequence = dedupe.find(id, wall)
        if sequence:
            intake.acknowledge(publication, sequence, b',"duplicate": true}')
            return True
    sequence = intake.store.append(publication, wall)
    intake.last_id = b"" if id is None else id
    if id is not None:
        stream.remember(id, sequence, wall)
    intake.acknowledge(publication, sequence, b"}")
    return True


def admit_marker(stream: Stream, subject: bytes, header: bytes, wall: int) -> None:
    """Store a message of the stream's own, such as a delete marker: its subject is not transformed, and nobody is answered."""
    try:
        _admit(stream, _Message(Publication.compose(subject, b"", header, b""), subject, subject), wall)
    except (ApiError, OSError) as error:
        stream.engine.outside.failed(f"a delete marker of stream {stream.name}", error)


def admit_copy(stream: Stream, subject: bytes, header: bytes, payload: bytes, time: int, is_mirror: bool) -> None:
    """Store a message of another stream, or use up a sequence for it where nobody is interested; pass over one whose id was had already.

    What a publisher expected was seen to by the other stream, and what it allowed is not asked again.

    Raises:
        ApiError, OSError: there is no room for it, or it cannot be.
    """
    intake, config = stream.intake, stream.config
    if not intake.careful and not intake.full and header.count(_NATS) == (0 if is_mirror else 1) and intake.max_size < 0:
        _copy_plain(stream, Publication.compose(subject, b"", header, payload), time)
        return
    subject = stream.transformed(subject) if intake.renames else subject
    message = _Message(Publication.compose(subject, b"", header, payload), subject, subject)
    _check_record(stream, message)
    if config.sealed:
        raise ApiError(10109)
    values = message.values
    if values and not is_mirror and stream.dedupe.find(values.get(b"Nats-Msg-Id", b""), time):
        return
    if config.allow_msg_counter:
        message.header, message.payload = combined(stream, message.subject, message.header, payload)
    if not config.allow_rollup_hdrs or config.deny_purge:
        values.pop(b"Nats-Rollup", None)
    if not config.allow_msg_ttl and b"Nats-TTL" in values:
        parse_ttl(values.pop(b"Nats-TTL"))
    if 0 <= config.max_msg_size < len(message.header) + message.payload_size():
        raise ApiError(10054)  # a header may have become longer than a publisher's: how could it be made shorter?
    store_checked(stream, message, time)


def admit_scheduled(stream: Stream, subject: bytes, header: bytes, payload: bytes, wall: int) -> None:
    """Store what a schedule sends: a message of the stream's own, whose subject is transformed as any.

    Raises:
        ApiError: it cannot be stored, because of a limit.
        OSError: it cannot be stored.
    """
    renamed = stream.transformed(subject) if stream.intake.renames else subject
    message = _Message(Publication.compose(subject, b"", header, payload), subject, renamed)
    _check_record(stream, message)
    _check_size(stream, message)
    store_checked(stream, message, wall)


def _copy_plain(stream: Stream, publication: Publication, time: int) -> None:
    """Store a message whose headers ask for nothing, into a stream that only stores: most of those that are copied."""
    if publication.size() > LARGE:
        _check_record(stream, _Message(publication, publication.subject(), publication.subject()))
    intake = stream.intake
    sequence = stream.store.append(publication, time)
    intake.last_id = b""
    if intake.timed or intake.limited:
        stream.appended(publication, sequence)


def _admit(stream: Stream, message: _Message, wall: int) -> None:
    config, intake, values = stream.config, stream.intake, message.values
    _check_record(stream, message)
    if config.sealed:
        raise ApiError(10109)
    increment = None
    if values:
        if b"Nats-Request-Info" in values:
            message.header = remove(message.header, b"Nats-Request-Info")
        if b"Nats-Incr" in values:
            increment = checks.increment(config, values, message.payload_size())
        checks.expectations(stream, values, message.subject)
        message.header = checks.schedules(stream, message.header, values, message.subject, wall)
        if b"Nats-Stream-Source" in values:
            raise ApiError(10227)
        id = values.get(b"Nats-Msg-Id")
        if id is not None:
            sequence = stream.dedupe.find(id, wall)
            if sequence:
                intake.acknowledge(message.publication, sequence, b',"duplicate": true}')
                return
        if b"Nats-Expected-Last-Msg-Id" in values:
            checks.last_id(values, intake.last_id)
        if b"Nats-Rollup" in values:
            checks.rollup(config, values)
    if config.allow_msg_counter:
        if increment is None:
            raise ApiError(10169)
        message.header, message.payload = counted(last_count(stream, message.subject), message.header, increment)
        if len(message.header) + len(message.payload) > stream.engine.max_payload:
            raise ApiError(10054)
    _check_size(stream, message)
    sequence = store_checked(stream, message, wall)
    tail = b',"val":"%b"}' % message.payload[8:-2] if config.allow_msg_counter and message.payload else b"}"
    intake.acknowledge(message.publication, sequence, tail)


def store_checked(stream: Stream, message: _Message, wall: int) -> int:
    """Store a message whose headers are checked, or use up a sequence for it; return that. Nobody is answered.

    Raises:
        ApiError: there is no room for it.
        OSError: it could not be stored.
    """
    if stream.intake.full:
        raise ApiError(10023)
    if stream.intake.choosy and stream.is_unwanted(message.subject):
        return _skip(stream, message, wall)
    return _store(stream, message, wall)


def _store(stream: Stream, message: _Message, wall: int) -> int:
    """Store it, and do what that brings with it."""
    config, store, intake, values = stream.config, stream.store, stream.intake, message.values
    weight = 0
    if intake.metered or config.discard == "new":
        weight = store.weight(len(message.subject), len(message.header), message.payload_size())
        if intake.metered and stream.account.would_exceed(config.storage, weight):
            raise ApiError(10002)
    ttl = parse_ttl(values[b"Nats-TTL"]) if b"Nats-TTL" in values else 0
    if ttl > 0 and config.subject_delete_marker_ttl:
        ttl, message.header = with_least_ttl(config, ttl, message.header)
    if config.discard == "new":
        checks.room(stream, message.subject, weight, b"Nats-Rollup" in values)
    republish = stream.republished(message.subject) if intake.republishes else None
    before = stream.last_of(message.subject) if republish else 0
    stored = message.to_store()
    sequence = store.append(stored, wall)
    id = values.get(b"Nats-Msg-Id", b"")
    intake.last_id = id
    if id:
        stream.remember(id, sequence, wall)
    if ttl:
        stream.expiry.add(sequence, wall, ttl)
    if config.allow_msg_ttl and is_delete_marker(message.header):
        stream.expiry.mark(sequence)
    if intake.timed or intake.limited or intake.metered:
        stream.appended(stored, sequence)
    if b"Nats-Rollup" in values:
        _roll_up(stream, message, 1)
    if config.allow_msg_schedules:
        stream.see_to_schedules(sequence, message.subject, values)
    if republish:
        stream.republish(republish, stored, sequence, before)
    return sequence


def _skip(stream: Stream, message: _Message, wall: int) -> int:
    """Use up a sequence: nobody is interested in the message."""
    store = stream.store
    store.skip(store.last + 1, wall)
    id = message.values.get(b"Nats-Msg-Id", b"")
    stream.intake.last_id = id
    if id:
        stream.remember(id, store.last, wall)
    _roll_up(stream, message, 0)
    return store.last


def _roll_up(stream: Stream, message: _Message, keep: int) -> None:
    """Remove what the message takes the place of."""
    rollup = message.values.get(b"Nats-Rollup", b"").lower()
    if rollup == b"sub":
        stream.purge(message.subject, 0, keep)
    elif rollup == b"all":
        stream.purge(b"", 0, keep)


def _check_record(stream: Stream, message: _Message) -> None:
    if stream.config.storage == "file" and message.publication.size() > LARGE:
        if stream.store.weight(len(message.subject), len(message.header), message.payload_size()) > checks.MAX_FILE_RECORD:
            raise ApiError(10077, err="message to large")


def _check_size(stream: Stream, message: _Message) -> None:
    limit = stream.config.max_msg_size
    if limit >= 0 and len(message.header) + message.payload_size() > limit:
        raise ApiError(10054)
    if len(message.header) > checks.MAX_HEADER:
        raise ApiError(10097)
