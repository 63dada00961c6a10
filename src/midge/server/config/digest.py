"""The digest of a configuration, as nats-server computes it: SHA-256 of the tree as Go writes it in JSON."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256

from midge.server.config.tree import Node

__all__ = ["digest"]

_ESCAPED = re.compile('[\\x00-\\x1f"\\\\<>&\u2028\u2029]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def digest(tree: dict[str, Node]) -> str:
    """Return ``sha256:`` and the digest in hex."""
    hashed = sha256()
    hashed.update(_json(tree).encode())
    hashed.update(b"\n")
    return f"sha256:{hashed.hexdigest()}"


def _json(value: object) -> str:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode())
        return "{" + ",".join(f"{_string(name)}:{_json(value[name].value)}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_json(node.value) for node in value) + "]"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f'"{value.isoformat()}Z"'
    return _float(value) if isinstance(value, float) else str(value)


def _string(text: str) -> str:
    return '"' + _ESCAPED.sub(lambda found: _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", text) + '"'


def _float(value: float) -> str:
    """Return it as Go does: with an exponent only where it is very large or very small."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return f"{value:.0f}" if value == int(value) else _plain(value)
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0').zfill(1) if exponent[0] == '-' else exponent[1:]}"


def _plain(value: float) -> str:
    text = repr(value)
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    places = -int(exponent) + len(digits.partition(".")[2])
    return f"{value:.{places}f}"
