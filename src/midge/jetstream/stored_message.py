"""StoredMessage: a message as it stands in a stream."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from midge.errors import JetStreamError
from midge.jetstream.errors import MalformedAnswerError, MessageNotFoundError
from midge.message import Headers, Message
from midge.model.base import time_of

__all__ = ["StoredMessage"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_FOUND = 404
_FIRST = "Nats-Stream"  # of what the server adds, behind what the message has


class StoredMessage(NamedTuple):
    """A message that was read from a stream.

    Attributes:
        subject: as it was stored with.
        seq: its sequence in the stream.
        data: the payload.
        headers: its own; what says where it was stored is not among them.
        time: when it was stored.
        stream: the stream's name.
        pending: how many of what was asked for come after it; only where many were.
    """

    subject: str
    seq: int
    data: bytes
    headers: Headers
    time: datetime
    stream: str
    pending: int = 0

    @classmethod
    def from_api(cls, stream: str, message: dict[str, Any]) -> StoredMessage:
        """Return what ``STREAM.MSG.GET`` answers.

        Raises:
            MalformedAnswerError: it is no message.
        """
        try:
            headers = Headers.parse(b64decode(message["hdrs"])) if message.get("hdrs") else Headers()
            data = b64decode(message["data"]) if message.get("data") else b""
            return cls(str(message["subject"]), int(message["seq"]), data, headers, _moment(message["time"]), stream)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise MalformedAnswerError(f"what was told of a message of stream {stream!r} makes no sense: {error!r}") from error

    @classmethod
    def from_direct(cls, message: Message) -> StoredMessage:
        """Return what a direct get answers (ADR-31).

        A message may have headers of the same names itself: one that was published again by a stream does, and whoever publishes may say
        so. The server's are the last.

        Raises:
            MessageNotFoundError: there is none.
            JetStreamError: it was refused.
            MalformedAnswerError: it makes no sense.
        """
        status, headers = message.status, message.headers
        if status is not None:
            kind = MessageNotFoundError if status == _NOT_FOUND else JetStreamError
            raise kind(status, 10037 if status == _NOT_FOUND else 0, headers.description)
        pairs = headers.multi_items()
        try:
            first = max(place for place, pair in enumerate(pairs) if pair[0] == _FIRST)
            added = dict(pairs[first:])
            stream, subject, seq = added[_FIRST], added["Nats-Subject"], int(added["Nats-Sequence"])
            time, pending = _moment(added["Nats-Time-Stamp"]), int(added.get("Nats-Num-Pending", "0"))
        except (KeyError, ValueError, OverflowError) as error:
            raise MalformedAnswerError(f"not the answer of a direct get: {headers!r:.200}") from error
        return cls(subject, seq, message.data, Headers.of_wire(pairs[:first]), time, stream, pending)


def _moment(text: str) -> datetime:
    return _EPOCH + timedelta(microseconds=time_of(text) // 1_000)
