"""Requests as nats-server decodes them: strictly, with Go's rules and in its words.

A name matches in any case; a member that comes twice is decoded twice, into the same place; null leaves a number, a flag or a text as it
is, and empties the rest; a number has to be written as the integer that it is, and fit; a policy has to be one of its texts. The first
fault is the answer. What follows a value is another one, decoded into the same place. Texts are those of Go 1.27, which nats-server 2.15
is built with.
"""

from __future__ import annotations

from typing import TypeVar

from midge.engine.errors import ApiError
from midge.engine.json_syntax import JsonSyntaxError, end_of_value, skip_space, unexpected
from midge.engine.places import GO_NAMES, KINDS, Object, Refused
from midge.engine.plain import plain, plain_list
from midge.model.base import Model

__all__ = ["decode"]

ModelT = TypeVar("ModelT", bound=Model)


def decode(kind: type[ModelT], data: bytes, *, strict: bool = True, go_name: str | None = None, into: ModelT | None = None) -> ModelT:
    """Return a request; an empty body is one that says nothing.

    Args:
        strict: refuse what nats-server refuses. Otherwise only what is no JSON, or of the wrong type: it is the server's ``strict``.
        go_name: what nats-server calls it, where that is not one name for the model.
        into: what it says where it says nothing; changed and returned.

    Raises:
        ApiError: 10025, and why.
    """
    if into is None and (found := plain(kind, data)) is not None:
        return found
    reader = _Reader(data, go_name or GO_NAMES.get(kind, kind.__name__))
    model = kind() if into is None else into
    try:
        try:
            return reader.read_all(kind, model)
        except (JsonSyntaxError, Refused):
            if strict:
                raise
            reader.is_lenient = True
            return reader.read_one(kind, model)
    except JsonSyntaxError as error:
        where = f" at offset {error.offset}" if strict and error.offset >= 0 else ""
        raise ApiError(10025, err=f"{error}{where}") from None
    except Refused as error:
        raise ApiError(10025, err=error) from None


class _Reader:
    """The bytes, and what their root is called."""

    __slots__ = ("data", "is_lenient", "name")

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.is_lenient = False

    def read_all(self, kind: type[ModelT], model: ModelT) -> ModelT:
        """Every value into the same place."""
        data, place = self.data, Object(kind)
        at = skip_space(data, 0)
        while at < len(data):
            end_of_value(data, at)
            model, at = place.read(self, at, "", model)
            at = skip_space(data, at)
        return model

    def read_one(self, kind: type[ModelT], model: ModelT) -> ModelT:
        """What Go's Unmarshal takes: one value and nothing else."""
        data, start = self.data, skip_space(self.data, 0)
        if start >= len(data):
            return model
        try:
            end = skip_space(data, end_of_value(data, start))
        except JsonSyntaxError as error:
            raise error if error.offset >= 0 else JsonSyntaxError("unexpected end of JSON input") from None
        if end < len(data):
            raise unexpected(data, end, "after top-level value")
        read: ModelT = Object(kind).read(self, start, "", model)[0]
        return read

    def refuse(self, at: int, path: str, go: str, number: bytes = b"") -> Refused:
        """Say what is there, and what should be."""
        found = f"number {number.decode()}" if number else KINDS.get(self.data[at], "number")
        if not path:
            return Refused(f"json: cannot unmarshal {found} into Go value of type {go}")
        last = path.rpartition(".")[2]
        what = "" if last.isascii() and last.isdigit() else "Go struct field "
        return Refused(f"json: cannot unmarshal {found} into {what}{self.name}{path} of type {go}")

    def read_list(self, kind: type[ModelT], at: int) -> tuple[list[ModelT], int] | None:
        end = end_of_value(self.data, at)
        found = plain_list(kind, self.data[at:end])
        return None if found is None else (found, end)
