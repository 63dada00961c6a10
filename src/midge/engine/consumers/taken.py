"""Taken: which subjects of a work queue its consumers have, so that another one is compared with those that could have the same alone.

The filters of all consumers stand in one tree (``engine.crossings``), with whose each is. A consumer more is a filter more in the tree; one
that goes leaves its filters there, without an owner, until they are half of all.
"""

from __future__ import annotations

from collections.abc import Mapping

from midge.engine.consumers.terms import ConsumerTerms, is_feeding
from midge.engine.crossings import Crossings
from midge.model.consumer import ConsumerConfig

__all__ = ["Taken", "taken_of"]


class Taken:
    """The filters of a stream's consumers, those that feed other streams apart.

    Args:
        consumers: those that there are.
    """

    __slots__ = ("_greedy", "_idle", "_numbers", "_owners", "_tree")

    def __init__(self, consumers: Mapping[str, ConsumerConfig]) -> None:
        self._tree = Crossings([])
        self._owners: list[str | None] = []  # of each subject in the tree
        self._numbers: dict[str, range] = {}  # of each consumer: its subjects
        self._greedy: set[str] = set()  # who has all subjects
        self._idle = 0
        for name, config in consumers.items():
            self.add(name, config)

    def add(self, name: str, config: ConsumerConfig) -> None:
        """A consumer has come, or has other filters than before."""
        self.discard(name)
        if is_feeding(config):
            return
        subjects = [*config.filter_subjects, *([config.filter_subject] if config.filter_subject else [])]
        if not subjects:
            self._greedy.add(name)
            return
        self._numbers[name] = range(len(self._owners), len(self._owners) + len(subjects))
        for subject in subjects:
            self._tree.add(subject)
            self._owners.append(name)

    def discard(self, name: str) -> None:
        """A consumer has gone, if there was one."""
        self._greedy.discard(name)
        numbers = self._numbers.pop(name, range(0))
        for number in numbers:
            self._owners[number] = None
        self._idle += len(numbers)
        if 2 * self._idle > len(self._owners):
            self._thin()

    def is_shared(self, name: str, filters: list[str]) -> bool:
        """True if another consumer than the named one has messages of these subjects.

        Raises:
            ApiError: finding that out was given up.
        """
        if not filters:
            return False
        if self._greedy - {name}:
            return True
        self._tree.begin()
        return any(self._owners[number] not in (None, name) for subject in filters for number in self._tree.colliding(subject))

    def _thin(self) -> None:
        """Let a tree without those that have no owner take the place of this one."""
        before, self._tree, self._owners, self._idle = self._tree, Crossings([]), [], 0
        for name, numbers in self._numbers.items():
            self._numbers[name] = range(len(self._owners), len(self._owners) + len(numbers))
            for number in numbers:
                self._tree.add(before.subject(number))
                self._owners.append(name)


def taken_of(terms: ConsumerTerms) -> Taken:
    """Return what the consumers have that there are."""
    return Taken(terms.consumers) if terms.taken is None else terms.taken
