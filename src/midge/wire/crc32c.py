"""CRC-32C (Castagnoli), as the framing formats of Snappy and S2 keep it of each piece: rotated, and with a constant added."""

from __future__ import annotations

__all__ = ["Crc32c", "checksum"]

_POLYNOMIAL = 0x82F63B78
_ALL = 0xFFFFFFFF
_MASK = 0xA282EAD8  # so that the checksum of data with checksums in it is no special case


class Crc32c:
    """The checksum of bytes that come piece by piece."""

    __slots__ = ("_crc", "_table")

    def __init__(self) -> None:
        self._crc = _ALL
        self._table = [0] * 256
        self._fill()

    def update(self, buf: bytearray, start: int, stop: int) -> None:
        """Go on with buf[start:stop], which lies inside the buffer."""
        table, crc = self._table, self._crc
        for at in range(start, stop):
            crc = table[(crc ^ buf[at]) & 0xFF] ^ crc >> 8
        self._crc = crc

    def take(self) -> int:
        """Return the masked checksum of all that came, and begin anew."""
        crc = self._crc ^ _ALL
        self._crc = _ALL
        return ((crc >> 15 | (crc << 17 & _ALL)) + _MASK) & _ALL

    def _fill(self) -> None:
        """Work out what each byte does."""
        for number in range(256):
            value = number
            for _ in range(8):
                value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
            self._table[number] = value


def checksum(data: bytes) -> int:
    """Return the masked checksum of some bytes."""
    crc = Crc32c()
    crc.update(bytearray(data), 0, len(data))
    return crc.take()
