"""Streams as files, out of a server and into one: what ``backup``, ``restore`` and ``copy`` have in common.

A server sends a snapshot in chunks, no further ahead of the answers than a window, and gives up where none comes for two seconds. So
chunks are answered when they come for as long as there is room here for them, and not when they are used. A restore is sent chunk by
chunk, a few of them ahead of the answers; the last answer comes when the stream is there. Neither is held in memory as a whole.

A restore that is left half-way holds the stream's name: on midge for the seconds that the server waits for more, and nats-server (2.15)
even keeps a stream with what has come. So one that is cut off here is taken back, and one that begins waits until another is forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from midge.cli.answers import stream_answer
from midge.cli.jetstream import Api
from midge.client.subscription import Subscription
from midge.errors import JetStreamError, MidgeError, MidgeTimeoutError
from midge.jetstream.errors import MalformedAnswerError, StreamNotFoundError
from midge.jetstream.names import check_name
from midge.jetstream.requests import answer_of
from midge.message import Message

__all__ = ["CHUNK_SIZE", "Restoring", "Snapshot", "is_archive"]

CHUNK_SIZE = 128 << 10
_ROOM = 256  # chunks that may wait here
_WINDOW = 4 << 20  # bytes that the server may be ahead of the answers
_MOST = 16 * _WINDOW  # bytes that may wait here, whatever the server does
_AHEAD = 8  # chunks sent, and not answered
_END = 204
_PATIENCE = 60.0  # seconds without a sign of the server
_RESTORE_PATIENCE = 3600.0  # for the last answer: the server may read everything again
_NAME_IN_USE = 10130
_FORGETS_WITHIN = 10.0  # seconds: servers forget a restore that nobody goes on with after five
_PAUSE = 0.1  # seconds until a name that is in use is tried again
_SURELY_OURS = 4.0  # seconds after an answer for which the server has not forgotten the restore
_TAKES_BACK_WITHIN = 2.0  # seconds: somebody waits for the command to end
_MAGIC = b"NATSARC1"


def is_archive(first: bytes) -> bool:
    """True if a snapshot begins as those of nats-server 2.15, and not as a tar: the files of the two have different names."""
    return _MAGIC in first[:64]


class Snapshot:
    """A stream on its way out of a server: begin it, then iterate over its chunks.

    Attributes:
        config, state: of the stream when it was taken, as the server's JSON.
    """

    def __init__(self, api: Api, stream: str, *, consumers: bool, check: bool = False) -> None:
        self._api = api
        self._stream = check_name(stream)
        self._asked: dict[str, Any] = {"no_consumers": not consumers, "jsck": check, "chunk_size": CHUNK_SIZE, "window_size": _WINDOW}
        self._sub: Subscription | None = None
        self._ended: asyncio.Future[None] | None = None
        self._held: deque[Message] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._unanswered: list[str] = []
        self.config: dict[str, Any] = {}
        self.state: dict[str, Any] = {}

    async def begin(self) -> None:
        """Ask for it.

        Raises:
            JetStreamError: it was refused.
        """
        inbox = self._api.client.new_inbox()
        self._sub = await self._api.client.subscribe(inbox, callback=self._take)
        self._ended = asyncio.ensure_future(self._sub.wait_closed())
        self._ended.add_done_callback(lambda _: self._news.set())
        answer = await self._api.ask(f"STREAM.SNAPSHOT.{self._stream}", self._asked | {"deliver_subject": inbox})
        stream_answer(answer)
        self.config, self.state = answer["config"], answer["state"]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over what the server sends.

        Raises:
            MidgeError: it was cut off.
        """
        while True:
            while not self._held or self._held_bytes > _MOST:
                self._check_end()
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), _PATIENCE)
                except TimeoutError:
                    raise MidgeTimeoutError(f"the snapshot of stream {self._stream!r}", _PATIENCE) from None
            message = self._held.popleft()
            self._held_bytes -= len(message.data)
            if self._unanswered and len(self._held) < _ROOM // 2:
                self._answer(self._unanswered)
                self._unanswered.clear()
            if not message.data:
                if message.headers.status not in (None, _END):
                    raise MidgeError(f"the snapshot was cut off: {message.headers.status} {message.headers.description}")
                return
            yield bytes(message.data)

    async def end(self) -> None:
        """Take nothing more."""
        if self._sub is not None:
            await self._sub.unsubscribe()
        if self._ended is not None:
            await asyncio.gather(self._ended, return_exceptions=True)

    def _check_end(self) -> None:
        """Raise if nothing more will come."""
        if self._held_bytes > _MOST:
            raise MidgeError(f"the server sends more than it was asked for of stream {self._stream!r}")
        if self._ended is not None and self._ended.done():
            self._ended.result()
            raise MidgeError("the snapshot was cut off")

    def _take(self, message: Message) -> None:
        if self._held_bytes > _MOST:
            return  # and so it will be said
        self._held.append(message)
        self._held_bytes += len(message.data)
        self._news.set()
        if message.data and message.reply:
            if len(self._held) < _ROOM:
                self._answer([message.reply])
            else:
                self._unanswered.append(message.reply)

    def _answer(self, subjects: list[str]) -> None:
        for subject in subjects:
            self._api.client.publish(subject)


