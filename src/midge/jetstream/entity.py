"""Entity: what the JetStream API says and is told, as a Python program wants it: seconds, ``datetime``, and None for what is not set.

Fields have the names of the JSON. ``to_json`` leaves out what is None: the server has its own defaults for that, and an update leaves it
as it is. What a newer server adds is kept in ``unknown`` and is sent back, and a policy is any text: a newer server may know more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from midge.jetstream.errors import MalformedAnswerError
from midge.model.base import time_of, time_text

__all__ = ["Entity", "Seconds", "from_json", "json_time", "merged", "to_json"]

EntityT = TypeVar("EntityT", bound="Entity")
Convert = Callable[[Any], Any]

Seconds = Annotated[float, "seconds"]  # nanoseconds in JSON
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXCLUSIVE = {"filter_subject": "filter_subjects", "filter_subjects": "filter_subject"}  # there is the one or the other
_LONGEST = (1 << 63) - 1  # nanoseconds; read as seconds, they are a little more
_FOREVER = 1e10  # seconds, which are more than that
_ZERO_TIME = "0001-01-01T00:00:00Z"


class Entity(msgspec.Struct, kw_only=True):
    """A JSON object of the JetStream API.

    Attributes:
        unknown: the fields that this version of midge does not know, by name.
    """

    unknown: dict[str, Any] = {}


def from_json(kind: type[EntityT], data: Mapping[str, Any]) -> EntityT:
    """Return the entity that a JSON object describes.

    Raises:
        MalformedAnswerError: a field is not what it has to be.
    """
    try:
        return _read(kind, data)
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedAnswerError(f"what was told of a {kind.__name__} makes no sense: {error}") from error


def _read(kind: type[EntityT], data: Mapping[str, Any]) -> EntityT:
    if not isinstance(data, Mapping):
        raise TypeError(f"expected an object, not {data!r:.80}")
    readers, unknown, known = _converters(kind), {}, {}
    for name, value in data.items():
        pair = readers.get(name)
        if pair is None:
            unknown[name] = value
        elif value is not None:
            known[name] = value if pair[0] is None else pair[0](value)
    return kind(**known, unknown=unknown)


def to_json(entity: Entity) -> dict[str, Any]:
    """Return the JSON object of an entity, without what is None.

    Raises:
        ValueError, TypeError: a field is not what it has to be, such as a ``datetime`` without a time zone.
    """
    result = dict(entity.unknown)
    for name, (_, write) in _converters(type(entity)).items():
        value = getattr(entity, name)
        if value is not None:
            result[name] = value if write is None else write(value)
    return result


def merged(entity: EntityT, changes: EntityT) -> EntityT:
    """Return an entity with what is set in another; within what is an entity itself, too."""
    values = {name: getattr(entity, name) for name in entity.__struct_fields__}
    for name in changes.__struct_fields__:
        value = getattr(changes, name)
        if name == "unknown":
            values[name] = entity.unknown | value
        elif isinstance(value, Entity) and isinstance(values[name], type(value)):
            values[name] = merged(values[name], value)
        elif value is not None:
            values[name] = value
            if name in _EXCLUSIVE and getattr(changes, _EXCLUSIVE[name]) is None:
                values[_EXCLUSIVE[name]] = None
    return type(entity)(**values)


@cache
def _converters(kind: type[Entity]) -> dict[str, tuple[Convert | None, Convert | None]]:
    """Return how each field is read and written; None where as it is."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: _pair(hints[name]) for name in kind.__struct_fields__ if name != "unknown"}


def _pair(hint: Any) -> tuple[Convert | None, Convert | None]:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [each for each in get_args(hint) if each is not type(None)]
    if hint == Seconds:
        return _seconds, _nanoseconds
    if hint is datetime:
        return _moment, json_time
    if isinstance(hint, type) and issubclass(hint, Entity):
        return (lambda value: _read(hint, value)), to_json
    if get_origin(hint) in (list, dict):
        read, write = _pair(get_args(hint)[-1])
        check, each = _checked(get_origin(hint)), _each(read, get_origin(hint))
        return (check if each is None else lambda values: each(check(values))), _each(write, get_origin(hint))
    if hint in (int, str, bool):
        return _checked(hint), None
    return None, None


def _checked(kind: type) -> Convert:
    """Return what lets through this kind alone."""

    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, not {value!r:.80}")
        return value

    return check


def _each(convert: Convert | None, kind: Any) -> Convert | None:
    """Return how all in a list or dict are converted."""
    if convert is None:
        return None
    if kind is list:
        return lambda values: [convert(value) for value in values]
    return lambda values: {name: convert(value) for name, value in values.items()}


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


def _nanoseconds(seconds: float) -> int:
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"a duration is a number of seconds, not {seconds!r}")
    return min(round(min(seconds, _FOREVER) * 1_000_000_000), _LONGEST)


def _moment(text: str) -> datetime | None:
    """Return an RFC 3339 time, None for Go's zero time; what is finer than a microsecond is lost."""
    return None if _checked(str)(text) == _ZERO_TIME else _EPOCH + timedelta(microseconds=time_of(text) // 1_000)


def json_time(moment: datetime) -> str:
    """Return a time as JSON has it.

    Raises:
        ValueError, TypeError: it has no time zone, or is none.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"a time is a datetime, not {moment!r}")
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: datetime.now(UTC), for example, has one")
    since = moment - _EPOCH
    return time_text(((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000)
