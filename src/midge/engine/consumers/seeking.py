"""Seeking: a consumer that was opened looks for what it has still to deliver of the last messages of subjects, in slices.

Nothing is delivered until that is known. Who has to know it before lets the rest be done at once; the API's requests wait instead.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import neg
from typing import TYPE_CHECKING

from midge.engine.consumers.lasts import find_lasts
from midge.engine.errors import ApiError
from midge.engine.jobs import Job, finish

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.stream import Stream

__all__ = ["find", "forget", "is_seeking", "seek"]


def seek(consumer: Consumer) -> None:
    """Begin to look for it."""
    consumer.delivery.skips = []
    consumer.search = _search(consumer)
    consumer.engine.jobs.add(consumer.stream.store, consumer.search)


def find(consumer: Consumer) -> None:
    """Do the rest of the search at once, where there is one."""
    if consumer.search is not None:
        finish(consumer.stream.store, consumer.search)


def forget(consumer: Consumer) -> None:
    """Nobody needs to know that any more."""
    if consumer.search is not None:
        consumer.search.close()
        consumer.search = None


def is_seeking(stream: Stream) -> bool:
    """True if a consumer of a stream is looking for it."""
    return stream.engine.jobs.active > 0 and any(consumer.search is not None for consumer in stream.consumers.values())


def _search(consumer: Consumer) -> Job:
    ledger, delivery = consumer.ledger, consumer.delivery
    try:
        found = (yield from find_lasts(consumer.stream, consumer.filters, ledger.resume)).sequences
    except ApiError:  # the stream has gone, and this one with it
        return
    del found[bisect_right(found, -ledger.next, key=neg) :]
    consumer.search = None
    delivery.skip(found)
    delivery.doubt()
    consumer.wake()
