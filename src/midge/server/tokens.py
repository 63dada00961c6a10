"""What the message path asks of subjects, which are bytes there: is it a pattern, has it wildcards, do servers keep it for themselves.

Loops over tokens, because ``in`` compares bytes as any objects, several times slower than C does. ``midge.subject`` has the rules for
what a user may say.
"""

from __future__ import annotations

__all__ = ["has_empty_token", "has_wildcard", "is_literal", "is_pattern", "is_publishable", "is_reserved", "is_reserved_reply"]

_STAR, _REST = b"*", b">"
_BLANKS = b"\t\n\f\r "


def is_pattern(tokens: list[bytes]) -> bool:
    """True if the subject may be subscribed to: no token is empty, and ``>`` is the last one."""
    left = len(tokens)
    for token in tokens:
        left -= 1
        if not token or (left and token == _REST):
            return False
    return True


def has_empty_token(tokens: list[bytes]) -> bool:
    """True if nothing stands between two dots, or before the first or behind the last."""
    for token in tokens:
        if not token:
            return True
    return False


def has_wildcard(tokens: list[bytes]) -> bool:
    """True if some whole token is ``*`` or ``>``."""
    for token in tokens:
        if token == _STAR or token == _REST:
            return True
    return False


def is_literal(subject: bytes) -> bool:
    """True if no token is empty, ``*`` or ``>``: what a pedantic client may publish to (nats-server's IsValidLiteralSubject)."""
    tokens = subject.split(b".")
    return not (has_empty_token(tokens) or has_wildcard(tokens))


def is_publishable(subject: bytes) -> bool:
    """True if a header or a configuration may name the subject as one to publish to (nats-server's IsValidPublishSubject)."""
    return is_literal(subject) and subject.translate(None, _BLANKS) == subject


def is_reserved(subject: bytes) -> bool:
    """True for a subject that only servers publish to."""
    return subject.startswith(b"$NRG.") or _is_gateway(subject)


def is_reserved_reply(reply: bytes) -> bool:
    """True for a reply subject that only servers ask for answers on."""
    return reply.startswith(b"_R_.") or (reply.startswith(b"$JS.ACK.") and len(reply) > 8) or _is_gateway(reply)


def _is_gateway(subject: bytes) -> bool:
    """True for the subjects between clusters: a prefix and something behind it, in the old form and the new."""
    return (subject.startswith(b"_GR_.") and len(subject) > 5) or (subject.startswith(b"$GR.") and len(subject) > 4)
