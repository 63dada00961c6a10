"""From the text of a configuration to its tree: variables, the environment and includes are resolved here.

A variable is looked for in the maps that are open where it stands, the innermost first, and then in the environment, whose text is
read like a value. Of two equal keys the last counts. As in nats-server, a value that an unknown suffix makes disappear
(``1kkb``) leaves its key to the next value without one.

What is bounded, since text may be hostile: bytes of a file and of all files together, how deep includes, maps and references
reach, and how much there would be if every reference were written out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isinf
from typing import NoReturn

from midge.server.config.errors import ConfigError
from midge.server.config.lexer import lex
from midge.server.config.scanner import Item, Kind
from midge.server.config.tree import Node, Value

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_INCLUDES", "parse", "parse_file"]

MAX_BYTES = 4 << 20  # of all files
MAX_DEPTH = 100  # of maps and arrays in each other
MAX_INCLUDES = 20  # one in the other
MAX_WEIGHT = 16 << 20  # characters and values, with every reference written out
MAX_REFERENCES = 20  # from the environment to the environment
_DIGITS = re.compile(r"-?[0-9]+")
_UNITS = {"": 1}
for _power, _letter in enumerate("kmgtpe", 1):
    _UNITS[_letter] = 1000**_power
    _UNITS.update(dict.fromkeys((f"{_letter}b", f"{_letter}i", f"{_letter}ib"), 1024**_power))
_ENVIRONMENT_KEY = "pk"  # what nats-server calls the value of a variable while it reads it
_BCRYPT = "2a$"


def parse(data: bytes, file: str = "", environment: Mapping[str, str] | None = None) -> dict[str, Node]:
    """Return the top-level map. The file's name is for messages, and its directory for includes.

    Raises:
        ConfigError: the text is no configuration, or a file that it includes cannot be read.
    """
    return _Parser(file, _Shared(os.environ if environment is None else environment)).parse(data)


def parse_file(path: str, environment: Mapping[str, str] | None = None) -> dict[str, Node]:
    """The same for a file."""
    shared = _Shared(os.environ if environment is None else environment)
    return _Parser(path, shared).parse(shared.read(path))


class _Shared:
    """What all files of one configuration have in common."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.room = MAX_BYTES
        self.open: list[str] = []  # the files that are being read, each included by the one before
        self.referring: list[str] = []  # the variables of the environment that are being read

    def read(self, path: str) -> bytes:
        """Return what is in a file.

        Raises:
            ConfigError: it cannot be read, or is too much.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe that nobody writes to is an empty file
            with open(descriptor, "rb") as file:
                data = file.read(self.room + 1)
        except (OSError, ValueError) as error:
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "invalid argument"
            verb = "read" if isinstance(error, IsADirectoryError) else "open"
            raise ConfigError([f"{verb} {path}: {reason}"]) from None
        if len(data) > self.room:
            raise ConfigError([f"{path}: a configuration of more than {MAX_BYTES} bytes"])
        self.room -= len(data)
        return data


class _Parser:
    def __init__(self, file: str, shared: _Shared) -> None:
        self.file = file
        self.shared = shared
        self.open: list[dict[str, Node] | list[Node]] = [{}]
        self.keys: list[tuple[str, Item]] = []
        self.weight = 0

    def parse(self, data: bytes) -> dict[str, Node]:
        before: Item | None = None
        for item in lex(data):
            if item.kind == Kind.END:
                # A brace may come last: a whole JSON document is in braces.
                if before is not None and before.kind == Kind.KEY and before.text != "}":
                    raise ConfigError([f"config is invalid ({self.file}:{item.line}:{item.column})"])
                break
            before = item
            self.take(item)
        top = self.open[0]
        assert isinstance(top, dict)
        return top

    def take(self, item: Item) -> None:
        kind = item.kind
        if kind == Kind.KEY:
            self.keys.append((self.text(item), item))
        elif kind == Kind.STRING:
            self.add(item, self.text(item))
        elif kind in (Kind.MAP, Kind.ARRAY):
            if len(self.open) > MAX_DEPTH:
                self.refuse(item, f"maps and arrays more than {MAX_DEPTH} deep")
            self.open.append({} if kind == Kind.MAP else [])
        elif kind in (Kind.MAP_END, Kind.ARRAY_END):
            self.add(item, self.open.pop())
        elif kind == Kind.INTEGER:
            self.integer(item)
        elif kind == Kind.FLOAT:
            self.add(item, _float(self.text(item)))
        elif kind == Kind.BOOL:
            self.add(item, item.text.lower() in ("true", "yes", "on"))
        elif kind == Kind.DATE:
            self.add(item, _date(self.text(item)))
        elif kind == Kind.VARIABLE:
            self.variable(item)
        elif kind == Kind.INCLUDE:
            self.include(item)

    def text(self, item: Item) -> str:
        try:
            return item.text.encode("latin-1").decode()
        except UnicodeDecodeError:
            self.refuse(item, "text that is not UTF-8")

    def refuse(self, item: Item, what: str) -> NoReturn:
        raise ConfigError([f"{self.file}:{item.line}:{item.column}: {what}"])

    def add(self, item: Item, value: Value) -> None:
        self.put(Node(value, item.line, item.column, self.file))

    def put(self, node: Node) -> None:
        """Give the value to the last key, or to the array. With its key's position: that is where an error is looked for."""
        into = self.open[-1]
        if isinstance(into, list):
            into.append(node)
        elif self.keys:
            key, item = self.keys.pop()
            node.line, node.column = item.line, item.column
            into[key] = node
        self.weight += node.weight
        if self.weight > 2 * MAX_WEIGHT or node.weight > MAX_WEIGHT or node.depth > MAX_DEPTH:
            raise ConfigError([f"{node.place}: more than {MAX_WEIGHT} characters, or {MAX_DEPTH} levels, with all variables replaced"])

    def integer(self, item: Item) -> None:
        digits = _DIGITS.match(item.text)
        if digits is None or not item.text.isascii():
            raise ConfigError([f"expected integer, but got '{self.text(item)}'"])
        unit = _UNITS.get(item.text[digits.end() :].lower())
        if unit is None:
            return
        size = digits[0].lstrip("-0")  # of however many zeros there are in front, Python's int would have none
        value = int(size or "0") * unit * (-1 if digits[0][0] == "-" else 1) if len(size) < 20 else 1 << 64
        if not -(1 << 63) <= value < 1 << 63:
            raise ConfigError([f"integer '{item.text}' is out of the range"])
        self.add(item, value)

    def variable(self, item: Item) -> None:
        name = self.text(item)
        node: Node | None = None
        if name.startswith(_BCRYPT):
            self.add(item, f"${name}")
            return
        for each in reversed(self.open):
            if isinstance(each, dict) and name in each:
                node = each[name]
                node.used = True
                break
        else:
            node = self.from_environment(item, name)
        if node is None:
            raise ConfigError([f"variable reference for '{name}' on line {item.line} can not be found"])
        copy = Node(True, item.line, item.column, self.file)
        copy.value, copy.weight, copy.depth = node.value, node.weight, node.depth
        self.put(copy)

    def from_environment(self, item: Item, name: str) -> Node | None:
        shared = self.shared
        problem = f"variable reference for '{name}' on line {item.line} could not be parsed: "
        if name in shared.referring:
            raise ConfigError([f"{problem}variable reference cycle for '{name}'"])
        if len(shared.referring) > MAX_REFERENCES:
            raise ConfigError([f"{problem}more than {MAX_REFERENCES} variables that refer to each other"])
        text = shared.environment.get(name)
        if text is None:
            return None
        shared.referring.append(name)
        try:
            data = f"{_ENVIRONMENT_KEY}={text}".encode("utf-8", "surrogateescape")
            return _Parser("", shared).parse(data).get(_ENVIRONMENT_KEY)
        except ConfigError as error:
            raise ConfigError([problem + str(error)]) from None
        finally:
            shared.referring.pop()

    def include(self, item: Item) -> None:
        shared = self.shared
        name = self.text(item)
        path = os.path.normpath(os.path.join(os.path.dirname(self.file) or ".", name.lstrip("/") if self.file else name))
        if name.startswith("/") and not self.file:
            path = os.path.normpath(name)
        shared.open.append(os.path.realpath(self.file))
        try:
            if os.path.realpath(path) in shared.open:
                raise ConfigError([f"{path} includes itself"])
            if len(shared.open) > MAX_INCLUDES:
                raise ConfigError([f"more than {MAX_INCLUDES} files that include each other"])
            found = _Parser(path, shared).parse(shared.read(path))
        except ConfigError as error:
            raise ConfigError([f"error parsing include file '{name}', {error}"]) from None
        finally:
            shared.open.pop()
        self.merge(item, found.items())

    def merge(self, item: Item, found: Iterable[tuple[str, Node]]) -> None:
        for key, node in found:
            self.keys.append((key, Item(Kind.KEY, key, node.line, node.column)))
            self.put(node)
            if isinstance(self.open[-1], list):
                self.keys.pop()


def _float(text: str) -> float:
    if not text.isascii():  # digits of another script
        raise ConfigError([f"expected float, but got '{text}'"])
    value = float(text)
    if isinf(value):
        raise ConfigError([f"float '{text}' is out of the range"])
    return value


def _date(text: str) -> datetime:
    try:
        if not text.isascii():
            raise ValueError
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise ConfigError([f"expected Zulu formatted DateTime, but got '{text}'"]) from None
