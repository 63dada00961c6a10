"""Batches: atomic ones of one stream, while they are open (ADR-50): messages that are stored together or not at all.

A message says in its headers to which batch it belongs and where in it. Each is kept here, in memory, until one says "commit": then all
are checked and stored (``staging``). A batch that has a gap, or hears nothing for a while, is abandoned, and nothing of it is stored.
Nothing that is kept here was promised to anybody, so it does not outlive the process.

What is open is bounded: how many batches per stream and server, how many messages in each, and how many bytes in all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midge.engine.advisories import batch_abandoned
from midge.engine.errors import ApiError
from midge.engine.headers import add, remove
from midge.engine.metadata import is_supported
from midge.engine.silence import Silence
from midge.engine.staging import Staged, Staging, check_way
from midge.quote import quote

if TYPE_CHECKING:
    from midge.engine.stream import Stream
    from midge.wire.publication import Publication

__all__ = ["Batches"]

MAX_ID = 64
_DIGITS = re.compile(rb"[0-9]{1,19}")
_SEQUENCE, _COMMIT, _LEVEL = b"Nats-Batch-Sequence", b"Nats-Batch-Commit", b"Nats-Required-Api-Level"


class _Batch:
    """One open batch: its messages, as they came: subject, header, payload."""

    __slots__ = ("id", "messages", "silence", "size")

    def __init__(self, id: bytes, silence: Silence) -> None:
        self.id = id
        self.messages: list[tuple[bytes, bytes, bytes]] = []
        self.size = 0
        self.silence = silence


class Batches:
    """The open batches of one stream."""

    __slots__ = ("_open", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._open: dict[bytes, _Batch] = {}

    def __len__(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """Forget them all."""
        for batch in list(self._open.values()):
            self._close(batch)

    def receive(self, publication: Publication, header: bytes, values: dict[bytes, bytes], wall: int) -> None:
        """Take a message of a batch, which may be its last one; it is answered, unless it is refused.

        Raises:
            ApiError: it is refused, and so is the rest of the batch.
            OSError: the batch could not be stored.
        """
        stream, subject = self._stream, publication.subject()
        check_way(stream, subject, len(header), publication.size() - max(publication.header_size, 0))
        if not stream.config.allow_atomic:
            raise ApiError(10174)
        if len(values[b"Nats-Batch-Id"]) > MAX_ID:
            raise ApiError(10179)
        sequence = _number(values.get(_SEQUENCE, b""))
        commit = values.get(_COMMIT)
        batch = self._open.get(values[b"Nats-Batch-Id"]) or self._begin(values[b"Nats-Batch-Id"], sequence, commit, wall)
        header = self._checked(batch, sequence, commit, header, values)
        batch.silence.heard = wall
        if commit != b"eob":
            self._keep(batch, subject, header, publication.payload())
        if commit is None:
            stream.intake.respond(publication, b"")
            return
        self._close(batch)
        self._commit(publication, batch, commit == b"eob", wall)

    def _begin(self, id: bytes, sequence: int, commit: bytes | None, wall: int) -> _Batch:
        """Open a batch, where this may be its first message."""
        limits, engine = self._stream.engine.batches, self._stream.engine
        if sequence != 1:
            if sequence - (commit == b"eob") > limits.max_size:
                raise ApiError(10199, size=limits.max_size)
            raise ApiError(10176)
        if len(self._open) >= limits.max_per_stream or limits.open >= limits.max_open:
            raise ApiError(10210)
        limits.open += 1
        silence = Silence(engine.timers, wall, limits.timeout, lambda: self._abandon(batch, "timeout"))
        batch = self._open[id] = _Batch(id, silence)
        return batch

    def _checked(self, batch: _Batch, sequence: int, commit: bytes | None, header: bytes, values: dict[bytes, bytes]) -> bytes:
        """Return the header of a message that continues a batch, as it is kept. Anything else abandons the batch."""
        if commit not in (None, b"1", b"eob"):
            self._close(batch)
            raise ApiError(10200)
        if _LEVEL in values:
            if not is_supported(values[_LEVEL].decode("utf-8", "surrogateescape")):
                self._abandon(batch, "unsupported")
                raise ApiError(10185)
            header = remove(header, _LEVEL)
        if sequence != len(batch.messages) + 1 or (sequence == 1 and commit == b"eob"):
            self._abandon(batch, "incomplete")
            raise ApiError(10176)
        limit = self._stream.engine.batches.max_size
        if sequence - (commit == b"eob") > limit:
            self._abandon(batch, "large")
            raise ApiError(10199, size=limit)
        return header

    def _keep(self, batch: _Batch, subject: bytes, header: bytes, payload: bytes) -> None:
        limits, size = self._stream.engine.batches, len(subject) + len(header) + len(payload)
        if limits.bytes + size > limits.max_bytes:
            self._abandon(batch, "large")
            raise ApiError(10210)
        limits.bytes += size
        batch.size += size
        batch.messages.append((subject, header, payload))

    def _commit(self, publication: Publication, batch: _Batch, ends_without: bool, wall: int) -> None:
        """Check and store a batch, which is open no more, and answer."""
        stream = self._stream
        if ends_without:  # by a message that is not stored: the last one that is says that it is the last
            subject, header, payload = batch.messages[-1]
            batch.messages[-1] = subject, add(header, _COMMIT, b"1"), payload
        staging = Staging(stream)
        for subject, header, payload in batch.messages:
            message = Staged(stream.transformed(subject) if stream.intake.renames else subject, header, payload)
            if b"Nats-Expected-Last-Msg-Id" in message.values:
                raise ApiError(10177, header="Nats-Expected-Last-Msg-Id")
            staging.add(message, wall)
        last = staging.store(wall)
        stream.intake.acknowledge(publication, last, b',"batch":%b,"count":%d}' % (quote(batch.id).encode(), len(batch.messages)))

    def _abandon(self, batch: _Batch, reason: str) -> None:
        self._close(batch)
        batch_abandoned(self._stream, batch.id, reason)

    def _close(self, batch: _Batch) -> None:
        del self._open[batch.id]
        engine = self._stream.engine
        engine.batches.open -= 1
        engine.batches.bytes -= batch.size
        batch.silence.stop()


def _number(text: bytes) -> int:
    """Return a sequence.

    Raises:
        ApiError: there is none (10175).
    """
    if not _DIGITS.fullmatch(text):
        raise ApiError(10175)
    return int(text)
