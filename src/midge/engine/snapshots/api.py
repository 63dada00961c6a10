"""The API's requests about snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.config import restored
from midge.engine.errors import ApiError
from midge.engine.names import is_literal, is_subject
from midge.engine.requests import is_empty
from midge.engine.snapshots.restore import Restore
from midge.engine.snapshots.snapshot import Snapshot
from midge.engine.stream_api import check_supported, find, terms_of
from midge.model.requests import StreamRestoreRequest, StreamSnapshotRequest
from midge.model.responses import StreamRestoreResponse, StreamSnapshotResponse

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest

__all__ = ["restore", "snapshot"]

TRANSFERS = 16  # that an account may have at once: each holds some memory, and one asks for the next


def snapshot(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.SNAPSHOT.<stream>``: send it to somebody, who is answered first."""
    if is_empty(request.body):
        raise ApiError(10003)
    stream = find(request, 2)
    wanted = request.read(StreamSnapshotRequest)
    if not is_subject(wanted.deliver_subject) or not is_literal(wanted.deliver_subject):
        raise ApiError(10015)
    if len(request.account.transfers) >= TRANSFERS:
        raise ApiError(10064, err=f"{TRANSFERS} streams are being sent or restored already")

    def begin(error: Exception | None) -> None:
        if error is not None or stream.intake.closed:
            request.refuse(ApiError(10064, err=error or "store is closed"))
            return
        found = Snapshot(stream, wanted, request.client)
        request.respond(StreamSnapshotResponse(config=stream.config, state=found.state))
        found.begin()

    stream.store.settle(begin)


def restore(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.RESTORE.<stream>``: say where to send it."""
    if is_empty(request.body):
        raise ApiError(10003)
    wanted = request.read(StreamRestoreRequest)
    account, name = request.account, request.tokens[2]
    config = restored(wanted.config, name, terms_of(engine, account))
    check_supported(engine, config)
    if name in account.unopened:
        raise ApiError(10051, err="a stream of this name is stored here and cannot be opened")
    if len(account.transfers) >= TRANSFERS:
        raise ApiError(10062, err=f"{TRANSFERS} streams are being sent or restored already")
    found = Restore(account, config, request.client)
    found.begin()
    request.respond(StreamRestoreResponse(deliver_subject=found.subject.decode("utf-8", "surrogateescape")))
