"""Frames of a WebSocket (RFC 6455, section 5): taken apart where they lie, and put into an outbox.

    1 bit FIN, 3 reserved, 4 opcode | 1 bit MASK, 7 size | 16 or 64 bits more of the size | 32 bits key | payload

A ``FrameReader`` holds no payload of data: whatever part of one a chunk holds is told at once, so a frame may announce any size and
costs us nothing. It keeps what is cut in two of a frame's head (14 bytes at most) and of a control frame (125 at most).
What a peer must not send is a RemoteProtocolError; ``close_code`` says what to tell it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.errors import RemoteProtocolError

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import cut, new_buffer, put, put_masked, put_slice
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.wire.octets import cut, new_buffer, put, put_masked, put_slice
    from midge.wire.outbox import Outbox

__all__ = [
    "BINARY", "CLOSE", "CONTROL", "DATA", "DEFLATED", "MAX_HEAD", "MAX_REASON", "NOTHING", "PING", "PONG", "FrameReader", "close_answer",
    "put_frame",
]  # fmt: skip

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10  # opcodes
FINAL, DEFLATED = 0x80, 0x40  # bits beside the opcode; the second says that a message is deflated, where both have agreed on that
NOTHING, DATA, CONTROL = range(3)  # what FrameReader.next() found
MAX_HEAD = 14
MAX_CONTROL = 125
MAX_REASON = MAX_CONTROL - 2  # bytes of text in a CLOSE
PROTOCOL_ERROR, UNSUPPORTED_DATA, NO_STATUS, BAD_DATA = 1002, 1003, 1005, 1007
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PONG = CONTINUATION, TEXT, BINARY, CLOSE, PONG
_FINAL, _DEFLATED = FINAL, DEFLATED
_NOTHING_FOUND, _DATA, _CONTROL = NOTHING, DATA, CONTROL
_MAX_HEAD = MAX_HEAD
_MAX_CONTROL = MAX_CONTROL
_NO_KEY = bytes(4)
_EMPTY = bytearray()


class FrameReader:
    """Takes the frames of one peer apart.

    Args:
        masked: the peer must mask its frames, as clients do; otherwise it must not.
        deflate: both have agreed on permessage-deflate.

    Attributes:
        start, stop: after DATA, where this part of a payload is in the chunk, still masked.
        deflated: it belongs to a deflated message.
        ends: it is the last of its message; it may be empty.
        opcode, control: after CONTROL, which frame it is, and its payload.
        close_code, close_reason: after an error, the status to close with, and nats-server's words for it.
    """

    __slots__ = (
        "_at", "_chunk", "_deflate", "_final", "_have", "_head", "_in_frame", "_in_message", "_key", "_left", "_masked", "_piece_key",
        "_stop", "close_code", "close_reason", "control", "deflated", "ends", "opcode", "start", "stop",
    )  # fmt: skip

    def __init__(self, masked: bool, deflate: bool) -> None:
        self._masked = masked
        self._deflate = deflate
        self._chunk = _EMPTY
        self._at = 0
        self._stop = 0
        self._head = new_buffer(_MAX_HEAD)
        self._have = 0  # bytes of a head that is incomplete
        self._in_frame = False
        self._in_message = False  # a message has begun of which another frame is to come
        self._final = False
        self._left = 0  # bytes of payload to come
        self._key = _NO_KEY  # for the next of them
        self._piece_key = _NO_KEY  # for what begins at ``start``
        self.start = 0
        self.stop = 0
        self.deflated = False
        self.ends = False
        self.opcode = 0
        self.control = b""
        self.close_code = PROTOCOL_ERROR
        self.close_reason = b""

    def receive(self, chunk: bytearray, start: int, stop: int) -> None:
        """Take chunk[start:stop]; call ``next`` until it finds NOTHING, and leave the chunk alone until then."""
        self._chunk = chunk
        self._at = start
        self._stop = stop

    def next(self) -> int:
        """Find the next part of a payload (DATA), the next control frame (CONTROL), or NOTHING more.

        Raises:
            RemoteProtocolError: the peer has broken the protocol, and nothing of it can be read any more.
        """
        while True:
            if not self._in_frame and not self._read_head():
                break
            if self.opcode >= _CLOSE:
                if not self._read_control():
                    break
                return _CONTROL
            size = self._stop - self._at
            if size > self._left:
                size = self._left
            if self._left and not size:
                break
            self._take(size)
            self._in_frame = self._left > 0
            self.ends = self._final and not self._in_frame
            if size or self.ends:
                return _DATA
        self._chunk = _EMPTY
        return _NOTHING_FOUND

    def move_to(self, at: int) -> int:
        """Move the part that was found to chunk[at:], unmasked, where at <= ``start``; return where it ends."""
        if not self._masked and at == self.start:
            return self.stop
        return put_masked(self._chunk, at, self._chunk, self.start, self.stop, self._piece_key)

    # Private

    def _take(self, size: int) -> None:
        """The next bytes of the payload are what was found."""
        self.start = self._at
        self._at += size
        self._left -= size
        self.stop = self._at
        self._piece_key = self._key
        if self._left and self._masked and size & 3:
            self._key = self._key[size & 3 :] + self._key[: size & 3]

    def _read_control(self) -> bool:
        """Read a control frame's payload. False if it is not all there."""
        size = self._stop - self._at
        if size > self._left:
            size = self._left
        self._take(size)
        piece = new_buffer(size)
        put_masked(piece, 0, self._chunk, self.start, self.stop, self._piece_key)
        self.control += cut(piece, 0, size)
        self._in_frame = self._left > 0
        return not self._in_frame

    def _read_head(self) -> bool:
        """Read the head of a frame. False if it is not all there."""
        if not self._have and self._stop - self._at >= _MAX_HEAD:
            self._at += self._parse_head(self._chunk, self._at)
            return True
        head, chunk = self._head, self._chunk
        while self._at < self._stop:
            head[self._have] = chunk[self._at]
            self._have += 1
            self._at += 1
            if self._have >= 2 and self._have == _head_size(head):
                self._have = 0
                self._parse_head(head, 0)
                return True
        return False

    def _parse_head(self, buf: bytearray, at: int) -> int:
        """Parse a head that begins at buf[at] and is complete; return its size. What is wrong is found in nats-server's order."""
        first = buf[at]
        second = buf[at + 1]
        if first & 0x30:
            raise self._wrong(b"RSV2 and RSV3 must be clear", "a WebSocket frame has a reserved bit set")
        if first & _DEFLATED and not self._deflate:
            reason = b"compressed frame received without negotiated permessage-deflate"
            raise self._wrong(reason, "a WebSocket frame has a reserved bit set")
        size = second & 127
        is_too_long = False
        end = at + 2
        if size == 126:
            size = (buf[end] << 8) + buf[end + 1]
            end += 2
        elif size == 127:
            is_too_long = buf[end] >= 128
            size = 0
            for i in range(end, end + 8):
                size = (size << 8) + (buf[i] & (127 if i == end else 255))
            end += 8
        if (second >= 128) != self._masked:
            raise self._wrong(b"mask bit missing", f"a WebSocket frame that is {'not ' if self._masked else ''}masked")
        if self._masked:
            self._key = cut(buf, end, end + 4)
            end += 4
        if first & 15 >= _CLOSE:
            self._check_control(first, size)
        else:
            self._check_data(first)
        if is_too_long:
            raise self._wrong(b"invalid 64-bit payload length", "a WebSocket frame announces more than 63 bits can count")
        self.opcode = first & 15
        self._left = size
        self._in_frame = True
        return end - at

    def _check_control(self, first: int, size: int) -> None:
        if first & 15 > _PONG:
            raise self._wrong(b"unknown opcode %d" % (first & 15), f"WebSocket opcode {first & 15} is reserved")
        if size > _MAX_CONTROL:
            reason = b"control frame length bigger than maximum allowed of %d bytes" % _MAX_CONTROL
            raise self._wrong(reason, f"a WebSocket control frame of {size} bytes, the limit is {_MAX_CONTROL}")
        if not first & _FINAL:
            raise self._wrong(b"control frame does not have final bit set", "a WebSocket control frame is fragmented")
        if first & _DEFLATED:
            raise self._wrong(b"control frame must not be compressed", "a WebSocket control frame has a reserved bit set")
        self.control = b""

    def _check_data(self, first: int) -> None:
        opcode = first & 15
        if opcode > _BINARY:
            raise self._wrong(b"unknown opcode %d" % opcode, f"WebSocket opcode {opcode} is reserved")
        if opcode == _TEXT and not self._masked:  # nats-server, and so every server, takes them from clients
            self.close_code = UNSUPPORTED_DATA
            raise RemoteProtocolError("a WebSocket text frame; NATS speaks in binary ones")
        if first & _DEFLATED and opcode == _CONTINUATION:
            raise self._wrong(b"invalid continuation frame", "a WebSocket frame has a reserved bit set")
        if self._in_message != (opcode == _CONTINUATION):
            if not opcode:
                raise self._wrong(b"invalid continuation frame", "a WebSocket frame continues nothing")
            reason = b"new message started before final frame for previous message was received"
            raise self._wrong(reason, "a WebSocket message begins before the one before has ended")
        if opcode != _CONTINUATION:
            self.deflated = first & _DEFLATED != 0
        self._final = first & _FINAL != 0
        self._in_message = not self._final

    def _wrong(self, reason: bytes, text: str) -> RemoteProtocolError:
        """Return the error for what a peer must not send; the reason is what nats-server says of it in its CLOSE."""
        self.close_reason = reason
        return RemoteProtocolError(text)


