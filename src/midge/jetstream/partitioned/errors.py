"""What a partitioned consumer group refuses.

MidgeError
├── GroupNotFoundError (LookupError)
├── GroupExistsError (ValueError)       of create: there is one with another configuration
├── InvalidGroupError (ValueError)      a configuration, given or found in the bucket, makes no sense
├── GroupChangedError                   what never changes of a group was changed under its members
└── NotAMemberError (LookupError)       of a static group
"""

from __future__ import annotations

from midge.errors import MidgeError

__all__ = ["GroupChangedError", "GroupExistsError", "GroupNotFoundError", "InvalidGroupError", "NotAMemberError"]


class GroupNotFoundError(MidgeError, LookupError):
    """The stream has no group of this name and kind."""

    def __init__(self, stream: str, group: str) -> None:
        super().__init__()
        self.stream = stream
        self.group = group

    def __str__(self) -> str:
        return f"stream {self.stream!r} has no such consumer group {self.group!r}: create it first"


class GroupExistsError(MidgeError, ValueError):
    """The stream has a group of this name with another configuration."""

    def __init__(self, stream: str, group: str) -> None:
        super().__init__()
        self.stream = stream
        self.group = group

    def __str__(self) -> str:
        return f"stream {self.stream!r} has a consumer group {self.group!r} with another configuration: delete it first"


class InvalidGroupError(MidgeError, ValueError):
    """The configuration of a group makes no sense.

    Attributes:
        reason: what is wrong with it.
    """

    def __init__(self, stream: str, group: str, reason: str) -> None:
        super().__init__()
        self.stream = stream
        self.group = group
        self.reason = reason

    def __str__(self) -> str:
        return f"the configuration of consumer group {self.group!r} of stream {self.stream!r} makes no sense: {self.reason}"


class GroupChangedError(MidgeError):
    """Somebody has changed what never changes of a group: its partitions and filters, and of a static group its members."""

    def __init__(self, stream: str, group: str) -> None:
        super().__init__()
        self.stream = stream
        self.group = group

    def __str__(self) -> str:
        return f"the configuration of consumer group {self.group!r} of stream {self.stream!r} was changed; its members have to join anew"


class NotAMemberError(MidgeError, LookupError):
    """The static group has no member of this name, and never will."""

    def __init__(self, stream: str, group: str, member: str) -> None:
        super().__init__()
        self.stream = stream
        self.group = group
        self.member = member

    def __str__(self) -> str:
        return f"consumer group {self.group!r} of stream {self.stream!r} has no member {self.member!r}"
