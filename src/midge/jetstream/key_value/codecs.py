"""Codecs: how a program's keys and values are written in a bucket (ADR-54); the same as those of orbit.go's ``kvcodec``.

A key codec makes keys of texts that are none, such as paths or names with spaces; a value codec encrypts, compresses, or the like. One
that has ``encode_filter`` can be watched with wildcards. Any object with these methods is a codec, and any exception that it raises
becomes the cause of a CodecError.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from typing import Protocol, runtime_checkable

from midge.jetstream.key_value.errors import CodecError

__all__ = [
    "Base64Codec",
    "FilterableKeyCodec",
    "KeyChain",
    "KeyCodec",
    "NoOpCodec",
    "PathCodec",
    "ValueChain",
    "ValueCodec",
    "encode_filter",
]

_ROOT = "_root_"


class KeyCodec(Protocol):
    """Writes keys."""

    def encode_key(self, key: str) -> str:
        """Return a key as it is stored."""

    def decode_key(self, key: str) -> str:
        """Return a key as the program knows it."""


@runtime_checkable
class FilterableKeyCodec(Protocol):
    """Writes filters of keys, too."""

    def encode_key(self, key: str) -> str:
        """Return a key as it is stored."""

    def decode_key(self, key: str) -> str:
        """Return a key as the program knows it."""

    def encode_filter(self, filter: str) -> str:
        """Return a filter of stored keys; ``*`` and ``>`` stay what they are."""


class ValueCodec(Protocol):
    """Writes values."""

    def encode_value(self, value: bytes) -> bytes:
        """Return a value as it is stored."""

    def decode_value(self, value: bytes) -> bytes:
        """Return a value as the program knows it."""


class NoOpCodec:
    """Leaves keys and values as they are."""

    def encode_key(self, key: str) -> str:
        """Return the key."""
        return key

    def decode_key(self, key: str) -> str:
        """Return the key."""
        return key

    def encode_filter(self, filter: str) -> str:
        """Return the filter."""
        return filter

    def encode_value(self, value: bytes) -> bytes:
        """Return the value."""
        return value

    def decode_value(self, value: bytes) -> bytes:
        """Return the value."""
        return value


class Base64Codec:
    """Base64 for URLs, without padding: each token of a key by itself, so that filters work; and values."""

    def encode_key(self, key: str) -> str:
        """Return the key with each token encoded."""
        return ".".join(_encode(token.encode()).decode() for token in key.split("."))

    def decode_key(self, key: str) -> str:
        """Return the key with each token decoded."""
        return ".".join(_decode(token.encode()).decode() for token in key.split("."))

    def encode_filter(self, filter: str) -> str:
        """Return the filter with each token encoded but wildcards."""
        return ".".join(token if token in ("*", ">") else self.encode_key(token) for token in filter.split("."))

    def encode_value(self, value: bytes) -> bytes:
        """Return the value encoded."""
        return _encode(value)

    def decode_value(self, value: bytes) -> bytes:
        """Return the value decoded."""
        return _decode(value)


class PathCodec:
    """Paths such as ``/etc/hosts``: slashes become dots. A leading one is kept as ``_root_``, one at the end is lost."""

    def encode_key(self, key: str) -> str:
        """Return the path as a key."""
        if key == "/":
            return _ROOT
        if key.startswith("/"):
            key = f"{_ROOT}.{key[1:]}"
        return key.removesuffix("/").replace("/", ".")

    def decode_key(self, key: str) -> str:
        """Return the key as a path."""
        if key == _ROOT:
            return "/"
        if key.startswith(_ROOT + "."):
            key = key[len(_ROOT) :]
        return key.replace(".", "/")

    def encode_filter(self, filter: str) -> str:
        """Return a path with wildcards as a filter."""
        return self.encode_key(filter)


class KeyChain:
    """Several key codecs: the first encodes first, and decodes last.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, *codecs: KeyCodec) -> None:
        if not codecs:
            raise ValueError("a chain has one codec or more")
        self._codecs = codecs

    def encode_key(self, key: str) -> str:
        """Return the key as the last one has it."""
        for codec in self._codecs:
            key = codec.encode_key(key)
        return key

    def decode_key(self, key: str) -> str:
        """Return the key as the first one has it."""
        for codec in reversed(self._codecs):
            key = codec.decode_key(key)
        return key

    def encode_filter(self, filter: str) -> str:
        """Return the filter as the last one has it.

        Raises:
            CodecError: it has wildcards, and one of them cannot write those.
        """
        for codec in self._codecs:
            filter = encode_filter(codec, filter)
        return filter


class ValueChain:
    """Several value codecs: the first encodes first, and decodes last.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, *codecs: ValueCodec) -> None:
        if not codecs:
            raise ValueError("a chain has one codec or more")
        self._codecs = codecs

    def encode_value(self, value: bytes) -> bytes:
        """Return the value as the last one has it."""
        for codec in self._codecs:
            value = codec.encode_value(value)
        return value

    def decode_value(self, value: bytes) -> bytes:
        """Return the value as the first one has it."""
        for codec in reversed(self._codecs):
            value = codec.decode_value(value)
        return value


def encode_filter(codec: KeyCodec, filter: str) -> str:
    """Return a filter as a codec writes it.

    Raises:
        CodecError: it has wildcards, and the codec has no ``encode_filter``.
    """
    if filter == ">":
        return filter
    if isinstance(codec, FilterableKeyCodec):
        return codec.encode_filter(filter)
    if "*" in filter or ">" in filter:
        raise CodecError(filter, "write the wildcards of") from TypeError(f"{type(codec).__name__} has no encode_filter")
    return codec.encode_key(filter)


def _encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _decode(data: bytes) -> bytes:
    return b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True)
