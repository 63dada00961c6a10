"""What an application hands to a session, checked and turned into bytes. Nothing unchecked reaches the wire."""

from __future__ import annotations

from typing import Any

from midge.errors import InvalidSubjectError, LocalProtocolError
from midge.message import Headers

__all__ = ["check_length", "check_limit", "encode_headers", "encode_payload"]

MAX_NAMES = 4000  # bytes of subject and reply, or subject and queue group: a server's control line has 4096 by default


def check_length(name: str, size: int, what: str) -> None:
    """Check that the names of one protocol line, size bytes together, fit in it.

    Raises:
        InvalidSubjectError: they do not; the server would close the connection.
    """
    if size > MAX_NAMES:
        raise InvalidSubjectError(name[:40] + "...", f"{size} bytes of names do not fit in a protocol line", what=what)


def check_limit(limit: Any) -> int:
    """Return a number of messages.

    Raises:
        LocalProtocolError: it is not an int of 1 or more.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise LocalProtocolError(f"a limit is a number of messages from 1 on, not {limit!r}")
    return limit


def encode_headers(headers: Any, allowed: bool) -> bytes | None:
    """Return the header block, None where there is nothing in it.

    Raises:
        InvalidHeaderError: a name or value cannot be sent.
        LocalProtocolError: the server does not know headers.
    """
    if not isinstance(headers, Headers):
        headers = Headers(headers)
    if not len(headers) and headers.status is None:
        return None
    if not allowed:
        raise LocalProtocolError("the server does not support headers")
    block: bytes = headers.encode()
    return block


def encode_payload(data: Any) -> bytes:
    """Return a payload that is not bytes already.

    Raises:
        TypeError: it cannot be one.
    """
    if isinstance(data, (bytearray, memoryview, bytes)):
        return bytes(data)
    if isinstance(data, str):
        raise TypeError("a payload is bytes, not str: encode it")
    raise TypeError(f"a payload is bytes, not {type(data).__name__}")
