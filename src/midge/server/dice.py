"""What a server leaves to chance. The pure modules are handed it, so that a test can hand them something else."""

from __future__ import annotations

import os

from midge.nkeys import KeyPair, Prefix

__all__ = ["jitter", "seed", "server_id"]


def jitter() -> float:
    """Return a random number from 0 to 1, to spread what connections that come together do later."""
    return os.urandom(1)[0] / 255


def seed() -> int:
    """Return 64 random bits, where the choice among the members of queue groups begins."""
    return int.from_bytes(os.urandom(8), "big")


def server_id() -> str:
    """Return a random public nkey of a server, whose seed nobody has."""
    return KeyPair(Prefix.SERVER, os.urandom(32), None).public_key
