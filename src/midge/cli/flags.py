"""nats-server's command line: Go's flag syntax and the table of every flag that nats-server knows.

``-x v``, ``--x v``, ``-x=v`` and ``--x=v`` are the same; a boolean takes a value only after ``=``; the first word that is no
flag, or ``--``, ends the flags. A flag occurs once per name in the table; several names may lead to one option, and the last
one given wins.

The table also holds what midge does not do yet. Such a flag is read like any other, value and all, and then *refused*: a
server that was told ``--cluster`` and stands alone would be worse than none. False, 0 and nothing ask for nothing: ``-s=false``
is as good as no flag, as in a configuration file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from midge.quote import quote

__all__ = ["TABLE", "Flag", "FlagError", "Parsed", "in_quotes", "parse"]

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_OLD_OCTAL = re.compile(r"[+-]?0[0-7_]+")
_INT_BITS = 63


class FlagError(ValueError):
    """The command line is wrong; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its type, bool, int or str, and the option it sets; "" is an option that midge does not have."""

    kind: type[bool] | type[int] | type[str]
    option: str


@dataclass(slots=True)
class Parsed:
    """What a command line says.

    Attributes:
        values: the options that were given, by name.
        refused: the flags that ask for what midge does not support, as they were spelled, without dashes.
        rest: the words after the flags.
    """

    values: dict[str, bool | int | str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


def _table() -> dict[str, Flag]:
    supported: list[tuple[type[bool] | type[int] | type[str], str, str]] = [
        (bool, "help", "h help"),
        (bool, "version", "v version"),
        (int, "port", "p port"),
        (str, "host", "a addr net"),
        (str, "name", "n name server_name"),
        (bool, "debug", "D debug"),
        (bool, "trace", "V trace"),
        (bool, "DV", "DV"),
        (bool, "DVV", "DVV"),
        (bool, "VV", "VV"),
        (bool, "logtime", "T logtime"),
        (bool, "logtime_utc", "logtime_utc"),
        (str, "log_file", "l log"),
        (str, "pid_file", "P pid"),
        (str, "ports_dir", "ports_file_dir"),
        (str, "user", "user"),
        (str, "password", "pass"),
        (str, "token", "auth"),
        (str, "config", "c config"),
        (bool, "check", "t"),
        (str, "signal", "sl signal"),
        (bool, "help_tls", "help_tls"),
        (int, "http_port", "m http_port"),
        (int, "https_port", "ms https_port"),
        (str, "client_advertise", "client_advertise"),
        (int, "log_size_limit", "log_size_limit"),
        (int, "max_traced_msg_len", "max_traced_msg_len"),
        (bool, "tls", "tls"),
        (bool, "tls_verify", "tlsverify"),
        (str, "tls_cert", "tlscert"),
        (str, "tls_key", "tlskey"),
        (str, "tls_ca", "tlscacert"),
        (bool, "jetstream", "js jetstream"),
        (str, "store_dir", "sd store_dir"),
    ]
    unsupported: list[tuple[type[bool] | type[int] | type[str], str]] = [
        (bool, "s syslog no_advertise"),
        (int, "profile connect_retries"),
        (str, "r remote_syslog"),
        (str, "routes cluster cluster_listen cluster_advertise cluster_name"),
    ]
    table = {name: Flag(kind, option) for kind, option, names in supported for name in names.split()}
    table.update({name: Flag(kind, "") for kind, names in unsupported for name in names.split()})
    return table


TABLE = _table()


def parse(args: Sequence[str]) -> Parsed:
    """Read a command line.

    Raises:
        FlagError: a flag that does not exist, has no value where it needs one, or a value that it cannot have.
    """
    parsed = Parsed(rest=list(args))
    rest = parsed.rest
    while rest and len(rest[0]) > 1 and rest[0][0] == "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
        if not name or name[0] == "-":
            raise FlagError(f"bad flag syntax: {word}")
        flag = TABLE.get(name)
        if flag is None:
            raise FlagError(f"flag provided but not defined: -{name}")
        value: bool | int | str
        if flag.kind is bool:
            value = _bool(name, text) if equals else True
        else:
            if not equals:
                if not rest:
                    raise FlagError(f"flag needs an argument: -{name}")
                text = rest.pop(0)
            value = _int(name, text) if flag.kind is int else text
        if flag.option:
            parsed.values[flag.option] = value
        elif name in parsed.refused and not value:  # the last one counts
            parsed.refused.remove(name)
        elif name not in parsed.refused and value:
            parsed.refused.append(name)
    return parsed


def _bool(name: str, text: str) -> bool:
    if text not in _TRUE + _FALSE:
        raise FlagError(f"invalid boolean value {in_quotes(text)} for -{name}: parse error")
    return text in _TRUE


def _int(name: str, text: str) -> int:
    """Read a number as Go's ParseInt does with base 0: decimal, 0x, 0o, 0b and the old octal."""
    try:
        if not text.isascii() or text != text.strip():
            raise ValueError
        value = int(text, 8 if _OLD_OCTAL.fullmatch(text) else 0)
    except ValueError:
        raise FlagError(f"invalid value {in_quotes(text)} for flag -{name}: parse error") from None
    if not -(1 << _INT_BITS) <= value < 1 << _INT_BITS:
        raise FlagError(f"invalid value {in_quotes(text)} for flag -{name}: value out of range")
    return value


def in_quotes(text: str) -> str:
    """Return a word of the command line as Go's %q shows it."""
    return quote(text.encode("utf-8", "surrogateescape"))
