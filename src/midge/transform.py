"""Transforms: from the subject that a message has to the one that it gets, as nats-server writes them.

A source pattern such as ``orders.*.*`` and a destination that takes tokens from it: ``$2`` and ``{{wildcard(2)}}`` are the second
wildcard's token, and ``partition``, ``split``, ``splitfromleft``, ``splitfromright``, ``slicefromleft``, ``slicefromright``, ``left``,
``right`` and ``random`` make something else of them. Subject mappings, imports and streams share them.

What is written is text, what is transformed are the tokens of a subject as bytes. The errors are ValueErrors in nats-server's words, and
so are the leniencies: a ``$x`` that is no number is a token like any other, wildcard 0 is the first token, and a number that does not
fit a token leaves the token whole. Pure: ``random`` is rolled by whoever calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Transform", "check_destination", "collide", "is_subset", "is_subset_of", "mark_wildcards", "unmark_wildcards"]

Choose = Callable[[int], int]  # a random number below the one that is given

_LITERAL, _REST, _WILDCARD, _PARTITION, _RANDOM, _SPLIT, _CUT = range(7)
_ARGUMENTS = r"\{\{[\t\n\f\r ]*%s[\t\n\f\r ]*\((.*)\)[\t\n\f\r ]*\}\}"  # no anchors: nats-server finds it anywhere in the token
_COMMA = re.compile(r",[\t\n\f\r ]*")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_SPACE = re.compile(r"[\t\n\f\r ]")
_INT32, _INT64 = 1 << 31, 1 << 63
_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619
_FNV_MASK = 0xFFFFFFFF
_INVALID = "invalid mapping destination"


def _function(name: str) -> re.Pattern[str]:
    return re.compile(_ARGUMENTS % re.sub(r"[A-Z]", lambda letter: f"[{letter[0].lower()}{letter[0]}]", name))


_WILDCARD_FUNCTION = _function("Wildcard")
_PARTITION_FUNCTION = _function("Partition")
_SPLIT_FUNCTION = _function("Split")
_RANDOM_FUNCTION = _function("Random")


def _split_left(token: bytes, size: int) -> bytes:
    return token[:size] + b"." + token[size:]


def _split_right(token: bytes, size: int) -> bytes:
    return token[:-size] + b"." + token[-size:]


def _slice_left(token: bytes, size: int) -> bytes:
    return b".".join(token[at : at + size] for at in range(0, len(token), size))


def _slice_right(token: bytes, size: int) -> bytes:
    rest = len(token) % size
    return b".".join(([token[:rest]] if rest else []) + [token[at : at + size] for at in range(rest, len(token), size)])


def _left(token: bytes, size: int) -> bytes:
    return token[:size]


def _right(token: bytes, size: int) -> bytes:
    return token[-size:]


_CUTS: tuple[tuple[re.Pattern[str], Callable[[bytes, int], bytes]], ...] = (
    (_function("SplitFromLeft"), _split_left),
    (_function("SplitFromRight"), _split_right),
    (_function("SliceFromLeft"), _slice_left),
    (_function("SliceFromRight"), _slice_right),
    (_function("Right"), _right),
    (_function("Left"), _left),
)

_FUNCTIONS = (
    _WILDCARD_FUNCTION, _PARTITION_FUNCTION, _SPLIT_FUNCTION, _RANDOM_FUNCTION, *(function for function, _ in _CUTS),
)  # fmt: skip


class _Part:
    """What makes one token of the destination: a kind, wildcards by number (then tokens by place), a number, a separator."""

    __slots__ = ("cut", "indexes", "kind", "number", "text")

    def __init__(self, kind: int, text: bytes, indexes: list[int], number: int, cut: Callable[[bytes, int], bytes] | None = None) -> None:
        self.kind = kind
        self.text = text
        self.indexes = indexes
        self.number = number
        self.cut = cut


class Transform:
    """One transform.

    Args:
        source: which subjects it is for; empty for all.
        destination: what they become.
        reversible: refuse what cannot be undone, as an import must be: other functions than ``wildcard``, wildcards left out.

    Attributes:
        constant: the one subject that everything becomes; None where it depends.
        is_random: the same subject may become another each time.

    Raises:
        ValueError: in nats-server's words.
    """

    __slots__ = ("_behind", "_parts", "_source_tokens", "constant", "destination", "is_random", "source")

    def __init__(self, source: str, destination: str, reversible: bool = False) -> None:
        self.source = source or ">"
        self.destination = destination
        wildcards, ends_open = _survey(self.source)
        stars, is_open = _survey(destination)
        if stars or ends_open != is_open:
            raise ValueError("invalid subject")
        self._source_tokens = self.source.split(".")
        tokens = destination.split(".")
        self._parts = [_parse(token) for token in tokens]
        if wildcards or ends_open:
            self._number_tokens(tokens, wildcards, reversible)
        else:
            for token, part in zip(tokens, self._parts):
                if part.kind not in (_LITERAL, _REST, _RANDOM, _PARTITION):
                    raise ValueError(f"{_INVALID}: wildcard index out of range in {token}")
                if part.kind == _PARTITION:
                    part.indexes = []  # there is nothing to choose from
        self._behind = len(self._source_tokens) - 1 if self._parts[-1].kind == _REST else -1  # the first token that "ends open" stands for
        self.is_random = any(part.kind == _RANDOM for part in self._parts)
        self.constant = destination.encode("utf-8", "surrogateescape") if all(part.kind == _LITERAL for part in self._parts) else None

    def apply(self, tokens: list[bytes], choose: Choose) -> bytes:
        """Return what a subject with these tokens becomes. It must be one that the source matches."""
        if self.constant is not None:
            return self.constant
        made = [_make(part, tokens, choose) for part in self._parts if part.kind != _REST]
        if self._behind >= 0:
            made += tokens[self._behind :]
        return b".".join(made)

    def reverse(self) -> Transform:
        """Return the one that undoes this one, which must be reversible."""
        source, marks = unmark_wildcards(self.destination)
        queue = iter(marks)
        return Transform(source, ".".join(next(queue, token) if token == "*" else token for token in self._source_tokens), True)

    def _number_tokens(self, tokens: list[str], wildcards: int, reversible: bool) -> None:
        """Put the places of tokens where the numbers of wildcards stand. A number below 1 is the first token, as there."""
        places = [place for place, token in enumerate(self._source_tokens) if token == "*"]
        used = 0
        for token, part in zip(tokens, self._parts):
            if reversible and part.kind not in (_LITERAL, _REST, _WILDCARD):
                allowed = "the only mapping function allowed for import transforms is {{Wildcard()}}"
                raise ValueError(f"{_INVALID}: {allowed} in {token}")
            used += len(part.indexes)
            for index in part.indexes:
                if index > wildcards:
                    raise ValueError(f"{_INVALID}: wildcard index out of range in {token}: [{index}]")
            part.indexes = [places[index - 1] if index > 0 else 0 for index in part.indexes]
        if reversible and used < wildcards:
            raise ValueError(f"{_INVALID}: not using all of the token wildcard(s) in {self.destination}")


def mark_wildcards(subject: str) -> str:
    """Return the destination that keeps a pattern's tokens as they are: "a.*.b.*" gives "a.$1.b.$2"."""
    tokens = subject.split(".")
    stars = [place for place, token in enumerate(tokens) if token == "*"]
    for number, place in enumerate(stars, 1):
        tokens[place] = f"${number}"
    return ".".join(tokens)


