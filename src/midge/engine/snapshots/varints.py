"""Numbers as Go's varints write them, read one after the other. Pure."""

from __future__ import annotations

__all__ = ["Numbers"]


class Numbers:
    """What is in a buffer, from a place on.

    Attributes:
        at: how far it was read.
    """

    __slots__ = ("at", "buf")

    def __init__(self, buf: bytes, at: int) -> None:
        self.buf = buf
        self.at = at

    def unsigned(self) -> int:
        """Return the next number.

        Raises:
            ValueError: there is none.
        """
        value = shift = 0
        while self.at < len(self.buf) and shift < 70:
            byte = self.buf[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("a number was cut off")

    def signed(self) -> int:
        """Return the next number, which may be less than 0.

        Raises:
            ValueError: there is none.
        """
        value = self.unsigned()
        return ~(value >> 1) if value & 1 else value >> 1

    def take(self, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            ValueError: there are not so many.
        """
        if size > len(self.buf) - self.at:
            raise ValueError("something was cut off")
        self.at += size
        return self.buf[self.at - size : self.at]
