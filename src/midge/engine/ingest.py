"""Ingest: fast batches of one stream (ADR-50): many messages one after the other, acknowledged now and then.

The reply subject says where a message belongs: ``<prefix>.<id>.<flow>.<gap>.<sequence>.<operation>.$FI``. Each message is stored at once.
The server tells the publisher how far it is every so many messages, fewer of them where more publishers are at it, and reports gaps and
errors when it sees them. A batch that may have no gaps ends with the first one, and the acknowledgement tells where.

Control messages wait as acknowledgements do, until all is safe that they tell of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.engine import checks
from midge.engine.admission import LARGE, store_checked
from midge.engine.errors import ApiError
from midge.engine.headers import read_number, remove
from midge.engine.metadata import is_supported
from midge.engine.silence import Silence
from midge.engine.staging import Staged, Staging, check_way
from midge.quote import quote
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Ingest"]

MAX_ID = 64
MOST = 500  # messages for one acknowledgement, of all publishers together
DEFAULT_FLOW = 10
DUPLICATE = 10201
MAX_FLOW = 65535
START, APPEND, COMMIT, END, PING = range(5)
_LEVEL = b"Nats-Required-Api-Level"


class _Place:
    """What a reply subject says."""

    __slots__ = ("flow", "id", "may_have_gaps", "operation", "sequence")

    def __init__(self, id: bytes, flow: int, may_have_gaps: bool, sequence: int, operation: int) -> None:
        self.id = id
        self.flow = flow
        self.may_have_gaps = may_have_gaps
        self.sequence = sequence
        self.operation = operation


class _FastBatch:
    """One open batch.

    Attributes:
        last: its highest sequence; ``told`` the one that was acknowledged.
        stored: the stream's sequence of its last message.
        flow: how many messages are acknowledged at once; ``most`` is what the publisher wants.
        reply: where it was heard from last.
    """

    __slots__ = ("flow", "id", "last", "may_have_gaps", "most", "reply", "silence", "stored", "told")

    def __init__(self, place: _Place, flow: int, silence: Silence) -> None:
        self.id = place.id
        self.may_have_gaps = place.may_have_gaps
        self.most = place.flow
        self.flow = flow
        self.last = self.told = self.stored = 0
        self.reply = b""
        self.silence = silence


class Ingest:
    """The open fast batches of one stream."""

    __slots__ = ("_open", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._open: dict[bytes, _FastBatch] = {}

    def __len__(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """Forget them all."""
        for batch in list(self._open.values()):
            self._close(batch)

    def undone(self, last: int, error: ApiError) -> None:
        """Messages behind this one are gone: end the batches that had some of them, and say so."""
        for batch in [each for each in self._open.values() if each.stored > last]:
            self._close(batch)
            self._send(batch.reply, self._stream.refusal(error))

    def receive(self, message: Any, wall: int) -> None:
        """Take a message of a batch, as admission has taken it apart.

        Raises:
            ApiError: it is refused.
            OSError: it could not be stored.
        """
        stream, publication = self._stream, message.publication
        check_way(stream, message.subject, len(message.header), message.payload_size())
        if not stream.config.allow_batched:
            raise ApiError(10205)
        reply = publication.reply()
        place = _read(reply)
        batch = self._open.get(place.id) or self._begin(place, wall)
        if _LEVEL in message.values:
            self._check_level(batch, message)
        batch.silence.heard = wall
        batch.reply = reply
        if place.operation == PING:
            self._ping(batch, place.sequence)
        elif self._follows(batch, place.sequence):
            if place.operation == END:
                batch.last -= 1
                self._finish(batch)
            else:
                self._take(batch, place, message, wall)

    def _begin(self, place: _Place, wall: int) -> _FastBatch:
        use = self._stream.engine.ingests
        if place.sequence != 1 or place.operation == PING:
            raise ApiError(10208)
        if len(self._open) >= use.max_per_stream or use.open >= use.max_open:
            raise ApiError(10211)
        use.open += 1
        flow = 1 if self._open else min(MOST, place.flow)  # another one begins slowly
        silence = Silence(self._stream.engine.timers, wall, use.timeout, lambda: self._close(batch))
        batch = self._open[place.id] = _FastBatch(place, flow, silence)
        return batch

    def _check_level(self, batch: _FastBatch, message: Any) -> None:
        if not is_supported(message.values[_LEVEL].decode("utf-8", "surrogateescape")):
            self._close(batch)
            raise ApiError(10185)
        message.header = remove(message.header, _LEVEL)

    def _ping(self, batch: _FastBatch, sequence: int) -> None:
        """Say again how far the batch is."""
        if sequence > batch.last:
            self._send_gap(batch, batch.last + 1, sequence + 1)
            if not batch.may_have_gaps:
                self._finish(batch)
                return
            batch.last = sequence
            if self._tell(batch):
                return
        self._send_flow(batch, batch.told)

    def _follows(self, batch: _FastBatch, sequence: int) -> bool:
        """Count a message. False where it ends the batch, or belongs nowhere."""
        expected = batch.last + 1
        if sequence != expected:
            self._send_gap(batch, expected, sequence)
        if sequence == expected or (batch.may_have_gaps and sequence > expected):
            batch.last = sequence
            return True
        self._finish(batch)
        return False

    def _take(self, batch: _FastBatch, place: _Place, message: Any, wall: int) -> None:
        stream, commits = self._stream, place.operation == COMMIT
        if place.sequence == 1 and not commits and stream.intake.acks:
            self._send_flow(batch, 0)
        try:
            if message.values or stream.intake.careful or message.publication.size() > LARGE:
                self._check(message, wall)
                if not self._is_behind(batch, place, message):
                    return
            batch.stored = store_checked(stream, message, wall)
        except ApiError as error:
            if error.err_code == DUPLICATE:
                self._pass_over(batch, place, stream.dedupe.find(message.values[b"Nats-Msg-Id"], wall))
            else:
                self._fail(batch, place, error)
            return
        except OSError as error:
            self._fail(batch, place, ApiError(10077, err=error))
            return
        if commits:
            self._finish(batch)
        else:
            self._tell(batch)

    def _check(self, message: Any, wall: int) -> None:
        """Check a message as if it were a batch of its own, and let it be stored as it is afterwards."""
        staged = Staged(message.subject, message.header, message.publication.payload())
        Staging(self._stream).add(staged, wall)
        message.header = staged.header
        if self._stream.config.allow_msg_counter:
            message.payload = staged.payload

    def _is_behind(self, batch: _FastBatch, place: _Place, message: Any) -> bool:
        """Look at the id of the last message. Where another is expected, this one is refused as one of no batch is, and is missing."""
        try:
            checks.last_id(message.values, self._stream.intake.last_id)
        except ApiError as error:
            self._stream.intake.refuse(message.publication, error)
            if place.operation == COMMIT:
                self._close(batch)
            elif not batch.may_have_gaps:
                batch.last -= 1
            return False
        return True

    def _pass_over(self, batch: _FastBatch, place: _Place, sequence: int) -> None:
        """The stream has the message already, under this sequence."""
        self._tell(batch)
        if place.operation != COMMIT:
            return
        if not batch.may_have_gaps and batch.last == 1:
            self._close(batch)
            tail = b',"duplicate": true,"batch":%b,"count":%d}' % (quote(batch.id).encode(), place.sequence)
            self._send(batch.reply, self._stream.intake.acknowledgement(sequence, tail))
        else:
            self._finish(batch)

    def _fail(self, batch: _FastBatch, place: _Place, error: ApiError) -> None:
        """The message is refused. The batch goes on where it may have gaps, and ends otherwise."""
        if not batch.may_have_gaps and batch.last == 1:
            self._close(batch)
            self._send(batch.reply, self._stream.refusal(error))
            return
        self._send(batch.reply, b'{"type":"err","seq":%d,"error":%b}' % (place.sequence, error.as_json()))
        if not batch.may_have_gaps or place.operation == COMMIT:
            batch.last -= 1
            self._finish(batch)

    def _finish(self, batch: _FastBatch) -> None:
        """End a batch, and acknowledge all of it."""
        self._close(batch)
        tail = b',"batch":%b,"count":%d}' % (quote(batch.id).encode(), batch.last)
        self._send(batch.reply, self._stream.intake.acknowledgement(batch.stored, tail))

    def _tell(self, batch: _FastBatch) -> bool:
        """Acknowledge, where it is time for it."""
        ahead = batch.last - batch.told
        if ahead < batch.flow:
            return False
        batch.told += ahead - ahead % batch.flow
        share = min(max(MOST // len(self._open), 1), batch.most)
        if batch.flow < share:
            batch.flow = min(2 * batch.flow, share)
        elif batch.flow > share:
            batch.flow = max(batch.flow // 2, share)
        self._send_flow(batch, batch.told)
        return True

    def _send_flow(self, batch: _FastBatch, sequence: int) -> None:
        self._send(batch.reply, b'{"type":"ack","seq":%d,"msgs":%d}' % (sequence, batch.flow))

    def _send_gap(self, batch: _FastBatch, expected: int, sequence: int) -> None:
        self._send(batch.reply, b'{"type":"gap","last_seq":%d,"seq":%d}' % (expected, sequence))

    def _send(self, reply: bytes, payload: bytes) -> None:
        self._stream.intake.send(Publication.compose(reply, b"", b"", payload))

    def _close(self, batch: _FastBatch) -> None:
        if self._open.pop(batch.id, None) is not None:
            self._stream.engine.ingests.open -= 1
            batch.silence.stop()


def _read(reply: bytes) -> _Place:
    """Read a reply subject that ends in ``.$FI``.

    Raises:
        ApiError: it says nothing that makes sense (10206), or its id is too long (10207).
    """
    parts = reply[:-4].rsplit(b".", 5)
    if len(parts) < 6:
        raise ApiError(10206)
    _, id, flow, gap, number, what = parts
    sequence, operation = read_number(number), read_number(what)
    is_first = sequence == 1
    if not 0 < sequence < (1 << 64) - 1 or gap not in (b"ok", b"fail") or not START <= operation <= PING:
        raise ApiError(10206)
    if (operation == START and not is_first) or (is_first and operation in (APPEND, END)):
        raise ApiError(10206)
    if len(id) > MAX_ID:
        raise ApiError(10207)
    wanted = read_number(flow)
    return _Place(id, min(wanted, MAX_FLOW) if wanted > 0 else DEFAULT_FLOW, gap == b"ok", sequence, operation)
