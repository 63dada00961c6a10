"""The configuration of a consumer: what nats-server makes of one that a client sends, and what it refuses, in its order and its words.

``requested`` finds out what a request asks for, by its body and by its subject; ``decided`` what comes of it. Neither changes what it is
given. With ``pedantic``, what would be set right is refused instead.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Final, NamedTuple

import msgspec

from midge.engine.consumers.checks import check, check_backoff
from midge.engine.consumers.defaults import fill
from midge.engine.consumers.filters import filters_of
from midge.engine.consumers.taken import taken_of
from midge.engine.consumers.terms import ConsumerTerms, is_feeding
from midge.engine.errors import ApiError
from midge.engine.metadata import keep_level, set_level
from midge.engine.times import in_utc
from midge.model.base import time_of
from midge.model.consumer import ConsumerConfig
from midge.model.requests import ConsumerCreateRequest

__all__ = ["Decision", "decided", "requested"]

MAX_NAME: Final = 255
INACTIVE: Final = 5_000_000_000  # nanoseconds after which a consumer that is not durable goes
_FIXED = (  # what stays as it was created, in the order in which it is asked for
    ("deliver_policy", "deliver policy"),
    ("mem_storage", "storage type"),
    ("direct", "direct"),
    ("sourcing", "sourcing"),
    ("opt_start_seq", "start sequence"),
    ("opt_start_time", "start time"),
    ("ack_policy", "ack policy"),
    ("replay_policy", "replay policy"),
    ("idle_heartbeat", "heart beats"),
    ("flow_control", "flow control"),
)


class Decision(NamedTuple):
    """What comes of a request.

    Attributes:
        config: of the consumer.
        name: its name.
        is_new: it was not there; otherwise it changes to this configuration.
    """

    config: ConsumerConfig
    name: str
    is_new: bool


def requested(request: ConsumerCreateRequest, tokens: list[str]) -> ConsumerConfig:
    """Return the configuration that is asked for, under the name that it is to have: that of the subject, if there is one.

    Args:
        tokens: those of the subject behind ``$JS.API``.

    Raises:
        ApiError: subject and body do not agree.
    """
    config = msgspec.structs.replace(request.config)
    is_durable = tokens[1] == "DURABLE"
    stream, *rest = tokens[3:] if is_durable else tokens[2:]
    name, filter = rest[0] if rest else config.name, ".".join(rest[1:])
    if stream != request.stream_name:
        raise ApiError(10056)
    if "/" in name or "\\" in name:
        raise ApiError(10127)
    if is_durable and not config.durable_name:
        raise ApiError(10018)
    if rest and config.durable_name and name != config.durable_name:
        raise ApiError(10017)
    if rest:
        config.name = name
    elif config.durable_name:
        raise ApiError(10020)
    if filter and config.filter_subjects:
        raise ApiError(10137)
    if filter and config.filter_subject != filter:
        raise ApiError(10131)
    if config.num_replicas > 1:
        raise ApiError(10074)
    return config


def decided(config: ConsumerConfig, action: str, terms: ConsumerTerms, *, choose: Callable[[], str], pedantic: bool = False) -> Decision:
    """Return what becomes of the consumer that is asked for.

    Args:
        config: what was requested.
        action: "" creates or updates, "create" and "update" do one of them.
        choose: returns a new name each time.

    Raises:
        ApiError: it may not be.
    """
    config = set_level(_prepared(config, terms, choose))
    fill(config, terms, pedantic)
    check(config, terms)
    name = config.durable_name or config.name
    old = terms.consumers.get(name) if name else None
    if old is not None:
        return Decision(_updated(config, old, name, action, terms), name, is_new=False)
    if action == "update":
        raise ApiError(10149)
    if not is_feeding(config):
        terms.check_number()
        if terms.stream.retention == "workqueue":
            _check_queue(config, name, terms)
    if len(config.durable_name.encode()) > MAX_NAME:
        raise ApiError(10102, max=MAX_NAME)
    if not config.durable_name and config.inactive_threshold <= 0:
        config.inactive_threshold = INACTIVE
    while not name or (name != config.durable_name and name != config.name and name in terms.consumers):
        name = choose()
    return Decision(_compact(config), name, is_new=True)


def _compact(config: ConsumerConfig) -> ConsumerConfig:
    """Let a configuration that is kept share what many have: each name of a policy, and its own name, once."""
    config.deliver_policy, config.ack_policy = intern(config.deliver_policy), intern(config.ack_policy)
    config.replay_policy = intern(config.replay_policy)
    if config.name == config.durable_name:
        config.name = config.durable_name
    return config


def _prepared(config: ConsumerConfig, terms: ConsumerTerms, choose: Callable[[], str]) -> ConsumerConfig:
    """Return what is asked for where a consumer feeds another stream, or is there already."""
    config = msgspec.structs.replace(config)
    if config.direct and config.sourcing and config.name:
        if terms.stream.retention != "limits":  # what it has passed on is removed here: it has to last
            config.direct, config.durable_name = False, config.name
            config.ack_policy, config.ack_wait, config.max_deliver, config.inactive_threshold = "flow_control", 0, 0, 0
        else:  # the other side always asks for the same name
            config.name = f"{config.name}-{choose()}"
    old = terms.consumers.get(config.name) if config.name else None
    if old is not None:
        config.pause_until = old.pause_until
        if config.sourcing and config.durable_name:
            config.deliver_policy, config.opt_start_seq, config.opt_start_time = old.deliver_policy, old.opt_start_seq, old.opt_start_time
    return config


def _updated(config: ConsumerConfig, old: ConsumerConfig, name: str, action: str, terms: ConsumerTerms) -> ConsumerConfig:
    if action == "create":
        config = keep_level(config, old)
        if config != old:
            raise ApiError(10148)
    if terms.stream.retention == "workqueue" and taken_of(terms).is_shared(name, filters_of(config)):
        raise ApiError(10100)
    if config != old:
        _check_change(config, old, terms)
    if config.inactive_threshold != old.inactive_threshold and not old.durable_name and config.inactive_threshold <= 0:
        config.inactive_threshold = INACTIVE
    if config.pause_until is not None:
        config.pause_until = in_utc(config.pause_until)
    return config


def _check_change(new: ConsumerConfig, old: ConsumerConfig, terms: ConsumerTerms) -> None:
    """Refuse what cannot be changed."""
    for field, what in _FIXED:
        if getattr(new, field) != getattr(old, field) and not (field == "opt_start_time" and _is_same_time(new, old)):
            raise ApiError(10012, err=f"{what} can not be updated")
    if new.deliver_subject != old.deliver_subject:
        if not old.deliver_subject:
            raise ApiError(10012, err="can not update pull consumer to push based")
        if not new.deliver_subject:
            raise ApiError(10012, err="can not update push consumer to pull based")
        if terms.is_listened(old.deliver_subject):
            raise ApiError(10013)
    if new.max_waiting != old.max_waiting:
        raise ApiError(10012, err="max waiting can not be updated")
    check_backoff(new)


def _check_queue(config: ConsumerConfig, name: str, terms: ConsumerTerms) -> None:
    """Refuse what would take other consumers' messages from the queue, or take them without acknowledging."""
    if config.ack_policy not in ("explicit", "flow_control"):
        raise ApiError(10098)
    if config.deliver_policy != "all":
        raise ApiError(10101)
    if all(is_feeding(each) for each in terms.consumers.values()):
        return
    filters = filters_of(config)
    if not filters:
        raise ApiError(10099)
    if taken_of(terms).is_shared(name, filters):
        raise ApiError(10100)


def _is_same_time(new: ConsumerConfig, old: ConsumerConfig) -> bool:
    """True if both begin at the same moment, perhaps written for different time zones."""
    if new.opt_start_time is None or old.opt_start_time is None:
        return False
    return time_of(new.opt_start_time) == time_of(old.opt_start_time)
