"""AtomicBatch: messages of which a stream stores all or none (ADR-50); the stream needs ``allow_atomic``.

    async with js.atomic_batch() as batch:         committed when the block succeeds, given up where it raises
        await batch.add("orders.1", b"...")
        await batch.add("orders.2", b"...")
    batch.ack.seq

The last message is kept back until more come or the batch is committed, because it is the one that commits.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Unpack

from midge.client.encoder import Payload
from midge.errors import NoRespondersError
from midge.jetstream.errors import NoStreamError
from midge.jetstream.pub_ack import PubAck, read_ack
from midge.jetstream.publish_options import PublishOptions, headers_with
from midge.jetstream.requests import answer_of
from midge.message import Headers, HeadersLike

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = ["AtomicBatch"]

FLOW = 100  # every so many messages the server is waited for


class _Member(NamedTuple):
    """One message of a batch."""

    subject: str
    data: Payload
    headers: Headers


class AtomicBatch:
    """One batch; made by ``JetStream.atomic_batch``. A stream takes 1,000 messages in one.

    Attributes:
        id: the batch's, unique.
        count: how many messages it has.
        ack: what the stream says of the whole, None before it was committed.
    """

    __slots__ = ("_client", "_ended", "_held", "_timeout", "ack", "count", "id")

    def __init__(self, client: Client, id: str, timeout: float | None) -> None:
        self._client = client
        self._timeout = timeout
        self._held: _Member | None = None
        self._ended = False
        self.id = id
        self.count = 0
        self.ack: PubAck | None = None

    async def __aenter__(self) -> AtomicBatch:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.discard()
        elif not self._ended and self.count:
            await self.commit()

    async def add(
        self, subject: str, data: Payload = b"", *, headers: HeadersLike | None = None, **options: Unpack[PublishOptions]
    ) -> None:  # fmt: skip
        """Add a message. ``expected_last_seq`` is for the first one only.

        Raises:
            JetStreamError: the stream refused one of those before, so it has given up the batch.
            ValueError: the batch is committed or given up.
        """
        self._check()
        if not isinstance(data, (bytes, str)):
            data = bytes(data)  # it is sent later, and may be changed meanwhile
        member = _Member(subject, data, headers_with(headers, options) or Headers())
        held, self._held = self._held, member
        self.count += 1
        if held is not None:
            await self._send(held, self.count - 1)

    async def commit(self, *, timeout: float | None = None) -> PubAck:
        """Store all of them, and return what the stream says of it: ``seq`` is the last one's.

        Raises:
            JetStreamError: the stream has stored none of them, as something that was expected is not so, for example.
            MidgeTimeoutError: no answer came: all are stored, or none is.
            ValueError: there is no message, or the batch is committed or given up.
        """
        self._check()
        if self._held is None:
            raise ValueError("a batch without messages cannot be committed")
        self._ended = True
        member, self._held = self._held, None
        headers = self._numbered(member, self.count)
        headers["Nats-Batch-Commit"] = "1"
        try:
            message = await self._client.request(member.subject, member.data, headers=headers, timeout=timeout or self._timeout)
        except NoRespondersError:
            raise NoStreamError(member.subject) from None
        self.ack = read_ack(member.subject, message)
        return self.ack

    def discard(self) -> None:
        """Give it up: the stream stores nothing, and forgets what it was sent within seconds."""
        self._ended = True
        self._held = None

    # Inside

    def _check(self) -> None:
        if self._ended:
            raise ValueError("the batch has ended")

    def _numbered(self, member: _Member, number: int) -> Headers:
        headers = member.headers
        headers["Nats-Batch-Id"] = self.id
        headers["Nats-Batch-Sequence"] = str(number)
        return headers

    async def _send(self, member: _Member, number: int) -> None:
        """Send one that is not the last; the first one and some others are answered."""
        headers = self._numbered(member, number)
        if number != 1 and number % FLOW:
            await self._client.publish(member.subject, member.data, headers=headers)
            return
        try:
            message = await self._client.request(member.subject, member.data, headers=headers, timeout=self._timeout)
        except BaseException as error:
            self.discard()
            if isinstance(error, NoRespondersError):
                raise NoStreamError(member.subject) from None
            raise
        if message.data:
            self.discard()
            answer_of(message)
