"""Places: where the values of a request go, and what Go's decoder takes there and says of the rest. See ``decoding``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from midge.engine.json_syntax import end_of_value, skip_space, text_of
from midge.engine.times import read_time
from midge.model.base import ZERO_TIME, Model
from midge.model.requests import (
    ConsumerCreateRequest,
    ConsumerNextRequest,
    ConsumerPauseRequest,
    ConsumerResetRequest,
    ConsumerUnpinRequest,
    LeaderStepDownRequest,
    MessageDeleteRequest,
    MessageGetRequest,
    PagedRequest,
    StreamInfoRequest,
    StreamListRequest,
    StreamPurgeRequest,
    StreamRemovePeerRequest,
    StreamRestoreRequest,
    StreamSnapshotRequest,
)
from midge.model.stream import StreamSource
from midge.quote import quote

__all__ = [
    "GO_NAMES", "KINDS", "Choice", "Compression", "Flag", "List", "Mapped", "Moment", "Number", "Object", "Place", "Reader", "Refused",
    "Text", "places",
]  # fmt: skip

ModelT = TypeVar("ModelT", bound=Model)

GO_NAMES: dict[type[Model], str] = {
    ConsumerCreateRequest: "CreateConsumerRequest",
    ConsumerNextRequest: "",  # one without a name
    ConsumerPauseRequest: "JSApiConsumerPauseRequest",
    ConsumerResetRequest: "JSApiConsumerResetRequest",
    ConsumerUnpinRequest: "JSApiConsumerUnpinRequest",
    LeaderStepDownRequest: "JSApiLeaderStepdownRequest",
    MessageDeleteRequest: "JSApiMsgDeleteRequest",
    MessageGetRequest: "JSApiMsgGetRequest",
    PagedRequest: "JSApiConsumersRequest",
    StreamInfoRequest: "JSApiStreamInfoRequest",
    StreamListRequest: "JSApiStreamListRequest",
    StreamPurgeRequest: "JSApiStreamPurgeRequest",
    StreamRemovePeerRequest: "JSApiStreamRemovePeerRequest",
    StreamRestoreRequest: "JSApiStreamRestoreRequest",
    StreamSnapshotRequest: "JSApiStreamSnapshotRequest",
}
_LIST, _MAPPING = msgspec.json.Decoder(list[str]), msgspec.json.Decoder(dict[str, str])
KINDS = {0x22: "string", 0x7B: "object", 0x5B: "array", 0x74: "bool", 0x66: "bool", 0x6E: "null"}
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,19})")
_RANGES = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "time.Duration": (-(1 << 63), (1 << 63) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_ALIASES = {"server.DeliverPolicy": {"undefined": "all"}, "server.PersistModeType": {"default": ""}}
_SPELLED_OUT = {"server.PriorityPolicy": {"none": ""}}  # its zero value has a text of its own, and "" is none
_COMPLAINTS = {"server.PriorityPolicy": "unknown priority policy: ", "server.ConsumerAction": "unknown consumer action: "}


class Refused(Exception):  # noqa: N818 - it never leaves the modules of decoding
    """A value is not what its place takes."""


class Reader(Protocol):
    """The bytes, and what their root is called.

    Attributes:
        is_lenient: fields that are unknown are passed over.
    """

    data: bytes
    is_lenient: bool
    name: str

    def refuse(self, at: int, path: str, go: str, number: bytes = b"") -> Refused:
        """Say what is there, and what should be."""

    def read_list(self, kind: type[ModelT], at: int) -> tuple[list[ModelT], int] | None:
        """Return a list of objects in a fast way, and where it ends; None where that might be another one than the slow way finds."""


class Place:
    """Where a value goes: what Go calls its type, and what is there before."""

    __slots__ = ("go", "zero")

    def __init__(self, go: str, zero: Any = None) -> None:
        self.go = go
        self.zero = zero

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        """Return what is there then, and where the value at an offset ends."""
        raise NotImplementedError

    def null(self, old: Any) -> Any:
        """Return what null leaves there."""
        return old


class Text(Place):
    """Any text."""

    __slots__ = ()

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        if reader.data[at] != 0x22:
            raise reader.refuse(at, path, self.go)
        end = end_of_value(reader.data, at)
        return text_of(reader.data, at, end), end


class Flag(Place):
    """True or false."""

    __slots__ = ()

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        found = reader.data[at]
        if found not in (0x74, 0x66):
            raise reader.refuse(at, path, self.go)
        return found == 0x74, at + (4 if found == 0x74 else 5)


class Number(Place):
    """A whole number, within the bounds of Go's type."""

    __slots__ = ("high", "low")

    def __init__(self, go: str) -> None:
        super().__init__(go, 0)
        self.low, self.high = _RANGES[go]

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        if reader.data[at] in KINDS:
            raise reader.refuse(at, path, self.go)
        end = end_of_value(reader.data, at)
        written = reader.data[at:end]
        if _INTEGER.fullmatch(written) is None or (self.low == 0 and written[:1] == b"-") or not self.low <= int(written) <= self.high:
            raise reader.refuse(at, path, self.go, written)
        return int(written), end


