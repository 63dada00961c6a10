"""The API's requests about whole streams. What is changed is answered when it is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.advisories import stream_action
from midge.engine.config import created, updated
from midge.engine.errors import ApiError
from midge.engine.jobs import Job
from midge.engine.metadata import decorated
from midge.engine.purging import Purging
from midge.engine.requests import is_empty, is_object
from midge.engine.stream_info import SUBJECTS, describe, gaps_of, subjects_page
from midge.engine.terms import Terms
from midge.model.requests import StreamConfigRequest, StreamInfoRequest, StreamListRequest, StreamPurgeRequest
from midge.model.responses import (
    StreamCreateResponse,
    StreamDeleteResponse,
    StreamInfoResponse,
    StreamListResponse,
    StreamNamesResponse,
    StreamPurgeResponse,
    StreamUpdateResponse,
)
from midge.model.stream import StreamConfig, StreamInfo
from midge.transform import collide

if TYPE_CHECKING:
    from midge.engine.account import Account
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream

__all__ = ["check_supported", "create", "delete", "find", "info", "list_streams", "names", "purge", "terms_of", "update"]

NAMES = 1_024  # of a page
STREAMS = 256
MAX_SEQUENCE = 1 << 62  # where a request may let a stream begin: nobody stores as many messages as are left behind it


def find(request: ApiRequest, place: int) -> Stream:
    """Return the stream that a request names at this place.

    Raises:
        ApiError: there is none (10059).
    """
    stream = request.account.streams.get(request.tokens[place])
    if stream is None:
        raise ApiError(10059)
    return stream


def create(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.CREATE.<stream>``; the same again changes nothing and is answered the same."""
    wanted = request.read(StreamConfigRequest)
    account, name = request.account, request.tokens[2]
    if name in account.restores:
        raise ApiError(10058)
    config = created(wanted, name, terms_of(engine, account))
    stream = account.streams.get(name)
    if stream is None:
        check_supported(engine, config)
        if name in account.unopened:
            raise ApiError(10051, err="a stream of this name is stored here and cannot be opened")
        engine.create_stream(account, config, request.wall, lambda made: _created(engine, request, made))
    else:
        _describe_created(engine, request, stream)


def _created(engine: Engine, request: ApiRequest, made: Stream | Exception) -> None:
    """A new stream is safe, or could not be made so."""
    if isinstance(made, Exception):
        _refuse(engine, request, made)
        return
    stream_action(made, "create")
    _describe_created(engine, request, made)


def _describe_created(engine: Engine, request: ApiRequest, stream: Stream) -> None:
    response = describe(StreamCreateResponse, stream, request.wall)
    response.did_create = True
    response.domain = ""  # as there
    response.config = decorated(stream.config, engine.version)
    request.respond(response)