def unmark_wildcards(destination: str) -> tuple[str, list[str]]:
    """Return the pattern of what a destination can become, and what stood where it has wildcards."""
    tokens = destination.split(".")
    marks = []
    for place, token in enumerate(tokens):
        found = _WILDCARD_FUNCTION.search(token)
        is_function = found is not None and found[1] != "" and len(_COMMA.split(found[1])) == 1
        if is_function or (len(token) > 1 and token[0] == "$" and "1" <= token[1] <= "9"):
            marks.append(token)
            tokens[place] = "*"
    return ".".join(tokens), marks


def is_subset(subject: str, pattern: str) -> bool:
    """True if the pattern matches all that the subject, which may have wildcards, matches."""
    return is_subset_of(subject.split("."), pattern.split("."))


def is_subset_of(tokens: list[str], pattern: list[str]) -> bool:
    """The same of tokens."""
    for place, wanted in enumerate(pattern):
        if place >= len(tokens) or not wanted:
            return False
        if wanted == ">":
            return True
        token = tokens[place]
        if not token or token == ">" or (token == "*" and wanted != "*"):
            return False
        if wanted[0] != "*" and token != wanted:  # the first letter decides, as there
            return False
    return len(tokens) == len(pattern)


def collide(one: str, other: str) -> bool:
    """True if some subject matches both patterns. Where both have wildcards, the first letter of a token decides, as there."""
    if one == other:
        return True
    here, there = one.split("."), other.split(".")
    here_open, there_open = ">" in here, ">" in there
    here_wild, there_wild = here_open or "*" in here, there_open or "*" in there
    if not (here_wild and there_wild):
        if not (here_wild or there_wild):
            return False
        return is_subset_of(here, there) if there_wild else is_subset_of(there, here)
    if len(here) != len(there):
        if not here_open and not there_open:
            return False
        if not (here_open if len(here) < len(there) else there_open):
            return False
    return all(_can_match(mine, theirs) for mine, theirs in zip(here, there))


def check_destination(destination: str) -> None:
    """Refuse what no destination looks like, or what has an unknown function; whether it fits a source the transform will say.

    Raises:
        ValueError: in nats-server's words.
    """
    is_open = False
    for token in destination.split("."):
        if not token or is_open:
            raise ValueError(f"{_INVALID}: invalid transform" + (f" in {token}" if token else ""))
        if len(token) > 4 and token.startswith("{{") and token.endswith("}}"):
            if not any(function.search(token) for function in _FUNCTIONS):
                raise ValueError(f"{_INVALID}: unknown function in {token}")
        elif token == ">":
            is_open = True
        elif _SPACE.search(token):
            raise ValueError(f"{_INVALID}: invalid transform")


