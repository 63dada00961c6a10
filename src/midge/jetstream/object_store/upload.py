"""Upload: the chunks of one object on their way into a store, many at a time, in order."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import deque
from typing import TYPE_CHECKING

from midge.errors import MidgeError
from midge.jetstream.async_publisher import PendingAck
from midge.jetstream.object_store.errors import ObjectDamagedError
from midge.jetstream.object_store.source import Source, chunks
from midge.jetstream.stream import Stream

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["Upload", "digest_text"]

ON_THE_WAY = 4 << 20  # bytes that may wait for their acknowledgements
ON_THE_WAY_CHUNKS = 1_000  # where they are small


class Upload:
    """One object's chunks.

    Args:
        js: who publishes.
        stream: the store's.
        subject: of the chunks.
        chunk_size: bytes in each.
        timeout: seconds that an acknowledgement may take.

    Attributes:
        size, count: bytes and chunks by now.
        digest: of all bytes, when it is over.
    """

    def __init__(self, js: JetStream, stream: Stream, subject: str, chunk_size: int, timeout: float | None) -> None:
        max_pending = min(max(ON_THE_WAY // chunk_size, 2), ON_THE_WAY_CHUNKS)
        self._publisher = js.new_publisher(max_pending, timeout)
        self._stream = stream
        self._subject = subject
        self._chunk_size = chunk_size
        self._timeout = timeout
        self._hash = hashlib.sha256()
        self._acks: deque[PendingAck] = deque()
        self._last = 0  # sequence of the last chunk
        self.size = self.count = 0

    @property
    def digest(self) -> str:
        """The digest of what was sent, as an ObjectInfo has it."""
        return digest_text(self._hash.digest())

    async def send(self, source: Source) -> None:
        """Store all that a source gives.

        Raises:
            TypeError, OSError: as ``chunks``.
            JetStreamError: a chunk was refused; the store is full, for example.
            DisconnectedError, MidgeTimeoutError, NoStreamError, ConnectionClosedError: nobody knows what was stored.
        """
        blocks = chunks(source, self._chunk_size)
        try:
            async for chunk in blocks:
                self._hash.update(chunk)
                self.size += len(chunk)
                self.count += 1  # before it is sent, as that may be cancelled when it is
                self._acks.append(await self._publisher.publish(self._subject, chunk, None))
                while self._acks[0].is_done:
                    self._note(self._acks.popleft())
                    if not self._acks:
                        break
        finally:
            await blocks.aclose()  # type: ignore[attr-defined]
        for ack in self._acks:
            await ack
            self._note(ack)

    async def undo(self, error: BaseException) -> None:
        """Remove what was stored; where that fails, the error is given a note."""
        if not self.count:
            return
        try:
            await self._publisher.done(self._timeout)
            await self._stream.purge(self._subject, timeout=self._timeout)
        except MidgeError as reason:
            error.add_note(f"chunks on {self._subject} of stream {self._stream.name} may be left: {reason}")

    def _note(self, ack: PendingAck) -> None:
        """A chunk is stored: behind the one before it, unless it had to be sent again."""
        seq = ack.result().seq
        if seq <= self._last:
            raise ObjectDamagedError(self._stream.name.removeprefix("OBJ_"), "", "chunks were not stored in their order; put it again")
        self._last = seq


def digest_text(digest: bytes) -> str:
    """Return a SHA-256 digest as an ObjectInfo has it."""
    return f"SHA-256={urlsafe_b64encode(digest).decode()}"
