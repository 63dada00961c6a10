"""Passwords: what a client presents against what is configured: plain text, compared in the same time for any input, or a bcrypt hash.

A bcrypt hash takes as long as it was meant to, some tens of milliseconds: whoever holds up others must not ``compare`` it where they wait
(``is_hash`` tells). Go's implementation, which nats-server has, uses the first 72 bytes of a password, and so does this one.

``bcrypt`` is an extra, and imported when a hash is first looked at.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from midge.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["check_hash", "compare", "is_hash"]

_HASH = re.compile(r"\$2[abxy]\$\d{2}\$", re.ASCII)  # how nats-server tells a hash from a password in plain text
_MAX_PASSWORD = 72


def is_hash(wanted: str) -> bool:
    """True if what is configured is a bcrypt hash."""
    return _HASH.match(wanted) is not None


def check_hash() -> None:
    """Find out whether hashes can be compared.

    Raises:
        MissingExtraError: bcrypt is not installed.
    """
    _bcrypt()


def compare(wanted: str, given: str) -> bool:
    """True if what was given is the password that is wanted. Takes its time for a hash."""
    secret = given.encode("utf-8", "surrogatepass")
    if not is_hash(wanted):
        return hmac.compare_digest(wanted.encode("utf-8", "surrogatepass"), secret)
    try:
        return bool(_bcrypt().checkpw(secret[:_MAX_PASSWORD], wanted.encode("utf-8", "surrogatepass")))
    except ValueError:  # it only begins like a hash: nobody has that password
        return False


def _bcrypt() -> ModuleType:
    try:
        import bcrypt
    except ImportError as error:
        raise MissingExtraError("bcrypt", "a bcrypt hash as password") from error
    return bcrypt
