"""The API's requests about single messages of a stream."""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import b2a_base64
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.engine.jobs import Job, fetch, prepared
from midge.engine.requests import is_empty
from midge.engine.stream_api import find
from midge.model.base import time_of, time_text
from midge.model.requests import MessageDeleteRequest, MessageGetRequest
from midge.model.responses import MessageDeleteResponse, MessageGetResponse
from midge.model.stream import StoredMessage

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream

__all__ = ["delete", "get"]

_PLAIN = re.compile(rb'\{"seq": ?([1-9][0-9]{0,17})\}|\{"last_by_subj": ?"([!#-)+-=?-\[\]-~]+)"\}')  # what most say, without wildcards
_ODD = re.compile(rb'[^!-~]|["\\<>&]')  # of a subject that JSON writes in another way
_ANSWER = (
    b'{"type":"io.nats.jetstream.api.v1.stream_msg_get_response",'
    b'"message":{"subject":"%b","seq":%d%b%b,"time":"%b"}}'
)  # fmt: skip


def get(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.MSG.GET.<stream>``: a message by sequence, the last or the next of a subject, or the first after a time."""
    plain = _PLAIN.fullmatch(request.body)
    if plain is not None and (text := _found(request, plain)):
        request.hand_over_text(text)
        return
    if is_empty(request.body):
        raise ApiError(10003)
    wanted = request.read(MessageGetRequest)
    last, following, at = bool(wanted.last_by_subj), bool(wanted.next_by_subj), wanted.start_time is not None
    if wanted.batch > 0 or wanted.max_bytes > 0:
        raise ApiError(10003)
    if (wanted.seq and (last or at)) or (last and (at or following)) or not (wanted.seq or last or following or at):
        raise ApiError(10003)
    stream = find(request, 3)
    store = stream.store
    start = wanted.seq if wanted.start_time is None else store.at_time(time_of(wanted.start_time))
    subject = wanted.next_by_subj or wanted.last_by_subj
    if subject and not store.prepare((_raw(subject),), start):
        engine.jobs.start(store, _look(stream, request, wanted, start))
    else:
        _give(stream, request, wanted, start)


def _look(stream: Stream, request: ApiRequest, wanted: MessageGetRequest, start: int) -> Job:
    """Answer when it is known what matches."""
    try:
        yield from prepared(stream.store, (_raw(wanted.next_by_subj or wanted.last_by_subj),), start)
        _give(stream, request, wanted, start)
    except Exception as error:  # the safety net: the account's next request waits for this one
        request.refuse(ApiError(10051, err=error))


def _give(stream: Stream, request: ApiRequest, wanted: MessageGetRequest, sequence: int) -> None:
    """Answer with the message that is asked for, of those from a sequence on."""
    store = stream.store
    if wanted.next_by_subj:
        sequence = store.next((_raw(wanted.next_by_subj),), sequence)
    elif wanted.last_by_subj:
        sequence = stream.last_of(_raw(wanted.last_by_subj))
    answer = _answer(stream, request, sequence, wanted.no_hdr)
    if store.committed < sequence <= store.last:
        store.settle(lambda _: stream.engine.jobs.start(store, answer))
    else:
        stream.engine.jobs.start(store, answer)


def _found(request: ApiRequest, plain: re.Match[bytes]) -> bytes:
    """Return the answer to a request that says no more than most; empty where it has to wait, or there is something odd about it."""
    stream = request.account.streams.get(request.tokens[3])
    if stream is None:
        return b""
    sequence = int(plain[1]) if plain[1] else stream.last_of(plain[2])
    sight = stream.store.sight
    if not 0 < sequence <= stream.store.committed or not sight.look(sequence) or _ODD.search(sight.subject):
        return b""
    header, payload = sight.header(), sight.payload()
    return _ANSWER % (
        sight.subject,
        sequence,
        b',"hdrs":"%b"' % b2a_base64(header, newline=False) if header else b"",
        b',"data":"%b"' % b2a_base64(payload, newline=False) if payload else b"",
        time_text(sight.time).encode(),
    )


def _answer(stream: Stream, request: ApiRequest, sequence: int, bare: bool) -> Job:
    try:
        message = (yield from fetch(stream.store, sequence)) if 0 < sequence <= stream.store.committed else None
    except Exception as error:  # the safety net: the account's next request waits for this one
        request.refuse(ApiError(10051, err=error))
        return
    if message is None:
        request.refuse(ApiError(10037))
        return
    request.hand_over(
        MessageGetResponse(
            message=StoredMessage(
                subject=message.subject.decode("utf-8", "replace"),
                seq=message.sequence,
                hdrs="" if bare else b64encode(message.header).decode(),
                data=b64encode(message.payload).decode(),
                time=time_text(message.time),
            )
        )
    )


def delete(engine: Engine, request: ApiRequest) -> None:
    """``STREAM.MSG.DELETE.<stream>``: remove a message, and overwrite it unless that is not wanted."""
    if is_empty(request.body):
        raise ApiError(10003)
    wanted = request.read(MessageDeleteRequest)
    stream = find(request, 3)
    if stream.config.sealed:
        raise ApiError(10109)
    if stream.config.deny_delete:
        raise ApiError(10057, err="message delete not permitted")
    removed = (stream.store.remove if wanted.no_erase else stream.store.erase)(wanted.seq)
    if not removed:
        raise _not_there(stream, wanted.seq)
    stream.changed()
    stream.settled(request, lambda: request.respond(MessageDeleteResponse(success=True)))


def _not_there(stream: Stream, sequence: int) -> ApiError:
    """Return what nats-server says; it depends on which of its stores is asked."""
    if stream.config.storage == "file" and not stream.store.first <= sequence <= stream.store.last:
        return ApiError(10057, err="stream store EOF" if sequence > stream.store.last else "no message found")
    return ApiError(10043, seq=sequence)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