def _can_match(mine: str, theirs: str) -> bool:
    return bool(mine and theirs) and (mine[0] in "*>" or theirs[0] in "*>" or mine == theirs)


def _survey(subject: str) -> tuple[int, bool]:
    """Return how many ``*`` a subject has, and whether it ends in ``>``."""
    tokens = subject.split(".")
    if "" in tokens or ">" in tokens[:-1]:
        raise ValueError("invalid subject")
    return tokens.count("*"), tokens[-1] == ">"


def _parse(token: str) -> _Part:
    """Return what one token of a destination says."""
    if token == ">":
        return _Part(_REST, b"", [], 0)
    if len(token) > 1 and token[0] == "$" and (number := _integer(token[1:], _INT64)) is not None:
        return _Part(_WILDCARD, b"", [number], 0)
    if len(token) > 4 and token.startswith("{{") and token.endswith("}}"):
        return _parse_function(token)
    return _Part(_LITERAL, token.encode("utf-8", "surrogateescape"), [], 0)


def _parse_function(token: str) -> _Part:
    if args := _arguments(_WILDCARD_FUNCTION, token):
        if args == [""]:
            raise _too_few(token)
        if len(args) > 1:
            raise _too_many(token)
        return _Part(_WILDCARD, b"", [_argument(token, args[0])], 0)
    if args := _arguments(_PARTITION_FUNCTION, token):
        size = _argument(token, args[0])
        if size >= _INT32:
            raise _bad_argument(token)
        return _Part(_PARTITION, b"", [_argument(token, arg) for arg in args[1:]], size & _FNV_MASK)
    for function, cut in _CUTS:
        if args := _arguments(function, token):
            _check_two(token, args)
            return _Part(_CUT, b"", [_argument(token, args[0])], _argument(token, args[1], _INT32), cut)
    if args := _arguments(_SPLIT_FUNCTION, token):
        _check_two(token, args)
        index = _argument(token, args[0])
        if " " in args[1]:
            raise _bad_argument(token)
        return _Part(_SPLIT, args[1].encode("utf-8", "surrogateescape"), [index], 0)
    if args := _arguments(_RANDOM_FUNCTION, token):
        if len(args) != 1:
            raise _too_few(token)
        size = _argument(token, args[0])
        if size >= _INT32:
            raise _bad_argument(token)
        return _Part(_RANDOM, b"", [], abs(size))
    raise ValueError(f"{_INVALID}: unknown function in {token}")


def _arguments(function: re.Pattern[str], token: str) -> list[str]:
    found = function.search(token)
    return [] if found is None else _COMMA.split(found[1])


def _check_two(token: str, args: list[str]) -> None:
    if len(args) < 2:
        raise _too_few(token)
    if len(args) > 2:
        raise _too_many(token)


def _argument(token: str, text: str, limit: int = _INT64) -> int:
    number = _integer(text.strip(" "), limit)
    if number is None:
        raise _bad_argument(token)
    return number


def _integer(text: str, limit: int) -> int | None:
    """Return the number that Go reads there, None where it reads none. What is too long is never converted."""
    if _INTEGER.fullmatch(text) is None or len(text.lstrip("+-0")) > 19:
        return None
    number = int(text)
    return number if -limit <= number < limit else None


def _too_few(token: str) -> ValueError:
    return ValueError(f"{_INVALID}: not enough arguments passed to the function in {token}")


def _too_many(token: str) -> ValueError:
    return ValueError(f"{_INVALID}: too many arguments passed to the function in {token}")


def _bad_argument(token: str) -> ValueError:
    return ValueError(f"{_INVALID}: function argument is invalid or in the wrong format in {token}")


def _make(part: _Part, tokens: list[bytes], choose: Choose) -> bytes:
    """Return one token of the destination, or several."""
    if part.kind == _LITERAL:
        return part.text
    if part.kind == _PARTITION:
        key = b"".join(tokens[index] for index in part.indexes) if part.indexes else b".".join(tokens)
        return b"%d" % (_hash(key) % part.number) if part.number else b"0"
    if part.kind == _RANDOM:
        return b"%d" % choose(part.number) if part.number else b"0"
    place = part.indexes[0]
    token = tokens[place] if place < len(tokens) else b""
    if part.kind == _WILDCARD:
        return token
    if part.kind == _SPLIT:
        return _split(token, part.text)
    assert part.cut is not None
    return part.cut(token, part.number) if 0 < part.number < len(token) else token


def _split(token: bytes, separator: bytes) -> bytes:
    """Put dots where the separator stands, as nats-server does: none first or last, and none where two follow each other."""
    if separator:
        pieces = token.split(separator)
    else:  # Go splits into characters there
        pieces = [each.encode("utf-8", "surrogateescape") for each in token.decode("utf-8", "surrogateescape")]
    made = b""
    for place, piece in enumerate(pieces):
        made += piece
        if place + 1 < len(pieces) and pieces[place + 1] and not (place == 0 and not piece):
            made += b"."
    return made


def _hash(key: bytes) -> int:
    """Return the FNV-1a hash of 32 bits."""
    value = _FNV_OFFSET
    for byte in key:
        value = ((value ^ byte) * _FNV_PRIME) & _FNV_MASK
    return value
