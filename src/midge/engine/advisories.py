"""Advisories: what the engine tells those who listen on ``$JS.EVENT.ADVISORY.>``. Nothing is made where nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from midge.model.base import time_text

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream
    from midge.model.stream import StreamState

__all__ = [
    "ADVISORY", "audit", "batch_abandoned", "limit_reached", "restore_complete", "restore_create", "snapshot_complete", "snapshot_create",
    "stream_action", "tell",
]  # fmt: skip

ADVISORY = "io.nats.jetstream.advisory.v1."
Client = dict[str, object] | None  # who has asked, where that is known
_NAMES = {"create": b"CREATED", "delete": b"DELETED", "modify": b"UPDATED"}


def audit(engine: Engine, request: ApiRequest, response: bytes) -> None:
    """A request was answered."""
    body: dict[str, object] = {
        "server": engine.server_name,
        "client": request.client or {"acc": request.account.name},
        "subject": request.subject.decode("utf-8", "replace"),
        "request": request.body.decode("utf-8", "replace"),
        "response": response.decode("utf-8", "replace"),
    }
    if not body["request"]:
        del body["request"]
    tell(engine, request.account.name, b"$JS.EVENT.ADVISORY.API", ADVISORY + "api_audit", body)


def limit_reached(engine: Engine, account: str, dropped: int) -> None:
    """Requests were dropped because too many wait."""
    body: dict[str, object] = {"server": engine.server_name, "dropped": dropped}
    tell(engine, account, b"$JS.EVENT.ADVISORY.API.LIMIT_REACHED", ADVISORY + "api_limit_reached", body)


def stream_action(stream: Stream, action: str) -> None:
    """A stream was created, updated or deleted: "create", "modify", "delete"."""
    subject = b"$JS.EVENT.ADVISORY.STREAM.%b.%b" % (_NAMES[action], stream.name.encode("utf-8", "surrogateescape"))
    tell(stream.engine, stream.account.name, subject, ADVISORY + "stream_action", {"stream": stream.name, "action": action})


def batch_abandoned(stream: Stream, batch: bytes, reason: str) -> None:
    """Nothing of a batch is stored: "timeout", "large", "incomplete", "unsupported"."""
    subject = b"$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED." + stream.raw_name
    body: dict[str, object] = {"stream": stream.name, "batch": batch.decode("utf-8", "replace"), "reason": reason}
    tell(stream.engine, stream.account.name, subject, ADVISORY + "stream_batch_abandoned", body)


def snapshot_create(stream: Stream, state: StreamState, client: Client) -> None:
    """A snapshot begins."""
    _transfer(stream.engine, stream.account.name, "snapshot_create", stream.name, {"state": state}, client)


def snapshot_complete(stream: Stream, start: int, error: str, client: Client) -> None:
    """A snapshot has ended, with an error or, where that is empty, well."""
    engine = stream.engine
    times = {"start": time_text(start), "end": time_text(engine.wall)}
    _transfer(engine, stream.account.name, "snapshot_complete", stream.name, times, client, {"error": error} if error else {})


def restore_create(engine: Engine, account: str, stream: str, client: Client) -> None:
    """A stream is being restored."""
    _transfer(engine, account, "restore_create", stream, {}, client)


def restore_complete(engine: Engine, account: str, stream: str, start: int, size: int, client: Client) -> None:
    """That has ended, one way or another; size is the bytes that came."""
    body = {"start": time_text(start), "end": time_text(engine.wall), "bytes": size}
    _transfer(engine, account, "restore_complete", stream, body, client)


def _transfer(
    engine: Engine, account: str, kind: str, stream: str, body: dict[str, Any], client: Client, tail: dict[str, Any] = {}
) -> None:
    subject = b"$JS.EVENT.ADVISORY.STREAM.%b.%b" % (kind.upper().encode(), stream.encode("utf-8", "surrogateescape"))
    tell(engine, account, subject, ADVISORY + kind, {"stream": stream} | body | {"client": client or {"acc": account}} | tail)


def tell(engine: Engine, account: str, subject: bytes, kind: str, body: dict[str, object]) -> None:
    """Tell those who listen to a subject, if there are any; kind is the whole ``type``."""
    if not engine.outside.has_interest(account, subject):
        return
    head: dict[str, object] = {"type": kind, "id": engine.nuid(), "timestamp": time_text(engine.wall)}
    tail = {"domain": engine.domain} if engine.domain else {}
    engine.outside.emit(account, subject, b"", b"", msgspec.json.encode(head | body | tail))
