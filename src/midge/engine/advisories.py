"""Advisories: what the engine tells those who listen on ``$JS.EVENT.ADVISORY.>``. Nothing is made where nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from midge.model.base import time_text

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream

__all__ = ["ADVISORY", "audit", "batch_abandoned", "limit_reached", "stream_action", "tell"]

ADVISORY = "io.nats.jetstream.advisory.v1."
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


def tell(engine: Engine, account: str, subject: bytes, kind: str, body: dict[str, object]) -> None:
    """Tell those who listen to a subject, if there are any; kind is the whole ``type``."""
    if not engine.outside.has_interest(account, subject):
        return
    head: dict[str, object] = {"type": kind, "id": engine.nuid(), "timestamp": time_text(engine.wall)}
    tail = {"domain": engine.domain} if engine.domain else {}
    engine.outside.emit(account, subject, b"", b"", msgspec.json.encode(head | body | tail))
