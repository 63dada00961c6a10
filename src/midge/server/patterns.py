"""Patterns: things that are found by a subject which their patterns cover or meet. For configurations with thousands of them. Pure.

Each stands under its literal beginning, the tokens before the first wildcard. What covers a subject, or meets it, begins as the subject
does, or the other way round: only those are compared. So what has no wildcard costs one look, and what has some is compared with its
neighbours.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from midge.transform import is_subset

__all__ = ["Patterns", "collide"]

T = TypeVar("T")


class Patterns(Generic[T]):
    """Things with patterns. What is found is in the order in which it was added."""

    def __init__(self) -> None:
        self._count = 0
        self._at: dict[tuple[str, ...], list[tuple[int, str, T]]] = {}  # by their literal beginning
        self._below: dict[tuple[str, ...], list[tuple[int, str, T]]] = {}  # by what their literal beginning begins with

    def add(self, pattern: str, thing: T) -> None:
        """Add one."""
        entry = (self._count, pattern, thing)
        self._count += 1
        start = _literal(pattern)
        self._at.setdefault(start, []).append(entry)
        for count in range(len(start)):
            self._below.setdefault(start[:count], []).append(entry)

    def covering(self, subject: str) -> list[T]:
        """Return what has a pattern that matches all that the subject, which may have wildcards, matches."""
        return _things([entry for entry in self._above(_literal(subject)) if is_subset(subject, entry[1])])

    def meeting(self, subject: str) -> list[T]:
        """Return what has a pattern that matches some subject that this one, which may have wildcards, matches too."""
        start = _literal(subject)
        near = self._above(start)
        if len(start) <= subject.count("."):  # it has a wildcard
            near += self._below.get(start, ())
        return _things([entry for entry in near if collide(subject, entry[1])])

    def _above(self, start: tuple[str, ...]) -> list[tuple[int, str, T]]:
        return [entry for count in range(len(start) + 1) for entry in self._at.get(start[:count], ())]


def collide(one: str, other: str) -> bool:
    """True if some subject matches both patterns."""
    here, there = one.split("."), other.split(".")
    for mine, theirs in zip(here, there):
        if ">" in (mine, theirs):
            return True
        if mine != theirs and "*" not in (mine, theirs):
            return False
    return len(here) == len(there)


def _literal(pattern: str) -> tuple[str, ...]:
    tokens = pattern.split(".")
    for place, token in enumerate(tokens):
        if token.startswith("*") or token == ">":
            return tuple(tokens[:place])
    return tuple(tokens)


def _things(entries: list[tuple[int, str, T]]) -> list[T]:
    return [thing for _, _, thing in sorted(entries, key=lambda entry: entry[0])]
