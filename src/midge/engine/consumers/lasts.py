"""Lasts: the last message of each subject, found in slices: a consumer that begins with them holds up nobody, however many there are.

They are those up to the last message that was there when the search began: what is stored later is behind all of them, as if the consumer
had been made before. What is removed later is passed by; where that is the last message of a subject that was not looked at yet, the one
before it counts, as if the consumer had been made behind that. Where the store goes back (its disk has failed), all is begun anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from midge.engine.consumers.start import begins_with_lasts
from midge.engine.errors import ApiError
from midge.engine.jobs import Found, prepared

if TYPE_CHECKING:
    from midge.engine.stream import Stream
    from midge.model.consumer import ConsumerConfig
    from midge.store.base import Store

__all__ = ["SLICE", "Lasts", "find_lasts", "lasts_for"]

SLICE: Final = 4_096  # subjects that are looked at, or sequences that are put in order, in one slice
_STEP: Final = 64  # of sequences in order, one of so many tells what lies between it and the next
_ALL: Final = (b">",)

_Steps = Generator[list[int] | None, Found, "Lasts"]


class Lasts:
    """What was found.

    Attributes:
        sequences: the highest first.
        up_to: they were the last ones up to this sequence.
    """

    __slots__ = ("sequences", "up_to")

    def __init__(self, sequences: list[int], up_to: int) -> None:
        self.sequences = sequences
        self.up_to = up_to


def lasts_for(stream: Stream, config: ConsumerConfig, filters: tuple[bytes, ...]) -> Generator[list[int] | None, Found, Lasts | None]:
    """Find what a consumer begins with that is not there yet; None where that is not the last messages of subjects.

    Raises:
        ApiError: the stream has gone meanwhile (10059).
    """
    if not begins_with_lasts(config, keeps_one=stream.config.max_msgs_per_subject == 1):
        return None
    return (yield from find_lasts(stream, filters))


def find_lasts(stream: Stream, filters: tuple[bytes, ...], resume: int = 0) -> _Steps:
    """Find the last message of each subject that matches; of those up to a sequence, unless 0.

    Raises:
        ApiError: as ``lasts_for``.
    """
    store = stream.store
    while True:
        setbacks, up_to = stream.setbacks, resume or store.last
        runs = yield from _runs(store, filters or _ALL, up_to)
        sequences = yield from _ordered(runs)
        if stream.intake.closed:
            raise ApiError(10059)
        if stream.setbacks == setbacks:
            return Lasts(sequences, up_to)


def _runs(store: Store, filters: tuple[bytes, ...], up_to: int) -> Generator[list[int] | None, Found, list[list[int]]]:
    """Find the sequences, in pieces of which each is in order."""
    runs: list[list[int]] = []
    place = 0
    while place >= 0:
        yield from prepared(store, filters)  # others may have asked so much meanwhile that it is not known any more
        found, place = store.some_lasts(filters, place, SLICE, up_to)
        found.sort()
        runs.append(found)
        if place >= 0:
            yield None
    return runs


def _ordered(runs: list[list[int]]) -> Generator[list[int] | None, Found, list[int]]:
    """Join pieces of which each is in order: the highest sequence first. No slice joins many more than ``SLICE``, however they lie."""
    marks = sorted(mark for run in runs for mark in run[::_STEP])
    ends = [len(run) for run in runs]
    joined: list[int] = []
    for mark in [*marks[:: SLICE // _STEP][::-1], -1]:
        some: list[int] = []
        for number, run in enumerate(runs):
            start = bisect_right(run, mark, 0, ends[number])
            some += run[start : ends[number]]
            del run[start:]
            ends[number] = start
        some.sort(reverse=True)
        joined += some
        yield None
    return joined
