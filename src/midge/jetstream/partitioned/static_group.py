"""StaticGroup: a group whose partitions are in the subjects of the stream, and whose members never change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.errors import ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.partitioned.config import StaticGroupConfig
from midge.jetstream.partitioned.member_consuming import MemberOptions
from midge.jetstream.partitioned.names import PRIORITY_GROUP, STATIC_BUCKET, static_consumer
from midge.jetstream.partitioned.static_membership import StaticMembership
from midge.jetstream.partitioned.store import GroupStore

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["StaticGroup"]


class StaticGroup:
    """One static group, by its name; made by ``JetStream.static_group`` and ``create_static_group``. It costs nothing to make.

    Attributes:
        name, stream: its name, and the stream whose messages it shares out.
    """

    __slots__ = ("_store", "name", "stream")

    def __init__(self, js: JetStream, stream: str, group: str) -> None:
        self._store = GroupStore(js, STATIC_BUCKET, StaticGroupConfig, stream, group)
        self.name = group
        self.stream = js.stream(stream)

    def __repr__(self) -> str:
        return f"<StaticGroup {self.name!r} of stream {self.stream.name!r}>"

    async def config(self, *, timeout: float | None = None) -> StaticGroupConfig:
        """Return its configuration.

        Raises:
            GroupNotFoundError: there is no such group.
            InvalidGroupError: its configuration makes no sense.
        """
        return await self._store.get(timeout)

    def consume(
        self, member: str, callback: Any, config: ConsumerConfig | None = None, **options: Unpack[MemberOptions]
    ) -> StaticMembership:  # fmt: skip
        """Let a callback have what is a member's, for as long as a block lasts: ``async with group.consume("m1", handle)``.

        Any number of instances may be of one member; the server lets one of them have messages, and another one when that is silent for
        as long as ``ack_wait``, 5 s. When the group is deleted or changed, it ends, and deletes the member's consumer.

        Args:
            config: what else the member's consumer is to be; instances of one member had better agree. Where the order within a key has
                to hold when a message fails, too, it needs ``max_ack_pending=1``.
            options: see MemberOptions.

        Raises:
            InvalidSubjectError, TypeError, ValueError: the member cannot be a name, or a consumer of a group cannot be like that.
            Others: see ``Membership.start``.
        """
        return StaticMembership(self._store, self.stream, member, callback, config, options)

    async def active_members(self, *, timeout: float | None = None) -> list[str]:
        """Return the members of which somebody waits for messages just now.

        Raises:
            GroupNotFoundError, InvalidGroupError: as ``config``.
        """
        names = {static_consumer(self.name, member): member for member in (await self._store.get(timeout)).member_names}
        infos = self.stream.consumers(timeout=timeout)
        return [names[info.name] async for info in infos if info.name in names and info.num_waiting]

    async def step_down(self, member: str, *, timeout: float | None = None) -> None:
        """Let another instance of a member have the messages.

        Raises:
            ConsumerNotFoundError: nobody has consumed as this member yet.
        """
        await self.stream.consumer(static_consumer(self.name, member)).unpin(PRIORITY_GROUP, timeout=timeout)

    async def delete_consumers(self, members: list[str], *, timeout: float | None = None) -> None:
        """Delete what members of the group have consumed with; those that are not there, or whose stream is not, do not matter."""
        for member in members:
            try:
                await self.stream.delete_consumer(static_consumer(self.name, member), timeout=timeout)
            except (ConsumerNotFoundError, StreamNotFoundError):
                pass
