"""Keys of a bucket, and filters of keys. Subjects are made of them, so not every text is one: a codec makes one of any (``codecs``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from midge.errors import InvalidSubjectError

__all__ = ["check_filters", "check_key", "is_key"]

_KEY = re.compile(r"[-/_=a-zA-Z0-9]+(?:\.[-/_=a-zA-Z0-9]+)*")
_FILTER = re.compile(r"(?:[-/_=a-zA-Z0-9]+|\*)(?:\.(?:[-/_=a-zA-Z0-9]+|\*))*(?:\.>)?|>")
_FORBIDDEN = re.compile(r"[^-/_=.a-zA-Z0-9]")


def check_key(key: object) -> str:
    """Return a key that can be one.

    Raises:
        InvalidSubjectError: it cannot.
        TypeError: it is no text.
    """
    if not isinstance(key, str):
        raise TypeError(f"a key is a str, not {key!r}")
    if not _KEY.fullmatch(key):
        raise InvalidSubjectError(key, _complaint(key), what="key")
    return key


def is_key(text: str) -> bool:
    """True if a text can be a key: what others publish need not be one, and may have the looks of a filter."""
    return _KEY.fullmatch(text) is not None


def check_filters(filters: Sequence[object]) -> list[str]:
    """Return filters of keys, each once: keys in which ``*`` stands for a token, and ``>`` at the end for one or more; none is all.

    Raises:
        InvalidSubjectError: one of them cannot be one.
        TypeError: one of them is no text.
    """
    for each in filters:
        if not isinstance(each, str):
            raise TypeError(f"a filter of keys is a str, not {each!r}")
        if not _FILTER.fullmatch(each):
            reason = "* and > stand for whole tokens, > only at the end" if set(each) & {"*", ">"} else _complaint(each)
            raise InvalidSubjectError(each, reason, what="filter of keys")
    return [str(each) for each in dict.fromkeys(filters)] or [">"]


def _complaint(key: str) -> str:
    if not key:
        return "it is empty"
    if found := _FORBIDDEN.search(key):
        return f"it holds {found[0]!r}, not only letters, digits and - / _ = . (a codec makes a key of any text)"
    return "it begins or ends with a dot, or has two in a row"
