"""Selection: which messages of an origin are taken, and under which subjects."""

from __future__ import annotations

from collections.abc import Callable

from midge.engine.renaming import Renaming
from midge.model.stream import StreamSource

__all__ = ["Selection"]


class Selection:
    """What a mirror or source takes of its origin.

    Args:
        origin: its configuration, checked already.
        choose: returns a random number below the one that is given.

    Attributes:
        filters: subjects, as ``Store.next`` takes them; none for all.
    """

    __slots__ = ("_renamings", "filters")

    def __init__(self, origin: StreamSource, choose: Callable[[int], int]) -> None:
        transforms = origin.subject_transforms
        filters = [each.src or ">" for each in transforms] or ([origin.filter_subject] if origin.filter_subject else [])
        self.filters = () if ">" in filters else tuple(each.encode("utf-8", "surrogateescape") for each in filters)
        self._renamings = [Renaming(each.src, each.dest, choose) for each in transforms if each.dest]

    def renamed(self, subject: bytes) -> bytes:
        """Return the subject that a message is taken under."""
        for renaming in self._renamings:
            if (found := renaming.of(subject)) is not None:
                return found
        return subject