def close_answer(payload: bytes) -> tuple[int, bytes]:
    """Return status and reason with which nats-server answers a CLOSE: the same, unless there is something wrong with them."""
    if not payload:
        return NO_STATUS, b""
    if len(payload) == 1:
        return PROTOCOL_ERROR, b"close frame payload cannot be 1 byte"
    status, reason = int.from_bytes(payload[:2], "big"), payload[2:]
    if not 1000 <= status < 5000 or status in (1004, 1005, 1006, 1015) or 1016 <= status <= 2999:
        return PROTOCOL_ERROR, b"invalid close status code %d" % status
    try:
        reason.decode()
    except UnicodeDecodeError:
        return BAD_DATA, b"invalid utf8 body in close frame"
    return status, reason


def _head_size(head: bytearray) -> int:
    """Return how long a head is, by its first two bytes."""
    size = 2
    if head[1] & 127 == 126:
        size = 4
    elif head[1] & 127 == 127:
        size = 10
    return size + 4 if head[1] >= 128 else size


def put_frame(out: Outbox, first: int, buf: bytearray, start: int, stop: int, key: bytes | None) -> None:
    """Append a frame that is whole: opcode and bits of ``first``, FIN, and buf[start:stop], masked with the key of four bytes or not."""
    size = stop - start
    out.reserve(size + _MAX_HEAD)
    target = out.buf
    at = out.fill
    masked = 0 if key is None else 128
    target[at] = first | _FINAL
    if size < 126:
        target[at + 1] = masked | size
        at += 2
    elif size < 65536:
        target[at + 1] = masked | 126
        target[at + 2] = size >> 8
        target[at + 3] = size & 255
        at += 4
    else:
        target[at + 1] = masked | 127
        for i in range(8):
            target[at + 2 + i] = (size >> (56 - 8 * i)) & 255
        at += 10
    if key is None:
        at = put_slice(target, at, buf, start, stop)
    else:
        at = put(target, at, key)
        at = put_masked(target, at, buf, start, stop, key)
    out.fill = at
