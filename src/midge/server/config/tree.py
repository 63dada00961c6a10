"""The tree that a configuration is parsed into: values of Python's own types, each with its place in a file."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

__all__ = ["Node", "Value", "kind_of", "shown"]

Value: TypeAlias = "str | bool | int | float | datetime | list[Node] | dict[str, Node]"

_KINDS = {bool: "bool", int: "int64", float: "float64", str: "string", datetime: "time.Time"}


class Node:
    """One value.

    Attributes:
        value: what it is; a map is a dict of nodes in the order of the file, an array a list of them.
        line, column: where the key stands, or the value itself in an array. Columns count bytes, as nats-server does it: from 0
            on the first line, and from 1 on all others.
        file: the path as it was given, empty for text that is from no file. Without a line: where it is in a dict of Python's.
        used: a variable refers to it, so that it need not be a known option.
        weight, depth: of all that is in it, with everything that variables refer to counted anew.
    """

    __slots__ = ("column", "depth", "file", "line", "used", "value", "weight")

    def __init__(self, value: Value, line: int = 0, column: int = 0, file: str = "") -> None:
        self.value = value
        self.line = line
        self.column = column
        self.file = file
        self.used = False
        self.weight = 1 + len(value) if isinstance(value, str) else 1
        self.depth = 0
        if isinstance(value, (dict, list)):
            inner = value.values() if isinstance(value, dict) else value
            self.weight += sum(each.weight for each in inner)
            self.depth = 1 + max((each.depth for each in inner), default=0)
            if isinstance(value, dict):
                self.weight += sum(map(len, value))

    @property
    def place(self) -> str:
        """File, line and column, as they stand before an error."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __repr__(self) -> str:
        return f"<Node {self.place} {self.value!r}>"


def kind_of(value: object) -> str:
    """Return the name of the value's type, as nats-server shows it."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, list) else _KINDS[type(value)]


def shown(value: object) -> str:
    """Return a value as it stands in nats-server's messages. What is in a map or an array is not shown: it may be a password."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:...' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join('...' for _ in value)}]"
    return str(value)
