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
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

import msgspec

__all__ = ["ZERO_TIME", "Model", "always", "decode", "encode", "encode_name", "time_of", "time_text"]

ModelT = TypeVar("ModelT", bound="Model")
ValueT = TypeVar("ValueT")

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)")
_UNKNOWN = ""  # the name of ``unknown`` in JSON: nobody's name


def _kind(go: str) -> msgspec.Meta:
    return msgspec.Meta(extra={"go": go})


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
    return msgspec.json.encode(_spread(msgspec.to_builtins(model)))


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
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def time_of(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds since the epoch.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    moment = datetime.fromisoformat(found[1] + ("+00:00" if found[3] == "Z" else found[3]))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int((found[2] or "0")[:9].ljust(9, "0"))


def encode_name(kind: type[Model], name: str) -> str:
    """Return the name in JSON of a model's field."""
    return next(field.encode_name for field in msgspec.structs.fields(kind) if field.name == name)


@cache
def _nested(kind: type[Model]) -> dict[str, type[Model] | None]:
    """The JSON names of a model's fields, each with the model inside it (also in a list or a mapping)."""
    hints = get_type_hints(kind)
    return {field.encode_name: _model_in(hints[field.name]) for field in msgspec.structs.fields(kind)}


def _model_in(hint: Any) -> type[Model] | None:
    if isinstance(hint, type) and issubclass(hint, Model):
        return hint
    return next((found for part in get_args(hint) if (found := _model_in(part))), None)


def _gathered(value: Any, kind: type[Model] | None) -> Any:
    """What was read, with the fields that a model does not have moved into one."""
    if kind is None:
        return value
    if isinstance(value, list):
        return [_gathered(item, kind) for item in value]
    if not isinstance(value, dict):
        return value
    names = _nested(kind)
    known = {name: _gathered(item, names[name]) for name, item in value.items() if name in names}
    tag = kind.__struct_config__.tag_field
    unknown = {name: item for name, item in value.items() if name not in names and name != tag}
    if tag in value:
        known[tag] = value[tag]
    if unknown:
        known[_UNKNOWN] = unknown
    return known


def _spread(value: Any) -> Any:
    """The reverse of gathering."""
    if isinstance(value, list):
        return [_spread(item) for item in value]
    if not isinstance(value, dict):
        return value
    spread = {name: _spread(item) for name, item in value.items() if name != _UNKNOWN}
    return spread | value.get(_UNKNOWN, {})
