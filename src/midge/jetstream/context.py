"""JetStream: publish to streams, manage them, and get at what they hold. Made by ``Client.jetstream``; costs nothing to make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Literal, Unpack

from midge.client.encoder import Payload
from midge.errors import MidgeTimeoutError, NoRespondersError
from midge.jetstream.async_publisher import AsyncPublisher, PendingAck
from midge.jetstream.atomic_batch import AtomicBatch
from midge.jetstream.configs import StreamConfig
from midge.jetstream.counter import Counter
from midge.jetstream.entity import from_json, to_json
from midge.jetstream.errors import NoStreamError, StreamNotFoundError
from midge.jetstream.fast_ingest import FastIngest
from midge.jetstream.infos import AccountInfo, StreamInfo, StreamState
from midge.jetstream.key_value.manager import KeyValueManager
from midge.jetstream.names import check_name
from midge.jetstream.object_store.manager import ObjectStoreManager
from midge.jetstream.partitioned.manager import GroupManager
from midge.jetstream.pub_ack import PubAck, read_ack
from midge.jetstream.publish_options import PublishOptions, headers_with
from midge.jetstream.recent_writes import RecentWrites
from midge.jetstream.requests import Requests, api_prefix, info_of
from midge.jetstream.restoring import restore
from midge.jetstream.retrying import LOOK_EVERY, LOOK_SECONDS, Patience, has_stream, no_leader
from midge.jetstream.setup import StreamKeywords, beside, differences, stream_config, stream_request
from midge.jetstream.snapshot import Snapshot
from midge.jetstream.stream import Stream
from midge.message import HeadersLike

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = ["DEFAULT_MAX_PENDING", "DEFAULT_RETRY_TIME", "DEFAULT_RETRY_WAIT", "DEFAULT_TIMEOUT", "JetStream"]

DEFAULT_TIMEOUT = 5.0
DEFAULT_MAX_PENDING = 4_000
DEFAULT_RETRY_TIME = 15.0  # a server that was killed is missed for 4 to 9 s before another one is elected
DEFAULT_RETRY_WAIT = 0.25


class JetStream(KeyValueManager, ObjectStoreManager, GroupManager):
    """The streams of one account, in one domain; made by ``Client.jetstream``.

    Attributes:
        client: who speaks.
        prefix: what the subjects of its requests begin with.
        timeout: seconds that an answer may take, where a call says nothing.
        recent_writes: what buckets were given by this context; for them.
    """

    __slots__ = ("_patience", "_publisher", "_requests", "client", "prefix", "recent_writes", "timeout")

    def __init__(
        self,
        client: Client,
        *,
        domain: str | None = None,
        prefix: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_pending: int = DEFAULT_MAX_PENDING,
        retry_time: float = DEFAULT_RETRY_TIME,
        retry_wait: float = DEFAULT_RETRY_WAIT,
    ) -> None:
        if isinstance(max_pending, bool) or not isinstance(max_pending, int):
            raise TypeError(f"max_pending is a number of publishes, not {max_pending!r}")
        if max_pending < 1:
            raise ValueError(f"max_pending={max_pending}: expected 1 or more")
        self.client = client
        self.prefix = api_prefix(domain, prefix)
        self.timeout = timeout
        self.recent_writes = RecentWrites()
        self._requests = Requests(client, self.prefix, timeout)
        self._patience = Patience(retry_time, retry_wait)
        self._publisher = self.new_publisher(max_pending, timeout)

    def __repr__(self) -> str:
        return f"<JetStream {self.prefix} of {self.client!r}>"

    # Publishing

    async def publish(
        self,
        subject: str,
        data: Payload = b"",
        *,
        headers: HeadersLike | None = None,
        timeout: float | None = None,
        **options: Unpack[PublishOptions],
    ) -> PubAck:
        """Publish a message, and return when the stream has it: in what way safe, its server decides.

        Where nobody takes it, the stream's leader may be elected just then: it is tried again, as long as there is time (of ``timeout``,
        and of the context's ``retry_time``), unless somebody says after half a second that no stream takes the subject.

        Args:
            subject: one of a stream's.
            data: the payload.
            headers: they stay as they are, whatever the options ask for.
            timeout: seconds in all; None for what the context says.
            options: see PublishOptions.

        Raises:
            JetStreamError: the stream refused it; WrongLastError where something else was expected to be the last.
            NoStreamError: no stream takes the subject.
            JetStreamUnavailableError: its stream had no leader in all that time; it was not stored.
            MidgeTimeoutError: no answer came in time: nobody knows whether it was stored. With a ``msg_id`` it may be published again.
            DisconnectedError: the link was lost meanwhile, where the client has ``fail_requests``; else it is waited for in vain.
        """
        asked = headers_with(headers, options)
        timeout = self.timeout if timeout is None else timeout
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        tries = 0
        while True:
            left = None if deadline is None else deadline - loop.time()
            try:
                message = await self.client.request(subject, data, timeout=left, headers=asked)
            except NoRespondersError:
                tries += 1
                left = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - loop.time())
                if tries % LOOK_EVERY == 0 and left > 0 and await has_stream(self._requests, subject, left) is False:
                    raise NoStreamError(subject) from None
                is_late = deadline is not None and loop.time() + self._patience.wait >= deadline
                if is_late or tries > self._patience.attempts:
                    raise (NoStreamError(subject) if tries < LOOK_EVERY else no_leader(subject)) from None
                await asyncio.sleep(self._patience.wait)
            except MidgeTimeoutError as error:
                unmet = error.unmet if error.unmet != "nothing came" else "no acknowledgement came"
                raise MidgeTimeoutError(f"publish on {subject!r}", timeout, unmet) from error.__cause__
            else:
                return read_ack(subject, message)

    def publish_async(
        self, subject: str, data: Payload = b"", *, headers: HeadersLike | None = None, **options: Unpack[PublishOptions]
    ) -> Coroutine[Any, Any, PendingAck]:
        """Publish a message without waiting for the acknowledgement: ``ack = await (await js.publish_async(...))``, now or later.

        Awaiting the call holds back who publishes more than the window has room for (``max_pending``) or the server takes. An
        acknowledgement that nobody awaits is still counted: see ``publish_async_done``. Where nobody takes the message, it is tried again
        as by ``publish``, for ``retry_time``; it stays in the window meanwhile.

        Raises:
            TooManyPendingError: the window was full for as long as ``timeout``; nothing was sent.
            LocalProtocolError and others: what ``Client.publish`` raises.
        """
        return self._publisher.publish(subject, data, headers_with(headers, options) if options or headers is not None else None)

    @property
    def publish_async_pending(self) -> int:
        """How many acknowledgements are on their way."""
        return self._publisher.pending

    async def publish_async_done(self, timeout: float | None = None) -> None:
        """Return when no acknowledgement is on its way, whether they were good or not.

        Raises:
            MidgeTimeoutError: some still are, after so many seconds; None waits for as long as it takes.
        """
        await self._publisher.done(timeout)

    def new_publisher(self, max_pending: int, timeout: float | None) -> AsyncPublisher:
        """Return a window of its own, for what has more to publish than one message; for object stores."""
        return AsyncPublisher(self.client._connection, max_pending, timeout, self._requests, self._patience)

    def atomic_batch(self, *, timeout: float | None = None) -> AtomicBatch:
        """Begin a batch of messages of which a stream stores all or none: ``async with js.atomic_batch() as batch``."""
        return AtomicBatch(self.client, self._nuid(), self.timeout if timeout is None else timeout)

    def fast_ingest(
        self, *, flow: int = 100, max_outstanding: int = 2, gap: Literal["ok", "fail"] = "fail", timeout: float | None = None
    ) -> FastIngest:  # fmt: skip
        """Begin a batch of messages that is acknowledged now and then: ``async with js.fast_ingest() as ingest``; see FastIngest."""
        seconds = self.timeout if timeout is None else timeout
        return FastIngest(self.client, flow=flow, max_outstanding=max_outstanding, gap=gap, timeout=seconds)

    def counter(self, stream: str) -> Counter:
        """Return the numbers of a stream that counts, without asking whether it does."""
        return Counter(self, self.stream(stream))

    def _nuid(self) -> str:
        return self.client.new_inbox().rpartition(".")[2]

    # Streams

    async def create_stream(
        self,
        config: StreamConfig | None = None,
        /,
        *,
        pedantic: bool = False,
        timeout: float | None = None,
        **keywords: Unpack[StreamKeywords],
    ) -> Stream:
        """Create a stream, from a StreamConfig or from its fields as keywords. Where there is the same already, that is it.

        Args:
            pedantic: the server refuses what it would otherwise set right.

        Raises:
            StreamNameInUseError: there is one of this name with another configuration.
            JetStreamError: it was refused for another reason.
        """
        wanted = stream_config(config, keywords)
        body = stream_request(wanted) | ({"pedantic": True} if pedantic else {})
        answer = await self._requests.ask(f"STREAM.CREATE.{check_name(wanted.name)}", body, timeout=timeout)
        return Stream(self._requests, from_json(StreamInfo, info_of(answer)))

    async def update_stream(
        self, config: StreamConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[StreamKeywords]
    ) -> Stream:
        """Let a stream go on with another configuration: all of it, what is left out goes back to its default. See ``Stream.update``.

        Raises:
            StreamNotFoundError: there is none of this name.
            JetStreamError: it was refused.
        """
        wanted = stream_config(config, keywords)
        answer = await self._requests.ask(f"STREAM.UPDATE.{check_name(wanted.name)}", stream_request(wanted), timeout=timeout)
        return Stream(self._requests, from_json(StreamInfo, info_of(answer)))

    async def create_or_update_stream(
        self, config: StreamConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[StreamKeywords]
    ) -> Stream:
        """Update a stream, or create it where there is none. Raises what ``create_stream`` and ``update_stream`` raise."""
        wanted = stream_config(config, keywords)
        try:
            return await self.update_stream(wanted, timeout=timeout)
        except StreamNotFoundError:
            return await self.create_stream(wanted, timeout=timeout)

    async def ensure_stream(
        self, config: StreamConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[StreamKeywords]
    ) -> Stream:
        """Return the stream of this name with everything that is set here: it is created, updated where something differs, or left.

        What is not set here is not looked at, so a program and an administrator may each care for their own part of it.

        Raises:
            JetStreamError: it was refused, such as a change that cannot be made.
        """
        wanted = stream_config(config, keywords)
        stream = self.stream(check_name(wanted.name))
        try:
            info = await stream.info(timeout=timeout)
        except StreamNotFoundError:
            return await self.create_stream(wanted, timeout=timeout)
        if differences(info.config, wanted):
            await stream.update(beside(info.config, wanted), timeout=timeout)
        return stream

    def stream(self, name: str) -> Stream:
        """Return the stream of this name, without asking whether there is one."""
        return Stream(self._requests, StreamInfo(config=StreamConfig(name=check_name(name)), state=StreamState()))

    async def delete_stream(self, name: str, *, timeout: float | None = None) -> None:
        """Delete a stream and everything in it.

        Raises:
            StreamNotFoundError: there is none of this name.
        """
        await self._requests.ask(f"STREAM.DELETE.{check_name(name)}", timeout=timeout)

    async def restore_stream(
        self,
        chunks: AsyncIterable[bytes],
        config: StreamConfig | None = None,
        state: StreamState | None = None,
        *,
        timeout: float | None = None,
    ) -> Stream:
        """Make a stream from a snapshot: what it held, with sequences, times and consumers. It is there as a whole or not at all.
        (In a cluster, its consumers are there a moment later, and deliver again what was not acknowledged.)

        Cancelled, or where the chunks end in an error, what has come is taken back, in two seconds at most. Where the name is held by a
        restore that was cut off elsewhere, it is waited for until the server forgets that, ten seconds at most.

        Args:
            chunks: a Snapshot, inside its block, or what it gave; they are read as the server takes them.
            config: the stream's; it keeps the name. None for the Snapshot's.
            state: as it was when the snapshot was taken. None for the Snapshot's.
            timeout: seconds until the server takes the first chunk; None for what the context says.

        Raises:
            JetStreamError: it was refused: there is a stream of this name (10130), the chunks are no snapshot, ...
            SnapshotError: the snapshot was cut off on its way out, or the server gives up.
            MidgeTimeoutError: the server took no chunk for a minute, or said nothing at the end for an hour.
            TypeError: there is neither a Snapshot nor a configuration and a state; a chunk is not bytes.
        """
        if isinstance(chunks, Snapshot):
            config, state = config or chunks.config, state or chunks.state
        if not isinstance(chunks, AsyncIterable):
            raise TypeError(f"chunks come from an asynchronous iterator, not {chunks!r:.80}")
        if config is None or state is None:
            raise TypeError("a stream is restored from a Snapshot, or from chunks with its configuration and state")
        answer = await restore(self._requests, chunks, to_json(config), to_json(state), timeout=timeout)
        return Stream(self._requests, from_json(StreamInfo, info_of(answer)))

    async def streams(self, subject: str | None = None, *, timeout: float | None = None) -> AsyncIterator[StreamInfo]:
        """Iterate over the account's streams, or over those with a subject that has messages in common with the one given."""
        async for row in self._requests.pages("STREAM.LIST", "streams", _filter(subject), timeout=timeout):
            yield from_json(StreamInfo, row)

    async def stream_names(self, subject: str | None = None, *, timeout: float | None = None) -> AsyncIterator[str]:
        """The same with their names alone."""
        async for name in self._requests.pages("STREAM.NAMES", "streams", _filter(subject), timeout=timeout):
            yield name

    async def stream_name_of(self, subject: str, *, timeout: float | None = None) -> str:
        """Return the name of the stream that takes what is published to a subject.

        Raises:
            NoStreamError: none does.
        """
        async for name in self.stream_names(subject, timeout=timeout):
            return name
        raise NoStreamError(subject)

    # The account

    async def account_info(self, *, timeout: float | None = None) -> AccountInfo:
        """Return what the account uses and may use.

        Raises:
            JetStreamNotEnabledError: JetStream is not for it, or not there at all.
        """
        return from_json(AccountInfo, info_of(await self._requests.ask("INFO", timeout=timeout)))


def _filter(subject: str | None) -> dict[str, Any]:
    return {} if subject is None else {"subject": subject}
