"""What a publisher asks of a stream beside storing the message, as the headers that say so (ADR-4, 43, 49, 50, 51)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict

from midge.jetstream.schedule import Schedule
from midge.jetstream.ttl import ttl_text
from midge.message import Headers, HeadersLike

__all__ = ["PublishOptions", "headers_with"]


class PublishOptions(TypedDict, total=False):
    """The options of a publish; what is None, or left out, is not asked for.

    Attributes:
        msg_id: the stream stores one message of this id within its ``duplicate_window``.
        expected_stream: the name of the stream that has to be the one.
        expected_last_seq: the last sequence of the stream has to be this.
        expected_last_subject_seq: the last sequence of the subject has to be this; 0 for none.
        expected_last_subject_seq_subject: not of the message's own subject but of this one, which may have wildcards.
        expected_last_msg_id: the id of the last message has to be this.
        ttl: seconds from 1 on after which the message is removed, or "never"; the stream needs ``allow_msg_ttl``.
        rollup: "sub" removes what the subject had before, "all" what the stream had.
        schedule: when and as what the message is to be published again; see ``Schedule``.
    """

    msg_id: str | None
    expected_stream: str | None
    expected_last_seq: int | None
    expected_last_subject_seq: int | None
    expected_last_subject_seq_subject: str | None
    expected_last_msg_id: str | None
    ttl: float | timedelta | str | None
    rollup: str | None
    schedule: Schedule | None


_NAMES = {
    "msg_id": "Nats-Msg-Id",
    "expected_stream": "Nats-Expected-Stream",
    "expected_last_seq": "Nats-Expected-Last-Sequence",
    "expected_last_subject_seq": "Nats-Expected-Last-Subject-Sequence",
    "expected_last_subject_seq_subject": "Nats-Expected-Last-Subject-Sequence-Subject",
    "expected_last_msg_id": "Nats-Expected-Last-Msg-Id",
    "ttl": "Nats-TTL",
    "rollup": "Nats-Rollup",
}


def headers_with(headers: HeadersLike | None, options: PublishOptions) -> Headers | None:
    """Return headers of its own that ask for this too: a message may have to be sent again, when the application has changed its own.

    Raises:
        TypeError, ValueError: an option is unknown, or has a value that makes no sense.
        InvalidHeaderError: a text cannot be the value of a header.
    """
    asked = {name: value for name, value in options.items() if value is not None}
    if not asked:
        return None if headers is None else Headers(headers)
    result = Headers(headers)
    for name, value in asked.items():
        if name == "schedule":
            if not isinstance(value, Schedule):
                raise TypeError(f"schedule is a Schedule, such as Schedule.every(60, 'orders.check'), not {value!r}")
            for line, text in value.headers().items():
                result[line] = text
        elif name in _NAMES:
            result[_NAMES[name]] = _text(name, value)
        else:
            raise TypeError(f"publish has no option {name!r}")
    return result


def _text(name: str, value: Any) -> str:
    if name == "ttl":
        return ttl_text(value)
    if name in ("expected_last_seq", "expected_last_subject_seq"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is a sequence, not {value!r}")
        if value < 0:
            raise ValueError(f"{name}={value}: a sequence is 0 or more")
        return str(value)
    if name == "rollup" and value not in ("sub", "all"):
        raise ValueError(f"rollup={value!r}: expected 'sub' or 'all'")
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {value!r}")
    return value