class Restoring:
    """A stream on its way into a server. Where it is left half-way, nothing of it stays there."""

    def __init__(self, api: Api, config: dict[str, Any], state: dict[str, Any]) -> None:
        self._api = api
        self._body = {"config": config, "state": state}
        self._name = check_name(config.get("name"))
        self._subject = ""
        self._inbox = ""
        self._sub: Subscription | None = None
        self._sent = self._answered = 0
        self._heard = 0.0  # when the last answer came
        self._is_open = False  # the server waits for more

    async def begin(self) -> None:
        """Ask whether it may come.

        Raises:
            MalformedAnswerError: the answer makes no sense.
            JetStreamError: it was refused, such as for a stream that is there already.
        """
        accepting = asyncio.ensure_future(self._accepted())
        try:
            self._open(await asyncio.shield(accepting))
        except asyncio.CancelledError:  # the server may have begun: it can be taken back only by who knows its answer
            with suppress(MidgeError, TimeoutError):
                self._open(await asyncio.wait_for(accepting, _TAKES_BACK_WITHIN))
            raise
        self._inbox = self._api.client.new_inbox()
        self._sub = await self._api.client.subscribe(self._inbox)

    async def send(self, chunk: bytes) -> None:
        """Send a chunk, and wait until the server has taken most of those before it.

        Raises:
            JetStreamError: it was refused.
        """
        for start in range(0, len(chunk), CHUNK_SIZE):
            while self._sent - self._answered >= _AHEAD:
                await self._hear(_PATIENCE)
            await self._publish(chunk[start : start + CHUNK_SIZE])

    async def finish(self) -> dict[str, Any]:
        """Say that this was all; return the server's answer, which describes the stream.

        Raises:
            JetStreamError: it was refused.
        """
        self._is_open = False
        await self._publish(b"")
        while self._answered < self._sent:
            message = await self._hear(_RESTORE_PATIENCE)
        return answer_of(message)

    async def end(self) -> None:
        """Hear nothing more; take back what was cut off."""
        try:
            if self._is_open:
                self._is_open = False
                with suppress(MidgeError, TimeoutError):  # it was on the way out already, and the server forgets it by itself
                    async with asyncio.timeout(_TAKES_BACK_WITHIN):
                        await self._take_back()
        finally:
            if self._sub is not None:
                await self._sub.unsubscribe()

    def _open(self, answer: dict[str, Any]) -> None:
        if not isinstance(answer.get("deliver_subject"), str):
            raise MalformedAnswerError(f"the server does not say where to send stream {self._name!r}")
        self._subject = answer["deliver_subject"]
        self._is_open = True

    async def _accepted(self) -> dict[str, Any]:
        """Ask for it; while the name is held by what was cut off, and there is no such stream, ask again."""
        end = time.monotonic() + _FORGETS_WITHIN
        while True:
            try:
                return await self._api.ask(f"STREAM.RESTORE.{self._name}", self._body)
            except JetStreamError as error:
                if error.err_code != _NAME_IN_USE or time.monotonic() >= end or await self._is_there():
                    raise
            await asyncio.sleep(_PAUSE)

    async def _is_there(self) -> bool:
        try:
            await self._api.stream_info(self._name)
        except (StreamNotFoundError, MidgeTimeoutError):  # in a cluster nobody may answer for it
            return False
        return True

    async def _take_back(self) -> None:
        """Have the server give up, which it does where a chunk says nowhere to answer to; remove what it keeps of the stream.

        A stream is removed only if it was there while the restore held its name, so that it can be no other.
        """
        try:
            while self._answered < self._sent:
                await self._hear(_TAKES_BACK_WITHIN / 2)
            is_half = time.monotonic() - self._heard < _SURELY_OURS and await self._is_there()
        finally:
            await self._api.client.publish(self._subject, b"-")
        await self._api.client.flush()
        if is_half:
            await self._api.ask(f"STREAM.DELETE.{self._name}")

    async def _publish(self, chunk: bytes) -> None:
        self._sent += 1
        await self._api.client.publish(self._subject, chunk, reply=self._inbox)

    async def _hear(self, patience: float) -> Message:
        assert self._sub is not None
        message: Message = await self._sub.next(timeout=patience)
        if message.status is not None:
            self._is_open = False
            raise MidgeError(f"the server does not restore stream {self._name!r} any more: {message.headers.description or message.status}")
        self._answered += 1
        self._heard = time.monotonic()
        if message.data:
            self._is_open = False
            answer_of(message)
        return message
