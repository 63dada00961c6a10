"""Unique ids in the NATS form: 22 base62 characters, 12 of them random, 10 a sequence with a random start and step.

One ``Nuid`` makes ids far faster than 22 random characters each, and never the same twice; it takes a new random prefix
before the sequence can run over. Not for secrets: the next id can be guessed from the last (nats.go's nuid has the same rule).
"""

from __future__ import annotations

import secrets

__all__ = ["ALPHABET", "Nuid"]

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX_LENGTH, SEQUENCE_LENGTH = 12, 10
SEQUENCE_LIMIT = 62**SEQUENCE_LENGTH
MIN_STEP, MAX_STEP = 33, 333


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


class Nuid:
    """A source of ids. Not shared between threads."""

    __slots__ = ("_prefix", "_sequence", "_step")

    def __init__(self) -> None:
        self._renew()

    def next(self) -> str:
        """Return an id of 22 characters."""
        self._sequence += self._step
        if self._sequence >= SEQUENCE_LIMIT:
            self._renew()
        return self._prefix + _base62(self._sequence, SEQUENCE_LENGTH)

    def _renew(self) -> None:
        self._prefix = "".join(secrets.choice(ALPHABET) for _ in range(PREFIX_LENGTH))
        self._sequence = secrets.randbelow(SEQUENCE_LIMIT)
        self._step = MIN_STEP + secrets.randbelow(MAX_STEP - MIN_STEP)
