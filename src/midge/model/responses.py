"""The answers of the JetStream API, each with its ``type``.

An answer that carries an object of its own (a stream, a consumer, an account) has nothing of it where it is an error: that is an
``ErrorResponse``, or a ``PagedErrorResponse``. The others have an ``error`` beside what they always have.
"""

from __future__ import annotations

import msgspec

from midge.model.account import AccountInfo
from midge.model.base import ZERO_TIME, Duration, Int, Model, Time, Uint64, always
from midge.model.consumer import ConsumerInfo
from midge.model.stream import ErrorBody, StoredMessage, StreamConfig, StreamInfo, StreamState

__all__ = [
    "AccountInfoResponse",
    "ConsumerCreateResponse",
    "ConsumerDeleteResponse",
    "ConsumerInfoResponse",
    "ConsumerListResponse",
    "ConsumerNamesResponse",
    "ConsumerPauseResponse",
    "ConsumerResetError",
    "ConsumerResetResponse",
    "ConsumerUnpinResponse",
    "ErrorResponse",
    "MessageDeleteResponse",
    "MessageGetResponse",
    "PagedErrorResponse",
    "StreamCreateResponse",
    "StreamDeleteResponse",
    "StreamInfoResponse",
    "StreamListResponse",
    "StreamNamesResponse",
    "StreamPurgeResponse",
    "StreamRestoreResponse",
    "StreamSnapshotResponse",
    "StreamUpdateResponse",
    "type_of",
]

_V1 = "io.nats.jetstream.api.v1."


def type_of(kind: type[Model]) -> str:
    """Return the ``type`` of an answer, for an error in its place."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str), f"{kind.__name__} is no answer"
    return tag


class ErrorResponse(Model):
    """An answer that is nothing but an error."""

    type: str = always("")
    error: ErrorBody | None = None


class PagedErrorResponse(ErrorResponse):
    """The same in place of an answer that has pages."""

    total: Int = always(0)
    offset: Int = always(0)
    limit: Int = always(0)


class AccountInfoResponse(AccountInfo, tag_field="type", tag=_V1 + "account_info_response"):
    """The account."""


class StreamCreateResponse(StreamInfo, tag_field="type", tag=_V1 + "stream_create_response"):
    """The stream there is now."""

    did_create: bool = False


class StreamUpdateResponse(StreamInfo, tag_field="type", tag=_V1 + "stream_update_response"):
    """The stream as it is now."""


class StreamInfoResponse(StreamInfo, tag_field="type", tag=_V1 + "stream_info_response"):
    """The stream, with a page of its subjects."""

    total: Int = always(0)
    offset: Int = always(0)
    limit: Int = always(0)


class _Result(Model):
    error: ErrorBody | None = None


class _Success(_Result):
    success: bool = False


class StreamDeleteResponse(_Success, tag_field="type", tag=_V1 + "stream_delete_response"):
    """It is gone."""


class StreamPurgeResponse(_Success, tag_field="type", tag=_V1 + "stream_purge_response"):
    """So many are gone."""

    purged: Uint64 = always(0)


class MessageDeleteResponse(_Success, tag_field="type", tag=_V1 + "stream_msg_delete_response"):
    """It is gone."""


class ConsumerDeleteResponse(_Success, tag_field="type", tag=_V1 + "consumer_delete_response"):
    """It is gone."""


class _ResultPage(_Result):
    total: Int = always(0)
    offset: Int = always(0)
    limit: Int = always(0)


def _none() -> None:
    """A list that Go writes as null where it is empty."""


class StreamNamesResponse(_ResultPage, tag_field="type", tag=_V1 + "stream_names_response"):
    """The names of streams; None where there are none."""

    streams: list[str] | None = msgspec.field(default_factory=_none)


class StreamListResponse(_ResultPage, tag_field="type", tag=_V1 + "stream_list_response"):
    """Streams."""

    streams: list[StreamInfo] | None = msgspec.field(default_factory=_none)
    missing: list[str] = []
    offline: dict[str, str] = {}


class ConsumerNamesResponse(_ResultPage, tag_field="type", tag=_V1 + "consumer_names_response"):
    """The names of a stream's consumers."""

    consumers: list[str] | None = msgspec.field(default_factory=_none)


class ConsumerListResponse(_ResultPage, tag_field="type", tag=_V1 + "consumer_list_response"):
    """A stream's consumers."""

    consumers: list[ConsumerInfo] | None = msgspec.field(default_factory=_none)
    missing: list[str] = []
    offline: dict[str, str] = {}


class MessageGetResponse(_Result, tag_field="type", tag=_V1 + "stream_msg_get_response"):
    """The message."""

    message: StoredMessage | None = None


class StreamSnapshotResponse(_Result, tag_field="type", tag=_V1 + "stream_snapshot_response"):
    """The chunks follow."""

    config: StreamConfig | None = None
    state: StreamState | None = None


class StreamRestoreResponse(_Result, tag_field="type", tag=_V1 + "stream_restore_response"):
    """Where to send the chunks."""

    deliver_subject: str = always("")


class ConsumerCreateResponse(ConsumerInfo, tag_field="type", tag=_V1 + "consumer_create_response"):
    """The consumer there is now."""


class ConsumerInfoResponse(ConsumerInfo, tag_field="type", tag=_V1 + "consumer_info_response"):
    """The consumer."""


class ConsumerResetResponse(ConsumerInfo, tag_field="type", tag=_V1 + "consumer_reset_response"):
    """The consumer, and where it starts again."""

    reset_seq: Uint64 = always(0)


class ConsumerResetError(ErrorResponse):
    """It starts nowhere else."""

    reset_seq: Uint64 = always(0)


class ConsumerPauseResponse(_Result, tag_field="type", tag=_V1 + "consumer_pause_response"):
    """Whether and until when it is paused."""

    paused: bool = always(False)
    pause_until: Time = always(ZERO_TIME)
    pause_remaining: Duration = 0


class ConsumerUnpinResponse(_Result, tag_field="type", tag=_V1 + "consumer_unpin_response"):
    """Another client is pinned."""
