"""Where a stream takes its messages from: what its mirror and its sources may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from midge.engine.config_subjects import check_mapping
from midge.engine.crossings import LOOKS, Crossings, too_much_work
from midge.engine.errors import ApiError, invalid_config
from midge.engine.identity import short_name
from midge.engine.names import is_literal, is_name, is_subject
from midge.model.stream import StreamConfig, StreamConsumerSource, StreamSource
from midge.quote import quote
from midge.transform import collide

__all__ = ["check_origins", "check_transforms", "index_name"]

_API = "$JS.API"


def check_origins(config: StreamConfig, streams: Mapping[str, StreamConfig], pedantic: bool) -> None:
    """Refuse a mirror or sources that cannot be; a mirror takes over whether its origin can be read directly."""
    if config.mirror is not None:
        _check_mirror(config, config.mirror)
        if config.mirror.external is None:
            _check_origin_of_mirror(config, config.mirror, streams, pedantic)
    if config.sources and config.allow_msg_schedules:
        raise ApiError(10187)
    _check_sources(config, streams)
    _check_prefixes(config, streams)
    _check_cycle(config, streams)


def check_transforms(config: StreamConfig) -> None:
    """Refuse what a new stream's origins cannot be filtered by: the last of it, of what is not refused before."""
    origins = [("mirror", config.mirror)] if config.mirror is not None else []
    for what, origin in (*origins, *(("source", source) for source in config.sources)):
        if not origin.subject_transforms and origin.filter_subject and not is_subject(origin.filter_subject):
            colon = "" if what == "mirror" else ":"
            raise ApiError(10049, err=f"subject filter '{origin.filter_subject}' for the {what}{colon} invalid subject")


def index_name(source: StreamSource) -> str:
    """Return what tells a source from others: two of one stream have different filters, transforms, prefixes or consumers."""
    name = source.name
    if source.external is not None:
        name += f":{short_name(source.external.api)}"
    if source.consumer is not None:
        name += f":C={short_name(source.consumer.name)}"
    if not source.subject_transforms:
        return f"{name} {source.filter_subject or '>'} >"
    sources = "\f".join(transform.src or ">" for transform in source.subject_transforms)
    return f"{name} {sources} " + "\f".join(transform.dest or ">" for transform in source.subject_transforms)


def _check_mirror(config: StreamConfig, mirror: StreamSource) -> None:
    for is_wrong, code in (
        (config.first_seq > 0, 10143),
        (bool(config.subjects), 10034),
        (bool(config.sources), 10031),
        (config.allow_msg_counter, 10173),
        (config.allow_atomic, 10198),
        (config.allow_batched, 10209),
        (config.allow_msg_schedules, 10186),
    ):
        if is_wrong:
            raise ApiError(code)
    if mirror.consumer is not None and not _is_consumer(mirror, mirror.consumer):
        raise ApiError(10213)
    if mirror.filter_subject and mirror.subject_transforms:
        raise ApiError(10150)
    if config.subject_delete_marker_ttl > 0:
        raise invalid_config("subject delete markers forbidden on mirrors")
    crossings = Crossings([transform.src for transform in mirror.subject_transforms])
    for place, transform in enumerate(mirror.subject_transforms):
        if transform.src and not is_subject(transform.src):
            raise ApiError(10151, err=f"invalid subject {transform.src}")
        try:
            check_mapping(transform.src, transform.dest)
        except ValueError as error:
            raise ApiError(10154, err=error) from None
        if crossings.find(transform.src, place + 1) is not None:
            raise ApiError(10152)


def _check_origin_of_mirror(config: StreamConfig, mirror: StreamSource, streams: Mapping[str, StreamConfig], pedantic: bool) -> None:
    if not is_name(mirror.name):
        raise ApiError(10142)
    origin = streams.get(mirror.name)
    if origin is None:
        return
    if 0 < config.max_msg_size < origin.max_msg_size:
        raise ApiError(10030)
    if pedantic and config.mirror_direct != origin.allow_direct:
        raise ApiError(10157, err="origin stream has direct get set, mirror has it disabled")
    config.mirror_direct = origin.allow_direct


