"""The subjects that a consumer is for, and what they may be."""

from __future__ import annotations

from midge.engine.crossings import Crossings
from midge.engine.errors import ApiError, invalid_config
from midge.engine.names import is_subject
from midge.model.consumer import ConsumerConfig

__all__ = ["check_filters", "filters_of"]


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
