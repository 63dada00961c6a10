"""From a file, or a dict in the same vocabulary, to the fields of options: what ``Server(config=...)`` and ``midge serve -c`` read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from midge.server.config.digest import digest
from midge.server.config.errors import ConfigError
from midge.server.config.parser import MAX_DEPTH, parse, parse_file
from midge.server.config.top import Top
from midge.server.config.tree import Node

__all__ = ["Config", "Configuration", "load", "load_text"]

Config: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says, and nothing of what it does not.

    Attributes:
        options: fields of ServerOptions.
        settings: fields of Settings.
        warnings: what is deprecated or looks like a mistake, in nats-server's words.
    """

    options: dict[str, Any] = field(repr=False)
    settings: dict[str, Any]
    warnings: tuple[str, ...]


def load(config: Config) -> Configuration:
    """Read a file, whose path this is, or a dict.

    Raises:
        ConfigError: it cannot be read, or there is something wrong in it.
    """
    if isinstance(config, Mapping):
        return _configuration(_tree(config, "", 0), "")
    path = os.fspath(config)
    return _configuration(parse_file(path), path)


def load_text(text: str | bytes, file: str = "") -> Configuration:
    """Read a text, as if it were from this file."""
    return _configuration(parse(text.encode() if isinstance(text, str) else text, file), file)


def _configuration(tree: dict[str, Node], path: str) -> Configuration:
    top = Top()
    if not tree:
        top.report.warnings.append(f"{path}: config has no values or is empty")
    top.read(tree)
    report = top.report
    if report.errors:
        raise ConfigError(report.errors, report.warnings)
    top.options.update(config_file=path, config_digest=digest(tree))
    return Configuration(top.options, top.settings, tuple(report.warnings))


def _tree(config: Mapping[str, Any], place: str, depth: int) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for key, value in config.items():
        if not isinstance(key, str):
            raise TypeError(f"config{place}: the key {key!r} is no str")
        found[key] = _node(value, f"{place}[{key!r}]", depth)
    return found


def _node(value: object, place: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise ValueError(f"config{place[:80]}...: more than {MAX_DEPTH} deep")
    file = f"config{place}"
    if isinstance(value, Mapping):
        return Node(_tree(value, place, depth + 1), file=file)
    if isinstance(value, (list, tuple)):
        return Node([_node(each, f"{place}[{index}]", depth + 1) for index, each in enumerate(value)], file=file)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, (str, bool, int, float, datetime)):
        raise TypeError(f"{file}: a {type(value).__name__} means nothing in a configuration")
    return Node(value, file=file)
