"""Answers: the acknowledgements that say more than "done", or want to be confirmed (nats-server's ``processAck``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from midge.durations import parse_duration
from midge.engine.consumers import advisories
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer

__all__ = ["answer"]

_DONE = (b"", b"+ACK", b"+OK")
_LONGEST = 1 << 61  # nanoseconds: 73 years


def answer(consumer: Consumer, sequence: int, delivery: int, deliveries: int, publication: Publication, wall: int) -> None:
    """Do what an acknowledgement says.

    Args:
        sequence, delivery, deliveries: what its subject says: the stream's and the consumer's sequence, and how many deliveries.
    """
    body, reply = publication.payload(), publication.reply()
    is_confirmed = sequence != 0
    if body in _DONE:
        is_confirmed = _is_answered(consumer, sequence)
        ack(consumer, sequence, delivery, deliveries, wall)
    elif body.startswith(b"+NXT"):
        ack(consumer, sequence, delivery, deliveries, wall)
        consumer.ask(reply, b"", body[4:], wall)
        is_confirmed = False
    elif body.startswith(b"-NAK"):
        nak(consumer, sequence, delivery, deliveries, body[4:].strip(), wall)
    elif body == b"+WPI":
        if consumer.ledger.progress(sequence, wall):
            consumer.delivery.touch()
    elif body.startswith(b"+TERM"):
        is_confirmed = _is_answered(consumer, sequence)
        consumer.delivery.ack(sequence, delivery)
        reason = body[5:].strip().decode("utf-8", "replace")
        advisories.terminated(consumer, sequence, delivery, deliveries, reason)
    if reply and is_confirmed:
        consumer.confirm(reply)


def ack(consumer: Consumer, sequence: int, delivery: int, deliveries: int, wall: int) -> None:
    """A message is done with."""
    entry = consumer.ledger.entry(sequence) if consumer.config.sample_freq else None
    consumer.delivery.ack(sequence, delivery)
    if entry is not None and consumer.config.ack_policy == "explicit":
        advisories.acked(consumer, sequence, delivery, deliveries, wall - entry[1])


def nak(consumer: Consumer, sequence: int, delivery: int, deliveries: int, argument: bytes, wall: int) -> None:
    """A message was refused for now: deliver it again, soon or after a delay (Go's text of a duration, or a JSON object with one)."""
    ledger = consumer.ledger
    if not ledger.floor < delivery <= ledger.delivered + 1 or not ledger.has(sequence):
        return
    advisories.naked(consumer, sequence, delivery, deliveries)
    consumer.delivery.touch()
    delay = _delay(argument) if argument else None
    if delay is None:
        ledger.nak(sequence)
        consumer.wake()
    else:
        ledger.postpone(sequence, wall - min(ledger.ack_wait, _LONGEST) + delay)
        consumer.expect(wall + max(delay, 10_000_000))


def _is_answered(consumer: Consumer, sequence: int) -> bool:
    """True if nats-server confirms that a message is done with: not of one that was never delivered. It takes 0 for one."""
    if sequence == 0:
        return consumer.config.ack_policy == "explicit" and consumer.stream.config.retention == "limits"
    return 0 < sequence < consumer.ledger.next


def _delay(argument: bytes) -> int | None:
    """Return nanoseconds, None where it says nothing that could be understood."""
    try:
        if argument.startswith(b"{"):
            found = {str(name).lower(): value for name, value in json.loads(argument).items()}.get("delay", 0)
            delay = found if isinstance(found, int) and not isinstance(found, bool) else None
        else:
            delay = round(parse_duration(argument.decode("utf-8", "surrogateescape")) * 1e9)
    except (ValueError, OverflowError, RecursionError):
        return None
    return None if delay is None else min(max(delay, -_LONGEST), _LONGEST)
