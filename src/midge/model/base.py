"""What all models share: JSON names and presence as nats-server writes them, kinds of numbers, and what a newer server adds is kept.

A model is a msgspec Struct whose fields have the names of the JSON. Durations are nanoseconds; times are RFC 3339 texts with up to nine
digits of a second, as on the wire, because a ``datetime`` has six: ``time_of`` and ``time_text`` turn them into nanoseconds and back.
A field that nats-server always writes has a default made with ``always``; all others are left out where they are empty: 0, "", False,
None, an empty list. Policies are plain strings: a newer server may know more of them than we do.

The kinds of the fields (``Int64``, ``Duration``, ...) carry the type that Go knows them by: the engine decodes requests as strictly as
nats-server does, and says what is wrong in its words. Fields that we do not know are kept in ``unknown``, and ``encode`` writes them back.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["ZERO_TIME", "Model", "always", "decode", "encode", "policy", "second_text", "time_of", "time_text"]

ModelT = TypeVar("ModelT", bound="Model")
ValueT = TypeVar("ValueT")

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN = ""  # the name of ``unknown`` in JSON: nobody's name


def _kind(go: str) -> msgspec.Meta:
    return msgspec.Meta(extra={"go": go})


def policy(go: str, *values: str) -> msgspec.Meta:
    """Return what to annotate a text with that is one of a few; the first is Go's zero value."""
    return msgspec.Meta(extra={"go": go, "values": values})


Int = Annotated[int, _kind("int")]
Int32 = Annotated[int, _kind("int32")]
Int64 = Annotated[int, _kind("int64")]
Uint16 = Annotated[int, _kind("uint16")]
Uint64 = Annotated[int, _kind("uint64")]
Duration = Annotated[int, _kind("time.Duration")]  # nanoseconds
Time = Annotated[str, _kind("time.Time")]
Base64 = Annotated[str, _kind("[]uint8")]  # bytes as Go writes them


def always(value: ValueT) -> ValueT:
    """Return a default that is written even where nothing else was set."""
    default: ValueT = msgspec.field(default_factory=lambda: value)
    return default


class Model(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A JSON object of the JetStream API.

    Attributes:
        unknown: the fields of it that this version of midge does not know, by name.
    """

    unknown: dict[str, Any] = msgspec.field(default_factory=dict, name=_UNKNOWN)


def encode(model: Model) -> bytes:
    """Return a model as JSON, with the fields that we do not know."""
    text = msgspec.json.encode(model)
    if b'"":' not in text:
        return text
    return msgspec.json.encode(_spread(model, msgspec.to_builtins(model)))


def decode(kind: type[ModelT], data: bytes) -> ModelT:
    """Read a model from JSON; fields that it does not have are kept.

    Raises:
        msgspec.MsgspecError: it is no JSON, or a field is not what it has to be.
    """
    return msgspec.convert(_gathered(msgspec.json.decode(data), kind), kind)


def time_text(wall: int) -> str:
    """Return nanoseconds since the epoch as Go writes a time in UTC: no zeros at the end of the fraction."""
    seconds, rest = divmod(wall, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{second_text(seconds).decode()}{fraction}Z"


@lru_cache(256)  # messages that are read one after the other were stored in the same seconds
def second_text(seconds: int) -> bytes:
    """Return the second that begins so many seconds after the epoch, in UTC, without its time zone."""
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat().encode()


def time_of(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds since the epoch.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    moment, zone = found[1], found[3]
    shift = 400 if moment < "0400" else 0  # the calendar repeats itself; Python's begins with the year 1, Go's with 0
    since = datetime.fromisoformat(f"{int(moment[:4]) + shift:04d}{moment[4:]}+00:00") - _EPOCH
    ahead = 0 if zone == "Z" else (int(zone[1:3]) * 3600 + int(zone[4:]) * 60) * (-1 if zone[0] == "-" else 1)  # Go has zones of 24:60, too
    seconds = (since.days - shift * 146_097 // 400) * 86_400 + since.seconds - ahead
    return seconds * 1_000_000_000 + int((found[2] or "0")[:9].ljust(9, "0"))


@cache
def _nested(kind: type[Model]) -> dict[str, Any]:
    """The JSON names of a model's fields, each with its type."""
    hints = get_type_hints(kind)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind) if field.encode_name != _UNKNOWN}


def _gathered(value: Any, hint: Any) -> Any:
    """What was read, with the fields that a model does not have moved into one."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    if isinstance(value, list) and inner:
        item = get_args(inner[0])[0] if get_origin(inner[0]) is list else inner[0]
        return [_gathered(each, item) for each in value]
    if not isinstance(value, dict):
        return value
    if get_origin(hint) is dict:
        return {name: _gathered(each, inner[1]) for name, each in value.items()}
    kind = inner[0] if inner else hint
    if not (isinstance(kind, type) and issubclass(kind, Model)):
        return value
    names, tag = _nested(kind), kind.__struct_config__.tag_field
    known = {name: _gathered(each, names[name]) for name, each in value.items() if name in names}
    unknown = {name: each for name, each in value.items() if name not in names and name != tag}
    if tag in value:
        known[tag] = value[tag]
    if unknown:
        known[_UNKNOWN] = unknown
    return known


def _spread(value: Any, plain: Any) -> Any:
    """The reverse of gathering: the plain form of a value, with what models do not know in its place."""
    if isinstance(value, list):
        return [_spread(each, inner) for each, inner in zip(value, plain, strict=True)]
    if isinstance(value, dict):
        return {name: _spread(each, plain[name]) for name, each in value.items()}
    if not isinstance(value, Model):
        return plain
    names = ((field.name, field.encode_name) for field in msgspec.structs.fields(value) if field.encode_name in plain)
    inner = {encoded: _spread(getattr(value, name), plain[encoded]) for name, encoded in names if encoded != _UNKNOWN}
    tag = value.__struct_config__.tag_field
    return ({tag: plain[tag]} if tag else {}) | inner | value.unknown
