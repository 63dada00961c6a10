"""Which partitions a member has, and the subjects that come of it. Every member of every library works it out alone, and comes to the same.

Members in the order of their names get a run of partitions each, as long as it goes evenly, and of what is left the first ones get one
more each: when a member comes or goes, most partitions near the beginning stay where they are.
"""

from __future__ import annotations

from midge.jetstream.configs import SubjectTransform
from midge.jetstream.partitioned.config import ElasticGroupConfig, GroupConfig, PartitioningFilter

__all__ = ["bare_subject", "filters_of", "partitions_of", "transforms"]


def partitions_of(config: GroupConfig, member: str) -> list[int]:
    """Return the partitions that a member has; none where there are more members than partitions, and its name comes late."""
    if not config.members:
        return [partition for mapping in config.member_mappings if mapping.member == member for partition in mapping.partitions]
    names = sorted(set(config.members))[: config.max_members]
    if member not in names:
        return []
    index, (each, left) = names.index(member), divmod(config.max_members, len(names))
    found = list(range(index * each, (index + 1) * each))
    return [*found, len(names) * each + index] if index < left else found


def filters_of(config: GroupConfig, member: str) -> list[str]:
    """Return the filters of a member's consumer. Mappings look at the partition alone, whatever the group's filters are: so do theirs."""
    subjects = config.subjects if config.members else [">"]
    partitions = partitions_of(config, member)
    return [f"{partition}.{subject}" for subject in dict.fromkeys(subjects) for partition in partitions]


def transforms(config: ElasticGroupConfig) -> list[SubjectTransform]:
    """Return what puts the partition before the subjects of what an elastic group takes."""
    filters = config.partitioning_filters or [PartitioningFilter(filter=">")]
    return [SubjectTransform(src=each.filter, dest=_dest(each, config.max_members)) for each in filters]


def bare_subject(subject: str) -> str:
    """Return a subject without its partition."""
    partition, _, rest = subject.partition(".")
    return rest or partition


def _dest(wanted: PartitioningFilter, count: int) -> str:
    tokens, stars = wanted.filter.split("."), 0
    for place, token in enumerate(tokens):
        if token == "*":
            stars += 1
            tokens[place] = f"{{{{Wildcard({stars})}}}}"
    arguments = ",".join(map(str, [count, *wanted.partitioning_wildcards]))
    return f"{{{{Partition({arguments})}}}}.{'.'.join(tokens)}"
