"""ElasticGroup: a group that shares out the messages of any stream, and whose members come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.names import check_name
from midge.jetstream.partitioned.config import ElasticGroupConfig, MemberMapping
from midge.jetstream.partitioned.elastic_membership import ElasticMembership
from midge.jetstream.partitioned.errors import InvalidGroupError
from midge.jetstream.partitioned.member_consuming import MemberOptions
from midge.jetstream.partitioned.names import ELASTIC_BUCKET, PRIORITY_GROUP, group_stream
from midge.jetstream.partitioned.store import GroupStore

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["ElasticGroup"]


class ElasticGroup:
    """One elastic group, by its name; made by ``JetStream.elastic_group`` and ``create_elastic_group``. It costs nothing to make.

    Attributes:
        name: its name.
        stream: its own stream, a work queue that takes what is to be shared out, with the partition before each subject.
    """

    __slots__ = ("_store", "name", "stream")

    def __init__(self, js: JetStream, stream: str, group: str) -> None:
        self._store = GroupStore(js, ELASTIC_BUCKET, ElasticGroupConfig, stream, group)
        self.name = group
        self.stream = js.stream(group_stream(stream, group))

    def __repr__(self) -> str:
        return f"<ElasticGroup {self.name!r} of stream {self._store.stream!r}>"

    async def config(self, *, timeout: float | None = None) -> ElasticGroupConfig:
        """Return its configuration.

        Raises:
            GroupNotFoundError: there is no such group.
            InvalidGroupError: its configuration makes no sense.
        """
        return await self._store.get(timeout)

    async def add_members(self, *names: str, timeout: float | None = None) -> list[str]:
        """Let members share the partitions, and return all that do.

        Raises:
            InvalidSubjectError: one cannot be a name.
            InvalidGroupError: its members are mapped.
            Others: as ``config``; WrongRevisionError where others change it all the time.
        """
        for name in names:
            check_name(name, "member name")

        def added(config: ElasticGroupConfig) -> ElasticGroupConfig:
            self._check_unmapped(config)
            config.members = [*dict.fromkeys([*config.members, *names])]
            return config

        return (await self._store.change(added, timeout)).members

    async def drop_members(self, *names: str, timeout: float | None = None) -> list[str]:
        """Let members share the partitions no more, and return those who still do. Raises what ``add_members`` raises."""

        def left(config: ElasticGroupConfig) -> ElasticGroupConfig:
            self._check_unmapped(config)
            config.members = [name for name in config.members if name not in names]
            return config

        return (await self._store.change(left, timeout)).members

    async def set_mappings(self, mappings: Sequence[MemberMapping], *, timeout: float | None = None) -> None:
        """Say who has which partitions, each of them once, in place of what was.

        Raises:
            InvalidGroupError: they make no sense.
            Others: as ``add_members``.
        """
        if not mappings:
            raise InvalidGroupError(self._store.stream, self.name, "there is no mapping; delete_mappings leaves it without members")

        def mapped(config: ElasticGroupConfig) -> ElasticGroupConfig:
            config.members, config.member_mappings = [], list(mappings)
            return config

        await self._store.change(mapped, timeout)

    async def delete_mappings(self, *, timeout: float | None = None) -> None:
        """Let nobody have a partition who was mapped to it; members can be added then. Raises what ``add_members`` raises."""

        def unmapped(config: ElasticGroupConfig) -> ElasticGroupConfig:
            config.member_mappings = []
            return config

        await self._store.change(unmapped, timeout)

    def consume(
        self, member: str, callback: Any, config: ConsumerConfig | None = None, **options: Unpack[MemberOptions]
    ) -> ElasticMembership:  # fmt: skip
        """Let a callback have what is a member's, for as long as a block lasts: ``async with group.consume("m1", handle)``.

        It need not be a member yet. When members come and go, partitions change hands: a callback that runs may finish first, for as long
        as ``ack_wait``. Any number of instances may be of one member; the server lets one of them have messages, and another one when that
        is silent for as long as ``ack_wait``, 5 s. When the group is deleted, it ends.

        Args:
            config: what else the member's consumer is to be; instances of one member had better agree. Where the order within a key has
                to hold when a message fails, too, it needs ``max_ack_pending=1``.
            options: see MemberOptions.

        Raises:
            InvalidSubjectError, TypeError, ValueError: the member cannot be a name, or a consumer of a group cannot be like that.
            Others: see ``Membership.start``.
        """
        if config is not None and config.ack_policy not in (None, "explicit"):
            raise ValueError(f"ack_policy={config.ack_policy!r}: what is consumed of an elastic group is acknowledged (explicit)")
        if config is not None and config.inactive_threshold is not None:
            raise ValueError("inactive_threshold: a member's consumer goes after ack_wait without anybody who asks for messages")
        return ElasticMembership(self._store, self.stream, member, callback, config, options)

    async def active_members(self, *, timeout: float | None = None) -> list[str]:
        """Return the members that have a consumer: somebody has asked for messages within the last ``ack_wait``.

        Raises:
            StreamNotFoundError: the group's stream is gone.
            GroupNotFoundError, InvalidGroupError: as ``config``.
        """
        names = set((await self._store.get(timeout)).member_names)
        return [name async for name in self.stream.consumer_names(timeout=timeout) if name in names]

    async def step_down(self, member: str, *, timeout: float | None = None) -> None:
        """Let another instance of a member have the messages.

        Raises:
            ConsumerNotFoundError: nobody consumes as this member.
        """
        await self.stream.consumer(member).unpin(PRIORITY_GROUP, timeout=timeout)

    # Inside

    def _check_unmapped(self, config: ElasticGroupConfig) -> None:
        if config.member_mappings:
            raise InvalidGroupError(self._store.stream, self.name, "its members are mapped to partitions: change the mappings")
