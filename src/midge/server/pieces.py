"""JSON answers that are written in pieces, so that a list of a million subscriptions holds nobody up and is never in memory whole.

The text is what Go's MarshalIndent makes of the same data. A list that may be long is a ``Rows``; everything else is encoded at once.
Each piece is at most BATCH items of one list; where finding the items takes time, an empty piece says that some of it has passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from midge.server.gotext import escaped

__all__ = ["BATCH", "PAUSE", "Pause", "Rows", "pieces"]

BATCH = 16


class Pause:
    """Stands in a list of rows for nothing: time has passed, and there is no row yet."""


PAUSE = Pause()


class Rows:
    """A list that is written piece by piece: of mappings, which may have Rows of their own, or of plain values, and of pauses."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items


def pieces(value: Mapping[str, Any], level: int = 0) -> Iterator[bytes]:
    """Return the text of an object, piece by piece, for so many levels of indentation."""
    plain: dict[str, Any] = {}
    start = b"{\n"
    for name, item in value.items():
        if not isinstance(item, Rows):
            plain[name] = item
            continue
        if plain:
            yield start + _inside(plain, level)
            plain, start = {}, b",\n"
        yield start + b"  " * (level + 1) + msgspec.json.encode(name) + b": "
        yield from _list(item.items, level + 1)
        start = b",\n"
    if plain:
        yield start + _inside(plain, level)
    yield b"\n" + b"  " * level + b"}"


def _list(items: Iterable[Any], level: int) -> Iterator[bytes]:
    batch: list[Any] = []
    start = b"[\n"
    for item in items:
        if item is PAUSE:
            yield b""
        elif isinstance(item, dict) and any(isinstance(each, Rows) for each in item.values()):
            if batch:
                yield start + _inside(batch, level)
                batch, start = [], b",\n"
            yield start + b"  " * (level + 1)
            yield from pieces(item, level + 1)
            start = b",\n"
        else:
            batch.append(item)
            if len(batch) >= BATCH:
                yield start + _inside(batch, level)
                batch, start = [], b",\n"
    if batch:
        yield start + _inside(batch, level)
        start = b",\n"
    yield b"[]" if start == b"[\n" else b"\n" + b"  " * level + b"]"


def _inside(value: dict[str, Any] | list[Any], level: int) -> bytes:
    """Return the text between the brackets of an object or a list that is not empty."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)[2:-2]
    pad = b"  " * level
    return pad + escaped(text.replace(b"\n", b"\n" + pad) if pad else text)
