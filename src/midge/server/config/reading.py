"""How the values of a tree are taken: each of the type that is expected there, or a Fault in nats-server's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import trunc
from typing import TypeAlias

from midge.durations import parse_duration
from midge.errors import NkeyError
from midge.nkeys import Prefix, check_public
from midge.quote import quote
from midge.server.config.errors import Fault
from midge.server.config.tree import Node, kind_of, shown
from midge.subject import is_valid

__all__ = [
    "Handler",
    "Report",
    "address",
    "array",
    "duration",
    "flag",
    "in_quotes",
    "is_key",
    "mapping",
    "not_supported",
    "seconds",
    "strings",
    "text",
    "valid",
    "whole",
]

Handler: TypeAlias = "Callable[[Node], object]"
LONG_TIMEOUT = 60.0


class Report:
    """What was found to be wrong so far."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def each(self, entries: Mapping[str, Node], handle: Callable[[str, Node], None]) -> None:
        """Handle each entry; a Fault is one of the errors, and the rest is read all the same."""
        for key, node in entries.items():
            try:
                handle(key, node)
            except Fault as fault:
                self.errors.append(str(fault))

    def read(self, entries: Mapping[str, Node], handlers: Mapping[str, Handler]) -> None:
        """Handle each entry by its key, whose case does not matter; a key without a handler is an error."""

        def handle(key: str, node: Node) -> None:
            handler = handlers.get(key.lower())
            if handler is not None:
                handler(node)
            elif not node.used:
                raise Fault(node, f"unknown field {in_quotes(key)}")

        self.each(entries, handle)

    def warn(self, node: Node, field: str, reason: str) -> None:
        self.warnings.append(f"{node.place}: invalid use of field {in_quotes(field)}: {reason}")

    def duration(self, field: str, node: Node) -> float:
        """Return the seconds; a number counts as such, and is warned about."""
        if isinstance(node.value, str):
            return duration(node, f"error parsing {field}: ")
        self.warn(node, field, f"{field} should be converted to a duration")
        return float(whole(node))

    def timeout(self, field: str, node: Node) -> float:
        """Return the seconds that clients have to do something."""
        found = seconds(node, "error parsing authorization config, 'timeout'")
        if found > LONG_TIMEOUT:
            reason = (
                f"timeout of {_number(node.value)} ({found:f} seconds) is high, consider keeping it under 60 seconds. possibly caused by "
                "unquoted duration; use '1m' instead of 1m, for example"
            )
            self.warn(node, field, reason)
        return found


def text(node: Node) -> str:
    """Return a string."""
    if not isinstance(node.value, str):
        raise _wrong(node, "string")
    return node.value


def whole(node: Node) -> int:
    """Return a whole number."""
    if not isinstance(node.value, int) or isinstance(node.value, bool):
        raise _wrong(node, "int64")
    return node.value


def flag(node: Node) -> bool:
    """Return true or false."""
    if not isinstance(node.value, bool):
        raise _wrong(node, "bool")
    return node.value


def mapping(node: Node) -> dict[str, Node]:
    """Return a map."""
    if not isinstance(node.value, dict):
        raise _wrong(node, "map[string]interface {}")
    return node.value


def array(node: Node) -> list[Node]:
    """Return an array."""
    if not isinstance(node.value, list):
        raise _wrong(node, "[]interface {}")
    return node.value


def _wrong(node: Node, wanted: str) -> Fault:
    return Fault(node, f"interface conversion: interface {{}} is {kind_of(node.value)}, not {wanted}")


def strings(node: Node, what: str) -> tuple[str, ...]:
    """Return one string, or an array of them."""
    if isinstance(node.value, str):
        return (node.value,)
    if not isinstance(node.value, list):
        raise Fault(node, f"error parsing {what}: unsupported type {kind_of(node.value)}")
    for each in node.value:
        if not isinstance(each.value, str):
            raise Fault(each, f"error parsing {what}: unsupported type in array {kind_of(each.value)}")
    return tuple(text(each) for each in node.value)


def duration(node: Node, problem: str) -> float:
    """Return the seconds of a duration in Go's notation."""
    try:
        return parse_duration(text(node))
    except ValueError as error:
        raise Fault(node, f"{problem}{error}") from None


def seconds(node: Node, what: str) -> float:
    """Return the seconds, given as a number or a duration."""
    value = node.value
    if isinstance(value, str):
        return duration(node, f"{what} ")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise Fault(node, f"{what} wrong type")


def address(node: Node) -> tuple[str, int]:
    """Return host and port of "host:port", or of a port alone; the host is empty where there is none."""
    value = node.value
    if isinstance(value, int) and not isinstance(value, bool):
        return "", value
    if not isinstance(value, str):
        raise Fault(node, f"expected port or host:port, got {kind_of(value)}")
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]") and host.count("[") == host.count("]") == 1
    if not colon or not (bracketed or not set(host) & set(":[]")) or set(port) & set("[]"):
        raise Fault(node, f"could not parse address string {in_quotes(value)}")
    number = port.removeprefix("-") if port.startswith("-") else port.removeprefix("+")
    if not (number.isascii() and number.isdigit()) or len(number.lstrip("0")) > 18:
        raise Fault(node, f"could not parse port {in_quotes(port)}")
    size = int(number.lstrip("0") or "0")
    return host[1:-1] if bracketed else host, -size if port[:1] == "-" else size


def valid(node: Node | None, subject: str, may_have_queue: bool = False) -> str:
    """Return a subject, or a subject and a queue's name where that is allowed."""
    if is_valid(subject):
        return subject
    parts = subject.split()
    if not may_have_queue or len(parts) != 2:
        raise Fault(node, f"subject {in_quotes(subject)} is not a valid subject")
    for part, what in zip(parts, ("subject", "queue"), strict=True):
        if not is_valid(part):
            raise Fault(node, f"{what} {in_quotes(part)} is not a valid {what}")
    return " ".join(parts)


def is_key(key: str, prefix: Prefix) -> bool:
    """True for a public nkey of this type."""
    try:
        check_public(key, prefix)
    except NkeyError:
        return False
    return True


def not_supported(node: Node, name: str, why: str = "") -> Fault:
    """Return the refusal of something that midge does not do."""
    return Fault(node, f"{in_quotes(name)} is not supported by midge{why and f': {why}'}")


def in_quotes(value: str) -> str:
    """Return a text as Go's %q shows it."""
    return quote(value.encode("utf-8", "surrogateescape"))


def _number(value: object) -> str:
    return str(trunc(value)) if isinstance(value, float) and value.is_integer() else shown(value)
