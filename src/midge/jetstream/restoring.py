"""A stream on its way into a server, from the chunks of a snapshot, a few of them ahead of the answers.

A restore that is left half-way holds the stream's name: on midge for the seconds that the server waits for more, and nats-server (2.15)
even keeps a stream with what has come. So one that is cut off here is taken back, and one that begins waits until another is forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any

from midge.client.subscription import Subscription
from midge.errors import JetStreamError, MidgeError, MidgeTimeoutError
from midge.jetstream.errors import MalformedAnswerError, SnapshotError, StreamNotFoundError
from midge.jetstream.names import check_name
from midge.jetstream.requests import Requests, answer_of
from midge.jetstream.snapshot import CHUNK_SIZE
from midge.message import Message

__all__ = ["Restoring", "restore"]

_AHEAD = 8  # chunks sent, and not answered
_PATIENCE = 60.0  # seconds without a sign of the server
_LAST_PATIENCE = 3600.0  # for the last answer: the server may read everything again
_NAME_IN_USE = 10130
_FORGETS_WITHIN = 10.0  # seconds: servers forget a restore that nobody goes on with after five
_PAUSE = 0.1  # seconds until a name that is in use is tried again
_SURELY_OURS = 4.0  # seconds after an answer for which the server has not forgotten the restore
_TAKES_BACK_WITHIN = 2.0  # seconds: somebody waits for the end


async def restore(
    requests: Requests, chunks: AsyncIterable[bytes], config: dict[str, Any], state: dict[str, Any], *, timeout: float | None = None
) -> dict[str, Any]:
    """Restore a stream from the chunks of a snapshot; return the server's answer, which describes it.

    Raises: as ``JetStream.restore_stream``.
    """
    restoring = Restoring(requests, config, state, timeout=timeout)
    try:
        await restoring.begin()
        async for chunk in chunks:
            await restoring.send(chunk)
        return await restoring.finish()
    finally:
        await restoring.end()


class Restoring:
    """A stream on its way into a server. Where it is left half-way, nothing of it stays there."""

    def __init__(self, requests: Requests, config: dict[str, Any], state: dict[str, Any], *, timeout: float | None = None) -> None:
        self._requests = requests
        self._timeout = timeout
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
        self._inbox = self._requests.client.new_inbox()
        self._sub = await self._requests.client.subscribe(self._inbox)

    async def send(self, chunk: bytes) -> None:
        """Send a chunk, and wait until the server has taken most of those before it.

        Raises:
            TypeError: it is not bytes.
            SnapshotError, JetStreamError: the server has given up.
            MidgeTimeoutError: it takes nothing.
        """
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"a chunk of a snapshot is bytes, not {chunk!r:.80}")
        for start in range(0, len(chunk), CHUNK_SIZE):
            while self._sent - self._answered >= _AHEAD:
                await self._hear(_PATIENCE)
            await self._publish(chunk[start : start + CHUNK_SIZE])

    async def finish(self) -> dict[str, Any]:
        """Say that this was all; return the server's answer, which describes the stream.

        Raises:
            JetStreamError: it was refused.
            MidgeTimeoutError: no answer came.
        """
        self._is_open = False
        await self._publish(b"")
        while self._answered < self._sent:
            message = await self._hear(_LAST_PATIENCE)
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
                return await self._requests.ask(f"STREAM.RESTORE.{self._name}", self._body, timeout=self._timeout)
            except JetStreamError as error:
                if error.err_code != _NAME_IN_USE or time.monotonic() >= end or await self._is_there():
                    raise
            await asyncio.sleep(_PAUSE)

    async def _is_there(self) -> bool:
        try:
            await self._requests.ask(f"STREAM.INFO.{self._name}")
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
            await self._requests.client.publish(self._subject, b"-")
        await self._requests.client.flush()
        if is_half:
            await self._requests.ask(f"STREAM.DELETE.{self._name}")

    async def _publish(self, chunk: bytes) -> None:
        self._sent += 1
        await self._requests.client.publish(self._subject, chunk, reply=self._inbox)

    async def _hear(self, patience: float) -> Message:
        assert self._sub is not None
        try:
            message: Message = await self._sub.next(timeout=patience)
        except MidgeTimeoutError:
            raise MidgeTimeoutError(f"the restore of stream {self._name!r}", patience) from None
        if message.status is not None:
            self._is_open = False
            raise SnapshotError(self._name, f"the server does not restore it any more: {message.headers.description or message.status}")
        self._answered += 1
        self._heard = time.monotonic()
        if message.data:
            self._is_open = False
            answer_of(message)
        return message
