"""FastIngest: many messages into one stream as fast as it stores them (ADR-50); the stream needs ``allow_batched``.

    async with js.fast_ingest() as ingest:         ended when the block succeeds, left where it raises
        for line in lines:
            await ingest.add("lines", line)
    ingest.ack.count

Messages are stored as they come, not as a whole. The server says now and then how far it is, and so paces the sender; where a message
went missing on the way, the batch ends, or ``gaps`` says which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from midge.client.encoder import Payload
from midge.errors import JetStreamError, MidgeError, MidgeTimeoutError
from midge.jetstream.errors import MalformedAnswerError, NoStreamError, error_of
from midge.jetstream.heard import HeardSubscription
from midge.jetstream.pub_ack import PubAck, is_unheard, read_ack
from midge.message import HeadersLike, Message

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = ["FastIngest"]

START, APPEND, COMMIT_EMPTY = 0, 1, 3


class FastIngest:
    """One batch; made by ``JetStream.fast_ingest``.

    Args:
        flow: after how many messages the server says how far it is; it may choose to do so more often.
        max_outstanding: how many such answers may be missing while more is sent.
        gap: what comes of a message that went missing: "fail" ends the batch, "ok" goes on and is noted in ``gaps``.
        timeout: seconds that the server may say nothing while it is waited for; None for as long as it takes.

    Attributes:
        sent: how many messages were sent.
        acknowledged: up to which of them the stream has what came, as far as it was heard of.
        gaps: (first, last) of messages that went missing.
        ack: what the stream says at the end, None before.
    """

    __slots__ = (
        "_client", "_error", "_every", "_flow", "_gap", "_has_ended", "_inbox", "_is_heard", "_max_outstanding", "_subject",
        "_subscription", "_timeout", "_waiters", "ack", "acknowledged", "gaps", "sent",
    )  # fmt: skip

    def __init__(
        self, client: Client, *, flow: int, max_outstanding: int, gap: Literal["ok", "fail"], timeout: float | None
    ) -> None:  # fmt: skip
        if not 1 <= flow <= 65_535:
            raise ValueError(f"flow={flow}: expected 1 to 65535")
        if max_outstanding < 1:
            raise ValueError(f"max_outstanding={max_outstanding}: expected 1 or more")
        if gap not in ("ok", "fail"):
            raise ValueError(f"gap={gap!r}: expected 'ok' or 'fail'")
        self._client = client
        self._flow = self._every = flow
        self._max_outstanding = max_outstanding
        self._gap = gap
        self._timeout = timeout
        self._inbox = client.new_inbox()  # its last token is the batch's id
        self._subject = ""
        self._subscription: Any = None
        self._waiters: list[asyncio.Future[None]] = []  # many may add at the same time
        self._error: Exception | None = None
        self._has_ended = self._is_heard = False
        self.sent = self.acknowledged = 0
        self.gaps: list[tuple[int, int]] = []
        self.ack: PubAck | None = None

    async def __aenter__(self) -> FastIngest:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None or not self.sent:
            self.leave()
        elif not self._has_ended:
            await self.commit()

    async def add(self, subject: str, data: Payload = b"", *, headers: HeadersLike | None = None) -> int:
        """Send a message, and return its number in the batch, from 1, once the stream is not too far behind.

        Raises:
            JetStreamError: the stream refused one of those before, or a message went missing.
            NoStreamError: no stream takes the subject.
            MidgeTimeoutError: the stream says nothing any more.
            ValueError: the batch has ended.
        """
        self._check()
        if self._subscription is None:
            self._client._connection.home.check()
            self._subscription = HeardSubscription(self._client, f"{self._inbox}.>", self)
        self._subject = subject
        await self._send(subject, data, headers, APPEND if self.sent else START)
        if self.sent == 1:
            await self._wait_until(lambda: self._is_heard, self._timeout)
        elif self.acknowledged + self._every * self._max_outstanding <= self.sent:
            await self._wait_until(lambda: self.acknowledged + self._every * self._max_outstanding > self.sent, self._timeout)
        return self.sent

    async def commit(self, *, timeout: float | None = None) -> PubAck:
        """End the batch, and return what the stream says of it: it has ``count`` messages, the last one with ``seq``.

        Raises:
            JetStreamError: the stream refused one of them, or one went missing.
            MidgeTimeoutError: no answer came in time.
            ValueError: there is no message, or the batch has ended.
        """
        self._check()
        if not self.sent:
            raise ValueError("a batch without messages cannot be committed")
        self._has_ended = True
        try:
            await self._send(self._subject, b"", None, COMMIT_EMPTY)
            await self._wait_until(lambda: self.ack is not None, self._timeout if timeout is None else timeout)
        finally:
            self._unsubscribe()
        assert self.ack is not None
        return self.ack

    def leave(self) -> None:
        """End it without a word: what was sent is stored, and the stream forgets the batch within seconds."""
        self._has_ended = True
        self._unsubscribe()

    # Inside

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._has_ended:
            raise ValueError("the batch has ended")

    async def _send(self, subject: str, data: Payload, headers: HeadersLike | None, operation: int) -> None:
        number = self.sent + 1
        reply = f"{self._inbox}.{self._flow}.{self._gap}.{number}.{operation}.$FI"
        answer = self._client.publish(subject, data, reply=reply, headers=headers)
        if operation != COMMIT_EMPTY:
            self.sent = number
        await answer

    async def _wait_until(self, is_so: Callable[[], bool], timeout: float | None) -> None:
        """Return when something is so that the server says.

        Raises:
            MidgeTimeoutError: it said nothing for so many seconds.
        """
        while not is_so():
            if self._error is not None:
                raise self._error
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(timeout):
                    await waiter
            except TimeoutError:
                raise MidgeTimeoutError(f"the stream of {self._subject!r} in a fast batch", timeout) from None
            finally:
                self._waiters.remove(waiter)
        if self._error is not None:
            raise self._error

    # For its subscription

    def receive(self, message: Message) -> None:
        """The server says something."""
        try:
            self._take(message)
        except MidgeError as error:
            self._error = self._error or error  # what comes of the first one says less
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            self._error = self._error or MalformedAnswerError(f"what answers on {self._subject!r} makes no sense: {error!r}", message.data)
        self._is_heard = True
        self._wake()

    def end(self, error: Callable[[], MidgeError]) -> None:
        """The subscription has ended: with the connection, unless that was wanted."""
        if not self._has_ended or self._waiters:
            self._error = self._error or error()
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _take(self, message: Message) -> None:
        """Note what it says. Raises what the sender is to be told."""
        if is_unheard(message):
            raise NoStreamError(self._subject)
        said = msgspec.json.decode(message.data)
        kind = said.get("type") if isinstance(said, dict) else None
        if kind == "ack":
            self.acknowledged = max(self.acknowledged, int(said["seq"]))
            self._every = max(int(said["msgs"]), 1)
        elif kind == "gap":
            first, last = int(said["last_seq"]), int(said["seq"]) - 1  # the one that was expected, and before the one that came
            self.gaps.append((first, last))
            if self._gap == "fail":
                raise JetStreamError(400, 0, f"messages {first} to {last} of the batch went missing on the way: it has ended before them")
        elif kind == "err":
            raise error_of(said["error"])
        else:
            self.ack = read_ack(self._subject, message)
            self._has_ended = True

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._subscription.unsubscribe()
            self._subscription = None
