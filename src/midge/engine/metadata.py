"""What the server adds to the metadata of streams and consumers: the level of the API that they need, kept; its own and its version, shown.

A configuration that comes from a client may carry them, from an answer that it edited: what is only shown is taken out, and the level that
is needed is found out anew.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from midge.model.base import ZERO_TIME
from midge.model.consumer import ConsumerConfig
from midge.model.stream import StreamConfig

__all__ = ["API_LEVEL", "decorated", "is_supported", "keep_level", "needed_level", "set_level"]

ConfigT = TypeVar("ConfigT", StreamConfig, ConsumerConfig)
API_LEVEL: Final = 5
_NEEDED, _VERSION, _LEVEL = "_nats.req.level", "_nats.ver", "_nats.level"
_ALONE: Final = [{_NEEDED: str(level)} for level in range(API_LEVEL + 1)]  # most have no other: they share it
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def needed_level(config: StreamConfig | ConsumerConfig) -> int:
    """Return the level of the API that a stream or consumer needs."""
    if isinstance(config, ConsumerConfig):
        return _needed_by_consumer(config)
    if config.allow_batched:
        return 4
    if config.allow_msg_counter or config.allow_atomic or config.allow_msg_schedules or config.persist_mode == "async":
        return 2
    return 1 if config.allow_msg_ttl or config.subject_delete_marker_ttl > 0 else 0


def set_level(config: ConfigT) -> ConfigT:
    """Return a configuration from a client with the metadata to keep."""
    level, kept = needed_level(config), _kept(config)
    kept.pop(_NEEDED, None)
    return msgspec.structs.replace(config, metadata=_sorted(kept | {_NEEDED: str(level)}) if kept else _ALONE[level])


def keep_level(config: ConfigT, old: ConfigT) -> ConfigT:
    """Return it with the level that is kept with an old one, or without: so that they compare equal where nothing else differs."""
    kept = {name: value for name, value in _kept(config).items() if name != _NEEDED}
    if _NEEDED in old.metadata:
        kept[_NEEDED] = old.metadata[_NEEDED]
    return msgspec.structs.replace(config, metadata=kept)


def decorated(config: ConfigT, version: str) -> ConfigT:
    """Return it as answers show it."""
    return msgspec.structs.replace(config, metadata=_sorted(config.metadata | {_VERSION: version, _LEVEL: str(API_LEVEL)}))


def is_supported(level: str) -> bool:
    """True if a level that a request or a kept stream asks for is one that we have; what is no number is not."""
    return not level or (_INTEGER.fullmatch(level) is not None and int(level) <= API_LEVEL)


def _needed_by_consumer(config: ConsumerConfig) -> int:
    if config.ack_policy == "flow_control":
        return 4
    is_paused = config.pause_until not in (None, ZERO_TIME)
    return 1 if is_paused or config.priority_policy or config.priority_timeout != 0 or config.priority_groups else 0


def _kept(config: StreamConfig | ConsumerConfig) -> dict[str, str]:
    return {name: value for name, value in config.metadata.items() if name not in (_VERSION, _LEVEL)}


def _sorted(metadata: dict[str, str]) -> dict[str, str]:
    """Return it by name, as Go writes it."""
    return dict(sorted(metadata.items()))
