"""What a client says of itself in CONNECT, with the defaults and the leniency of nats-server.

The defaults ``verbose`` and ``pedantic`` are true: that is what a person typing ``CONNECT {}`` gets. As in Go's decoder, names are
matched in any case, null leaves a field as it is, unknown fields are ignored, and a second CONNECT changes only what it names.

Nearly every CONNECT is plain: ASCII without escapes, nothing but names that are known. ``msgspec`` decodes those, strictly and fast;
what it does not take is decoded once more by the standard library's ``json``, which can be made as lenient as Go's decoder.
"""

from __future__ import annotations

import json
import re
from typing import Annotated

import msgspec

from midge.errors import RemoteProtocolError

__all__ = ["DEFAULT", "Connect", "check_info", "fold", "parse_connect", "with_cookies"]

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1


class Connect(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename={"password": "pass"}):
    """The options of one client; the names are those of the protocol, but for ``password`` (``pass``)."""

    verbose: bool = True
    pedantic: bool = True
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    tls_required: bool = False
    protocol: Annotated[int, msgspec.Meta(ge=_INT_MIN, le=_INT_MAX)] = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    user: str = ""
    password: str = ""
    auth_token: str = ""
    nkey: str = ""
    sig: str = ""
    jwt: str = ""
    account: str = ""
    new_account: bool = False

    def has_credentials(self) -> bool:
        """True if it says anything that only this client should know."""
        return bool(self.user or self.password or self.auth_token or self.nkey or self.sig or self.jwt)

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name not in _SECRETS}
        return f"Connect({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


DEFAULT = Connect()
_SECRETS = ("password", "auth_token", "sig", "jwt")
_TYPES = {alias: (name, type(getattr(DEFAULT, name))) for name, alias in zip(Connect.__struct_fields__, Connect.__struct_encode_fields__)}
_PLAIN = msgspec.json.Decoder(Connect)
_INFO_TYPES: dict[str, type] = {
    **dict.fromkeys(("server_id", "server_name", "version", "git_commit", "go", "host", "client_ip", "nonce", "cluster", "domain"), str),
    **dict.fromkeys(("proto", "port", "max_payload", "client_id"), int),
    **dict.fromkeys(("headers", "auth_required", "tls_required", "tls_verify", "tls_available", "jetstream", "ldm"), bool),
    **dict.fromkeys(("connect_urls", "ws_connect_urls"), list),
}
_HALF_PAIR = re.compile("[\ud800-\udfff]")  # Go replaces half a surrogate pair


def parse_connect(line: bytes, before: Connect) -> Connect:
    """Return the options of a CONNECT line, on top of those that held before.

    Raises:
        RemoteProtocolError: not a JSON object, or a value has the wrong type.
    """
    if before is DEFAULT and line.isascii() and b"\\" not in line:
        try:
            return _PLAIN.decode(line)
        except msgspec.MsgspecError:
            pass  # not plain: what it is, the lenient decoder finds out
    changes: dict[str, object] = {}
    for key, value in _decode(line):
        known = _TYPES.get(fold(key))
        if known is not None and value is not None:
            _check_type("CONNECT", key, value, known[1])
            changes[known[0]] = _HALF_PAIR.sub("\ufffd", value) if isinstance(value, str) else value
    return msgspec.structs.replace(before, **changes)


def with_cookies(connect: Connect, cookies: dict[str, str]) -> Connect:
    """Return the options with what came in cookies, where the client has not said it in CONNECT.

    Args:
        cookies: by the name of a field: ``jwt``, ``user``, ``password``, ``auth_token``.
    """
    missing = {name: value for name, value in cookies.items() if not getattr(connect, name)}
    return msgspec.structs.replace(connect, **missing) if missing else connect


def check_info(line: bytes) -> None:
    """Check an INFO line from a client: it means nothing, but nats-server decodes it.

    Raises:
        RemoteProtocolError: not a JSON object, or a value has the wrong type.
    """
    for key, value in _decode(line):
        expected = _INFO_TYPES.get(fold(key))
        if expected is not None and value is not None:
            _check_type("INFO", key, value, expected)


def _decode(line: bytes) -> list[tuple[str, object]]:
    """Return the members of a JSON object in order, repeated names included; null counts as an empty object.

    The standard library's decoder is as lenient as Go's where stricter ones are not: half surrogate pairs, numbers past all floats.
    """
    try:
        found = json.loads(line.decode("utf-8", "replace"), object_pairs_hook=_Members, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"invalid JSON: {error}") from error
    if found is None:
        return []
    if not isinstance(found, _Members):
        raise RemoteProtocolError(f"invalid JSON: a {type(found).__name__} where an object belongs")
    return found


class _Members(list[tuple[str, object]]):
    """A decoded JSON object, told apart from a decoded array."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def fold(key: str) -> str:
    """Fold case as Go's decoder does: by Unicode, where the long s is an s."""
    return key.lower().replace("\u017f", "s")


def _check_type(verb: str, key: str, value: object, expected: type) -> None:
    if type(value) is not expected or (isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX):
        raise RemoteProtocolError(f"invalid {verb}: {key} is a {type(value).__name__}, not a {expected.__name__}")