class Moment(Text):
    """A time, or a place for one that may be empty."""

    __slots__ = ("may_be_empty",)

    def __init__(self, may_be_empty: bool) -> None:
        super().__init__("time.Time", None if may_be_empty else ZERO_TIME)
        self.may_be_empty = may_be_empty

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        text, end = super().read(reader, at, path, old)
        try:
            return read_time(text), end
        except ValueError as error:
            raise Refused(str(error)) from None

    def null(self, old: Any) -> Any:
        return None if self.may_be_empty else old


class Choice(Place):
    """One of a few texts. They are compared as they are written, before any escape in them is undone; null is none of them."""

    __slots__ = ("complaint", "values")

    def __init__(self, go: str, values: tuple[str, ...]) -> None:
        super().__init__(go, values[0])
        texts = {value: value for value in values if value or go not in _SPELLED_OUT} | _ALIASES.get(go, {}) | _SPELLED_OUT.get(go, {})
        self.values = {f'"{text}"'.encode(): value for text, value in texts.items()}
        self.complaint = _COMPLAINTS.get(go, "")

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        end = end_of_value(reader.data, at)
        written = reader.data[at:end]
        value = self.values.get(written.lower() if self.go == "server.DiscardPolicy" else written)
        if value is None:
            shown = written.decode("utf-8", "replace") if self.complaint else quote(written)
            raise Refused(f"{self.complaint or 'can not unmarshal '}{shown}")
        return value, end


class Compression(Text):
    """The one policy that is decoded as a text first."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("string", "none")

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        if reader.data[at] == 0x6E:
            raise Refused("unknown compression algorithm")
        text, end = super().read(reader, at, "", old)
        if text not in ("none", "s2"):
            raise Refused("unknown compression algorithm")
        return text, end


class Object(Place):
    """A model's object, read into the one that is there before."""

    __slots__ = ("kind", "may_be_empty", "places")

    def __init__(self, kind: type[Model], may_be_empty: bool = False) -> None:
        super().__init__(f"server.{GO_NAMES.get(kind, kind.__name__)}")
        self.kind = kind
        self.may_be_empty = may_be_empty
        self.places = places(kind)

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        data, places = reader.data, self.places
        if data[at] != 0x7B:
            if data[at] == 0x6E:
                return self.null(old), at + 4
            raise reader.refuse(at, path, self.go if path else f"server.{reader.name}")
        model = self.kind() if old is None else old
        at = skip_space(data, at + 1)
        while data[at] != 0x7D:
            end = end_of_value(data, at)
            name = text_of(data, at, end)
            at = skip_space(data, skip_space(data, end) + 1)
            place = places.get(name) or places.get(_fold(name))
            if place is not None:
                field, inner = place
                value, at = _read(inner, reader, at, f"{path}.{name}", getattr(model, field))
                setattr(model, field, value)
            elif reader.is_lenient:
                at = end_of_value(data, at)
            else:
                raise Refused(f"json: unknown field {quote(name.encode())}")
            at = _next(data, at)
        return model, at + 1

    def null(self, old: Any) -> Any:
        return None if self.may_be_empty else old


