"""What is told about a stream: its configuration, its state, its subjects.

Its subjects may be a million: they are counted, and put in order where one page does not hold them, in slices. So are its gaps listed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from heapq import merge
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from midge.engine.jobs import Found, prepared
from midge.model.base import ZERO_TIME, time_text
from midge.model.stream import ClusterInfo, StreamInfo, StreamState

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["count_consumers", "describe", "gaps_of", "state_of", "subjects_page"]

InfoT = TypeVar("InfoT", bound=StreamInfo)
SUBJECTS = 100_000  # of a page; nats-server's JSMaxSubjectDetails
GAPS = 250_000  # sequences that are listed as deleted
LISTED = 5_000  # of which so many are found in one turn
SLICE = 1_000  # subjects that are looked at in one turn
RUNS = 20  # times so many are let go of in one


def describe(kind: type[InfoT], stream: Stream, wall: int, *, deleted: Sequence[int] = (), cluster: bool = False) -> InfoT:
    """Return what there is to say about a stream; the sequences of its gaps where somebody has asked for them."""
    mirror, sources = stream.origins.describe(wall) if stream.origins is not None else (None, [])
    return kind(
        config=stream.config,
        created=time_text(stream.created),
        state=state_of(stream, deleted),
        domain=stream.engine.domain,
        cluster=ClusterInfo(leader=stream.engine.server_name) if cluster else None,
        mirror=mirror,
        sources=sources,
        ts=time_text(wall),
    )


def state_of(stream: Stream, deleted: Sequence[int] = ()) -> StreamState:
    """Return what a stream holds, and the sequences of its gaps that are given."""
    store = stream.store
    return StreamState(
        messages=store.messages,
        bytes=store.size,
        first_seq=store.first,
        first_ts=time_text(store.first_time) if store.first_time else ZERO_TIME,
        last_seq=store.last,
        last_ts=time_text(store.last_time) if store.last_time else ZERO_TIME,
        num_subjects=store.subjects,
        num_deleted=store.deleted,
        deleted=list(deleted),
        consumer_count=count_consumers(stream),
    )


def count_consumers(stream: Stream) -> int:
    """Return how many consumers a stream shows: those that feed others directly are not among them."""
    return sum(not consumer.config.direct for consumer in stream.consumers.values())


def gaps_of(stream: Stream) -> Generator[list[int] | None, Found, list[int]]:
    """Return the sequences of a stream's gaps, GAPS of them at most. What comes or goes meanwhile may be among them or not."""
    store = stream.store
    found: list[int] = []
    start = store.first
    while len(found) < GAPS:
        ranges = (range(first, last + 1) for first, last in store.gaps(start))
        some = list(islice(chain.from_iterable(ranges), min(LISTED, GAPS - len(found))))
        found += some
        if len(some) < LISTED:
            break
        start = some[-1] + 1
        yield None
    return found


def subjects_page(stream: Stream, filter: str, offset: int) -> Generator[list[int] | None, Found, tuple[int, dict[str, int]]]:
    """Return how many subjects match, and those of one page, each with how many messages it has; in order where there are several pages.

    What comes or goes meanwhile may be among them or not.
    """
    store, raw = stream.store, filter.encode("utf-8", "surrogateescape")
    runs: list[list[tuple[str, int]]] = []  # short ones: nothing large grows, or goes, in one piece
    place = 0
    yield from prepared(store, (raw,))
    while place >= 0:
        page, place = store.totals(raw, place, SLICE)
        runs.append(sorted((subject.decode("utf-8", "replace"), count) for subject, count in page))
        if place >= 0:
            yield None
    total = sum(map(len, runs))
    if not offset and total <= SUBJECTS:
        return total, {subject: count for run in runs for subject, count in run}
    ordered = merge(*runs)
    shown: dict[str, int] = {}
    for start in range(0, min(offset + SUBJECTS, total), SLICE):
        yield None
        some = list(islice(ordered, min(SLICE, offset + SUBJECTS - start)))
        shown.update(some[max(offset - start, 0) :])
    del ordered
    while runs:
        yield None
        del runs[-RUNS:]
    return total, shown
