"""Subject mappings: where a message that was published to one subject really goes. Pure.

An account's mappings are asked for each message that its clients publish and that its imports and exports pass on. The first one that
matches decides. What it decides for one subject is a ``Verdict``: the subjects that may be meant, with their weights; it is remembered, so
the message path compares the subject with the last one, and looks it up where it is another.

Weights are of a hundred. What they leave over goes to the subject as it was, unless that is among the destinations: then it is meant to
be lost, and the message goes to the empty subject, which nobody can subscribe to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.server.account_options import Destination
from midge.transform import Transform, check_destination, is_subset_of, mark_wildcards

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import cut, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.wire.octets import cut, same
    from midge.wire.publication import Publication

__all__ = ["Mapping", "Mappings", "Verdict", "is_valid_subject"]

_REMEMBERED = 1024  # verdicts; then all are forgotten, as each is soon made again
_REMEMBERED_LENGTH = 256  # bytes of a subject that is worth it
_SPACE = re.compile(r"[\t\n\f\r ]")


class Mapping:
    """What becomes of the subjects that match one pattern.

    Args:
        source: the pattern.
        destinations: where to; those of a cluster do not count, because this server is in none.

    Raises:
        ValueError: in nats-server's words.
    """

    __slots__ = ("has_wildcard", "shares", "source", "tokens")

    def __init__(self, source: str, destinations: tuple[Destination, ...]) -> None:
        self.source = source
        self.tokens = source.split(".")
        self.has_wildcard = "*" in self.tokens or self.tokens[-1] == ">"
        shares = self._shares(destinations)
        shares.sort(key=lambda share: share[0])
        total = 0
        self.shares: list[tuple[int, Transform]] = []  # each up to which of a hundred
        for weight, transform in shares:
            total += weight
            self.shares.append((total, transform))

    def matches(self, tokens: list[str]) -> bool:
        """True if a subject of these tokens is meant."""
        return is_subset_of(tokens, self.tokens)

    def _shares(self, destinations: tuple[Destination, ...]) -> list[tuple[int, Transform]]:
        seen = set()
        totals: dict[str, int] = {}
        shares = []
        for each in destinations:
            if each.subject in seen:
                raise ValueError(f'duplicate entry for "{each.subject}"')
            seen.add(each.subject)
            if not 0 <= each.weight <= 100:
                raise ValueError("individual weights need to be <= 100")
            totals[each.cluster] = totals.get(each.cluster, 0) + each.weight
            if totals[each.cluster] > 100:
                raise ValueError("total weight needs to be <= 100")
            check_destination(each.subject)
            transform = Transform(self.source, each.subject)
            if not each.cluster:
                shares.append((each.weight, transform))
        left = 100 - totals.get("", 0)
        if left and self.source not in seen:
            shares.append((left, Transform(self.source, mark_wildcards(self.source))))
        return shares


class Verdict:
    """What becomes of one subject: ``only`` this, or one of several.

    Attributes:
        only: the one subject, None where it is a matter of luck.
    """

    __slots__ = ("_mapping", "_tokens", "only")

    def __init__(self, mapping: Mapping, subject: bytes) -> None:
        # As there: a mapping without wildcards does not look at the tokens, so that they do not count in a partition either.
        self._tokens = subject.split(b".") if mapping.has_wildcard else []
        self._mapping = mapping
        self.only: bytes | None = None
        shares = mapping.shares
        if not shares:
            self.only = b""
        elif len(shares) == 1 and shares[0][0] == 100 and not shares[0][1].is_random:
            self.only = shares[0][1].apply(self._tokens, _never)
        if self.only is not None:
            self._tokens = []

    def roll(self, choose: Callable[[int], int]) -> bytes:
        """Return the subject that a message goes to; ``choose`` gives a random number below its argument. Empty where it is lost."""
        number = choose(100)
        for limit, transform in self._mapping.shares:
            if number < limit:
                return transform.apply(self._tokens, choose)
        return b""


class Mappings:
    """The mappings of one account.

    Args:
        mappings: as they are configured.
        choose: gives a random number below its argument.

    Raises:
        ValueError: in nats-server's words.
    """

    __slots__ = ("_choose", "_last", "_last_verdict", "_mappings", "_verdicts")

    def __init__(self, mappings: dict[str, tuple[Destination, ...]], choose: Callable[[int], int]) -> None:
        self._choose = choose
        self._mappings = []
        for source, destinations in mappings.items():
            if not is_valid_subject(source):
                raise ValueError(f'Subject "{source}" is not a valid subject')
            try:
                self._mappings.append(Mapping(source, destinations))
            except ValueError as error:
                raise ValueError(f'Error adding mapping for "{source}" : {error}') from error
        self._verdicts: dict[bytes, Verdict | None] = {}
        self._last = b""
        self._last_verdict: Verdict | None = None

    def redirect(self, publication: Publication) -> Publication:
        """Return the message as it goes on: the same where nothing is mapped, one of its own otherwise."""
        if not same(publication.buf, publication.subject_start, publication.subject_end, self._last):
            self._judge(cut(publication.buf, publication.subject_start, publication.subject_end))
        verdict = self._last_verdict
        if verdict is None:
            return publication
        return publication.renamed(verdict.roll(self._choose) if verdict.only is None else verdict.only)

    def target(self, subject: bytes) -> bytes:
        """Return the subject that a message to this one goes to."""
        if subject != self._last:
            self._judge(subject)
        verdict = self._last_verdict
        if verdict is None:
            return subject
        return verdict.roll(self._choose) if verdict.only is None else verdict.only

    def _judge(self, subject: bytes) -> None:
        """Find the verdict on a subject, and remember it."""
        if subject in self._verdicts:
            verdict = self._verdicts[subject]
        else:
            verdict = self._find(subject)
            if len(subject) <= _REMEMBERED_LENGTH:
                if len(self._verdicts) >= _REMEMBERED:
                    self._verdicts.clear()
                self._verdicts[subject] = verdict
        self._last = subject
        self._last_verdict = verdict

    def _find(self, subject: bytes) -> Verdict | None:
        text = subject.decode("utf-8", "surrogateescape")
        tokens = text.split(".")
        for mapping in self._mappings:
            if mapping.source == text or mapping.matches(tokens):
                return Verdict(mapping, subject)
        return None


def is_valid_subject(subject: str) -> bool:
    """True if a configuration may name the subject, which may have wildcards."""
    tokens = subject.split(".")
    return "" not in tokens and ">" not in tokens[:-1] and _SPACE.search(subject) is None


def _never(_count: int) -> int:
    raise AssertionError("what is remembered has nothing random in it")
