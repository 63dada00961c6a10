"""What monitoring shows of streams, with the fields of nats-server's /jsz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from midge.engine.stream_info import describe
from midge.model.base import encode, time_text
from midge.model.stream import StreamInfo

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.stream import Stream

__all__ = ["consumer_row", "stream_row"]


def stream_row(stream: Stream) -> dict[str, Any]:
    """Return what there is to say about a stream, as JSON values; its configuration without what is only shown to clients."""
    info = msgspec.json.decode(encode(describe(StreamInfo, stream, stream.engine.wall, cluster=True)))
    row = {"name": stream.name, "created": time_text(stream.created)}
    return row | {name: info[name] for name in ("cluster", "config", "state", "mirror", "sources") if name in info}


def consumer_row(consumer: Consumer) -> dict[str, Any]:
    """Return what there is to say about a consumer, the same way."""
    row: dict[str, Any] = msgspec.json.decode(encode(consumer.info(consumer.stream.engine.wall)))
    return row
