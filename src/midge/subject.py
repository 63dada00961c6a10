"""Subjects: tokens separated by dots, with ``*`` for one token and a final ``>`` for one or more (ADR-6).

Pure functions over ``str``. ``check_*`` raise InvalidSubjectError and say what is wrong; ``is_*`` and ``matches`` answer.
A client is stricter than the server: the server routes even a publish to ``foo..bar`` (to nobody), a client refuses it,
because white space would let a caller's data become protocol, and an empty token is always a mistake.

What is sent is checked on the message path, so nearly all subjects, those without wildcards or anything odd, are let through by one
pass over their bytes (``_is_literal``). The rest take the slow way, which finds out what is wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midge.errors import InvalidSubjectError

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

__all__ = ["check_publish", "check_queue", "check_subscribe", "has_wildcard", "is_valid", "matches"]

_FORBIDDEN = re.compile(r"[\x00\t\n\f\r ]")
_LITERAL = re.compile(rb"[^\x00-\x20.*>]+(?:\.[^\x00-\x20.*>]+)*")


def _complaint(subject: str) -> str | None:
    """Say what is wrong with a subject that may hold wildcards, or None."""
    if not subject:
        return "it is empty"
    if _FORBIDDEN.search(subject):
        return "it holds white space or a NUL"
    if subject[0] == "." or subject[-1] == "." or ".." in subject:
        return "it has an empty token"
    if subject.startswith(">.") or ".>." in subject:
        return "'>' may only be the last token"
    return None


def is_valid(subject: str) -> bool:
    """True if the subject may be subscribed to."""
    return _complaint(subject) is None


def has_wildcard(subject: str) -> bool:
    """True if some whole token is ``*`` or ``>``; ``a*b`` is a literal."""
    return any(token in ("*", ">") for token in subject.split("."))


def check_publish(subject: str, what: str = "subject") -> bytes:
    """Return a subject that a message can be published to, as it goes on the wire.

    A wildcard is refused: a server would take it literally and deliver to nobody who was meant, without a word.

    Raises:
        InvalidSubjectError: it is not a str, is empty, holds white space, an empty token or a wildcard.
    """
    if type(subject) is str:
        literal = _utf_8(subject)
        if _is_literal(literal):
            return literal
    encoded = check_subscribe(subject, what)
    if has_wildcard(subject):
        raise InvalidSubjectError(subject, "it holds a wildcard, and a message goes to one subject", what=what)
    return encoded


def check_subscribe(subject: str, what: str = "subject") -> bytes:
    """Return a subject that may hold wildcards, as it goes on the wire.

    Raises:
        InvalidSubjectError: it is not a str, is empty, holds white space or an empty token.
    """
    if not isinstance(subject, str):
        raise InvalidSubjectError(subject, f"it is a {type(subject).__name__}, not a str", what=what)
    complaint = _complaint(subject)
    if complaint is not None:
        raise InvalidSubjectError(subject, complaint, what=what)
    return _encode(subject, what)


def check_queue(queue: str) -> bytes:
    """Return a queue group's name as it goes on the wire.

    Raises:
        InvalidSubjectError: it is not a str, is empty or holds white space.
    """
    if not isinstance(queue, str):
        raise InvalidSubjectError(queue, f"it is a {type(queue).__name__}, not a str", what="queue group")
    if not queue or _FORBIDDEN.search(queue):
        raise InvalidSubjectError(queue, "it is empty or holds white space or a NUL", what="queue group")
    return _encode(queue, "queue group")


def matches(pattern: str, subject: str) -> bool:
    """True if a message published to the subject reaches a subscription to the pattern."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens))


def _utf_8(text: str) -> bytes:
    """Return the bytes of a str that is text, or none: the fast way, for what nearly always is."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # what came as other bytes, see ``_encode``
        return b""


def _is_literal(name: bytes) -> bool:
    """True if the name is surely a subject without wildcards: tokens without white space, control characters, ``*`` and ``>``."""
    if not cython.compiled:
        return _LITERAL.fullmatch(name) is not None
    previous = ord(".")  # an empty name, then, is none
    for byte in name:
        if byte <= 0x20 or byte == ord("*") or byte == ord(">") or (byte == ord(".") and previous == ord(".")):
            return False
        previous = byte
    return previous != ord(".")


def _encode(text: str, what: str) -> bytes:
    """Return the bytes that a str stands for; what came as bytes that are not UTF-8 goes out as it came."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidSubjectError(text, "it holds half a surrogate pair, which no bytes stand for", what=what) from error
