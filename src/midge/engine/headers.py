"""Header blocks as bytes: what nats-server reads in them, and how it changes them. Names are compared exactly, as there.

A block is ``NATS/1.0`` (a status may follow), lines ``Name: value``, and an empty line. Nothing here validates it: what a client sends is
stored as it came.
"""

from __future__ import annotations

__all__ = ["add", "is_delete_marker", "nats_values", "read_number", "remove", "replaced", "strip_status", "value_of", "without"]

_VERSION = b"NATS/1.0"
_EMPTY = b"NATS/1.0\r\n\r\n"
_END = b"\r\n"
_NATS = b"\r\nNats-"


def value_of(header: bytes, name: bytes) -> bytes:
    """Return the first value of a name, without the spaces before it; empty where there is none."""
    at = header.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    start = at + len(name) + 3
    end = header.find(_END, start)
    return header[start : end if end >= 0 else len(header)].lstrip(b" ")


def is_delete_marker(header: bytes) -> bool:
    """True for what says that its subject ended, a marker of the server or the purge of a key: when it expires, no marker follows it."""
    return bool(value_of(header, b"Nats-Marker-Reason")) or value_of(header, b"KV-Operation") == b"PURGE"


def nats_values(header: bytes) -> dict[bytes, bytes]:
    """Return the first value of every name that begins with ``Nats-``; those without a value are left out."""
    found: dict[bytes, bytes] = {}
    has_empty = False
    at = header.find(_NATS)
    while at >= 0:
        end = header.find(_END, at + 2)
        if end < 0:
            end = len(header)
        colon = header.find(b":", at + 2, end)
        if colon >= 0:
            name = header[at + 2 : colon]
            if name not in found:
                value = found[name] = header[colon + 1 : end].lstrip(b" ")
                if not value:
                    has_empty = True
        at = header.find(_NATS, end)
    if has_empty:
        return {name: value for name, value in found.items() if value}
    return found


def read_number(text: bytes) -> int:
    """Return the number that a header has, -1 where it has none, as nats-server reads it: digits and nothing else."""
    return int(text) if 0 < len(text) <= 20 and text.isdigit() else -1


def remove(header: bytes, name: bytes) -> bytes:
    """Return the block without a name; empty where nothing is left."""
    if b"\r\n" + name + b":" not in header:
        return header
    mark = name + b":"
    header = _END.join([line for line in header.split(_END) if not line.startswith(mark)])
    return b"" if header == _EMPTY else header


def without(header: bytes, prefixes: tuple[bytes, ...]) -> bytes:
    """Return the block without lines that begin with one of these; empty where nothing is left."""
    lines = header.split(_END)
    kept = [line for line in lines if not line.startswith(prefixes)]
    if len(kept) == len(lines):
        return header
    header = _END.join(kept)
    return b"" if header == _EMPTY else header


def add(header: bytes, name: bytes, value: bytes) -> bytes:
    """Return the block with one more line at its end; an empty one is begun."""
    return b"%b%b: %b\r\n\r\n" % (header[:-2] if header else b"NATS/1.0\r\n", name, value)


def replaced(header: bytes, name: bytes, value: bytes) -> bytes:
    """Return the block with another value in the place of a name's; at its end where it has none."""
    at = header.find(b"\r\n" + name + b":")
    if at < 0:
        return add(header, name, value)
    return b"%b\r\n%b: %b%b" % (header[:at], name, value, header[header.index(_END, at + 2) :])


def strip_status(header: bytes) -> bytes:
    """Return the block without a status in its first line; empty where nothing else is in it."""
    end = header.find(b"\r")
    if end <= len(_VERSION) or not header.startswith(_VERSION):
        return header
    header = _VERSION + header[end:]
    return b"" if header == _EMPTY else header
