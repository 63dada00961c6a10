"""Names of streams and consumers, which are tokens of subjects."""

from __future__ import annotations

from midge.errors import InvalidSubjectError

__all__ = ["check_name"]

_FORBIDDEN = set(" \t\r\n\f\0.*>/\\")


def check_name(name: object, what: str = "stream name") -> str:
    """Return a name that can be one.

    Raises:
        InvalidSubjectError: it cannot (ADR-6).
        TypeError: it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a {what} is a str, not {name!r}")
    if not name:
        raise InvalidSubjectError(name, "it is empty", what=what)
    found = sorted(_FORBIDDEN & set(name))
    if found:
        raise InvalidSubjectError(name, f"it holds {found[0]!r}", what=what)
    return name