def _check_sources(config: StreamConfig, streams: Mapping[str, StreamConfig]) -> None:
    names: set[str] = set()
    consumers: set[tuple[str, str | None, str]] = set()
    for source in config.sources:
        if not is_name(source.name):
            raise ApiError(10141)
        if index_name(source) in names:
            raise ApiError(10140)
        names.add(index_name(source))
        _check_source(source)
        if source.consumer is not None:
            if not _is_consumer(source, source.consumer):
                raise ApiError(10215)
            key = (source.name, source.external.api if source.external else None, source.consumer.name)
            if key in consumers:
                raise ApiError(10216)
            consumers.add(key)
        origin = streams.get(source.name) if source.external is None else None
        if origin is not None and 0 < config.max_msg_size < origin.max_msg_size:
            raise ApiError(10046)


def _check_source(source: StreamSource) -> None:
    if source.filter_subject and source.subject_transforms:
        raise ApiError(10144)
    for transform in source.subject_transforms:
        if transform.src and not is_subject(transform.src):
            raise ApiError(10145, err=f"invalid subject {transform.src}")
        try:
            check_mapping(transform.src, transform.dest)
        except ValueError as error:
            raise ApiError(10146, err=error) from None
    crossings = Crossings([transform.src for transform in source.subject_transforms])
    if any(crossings.is_within(place) for place in range(len(source.subject_transforms))):
        raise ApiError(10147)


def _check_prefixes(config: StreamConfig, streams: Mapping[str, StreamConfig]) -> None:
    """Refuse prefixes of other accounts and domains that are ours."""
    origins = list(_origins(config))
    external = [origin.external for origin in origins if origin.external is not None]
    subjects = [
        subject for origin in origins if origin.external is None and origin.name in streams for subject in streams[origin.name].subjects
    ]
    if len(external) * len(subjects) > LOOKS:
        raise too_much_work()
    for prefix in (each.deliver for each in external if each.deliver):
        if not is_subject(prefix) or not is_literal(prefix):
            raise ApiError(10024, prefix=prefix)
        for subject in subjects:
            if collide(subject, f"{prefix}.{subject}"):
                raise ApiError(10022, prefix=prefix, subject=subject)
    for prefix in (each.api for each in external if each.api):
        if not is_subject(prefix) or not is_literal(prefix):
            raise invalid_config(f"stream external api prefix {quote(prefix.encode())} must be a valid subject without wildcards")
        if collide(prefix, _API):
            raise ApiError(10021, prefix=prefix, subject=_API)


def _check_cycle(config: StreamConfig, streams: Mapping[str, StreamConfig]) -> None:
    """Refuse a stream that takes messages from itself, by way of others. Each is looked at once, however many ways lead there."""
    waiting, visited = {config.name: config}, set[str]()
    while waiting:
        each = waiting.pop(next(iter(waiting)))
        visited.add(each.name)
        crossings = Crossings(each.subjects) if each.sources else None
        for source in each.sources:
            if source.external is None and source.name in visited:
                if not source.filter_subject or (crossings is not None and crossings.find(source.filter_subject) is not None):
                    raise invalid_config("detected cycle")
            elif source.external is None and source.name in streams:
                waiting[source.name] = streams[source.name]
        if each.mirror is not None and each.mirror.external is None:
            if each.mirror.name in visited:
                raise invalid_config("detected cycle")
            if each.mirror.name in streams:
                waiting[each.mirror.name] = streams[each.mirror.name]


def _origins(config: StreamConfig) -> Iterable[StreamSource]:
    if config.mirror is not None:
        yield config.mirror
    yield from config.sources


def _is_consumer(origin: StreamSource, consumer: StreamConsumerSource) -> bool:
    """True if an origin may be read through a durable consumer: what to read is then the consumer's affair."""
    deliver = consumer.deliver_subject
    is_named = is_name(consumer.name) and is_subject(deliver) and is_literal(deliver)
    return is_named and not (origin.opt_start_seq or origin.opt_start_time is not None or origin.filter_subject)
