"""Selections: which subjects of a stream match some filters, as one bit for each; those asked for last are kept, and kept up to date.

To make one each subject is compared. Who has time asks for that in slices first (``prepare``), so that a million subjects hold up nobody;
who has not has it done at once (``of``), as far as it is not done yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.store.subjects import Subjects

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.store.cells import clear_bit, has_bit, is_wild, next_bit, set_bit
else:
    from midge.store.cells import clear_bit, has_bit, is_wild, next_bit, set_bit

__all__ = ["Selection", "Selections"]

_KEPT = 256  # selections at most,
_COMPARED = 1_024  # of which no more patterns than so many are compared with each new subject,
_ROOM = 16 << 20  # and whose bits take no more bytes
_MANY = 64  # patterns that a new subject is compared with, or the selection is made anew when it is asked for again
_SLICE = 16_384  # comparisons at a time: about a millisecond
_DRAFTS = 16  # selections that are being made


class Selection:
    """The subjects that match one of some filters.

    Attributes:
        filters: what was asked for.
        literals, patterns: those without wildcards, which are looked up, and the others, which are compared.
        bits: one for the number of each subject, in whole groups of 512.
        count: how many are set.
        compared: the subjects with lower numbers have been.
    """

    __slots__ = ("_groups", "bits", "compared", "count", "filters", "literals", "patterns")

    def __init__(self, filters: tuple[bytes, ...], top: int) -> None:
        self.filters = filters
        self.literals = frozenset([each for each in filters if not is_wild(each)])
        self.patterns = tuple([each for each in filters if is_wild(each)])
        groups = (top >> 9) + 1
        self.bits = bytearray(groups << 6)
        self._groups = bytearray((groups >> 3) + 1)  # of each group a bit, set once it had a subject: the rest need no look
        self.count = self.compared = 0

    def next(self, number: int) -> int:
        """Return the first subject at or after a number, -1 where there is none."""
        group = number >> 9
        while True:
            group = next_bit(self._groups, group, len(self._groups) << 3)
            if group < 0:
                return -1
            if number < group << 9:
                number = group << 9
            number = next_bit(self.bits, number, (group + 1) << 9)
            if number >= 0:
                return number
            group += 1

    def cover(self, top: int) -> None:
        """Have a bit for each number below ``top``."""
        if top > len(self.bits) << 3:
            groups = (top + (top >> 2) >> 9) + 1
            self.bits.extend(bytes((groups << 6) - len(self.bits)))
            self._groups.extend(bytes((groups >> 3) + 1 - len(self._groups)))

    def add(self, number: int) -> None:
        if not has_bit(self.bits, number):
            set_bit(self.bits, number)
            set_bit(self._groups, number >> 9)
            self.count += 1

    def discard(self, number: int) -> None:
        if has_bit(self.bits, number):
            clear_bit(self.bits, number)
            self.count -= 1


class Selections:
    """The selections from one stream's subjects.

    Args:
        subjects: what is selected from; tell of each that comes or goes.
    """

    __slots__ = ("_drafts", "_kept", "_subjects")

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects
        self._kept: list[Selection] = []  # the one asked for last is the last
        self._drafts: list[Selection] = []  # that are not finished

    def of(self, filters: tuple[bytes, ...]) -> Selection:
        """Return the subjects that match one of the filters. It is right until the subjects change."""
        kept = self._kept
        if kept:
            selection = kept[-1]
            if selection.filters == filters:
                return selection
        for at in range(len(kept) - 1, -1, -1):  # who asks again does so with the same tuple, mostly
            selection = kept[at]
            if selection.filters is filters:
                return self._renewed(at)
        for at in range(len(kept)):
            selection = kept[at]
            if selection.filters == filters:
                return self._renewed(at)
        selection = self._draft(filters)
        self._compare(selection, self._subjects.top)
        self._finish(selection)
        return selection

    def prepare(self, filters: tuple[bytes, ...]) -> bool:
        """Do a part of what ``of`` would have to do. True where nothing is left, or where it cannot be done in parts.

        Who comes while as many are being made as may be helps with the first of them: so each ends, also one that nobody asks for any more.
        """
        for selection in self._kept:
            if selection.filters == filters:
                return True
        selection = self._draft(filters)
        if len(selection.patterns) > _MANY:
            return True
        if selection.patterns:
            is_one_too_many = len(self._drafts) >= _DRAFTS
            if is_one_too_many:
                selection = self._drafts.pop(0)
            self._compare(selection, selection.compared + _SLICE // len(selection.patterns))
            if selection.compared < self._subjects.top:
                self._drafts.insert(0 if is_one_too_many else len(self._drafts), selection)
                return False
            if is_one_too_many:
                self._finish(selection)
                return False
        self._finish(selection)
        return True

    def has(self, filters: tuple[bytes, ...]) -> bool:
        """True if the subjects that match these filters are kept."""
        kept = self._kept
        for at in range(len(kept) - 1, -1, -1):
            selection = kept[at]
            if selection.filters is filters:
                return True
        return False

    def opened(self, number: int) -> None:
        """A subject has come."""
        has_many = False
        for selection in self._kept if not self._drafts else self._kept + self._drafts:
            if len(selection.patterns) > _MANY:
                has_many = True
                continue
            selection.cover(number + 1)
            if (selection.literals and self._subjects.name(number) in selection.literals) or self._matches(number, selection.patterns):
                selection.add(number)
        if has_many:
            self._kept = [selection for selection in self._kept if len(selection.patterns) <= _MANY]

    def closed(self, number: int) -> None:
        """A subject is about to go."""
        for selection in self._kept if not self._drafts else self._kept + self._drafts:
            selection.discard(number)

    # Private

    def _renewed(self, at: int) -> Selection:
        """Return a selection, which is the one asked for last from now on."""
        selection: Selection = self._kept.pop(at)
        self._kept.append(selection)
        return selection

    def _limit(self) -> None:
        """Let go of the selections that were not asked for the longest time, where there are too many; never of the last one."""
        kept = self._kept
        compared = room = 0
        for at in range(len(kept) - 1, -1, -1):
            selection = kept[at]
            compared += len(selection.patterns) if len(selection.patterns) <= _MANY else 0  # more are not compared
            room += len(selection.bits)
            if at < len(kept) - 1 and (len(kept) - at > _KEPT or compared > _COMPARED or room > _ROOM):
                del kept[: at + 1]
                return

    def _draft(self, filters: tuple[bytes, ...]) -> Selection:
        """Return what there is of a selection that is not finished; it is nowhere until it is put somewhere."""
        drafts = self._drafts
        for at in range(len(drafts)):
            selection = drafts[at]
            if selection.filters == filters:
                del drafts[at]
                return selection
        subjects = self._subjects
        selection = Selection(filters, subjects.top)
        for literal in selection.literals:
            number = subjects.find(bytearray(literal), 0, len(literal))
            if number >= 0:
                selection.add(number)
        return selection

    def _compare(self, selection: Selection, stop: int) -> None:
        """Compare the subjects up to a number with the patterns."""
        subjects = self._subjects
        stop = min(stop, subjects.top)
        if selection.patterns:
            selection.cover(stop)
            for number in range(selection.compared, stop):
                if subjects.is_there(number) and self._matches(number, selection.patterns):
                    selection.add(number)
        selection.compared = stop

    def _finish(self, selection: Selection) -> None:
        self._kept.append(selection)
        self._limit()

    def _matches(self, number: int, patterns: tuple[bytes, ...]) -> bool:
        for pattern in patterns:
            if self._subjects.is_covered(number, pattern):
                return True
        return False
