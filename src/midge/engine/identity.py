"""Identity: what tells a stream from a later one of the same name: a hash of when it was made, as nats-server's."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from midge.model.base import time_text

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["identity_of"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE = 8


def identity_of(stream: Stream) -> str:
    """Return a stream's identity, 8 letters and digits."""
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in sha256(time_text(stream.created).encode()).digest()[:_SIZE])
