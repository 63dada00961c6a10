"""Plain requests: those that a fast decoder, msgspec, reads as Go's does. Of all others it is said that they are not plain.

What msgspec refuses is not plain, nor what it may see with other eyes: escapes, a zero below zero, and what comes twice in the same object
where Go looks at both. Names in another case, null and what is behind the value are among what it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from midge.engine.places import Choice, Compression, Flag, List, Mapped, Moment, Number, Object, Place, Text, places
from midge.engine.times import read_time
from midge.model.base import Model

__all__ = ["plain", "plain_list"]

ModelT = TypeVar("ModelT", bound=Model)
_MINUS_ZERO = re.compile(rb"[:,\[][ \t\r\n]*-0")


def plain(kind: type[ModelT], data: bytes) -> ModelT | None:
    """Return a request that a fast decoder takes for the same; None for what it might see with other eyes, or refuses."""
    decoder = _decoder(kind)
    if decoder is None or not data or _is_odd(data):
        return None
    try:
        found = decoder.decode(data)
        return _model(kind, found) if _are_told_once(kind, [found], data) else None
    except (msgspec.MsgspecError, ValueError):
        return None


def plain_list(kind: type[ModelT], data: bytes) -> list[ModelT] | None:
    """The same with a list of them."""
    decoder = _list_decoder(kind)
    if decoder is None or _is_odd(data):
        return None
    try:
        found = decoder.decode(data)
        return [_model(kind, each) for each in found] if _are_told_once(kind, found, data) else None
    except (msgspec.MsgspecError, ValueError):
        return None


def _is_odd(data: bytes) -> bool:
    """True if there is something in it that means something else to Go: escapes of half a character, a zero below zero."""
    return b"\\" in data or (b"-0" in data and _MINUS_ZERO.search(data) is not None)


@cache
def _decoder(kind: type[Model]) -> msgspec.json.Decoder[Any] | None:
    """Return a decoder for a model; None where it has something in it that only the slow way reads."""
    shape = _shape(kind)
    return None if shape is None else msgspec.json.Decoder(shape)


@cache
def _list_decoder(kind: type[Model]) -> msgspec.json.Decoder[Any] | None:
    shape = _shape(kind)
    return None if shape is None else msgspec.json.Decoder(list[shape])  # type: ignore[valid-type]


@cache
def _shape(kind: type[Model]) -> type[msgspec.Struct] | None:
    """Return what a model looks like to the fast decoder, with its times as texts; None where it cannot be said."""
    fields = []
    defaults = {field.name: field for field in msgspec.structs.fields(kind)}
    for name, (field, place) in places(kind).items():
        hint = _hint(place)
        if hint is None:
            return None
        zero: Any
        if isinstance(place, Object):
            zero = msgspec.field(default=None, name=name)
        elif defaults[field].default_factory is not msgspec.NODEFAULT:
            zero = msgspec.field(default_factory=defaults[field].default_factory, name=name)
        else:
            zero = msgspec.field(default=defaults[field].default, name=name)
        fields.append((field, hint, zero))
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True)


def _hint(place: Place) -> Any:
    """Return the type of what is in a place for the fast decoder, which refuses numbers past 63 bits, too; None where there is none."""
    if isinstance(place, Object):
        shape = _shape(place.kind)
        return None if shape is None else shape | None
    if isinstance(place, List):
        hint = _shape(place.item.kind) if isinstance(place.item, Object) else _hint(place.item)
        return None if hint is None else list[hint]  # type: ignore[valid-type]
    if isinstance(place, Mapped):
        return dict[str, str] if type(place.item) is Text else None
    if isinstance(place, Number):
        return Annotated[int, msgspec.Meta(ge=place.low, le=min(place.high, (1 << 63) - 1))]
    if isinstance(place, Moment):
        return str | None if place.may_be_empty else None
    if isinstance(place, Choice):
        return Literal[tuple(text[1:-1].decode() for text in place.values)]
    if isinstance(place, Compression):
        return Literal["none", "s2"]
    return bool if isinstance(place, Flag) else str


@cache
def _special(kind: type[Model]) -> list[tuple[str, Place]]:
    """Return the fields that are not what the fast decoder has found there."""
    kinds = (Object, Moment, Choice)
    return [
        (field, place)
        for field, place in places(kind).values()
        if isinstance(place, kinds) or (isinstance(place, List) and isinstance(place.item, Object))
    ]


def _model(kind: type[ModelT], found: msgspec.Struct) -> ModelT:
    """Return the model of what was found.

    Raises:
        ValueError: a time is none.
    """
    values = msgspec.structs.asdict(found)
    for field, place in _special(kind):
        value = values[field]
        if isinstance(place, Choice):
            values[field] = place.values.get(b'"%b"' % value.encode(), value)  # what nobody has said is no text
        elif isinstance(place, List) and isinstance(place.item, Object):
            if value:
                values[field] = [_model(place.item.kind, each) for each in value]
        elif value is None:
            del values[field]
        else:
            values[field] = _model(place.kind, value) if isinstance(place, Object) else read_time(value)
    return kind(**values)


def _are_told_once(kind: type[Model], found: Sequence[msgspec.Struct], data: bytes) -> bool:
    """True if no object, mapping or time comes twice in the same object: Go reads both into the same place, and looks at each."""
    names = _names_of_places(kind)
    if not any(pattern.search(data) for pattern in names.values()):
        return True
    counts = dict.fromkeys(names, 0)
    _count(kind, found, counts)
    return all(len(pattern.findall(data)) == counts[name] for name, pattern in names.items())


@cache
def _names_of_places(kind: type[Model]) -> dict[str, re.Pattern[bytes]]:
    """Return the names that objects, mappings and times have in a model, and in what is in it."""
    names: dict[str, re.Pattern[bytes]] = {}
    for name, (_, place) in places(kind).items():
        if isinstance(place, (Object, Mapped, Moment)):
            names[name] = re.compile(rb'"%b"[ \t\r\n]*:' % re.escape(name.encode()))
        inner = place.item if isinstance(place, List) else place
        if isinstance(inner, Object):
            names.update(_names_of_places(inner.kind))
    return names


def _count(kind: type[Model], found: Sequence[msgspec.Struct], counts: dict[str, int]) -> None:
    """Count what of that is there."""
    for name, (field, place) in places(kind).items():
        inner = place.item if isinstance(place, List) else place
        if name in counts and isinstance(place, (Object, Mapped, Moment)):
            there = [value for value in map(attrgetter(field), found) if value]
            counts[name] += len(there)
            if isinstance(place, Object):
                _count(place.kind, there, counts)
        elif isinstance(place, List) and isinstance(inner, Object):
            for each in found:
                _count(inner.kind, getattr(each, field), counts)
