"""Crossings: which of many subjects collide with another one, found without comparing it to each of them.

The subjects stand in a tree of their tokens. What the tree finds is compared as everywhere (``transform.collide``, which is nats-server's),
so it may find too much, and never too little. Subjects can be made up such that each search looks at most of the tree: ``LOOKS`` bounds
what all searches of one tree may cost together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from midge.engine.errors import ApiError, invalid_config
from midge.transform import collide, is_subset

__all__ = ["LOOKS", "Crossings", "too_much_work"]

LOOKS: Final = 200_000  # about half a second
_LOOKS_EACH: Final = 16  # and what every search may have beside


def too_much_work() -> ApiError:
    """Return the error that searching was given up. nats-server goes on, however long that takes."""
    return invalid_config("subjects are too many to be compared")


class _Node:
    """What follows some tokens: those that could match any other one are kept apart. ``ends`` are the numbers of the subjects that end."""

    __slots__ = ("ends", "plain", "wild")

    def __init__(self) -> None:
        self.ends: list[int] = []
        self.plain: dict[str, _Node] = {}
        self.wild: dict[str, _Node] = {}


class Crossings:
    """The subjects that are searched.

    Args:
        subjects: what is none may not be found.
    """

    __slots__ = ("_looks", "_root", "_subjects")

    def __init__(self, subjects: list[str]) -> None:
        self._subjects: list[str] = []
        self._looks = LOOKS
        self._root = _Node()
        for subject in subjects:
            self.add(subject)

    def add(self, subject: str) -> None:
        """Search another subject as well, whose number is the next one."""
        node = self._root
        for token in subject.split("."):
            node = (node.wild if _is_wild(token) else node.plain).setdefault(token, _Node())
        node.ends.append(len(self._subjects))
        self._subjects.append(subject)

    def begin(self) -> None:
        """Let searches cost again what they may cost together: as much as a look at each of the subjects, at least."""
        self._looks = max(LOOKS, _LOOKS_EACH * len(self._subjects))

    def subject(self, number: int) -> str:
        """Return a subject by its number, from 0 in the order in which they came."""
        return self._subjects[number]

    def colliding(self, subject: str) -> Iterator[int]:
        """Return the numbers of all that collide with another subject, in no order.

        Raises:
            ApiError: searching was given up.
        """
        self._looks += _LOOKS_EACH
        return (number for number in self._near(subject) if collide(self._subjects[number], subject))

    def find(self, subject: str, start: int = 0) -> str | None:
        """Return the first of the subjects, from a place on, that collides with another; None where none does.

        Raises:
            ApiError: searching was given up.
        """
        numbers = [number for number in self.colliding(subject) if number >= start]
        return self._subjects[min(numbers)] if numbers else None

    def is_within(self, place: int) -> bool:
        """True if another one of the subjects matches all that the one at a place matches.

        Raises:
            ApiError: searching was given up.
        """
        self._looks += _LOOKS_EACH
        subject = self._subjects[place]
        return any(number != place and is_subset(subject, self._subjects[number]) for number in self._near(subject))

    def _near(self, subject: str) -> Iterator[int]:
        """Return the numbers of all that could collide, and of some others."""
        tokens = subject.split(".")
        has_rest = _is_wild(tokens[-1])
        nodes = [(self._root, 0)]
        while nodes:
            node, at = nodes.pop()
            self._looks -= 1 + len(node.ends)
            if self._looks < 0:
                raise too_much_work()
            yield from node.ends
            if at >= len(tokens) and not has_rest:
                continue
            nodes += [(each, at + 1) for each in node.wild.values()]
            if at >= len(tokens) or _is_wild(tokens[at]):
                nodes += [(each, at + 1) for each in node.plain.values()]
            elif tokens[at] in node.plain:
                nodes.append((node.plain[tokens[at]], at + 1))


def _is_wild(token: str) -> bool:
    return token[:1] in ("*", ">")
