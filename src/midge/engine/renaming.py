"""Renaming: a transform of whole subjects as streams use it, for what they take in and for what they republish."""

from __future__ import annotations

from collections.abc import Callable

from midge.transform import Transform, is_subset_of

__all__ = ["Renaming", "is_publishable"]


class Renaming:
    """From the subjects that a pattern matches to others.

    Args:
        source: the pattern; empty for all subjects.
        destination: what they become.
        choose: returns a random number below the one that is given.

    Raises:
        ValueError: in nats-server's words.
    """

    __slots__ = ("_choose", "_pattern", "_transform")

    def __init__(self, source: str, destination: str, choose: Callable[[int], int]) -> None:
        self._transform = Transform(source, destination)
        self._pattern = (source or ">").split(".")
        self._choose = choose

    def of(self, subject: bytes) -> bytes | None:
        """Return what a subject becomes, None where it is not for this one or cannot be published to."""
        if not is_publishable(subject):
            return None
        if not is_subset_of(subject.decode("utf-8", "surrogateescape").split("."), self._pattern):
            return None
        return self._transform.apply(subject.split(b"."), self._choose)


def is_publishable(subject: bytes) -> bool:
    """True for a literal subject without empty tokens and white space (nats-server's IsValidPublishSubject)."""
    tokens = subject.split(b".")
    return all(token and token not in (b"*", b">") for token in tokens) and not any(byte in b" \t\r\n\f" for byte in subject)
