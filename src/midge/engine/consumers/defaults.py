"""What a consumer is given where its configuration leaves something open; with ``pedantic`` what would be set right is refused."""

from __future__ import annotations

from typing import Final

from midge.engine.consumers.terms import ConsumerTerms
from midge.engine.errors import ApiError
from midge.model.consumer import ConsumerConfig

__all__ = ["FED_HEARTBEAT", "fill"]

_SECOND: Final = 1_000_000_000
MAX_WAITING: Final = 512
ACK_WAIT: Final = 30 * _SECOND
MAX_ACK_PENDING: Final = 1_000
PINNED: Final = 120 * _SECOND
FED_HEARTBEAT: Final = _SECOND  # what a consumer has with the ack policy flow_control
_LEAST: Final = (  # what has one lowest value that means something, and what pedantry says of less
    ("max_deliver", -1, "must be set to -1"),
    ("max_waiting", 0, "must not be negative"),
    ("max_ack_pending", -1, "must be set to -1"),
    ("max_batch", 0, "must not be negative"),
    ("max_expires", 0, "must not be negative"),
    ("max_bytes", 0, "must not be negative"),
    ("idle_heartbeat", 0, "must not be negative"),
    ("inactive_threshold", 0, "must not be negative"),
    ("priority_timeout", 0, "must not be negative"),
)


def fill(config: ConsumerConfig, terms: ConsumerTerms, pedantic: bool) -> None:
    """Complete a configuration in place.

    Raises:
        ApiError: 10157, where it would have to be changed and may not.
    """
    for name, least, text in _LEAST:
        if getattr(config, name) < least:
            _allow(not pedantic, f"{name} {text}")
            setattr(config, name, least)
    config.max_deliver = config.max_deliver or -1
    if not config.deliver_subject:
        config.max_waiting = config.max_waiting or MAX_WAITING
    if config.ack_policy in ("explicit", "all"):
        config.ack_wait = config.ack_wait or ACK_WAIT
    if config.backoff:
        _allow(not pedantic or config.ack_wait == config.backoff[0], "first backoff value has to equal batch AckWait")
        config.ack_wait = config.backoff[0]
    _take_limits(config, terms, pedantic)
    if config.priority_policy == "pinned_client":
        config.priority_timeout = config.priority_timeout or PINNED
    if config.ack_policy == "flow_control" and not pedantic:
        config.flow_control, config.idle_heartbeat = True, FED_HEARTBEAT


def _take_limits(config: ConsumerConfig, terms: ConsumerTerms, pedantic: bool) -> None:
    """Give it what the stream, the account and the server allow at most."""
    for name in ("max_ack_pending", "inactive_threshold"):
        limit = getattr(terms.stream.consumer_limits, name)
        if getattr(config, name) == 0:
            _allow(not pedantic or limit <= 0, f"{name} must be set if it's configured in stream limits")
            setattr(config, name, limit)
    if config.max_ack_pending == 0 and config.ack_policy != "none":
        limits = (terms.max_ack_pending, terms.account.max_ack_pending)
        config.max_ack_pending = min([MAX_ACK_PENDING, *(limit for limit in limits if limit > 0)])
    if not config.deliver_subject and config.max_batch == 0 and terms.max_request_batch > 0:
        _allow(not pedantic, "max_request_batch must be set if it's JetStream limits are set")
        config.max_batch = terms.max_request_batch


def _allow(may_change: bool, text: str) -> None:
    if not may_change:
        raise ApiError(10157, err=text)
