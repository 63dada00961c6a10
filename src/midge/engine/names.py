"""What names and subjects nats-server takes in configurations and requests."""

from __future__ import annotations

import re

__all__ = ["is_literal", "is_name", "is_subject"]

_NO_NAME = re.compile(r"[ \t\r\n\f.*>\\/]")
_SPACE = re.compile(r"[\t\n\f\r ]")


def is_name(name: str) -> bool:
    """True if a stream or consumer may have the name, whatever its length."""
    return bool(name) and _NO_NAME.search(name) is None


def is_subject(subject: str) -> bool:
    """True if a configuration may name the subject, which may have wildcards."""
    tokens = subject.split(".")
    return "" not in tokens and ">" not in tokens[:-1] and _SPACE.search(subject) is None


def is_literal(subject: str) -> bool:
    """True if no token of it is a wildcard."""
    return not {"*", ">"} & set(subject.split("."))
