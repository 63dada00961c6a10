"""Interest: who of many wants a subject, found by walking its tokens and not by asking everybody.

Filters are subjects that may have wildcards; who has none wants everything. What was found is remembered, for a bounded number of
subjects, until filters change.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

__all__ = ["Interest"]

WhoT = TypeVar("WhoT")

_CACHED = 4_096  # subjects that are remembered,
_NAMED = 131_072  # and those who want them, each counted for each: 1 MiB
_HERE = b""  # no token is empty: who wants what ends here


class Interest(Generic[WhoT]):
    """Filters and whose they are.

    Attributes:
        everywhere: those who want every subject.
        count: how many there are in all.
    """

    __slots__ = ("_found", "_named", "_root", "count", "everywhere")

    def __init__(self) -> None:
        self.everywhere: dict[WhoT, None] = {}
        self.count = 0
        self._root: dict[bytes, Any] = {}  # nodes by token; under ``_HERE`` a dict of those who want what ends there
        self._found: dict[bytes, tuple[WhoT, ...]] = {}
        self._named = 0

    def add(self, filters: tuple[bytes, ...], who: WhoT) -> None:
        """Somebody wants what matches one of these; everything where there are none."""
        self.count += 1
        self._forget()
        if not filters or b">" in filters:
            self.everywhere[who] = None
            return
        for each in filters:
            node = self._root
            for token in each.split(b"."):
                node = node.setdefault(token, {})
            node.setdefault(_HERE, {})[who] = None

    def remove(self, filters: tuple[bytes, ...], who: WhoT) -> None:
        """Take back ``add``, which was called with the same."""
        self.count -= 1
        self._forget()
        if not filters or b">" in filters:
            del self.everywhere[who]
            return
        for each in filters:
            path = [(self._root, _HERE)]
            node = self._root
            for token in each.split(b"."):
                path.append((node, token))
                node = node[token]
            del node[_HERE][who]
            path.append((node, _HERE))
            for above, token in reversed(path[1:]):
                if above[token]:
                    break
                del above[token]

    def of(self, subject: bytes) -> tuple[WhoT, ...]:
        """Return who wants a literal subject, each once."""
        found = self._found.get(subject)
        if found is None:
            found = self._walk(subject.split(b"."))
            if len(self._found) >= _CACHED or self._named + len(found) > _NAMED:
                self._forget()
            self._found[subject] = found
            self._named += len(found)
        return found

    def _forget(self) -> None:
        self._found.clear()
        self._named = 0

    def _walk(self, tokens: list[bytes]) -> tuple[WhoT, ...]:
        found: dict[WhoT, None] = dict(self.everywhere)
        nodes = [self._root] if self._root else []
        for token in tokens:
            below = []
            for node in nodes:
                rest = node.get(b">")
                if rest is not None:
                    found.update(rest[_HERE])
                for each in {token, b"*"}:
                    if each in node and each != b">":
                        below.append(node[each])
            nodes = below
        for node in nodes:
            found.update(node.get(_HERE, {}))
        return tuple(found)
