"""JetStream as it is configured: what a server keeps streams with, and what its accounts may use of it. Names are nats-server's."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import Final

from midge.subject import is_valid

__all__ = ["AccountJetStream", "JetStreamLimits", "JetStreamOptions", "check_change", "check_domain"]

_INT64: Final = 1 << 63
_NO_NAME: Final = " \t\r\n\f.*>"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountJetStream:
    """What an account may use; -1 is no limit of its own.

    Attributes:
        max_memory, max_store: bytes of its streams in memory and in files.
        max_streams, max_consumers: how many of them.
        max_ack_pending: messages that one consumer may leave without an ack.
        memory_max_stream_bytes, store_max_stream_bytes: the largest ``max_bytes`` of one stream.
        max_bytes_required: every stream must have ``max_bytes``.
    """

    max_memory: int = -1
    max_store: int = -1
    max_streams: int = -1
    max_consumers: int = -1
    max_ack_pending: int = -1
    memory_max_stream_bytes: int = -1
    store_max_stream_bytes: int = -1
    max_bytes_required: bool = False

    def __post_init__(self) -> None:
        _check_integers(self, "an account's")


@dataclass(frozen=True, slots=True, kw_only=True)
class JetStreamLimits:
    """What all accounts are held to; 0 is no limit, or nats-server's default.

    Attributes:
        max_ack_pending: messages that one consumer may leave without an ack.
        max_request_batch: messages that one request to a consumer may ask for.
        default_max_consumers: consumers that a stream may have where neither it nor its account says how many; by default 1,000, -1 for
            any number.
        duplicate_window: seconds of the longest window in which a stream knows duplicates.
        max_batch_inflight_per_stream, max_batch_inflight_total: open atomic batches at once; by default 50 and 1,000.
        max_batch_size: messages in one; by default 1,000.
        max_batch_timeout: seconds from one message of a batch to the next; by default 10.
    """

    max_ack_pending: int = 0
    max_request_batch: int = 0
    default_max_consumers: int = field(default=0, metadata={"least": -1})
    duplicate_window: float = 0.0
    max_batch_inflight_per_stream: int = 0
    max_batch_inflight_total: int = 0
    max_batch_size: int = 0
    max_batch_timeout: float = 0.0

    def __post_init__(self) -> None:
        _check_integers(self, "jetstream limits:")
        for name in ("duplicate_window", "max_batch_timeout"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"jetstream limits: {name} {getattr(self, name)}: expected 0 or more, and finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class JetStreamOptions:
    """How a server keeps streams.

    Attributes:
        max_memory_store, max_file_store: bytes for all streams in memory and in files; -1 for three quarters of what the machine has.
        sync_interval: when what was published is safe on the disk: "always", before it is acked; seconds, after which it is synced in the
            background; "os", whenever the operating system writes it.
        domain: the name that the API has beside the usual one; empty for none.
        strict: requests may have no fields that are unknown.
        request_queue_limit: API requests of an account that may wait at once.
        info_queue_limit: without effect: what only asks waits in the same queue.
        limits: what all accounts are held to.
    """

    max_memory_store: int = -1
    max_file_store: int = -1
    sync_interval: float | str = "always"
    domain: str = ""
    strict: bool = True
    request_queue_limit: int = 10_000
    info_queue_limit: int = 10_000
    limits: JetStreamLimits = field(default_factory=JetStreamLimits)

    def __post_init__(self) -> None:
        _check_integers(self, "jetstream:")
        if not isinstance(self.limits, JetStreamLimits):
            raise TypeError(f"jetstream: limits must be JetStreamLimits, not {type(self.limits).__name__}")
        for name, kind in (("domain", str), ("strict", bool)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"jetstream: {name} must be {kind.__name__}, not {type(getattr(self, name)).__name__}")
        sync = self.sync_interval
        if isinstance(sync, str) and sync not in ("always", "os"):
            raise ValueError(f'jetstream: sync_interval {sync!r}: expected "always", "os", or seconds')
        if not isinstance(sync, str) and not 0 < sync < inf:
            raise ValueError(f'jetstream: sync_interval {sync}: expected more than 0, and finite, or "always" or "os"')
        for name in ("request_queue_limit", "info_queue_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"jetstream: {name} {getattr(self, name)}: expected 1 or more")


def check_domain(domain: str) -> None:
    """Refuse what no domain may be called.

    Raises:
        ValueError: in nats-server's words.
    """
    if domain and not is_valid(f"$JS.{domain}.API.>"):
        raise ValueError(f'invalid domain name: derived "$JS.{domain}.API.>" is not a valid subject')
    if any(character in domain for character in _NO_NAME):
        raise ValueError("invalid domain name: may not contain ., * or >")


def check_change(old: JetStreamOptions | None, new: JetStreamOptions | None) -> None:
    """Refuse what cannot be changed while a server runs: anything but limits that grow.

    Raises:
        ValueError: something else changes, or one of them shrinks; in nats-server's words where it has any.
    """
    if old is None or new is None:
        raise ValueError(f"config reload not supported for JetStream: old={_is_on(old)}, new={_is_on(new)}")
    names = [name for name in ("max_memory_store", "max_file_store") if getattr(old, name) != getattr(new, name)]
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if after == -1:
            raise ValueError("config reload not supported for jetstream max memory and max store")
        if before == -1:
            raise ValueError("config reload not supported for jetstream dynamic max memory and store")
        if after < before:
            raise ValueError("config reload not supported for decreasing jetstream max memory and store")
    if replace(old, **{name: getattr(new, name) for name in names}) != new:
        different = [each.name for each in fields(new) if each.name not in names and getattr(old, each.name) != getattr(new, each.name)]
        raise ValueError(f"config reload not supported for JetStream: {', '.join(different)}")


def _is_on(options: JetStreamOptions | None) -> str:
    return "false" if options is None else "true"


def _check_integers(options: AccountJetStream | JetStreamLimits | JetStreamOptions, whose: str) -> None:
    """Refuse numbers that are none, or too large, or less than "no limit"."""
    for each in fields(options):
        if not isinstance(each.default, int) or isinstance(each.default, bool):
            continue
        value = getattr(options, each.name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{whose} {each.name} must be int, not {type(value).__name__}")
        least = each.metadata.get("least", min(each.default, 0))
        if not least <= value < _INT64:
            raise ValueError(f"{whose} {each.name} {value}: expected {least} or more, and a number of 63 bits")
