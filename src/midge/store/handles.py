"""Handles: which segments' files are open, of all stores of a directory together, so that there are never too many.

A system gives a process some thousand at most, and there may be more segments than that in one stream, and more streams. A file that
was not used for longest is closed, unless a worker may be using it, and opened again when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from midge.store.segment import Segment

__all__ = ["Handles"]


class Handles:
    """The open files.

    Args:
        most: how many there may be, beside those that are in use.
    """

    def __init__(self, most: int = 128) -> None:
        self._most = most
        self._open: dict[Segment, None] = {}

    def use(self, segment: Segment) -> int:
        """Return a segment's descriptor, opening its file where it is closed.

        Raises:
            OSError: it cannot be opened.
        """
        if segment.fd < 0 or segment not in self._open:
            self._make_room()
        fd = segment.opened()
        self._open.pop(segment, None)
        self._open[segment] = None
        return fd

    def lend(self, segments: Iterable[Segment]) -> None:
        """Keep these open, where they are, until they are taken back: a worker may open and use them."""
        for segment in segments:
            segment.users += 1

    def take_back(self, segments: Iterable[Segment]) -> None:
        """End what ``lend`` began."""
        for segment in segments:
            segment.users -= 1
            if segment.fd >= 0 and segment not in self._open:
                self._make_room()
                self._open[segment] = None

    def _make_room(self) -> None:
        """Close what was not used for longest, until there is room for one more."""
        if len(self._open) < self._most:
            return
        for segment in list(self._open):
            if segment.users == 0:
                segment.close()
                del self._open[segment]
                if len(self._open) < self._most:
                    return
