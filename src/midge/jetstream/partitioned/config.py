"""The configurations of groups, as JSON in a bucket: read, checked and written as the orbit libraries do.

What is empty is left out, as Go's ``omitempty`` has it, but for ``partitioning_filters``, which is ``null`` then: programs in Go compare
what they find with what they want, and tell an empty list from none. What is not known here is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from midge.jetstream.entity import Entity, from_json, to_json
from midge.jetstream.partitioned.errors import InvalidGroupError

__all__ = ["MAX_PARTITIONS", "ElasticGroupConfig", "GroupConfig", "MemberMapping", "PartitioningFilter", "StaticGroupConfig", "checked",
           "read_config", "write_config"]  # fmt: skip

MAX_PARTITIONS = 65_536  # no server takes a consumer with as many filters; and a wrong number in the bucket costs nobody all memory

_ORDER = ("max_members", "filters", "partitioning_filters", "max_buffered_msg", "max_buffered_bytes", "members", "member_mappings")
ConfigT = TypeVar("ConfigT", bound="GroupConfig")


class MemberMapping(Entity):
    """The partitions that a member has."""

    member: str = ""
    partitions: list[int] = []


class PartitioningFilter(Entity):
    """Subjects that a group takes, and which of the filter's ``*`` make the key, the first being 1; without any, the whole subject."""

    filter: str = ""
    partitioning_wildcards: list[int] = []


class GroupConfig(Entity):
    """What both kinds of groups have.

    Attributes:
        max_members: how many partitions there are.
        members: who shares them evenly, each once and in the order of their names, as many as there are partitions.
        member_mappings: who has which; instead of ``members``.
    """

    max_members: int = 0
    members: list[str] = []
    member_mappings: list[MemberMapping] = []

    @property
    def subjects(self) -> list[str]:
        """The filters of what it takes, without the partition."""
        raise NotImplementedError

    @property
    def member_names(self) -> list[str]:
        """The names of its members."""
        return [*dict.fromkeys(self.members), *(mapping.member for mapping in self.member_mappings)]


class StaticGroupConfig(GroupConfig):
    """The configuration of a static group.

    Attributes:
        filters: of the stream's subjects behind their partition; all without any.
    """

    filters: list[str] = []

    @property
    def subjects(self) -> list[str]:
        return self.filters or [">"]


class ElasticGroupConfig(GroupConfig):
    """The configuration of an elastic group.

    Attributes:
        partitioning_filters: which of the stream's subjects it takes, and what of them is the key; all of all without any.
        max_buffered_msg, max_buffered_bytes: how much the group's own stream holds; 0 or -1 for no limit.
    """

    partitioning_filters: list[PartitioningFilter] = []
    max_buffered_msg: int = 0
    max_buffered_bytes: int = 0

    @property
    def subjects(self) -> list[str]:
        return [each.filter for each in self.partitioning_filters] or [">"]


def read_config(kind: type[ConfigT], stream: str, group: str, data: bytes) -> ConfigT:
    """Return the configuration that a bucket has.

    Raises:
        InvalidGroupError: it makes no sense.
    """
    try:
        config = from_json(kind, msgspec.json.decode(data))
    except (ValueError, RecursionError) as error:
        raise InvalidGroupError(stream, group, str(error)) from None
    return checked(config, stream, group)


def write_config(config: GroupConfig) -> bytes:
    """Return a configuration as a bucket has it. Raises what ``to_json`` raises."""
    data = to_json(config)
    known = {name: data.pop(name) for name in _ORDER if name in data}
    written = {name: value for name, value in known.items() if value or name == "max_members"}
    if "partitioning_filters" in known:
        written["partitioning_filters"] = known["partitioning_filters"] or None
    return msgspec.json.encode(written | data)


def checked(config: ConfigT, stream: str, group: str) -> ConfigT:
    """Return a configuration that makes sense.

    Raises:
        InvalidGroupError: it does not.
    """
    complaint = _complaint(config)
    if complaint:
        raise InvalidGroupError(stream, group, complaint)
    return config


def _complaint(config: GroupConfig) -> str:
    count = config.max_members
    if not 1 <= count <= MAX_PARTITIONS:
        return f"max_members={count}: expected 1 to {MAX_PARTITIONS}"
    if isinstance(config, ElasticGroupConfig):
        for each in config.partitioning_filters:
            if complaint := _filter_complaint(each):
                return f"partitioning filter {each.filter!r}: {complaint}"
    if config.members and config.member_mappings:
        return "there are members and member mappings; expected the one or the other"
    return _mapping_complaint(config.member_mappings, count) if config.member_mappings else ""


def _filter_complaint(wanted: PartitioningFilter) -> str:
    tokens, wildcards = wanted.filter.split("."), wanted.partitioning_wildcards
    stars = tokens.count("*")
    if not wanted.filter:
        return "it is empty"
    if not stars and tokens[-1] != ">":
        return "it has no * and does not end in >"
    if len(wildcards) > stars or any(not 1 <= wildcard <= stars for wildcard in wildcards):
        return f"partitioning wildcards {wildcards!r:.80}, but it has {stars} *"
    return "" if len(set(wildcards)) == len(wildcards) else "a partitioning wildcard is there twice"


def _mapping_complaint(mappings: Sequence[MemberMapping], count: int) -> str:
    if len(mappings) > count:
        return f"{len(mappings)} member mappings for {count} partitions"
    if len({mapping.member for mapping in mappings}) < len(mappings):
        return "a member has two mappings"
    partitions = [partition for mapping in mappings for partition in mapping.partitions]
    if any(not 0 <= partition < count for partition in partitions):
        return f"a mapping has a partition that is not 0 to {count - 1}"
    if len(set(partitions)) < len(partitions):
        return "a partition is mapped twice"
    return "" if len(partitions) == count else f"{len(partitions)} of {count} partitions are mapped"
