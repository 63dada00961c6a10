"""Identities: what nats-server makes 8 letters and digits of: a stream's identity, which its sources ask for, and names that are chosen.

It is the same for as long as the stream is there, over restarts, and another one for the next stream of that name.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from midge.model.base import time_text

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["identity_of", "short_name"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE = 8


def identity_of(stream: Stream) -> str:
    """Return a stream's identity."""
    return short_name(time_text(stream.created))


def short_name(text: str) -> str:
    """Return what stands for a text."""
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in sha256(text.encode()).digest()[:_SIZE])
