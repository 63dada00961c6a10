"""The API's requests about consumers. What is changed is answered when it is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from midge.engine.consumers import advisories, roster
from midge.engine.consumers.checks import is_group
from midge.engine.consumers.config import Decision, decided, requested
from midge.engine.consumers.lasts import SLICE, Lasts, lasts_for
from midge.engine.consumers.pull import DELETED
from midge.engine.consumers.start import begins_with_lasts, filters_of, looks_from
from midge.engine.consumers.taken import Taken
from midge.engine.consumers.terms import ConsumerTerms
from midge.engine.errors import ApiError
from midge.engine.headers import value_of
from midge.engine.identity import identity_of, short_name
from midge.engine.jobs import Job, prepared
from midge.engine.metadata import decorated, set_level
from midge.engine.requests import is_empty, is_object
from midge.engine.times import in_utc
from midge.model.base import ZERO_TIME, time_of
from midge.model.consumer import ConsumerConfig, ConsumerInfo
from midge.model.requests import (
    ConsumerCreateRequest,
    ConsumerPauseRequest,
    ConsumerResetRequest,
    ConsumerUnpinRequest,
    PagedRequest,
)
from midge.model.responses import (
    ConsumerCreateResponse,
    ConsumerDeleteResponse,
    ConsumerInfoResponse,
    ConsumerListResponse,
    ConsumerNamesResponse,
    ConsumerPauseResponse,
    ConsumerResetError,
    ConsumerResetResponse,
    ConsumerUnpinResponse,
)

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream

__all__ = ["create", "decide", "delete", "info", "list_consumers", "names", "pause", "reset", "terms_of", "unpin"]

InfoT = TypeVar("InfoT", bound=ConsumerInfo)
NAMES: Final = 1_024  # of a page
CONSUMERS: Final = 256
_IDENTITY: Final = b"Nats-Stream-Identity"


class _Asked(NamedTuple):
    """What becomes of a request to create a consumer, or to update the one that is there."""

    stream: Stream
    decision: Decision
    header: bytes  # of the answer


def create(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.CREATE.<stream>[.<consumer>[.<filter>]]``, ``CONSUMER.DURABLE.CREATE.<stream>.<consumer>``; what is there is updated."""
    asked = _asked(engine, request)
    if not asked.decision.is_new:
        _update(request, asked)
    elif _is_found_fast(asked):
        _add(request, asked, None)
    else:
        engine.jobs.add(asked.stream.store, _found(engine, request, asked))


def _asked(engine: Engine, request: ApiRequest) -> _Asked:
    wanted = request.read(ConsumerCreateRequest)
    request.check_level(engine.api_level)
    config = requested(wanted, request.tokens)
    stream = request.account.streams.get(wanted.stream_name)
    if stream is None:
        raise ApiError(10059)
    header = _identified(request, stream) if config.direct or config.sourcing else b""
    return _Asked(stream, decide(stream, config, wanted.action, pedantic=wanted.pedantic), header)


def _add(request: ApiRequest, asked: _Asked, lasts: Lasts | None) -> None:
    """Make a consumer, and answer when it is safe."""
    consumer = roster.add(asked.stream, asked.decision.config, asked.decision.name, request.wall, lasts)
    response = _described(ConsumerCreateResponse, consumer, request.wall)

    def kept() -> None:
        request.respond(response, asked.header)
        if consumer.is_paused(request.wall):
            advisories.paused(consumer, request.wall)

    roster.keep(consumer, _telling(request, kept))


def _update(request: ApiRequest, asked: _Asked) -> None:
    """Let the consumer that is there be configured so, and answer when that is safe."""
    config, consumer = asked.decision.config, asked.stream.consumers[asked.decision.name]

    def changed() -> None:
        if config.sourcing:  # who takes messages from here begins behind what it has
            consumer.reset(_start_of(consumer, 0), request.wall)
        request.respond(_described(ConsumerCreateResponse, consumer, request.wall), asked.header)
        if consumer.is_paused(request.wall):
            advisories.paused(consumer, request.wall)

    roster.change(consumer, config, request.wall, _telling(request, changed))


def decide(stream: Stream, config: ConsumerConfig, action: str, *, pedantic: bool) -> Decision:
    """Return what becomes of a configuration that is asked for.

    Raises:
        ApiError: it may not be.
    """
    attempts, engine = count(), stream.engine
    return decided(
        config,
        action,
        terms_of(engine, stream, _Configs(stream.consumers), _taken(stream)),
        choose=lambda: short_name(f"{engine.nuid()}{next(attempts)}"),
        pedantic=pedantic,
    )