def update(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.UPDATE.<stream>``."""
    wanted = request.read(StreamConfigRequest)
    account, name = request.account, request.tokens[2]
    if name in account.restores:
        raise ApiError(10059)
    stream = account.streams.get(name)
    consumers = [] if stream is None else [(each.name, each.config) for each in stream.consumers.values()]
    config = updated(wanted, name, terms_of(engine, account), consumers)
    assert stream is not None, "there is one of that name, or updating it was refused"
    check_supported(engine, config)
    engine.update_stream(stream, config, lambda changed: _updated(engine, request, changed))


def _updated(engine: Engine, request: ApiRequest, changed: Stream | Exception) -> None:
    """A stream has another configuration, or keeps the one it has."""
    if isinstance(changed, Exception):
        _refuse(engine, request, changed)
        return
    stream_action(changed, "modify")
    response = describe(StreamUpdateResponse, changed, request.wall)
    response.config = decorated(changed.config, engine.version)
    request.respond(response)


def _refuse(engine: Engine, request: ApiRequest, error: Exception) -> None:
    """Say that something could not be made safe."""
    if isinstance(error, ApiError):
        request.refuse(error)
        return
    engine.outside.failed(f"answering {request.subject.decode('utf-8', 'replace')}", error)
    request.refuse(ApiError(10051, err=error))


def info(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.INFO.<stream>``."""
    wanted = request.read(StreamInfoRequest) if is_object(request.body) else StreamInfoRequest()
    stream = find(request, 2)
    if wanted.subjects_filter or (wanted.deleted_details and stream.store.deleted):
        engine.jobs.start(stream.store, _info_with_details(engine, request, stream, wanted))
    else:
        request.respond(_info(engine, request, stream, []))


def _info(engine: Engine, request: ApiRequest, stream: Stream, deleted: list[int]) -> StreamInfoResponse:
    response = describe(StreamInfoResponse, stream, request.wall, deleted=deleted, cluster=True)
    response.config = decorated(stream.config, engine.version)
    return response


def _info_with_details(engine: Engine, request: ApiRequest, stream: Stream, wanted: StreamInfoRequest) -> Job:
    """Answer with what takes several turns to find: subjects, and the sequences of gaps."""
    offset, total = max(wanted.offset, 0), 0
    subjects: dict[str, int] = {}
    try:
        if wanted.subjects_filter:
            total, subjects = yield from subjects_page(stream, wanted.subjects_filter, offset)
        deleted = (yield from gaps_of(stream)) if wanted.deleted_details else []
        if stream.intake.closed:
            raise ApiError(10059)
        response = _info(engine, request, stream, deleted)
    except ApiError as error:
        request.refuse(error, {"total": 0, "offset": 0, "limit": 0})
        return
    except Exception as error:  # the safety net: the account's next request waits for this one
        request.refuse(ApiError(10051, err=error), {"total": 0, "offset": 0, "limit": 0})
        return
    if total:
        response.total, response.offset, response.limit = total, offset, SUBJECTS
        response.state.subjects = subjects
    request.respond(response)


def names(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.NAMES``."""
    wanted = request.read(StreamListRequest) if is_object(request.body) else StreamListRequest()
    found = [stream.name for stream in _filtered(request, wanted.subject)]
    offset = min(max(wanted.offset, 0), len(found))
    page = found[offset : offset + NAMES] or None
    request.respond(StreamNamesResponse(total=len(found), offset=offset, limit=NAMES, streams=page))


def list_streams(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.LIST``."""
    wanted = request.read(StreamListRequest) if is_object(request.body) else StreamListRequest()
    found = _filtered(request, wanted.subject)
    offset = min(max(wanted.offset, 0), len(found))
    page = [describe(StreamInfo, stream, request.wall) for stream in found[offset : offset + STREAMS]]
    request.respond(StreamListResponse(total=len(found), offset=offset, limit=STREAMS, streams=page))


def delete(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.DELETE.<stream>``."""
    if not is_empty(request.body):
        raise ApiError(10038)
    stream = find(request, 2)
    engine.remove_stream(stream, lambda error: _deleted(engine, request, stream, error))


def _deleted(engine: Engine, request: ApiRequest, stream: Stream, error: Exception | None) -> None:
    """A stream is gone, or could not be deleted."""
    if error is not None:
        _refuse(engine, request, error)
        return
    stream_action(stream, "delete")
    request.respond(StreamDeleteResponse(success=True))


def purge(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.PURGE.<stream>``."""
    wanted = request.read(StreamPurgeRequest) if is_object(request.body) else StreamPurgeRequest()
    if (wanted.seq and wanted.keep) or wanted.seq > MAX_SEQUENCE:
        raise ApiError(10003)
    stream = find(request, 2)
    if stream.config.sealed:
        raise ApiError(10109)
    if stream.config.deny_purge:
        raise ApiError(10110, err="stream purge not permitted")
    filter = wanted.filter.encode("utf-8", "surrogateescape")
    if filter in (b"", b">") and not wanted.keep and not 0 < wanted.seq <= stream.store.last:
        purged = stream.purge(filter, wanted.seq, 0)
        stream.settled(request, lambda: request.respond(StreamPurgeResponse(success=True, purged=purged)))
    else:
        Purging(stream, request, filter, wanted.seq, wanted.keep).begin()


def _filtered(request: ApiRequest, subject: str) -> list[Stream]:
    """Return the account's streams by name; of those that a subject is given for, the ones whose subjects collide with it."""
    streams = request.account.sorted_streams()
    return [stream for stream in streams if not subject or any(collide(subject, each) for each in stream.config.subjects)]


def check_supported(engine: Engine, config: StreamConfig) -> None:
    """Refuse what this version of midge cannot do, rather than do less than was asked for.

    Raises:
        ApiError: the stream would need it (10052).
    """
    origins = [*config.sources, *([config.mirror] if config.mirror is not None else [])]
    wanted = {
        "mirrors and sources of other accounts and domains": any(each.external is not None for each in origins),
    }
    for what, is_wanted in wanted.items():
        if is_wanted:
            raise ApiError(10052, err=f"{what} are not supported yet")
    if config.first_seq > MAX_SEQUENCE:
        raise ApiError(10052, err=f"first sequence is above {MAX_SEQUENCE}")
    if config.storage == "file" and engine.directory is None:
        raise ApiError(10052, err="streams in files need a server with a store_dir")


def terms_of(engine: Engine, account: Account) -> Terms:
    """Return what a configuration has to agree with."""
    assert account.limits is not None
    unlimited = 1 << 62
    return Terms(
        streams=account.configs(),
        account=account.limits,
        max_memory=engine.limits["memory"] or unlimited,
        max_storage=engine.limits["file"] or unlimited,
        reserved_memory=sum(each.reserved("memory") for each in engine.accounts.values()),
        reserved_storage=sum(each.reserved("file") for each in engine.accounts.values()),
        duplicate_window=engine.settings.max_window,
    )
