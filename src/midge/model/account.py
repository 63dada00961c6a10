"""An account's use of JetStream and its limits, in all and by tier."""

from __future__ import annotations

import msgspec

from midge.model.base import Int, Int64, Model, Uint64, always

__all__ = ["AccountInfo", "AccountLimits", "ApiStats", "Tier"]


class AccountLimits(Model):
    """What an account may use of JetStream; -1 is no limit of its own, in ``*_max_stream_bytes`` 0, too."""

    max_memory: Int64 = always(-1)
    max_storage: Int64 = always(-1)
    max_streams: Int = always(-1)
    max_consumers: Int = always(-1)
    max_ack_pending: Int = always(-1)
    memory_max_stream_bytes: Int64 = always(-1)
    storage_max_stream_bytes: Int64 = always(-1)
    max_bytes_required: bool = always(False)


class Tier(Model):
    """What is used and what is allowed."""

    memory: Uint64 = always(0)
    storage: Uint64 = always(0)
    reserved_memory: Uint64 = always(0)
    reserved_storage: Uint64 = always(0)
    streams: Int = always(0)
    consumers: Int = always(0)
    limits: AccountLimits = msgspec.field(default_factory=AccountLimits)


class ApiStats(Model):
    """The API's level, and its requests since the start."""

    level: Int = always(0)
    total: Uint64 = always(0)
    errors: Uint64 = always(0)
    inflight: Uint64 = 0


class AccountInfo(Tier):
    """An account: its totals, the domain, the API's requests, and each tier where there are tiers."""

    domain: str = ""
    api: ApiStats = msgspec.field(default_factory=ApiStats)
    tiers: dict[str, Tier] = {}
