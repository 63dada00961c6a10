"""How what makes up a group is called: the same as in the orbit libraries, so that members of all of them share one."""

from __future__ import annotations

from midge.jetstream.names import check_name

__all__ = ["ELASTIC_BUCKET", "PRIORITY_GROUP", "STATIC_BUCKET", "group_key", "group_stream", "static_consumer"]

STATIC_BUCKET = "static-consumer-groups"
ELASTIC_BUCKET = "elastic-consumer-groups"
PRIORITY_GROUP = "PCG"


def group_key(stream: str, group: str) -> str:
    """Return the key of a group's configuration in its bucket.

    Raises:
        InvalidSubjectError: one of them cannot be a name.
    """
    return f"{check_name(stream)}.{check_name(group, 'group name')}"


def group_stream(stream: str, group: str) -> str:
    """Return the name of the stream that an elastic group's members consume."""
    return f"{stream}-{group}"


def static_consumer(group: str, member: str) -> str:
    """Return the name of a member's consumer in a static group; in an elastic one it is the member's own."""
    return f"{group}-{member}"
