"""Consumer: one consumer of a stream, by its name: what it is, and the messages that it delivers."""

from __future__ import annotations

import weakref
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from midge.client.options import check_timeout
from midge.errors import MidgeTimeoutError
from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.consumer_setup import ConsumerKeywords
from midge.jetstream.consuming import ConsumeOptions, Consuming
from midge.jetstream.entity import from_json, json_time, merged, to_json
from midge.jetstream.fetching import MANY, check_bounds, check_heartbeat, fetch
from midge.jetstream.infos import ConsumerInfo
from midge.jetstream.message import StreamMessage
from midge.jetstream.pub_ack import PubAck, read_ack
from midge.jetstream.pull import Pull
from midge.jetstream.push import Push, PushConsuming
from midge.jetstream.requests import Requests, info_of, preferring, whole
from midge.jetstream.setup import configured
from midge.message import HeadersLike

if TYPE_CHECKING:
    import asyncio

__all__ = ["Consumer", "PullOptions"]

BATCH = 100


class PullOptions(TypedDict, total=False):
    """What a request for messages may ask for beside their number (ADR-37, 42).

    Attributes:
        group: the priority group; a consumer with groups needs one.
        min_pending, min_ack_pending: deliver only where so many messages wait, or wait to be acknowledged ("overflow").
        priority: 0 for the first to 9 for the last to be served ("prioritized").
    """

    group: str | None
    min_pending: int | None
    min_ack_pending: int | None
    priority: int | None


