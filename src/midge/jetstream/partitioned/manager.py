"""GroupManager: makes, finds and removes partitioned consumer groups; it is a part of JetStream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, cast

from midge.jetstream.configs import StreamSource
from midge.jetstream.errors import StreamNotFoundError
from midge.jetstream.infos import StreamInfo
from midge.jetstream.key_value.errors import BucketNotFoundError
from midge.jetstream.names import check_name
from midge.jetstream.partitioned.config import (
    ElasticGroupConfig,
    MemberMapping,
    PartitioningFilter,
    StaticGroupConfig,
    checked,
    write_config,
)
from midge.jetstream.partitioned.elastic_group import ElasticGroup
from midge.jetstream.partitioned.errors import GroupExistsError, GroupNotFoundError, InvalidGroupError
from midge.jetstream.partitioned.names import ELASTIC_BUCKET, STATIC_BUCKET, group_stream
from midge.jetstream.partitioned.partitions import transforms
from midge.jetstream.partitioned.static_group import StaticGroup
from midge.jetstream.partitioned.store import GroupStore

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["GroupManager"]


class GroupManager:
    """The partitioned consumer groups of an account's streams."""

    __slots__ = ()

    # Static groups

    def static_group(self, stream: str, group: str) -> StaticGroup:
        """Return a group whose partitions are in the stream's subjects, without asking whether there is one.

        Raises:
            InvalidSubjectError: they cannot be the names of a stream and a group.
        """
        return StaticGroup(self._js, stream, group)

    async def create_static_group(
        self,
        stream: str,
        group: str,
        *,
        max_members: int,
        filters: Sequence[str] = (),
        members: Sequence[str] = (),
        member_mappings: Sequence[MemberMapping] = (),
        timeout: float | None = None,
    ) -> StaticGroup:
        """Create a group for a stream whose subjects begin with a partition. Where there is the same already, that is it.

        Args:
            max_members: how many partitions there are.
            filters: of the subjects behind the partition; all of them without any.
            members: who shares the partitions; they never change.
            member_mappings: who has which, instead.

        Raises:
            GroupExistsError: there is one of this name with another configuration.
            InvalidGroupError: it makes no sense, or what is there does not.
            StreamNotFoundError: there is no such stream.
            InvalidSubjectError: something cannot be a name.
        """
        config = StaticGroupConfig(
            max_members=max_members, filters=_list(filters), members=_list(members), member_mappings=list(member_mappings)
        )
        store = GroupStore(self._js, STATIC_BUCKET, StaticGroupConfig, stream, group)
        await _create(store, checked(config, stream, group), await self._js.stream(stream).info(timeout=timeout), timeout)
        return self.static_group(stream, group)

    async def delete_static_group(self, stream: str, group: str, *, timeout: float | None = None) -> None:
        """Delete a group and its members' consumers; who consumes ends. The stream's messages stay.

        Raises:
            GroupNotFoundError: there is no such group.
        """
        store = GroupStore(self._js, STATIC_BUCKET, StaticGroupConfig, stream, group)
        if not await store.exists(timeout):
            raise GroupNotFoundError(stream, group)
        try:
            members = (await store.get(timeout)).member_names
        except InvalidGroupError:
            members = []  # nobody can have consumed
        await store.delete(timeout)
        await self.static_group(stream, group).delete_consumers(members, timeout=timeout)

    def static_group_names(self, stream: str) -> AsyncIterator[str]:
        """Iterate over the names of a stream's static groups."""
        return self._group_names(STATIC_BUCKET, stream)

    # Elastic groups

    def elastic_group(self, stream: str, group: str) -> ElasticGroup:
        """Return a group whose members come and go, without asking whether there is one.

        Raises:
            InvalidSubjectError: they cannot be the names of a stream and a group.
        """
        return ElasticGroup(self._js, stream, group)

    async def create_elastic_group(
        self,
        stream: str,
        group: str,
        *,
        max_members: int,
        partitioning_filters: Sequence[PartitioningFilter] = (),
        max_buffered_messages: int = 0,
        max_buffered_bytes: int = 0,
        timeout: float | None = None,
    ) -> ElasticGroup:
        """Create a group without members for any stream, and the stream of its own. Where there is the same already, that is it.

        Args:
            max_members: how many partitions there are.
            partitioning_filters: which subjects it takes, and what of them is the key; all, and all of it, without any.
            max_buffered_messages, max_buffered_bytes: how much its own stream holds of what is not consumed yet; no limit by default.

        Raises:
            GroupExistsError: there is one of this name with other partitions, filters or limits.
            InvalidGroupError: it makes no sense, or what is there does not.
            StreamNotFoundError: there is no such stream.
            StreamNameInUseError: there is a stream of the name that the group's own has to have.
            InvalidSubjectError: something cannot be a name.
        """
        config = ElasticGroupConfig(
            max_members=max_members,
            partitioning_filters=list(partitioning_filters),
            max_buffered_msg=max_buffered_messages,
            max_buffered_bytes=max_buffered_bytes,
        )
        store = GroupStore(self._js, ELASTIC_BUCKET, ElasticGroupConfig, stream, group)
        info = await self._js.stream(stream).info(timeout=timeout)
        await _create(store, checked(config, stream, group), info, timeout)
        await self._js.create_stream(
            name=group_stream(stream, group),
            retention="workqueue",
            num_replicas=info.config.num_replicas or 1,
            storage=info.config.storage or "file",
            max_msgs=max_buffered_messages,
            max_bytes=max_buffered_bytes,
            discard="new",
            sources=[StreamSource(name=stream, subject_transforms=transforms(config))],
            allow_direct=True,
            timeout=timeout,
        )
        return self.elastic_group(stream, group)

    async def delete_elastic_group(self, stream: str, group: str, *, timeout: float | None = None) -> None:
        """Delete a group and its own stream, with what nobody has consumed yet; who consumes ends.

        Raises:
            GroupNotFoundError: there is no such group, and nothing left of it.
        """
        store = GroupStore(self._js, ELASTIC_BUCKET, ElasticGroupConfig, stream, group)
        own = self._js.stream(group_stream(stream, group))
        existed = await store.exists(timeout)
        if existed:
            await store.delete(timeout)
        try:
            if existed or _is_of_group(await own.info(timeout=timeout), stream):
                await own.delete(timeout=timeout)
                return
        except StreamNotFoundError:
            pass
        if not existed:
            raise GroupNotFoundError(stream, group)

    def elastic_group_names(self, stream: str) -> AsyncIterator[str]:
        """Iterate over the names of a stream's elastic groups."""
        return self._group_names(ELASTIC_BUCKET, stream)

    # Inside

    @property
    def _js(self) -> JetStream:
        return cast("JetStream", self)

    async def _group_names(self, bucket: str, stream: str) -> AsyncIterator[str]:
        try:
            async for key in self._js.key_value(bucket).keys(f"{check_name(stream)}.*"):
                yield key.rpartition(".")[2]
        except BucketNotFoundError:
            return


async def _create(
    store: GroupStore[StaticGroupConfig] | GroupStore[ElasticGroupConfig],
    config: StaticGroupConfig | ElasticGroupConfig,
    info: StreamInfo,
    timeout: float | None,
) -> None:
    """Write a configuration, or find the same; the members that an elastic group has by now do not count."""
    found = await store.create(config, info.config.num_replicas, timeout)  # type: ignore[arg-type]
    if isinstance(found, ElasticGroupConfig):
        found.members, found.member_mappings = [], []
    found.unknown = {}
    if write_config(found) != write_config(config):
        raise GroupExistsError(store.stream, store.group)


def _is_of_group(info: StreamInfo, stream: str) -> bool:
    """True if a stream is what an elastic group of another one has."""
    return info.config.retention == "workqueue" and [source.name for source in info.config.sources or []] == [stream]


def _list(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(f"expected a list of texts, not {texts!r}")
    return list(texts)
