"""A stream on its way out of a server: its snapshot, which holds messages and consumers as the server wrote them.

A server sends it in chunks, no further ahead of the answers than a window, and gives up where none comes for two seconds. So chunks are
answered when they come for as long as there is room here for them; then one is, whenever one is used. It is never in memory as a whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self

from midge.client.subscription import Subscription
from midge.errors import MidgeTimeoutError
from midge.jetstream.configs import StreamConfig
from midge.jetstream.entity import from_json
from midge.jetstream.errors import MalformedAnswerError, SnapshotError
from midge.jetstream.infos import StreamInfo, StreamState
from midge.jetstream.names import check_name
from midge.jetstream.requests import Requests
from midge.message import Message

__all__ = ["CHUNK_SIZE", "Snapshot"]

CHUNK_SIZE = 128 << 10
_ROOM = 256  # chunks that may wait here
_WINDOW = 4 << 20  # bytes that the server may be ahead of the answers
_MOST = 16 * _WINDOW  # bytes that may wait here, whatever the server does
_OVERHEAD = 1_024  # bytes that a message takes here beside its payload
_END = 204
_PATIENCE = 60.0  # seconds without a sign of the server


class Snapshot:
    """A stream on its way out of a server, made by ``Stream.snapshot``: enter it, then iterate over its chunks, once.

    Attributes:
        config, state: of the stream when it was taken. The configuration may be changed before it is restored elsewhere.
        answer: both as the server's JSON.
    """

    def __init__(self, requests: Requests, stream: str, *, consumers: bool, check: bool = False, timeout: float | None = None) -> None:
        self._requests = requests
        self._stream = check_name(stream)
        self._asked: dict[str, Any] = {"no_consumers": not consumers, "jsck": check, "chunk_size": CHUNK_SIZE, "window_size": _WINDOW}
        self._timeout = timeout
        self._sub: Subscription | None = None
        self._closed: asyncio.Future[None] | None = None
        self._held: deque[Message] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._unanswered: deque[str] = deque()
        self._is_whole = False
        self.config = StreamConfig()
        self.state = StreamState()
        self.answer: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Ask for it.

        Raises:
            StreamNotFoundError: there is no such stream.
            JetStreamError: it was refused, such as where too many are under way, or where a check finds damage.
            MalformedAnswerError: the answer makes no sense.
            MidgeTimeoutError: none came in time.
        """
        if self._sub is not None:
            raise RuntimeError("a snapshot is taken once: ask for another one")
        try:
            await self._begin()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take nothing more: a server that is not at the end gives up."""
        await self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk.

        Raises:
            SnapshotError: it was cut off, or the server sends more than it was asked for.
            ConnectionClosedError: the connection is closed, or was lost.
            MidgeTimeoutError: nothing came for a minute.
        """
        if self._is_whole:
            raise StopAsyncIteration
        message = await self._next()
        if message.data:
            return bytes(message.data)
        status = message.headers.status
        if status not in (None, _END):
            raise SnapshotError(self._stream, f"the snapshot was cut off: {status} {message.headers.description}")
        self._is_whole = True
        raise StopAsyncIteration

    async def _begin(self) -> None:
        client = self._requests.client
        inbox = client.new_inbox()
        self._sub = await client.subscribe(inbox, callback=self._take)
        self._closed = asyncio.ensure_future(self._sub.wait_closed())
        self._closed.add_done_callback(lambda _: self._news.set())
        answer = await self._requests.ask(
            f"STREAM.SNAPSHOT.{self._stream}", self._asked | {"deliver_subject": inbox}, timeout=self._timeout
        )
        info = from_json(StreamInfo, answer)
        if info.config.name != self._stream:
            raise MalformedAnswerError(f"asked for a snapshot of stream {self._stream!r}, the server tells of {info.config.name!r:.80}")
        self.config, self.state = info.config, info.state
        self.answer = {"config": answer["config"], "state": answer.get("state") or {}}

    async def _end(self) -> None:
        if self._sub is not None:
            await self._sub.unsubscribe()
        if self._closed is not None:
            await asyncio.gather(self._closed, return_exceptions=True)
        self._held.clear()
        self._unanswered.clear()

    async def _next(self) -> Message:
        """Return the next message; let the server go on where there is room again."""
        while not self._held or self._held_bytes > _MOST:
            self._check_end()
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), _PATIENCE)
            except TimeoutError:
                raise MidgeTimeoutError(f"the snapshot of stream {self._stream!r}", _PATIENCE) from None
        message = self._held.popleft()
        self._held_bytes -= len(message.data) + _OVERHEAD
        if self._unanswered:  # one for one, so that a server hears something as long as chunks are used
            self._requests.client.publish(self._unanswered.popleft())
        return message

    def _check_end(self) -> None:
        """Raise if nothing more will come."""
        if self._closed is None:
            raise RuntimeError("a snapshot is iterated over inside its block: async with stream.snapshot() as snapshot")
        if self._held_bytes > _MOST:
            raise SnapshotError(self._stream, "the server sends more than it was asked for")
        if self._closed.done():
            self._closed.result()
            raise SnapshotError(self._stream, "the snapshot was cut off")

    def _take(self, message: Message) -> None:
        if self._held_bytes > _MOST:
            return  # and so it will be said
        self._held.append(message)
        self._held_bytes += len(message.data) + _OVERHEAD
        self._news.set()
        if message.data and message.reply:
            if len(self._held) < _ROOM:
                self._requests.client.publish(message.reply)
            else:
                self._unanswered.append(message.reply)
