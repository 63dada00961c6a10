"""Results: who gets what is published to a subject, and the bounded store of results that spares the search for busy subjects.

A result refers to the sublist's nodes and groups, whose members change in place. So it stays right while subscribers of the same
patterns come and go, costs nothing per subscriber, and is *stale* only when a pattern begins or ceases to have subscribers:

- a literal pattern touches the result of its own subject, which is dropped;
- a pattern with a wildcard behind its first token ends the *era* of that token, and so of all results below it;
- a pattern that begins with a wildcard ends the era of all results.

So no change costs more the more is kept. A result that is dropped is stale, names nobody any more and stays so: whoever holds it
keeps nothing alive and asks again. Hence what is fresh is in the store, and the store's bounds hold for all results there are.

Request and reply make a subject for every answer. A result is *new* until it is asked for again, then *busy*, and only results that
become busy drive out busy ones: those not used for the longest (a clock hand clears marks until it finds one without). Of the new
ones any goes, so that a few thousand too many subjects in turn are a few misses and not all misses.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MAX_BUSY", "MAX_NEW", "MAX_WORDS", "Era", "Result", "Results"]

MAX_BUSY = 4096
MAX_NEW = 4096
MAX_WORDS = 131_072  # 1 MiB of subjects and references
_MAX_BUSY = MAX_BUSY
_MAX_NEW = MAX_NEW
_MAX_WORDS = MAX_WORDS
_MAX_SHARE = MAX_WORDS // 8  # a larger result costs more to route than to find
_GROUP_WORDS = 8  # of the list that stands for one queue name
_DICE_FACTOR = 1103515245
_DICE_STEP = 12345
_DICE_MASK = 0x7FFFFFFF
_NOBODY: list[Any] = []


class Era:
    """The time in which no pattern came or went that could touch a set of results: those below one first token, or all."""

    __slots__ = ("first", "over", "results")

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.over = False
        self.results = 0


class Result:
    """Who gets what is published to one subject. Nobody but the sublist changes it.

    Attributes:
        subject: the subject.
        nodes: the nodes with plain subscriptions, which all get the message.
        groups: for each queue name the groups of that name, of whose members one gets it.
        only: the node, where there is one and no group: nearly always. None else.
        stale: True once it was dropped, and from the start where it is not kept: for one use.
    """

    __slots__ = ("_all", "_at", "_below", "_is_busy", "_is_used", "_words", "groups", "nodes", "only", "stale", "subject")

    def __init__(self, subject: bytes) -> None:
        self.subject = subject
        self.nodes: list[Any] = []
        self.groups: list[list[Any]] = []
        self.only: Any = None
        self.stale = True
        self._all: Era | None = None
        self._below: Era | None = None
        self._at = 0  # in the list of the new or of the busy ones
        self._words = 0
        self._is_busy = self._is_used = False

    def is_fresh(self) -> bool:
        """True while nothing has changed that could change ``nodes`` or ``groups``."""
        return not (self.stale or self._below.over or self._all.over)  # type: ignore[union-attr]


class Results:
    """The results that are kept, at most MAX_NEW + MAX_BUSY and MAX_WORDS. Those whose era is over go when they are found."""

    __slots__ = ("_all", "_busy", "_dice", "_eras", "_hand", "_kept", "_new", "_words")

    def __init__(self) -> None:
        self._kept: dict[bytes, Result] = {}
        self._new: list[Result] = []
        self._busy: list[Result] = []
        self._hand = 0  # where among the busy ones to look for one to drop
        self._dice = 1
        self._words = 0
        self._eras: dict[bytes, Era] = {}  # of the first tokens that results are kept for
        self._all = Era(b"")

    def __len__(self) -> int:
        return len(self._kept)

    def fanout(self, holes: dict[Any, int]) -> tuple[int, int]:
        """Return how many subscriptions the result with most has, and all of them together; holes says how many to leave out of a node."""
        most = total = 0
        for result in self._kept.values():
            count = len(result.groups)
            for node in result.nodes:
                count += (node.one is not None) + (len(node.plain) - holes.get(node, 0) if node.plain is not None else 0)
            most = max(most, count)
            total += count
        return most, total

    def get(self, subject: bytes) -> Result | None:
        """Return the result for a subject. Next: where it is not fresh, ``replace`` it; where there is none, ``add`` one."""
        result = self._kept.get(subject)
        if result is not None:
            if result._is_busy:
                result._is_used = True
            else:
                self._promote(result)
        return result

    def add(self, result: Result, first: bytes) -> None:
        """Keep a result that was just found, unless it is too large; first is the first token of its subject."""
        words = _words(result)
        if words > _MAX_SHARE:
            return
        while len(self._new) >= _MAX_NEW or self._words + words > _MAX_WORDS:
            self._evict()
        era = self._eras.get(first)
        if era is None:
            era = self._eras[first] = Era(first)
        era.results += 1
        result._below = era
        result._all = self._all
        result._at = len(self._new)
        result._words = words
        result.stale = False
        self._words += words
        self._new.append(result)
        self._kept[result.subject] = result

    def replace(self, old: Result, result: Result, first: bytes) -> None:
        """Keep a result in place of one for the same subject whose era is over."""
        was_busy = old._is_busy
        self._drop(old)
        self.add(result, first)
        if was_busy and not result.stale:
            self._promote(result)

    def forget(self, subject: bytes) -> None:
        """Drop the result for one subject."""
        result = self._kept.get(subject)
        if result is not None:
            self._drop(result)

    def end_era(self, first: bytes) -> None:
        """Make every result stale whose subject has this first token."""
        era = self._eras.pop(first, None)
        if era is not None:
            era.over = True

    def end_all(self) -> None:
        """Make every result stale."""
        self._all.over = True
        self._all = Era(b"")

    def clear(self) -> None:
        """Drop everything."""
        for result in list(self._kept.values()):
            self._drop(result)

    def _promote(self, result: Result) -> None:
        if len(self._busy) >= _MAX_BUSY:
            self._evict_busy()
        self._take_out(result)
        result._is_busy = True
        result._at = len(self._busy)
        self._busy.append(result)

    def _evict(self) -> None:
        count = len(self._new)
        if count == 0:
            self._evict_busy()
            return
        self._dice = (self._dice * _DICE_FACTOR + _DICE_STEP) & _DICE_MASK
        self._drop(self._new[(self._dice >> 8) % count])

    def _evict_busy(self) -> None:
        """Drop the next busy result that was not used since the hand passed it last, or that is stale."""
        while True:
            if self._hand >= len(self._busy):
                self._hand = 0
            result = self._busy[self._hand]
            if not result._is_used or not result.is_fresh():
                break
            result._is_used = False
            self._hand += 1
        self._drop(result)

    def _drop(self, result: Result) -> None:
        del self._kept[result.subject]
        self._take_out(result)
        self._words -= result._words
        era = result._below
        assert era is not None
        era.results -= 1
        if era.results == 0 and not era.over:
            del self._eras[era.first]
        result.stale = True
        result.nodes = _NOBODY
        result.groups = _NOBODY
        result.only = None

    def _take_out(self, result: Result) -> None:
        """Take a result out of its list; the last one gets its place."""
        results = self._busy if result._is_busy else self._new
        last = results.pop()
        if last is not result:
            last._at = result._at
            results[last._at] = last


def _words(result: Result) -> int:
    """Return about how much memory the parts of a result take, in words of eight bytes."""
    words = len(result.subject) // 8 + len(result.nodes)
    for groups in result.groups:
        words += _GROUP_WORDS + len(groups)
    return words
