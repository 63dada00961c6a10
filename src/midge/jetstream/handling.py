"""Handling: what becomes of messages that a callback takes: workers, acknowledgements, deliveries to come, dead letters."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from midge.client.callbacks import is_cancelled
from midge.client.consumers import Consumer
from midge.errors import DisconnectedError, JetStreamError, MidgeError, MidgeTimeoutError
from midge.jetstream.message import StreamMessage
from midge.message import Headers

if TYPE_CHECKING:
    from midge.jetstream.consuming import ConsumeOptions, Consuming

__all__ = ["Handling"]

log = logging.getLogger("midge.jetstream")

MSG_ID = "Nats-Msg-Id"
_UNFIT = re.compile("[\r\n\0\ud800-\udc7f\udd00-\udfff]")  # in the value of a header
BACKOFF = (1.0, 5.0, 30.0, 120.0)  # seconds after which a message is delivered again that could not be handled


class Handling:
    """The workers of one Consuming.

    Attributes:
        errors: how many messages the callback has raised for.
    """

    def __init__(self, consuming: Consuming, callback: Any, options: ConsumeOptions) -> None:
        if not callable(callback):
            raise TypeError(f"a callback is a function, not {type(callback).__name__}")
        self._consuming = consuming
        self._callback = callback
        self._max_concurrency = options.get("max_concurrency", 1)
        if self._max_concurrency < 1:
            raise ValueError(f"max_concurrency={self._max_concurrency}: expected 1 or more")
        self._auto_ack = options.get("auto_ack", True)
        self._auto_progress = options.get("auto_progress", False)
        self._backoff: Sequence[float] = options.get("backoff", BACKOFF)
        self._dead_letter = options.get("dead_letter")
        self._dead_letter_after = options.get("dead_letter_after", 0)
        self._workers: list[asyncio.Task[None]] = []
        self._asking: set[asyncio.Task[Any]] = set()  # workers whose callbacks wait for the others
        self._changed: list[asyncio.Future[None]] = []  # of those who wait: somebody else began to
        self._in_hand: set[StreamMessage] = set()
        self._progress: asyncio.TimerHandle | None = None
        self._error: MidgeError | None = None
        self._is_stopped = False
        self._knowing = asyncio.Lock()
        self.errors = 0

    def start(self) -> None:
        """Begin."""
        if not self._workers:
            for _ in range(self._max_concurrency):
                seat = self._consuming.seat()
                if seat is None:
                    return
                seat.task = asyncio.get_running_loop().create_task(self._work(seat))
                self._workers.append(seat.task)

    async def stop(self) -> None:
        """Cancel what runs, but for who calls this."""
        self._is_stopped = True
        current = asyncio.current_task()
        others = [worker for worker in self._workers if worker is not current]
        for worker in others:
            worker.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._end_progress()

    async def drain(self) -> None:
        """Return when all is worked on; a callback that calls this waits for none that does so, too."""
        current = asyncio.current_task()
        assert current is not None
        is_worker = current in self._workers
        if is_worker:
            self._asking.add(current)
            for changed in self._changed:
                if not changed.done():
                    changed.set_result(None)
        try:
            while busy := self._busy(is_worker):
                changed = asyncio.get_running_loop().create_future()
                self._changed.append(changed)
                try:
                    await asyncio.wait([*busy, changed], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    self._changed.remove(changed)
        finally:
            self._asking.discard(current)

    async def wait(self) -> None:
        """Return when nothing more will be worked on. Raises what has ended it."""
        await self.drain()
        if self._error is not None:
            raise self._error

    @property
    def is_busy(self) -> bool:
        """True while a worker has not ended."""
        return bool(self._busy(False))

    # Inside

    def _busy(self, is_worker: bool) -> list[asyncio.Task[None]]:
        """Return the workers that a worker, or anybody else, has to wait for."""
        return [worker for worker in self._workers if not worker.done() and not (is_worker and worker in self._asking)]

    async def _work(self, seat: Consumer) -> None:
        """Handle one message after the other. Once the connection is closed, nothing could be said of those that are left."""
        try:
            await self._know()
            while (message := await self._consuming.take()) is not None and not self._consuming.consumer.is_closed:
                seat.taken += 1
                await self._handle(message)
        except MidgeError as error:
            if self._error is None:
                self._error = error
                consumer = self._consuming.consumer
                log.error("consuming %s of stream %s has ended: %s", consumer.name, consumer.stream_name, error)
        except asyncio.CancelledError:
            self._note_cancelled()
            raise
        finally:
            seat.finish()

    def _note_cancelled(self) -> None:
        """This worker was cancelled. Where that was not ours to say, and there is no other, nothing is asked for any more."""
        current = asyncio.current_task()
        if not self._is_stopped and all(worker is current or worker.done() for worker in self._workers):
            consumer = self._consuming.consumer
            log.warning("consuming %s of stream %s has ended: its task was cancelled", consumer.name, consumer.stream_name)
            self._consuming.leave()

    async def _know(self) -> None:
        """See to it that it is known how the consumer is configured: when to say that a message is being worked on, and which is the last.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: it is not there.
        """
        consumer = self._consuming.consumer
        async with self._knowing:
            if consumer.last_info.created is not None:
                return
            try:
                await consumer.info()
            except (JetStreamError, MidgeTimeoutError, DisconnectedError) as error:
                if isinstance(error, LookupError):
                    raise
                log.warning("consumer %s of stream %s does not say how it is configured: %s", consumer.name, consumer.stream_name, error)

    async def _handle(self, message: StreamMessage) -> None:
        self._begin_progress(message)
        try:
            result = self._callback(message)
            if inspect.isawaitable(result):
                await result
            if self._auto_ack and not message.is_acknowledged and self._wants_ack():
                await message.ack()
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            await self._fail(message, error)  # what the callback waited for was cancelled, and not the callback
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # whatever it is, the messages behind it are to be worked on
            await self._fail(message, error)
        finally:
            self._in_hand.discard(message)

    async def _fail(self, message: StreamMessage, error: BaseException) -> None:
        """The callback has raised: let the message come again, or give it up."""
        self.errors += 1
        self._consuming.last_error = error
        log.error("handling a message on %s", message.subject, exc_info=error)
        if message.is_acknowledged or not self._wants_ack():
            return
        try:
            delivered = message.metadata.delivered
            if self._dead_letter is not None and self._is_last(delivered):
                await self._bury(message, error)
            else:
                await message.nak(self._backoff[min(delivered, len(self._backoff)) - 1] if self._backoff else None)
        except Exception as failure:  # it is delivered again when its time is over
            log.error("a message on %s could not be refused: %r", message.subject, failure)

    def _wants_ack(self) -> bool:
        return self._consuming.consumer.config.ack_policy not in ("none", "flow_control")

    def _is_last(self, delivered: int) -> bool:
        limit = self._dead_letter_after or self._consuming.consumer.config.max_deliver or 0
        return 0 < limit <= delivered

    async def _bury(self, message: StreamMessage, error: BaseException) -> None:
        """Publish it as a dead letter and, when that is stored, let it not be delivered again."""
        assert self._dead_letter is not None
        metadata = message.metadata
        own = [pair for pair in message.headers.multi_items() if pair[0] == MSG_ID or not pair[0].startswith("Nats-")]
        headers = Headers.of_wire(own)  # what a stream is asked for is not asked of this one
        headers["Midge-Dead-Letter-Subject"] = _fit(message.subject)
        headers["Midge-Dead-Letter-Stream"] = _fit(metadata.stream)
        headers["Midge-Dead-Letter-Consumer"] = _fit(metadata.consumer)
        headers["Midge-Dead-Letter-Sequence"] = str(metadata.stream_seq)
        headers["Midge-Dead-Letter-Deliveries"] = str(metadata.delivered)
        headers["Midge-Dead-Letter-Error"] = _fit(" ".join(_text(error).split())[:500])
        await self._consuming.consumer.publish(self._dead_letter, message.data, headers)
        await message.term("dead letter")

    def _begin_progress(self, message: StreamMessage) -> None:
        if not self._auto_progress:
            return
        self._in_hand.add(message)
        if self._progress is None:
            period = (self._consuming.consumer.config.ack_wait or 30.0) / 3
            self._progress = asyncio.get_running_loop().call_later(period, self._tell, period)

    def _tell(self, period: float) -> None:
        """Say of all messages in hand that they are being worked on."""
        self._progress = None
        for message in self._in_hand:
            if not message.is_acknowledged:
                try:
                    message.in_progress()
                except MidgeError as error:
                    log.warning("a message on %s could not be kept: %s", message.subject, error)
        if self._in_hand:
            self._progress = asyncio.get_running_loop().call_later(period, self._tell, period)

    def _end_progress(self) -> None:
        self._in_hand.clear()
        if self._progress is not None:
            self._progress.cancel()
            self._progress = None


def _text(error: BaseException) -> str:
    """Return what an exception says; its kind alone where it does not."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception as failure:
        log.debug("%s says nothing of itself: %r", name, failure)
        return name


def _fit(text: str) -> str:
    """Return a text as it can be the value of a header."""
    return _UNFIT.sub("?", text)
