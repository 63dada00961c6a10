"""Trimming: a limit of messages per subject that has become smaller, seen to in slices, because there may be a million subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.jobs import Job, prepared

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["trim_subjects"]

SUBJECTS = 1_000  # that are looked at in one slice,
SLICE = 200  # and messages that are removed


def trim_subjects(stream: Stream) -> Job:
    """Remove the first messages of subjects that have more than the configuration allows; until it allows something else.

    ``stream.trims_to`` says that it does, so that a limit is seen to once, however often a configuration is changed meanwhile.
    """
    stream.trims_to = limit = stream.config.max_msgs_per_subject
    try:
        yield from _trim(stream, limit)
    finally:
        if stream.trims_to == limit:
            stream.trims_to = 0


def _trim(stream: Stream, limit: int) -> Job:
    store = stream.store
    everything, place, removed = b">", 0, 0
    yield from prepared(store, (everything,))
    try:
        while place >= 0:
            page, place = store.totals(everything, place, SUBJECTS)
            for subject in [subject for subject, count in page if count > limit]:
                while (total := store.total(subject)) is not None and total.messages > limit and store.remove(total.first):
                    removed += 1
                    if removed % SLICE == 0:
                        stream.changed()
                        yield None
                        if stream.intake.closed or stream.config.max_msgs_per_subject != limit:
                            return
            if removed:
                stream.changed()
            if place >= 0:
                yield None
                if stream.intake.closed or stream.config.max_msgs_per_subject != limit:
                    return
    except OSError:
        stream.trim_later()
