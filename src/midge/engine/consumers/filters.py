"""The subjects that a consumer is for: what they may be, and which of them a work queue may share out."""

from __future__ import annotations

from midge.engine.consumers.terms import ConsumerTerms, is_feeding
from midge.engine.crossings import Crossings
from midge.engine.errors import ApiError, invalid_config
from midge.engine.names import is_literal, is_subject
from midge.model.consumer import ConsumerConfig

__all__ = ["check_filters", "filters_of", "is_shared"]


def filters_of(config: ConsumerConfig) -> list[str]:
    """Return the subjects that a consumer is for; none are all."""
    return [*config.filter_subjects, *([config.filter_subject] if config.filter_subject else [])]


def check_filters(config: ConsumerConfig) -> None:
    """Refuse subjects that are none, or of which one is within another.

    Raises:
        ApiError: they may not be.
    """
    if config.filter_subject and config.filter_subjects:
        raise ApiError(10136)
    if "" in config.filter_subjects:
        raise ApiError(10139)
    filters = filters_of(config)
    crossings = Crossings(filters)
    for place, subject in enumerate(filters):
        if not is_subject(subject):
            raise invalid_config("invalid subject")
        if crossings.is_within(place):
            raise ApiError(10138)


def is_shared(name: str, filters: list[str], terms: ConsumerTerms) -> bool:
    """True if another consumer than the named one takes messages of these subjects from the queue.

    Raises:
        ApiError: finding that out was given up.
    """
    literal = {subject for subject in filters if is_literal(subject)}
    every: Crossings | None = None
    wild: Crossings | None = None
    for other, each in terms.consumers.items():
        if other == name or is_feeding(each) or not filters:
            continue
        theirs = [each.filter_subject] if each.filter_subject else each.filter_subjects
        if not theirs:
            return True
        for subject in theirs:
            if subject in literal:
                return True
            if is_literal(subject):
                mine = wild = wild or Crossings([each for each in filters if each not in literal])
            else:
                mine = every = every or Crossings(filters)
            if mine.find(subject) is not None:
                return True
    return False
