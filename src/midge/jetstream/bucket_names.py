"""The names of buckets, as key-value buckets and object stores have them (ADR-6)."""

from __future__ import annotations

import re

from midge.errors import InvalidSubjectError

__all__ = ["check_bucket"]

_FORBIDDEN = re.compile("[^-_a-zA-Z0-9]")


def check_bucket(name: object) -> str:
    """Return a name that a bucket can have.

    Raises:
        InvalidSubjectError: it cannot.
        TypeError: it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a bucket name is a str, not {name!r}")
    if not name:
        raise InvalidSubjectError(name, "it is empty", what="bucket name")
    if found := _FORBIDDEN.search(name):
        raise InvalidSubjectError(name, f"it holds {found[0]!r}, not only letters, digits, - and _", what="bucket name")
    return name
