"""What a client says of itself in CONNECT, with the defaults and the leniency of nats-server.

The defaults ``verbose`` and ``pedantic`` are true: that is what a person typing ``CONNECT {}`` gets. As in Go's decoder, names are
matched in any case, null leaves a field as it is, unknown fields are ignored, and a second CONNECT changes only what it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import msgspec

from midge.errors import RemoteProtocolError

__all__ = ["Connect", "decode_object", "parse_connect"]


@dataclass(frozen=True, slots=True)
class Connect:
    """The options of one client; the names are those of the protocol, but for ``password`` (``pass``)."""

    verbose: bool = True
    pedantic: bool = True
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    tls_required: bool = False
    protocol: int = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    auth_token: str = field(default="", repr=False)
    nkey: str = ""
    sig: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)
    account: str = ""
    new_account: bool = False


_TYPES = {("pass" if f.name == "password" else f.name): (f.name, type(f.default)) for f in fields(Connect)}


def decode_object(line: bytes) -> dict[str, object]:
    """Decode a JSON object; null counts as an empty one.

    Raises:
        RemoteProtocolError: it is not JSON, or not an object.
    """
    try:
        found = msgspec.json.decode(line.decode("utf-8", "replace"))
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(f"invalid JSON: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RemoteProtocolError(f"invalid JSON: a {type(found).__name__} where an object belongs")
    return found


def parse_connect(line: bytes, before: Connect) -> Connect:
    """Return the options of a CONNECT line, on top of those that held before.

    Raises:
        RemoteProtocolError: not a JSON object, or a value has the wrong type.
    """
    changes: dict[str, object] = {}
    for key, value in decode_object(line).items():
        known = _TYPES.get(key.lower())
        if known is None or value is None:
            continue
        name, expected = known
        if type(value) is not expected:
            raise RemoteProtocolError(f"invalid CONNECT: {key} is a {type(value).__name__}, not a {expected.__name__}")
        changes[name] = value
    return replace(before, **changes)  # type: ignore[arg-type]
