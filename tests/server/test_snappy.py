"""Snappy's framing, against the format's own description."""

import pytest
from trace_events import unframe

from midge.server.snappy import MAX_SIZE, frame


@pytest.mark.parametrize("data", [b"", b"x", b"hello " * 100, bytes(range(256)) * 256])
def test_what_is_framed_can_be_read(data: bytes) -> None:
    assert unframe(frame(data)) == data


def test_the_checksum_is_the_format_s() -> None:
    """The check value of CRC-32C is that of the digits 1 to 9, 0xe3069283; the format rotates it and adds a constant."""
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert frame(b"123456789") == b"\xff\x06\x00\x00sNaPpY\x01\x0d\x00\x00" + masked.to_bytes(4, "little") + b"123456789"


def test_no_more_than_a_piece() -> None:
    with pytest.raises(AssertionError):
        frame(bytes(MAX_SIZE + 1))
