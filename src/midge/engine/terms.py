"""Terms: what a stream's configuration has to agree with: the limits of the server and the account, and the account's other streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from midge.engine.errors import ApiError
from midge.model.account import AccountLimits
from midge.model.stream import StreamConfig

__all__ = ["Terms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What there is, as it is now.

    Attributes:
        streams: the account's streams by name; looked at, never changed.
        account: what the account may use; -1 is no limit.
        max_memory, max_storage: bytes that the server has for all accounts.
        reserved_memory, reserved_storage: bytes that streams of all accounts have reserved by their ``max_bytes``.
        duplicate_window: the longest window that the server allows, in nanoseconds; 0 for any.
    """

    streams: Mapping[str, StreamConfig]
    account: AccountLimits = field(default_factory=AccountLimits)
    max_memory: int = 1 << 62
    max_storage: int = 1 << 62
    reserved_memory: int = 0
    reserved_storage: int = 0
    duplicate_window: int = 0

    def check_number(self, config: StreamConfig) -> None:
        """Refuse a stream more than there may be."""
        others = len(self.streams) - (config.name in self.streams)
        if 0 < self.account.max_streams <= others:
            raise ApiError(10027)

    def check_stream_bytes(self, config: StreamConfig) -> None:
        """Refuse a stream without ``max_bytes`` where it must have some, or with too many."""
        limit = self.account.memory_max_stream_bytes if config.storage == "memory" else self.account.storage_max_stream_bytes
        if self.account.max_bytes_required and config.max_bytes <= 0:
            raise ApiError(10113)
        if 0 < limit < config.max_bytes:
            raise ApiError(10122)

    def check_reservation(self, config: StreamConfig, more: int, reserved: int) -> None:
        """Refuse what there is no room for.

        Args:
            more: the bytes that the stream adds to what is reserved in the server; less than 0 where it has no limit.
            reserved: those that its account has reserved without them.
        """
        if 0 < self.account.max_consumers < config.max_consumers:
            raise ApiError(10026)
        more = 1 if more < 0 else more
        if config.storage == "memory":
            _check_room(10028, more, self.account.max_memory, reserved, self.max_memory, self.reserved_memory)
        elif config.storage == "file":
            _check_room(10047, more, self.account.max_storage, reserved, self.max_storage, self.reserved_storage)

    def reserved_beside(self, config: StreamConfig) -> int:
        """Return the bytes that the account's other streams of that storage have reserved."""
        others = (each for name, each in self.streams.items() if name != config.name and each.storage == config.storage)
        return sum(each.max_bytes for each in others if each.max_bytes > 0)


def _check_room(code: int, more: int, allowed: int, reserved: int, room: int, taken: int) -> None:
    if (allowed >= 0 and more > allowed - reserved) or more > room - taken:
        raise ApiError(code)
