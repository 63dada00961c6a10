"""What monitoring shows of streams, with the fields of nats-server's /jsz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from midge.engine.stream_info import state_of
from midge.model.base import encode, time_text

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["stream_row"]


def stream_row(stream: Stream) -> dict[str, Any]:
    """Return what there is to say about a stream, as JSON values; its configuration without what is only shown to clients."""
    return {
        "name": stream.name,
        "created": time_text(stream.created),
        "cluster": {"leader": stream.engine.server_name},
        "config": msgspec.json.decode(encode(stream.config)),
        "state": msgspec.json.decode(encode(state_of(stream, False))),
    }
