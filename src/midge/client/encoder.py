"""What an application publishes, checked and written into an outbox: nothing unchecked reaches the wire.

An encoder belongs to one thread, not to one socket. A connection has one that writes into its session's outbox; a blocking face
encodes with its own into an outbox of its own, in its caller's thread, and hands the blocks over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.errors import InvalidSubjectError, LocalProtocolError, MaxPayloadError, OutboundFullError
from midge.message import Headers

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.subject import check_publish
    from cython.cimports.midge.wire.encoder import put_publish
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.subject import check_publish
    from midge.wire.encoder import put_publish
    from midge.wire.outbox import Outbox

__all__ = ["Payload", "PublishEncoder", "check_names", "payload_of"]

Payload = bytes | bytearray | memoryview | str

MAX_NAMES = 4000  # bytes of subject and reply, or subject and queue group: a server's control line has 4096 by default
SUBJECT_CACHE = 1024
_MAX_NAMES = MAX_NAMES
_SUBJECT_CACHE = SUBJECT_CACHE


class PublishEncoder:
    """Checks publishes and writes them.

    Args:
        limit: bytes that may wait in an outbox before a publish is refused.
        full: what it is refused with.

    Attributes:
        max_payload: bytes of header and payload that the server takes.
        has_headers: the server takes headers.
    """

    __slots__ = ("_full", "_limit", "_subjects", "has_headers", "max_payload")

    def __init__(self, limit: int, full: type[OutboundFullError] = OutboundFullError) -> None:
        self._limit = limit
        self._full = full
        self._subjects: dict[str, bytes] = {}
        self.max_payload = 1 << 20
        self.has_headers = True

    def encode(self, out: Outbox, subject: str, data: Payload, reply: str | None, headers: Any) -> int:
        """Write a publish; return its bytes of header and payload.

        Raises:
            InvalidSubjectError, InvalidHeaderError, MaxPayloadError: it cannot be sent as it is.
            LocalProtocolError: it has headers and the server does not know them, or its text is not text.
            TypeError: the payload is neither bytes nor str.
            OutboundFullError: too much waits in the outbox already.
        """
        if reply is None or reply == "":
            return self.encode_reply(out, subject, data, None, headers)
        return self.encode_reply(out, subject, data, check_publish(reply, "reply subject"), headers)

    def encode_reply(self, out: Outbox, subject: str, data: Payload, reply: bytes | None, headers: Any) -> int:
        """Write a publish whose reply subject is known to be valid; otherwise as ``encode``."""
        encoded = self._subjects.get(subject) if isinstance(subject, str) else None
        if encoded is None:
            encoded = self._encode_subject(subject)
        if reply is not None and len(encoded) + len(reply) > _MAX_NAMES:
            check_names(reply.decode("utf-8", "surrogateescape"), len(encoded) + len(reply), "reply subject")
        if type(data) is not bytes:
            data = payload_of(data)
        size = len(data)
        header = None
        if headers is not None:
            header = _header_block(headers, self.has_headers)
            if header is not None:
                size += len(header)
        if size > self.max_payload:
            raise MaxPayloadError(size, self.max_payload)
        waiting = out.before + out.fill - out.start
        if waiting + size > self._limit and waiting:
            raise self._full(waiting, self._limit)
        put_publish(out, encoded, reply, header, data)
        return size

    def encode_answer(self, out: Outbox, subject: bytes, data: bytes) -> int:
        """Write a publish to a subject that a server sent, so that it is known to be valid; otherwise as ``encode``."""
        size = len(data)
        if size > self.max_payload:
            raise MaxPayloadError(size, self.max_payload)
        waiting = out.before + out.fill - out.start
        if waiting + size > self._limit and waiting:
            raise self._full(waiting, self._limit)
        put_publish(out, subject, None, None, data)
        return size

    def _encode_subject(self, subject: Any) -> bytes:
        """Check a subject and remember it: most programs use few."""
        encoded = check_publish(subject)
        if len(encoded) > _MAX_NAMES:
            check_names(subject, len(encoded), "subject")
        if len(self._subjects) >= _SUBJECT_CACHE:
            self._subjects.clear()
        self._subjects[subject] = encoded
        return encoded


def check_names(name: str, size: int, what: str) -> None:
    """Check that the names of one protocol line, size bytes together, fit in it.

    Raises:
        InvalidSubjectError: they do not; the server would close the connection.
    """
    if size > MAX_NAMES:
        raise InvalidSubjectError(name[:40] + "...", f"{size} bytes of names do not fit in a protocol line", what=what)


def _header_block(headers: Any, allowed: bool) -> bytes | None:
    """Return the header block, None where there is nothing in it."""
    if not isinstance(headers, Headers):
        headers = Headers(headers)
    if not headers and headers.status is None:
        return None
    if not allowed:
        raise LocalProtocolError("the server does not support headers")
    block: bytes = headers.encode()
    return block


def payload_of(data: Any) -> bytes:
    """Return a payload that is not bytes already; text goes out as UTF-8.

    Raises:
        LocalProtocolError: the text is not text; TypeError: it is neither bytes nor str.
    """
    if isinstance(data, (bytearray, memoryview, bytes)):
        return bytes(data)
    if not isinstance(data, str):
        raise TypeError(f"a payload is bytes or str, not {type(data).__name__}")
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"a str goes out as UTF-8, and this payload holds half a surrogate pair at {error.start}") from error