class List(Place):
    """A list of what one place takes."""

    __slots__ = ("item",)

    def __init__(self, item: Place) -> None:
        pointer = "*" if isinstance(item, Object) and item.kind is StreamSource else ""
        super().__init__(f"[]{pointer}{item.go}", [])
        self.item = item

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        data, item = reader.data, self.item
        if data[at] != 0x5B:
            raise reader.refuse(at, path, self.go)
        if type(item) is Text and (read := _texts(_LIST, data, at)) is not None:
            return read
        if isinstance(item, Object) and (read := reader.read_list(item.kind, at)) is not None:
            return read
        values: list[Any] = []
        at = skip_space(data, at + 1)
        while data[at] != 0x5D:
            zero = item.kind() if isinstance(item, Object) else item.zero
            value, at = _read(item, reader, at, f"{path}.{len(values)}", zero)
            values.append(value)
            at = _next(data, at)
        return values, at + 1

    def null(self, old: Any) -> Any:
        return []


class Mapped(Place):
    """An object whose names are any texts, and whose values one place takes."""

    __slots__ = ("item",)

    def __init__(self, item: Place) -> None:
        super().__init__(f"map[string]{item.go}", {})
        self.item = item

    def read(self, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
        data = reader.data
        if data[at] != 0x7B:
            raise reader.refuse(at, path, self.go)
        if type(self.item) is Text and (read := _texts(_MAPPING, data, at)) is not None:
            return {**old, **read[0]}, read[1]
        values = dict(old)
        at = skip_space(data, at + 1)
        while data[at] != 0x7D:
            end = end_of_value(data, at)
            name = text_of(data, at, end)
            at = skip_space(data, skip_space(data, end) + 1)
            step = name.replace("~", "~0").replace("/", "~1")
            values[name], at = _read(self.item, reader, at, f"{path}.{step}", self.item.zero)
            at = _next(data, at)
        return values, at + 1

    def null(self, old: Any) -> Any:
        return {}


def _read(place: Place, reader: Reader, at: int, path: str, old: Any) -> tuple[Any, int]:
    """Put a value into its place. Only policies are asked about null."""
    if reader.data[at] == 0x6E and not isinstance(place, (Choice, Compression)):
        return place.null(old), at + 4
    return place.read(reader, at, path, old)


def _texts(decoder: msgspec.json.Decoder[Any], data: bytes, at: int) -> tuple[Any, int] | None:
    """Return many texts by a fast decoder, and where they end; None for what it refuses: null, half a character, no UTF-8."""
    end = end_of_value(data, at)
    try:
        return decoder.decode(memoryview(data)[at:end]), end
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _next(data: bytes, at: int) -> int:
    """Return where the next member begins, or the bracket that closes."""
    at = skip_space(data, at)
    return skip_space(data, at + 1) if data[at] == 0x2C else at


def _fold(name: str) -> str:
    return name.lower().replace("\u017f", "s")


@cache
def places(kind: type[Model]) -> Mapping[str, tuple[str, Place]]:
    """The places of a model by the names of JSON."""
    hints = get_type_hints(kind, include_extras=True)
    fields = (field for field in msgspec.structs.fields(kind) if field.name != "unknown")
    return {field.encode_name: (field.name, _place_of(hints[field.name])) for field in fields}


def _place_of(hint: Any) -> Place:
    parts = get_args(hint)
    if parts and type(None) in parts:
        return _place_or_none(next(part for part in parts if part is not type(None)))
    if get_origin(hint) is list:
        return List(_place_of(parts[0]))
    if get_origin(hint) is dict:
        return Mapped(_place_of(parts[1]))
    if isinstance(hint, type) and issubclass(hint, Model):
        return Object(hint)
    if hint is str:
        return Text("string", "")
    if hint is bool:
        return Flag("bool", False)
    return _place_of_kind(parts[1].extra)


def _place_or_none(hint: Any) -> Place:
    return Object(hint, may_be_empty=True) if isinstance(hint, type) and issubclass(hint, Model) else Moment(may_be_empty=True)


def _place_of_kind(extra: Mapping[str, Any]) -> Place:
    go = extra["go"]
    if go == "server.StoreCompression":
        return Compression()
    if "values" in extra:
        return Choice(go, extra["values"])
    return Moment(may_be_empty=False) if go == "time.Time" else Number(go)
