"""The framing format of S2, which is Snappy's with larger pieces: a stream of chunks, each with its checksum. Pure.

``S2Reader`` reads what any writer writes, a bounded piece of work in each call; ``frame`` writes pieces as they are, without compressing
them, which every reader takes. No length is believed before it was compared with its limit, and nothing is handed out whose checksum
does not fit.
"""

from __future__ import annotations

from typing import Final

from midge.wire.crc32c import Crc32c
from midge.wire.s2_block import MAX_BLOCK, S2Block

__all__ = ["BEGIN", "PIECE", "S2Reader", "frame"]

BEGIN: Final = b"\xff\x06\x00\x00S2sTwO"
_BEGINNINGS = (b"S2sTwO", b"sNaPpY")
PIECE: Final = 1 << 16  # bytes that are decoded, or handed out, in one call
_COMPRESSED, _PLAIN, _SKIPPABLE, _BEGINNING = 0x00, 0x01, 0x80, 0xFF
_MAX_COMPRESSED: Final = MAX_BLOCK + MAX_BLOCK // 6 + 36


def frame(crc: Crc32c, data: bytes) -> bytes:
    """Return data, at most MAX_BLOCK bytes, as a chunk that is not compressed."""
    crc.update(bytearray(data), 0, len(data))
    return b"\x01" + (len(data) + 4).to_bytes(3, "little") + crc.take().to_bytes(4, "little") + data


class S2Reader:
    """What is in a stream, piece by piece.

    Next: ``feed``, then ``step`` until it returns None.
    """

    __slots__ = ("_block", "_buf", "_checked", "_crc", "_given", "_has_begun", "_out", "_size", "_skip", "_sum")

    def __init__(self) -> None:
        self._buf = bytearray()
        self._crc = Crc32c()
        self._has_begun = False
        self._skip = 0
        self._block: S2Block | None = None
        self._out = bytearray()
        self._size = self._checked = self._given = 0  # of ``_out``: its bytes, those in the checksum, those handed out
        self._sum = 0

    @property
    def is_between(self) -> bool:
        """True where the stream may end: all of every chunk that has begun was handed out."""
        return not (self._buf or self._skip or self._size)

    def feed(self, data: bytes) -> None:
        """Take what comes next of the stream."""
        self._buf += data

    def step(self) -> bytes | None:
        """Return the next piece; empty where more was done and none is ready yet, None where there is nothing to do without more data.

        Raises:
            ValueError: it is no such stream, or is damaged.
        """
        if self._block is not None:
            if self._block.work(PIECE):
                self._out, self._block = self._block.out, None
            return b""
        if self._checked < self._size:
            stop = min(self._checked + PIECE, self._size)
            self._crc.update(self._out, self._checked, stop)
            self._checked = stop
            if stop == self._size and self._crc.take() != self._sum:
                raise ValueError("s2: crc mismatch, corrupt input")
            return b""
        if self._given < self._size:
            piece = bytes(self._out[self._given : self._given + PIECE])
            self._given += len(piece)
            if self._given == self._size:
                self._size = self._checked = self._given = 0
                self._out = bytearray()
            return piece
        return self._open()

    def _open(self) -> bytes | None:
        """Begin with the next chunk, as soon as all of it is here; pass over what it is allowed to."""
        if self._skip:
            skipped = min(self._skip, len(self._buf))
            self._skip -= skipped
            del self._buf[:skipped]
        if self._skip or len(self._buf) < 4:
            return None
        kind, size = self._buf[0], int.from_bytes(self._buf[1:4], "little")
        self._check_head(kind, size)
        if kind >= _SKIPPABLE and kind != _BEGINNING:
            del self._buf[:4]
            self._skip = size
            return b""
        if len(self._buf) < 4 + size:
            return None
        if kind == _BEGINNING:
            if bytes(self._buf[4 : 4 + size]) not in _BEGINNINGS:
                raise ValueError("s2: unsupported input")
            self._has_begun = True
        else:
            self._begin(kind, size)
        del self._buf[: 4 + size]
        return b""

    def _check_head(self, kind: int, size: int) -> None:
        """Refuse what can be no chunk, before it is waited for."""
        if not self._has_begun and kind != _BEGINNING:
            raise ValueError("s2: corrupt input")
        if kind == _BEGINNING and size != 6:
            raise ValueError("s2: corrupt input")
        if kind in (_COMPRESSED, _PLAIN) and not 4 <= size <= 4 + (MAX_BLOCK if kind == _PLAIN else _MAX_COMPRESSED):
            raise ValueError("s2: corrupt input")
        if _PLAIN < kind < _SKIPPABLE:
            raise ValueError("s2: unsupported input")

    def _begin(self, kind: int, size: int) -> None:
        self._sum = int.from_bytes(self._buf[4:8], "little")
        if kind == _PLAIN:
            self._out = self._buf[8 : 4 + size]
            self._size = size - 4
        else:
            self._block = S2Block(bytearray(self._buf[4 : 4 + size]), 4, size)
            self._size = self._block.size
            if self._size == 0 and not self._block.work(1):
                raise ValueError("s2: corrupt input")
        if self._size == 0:
            self._block = None
            if self._crc.take() != self._sum:
                raise ValueError("s2: crc mismatch, corrupt input")
