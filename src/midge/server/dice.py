"""What a server leaves to chance. The pure modules are handed it, so that a test can hand them something else."""

from __future__ import annotations

import base64
import os

__all__ = ["jitter", "seed", "server_id"]

_SERVER_PREFIX = 13 << 3  # the nkey prefix "N"


def jitter() -> float:
    """Return a random number from 0 to 1, to spread what connections that come together do later."""
    return os.urandom(1)[0] / 255


def seed() -> int:
    """Return 64 random bits, where the choice among the members of queue groups begins."""
    return int.from_bytes(os.urandom(8), "big")


def server_id() -> str:
    """Return a random public nkey of a server: prefix, 32 bytes, CRC-16/XMODEM, in base 32."""
    raw = bytes([_SERVER_PREFIX]) + os.urandom(32)
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(raw + crc.to_bytes(2, "little")).decode().rstrip("=")
