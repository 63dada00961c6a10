"""Snapshot: a stream that is sent to somebody as a file, chunk by chunk, no further ahead than the receiver has acknowledged.

What is sent is NATSARC1 in S2's framing, made as it leaves: messages are read in runs, a slice in a turn, and no more of it is in
memory than one piece and one chunk. The stream lives on meanwhile; messages that come later are not part of it, and messages that are
removed before they are read are gaps.

Nothing is sent before somebody subscribes to exactly the subject, for two seconds: a client may make its subscription after it has asked,
and have another one meanwhile that matches all its inboxes, where chunks would get lost.

The end is an empty message: 204 where all is well, 408 where the receiver has gone or does not answer, 500 where something cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from midge.engine.advisories import snapshot_complete, snapshot_create
from midge.engine.jobs import Job, run_of
from midge.engine.snapshots.archive import CONSUMER, END, MAGIC, STATE, entry
from midge.engine.snapshots.consumers import consumers_of, kept_of
from midge.engine.stream_info import state_of
from midge.model.base import encode
from midge.model.requests import StreamSnapshotRequest
from midge.model.stream import StreamState
from midge.store.base import ELSEWHERE, Stored
from midge.wire.crc32c import Crc32c
from midge.wire.publication import Publication
from midge.wire.s2 import BEGIN, PIECE, frame

if TYPE_CHECKING:
    from midge.engine.outside import Eye
    from midge.engine.stream import Stream

__all__ = ["Snapshot"]

CHUNK, LEAST_CHUNK, LARGEST_CHUNK = 128 << 10, 1 << 10, 1 << 20  # bytes, as nats-server's
WINDOW, LEAST_WINDOW, LARGEST_WINDOW = 8 << 20, 1 << 10, 32 << 20
SLICE = 64  # messages of one slice; or a piece of bytes
TICK: Final = 100_000_000  # nanoseconds between two looks at who is there
INTEREST: Final = 2_000_000_000  # how long a receiver may take to subscribe
PATIENCE: Final = 5_000_000_000  # and to acknowledge something
_OK, _GONE, _SILENT = b"204", b"408 No Interest", b"408 No Flow Response"


class Snapshot:
    """One stream on its way to one receiver.

    Args:
        stream: everything in it is committed.
        wanted: checked already.
        client: who asked, for advisories.

    Attributes:
        state: what the snapshot holds.
    """

    __slots__ = (
        "_ack", "_chunk", "_client", "_crc", "_entries", "_eye", "_is_whole", "_is_working", "_index", "_last", "_next", "_out", "_piece",
        "_since", "_slots", "_start", "_subject", "_timer", "_token", "_was_seen", "_window", "state", "stream",
    )  # fmt: skip

    def __init__(self, stream: Stream, wanted: StreamSnapshotRequest, client: dict[str, object] | None) -> None:
        self.stream = stream
        self.state: StreamState = state_of(stream)
        self._client = client
        self._subject = wanted.deliver_subject.encode("utf-8", "surrogateescape")
        self._chunk = min(max(wanted.chunk_size or CHUNK, LEAST_CHUNK), LARGEST_CHUNK)
        window = min(max(wanted.window_size or WINDOW, LEAST_WINDOW), LARGEST_WINDOW)
        self._window = self._slots = max(window, self._chunk) // self._chunk
        self._next, self._last = max(stream.store.first, 1), stream.store.last
        self._entries = self._first_entries(wanted)
        self._crc = Crc32c()
        self._piece = bytearray(MAGIC)
        self._out = bytearray(BEGIN)
        self._index = 0
        self._is_working = self._is_whole = self._was_seen = False
        engine = stream.engine
        self._start = self._since = engine.wall
        self._ack = b"$JS.SNAPSHOT.ACK.%b.%b" % (stream.raw_name, engine.nuid().encode())
        self._token: object = None
        self._eye: Eye | None = None
        self._timer = engine.timers.add(engine.wall, self._look)

    def begin(self) -> None:
        """Send it, from the next turn on."""
        stream = self.stream
        stream.account.transfers[self] = None
        snapshot_create(stream, self.state, self._client)
        outside, account = stream.engine.outside, stream.account.name
        self._token = outside.subscribe(account, self._ack + b".>", self._acknowledged)
        self._eye = outside.watch(account, self._subject, None, lambda _: outside.call_soon(self._look_now))

    def close(self) -> None:
        """Nothing more is sent, and nobody is told."""
        engine = self.stream.engine
        self._is_working = True  # for ever
        engine.timers.cancel(self._timer)
        if self._token is not None:
            engine.outside.unsubscribe(self._token)
            self._token = None
        if self._eye is not None:
            engine.outside.unwatch(self._eye)
            self._eye = None
        self.stream.account.transfers.pop(self, None)

    # When something happens

    def _acknowledged(self, publication: Publication, _: int) -> bool:
        self._slots = min(self._slots + 1, self._window)
        self._wake()
        return True

    def _look(self, wall: int) -> None:
        """See whether the receiver is there, and does something."""
        engine = self.stream.engine
        is_seen = self._eye is not None and self._eye.interested
        has_begun = self._index > 0 or self._is_working
        self._timer = engine.timers.add(wall + TICK, self._look)
        if not has_begun:
            if is_seen or wall - self._start >= INTEREST:
                self._since = wall
                self._was_seen = is_seen
                self._wake()
        elif self.stream.intake.closed:
            self._end(b"500 store is closed", "store is closed")
        elif self._was_seen and not is_seen or not engine.outside.has_interest(self.stream.account.name, self._subject):
            self._end(_GONE, "no interest")
        elif self._slots <= 0 and wall - self._since >= PATIENCE:
            self._end(_SILENT, "no flow response")
        else:
            self._wake()  # where too much waited to be sent

    def _look_now(self) -> None:
        """Look when somebody came or went."""
        if self._token is not None:
            self.stream.engine.timers.cancel(self._timer)
            self._look(self.stream.engine.wall)

    def _wake(self) -> None:
        if not self._is_working and self._token is not None and self._slots > 0:
            self._is_working = True
            self.stream.engine.jobs.add(self.stream.store, self._work())

    # Sending

    def _work(self) -> Job:
        """Make and send chunks as long as the receiver wants some."""
        try:
            while self._token is not None and not self.stream.intake.closed:
                if self._sends():
                    yield None
                    continue
                if self._token is None or self._slots <= 0 or len(self._out) >= self._chunk or self._is_whole:
                    break
                yield from self._read()
                yield None
        except Exception as error:  # whatever reading found: the receiver must know, and others have their turn yet
            self._end(b"500 %b" % str(error).encode("utf-8", "replace").replace(b"\r", b" ").replace(b"\n", b" "), str(error))
        if self._token is not None:
            self._is_working = False

    def _sends(self) -> bool:
        """Send a chunk, or the end. False where there is none, or it has to wait."""
        size = min(len(self._out), self._chunk)
        if self._slots <= 0 or (size < self._chunk and not self._is_whole):
            return False
        stream, engine = self.stream, self.stream.engine
        is_last = size < self._chunk
        reply = b"" if is_last else b"%b.%d.%d" % (self._ack, size, self._index + 1)
        if size and not engine.outside.emit(stream.account.name, self._subject, reply, b"", bytes(self._out[:size])):
            return False
        del self._out[:size]
        self._index += 1
        self._slots -= 1
        self._since = engine.wall
        if is_last:
            self._end(_OK, "")
        return True

    def _end(self, status: bytes, error: str) -> None:
        """Tell the receiver, and those who want to know, that it is over."""
        stream, engine = self.stream, self.stream.engine
        if self._token is None:
            return
        self.close()
        engine.outside.answer(stream.account.name, [Publication.compose(self._subject, b"", b"NATS/1.0 %b\r\n\r\n" % status, b"")])
        snapshot_complete(stream, self._start, error, self._client)
        if error:
            engine.outside.failed(f"sending a snapshot of stream {stream.name}", RuntimeError(error))

    # Reading

    def _first_entries(self, wanted: StreamSnapshotRequest) -> Iterator[bytes]:
        """Return what comes before the messages."""
        now, consumers = self.stream.engine.wall, [] if wanted.no_consumers else consumers_of(self.stream)
        yield entry(STATE, now, 0, b"", encode(msgspec.structs.replace(self.state, consumer_count=len(consumers))))
        for each in consumers:
            yield entry(CONSUMER + each.raw_name, now, 0, b"", encode(kept_of(each, self._last)))

    def _read(self) -> Job:
        """Add some entries to what is sent; after the last one, the end."""
        first = next(self._entries, None)
        if first is not None:
            self._add(first)
            return
        store = self.stream.store
        for _ in range(SLICE):
            sequence = store.next((), self._next)
            if not sequence or sequence > self._last:
                self._add(entry(*END))
                self._cut(self._piece)
                self._piece.clear()
                self._is_whole = True
                return
            message = store.peek(sequence)
            if message is ELSEWHERE:
                wanted = run_of(store, (), sequence, self._last)
                for sequence, found in zip(wanted, (yield wanted)):
                    self._put(sequence, found)
                return
            self._put(sequence, message)
            if len(self._out) >= PIECE:
                return

    def _put(self, sequence: int, message: Stored | None) -> None:
        """Add a message; one that was removed meanwhile is none any more."""
        if message is not None:
            self._add(entry(message.subject, message.time, message.sequence, message.header, message.payload))
        elif self.stream.store.size_of(sequence):
            raise ValueError(f"couldn't load message {sequence}: it is damaged")
        self._next = sequence + 1

    def _add(self, data: bytes) -> None:
        self._piece += data
        while len(self._piece) >= PIECE:
            self._cut(self._piece[:PIECE])
            del self._piece[:PIECE]

    def _cut(self, piece: bytearray) -> None:
        self._out += frame(self._crc, bytes(piece))
