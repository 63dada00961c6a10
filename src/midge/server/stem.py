"""Stem: the last result that was found for one use, and the subjects that it holds for as well.

Answers and acknowledgements each go to a subject of their own, many in a row with the same beginning: ``_INBOX.x.1``, ``_INBOX.x.2`` to a
subscription to ``_INBOX.x.*``, ``$JS.ACK.s.c.1.7.7.9.0`` to one to ``$JS.ACK.>``. Where the way down the sublist came to a node that no
literal token leads on from, what follows in the subject decides nothing but how long it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.results import Result
else:
    from midge.server.results import Result

__all__ = ["Stem"]

_DOT = 46


class Stem:
    """What the subjects begin with that one result holds for. Whoever changes a sublist's patterns forgets it."""

    __slots__ = ("_is_last", "_result", "_text")

    def __init__(self) -> None:
        self._text = b""
        self._result: Result | None = None
        self._is_last = False  # one more token follows, and else at least one

    def find(self, subject: bytes) -> Result | None:
        """Return the result, if it holds for a subject."""
        if self._result is None or not subject.startswith(self._text):
            return None
        last = _DOT
        for at in range(len(self._text), len(subject)):  # a loop is compiled to one; ``find`` parses its arguments for longer
            here = subject[at]
            if here == _DOT and (self._is_last or last == _DOT):
                return None
            last = here
        return None if last == _DOT else self._result

    def keep(self, result: Result, tokens: list[bytes], deciding: int, is_last: bool) -> None:
        """Remember a result that so many tokens of its subject have decided, at least one, of which not the last one is."""
        size = deciding
        for token in tokens[:deciding]:
            size += len(token)
        self._text = result.subject[:size]
        self._result = result
        self._is_last = is_last

    def forget(self) -> None:
        """Hold for no subject."""
        self._result = None
