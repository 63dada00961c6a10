"""Deflated messages of a WebSocket (permessage-deflate, RFC 7692), without context from message to message on either side.

An ``Inflater`` gives what a message holds in pieces of a bounded size, so a few bytes that stand for gigabytes are as good as a
peer that has much to say: what is read of it is up to the reader, and nobody ever holds it whole.
"""

from __future__ import annotations

import zlib

from midge.errors import RemoteProtocolError

__all__ = ["SMALLEST", "Inflater", "deflate"]

SMALLEST = 64  # bytes that are worth being deflated (nats-server's wsCompressThreshold)
_LEVEL = 1  # as nats-server and nats.go do
_TAIL = b"\x00\x00\xff\xff"  # ends every deflated message, and is left out


class Inflater:
    """Inflates one message after another.

    Args:
        window_bits: the largest window that the peer uses, 8 to 15.

    Attributes:
        has_more: ``read`` has something to give, or needs to be asked once more to find that it has not.
    """

    __slots__ = ("_bits", "_ends", "_input", "_stream", "has_more")

    def __init__(self, window_bits: int) -> None:
        self._bits = -window_bits
        self._stream: zlib._Decompress | None = None  # while a message lasts
        self._input = b""
        self._ends = False
        self.has_more = False

    def feed(self, data: bytes, ends: bool) -> None:
        """Take the next part of a message; call ``read`` until nothing more comes.

        Raises:
            RemoteProtocolError: the stream has ended before the message.
        """
        if self._stream is None:
            self._stream = zlib.decompressobj(wbits=self._bits)
        elif self._stream.eof:
            _check_behind(data)
        self._ends = ends
        self._input = data + _TAIL if ends else data
        self.has_more = not self._stream.eof
        self._forget_what_ended()

    def read(self, size: int) -> bytes:
        """Return the next bytes of what was fed, size at most.

        Raises:
            RemoteProtocolError: it is not deflated.
        """
        assert self._stream is not None
        try:
            piece = self._stream.decompress(self._input, size)
        except zlib.error as error:
            raise RemoteProtocolError(f"a deflated WebSocket message cannot be inflated: {error}") from None
        self._input = self._stream.unconsumed_tail
        self.has_more = len(piece) == size and not self._stream.eof
        if self._stream.eof:
            behind = self._stream.unused_data
            _check_behind(behind[: -len(_TAIL)] if self._ends else behind)
        self._forget_what_ended()
        return piece

    def _forget_what_ended(self) -> None:
        """Hold no window between two messages."""
        if self._ends and not self.has_more:
            self._stream = None


def _check_behind(data: bytes) -> None:
    """Behind a stream that says where it ends, nothing may come but the empty block that RFC 7692 makes of a zero."""
    if data not in (b"", b"\x00"):
        raise RemoteProtocolError("a deflated WebSocket message goes on behind its end")


def deflate(data: bytes | bytearray | memoryview, window_bits: int) -> bytes:
    """Return a message deflated."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window_bits)
    return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)[: -len(_TAIL)]