class Consumer:
    """One consumer; made by ``Stream.consumer``, ``Stream.create_consumer`` and the like.

    What it was delivered and nobody has taken yet is kept, and the next ``fetch`` or ``next`` gets it first. ``close`` lets go of the
    subscription that this takes; leaving the object to the garbage collector does so, too.

    Attributes:
        name, stream_name: its name, and its stream's.
        last_info: what was last heard of it; ``info`` asks.
    """

    __slots__ = ("__weakref__", "_finalizer", "_pull", "_requests", "last_info", "name", "stream_name")

    def __init__(self, requests: Requests, info: ConsumerInfo) -> None:
        self._requests = requests
        self.stream_name = info.stream_name
        self.name = info.name
        self.last_info = info
        self._pull = Pull(requests.client, self._next_subject)
        self._finalizer: Any = None

    def __repr__(self) -> str:
        return f"<Consumer {self.name!r} of stream {self.stream_name!r}>"

    @property
    def config(self) -> ConsumerConfig:
        """Its configuration, as it was last heard of."""
        return self.last_info.config

    # The consumer

    async def info(self, *, timeout: float | None = None) -> ConsumerInfo:
        """Ask for its configuration and state.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: it is not there.
        """
        answer = await self._requests.ask(f"CONSUMER.INFO.{self.stream_name}.{self.name}", timeout=timeout)
        self.last_info = from_json(ConsumerInfo, info_of(answer))
        return self.last_info

    async def update(
        self, config: ConsumerConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[ConsumerKeywords]
    ) -> ConsumerInfo:
        """Change what is given of its configuration, and leave the rest as it is, with what this version of midge does not know.

        Raises:
            ConsumerNotFoundError: it is not there.
            JetStreamError: the change was refused.
        """
        changes = configured(ConsumerConfig, config, keywords)
        wanted = merged((await self.info(timeout=timeout)).config, changes)
        body = {"stream_name": self.stream_name, "config": to_json(wanted), "action": "update"}
        answer = await self._requests.ask(f"CONSUMER.CREATE.{self.stream_name}.{self.name}", body, timeout=timeout)
        self.last_info = from_json(ConsumerInfo, info_of(answer))
        return self.last_info

    async def delete(self, *, timeout: float | None = None) -> None:
        """Delete it.

        Raises:
            ConsumerNotFoundError: it is not there.
        """
        await self._requests.ask(f"CONSUMER.DELETE.{self.stream_name}.{self.name}", timeout=timeout)

    async def pause(self, until: datetime, *, timeout: float | None = None) -> None:
        """Let it deliver nothing until then."""
        await self._requests.ask(
            f"CONSUMER.PAUSE.{self.stream_name}.{self.name}", {"pause_until": json_time(until)}, timeout=timeout
        )  # fmt: skip

    async def resume(self, *, timeout: float | None = None) -> None:
        """Let it deliver again."""
        await self._requests.ask(f"CONSUMER.PAUSE.{self.stream_name}.{self.name}", {}, timeout=timeout)

    async def unpin(self, group: str, *, timeout: float | None = None) -> None:
        """Let another client of a group be pinned."""
        await self._requests.ask(f"CONSUMER.UNPIN.{self.stream_name}.{self.name}", {"group": group}, timeout=timeout)

    async def reset(self, seq: int | None = None, *, timeout: float | None = None) -> int:
        """Let it begin again, at a sequence of the stream or at its acknowledgement floor; return where it does (ADR-60)."""
        body = None if seq is None else {"seq": seq}
        answer = await self._requests.ask(f"CONSUMER.RESET.{self.stream_name}.{self.name}", body, timeout=timeout)
        return whole(answer, "reset_seq")

    async def step_down(self, preferred: str | None = None, *, timeout: float | None = None) -> None:
        """Let another server of a cluster lead it: this one, or any.

        Raises:
            JetStreamError: there is no cluster, or that server cannot.
        """
        await self._requests.ask(
            f"CONSUMER.LEADER.STEPDOWN.{self.stream_name}.{self.name}", preferring(preferred), timeout=timeout
        )  # fmt: skip

    # Messages

    async def fetch(
        self,
        batch: int | None = None,
        *,
        timeout: float | None = None,
        max_bytes: int | None = None,
        no_wait: bool = False,
        heartbeat: float | None = None,
        **options: Unpack[PullOptions],
    ) -> list[StreamMessage]:
        """Return up to so many messages: as soon as there are as many, or when the time is over; an empty list where none came.

        Args:
            batch: how many; 100 unless ``max_bytes`` is given.
            timeout: seconds; None for what the context says, or 30.
            max_bytes: not more than so many bytes, as the server counts them: of subject, reply subject, headers and payload.
            no_wait: return what there is now.
            heartbeat: seconds within which the server has to let itself be heard; 5 where the time allows it.
            options: see PullOptions.

        Raises:
            ConsumerNotFoundError: it is not there.
            JetStreamUnavailableError: it has no leader, and got none in all the time.
            JetStreamError: the request was refused.
            ConnectionClosedError: the connection is closed. Cancelling loses nothing, either: the next call gets what has come.
        """
        if batch is None:
            batch = BATCH if max_bytes is None else MANY
        check_timeout(timeout)
        if isinstance(batch, bool) or not isinstance(batch, int):
            raise TypeError(f"batch is a number of messages, not {batch!r}")
        check_bounds(batch, max_bytes, "batch")
        if heartbeat is not None:
            check_heartbeat(heartbeat)
        if unknown := sorted(options.keys() - PullOptions.__annotations__.keys()):
            raise TypeError(f"fetch has no option {unknown[0]!r}")
        seconds = (self._requests.timeout or 30.0) if timeout is None else timeout
        more: dict[str, Any] = {**options, "idle_heartbeat": heartbeat}
        return await fetch(self._use(options.get("group")), batch, max_bytes, seconds, no_wait, more, lambda left: self.info(timeout=left))

    async def next(self, timeout: float | None = None, **options: Unpack[PullOptions]) -> StreamMessage:
        """Return the next message.

        Raises:
            MidgeTimeoutError: none came in time.
            ConsumerNotFoundError, JetStreamError, ConnectionClosedError: as ``fetch``.
        """
        found = await self.fetch(1, timeout=timeout, **options)
        if not found:
            raise MidgeTimeoutError(f"a message of {self!r}", self._requests.timeout if timeout is None else timeout)
        return found[0]

    def consume(self, callback: Any = None, **options: Unpack[ConsumeOptions]) -> Consuming:
        """Take messages for as long as wanted, with more always on their way: see Consuming.

        ``async for message in consumer.consume():``, or with a callback, ``async with consumer.consume(handle): ...``. Where the consumer
        is known to be a push consumer (``info`` was asked for), what it delivers is taken; the bounds mean nothing then, but where more
        than 500,000 messages or 64 MiB wait to be taken, it ends with a SlowConsumerError: flow control, or acknowledgements, prevent that.
        """
        client, config = self._requests.client, self.config
        if config.deliver_subject:
            return PushConsuming(self, Push(client, config.deliver_subject, config.deliver_group), callback, options)
        return Consuming(self, self.new_pull(), callback, options)

    @property
    def pending(self) -> int:
        """Messages that came and nobody has taken yet."""
        return len(self._pull.held)

    def close(self) -> None:
        """Let go of the subscription; what was delivered and not taken is delivered again after the consumer's ``ack_wait``."""
        self._pull.close()
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None

    # For Consuming

    def new_pull(self) -> Pull:
        """Return what asks for messages, apart from what ``fetch`` asks for."""
        return Pull(self._requests.client, self._next_subject)

    @property
    def is_closed(self) -> bool:
        """True if the client's connection has ended."""
        return self._requests.client.is_closed

    @property
    def was_closed(self) -> bool:
        """True if the client's connection was closed, and not lost for good."""
        return self._requests.client.is_closed and self._requests.client._connection.session.cause is None

    async def publish(self, subject: str, data: bytes, headers: HeadersLike) -> PubAck:
        """Publish to a stream."""
        message = await self._requests.client.request(subject, data, headers=headers, timeout=self._requests.timeout)
        return read_ack(subject, message)

    # Inside

    @property
    def _next_subject(self) -> str:
        return f"{self._requests.prefix}.CONSUMER.MSG.NEXT.{self.stream_name}.{self.name}"

    def _use(self, group: str | None) -> Pull:
        """Return the pull, which is let go of when this object is."""
        if self._finalizer is None:
            self._finalizer = weakref.finalize(self, _let_go, self._requests.client._connection.loop, self._pull)
            self._finalizer.atexit = False
        self._pull.is_grouped = group is not None
        return self._pull


def _let_go(loop: asyncio.AbstractEventLoop | None, pull: Pull) -> None:
    """Called in whichever thread the garbage collector runs."""
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(pull.close)
