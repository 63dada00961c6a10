"""Go's %q: how nats-server shows a subject or a payload in an -ERR or a log line."""

from __future__ import annotations

__all__ = ["quote"]

_SHORT = {
    0x07: "\\a",
    0x08: "\\b",
    0x0C: "\\f",
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x0B: "\\v",
    0x5C: "\\\\",
    0x22: '\\"',
}


def quote(data: bytes) -> str:
    """Return the bytes in double quotes; what is not printable UTF-8 is escaped, byte by byte where it is not UTF-8."""
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_show(character) for character in text) + '"'


def _show(character: str) -> str:
    code = ord(character)
    if code in _SHORT:
        return _SHORT[code]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
