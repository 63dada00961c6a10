"""What a consumer may be: everything that its configuration alone, its stream and the limits can forbid, in nats-server's order."""

from __future__ import annotations

import re
from typing import Final

from midge.durations import show_duration
from midge.engine.consumers.defaults import FED_HEARTBEAT
from midge.engine.consumers.filters import check_filters
from midge.engine.consumers.terms import ConsumerTerms
from midge.engine.errors import ApiError, invalid_config
from midge.engine.names import is_literal, is_name, is_subject
from midge.model.consumer import ConsumerConfig
from midge.quote import quote
from midge.transform import is_subset

__all__ = ["check", "check_backoff", "is_group"]

MAX_DESCRIPTION: Final = 4 * 1024
MAX_METADATA: Final = 128 * 1024
_LEAST_HEARTBEAT: Final = 100_000_000  # nanoseconds
_LEAST_EXPIRES: Final = 1_000_000
_GROUP = re.compile(r"[a-zA-Z0-9/_=-]{1,16}")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_POLICIES = {  # as nats-server calls them
    "all": "all",
    "last": "last",
    "last_per_subject": "last per subject",
    "new": "new",
    "by_start_sequence": "by start sequence",
    "by_start_time": "by start time",
}


def check(config: ConsumerConfig, terms: ConsumerTerms) -> None:
    """Refuse a configuration, which is complete, that cannot be.

    Raises:
        ApiError: why.
    """
    _check_names(config)
    _check_replicas(config, terms)
    if any(each < 0 for each in config.backoff):
        raise ApiError(10184)
    if config.ack_wait < 0:
        raise ApiError(10183)
    if config.ack_policy == "flow_control":
        _check_fed(config)
    check_backoff(config)
    if len(config.description.encode()) > MAX_DESCRIPTION:
        raise ApiError(10107, max=MAX_DESCRIPTION)
    if config.deliver_subject:
        _check_push(config, terms)
    else:
        _check_pull(config, terms)
    _check_limits(config, terms)
    if config.direct and not config.deliver_subject:
        raise ApiError(10090)
    if config.direct and config.durable_name:
        raise ApiError(10091)
    check_filters(config)
    _check_start(config)
    _check_sampling(config)
    if config.flow_control and config.idle_heartbeat == 0:
        raise ApiError(10108)
    if config.durable_name and config.name and config.name != config.durable_name:
        raise ApiError(10132)
    if sum(len(name.encode()) + len(value.encode()) for name, value in config.metadata.items()) > MAX_METADATA:
        raise ApiError(10135, limit=f"{MAX_METADATA // 1024}KB")
    _check_priority(config)


def check_backoff(config: ConsumerConfig) -> None:
    """Refuse more pauses than there are deliveries.

    Raises:
        ApiError: 10116.
    """
    if config.backoff and config.max_deliver != -1 and len(config.backoff) > config.max_deliver:
        raise ApiError(10116)


def is_group(name: str) -> bool:
    """True if a priority group may have the name."""
    return _GROUP.fullmatch(name) is not None


def _check_names(config: ConsumerConfig) -> None:
    for what, name in (("consumer name", config.name), ("consumer durable name", config.durable_name)):
        if name and not is_name(name):
            raise invalid_config(f"{what} can not contain '.', '*', '>', '\\', '/'")


def _check_replicas(config: ConsumerConfig, terms: ConsumerTerms) -> None:
    stream = terms.stream
    if 0 < stream.num_replicas < config.num_replicas:
        raise ApiError(10126)
    if config.num_replicas < 0:
        raise ApiError(10133)
    if stream.retention != "limits" and config.num_replicas not in (0, stream.num_replicas):
        raise ApiError(10134)


def _check_fed(config: ConsumerConfig) -> None:
    """The ack policy flow_control is that of consumers which feed another stream."""
    if not config.deliver_subject:
        raise ApiError(10218)
    if not config.flow_control:
        raise ApiError(10219)
    if config.idle_heartbeat != FED_HEARTBEAT:
        raise invalid_config("flow control ack policy heartbeat needs to be 1s")
    if config.max_ack_pending <= 0:
        raise ApiError(10220)
    if config.ack_wait != 0 or config.backoff:
        raise ApiError(10221)
    if config.max_deliver > 0:
        raise ApiError(10222)


