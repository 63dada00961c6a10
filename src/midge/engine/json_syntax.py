"""The syntax of JSON with nats-server's complaints: where a value ends, or which byte is wrong and what was expected there.

Texts and offsets are those of Go's decoder: an offset is the number of bytes up to and with the wrong character. Nothing recurses, what is
open is counted, and every byte is looked at a bounded number of times: what comes here was sent by anybody.
"""

from __future__ import annotations

import json
import re
from typing import Final

from midge.quote import quote

__all__ = ["MAX_DEPTH", "JsonSyntaxError", "end_of_value", "skip_space", "text_of", "unexpected"]

MAX_DEPTH: Final = 10_000
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
_NUMBER = (re.compile(rb"-?(?:0|[1-9][0-9]*+)"), re.compile(rb"\.[0-9]++"), re.compile(rb"[eE][+-]?[0-9]++"))
_FRACTION_BEGUN, _EXPONENT_BEGUN = re.compile(rb"\."), re.compile(rb"[eE][+-]?")
_TEXT = rb'"[^"\\\x00-\x1f]*+"'  # a string without escapes
_SPACED = rb"[ \t\r\n]*+"
_SIMPLE = rb"(?:%b|-?(?:0|[1-9][0-9]*+)|true|false|null)%b,%b" % (_TEXT, _SPACED, _SPACED)
_ITEMS = re.compile(rb"(?:%b)*+" % _SIMPLE)  # what most long lists and objects consist of, passed over at once
_MEMBERS = re.compile(rb"(?:%b%b:%b%b)*+" % (_TEXT, _SPACED, _SPACED, _SIMPLE))
_HEX = re.compile(rb"[0-9a-fA-F]*")
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}
_SURROGATES = re.compile("[\ud800-\udfff]")
_RUNE_SHORT = {7: r"\a", 8: r"\b", 12: r"\f", 10: r"\n", 13: r"\r", 9: r"\t", 11: r"\v", 92: r"\\", 39: r"\'"}


class JsonSyntaxError(ValueError):
    """It is no JSON; the text is Go's. ``offset`` is -1 where it only ends too early."""

    def __init__(self, text: str, offset: int = -1) -> None:
        super().__init__(text)
        self.offset = offset


def skip_space(data: bytes, at: int) -> int:
    """Return where the next thing that is no white space is, or the end."""
    return _past(_SPACE, data, at)


def end_of_value(data: bytes, at: int) -> int:
    """Return where the value ends that begins at an offset.

    Raises:
        JsonSyntaxError: there is none.
    """
    opened = bytearray()  # the brackets
    while True:
        kind = data[at] if at < len(data) else -1
        if kind in _CLOSING:
            if len(opened) >= MAX_DEPTH:
                raise JsonSyntaxError("exceeded max depth", at + 1)
            opened.append(kind)
            at = skip_space(data, at + 1)
            if at >= len(data) or data[at] != _CLOSING[kind]:
                at = _member(data, at) if kind == 0x7B else at
                continue
        else:
            at = _scalar(data, at)
        while opened:
            at = skip_space(data, at)
            if at < len(data) and data[at] == _CLOSING[opened[-1]]:
                opened.pop()
                at += 1
                continue
            if at >= len(data) or data[at] != 0x2C:
                raise unexpected(data, at, "after object key:value pair" if opened[-1] == 0x7B else "after array element")
            at = _past(_MEMBERS if opened[-1] == 0x7B else _ITEMS, data, skip_space(data, at + 1))
            at = _member(data, at) if opened[-1] == 0x7B else at
            break
        else:
            return at


def text_of(data: bytes, start: int, end: int) -> str:
    """Return the text of a string that was found well-formed; what is not Unicode becomes U+FFFD, each byte or half pair of its own."""
    text = _SURROGATES.sub("\ufffd", data[start:end].decode("utf-8", "surrogateescape"))
    return _SURROGATES.sub("\ufffd", json.loads(text)) if "\\" in text else text[1:-1]


def unexpected(data: bytes, at: int, where: str) -> JsonSyntaxError:
    """Return the error that the character at an offset, or the end, is not what may be there."""
    if at >= len(data):
        return JsonSyntaxError("unexpected EOF")
    rune = data[at : at + 4].decode("utf-8", "surrogateescape")[0]
    return JsonSyntaxError(f"invalid character {_quoted(rune)} {where}", at + len(rune.encode("utf-8", "surrogateescape")))


def _past(what: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Return where something ends that may be empty."""
    found = what.match(data, at)
    assert found is not None
    return found.end()


def _member(data: bytes, at: int) -> int:
    """Return where the value of an object's member begins."""
    if at >= len(data) or data[at] != 0x22:
        raise unexpected(data, at, "looking for beginning of object key string")
    at = skip_space(data, _string(data, at))
    if at >= len(data) or data[at] != 0x3A:
        raise unexpected(data, at, "after object key")
    return skip_space(data, at + 1)


def _scalar(data: bytes, at: int) -> int:
    kind = data[at] if at < len(data) else -1
    if kind == 0x22:
        return _string(data, at)
    if kind == 0x2D or 0x30 <= kind <= 0x39:
        return _number(data, at)
    if kind in _LITERALS:
        return _literal(data, at, _LITERALS[kind])
    raise unexpected(data, at, "looking for beginning of value")


def _string(data: bytes, at: int) -> int:
    found = _STRING.match(data, at)
    assert found is not None
    end = found.end()
    if end < len(data) and data[end] == 0x22:
        return end + 1
    if end >= len(data) or data[end] != 0x5C:
        raise unexpected(data, end, "in string")
    if end + 1 < len(data) and data[end + 1] != 0x75:
        raise _bad_escape(data, end, 2)
    digits = _HEX.match(data, end + 2, end + 6)
    if digits is None or digits.end() == len(data):
        raise JsonSyntaxError("unexpected EOF")
    raise _bad_escape(data, end, 6)


def _number(data: bytes, at: int) -> int:
    whole, fraction, exponent = _NUMBER
    found = whole.match(data, at)
    if found is None:
        raise unexpected(data, at + 1, "in numeric literal")
    at = found.end()
    for part, begun in ((fraction, _FRACTION_BEGUN), (exponent, _EXPONENT_BEGUN)):
        if found := part.match(data, at):
            at = found.end()
        elif found := begun.match(data, at):
            raise unexpected(data, found.end(), "in numeric literal")
    return at


def _literal(data: bytes, at: int, literal: bytes) -> int:
    for place, wanted in enumerate(literal):
        if at + place >= len(data) or data[at + place] != wanted:
            raise unexpected(data, at + place, f"in literal {literal.decode()} (expecting '{wanted:c}')")
    return at + len(literal)


def _bad_escape(data: bytes, at: int, size: int) -> JsonSyntaxError:
    escape = data[at : at + size]
    text = escape.decode("utf-8", "surrogateescape")
    is_plain = text.isprintable() and not any(character.isspace() or character in "`\ufffd" for character in text)
    shown = f"`{text}`" if is_plain else quote(escape)
    return JsonSyntaxError(f"invalid escape sequence {shown} in string", at + len(escape))


def _quoted(rune: str) -> str:
    """Go's %q of a character."""
    code = ord(rune)
    if code in _RUNE_SHORT:
        return f"'{_RUNE_SHORT[code]}'"
    if rune == '"':
        return "'\"'"
    return f"'{quote(rune.encode('utf-8', 'surrogateescape'))[1:-1]}'"
