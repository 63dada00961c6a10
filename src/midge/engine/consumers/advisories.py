"""Advisories and metrics of consumers: what is told to those who listen on ``$JS.EVENT``. Nothing is made where nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.advisories import ADVISORY, tell
from midge.model.base import ZERO_TIME, time_of

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer

__all__ = ["acked", "action", "max_deliveries", "naked", "paused", "pinned", "sample_rate", "terminated", "unpinned"]

_METRIC = "io.nats.jetstream.metric.v1."
_NAMES = {"create": b"CREATED", "delete": b"DELETED"}
_PERCENT = 100


def action(consumer: Consumer, what: str) -> None:
    """A consumer was made or deleted: "create", "delete"."""
    _tell(consumer, _NAMES[what], "consumer_action", {"action": what})


def paused(consumer: Consumer, wall: int) -> None:
    """A consumer was paused, or goes on."""
    until = consumer.config.pause_until
    is_paused = until is not None and wall < time_of(until)
    _tell(consumer, b"PAUSE", "consumer_pause", {"paused": is_paused, "pause_until": until or ZERO_TIME})


def pinned(consumer: Consumer, group: str, pin: str) -> None:
    """A client is the one that gets messages from now on."""
    body: dict[str, object] = {"account": consumer.stream.account.name, "group": group, "pinned_id": pin}
    _tell(consumer, b"PINNED", "consumer_group_pinned", body)


def unpinned(consumer: Consumer, group: str, reason: str) -> None:
    """It is not any more: "admin", "timeout"."""
    body: dict[str, object] = {"account": consumer.stream.account.name, "group": group, "reason": reason}
    _tell(consumer, b"UNPINNED", "consumer_group_unpinned", body)


def max_deliveries(consumer: Consumer, sequence: int, deliveries: int) -> None:
    """A message is not delivered again: that was tried often enough."""
    _tell(consumer, b"MAX_DELIVERIES", "max_deliver", {"stream_seq": sequence, "deliveries": deliveries})


def naked(consumer: Consumer, sequence: int, delivery: int, deliveries: int) -> None:
    """A message was refused by its receiver, who will have it later; delivery is the consumer's sequence of it."""
    _tell(consumer, b"MSG_NAKED", "nak", {"consumer_seq": delivery, "stream_seq": sequence, "deliveries": deliveries})


def terminated(consumer: Consumer, sequence: int, delivery: int, deliveries: int, reason: str) -> None:
    """A message was refused for good; the reason may be empty."""
    body: dict[str, object] = {"consumer_seq": delivery, "stream_seq": sequence, "deliveries": deliveries}
    _tell(consumer, b"MSG_TERMINATED", "terminated", body | ({"reason": reason} if reason else {}))


def acked(consumer: Consumer, sequence: int, delivery: int, deliveries: int, delay: int) -> None:
    """A message was acknowledged, so many nanoseconds after it was delivered: told of as many as ``sample_freq`` says."""
    rate = sample_rate(consumer.config.sample_freq)
    if rate <= 0 or (rate < _PERCENT and consumer.stream.engine.choose(_PERCENT) > rate):
        return
    body: dict[str, object] = {"consumer_seq": delivery, "stream_seq": sequence, "ack_time": delay, "deliveries": deliveries}
    subject = b"$JS.EVENT.METRIC.CONSUMER.ACK.%b.%b" % (consumer.stream.raw_name, consumer.raw_name)
    tell(consumer.stream.engine, consumer.stream.account.name, subject, _METRIC + "consumer_ack", _named(consumer) | body)


def sample_rate(frequency: str) -> int:
    """Return the percentage that a ``sample_freq`` means: "30%" or "30"; 0 where it is none.

    As nats-server reads it, with a sign if there is one, and nothing else beside the digits.
    """
    digits = frequency.removesuffix("%")
    return int(digits) if len(digits) < 10 and digits.removeprefix("-").removeprefix("+").isdecimal() and digits.isascii() else 0


def _tell(consumer: Consumer, name: bytes, kind: str, body: dict[str, object]) -> None:
    subject = b"$JS.EVENT.ADVISORY.CONSUMER.%b.%b.%b" % (name, consumer.stream.raw_name, consumer.raw_name)
    tell(consumer.stream.engine, consumer.stream.account.name, subject, ADVISORY + kind, _named(consumer) | body)


def _named(consumer: Consumer) -> dict[str, object]:
    return {"stream": consumer.stream.name, "consumer": consumer.name}
