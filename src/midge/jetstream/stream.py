"""Stream: one stream, by its name: what it is, what it holds, and what is done to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Unpack

import msgspec

from midge.client.client import Client
from midge.errors import NoRespondersError
from midge.jetstream.configs import ConsumerConfig, StreamConfig
from midge.jetstream.consumer import Consumer
from midge.jetstream.consumer_setup import ConsumerKeywords, consumer_config, create_consumer
from midge.jetstream.entity import from_json, json_time, merged
from midge.jetstream.errors import (
    ConsumerNotFoundError,
    JetStreamNotEnabledError,
    MalformedAnswerError,
    MessageNotFoundError,
    StreamNotFoundError,
)
from midge.jetstream.infos import ConsumerInfo, StreamInfo
from midge.jetstream.names import check_name
from midge.jetstream.ordered import OrderedConsumer, OrderedOptions
from midge.jetstream.requests import Requests, info_of, preferring, whole
from midge.jetstream.setup import StreamKeywords, beside, configured, differences, stream_request
from midge.jetstream.snapshot import Snapshot
from midge.jetstream.stored_message import StoredMessage
from midge.message import Message

__all__ = ["Stream"]

MAX_RESULTS = 1_024  # subjects that one direct get gives the last message of
_END = 204


class Stream:
    """One stream; made by ``JetStream.stream``, ``create_stream`` and the like.

    Attributes:
        name: its name.
        last_info: what was last heard of it; ``info`` asks.
    """

    __slots__ = ("_requests", "last_info", "name")

    def __init__(self, requests: Requests, info: StreamInfo) -> None:
        if info.config.name is None:
            raise MalformedAnswerError("what was told of a stream has no name")
        self._requests = requests
        self.name = info.config.name
        self.last_info = info

    def __repr__(self) -> str:
        return f"<Stream {self.name!r}>"

    @property
    def config(self) -> StreamConfig:
        """Its configuration, as it was last heard of."""
        return self.last_info.config

    # The stream

    async def info(self, *, deleted: bool = False, timeout: float | None = None) -> StreamInfo:
        """Ask for the stream's configuration and state.

        Args:
            deleted: list the sequences without a message, too.

        Raises:
            StreamNotFoundError: it is not there.
        """
        body = {"deleted_details": True} if deleted else None
        answer = await self._requests.ask(f"STREAM.INFO.{self.name}", body, timeout=timeout)
        self.last_info = from_json(StreamInfo, info_of(answer))
        return self.last_info

    async def subjects(self, filter: str = ">", *, timeout: float | None = None) -> AsyncIterator[tuple[str, int]]:
        """Iterate over the subjects of its messages that match a filter, each with how many it has."""
        body = {"subjects_filter": filter}
        async for subject, count in self._requests.pages(f"STREAM.INFO.{self.name}", "subjects", body, timeout=timeout):
            yield subject, count

    async def update(
        self, config: StreamConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[StreamKeywords]
    ) -> StreamInfo:
        """Change what is given of its configuration, and leave the rest as it is, with what this version of midge does not know.

        Raises:
            StreamNotFoundError: it is not there.
            JetStreamError: the change was refused.
        """
        changes = configured(StreamConfig, config, keywords)
        current = await self.info(timeout=timeout)
        wanted = merged(current.config, changes)
        answer = await self._requests.ask(f"STREAM.UPDATE.{self.name}", stream_request(wanted), timeout=timeout)
        self.last_info = from_json(StreamInfo, info_of(answer))
        return self.last_info

    async def delete(self, *, timeout: float | None = None) -> None:
        """Delete it with everything in it.

        Raises:
            StreamNotFoundError: it is not there.
        """
        await self._requests.ask(f"STREAM.DELETE.{self.name}", timeout=timeout)

    async def purge(
        self, subject: str | None = None, *, seq: int | None = None, keep: int | None = None, timeout: float | None = None
    ) -> int:  # fmt: skip
        """Remove messages and return how many.

        Args:
            subject: of those that match it; None for all.
            seq: those before this sequence.
            keep: all but the last so many; not together with ``seq``.

        Raises:
            JetStreamError: it was refused.
        """
        if seq is not None and keep is not None:
            raise ValueError("give seq or keep, not both")
        asked = {"filter": subject, "seq": seq, "keep": keep}
        body = {name: value for name, value in asked.items() if value is not None}
        return whole(await self._requests.ask(f"STREAM.PURGE.{self.name}", body or None, timeout=timeout), "purged")

    def snapshot(self, *, consumers: bool = True, check: bool = False, timeout: float | None = None) -> Snapshot:
        """Take the stream out of the server as it is, with what ``JetStream.restore_stream`` or the ``nats`` command make the same of.

        ``async with stream.snapshot() as snapshot`` asks for it, and raises what is said there; ``async for chunk in snapshot`` gives its
        bytes, as the server sends them. Who is slow holds the server back, with 36 MiB in memory; a server gives up where nothing is
        taken then for two seconds.

        Args:
            consumers: with its consumers.
            check: have the server read all messages before, and refuse where one is damaged.
            timeout: seconds until it begins; None for what the context says.
        """
        return Snapshot(self._requests, self.name, consumers=consumers, check=check, timeout=timeout)

    # Its replicas, in a cluster

    async def step_down(self, preferred: str | None = None, *, timeout: float | None = None) -> None:
        """Let another server lead it.

        Args:
            preferred: the name of the one that is to; None for any.

        Raises:
            JetStreamError: there is no cluster, or that server cannot.
        """
        await self._requests.ask(f"STREAM.LEADER.STEPDOWN.{self.name}", preferring(preferred), timeout=timeout)

    async def remove_peer(self, peer: str, *, timeout: float | None = None) -> None:
        """Let another server have the replica that one has, named as in ``info().cluster``.

        Raises:
            JetStreamError: there is no cluster, no such server in it, or no other one.
        """
        await self._requests.ask(f"STREAM.PEER.REMOVE.{self.name}", {"peer": peer}, timeout=timeout)

    # Messages

    async def get(
        self, seq: int, *, next_by_subject: str | None = None, direct: bool | None = None, timeout: float | None = None
    ) -> StoredMessage:  # fmt: skip
        """Return the message of a sequence; or the first from there on whose subject matches.

        Args:
            direct: ask whichever server has a copy, which may be behind; None does so where the stream is known to allow it.

        Raises:
            MessageNotFoundError: there is none.
        """
        asked: dict[str, Any] = {"seq": seq}
        if next_by_subject is not None:
            asked["next_by_subj"] = next_by_subject
        return await self._get(asked, direct, timeout)

    async def get_last(self, subject: str, *, direct: bool | None = None, timeout: float | None = None) -> StoredMessage:
        """Return the last message whose subject matches.

        Raises:
            MessageNotFoundError: there is none.
        """
        return await self._get({"last_by_subj": subject}, direct, timeout)

    async def get_batch(
        self,
        subject: str = ">",
        *,
        batch: int,
        seq: int | None = None,
        start_time: datetime | None = None,
        max_bytes: int | None = None,
        timeout: float | None = None,
    ) -> list[StoredMessage]:
        """Return messages whose subject matches, from a sequence or time on, at most ``batch`` of them and so many bytes.

        The stream needs ``allow_direct``. Nothing is returned where there is none.
        """
        asked: dict[str, Any] = {"next_by_subj": subject, "batch": batch}
        if start_time is not None:
            asked["start_time"] = json_time(start_time)
        else:
            asked["seq"] = 1 if seq is None else seq
        if max_bytes is not None:
            asked["max_bytes"] = max_bytes
        return await self._get_many(asked, timeout)

    async def get_last_for(
        self,
        subjects: Sequence[str],
        *,
        batch: int | None = None,
        up_to_seq: int | None = None,
        up_to_time: datetime | None = None,
        timeout: float | None = None,
    ) -> list[StoredMessage]:
        """Return the last message of each subject that matches one of these; the stream needs ``allow_direct``.

        Args:
            batch: at most so many. Without it the server refuses more than 1,024 (JetStreamError, code 413).
            up_to_seq, up_to_time: what it was then.
        """
        if isinstance(subjects, str):
            raise TypeError(f"subjects is a list of subjects, not {subjects!r}")
        asked: dict[str, Any] = {"multi_last": list(subjects)}
        if batch is not None:
            asked["batch"] = batch
        if up_to_seq is not None:
            asked["up_to_seq"] = up_to_seq
        if up_to_time is not None:
            asked["up_to_time"] = json_time(up_to_time)
        return await self._get_many(asked, timeout)

    async def delete_message(self, seq: int, *, erase: bool = True, timeout: float | None = None) -> None:
        """Remove a message; unless ``erase`` is False, what was kept of it is overwritten.

        Raises:
            JetStreamError: there is none, or the stream does not allow it.
        """
        body: dict[str, Any] = {"seq": seq} if erase else {"seq": seq, "no_erase": True}
        await self._requests.ask(f"STREAM.MSG.DELETE.{self.name}", body, timeout=timeout)

    # Consumers

    async def create_consumer(
        self,
        config: ConsumerConfig | None = None,
        /,
        *,
        pedantic: bool = False,
        timeout: float | None = None,
        **keywords: Unpack[ConsumerKeywords],
    ) -> Consumer:
        """Create a consumer, from a ConsumerConfig or from its fields as keywords. Where there is the same already, that is it.

        Without ``durable_name`` it is removed when nobody has used it for a while (``inactive_threshold``). ``ack_policy`` is "explicit"
        unless something else is asked for.

        Args:
            pedantic: the server refuses what it would otherwise set right.

        Raises:
            ConsumerExistsError: there is one of this name with another configuration.
            StreamNotFoundError: the stream is not there.
            JetStreamError: it was refused for another reason.
        """
        wanted = consumer_config(config, keywords)
        info = await create_consumer(self._requests, self.name, wanted, action="create", pedantic=pedantic, timeout=timeout)
        return Consumer(self._requests, info)

    async def update_consumer(
        self, config: ConsumerConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[ConsumerKeywords]
    ) -> Consumer:
        """Let a consumer go on with another configuration: all of it, what is left out goes back to its default. See ``Consumer.update``.

        Raises:
            ConsumerNotFoundError: there is none of this name.
            JetStreamError: it was refused.
        """
        wanted = consumer_config(config, keywords)
        return Consumer(self._requests, await create_consumer(self._requests, self.name, wanted, action="update", timeout=timeout))

    async def create_or_update_consumer(
        self, config: ConsumerConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[ConsumerKeywords]
    ) -> Consumer:
        """Create a consumer, or let it go on with this configuration where there is one. Raises what the two raise."""
        wanted = consumer_config(config, keywords)
        return Consumer(self._requests, await create_consumer(self._requests, self.name, wanted, timeout=timeout))

    async def ensure_consumer(
        self, config: ConsumerConfig | None = None, /, *, timeout: float | None = None, **keywords: Unpack[ConsumerKeywords]
    ) -> Consumer:
        """Return the consumer of this name with everything that is set here: it is created, updated where something differs, or left.

        What is not set here is not looked at.

        Raises:
            JetStreamError: it was refused, such as a change that cannot be made.
        """
        wanted = consumer_config(None, keywords) if config is None else configured(ConsumerConfig, config, keywords)
        consumer = self.consumer(wanted.name or wanted.durable_name or "")
        try:
            info = await consumer.info(timeout=timeout)
        except ConsumerNotFoundError:
            return await self.create_consumer(wanted, timeout=timeout)
        if config is None and "ack_policy" not in keywords:
            wanted.ack_policy = None
        if differences(info.config, wanted):
            await consumer.update(beside(info.config, wanted), timeout=timeout)
        return consumer

    def consumer(self, name: str) -> Consumer:
        """Return the consumer of this name, without asking whether there is one."""
        config = ConsumerConfig(name=check_name(name, "consumer name"))
        return Consumer(self._requests, ConsumerInfo(stream_name=self.name, name=name, config=config))

    def ordered_consumer(self, **options: Unpack[OrderedOptions]) -> OrderedConsumer:
        """Read the messages in order and without a gap, whatever happens on the way: ``async for`` over it; see OrderedConsumer."""
        return OrderedConsumer(self._requests, self.name, options)

    async def delete_consumer(self, name: str, *, timeout: float | None = None) -> None:
        """Delete a consumer.

        Raises:
            ConsumerNotFoundError: there is none of this name.
        """
        await self.consumer(name).delete(timeout=timeout)

    async def consumers(self, *, timeout: float | None = None) -> AsyncIterator[ConsumerInfo]:
        """Iterate over its consumers."""
        async for row in self._requests.pages(f"CONSUMER.LIST.{self.name}", "consumers", timeout=timeout):
            yield from_json(ConsumerInfo, row)

    async def consumer_names(self, *, timeout: float | None = None) -> AsyncIterator[str]:
        """Iterate over the names of its consumers."""
        async for name in self._requests.pages(f"CONSUMER.NAMES.{self.name}", "consumers", timeout=timeout):
            yield name

    # Inside

    @property
    def _client(self) -> Client:
        return self._requests.client

    async def _get(self, asked: dict[str, Any], direct: bool | None, timeout: float | None) -> StoredMessage:
        if direct if direct is not None else self.config.allow_direct:
            try:
                message = await self._requests.send(f"DIRECT.GET.{self.name}", msgspec.json.encode(asked), timeout=timeout)
            except JetStreamNotEnabledError:
                raise self._not_direct() from None
            return StoredMessage.from_direct(message)
        answer = await self._requests.ask(f"STREAM.MSG.GET.{self.name}", asked, timeout=timeout)
        return StoredMessage.from_api(self.name, answer.get("message", {}))

    async def _get_many(self, asked: dict[str, Any], timeout: float | None) -> list[StoredMessage]:
        timeout = self._requests.timeout if timeout is None else timeout
        found: list[StoredMessage] = []
        subject = f"{self._requests.prefix}.DIRECT.GET.{self.name}"
        replies = self._client.request_many(subject, msgspec.json.encode(asked), timeout=timeout, sentinel=_is_status)
        try:
            async with replies:
                async for message in replies:
                    found.append(StoredMessage.from_direct(message))
                last = replies.last
        except NoRespondersError:
            raise self._not_direct() from None
        if last is None:
            raise self._client._connection.exchange.timed_out(f"direct get from stream {self.name!r}", timeout)
        if last.status == _END:
            return found
        try:
            raise AssertionError(StoredMessage.from_direct(last))
        except MessageNotFoundError:
            return found

    def _not_direct(self) -> StreamNotFoundError:
        return StreamNotFoundError(503, 10059, f"nobody answers direct gets from {self.name!r}: there is no stream, or no allow_direct")


def _is_status(message: Message) -> bool:
    return message.status is not None
