"""What a message's headers ask for, checked against its stream: ApiError where nats-server refuses. ``admission`` has the order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.engine.renaming import is_publishable
from midge.engine.ttl import parse_ttl
from midge.model.stream import StreamConfig
from midge.quote import quote

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["expect_last", "expectations", "increment", "last_id", "rollup", "room", "schedules"]

_INTEGER = re.compile(rb"[+-]?[0-9]{1,4000}")  # more digits than Python converts, and nobody counts so far
_UNFIT_FOR_COUNTERS = (
    b"Nats-Rollup", b"Nats-Expected-Stream", b"Nats-Expected-Last-Msg-Id", b"Nats-Expected-Last-Subject-Sequence-Subject",
    b"Nats-Expected-Last-Sequence", b"Nats-Expected-Last-Subject-Sequence",
)  # fmt: skip


def increment(config: StreamConfig, values: dict[bytes, bytes], size: int) -> int | None:
    """Return what is to be added to a counter, None where nothing is."""
    text = values.get(b"Nats-Incr")
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise ApiError(10171)
    if not config.allow_msg_counter:
        raise ApiError(10168)
    if size:
        raise ApiError(10170)
    if any(name in values for name in _UNFIT_FOR_COUNTERS):
        raise ApiError(10171)
    return int(text)


def expectations(stream: Stream, values: dict[bytes, bytes], subject: bytes) -> None:
    """Compare what the publisher thinks is stored with what is."""
    name = values.get(b"Nats-Expected-Stream")
    if name is not None and name != stream.raw_name:
        raise ApiError(10060)
    if b"Nats-TTL" in values and not stream.config.allow_msg_ttl and _is_ttl(values[b"Nats-TTL"]):
        raise ApiError(10166)
    expected = values.get(b"Nats-Expected-Last-Subject-Sequence")
    other = values.get(b"Nats-Expected-Last-Subject-Sequence-Subject")
    if expected is not None:
        last = stream.last_of(other or subject)
        if _number(expected) != last:
            raise ApiError(10071, seq=last)
    elif other is not None:
        raise ApiError(10193)
    expected = values.get(b"Nats-Expected-Last-Sequence")
    if expected is not None:
        expect_last(stream, expected)


def expect_last(stream: Stream, expected: bytes) -> None:
    """Compare the sequence of the last message."""
    last = stream.store.last
    if _number(expected) != last:
        raise ApiError(10071, seq=last)


def schedules(values: dict[bytes, bytes], subject: bytes) -> None:
    """Refuse what only a stream with schedules takes."""
    if b"Nats-Schedule" in values:
        raise ApiError(10188)
    scheduler, next = values.get(b"Nats-Scheduler"), values.get(b"Nats-Schedule-Next")
    if next is not None:
        if next != b"purge" or scheduler is None or scheduler == subject or not is_publishable(scheduler):
            raise ApiError(10212)
        raise ApiError(10188)
    if scheduler is not None:
        raise ApiError(10212)


def last_id(values: dict[bytes, bytes], last: bytes) -> None:
    """Compare the id of the last message."""
    expected = values.get(b"Nats-Expected-Last-Msg-Id")
    if expected is not None and expected != last:
        raise ApiError(10070, id=last.decode("utf-8", "replace"))


def rollup(config: StreamConfig, values: dict[bytes, bytes]) -> None:
    """Check that the message may take the place of others."""
    value = values.get(b"Nats-Rollup")
    if value is None:
        return
    if not config.allow_rollup_hdrs or config.deny_purge:
        raise ApiError(10111, err="rollup not permitted")
    if value.lower() not in (b"sub", b"all"):
        raise ApiError(10111, err=f"rollup value invalid: {quote(value.lower())}")


def room(stream: Stream, subject: bytes, weight: int, rolls_up: bool) -> None:
    """Check that a stream that discards what is new has room for it."""
    config, store = stream.config, stream.store
    total = store.total(subject) if config.max_msgs_per_subject > 0 else None
    is_full = total is not None and total.messages >= config.max_msgs_per_subject
    if is_full and config.discard_new_per_subject and not rolls_up:
        raise ApiError(10077, err="maximum messages per subject exceeded")
    if 0 < config.max_msgs <= store.messages and not is_full:
        raise ApiError(10077, err="maximum messages exceeded")
    if 0 < config.max_bytes < store.size + weight:
        if total is None or not is_full or store.size_of(total.first) < weight:  # else it takes the place of the subject's first one
            raise ApiError(10077, err="maximum bytes exceeded")


def _is_ttl(value: bytes) -> bool:
    try:
        return parse_ttl(value) != 0
    except ApiError:
        return False  # told later


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= 20 else -1
