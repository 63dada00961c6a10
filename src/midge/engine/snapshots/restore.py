"""Restore: a stream that comes from somebody as a file, chunk by chunk, each answered when it was taken.

The file is S2's framing with either of nats-server's archives in it. Decoding, reading and storing are done a slice in a turn, and no
faster than the store writes: whoever waits for the answers before sending more is held back by them. Whoever does not is cut off where
more waits than may wait for a client.

The stream is a draft until the sender has said that this was all, and all was there: then it appears. Whatever comes in between (an
error, a sender that is gone, the end of the server) leaves nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from midge.engine.advisories import restore_complete, restore_create, stream_action
from midge.engine.errors import ApiError
from midge.engine.jobs import Job
from midge.engine.metadata import decorated
from midge.engine.requests import escaped
from midge.engine.snapshots.draft import Draft
from midge.engine.snapshots.loading import ArchiveLoading, Loading, is_archive
from midge.engine.snapshots.tar_loading import TarLoading
from midge.engine.stream_info import describe
from midge.model.base import encode
from midge.model.responses import ErrorResponse, StreamCreateResponse, type_of
from midge.model.stream import StreamConfig
from midge.wire.publication import Publication
from midge.wire.s2 import S2Reader

if TYPE_CHECKING:
    from midge.engine.account import Account
    from midge.engine.stream import Stream
    from midge.engine.timers import Timer
    from midge.store.base import Store

__all__ = ["Restore"]

PATIENCE: Final = 5_000_000_000  # nanoseconds without anything from the sender
WINDOW: Final = 8 << 20  # bytes that may wait to be written
_MAGIC_SIZE: Final = 8


class Restore:
    """One stream on its way in.

    Args:
        account: whose it will be.
        config: checked already.
        client: who asked, for advisories.

    Attributes:
        subject: where the chunks go.
    """

    __slots__ = (
        "_account", "_chunks", "_client", "_config", "_draft", "_end_reply", "_engine", "_has_ended", "_is_opening", "_is_paused",
        "_is_working", "_loading", "_reader", "_size", "_start", "_start_bytes", "_timer", "_token", "_total", "subject",
    )  # fmt: skip

    def __init__(self, account: Account, config: StreamConfig, client: dict[str, object] | None) -> None:
        engine = account.engine
        self._account = account
        self._engine = engine
        self._config = config
        self._client = client
        self._chunks: deque[tuple[bytes, bytes]] = deque()  # reply and payload
        self._size = self._total = 0  # bytes of those, and of all that came
        self._reader = S2Reader()
        self._draft: Draft | None = None
        self._loading: Loading | None = None
        self._start_bytes = b""
        self._has_ended = self._is_working = self._is_paused = self._is_opening = False
        self._end_reply = b""
        self._start = engine.wall
        self._timer: Timer | None = None
        self.subject = b"$JS.SNAPSHOT.RESTORE.%b.%b" % (config.name.encode("utf-8", "surrogateescape"), engine.nuid().encode())
        self._token: object = None

    def begin(self) -> None:
        """Listen for chunks. Next: tell the sender where."""
        self._account.transfers[self] = None
        self._account.restores[self._config.name] = self._config
        restore_create(self._engine, self._account.name, self._config.name, self._client)
        self._token = self._engine.outside.subscribe(self._account.name, self.subject, self._receive)
        self._wait(self._engine.wall)

    def close(self) -> None:
        """Leave nothing of it, and tell nobody."""
        if self._token is None:
            return
        self._engine.outside.unsubscribe(self._token)
        self._token = None
        self._engine.timers.cancel(self._timer)
        self._account.transfers.pop(self, None)
        if not self._is_opening:  # or the name is used until it is open
            self._account.restores.pop(self._config.name, None)
        self._chunks.clear()
        if self._draft is not None:
            self._draft.discard()

    # When something happens

    def _receive(self, publication: Publication, wall: int) -> bool:
        if self._has_ended:
            return True
        reply, payload = publication.reply(), publication.payload()
        if not reply:
            self._fail(ValueError(f"{self._what()} requires reply subject for each chunk"), b"")
            return True
        if payload:
            self._chunks.append((reply, payload))
            self._size += len(payload)
            if self._size > self._engine.max_pending:
                self._fail(ValueError(f"{self._what()} was sent more than was asked for"), reply)
                return True
        else:
            self._has_ended, self._end_reply = True, reply
        self._wait(wall)
        self._wake()
        return True

    def _wait(self, wall: int) -> None:
        """Wait for the sender, as long as it may take."""
        timers = self._engine.timers
        timers.cancel(self._timer)
        self._timer = timers.add(wall + PATIENCE, self._stalled)

    def _stalled(self, wall: int) -> None:
        if self._chunks or self._has_ended:  # it waits for us
            self._wait(wall)
            return
        self.close()
        self._engine.outside.failed(f"restoring stream {self._config.name}", TimeoutError(f"{self._what()} is stalled"))

    def _what(self) -> str:
        return f"restore for stream '{self._account.name} > {self._config.name}'"

    # Taking

    def _wake(self) -> None:
        if self._is_working or self._is_paused or self._token is None:
            return
        if self._draft is None:
            self._is_paused = self._is_opening = True
            self._engine.open_draft(self._account, self._config, self._opened)
            return
        self._is_working = True
        self._engine.jobs.add(self._draft.stream.store, self._work())

    def _opened(self, store: Store | Exception) -> None:
        """There is a place for it, or it may be the disk, or what was left there: the sender is told."""
        self._is_paused = self._is_opening = False
        if self._token is None:  # it was given up meanwhile
            self._account.restores.pop(self._config.name, None)
            if not isinstance(store, Exception):
                store.delete(lambda: None)
        elif isinstance(store, Exception):
            self._fail(store, self._chunks[0][0] if self._chunks else self._end_reply)
        else:
            self._draft = Draft(self._account, self._config, self._engine.wall, store)
            self._wake()

    def _work(self) -> Job:
        """Take what has come, as long as there is something and the store keeps up."""
        try:
            while self._token is not None and not self._is_paused and self._advance():
                yield None
        except Exception as error:  # the safety net: whatever was wrong with what came, or with the disk, the sender is told
            self._fail(error, self._chunks[0][0] if self._chunks else self._end_reply)
        self._is_working = False

    def _advance(self) -> bool:
        """Take a slice. False where there is nothing to do."""
        draft = self._draft
        assert draft is not None
        if self._loading is not None and self._loading.step():
            draft.count()
            if draft.unwritten >= WINDOW:
                self._pause(draft)
            return True
        piece = self._reader.step()
        if piece is None:
            return self._next_chunk(draft)
        if piece and self._loading is None:
            piece = self._recognised(draft, piece)
        if piece and self._loading is not None:
            self._loading.feed(piece)
        return True

    def _next_chunk(self, draft: Draft) -> bool:
        """Answer the chunk that was taken, and go on with the next one."""
        if self._chunks and self._chunks[0][1] == b"":
            reply, _ = self._chunks.popleft()
            self._send(reply, b"")
        if self._chunks:
            reply, payload = self._chunks[0]
            self._chunks[0] = reply, b""
            self._size -= len(payload)
            self._total += len(payload)
            self._reader.feed(payload)
            return True
        if self._has_ended:
            if not self._reader.is_between:
                raise ValueError("s2: corrupt input")
            if self._loading is None:
                raise ValueError("unexpected EOF" if self._start_bytes else "EOF")
            self._loading.finish()
            draft.count()
            self._is_paused = True
            draft.settle(self._settled)
        return False

    def _recognised(self, draft: Draft, piece: bytes) -> bytes:
        """Find out which format it is; return what is to be loaded, nothing where that cannot be said yet."""
        self._start_bytes += piece
        if len(self._start_bytes) < _MAGIC_SIZE:
            return b""
        start, self._start_bytes = self._start_bytes, b""
        self._loading = ArchiveLoading(draft, self._engine.max_payload) if is_archive(start) else TarLoading(draft)
        return start

    def _pause(self, draft: Draft) -> None:
        """Let the store write first what it was given."""
        self._is_paused = True

        def go_on(error: Exception | None) -> None:
            if self._token is None:
                return
            self._is_paused = False
            if error is not None:
                self._fail(error, self._chunks[0][0] if self._chunks else self._end_reply)
            else:
                self._wake()

        draft.settle(go_on)

    # The end

    def _settled(self, error: Exception | None) -> None:
        """All is there, and safe unless there was an error."""
        draft = self._draft
        if self._token is None or draft is None:
            return
        if error is not None:
            self._fail(error, self._end_reply)
        else:
            draft.commit(self._committed)

    def _committed(self, error: Exception | None) -> None:
        """It is a stream, or could not be made one."""
        draft = self._draft
        assert draft is not None
        if error is not None:
            self._fail(error, self._end_reply)
        else:
            self._respond(draft.stream)
            self.close()

    def _respond(self, stream: Stream) -> None:
        engine = self._engine
        stream_action(stream, "create")
        restore_complete(engine, self._account.name, stream.name, self._start, self._total, self._client)
        response = describe(StreamCreateResponse, stream, engine.wall)
        response.domain = ""  # as there
        response.config = decorated(stream.config, engine.version)
        self._send(self._end_reply, escaped(encode(response)))

    def _fail(self, error: Exception, reply: bytes) -> None:
        """Leave nothing of it, and say why."""
        if self._token is None:
            return
        engine = self._engine
        self.close()
        restore_complete(engine, self._account.name, self._config.name, self._start, self._total, self._client)
        refusal = error if isinstance(error, ApiError) else ApiError(10062, err=error)
        if reply:
            self._send(reply, escaped(encode(ErrorResponse(type=type_of(StreamCreateResponse), error=refusal.body()))))
        engine.outside.failed(f"restoring stream {self._config.name}", error)

    def _send(self, reply: bytes, payload: bytes) -> None:
        self._engine.outside.answer(self._account.name, [Publication.compose(reply, b"", b"", payload)])
