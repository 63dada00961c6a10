"""The configuration of a stream: what nats-server makes of one that a client sends, and what it refuses, in its order and its words.

``created`` and ``updated`` go the whole way that a request goes; ``checked`` is what both have in common, and what a mirror or a stream
that is restored has to pass. None of them changes what it is given. With ``pedantic``, what would be set right is refused instead.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from midge.durations import show_duration
from midge.engine.config_sources import check_origins, check_transforms
from midge.engine.config_subjects import check_republish, check_subject_transform, check_subjects, fill_republish
from midge.engine.crossings import Crossings
from midge.engine.decoding import decode
from midge.engine.errors import ApiError, invalid_config
from midge.engine.metadata import keep_level, set_level
from midge.engine.names import is_name
from midge.engine.terms import Terms
from midge.model.consumer import ConsumerConfig
from midge.model.requests import StreamConfigRequest
from midge.model.stream import Placement, StreamConfig

__all__ = ["checked", "created", "is_same", "read_request", "restored", "updated"]

MAX_NAME: Final = 255
MAX_DESCRIPTION: Final = 4 * 1024
MAX_METADATA: Final = 128 * 1024
MAX_REPLICAS: Final = 5
_SECOND: Final = 1_000_000_000
_LEAST: Final = 100_000_000  # what an age or a window has at least, in nanoseconds
_WINDOW: Final = 120 * _SECOND


def read_request(body: bytes, *, strict: bool = True) -> StreamConfigRequest:
    """Return what a request to create or update a stream says. A storage that it does not name is "" until the rest is checked.

    Raises:
        ApiError: 10025, and why.
    """
    return decode(StreamConfigRequest, body, strict=strict, into=StreamConfigRequest(storage=""))


def created(request: StreamConfigRequest, name: str, terms: Terms) -> StreamConfig:
    """Return the configuration of the stream that a request creates; that of ``terms.streams`` where the same stream is there already.

    Args:
        name: the stream's, from the subject of the request.

    Raises:
        ApiError: it may not be.
    """
    config = set_level(_config_of(request))
    if name != config.name:
        raise ApiError(10056)
    if "/" in name or "\\" in name:
        raise ApiError(10128)
    if config.sealed:
        raise invalid_config("stream configuration for create can not be sealed")
    if config.mirror_direct and config.mirror is None:
        raise invalid_config("stream has no mirror but does have mirror direct")
    terms.check_number(config)
    terms.check_reservation(config, config.max_bytes, terms.reserved_beside(config))
    config = checked(config, terms, pedantic=request.pedantic)
    _check_replicas(config)
    old = terms.streams.get(name)
    if old is not None:
        if not is_same(config, old):
            raise ApiError(10058)
        return old
    terms.check_reservation(config, config.max_bytes, terms.reserved_beside(config))
    check_transforms(config)
    _check_overlap(config, terms)
    return config


def restored(config: StreamConfig, name: str, terms: Terms) -> StreamConfig:
    """Return the configuration of the stream that a request restores.

    Args:
        name: the stream's, from the subject of the request; the configuration may leave it to that.

    Raises:
        ApiError: it may not be.
    """
    config = msgspec.structs.replace(keep_level(config, config), name=config.name or name)
    if name != config.name:
        raise ApiError(10056)
    if "/" in name or "\\" in name:
        raise ApiError(10128)
    config = checked(config, terms)
    _check_replicas(config)
    terms.check_number(config)
    terms.check_reservation(config, config.max_bytes, terms.reserved_beside(config))
    if name in terms.streams:
        raise ApiError(10130)
    check_transforms(config)
    _check_overlap(config, terms)
    return config


def updated(request: StreamConfigRequest, name: str, terms: Terms, consumers: Collection[tuple[str, ConsumerConfig]] = ()) -> StreamConfig:
    """Return the configuration that a request makes of a stream's.

    Args:
        name: the stream's, from the subject of the request.
        consumers: its consumers, by name, which new limits must not be too narrow for.

    Raises:
        ApiError: it may not be.
    """
    config = checked(_config_of(request), terms, pedantic=request.pedantic)
    if name != config.name:
        raise ApiError(10056)
    old = terms.streams.get(name)
    if old is None:
        raise ApiError(10059)
    config = checked(set_level(config), terms, pedantic=request.pedantic)
    _check_replicas(config)
    _check_change(old, config)
    if config.sealed:
        config.max_age, config.discard, config.allow_rollup_hdrs = 0, "new", False
        config.deny_delete = config.deny_purge = True
    more = max(max(config.max_bytes, 0) - max(old.max_bytes, 0), 0)
    reserved = terms.reserved_beside(config) + max(config.max_bytes - more, 0)
    terms.check_reservation(config, more, reserved)
    _check_consumers(old, config, consumers)
    _check_overlap(config, terms)
    fill_republish(config)
    return config


def checked(config: StreamConfig, terms: Terms, *, pedantic: bool = False) -> StreamConfig:
    """Return a configuration with everything in it that was left open.

    Raises:
        ApiError: it cannot be.
    """
    config = msgspec.structs.replace(config)
    _check_texts(config)
    config.storage = config.storage or "file"
    _check_numbers(config, pedantic)
    _check_window(config, terms, pedantic)
    _check_flags(config, pedantic)
    _check_persistence(config)
    check_origins(config, terms.streams, pedantic)
    check_subjects(config)
    terms.check_stream_bytes(config)
    check_subject_transform(config)
    check_republish(config, pedantic)
    if config.placement == Placement():
        config.placement = None
    if config.placement is not None and config.placement.preferred:
        raise invalid_config("preferred server not permitted in placement")
    return config


def is_same(config: StreamConfig, old: StreamConfig) -> bool:
    """True if a checked configuration says what an old one does; what the server adds to metadata does not count."""
    return keep_level(config, old) == old


def _config_of(request: StreamConfigRequest) -> StreamConfig:
    return StreamConfig(**{name: getattr(request, name) for name in StreamConfig.__struct_fields__})


def _check_texts(config: StreamConfig) -> None:
    if not is_name(config.name):
        raise invalid_config("stream name is required and can not contain '.', '*', '>', '\\', '/'")
    if len(config.name.encode()) > MAX_NAME:
        raise invalid_config(f"stream name is too long, maximum allowed is {MAX_NAME}")
    if len(config.description.encode()) > MAX_DESCRIPTION:
        raise invalid_config(f"stream description is too long, maximum allowed is {MAX_DESCRIPTION}")
    if sum(len(name.encode()) + len(value.encode()) for name, value in config.metadata.items()) > MAX_METADATA:
        raise invalid_config(f"stream metadata exceeds maximum size of {MAX_METADATA} bytes")


def _check_numbers(config: StreamConfig, pedantic: bool) -> None:
    config.num_replicas = config.num_replicas or 1
    if config.num_replicas > MAX_REPLICAS:
        raise invalid_config(f"maximum replicas is {MAX_REPLICAS}")
    if config.num_replicas < 0:
        raise ApiError(10133)
    for name in ("max_msgs", "max_msgs_per_subject", "max_bytes", "max_msg_size", "max_consumers"):
        value = getattr(config, name)
        if value == 0 or value < -1:
            if pedantic and value < -1:
                raise ApiError(10157, err=f"{name} must be set to -1")
            setattr(config, name, -1)
    if config.max_age < 0:
        raise invalid_config("max age can not be negative")
    if 0 < config.max_age < _LEAST:
        raise invalid_config("max age needs to be >= 100ms")


def _check_window(config: StreamConfig, terms: Terms, pedantic: bool) -> None:
    limit = terms.duplicate_window
    if config.duplicate_window == 0 and config.mirror is None and not config.sources:
        window = _WINDOW
        if 0 < limit < window:
            if pedantic:
                raise ApiError(10157, err="duplicate window limits are higher than current limits")
            window = limit
        if 0 < config.max_age < window:
            if pedantic:
                raise ApiError(10157, err="duplicate window cannot be bigger than max age")
            window = config.max_age
        config.duplicate_window = window
    if config.duplicate_window < 0:
        raise invalid_config("duplicates window can not be negative")
    if 0 < config.max_age < config.duplicate_window:
        raise invalid_config("duplicates window can not be larger then max age")
    if 0 < limit < config.duplicate_window:
        raise invalid_config(f"duplicates window can not be larger then server limit of {show_duration(limit / _SECOND)}")
    if 0 < config.duplicate_window < _LEAST:
        raise invalid_config("duplicates window needs to be >= 100ms")


def _check_flags(config: StreamConfig, pedantic: bool) -> None:
    if config.deny_purge and config.allow_rollup_hdrs:
        raise invalid_config("roll-ups require the purge permission")
    if config.allow_msg_counter:
        _check_counter(config)
    _check_discard_per_subject(config)
    if config.subject_delete_marker_ttl < 0:
        raise invalid_config("subject delete marker TTL must not be negative")
    if config.subject_delete_marker_ttl > 0:
        if config.subject_delete_marker_ttl < _SECOND:
            raise invalid_config("subject delete marker TTL must be at least 1 second")
        if not config.allow_msg_ttl and pedantic:
            raise invalid_config("subject delete marker cannot be set if message TTLs are disabled")
        config.allow_msg_ttl = True
        _allow_rollup(config, "subject delete marker", pedantic)
    if config.allow_msg_schedules:
        if config.discard == "new":
            raise invalid_config("message scheduling cannot use discard new")
        _allow_rollup(config, "message scheduling", pedantic)


def _check_counter(config: StreamConfig) -> None:
    for is_wrong, text in (
        (config.discard == "new", "cannot use discard new"),
        (config.allow_msg_ttl, "cannot use message TTLs"),
        (config.allow_msg_schedules, "cannot use message schedules"),
        (config.retention != "limits", "can only use limits retention"),
    ):
        if is_wrong:
            raise invalid_config(f"counter stream {text}")


def _check_discard_per_subject(config: StreamConfig) -> None:
    if config.discard_new_per_subject and config.discard != "new":
        raise invalid_config("discard new per subject requires discard new policy to be set")
    if config.discard_new_per_subject and config.max_msgs_per_subject <= 0:
        raise invalid_config("discard new per subject requires max msgs per subject > 0")


def _allow_rollup(config: StreamConfig, what: str, pedantic: bool) -> None:
    if not config.allow_rollup_hdrs:
        if pedantic:
            raise invalid_config(f"{what} cannot be set if roll-ups are disabled")
        config.allow_rollup_hdrs, config.deny_purge = True, False


def _check_persistence(config: StreamConfig) -> None:
    if config.persist_mode == "async":
        if config.storage != "file":
            raise invalid_config("async persist mode is only supported on file storage")
        if config.num_replicas > 1:
            raise invalid_config("async persist mode is not supported on replicated streams")
        if config.allow_atomic:
            raise invalid_config("async persist mode is not supported with atomic batch publish")


def _check_replicas(config: StreamConfig) -> None:
    if config.num_replicas > 1:
        raise ApiError(10074)


def _check_change(old: StreamConfig, new: StreamConfig) -> None:
    """Refuse what cannot be changed."""
    change = "stream configuration update can not"
    if new.storage != old.storage:
        raise invalid_config(f"{change} change storage type")
    if new.retention != old.retention and "workqueue" in (old.retention, new.retention):
        raise invalid_config(f"{change} change retention policy to/from workqueue")
    if old.sealed and not new.sealed:
        raise invalid_config(f"{change} unseal a sealed stream")
    if old.deny_delete and not new.deny_delete:
        raise invalid_config(f"{change} cancel deny message deletes")
    if old.deny_purge and not new.deny_purge:
        raise invalid_config(f"{change} cancel deny purge")
    if new.mirror is not None and new.mirror != old.mirror:
        raise ApiError(10055)
    if old.allow_msg_ttl and not new.allow_msg_ttl:
        raise invalid_config("message TTL status can not be disabled")
    if new.allow_msg_counter != old.allow_msg_counter:
        raise invalid_config(f"{change} change message counter setting")
    if old.allow_msg_schedules and not new.allow_msg_schedules:
        raise invalid_config("message schedules can not be disabled")
    if new.persist_mode != old.persist_mode:
        raise invalid_config(f"{change} change persist mode")


def _check_consumers(old: StreamConfig, new: StreamConfig, consumers: Collection[tuple[str, ConsumerConfig]]) -> None:
    """Refuse limits that consumers exceed that are there, where a limit changes."""
    limits = new.consumer_limits
    threshold, pending = limits.inactive_threshold, limits.max_ack_pending
    changes = (threshold > 0 and threshold != old.consumer_limits.inactive_threshold) or (
        pending > 0 and pending != old.consumer_limits.max_ack_pending
    )
    if changes:
        names = [
            name for name, each in consumers
            if 0 < threshold < each.inactive_threshold or 0 < pending < each.max_ack_pending
        ]  # fmt: skip
        if names:
            raise ApiError(10069, err=f"change to limits violates consumers: {', '.join(names)}")


def _check_overlap(config: StreamConfig, terms: Terms) -> None:
    others = (subject for name, each in terms.streams.items() if name != config.name for subject in each.subjects)
    crossings = Crossings(config.subjects)
    if config.subjects and any(crossings.find(subject) is not None for subject in others):
        raise ApiError(10065)
