"""Staging: the messages of a batch, checked one by one as if those before were stored, and then stored together (ADR-50).

The order of the checks is nats-server's, which is not that of a single message. What is asked of the stream's state is answered by the
state before the batch, so a message may not expect anything of a subject that the batch has written to already. Nothing is stored until
all are checked; then the store makes it one piece: after a crash all of it is there or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine import checks
from midge.engine.counter import counted
from midge.engine.errors import ApiError
from midge.engine.headers import is_delete_marker, nats_values, read_number, remove
from midge.engine.ttl import parse_ttl, with_least_ttl
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Staged", "Staging", "check_way"]


class Staged:
    """A message as it is going to be stored."""

    __slots__ = ("header", "payload", "subject", "values")

    def __init__(self, subject: bytes, header: bytes, payload: bytes) -> None:
        self.subject = subject
        self.header = remove(header, b"Nats-Request-Info")
        self.payload = payload
        self.values = nats_values(header) if header else {}


class Staging:
    """One batch on its way into a stream.

    Args:
        stream: the stream; it does not change meanwhile.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._messages: list[Staged] = []
        self._size = 0
        self._ids: set[bytes] = set()
        self._latest: dict[bytes, Staged] = {}  # by subject
        self._count: dict[bytes, int] = {}
        self._expected: dict[bytes, int] = {}  # what was found to be the last sequence of a subject

    def add(self, message: Staged, wall: int) -> None:
        """Check a message and take it.

        Raises:
            ApiError: it is refused, and with it the batch.
        """
        stream, values = self._stream, message.values
        config = stream.config
        checks.record(stream, message.subject, len(message.header), len(message.payload))
        increment = checks.increment(config, values, len(message.payload)) if values else None
        if values:
            checks.name(stream, values)
            self._check_ttl(values)
            self._check_id(values, wall)
            if b"Nats-Stream-Source" in values:
                raise ApiError(10227)
        if config.allow_msg_counter:
            self._count_up(message, increment)
        if values:
            self._check_sequence(values)
            self._check_subject(values, message.subject)
            message.header = checks.schedules(stream, message.header, values, message.subject, wall, self._latest)
            checks.rollup(config, values)
            self._check_rollup(values, message.subject)
        self._take(message)

    def store(self, wall: int) -> int:
        """Store what was taken, and return the sequence of the last one.

        Raises:
            ApiError: there is no room for it.
            OSError: it could not be stored; nothing of it was.
        """
        stream, store, intake = self._stream, self._stream.store, self._stream.intake
        if intake.full:
            raise ApiError(10023)
        if intake.metered and stream.account.would_exceed(stream.config.storage, self._size):
            raise ApiError(10002)
        ttls = [self._ttl(message) for message in self._messages]
        stored = [Publication.compose(each.subject, b"", each.header, each.payload) for each in self._messages]
        before = {each.subject: stream.last_of(each.subject) for each in self._messages} if intake.republishes else {}
        last = store.append_all(stored, wall)
        for sequence, publication, message, ttl in zip(range(last - len(stored) + 1, last + 1), stored, self._messages, ttls, strict=True):
            self._stored(sequence, publication, message, ttl, before, wall)
        intake.last_id = self._messages[-1].values.get(b"Nats-Msg-Id", b"")
        stream.changed()
        return last

    def _stored(self, sequence: int, publication: Publication, message: Staged, ttl: int, before: dict[bytes, int], wall: int) -> None:
        """Do what a stored message brings with it."""
        stream, values = self._stream, message.values
        if b"Nats-Msg-Id" in values:
            stream.remember(values[b"Nats-Msg-Id"], sequence, wall)
        if stream.intake.choosy and stream.is_unwanted(message.subject):
            stream.store.remove(sequence)
        elif ttl:
            stream.expiry.add(sequence, wall, ttl)
        if stream.config.allow_msg_ttl and is_delete_marker(message.header):
            stream.expiry.mark(sequence)
        if b"Nats-Rollup" in values:
            stream.purge(b"" if values[b"Nats-Rollup"].lower() == b"all" else message.subject, sequence, 0)
        if stream.config.allow_msg_schedules:
            stream.see_to_schedules(sequence, message.subject, values)
        stream.appended(publication, sequence)
        subject = stream.republished(message.subject) if before else None
        if subject:
            stream.republish(subject, publication, sequence, before[message.subject])
            before[message.subject] = sequence

    # Checks

    def _check_ttl(self, values: dict[bytes, bytes]) -> None:
        if b"Nats-TTL" not in values:
            return
        if not self._stream.config.allow_msg_ttl:
            raise ApiError(10166)
        parse_ttl(values[b"Nats-TTL"])

    def _check_id(self, values: dict[bytes, bytes], wall: int) -> None:
        id = values.get(b"Nats-Msg-Id")
        if id is None:
            return
        if id in self._ids or self._stream.dedupe.find(id, wall):
            raise ApiError(10201)
        self._ids.add(id)

    def _count_up(self, message: Staged, increment: int | None) -> None:
        if increment is None:
            raise ApiError(10169)
        stream, latest = self._stream, self._latest.get(message.subject)
        if latest is None:
            last = stream.last_of(message.subject)
            stored = stream.store.read(last) if last else None
            before = None if stored is None else (stored.header, stored.payload)
        else:
            before = latest.header, latest.payload
        message.header, message.payload = counted(before, message.header, increment)
        limit = stream.config.max_msg_size
        most = stream.engine.max_payload if limit < 0 else min(stream.engine.max_payload, limit)
        if len(message.header) + len(message.payload) > most:
            raise ApiError(10054)

    def _check_sequence(self, values: dict[bytes, bytes]) -> None:
        expected = values.get(b"Nats-Expected-Last-Sequence")
        if expected is None:
            return
        last = self._stream.store.last + len(self._messages)
        if read_number(expected) != last:
            raise ApiError(10071, seq=last)
        if self._messages:
            raise ApiError(10164)

    def _check_subject(self, values: dict[bytes, bytes], subject: bytes) -> None:
        expected = values.get(b"Nats-Expected-Last-Subject-Sequence")
        other = values.get(b"Nats-Expected-Last-Subject-Sequence-Subject")
        if expected is None:
            if other is not None:
                raise ApiError(10193)
            return
        about = other or subject
        if about in self._latest:
            raise ApiError(10164)
        if about not in self._expected:
            self._expected[about] = self._stream.last_of(about)
        if read_number(expected) != self._expected[about]:
            raise ApiError(10071, seq=self._expected[about])

    def _check_rollup(self, values: dict[bytes, bytes], subject: bytes) -> None:
        rollup = values.get(b"Nats-Rollup", b"").lower()
        if rollup == b"sub" and subject in self._latest:
            raise ApiError(10111, err="batch rollup sub invalid")
        if rollup == b"all" and self._messages:
            raise ApiError(10111, err="batch rollup all invalid")

    def _take(self, message: Staged) -> None:
        subject, store, config = message.subject, self._stream.store, self._stream.config
        self._messages.append(message)
        self._latest[subject] = message
        self._count[subject] = self._count.get(subject, 0) + 1
        self._size += store.weight(len(subject), len(message.header), len(message.payload))
        if config.discard != "new":
            return
        if 0 < config.max_msgs < store.messages + len(self._messages):
            raise ApiError(10077, err="maximum messages exceeded")
        if 0 < config.max_bytes < store.size + self._size:
            raise ApiError(10077, err="maximum bytes exceeded")
        if config.discard_new_per_subject and b"Nats-Rollup" not in message.values:
            total = store.total(subject)
            if (0 if total is None else total.messages) + self._count[subject] > config.max_msgs_per_subject > 0:
                raise ApiError(10077, err="maximum messages per subject exceeded")

    def _ttl(self, message: Staged) -> int:
        """Return the seconds that a message lives, 0 where it does not say; the header is changed where they are too few."""
        ttl = parse_ttl(message.values[b"Nats-TTL"]) if b"Nats-TTL" in message.values else 0
        ttl, message.header = with_least_ttl(self._stream.config, ttl, message.header)
        return ttl


def check_way(stream: Stream, subject: bytes, header: int, payload: int) -> None:
    """Refuse a message of a batch that could not be stored alone: what is looked at before anything of the batch is."""
    config = stream.config
    if config.sealed:
        raise ApiError(10109)
    if stream.intake.full:
        raise ApiError(10023)
    if stream.intake.metered and stream.account.would_exceed(config.storage, stream.store.weight(len(subject), header, payload)):
        raise ApiError(10002)
    if 0 <= config.max_msg_size < header + payload:
        raise ApiError(10054)