def _is_found_fast(asked: _Asked) -> bool:
    """True if where a new consumer begins is found within this turn."""
    store, config = asked.stream.store, asked.decision.config
    is_short = store.subjects <= SLICE or not begins_with_lasts(config, keeps_one=asked.stream.config.max_msgs_per_subject == 1)
    return store.prepare(filters_of(config), looks_from(store, config)) and is_short


def _found(engine: Engine, request: ApiRequest, asked: _Asked) -> Job:
    """Find out which of many subjects a new consumer is for, and where it begins; then serve the request."""
    stream, config = asked.stream, asked.decision.config
    filters = filters_of(config)
    try:
        yield from prepared(stream.store, filters, looks_from(stream.store, config))
        lasts = yield from lasts_for(stream, config, filters)
        asked = _asked(engine, request)
        if asked.decision.is_new:
            _add(request, asked, lasts)
        else:
            _update(request, asked)
    except ApiError as error:
        request.refuse(error)
    except Exception as error:  # the safety net: the account's next request waits for this one
        if request.is_answered:
            raise
        request.refuse(ApiError(10051, err=error))


def info(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.INFO.<stream>.<consumer>``."""
    _check_empty(request)
    request.respond(_described(ConsumerInfoResponse, _find(request), request.wall))


def names(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.NAMES.<stream>``."""
    found, offset = _page(request)
    page = [consumer.name for consumer in found[offset : offset + NAMES]]
    request.respond(ConsumerNamesResponse(total=len(found), offset=offset, limit=NAMES, consumers=page))


def list_consumers(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.LIST.<stream>``."""
    found, offset = _page(request)
    page = [consumer.info(request.wall) for consumer in found[offset : offset + CONSUMERS]]
    request.respond(ConsumerListResponse(total=len(found), offset=offset, limit=CONSUMERS, consumers=page))


def delete(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.DELETE.<stream>.<consumer>``."""
    _check_empty(request)
    roster.remove(_find(request), DELETED, _telling(request, lambda: request.respond(ConsumerDeleteResponse(success=True))))


def pause(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.PAUSE.<stream>.<consumer>``: until then; without a time, or with one that is over, it goes on."""
    wanted = request.read(ConsumerPauseRequest) if is_object(request.body) else ConsumerPauseRequest()
    consumer = _find(request)
    until = in_utc(wanted.pause_until)
    config = msgspec.structs.replace(consumer.config, pause_until=None if until == ZERO_TIME else until)
    left = max(time_of(until) - request.wall, 0)
    response = ConsumerPauseResponse(paused=left > 0, pause_until=until, pause_remaining=left)
    roster.change(consumer, set_level(config), request.wall, _telling(request, lambda: request.respond(response)))


def unpin(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.UNPIN.<stream>.<consumer>``: another client may have the messages of a group."""
    if not request.body:
        raise ApiError(10025, err="unexpected end of JSON input")
    group = request.read(ConsumerUnpinRequest, strict=False).group
    if not group:
        raise ApiError(10025, err="consumer group not specified")
    if not is_group(group):
        raise ApiError(10162)
    consumer = _find(request)
    if group not in consumer.config.priority_groups:
        raise ApiError(10160)
    roster.unpin(consumer, group)
    request.respond(ConsumerUnpinResponse())


def reset(engine: Engine, request: ApiRequest) -> None:
    """``CONSUMER.RESET.<stream>.<consumer>``: begin again behind the ack floor, or at a sequence. Not answered where it is not there.

    There the consumer itself answers: it is not counted, and nobody who watches the API hears of it.
    """
    stream = request.account.streams.get(request.tokens[2])
    consumer = None if stream is None else stream.consumers.get(request.tokens[3])
    if stream is None or consumer is None or not request.reply:
        request.account.ignore(request)
        return
    try:
        request.check_level(engine.api_level)
        sequence = _start_of(consumer, request.read(ConsumerResetRequest, strict=False).seq)
    except ApiError as error:
        request.hand_over(ConsumerResetError(type=request.kind, error=error.body()))
        return
    consumer.reset(sequence, request.wall)
    response = _described(ConsumerResetResponse, consumer, request.wall)
    response.reset_seq = sequence
    request.hand_over(response, _identity_header(identity_of(stream)) if b"\r\n" + _IDENTITY + b":" in request.header else b"")


def _telling(request: ApiRequest, respond: Callable[[], None]) -> Callable[[OSError | None], None]:
    """Return what answers a request when what it has changed is safe, or says that it could not be made so."""

    def told(error: OSError | None) -> None:
        if error is None:
            respond()
        else:
            request.refuse(ApiError(10104, err=error))

    return told


class _Configs(Mapping[str, ConsumerConfig]):
    """The configurations of a stream's consumers, without copying them."""

    __slots__ = ("_consumers",)

    def __init__(self, consumers: dict[str, Consumer]) -> None:
        self._consumers = consumers

    def __getitem__(self, name: str) -> ConsumerConfig:
        return self._consumers[name].config

    def __iter__(self) -> Iterator[str]:
        return iter(self._consumers)

    def __len__(self) -> int:
        return len(self._consumers)


def _taken(stream: Stream) -> Taken | None:
    """Return what the consumers of a work queue have of it, which is kept from the first time on."""
    if stream.taken is None and stream.config.retention == "workqueue":
        stream.taken = Taken(_Configs(stream.consumers))
    return stream.taken


def terms_of(engine: Engine, stream: Stream, consumers: Mapping[str, ConsumerConfig], taken: Taken | None = None) -> ConsumerTerms:
    """Return what a configuration has to agree with: the stream, and its other consumers by name."""
    account = stream.account
    assert account.limits is not None
    return ConsumerTerms(
        stream=stream.config,
        consumers=consumers,
        taken=taken,
        account=account.limits,
        max_ack_pending=engine.settings.max_ack_pending,
        max_request_batch=engine.settings.max_request_batch,
        max_consumers=engine.settings.max_consumers,
        is_listened=lambda subject: engine.outside.has_interest(account.name, subject.encode("utf-8", "surrogateescape")),
    )


def _find(request: ApiRequest) -> Consumer:
    """Return the consumer that a request names.

    Raises:
        ApiError: there is no such stream (10059) or consumer (10014).
    """
    consumer = _stream(request).consumers.get(request.tokens[3])
    if consumer is None:
        raise ApiError(10014)
    return consumer


def _stream(request: ApiRequest) -> Stream:
    stream = request.account.streams.get(request.tokens[2])
    if stream is None:
        raise ApiError(10059)
    return stream


def _page(request: ApiRequest) -> tuple[list[Consumer], int]:
    """Return the consumers that a stream shows, by name, and where the page begins that is asked for."""
    wanted = request.read(PagedRequest) if is_object(request.body) else PagedRequest()
    consumers = _stream(request).consumers
    found = [consumer for _, consumer in sorted(consumers.items()) if not consumer.config.direct]
    return found, min(max(wanted.offset, 0), len(found))


def _check_empty(request: ApiRequest) -> None:
    if not is_empty(request.body):
        raise ApiError(10038)


def _identified(request: ApiRequest, stream: Stream) -> bytes:
    """Return the header that tells which stream it is that another one takes messages from.

    Raises:
        ApiError: it asks for another one of that name (10225).
    """
    identity = identity_of(stream)
    expected = value_of(request.header, _IDENTITY)
    if expected and expected != identity.encode():
        raise ApiError(10225, msg=identity)
    return _identity_header(identity)


def _identity_header(identity: str) -> bytes:
    return b"NATS/1.0\r\n%b: %b\r\n\r\n" % (_IDENTITY, identity.encode())


def _described(kind: type[InfoT], consumer: Consumer, wall: int) -> InfoT:
    """Return an answer that describes a consumer."""
    info = consumer.info(wall)
    described = kind(**{name: getattr(info, name) for name in ConsumerInfo.__struct_fields__})
    described.config = decorated(consumer.config, consumer.stream.engine.version)
    return described


def _start_of(consumer: Consumer, sequence: int) -> int:
    """Return where a reset lets a consumer begin.

    Args:
        sequence: which is asked for; 0 is behind what is acknowledged.

    Raises:
        ApiError: it may not begin there (10204).
    """
    config = consumer.config
    if sequence == 0:
        return consumer.ledger.stream_floor + 1
    if config.deliver_policy == "by_start_sequence":
        if sequence < config.opt_start_seq:
            raise ApiError(10204, err="below start seq")
    elif config.deliver_policy == "by_start_time":
        assert config.opt_start_time is not None
        if sequence < consumer.stream.store.at_time(time_of(config.opt_start_time)):
            raise ApiError(10204, err="below start time")
    elif config.deliver_policy != "all":
        raise ApiError(10204, err="not allowed")
    return sequence
