"""What a message's headers ask for, checked against its stream: ApiError where nats-server refuses. ``admission`` has the order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.engine.headers import add, read_number, value_of
from midge.engine.renaming import is_publishable
from midge.engine.schedule import NEXT, PATTERN, SCHEDULER, ZONE, due
from midge.engine.ttl import parse_ttl
from midge.model.stream import StreamConfig
from midge.quote import quote
from midge.transform import collide

if TYPE_CHECKING:
    from midge.engine.staging import Staged
    from midge.engine.stream import Stream

__all__ = ["expect_last", "expectations", "increment", "last_id", "name", "record", "rollup", "room", "schedules"]

MAX_FILE_RECORD = 32 << 20  # nats-server's rlBadThresh
MAX_HEADER = 65535

_INTEGER = re.compile(rb"[+-]?[0-9]{1,4000}")  # more digits than Python converts, and nobody counts so far
NOTHING: Mapping[bytes, Staged] = MappingProxyType({})
_OF_SCHEDULES = (PATTERN, ZONE, NEXT, SCHEDULER)
_UNFIT_FOR_COUNTERS = (
    b"Nats-Rollup", b"Nats-Expected-Stream", b"Nats-Expected-Last-Msg-Id", b"Nats-Expected-Last-Subject-Sequence-Subject",
    b"Nats-Expected-Last-Sequence", b"Nats-Expected-Last-Subject-Sequence",
)  # fmt: skip


def record(stream: Stream, subject: bytes, header: int, payload: int) -> None:
    """Refuse what no record takes."""
    if stream.config.storage == "file" and stream.store.weight(len(subject), header, payload) > MAX_FILE_RECORD:
        raise ApiError(10077, err="message to large")
    if header > MAX_HEADER:
        raise ApiError(10097)


def name(stream: Stream, values: dict[bytes, bytes]) -> None:
    """Compare the stream that the publisher means."""
    expected = values.get(b"Nats-Expected-Stream")
    if expected is not None and expected != stream.raw_name:
        raise ApiError(10060)


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
    name(stream, values)
    if b"Nats-TTL" in values and not stream.config.allow_msg_ttl and _is_ttl(values[b"Nats-TTL"]):
        raise ApiError(10166)
    expected = values.get(b"Nats-Expected-Last-Subject-Sequence")
    other = values.get(b"Nats-Expected-Last-Subject-Sequence-Subject")
    if expected is not None:
        last = stream.last_of(other or subject)
        if read_number(expected) != last:
            raise ApiError(10071, seq=last)
    elif other is not None:
        raise ApiError(10193)
    expected = values.get(b"Nats-Expected-Last-Sequence")
    if expected is not None:
        expect_last(stream, expected)


def expect_last(stream: Stream, expected: bytes) -> None:
    """Compare the sequence of the last message."""
    last = stream.store.last
    if read_number(expected) != last:
        raise ApiError(10071, seq=last)


def schedules(
    stream: Stream, header: bytes, values: dict[bytes, bytes], subject: bytes, wall: int, staged: Mapping[bytes, Staged] = NOTHING
) -> bytes:
    """Check a message that is a schedule, or ends one; return the header that it is stored with: a schedule takes the place of another.

    Args:
        staged: messages that are going to be stored before it, by subject.
    """
    if values.keys().isdisjoint(_OF_SCHEDULES):
        return header
    is_allowed = stream.config.allow_msg_schedules
    try:
        if ZONE not in values and b"\r\n%b:" % ZONE in header:  # an empty one
            raise ApiError(10223)
        is_schedule = due(values, wall, wall) is not None
    except ApiError:
        if is_allowed:
            raise
        raise ApiError(10188) from None
    if is_schedule:
        if not is_allowed:
            raise ApiError(10188)
        _check_schedule(stream, values, subject)
        if b"Nats-Rollup" not in values:
            header = add(header, b"Nats-Rollup", b"sub")
            values[b"Nats-Rollup"] = b"sub"
        elif values[b"Nats-Rollup"].lower() != b"sub":
            raise ApiError(10192)
    scheduler, next = values.get(SCHEDULER), values.get(NEXT)
    if next is not None:
        if next != b"purge" or scheduler is None or scheduler == subject or not is_publishable(scheduler):
            raise ApiError(10212)
        if not is_allowed:
            raise ApiError(10188)
        if not _may_end(stream, scheduler, staged):
            raise ApiError(10212)
    elif scheduler is not None:
        raise ApiError(10212)
    return header


def _check_schedule(stream: Stream, values: dict[bytes, bytes], subject: bytes) -> None:
    """Check what a schedule says of what it sends."""
    ttl, rollup = values.get(b"Nats-Schedule-TTL"), values.get(b"Nats-Schedule-Rollup", b"sub")
    target, source = values.get(b"Nats-Schedule-Target"), values.get(b"Nats-Schedule-Source")
    if ttl is not None and not _is_valid_ttl(ttl):
        raise ApiError(10191)
    if rollup != b"sub":
        raise ApiError(10192)
    if ttl is not None and not stream.config.allow_msg_ttl:
        raise ApiError(10166)
    if target is None or not is_publishable(target) or target == subject:
        raise ApiError(10190)
    if source is not None and (source in (target, subject) or not is_publishable(source)):
        raise ApiError(10203)
    if not _is_of(stream, target):
        raise ApiError(10190)
    if source is not None and not _is_of(stream, source):
        raise ApiError(10203)


def _may_end(stream: Stream, scheduler: bytes, staged: Mapping[bytes, Staged]) -> bool:
    """True if the last message of the subject is a schedule, or there is none."""
    if scheduler in staged:
        return b"Nats-Schedule" in staged[scheduler].values
    last = stream.last_of(scheduler)
    stored = stream.store.read(last) if last else None
    return stored is None or bool(value_of(stored.header, b"Nats-Schedule"))


def _is_of(stream: Stream, subject: bytes) -> bool:
    text = subject.decode("utf-8", "surrogateescape")
    return any(collide(text, each) for each in stream.config.subjects)


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


def _is_valid_ttl(value: bytes) -> bool:
    try:
        parse_ttl(value)
    except ApiError:
        return False
    return True


def _is_ttl(value: bytes) -> bool:
    try:
        return parse_ttl(value) != 0
    except ApiError:
        return False  # told later