def _check_push(config: ConsumerConfig, terms: ConsumerTerms) -> None:
    subject = config.deliver_subject
    if not is_literal(subject):
        raise ApiError(10079)
    if not is_subject(subject):
        raise ApiError(10112)
    if any(is_subset(subject, each) for each in terms.stream.subjects):
        raise ApiError(10081)
    if config.max_waiting != 0:
        raise ApiError(10080)
    if config.max_ack_pending > 0 and config.ack_policy == "none":
        raise ApiError(10082)
    if 0 < config.idle_heartbeat < _LEAST_HEARTBEAT:
        raise ApiError(10083)


def _check_pull(config: ConsumerConfig, terms: ConsumerTerms) -> None:
    if config.ack_policy == "none" and terms.stream.retention == "workqueue":
        raise ApiError(10084)
    if config.rate_limit_bps > 0:
        raise ApiError(10086)
    if config.idle_heartbeat > 0:
        raise ApiError(10088)
    if config.flow_control:
        raise ApiError(10089)
    if 0 < config.max_expires < _LEAST_EXPIRES:
        raise ApiError(10115)
    if 0 < terms.max_request_batch < config.max_batch:
        raise ApiError(10125, limit=terms.max_request_batch)


def _check_limits(config: ConsumerConfig, terms: ConsumerTerms) -> None:
    limits = terms.stream.consumer_limits
    for limit in (terms.max_ack_pending, terms.account.max_ack_pending, limits.max_ack_pending):
        if 0 < limit < config.max_ack_pending:
            raise ApiError(10121, limit=limit)
    if 0 < limits.inactive_threshold < config.inactive_threshold:
        raise ApiError(10153, limit=show_duration(limits.inactive_threshold / 1e9))


def _check_start(config: ConsumerConfig) -> None:
    """Refuse a start that the policy does not have, or one that it has not."""
    policy = config.deliver_policy
    name = _POLICIES[policy]
    if policy == "by_start_sequence" and config.opt_start_seq == 0:
        raise _bad_start(name, "start sequence is not set")
    if policy == "by_start_time" and config.opt_start_time is None:
        raise _bad_start(name, "start time is not set")
    if policy != "by_start_sequence" and config.opt_start_seq > 0:
        what = "start start sequence" if policy == "by_start_time" else "start sequence"  # as there
        raise _bad_start(name, f"{what} is also set")
    if policy != "by_start_time" and config.opt_start_time is not None:
        raise _bad_start(name, "start time is also set")
    if policy == "last_per_subject" and not config.filter_subject and not config.filter_subjects:
        raise _bad_start(name, "filter subject is not set")


def _bad_start(policy: str, what: str) -> ApiError:
    return ApiError(10094, err=f"consumer delivery policy is deliver {policy}, but optional {what}")


def _check_sampling(config: ConsumerConfig) -> None:
    if not config.sample_freq:
        return
    text = config.sample_freq.removesuffix("%")
    problem = ""
    if _INTEGER.fullmatch(text) is None:
        problem = "invalid syntax"
    elif not -(1 << 63) <= int(text[:40]) < 1 << 63:
        problem = "value out of range"
    if problem:
        raise ApiError(10095, err=f"strconv.Atoi: parsing {quote(text.encode())}: {problem}")
    if int(text) < 0:
        raise ApiError(10095, err="<nil>")


def _check_priority(config: ConsumerConfig) -> None:
    if not config.priority_policy:
        if config.priority_groups:
            raise ApiError(10196)
        if config.priority_timeout > 0:
            raise ApiError(10197)
        return
    if config.deliver_subject:
        raise ApiError(10178)
    if not config.priority_groups:
        raise ApiError(10159)
    for group in config.priority_groups:
        if not group:
            raise ApiError(10161)
        if not is_group(group):
            raise ApiError(10162)
