"""The JetStream API: which request is answered by what, and the errors that all have in common.

``HANDLERS`` is the whole of it: the tokens behind ``$JS.API``, how many there must be, the ``type`` of the answer, and who gives it. A
subject that is not there gets no answer at all, as with nats-server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from midge.engine import account_api, message_api, stream_api
from midge.engine.consumers import api as consumer_api
from midge.engine.consumers.seeking import is_seeking
from midge.engine.errors import ApiError
from midge.engine.jobs import Job
from midge.engine.snapshots import api as snapshot_api
from midge.model.base import ZERO_TIME

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream

__all__ = ["dispatch"]

_V1 = "io.nats.jetstream.api.v1."
_PAGE = {"total": 0, "offset": 0, "limit": 0}


class _Handler(NamedTuple):
    """One kind of request."""

    size: int  # in tokens
    kind: str
    call: Callable[[Engine, ApiRequest], None]
    rest: dict[str, Any] = {}  # what an error has beside it
    is_open: bool = False  # more tokens may follow
    cost: int = 8  # see ``Engine.step``
    is_read_first: bool = False  # it looks itself for the level that is wanted, when it has read the body


def _needs_cluster(engine: Engine, request: ApiRequest) -> None:
    raise ApiError(10010)


HANDLERS: dict[tuple[str, ...], _Handler] = {
    ("INFO",): _Handler(1, "account_info_response", account_api.info),
    ("STREAM", "CREATE"): _Handler(3, "stream_create_response", stream_api.create),
    ("STREAM", "UPDATE"): _Handler(3, "stream_update_response", stream_api.update),
    ("STREAM", "INFO"): _Handler(3, "stream_info_response", stream_api.info, _PAGE),
    ("STREAM", "NAMES"): _Handler(2, "stream_names_response", stream_api.names, {**_PAGE, "streams": None}),
    ("STREAM", "LIST"): _Handler(2, "stream_list_response", stream_api.list_streams, {**_PAGE, "streams": []}),
    ("STREAM", "DELETE"): _Handler(3, "stream_delete_response", stream_api.delete),
    ("STREAM", "PURGE"): _Handler(3, "stream_purge_response", stream_api.purge, {"purged": 0}),
    ("STREAM", "SNAPSHOT"): _Handler(3, "stream_snapshot_response", snapshot_api.snapshot),
    ("STREAM", "RESTORE"): _Handler(3, "stream_restore_response", snapshot_api.restore, {"deliver_subject": ""}),
    ("STREAM", "MSG", "GET"): _Handler(4, "stream_msg_get_response", message_api.get, cost=2),
    ("STREAM", "MSG", "DELETE"): _Handler(4, "stream_msg_delete_response", message_api.delete),
    ("STREAM", "LEADER", "STEPDOWN"): _Handler(4, "stream_leader_stepdown_response", _needs_cluster),
    ("STREAM", "PEER", "REMOVE"): _Handler(4, "stream_remove_peer_response", _needs_cluster),
    ("STREAM", "PEER", "EVACUATE"): _Handler(4, "stream_evacuate_peer_response", _needs_cluster),
    ("STREAM", "CANCEL_MOVE"): _Handler(3, "stream_cancel_move_response", _needs_cluster),
    ("CONSUMER", "CREATE"): _Handler(3, "consumer_create_response", consumer_api.create, is_open=True, is_read_first=True),
    ("CONSUMER", "DURABLE", "CREATE"): _Handler(5, "consumer_create_response", consumer_api.create, is_read_first=True),
    ("CONSUMER", "INFO"): _Handler(4, "consumer_info_response", consumer_api.info),
    ("CONSUMER", "NAMES"): _Handler(3, "consumer_names_response", consumer_api.names, {**_PAGE, "consumers": []}),
    ("CONSUMER", "LIST"): _Handler(3, "consumer_list_response", consumer_api.list_consumers, {**_PAGE, "consumers": []}),
    ("CONSUMER", "DELETE"): _Handler(4, "consumer_delete_response", consumer_api.delete),
    ("CONSUMER", "PAUSE"): _Handler(4, "consumer_pause_response", consumer_api.pause, {"paused": False, "pause_until": ZERO_TIME}),
    ("CONSUMER", "UNPIN"): _Handler(4, "consumer_unpin_response", consumer_api.unpin),
    ("CONSUMER", "RESET"): _Handler(4, "consumer_reset_response", consumer_api.reset, {"reset_seq": 0}),
    ("CONSUMER", "LEADER", "STEPDOWN"): _Handler(5, "consumer_leader_stepdown_response", _needs_cluster),
}


def _seeking(request: ApiRequest) -> Stream | None:
    """Return the stream of a request about consumers, where it has one that is looking for what it has still to deliver."""
    streams = [request.account.streams.get(token) for token in request.tokens[2:4]]
    found = next((stream for stream in streams if stream is not None), None)
    return found if found is not None and is_seeking(found) else None


def _when_found(engine: Engine, request: ApiRequest, stream: Stream) -> Job:
    """Answer a request when the consumers of a stream know what they have to deliver: what is told of them says how much that is."""
    while not stream.intake.closed and is_seeking(stream):
        yield None
    dispatch(engine, request)


def dispatch(engine: Engine, request: ApiRequest) -> int:
    """Answer a request, or begin to. Returns what that costs."""
    tokens = request.tokens
    handler = next((found for size in (3, 2, 1) if (found := HANDLERS.get(tuple(tokens[:size])))), None)
    if handler is None or len(tokens) < handler.size or (len(tokens) > handler.size and not handler.is_open):
        request.account.ignore(request)
        return 1
    request.kind = _V1 + handler.kind
    try:
        if not handler.is_read_first:
            request.check_level(engine.api_level)
        if request.account.limits is None:
            raise ApiError(10039)
        if tokens[0] == "CONSUMER" and (stream := _seeking(request)) is not None:
            engine.jobs.add(stream.store, _when_found(engine, request, stream))
            return handler.cost
        handler.call(engine, request)
    except ApiError as error:
        request.refuse(error, handler.rest)
    except Exception as error:  # the safety net: the account's next requests must not wait for ever
        if request.is_answered:
            raise
        engine.outside.failed(f"answering {request.subject.decode('utf-8', 'replace')}", error)
        request.refuse(ApiError(10051, err=error), handler.rest)
    return handler.cost
