"""Purging: a purge that somebody has asked for, done in slices, because it may be of millions of messages.

What is to go is settled when it begins: messages before ``stop``, so nothing that is stored meanwhile goes, and what is to be kept stays.
Who could tell from what is stored whether a purge is over (a publisher that expects a subject's last sequence, say) must let it
``finish`` first: then it happened before, as in nats-server, where nobody gets in between. A crash in the middle leaves it partly done,
and nobody has been told that it was done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.engine.jobs import Job
from midge.model.responses import StreamPurgeResponse

if TYPE_CHECKING:
    from midge.engine.requests import ApiRequest
    from midge.engine.stream import Stream

__all__ = ["Purging"]

SLICE = 200  # messages that are removed one by one,
DROPPED = 5_000  # or that go from the front
PASSED = 2_000  # or are passed over from behind, because they are kept


class Purging:
    """One purge of a stream.

    Args:
        request: it is answered when all is safe that was removed.
        filter: of subjects; empty for all.
        below: only messages before this sequence; 0 for any.
        keep: but not the last ones, so many.
    """

    __slots__ = ("_filter", "_is_over", "_request", "_slices", "_stop", "_stream", "purged")

    def __init__(self, stream: Stream, request: ApiRequest, filter: bytes, below: int, keep: int) -> None:
        last = stream.store.last
        self._stream = stream
        self._filter = filter
        self._request = request
        self._stop = min(below, last + 1) if below else last + 1
        self._slices = self._work(() if filter in (b"", b">") else (filter,), last, keep)
        self._is_over = False
        self.purged = 0

    def begin(self) -> None:
        """Do the first slice, and let the others follow; what is short is done then."""
        self._stream.purging = self
        self._stream.engine.jobs.start(self._stream.store, self._job())

    def finish(self) -> None:
        """Do all that is left at once.

        Raises:
            OSError: nothing can be removed at present.
        """
        for _ in self._slices:
            pass
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._stream.purging = None
        self._stream.purged(self._filter)

    def _job(self) -> Job:
        stream, request = self._stream, self._request
        try:
            while stream.purging is self and not stream.intake.closed and next(self._slices, None) is not None:
                stream.changed()
                yield None
        except Exception as error:  # a store that fails, or the safety net: the account's next request waits for this one
            stream.purging = None
            stream.changed()
            request.refuse(ApiError(10051, err=error), {"purged": 0})
            return
        if stream.intake.closed:
            request.refuse(ApiError(10059), {"purged": 0})
            return
        if stream.purging is self:
            self._end()
        if self._is_over:
            stream.settled(request, lambda: request.respond(StreamPurgeResponse(success=True, purged=self.purged)))
        else:
            request.refuse(ApiError(10051, err="what was purged could not be written"), {"purged": 0})

    def _work(self, filters: tuple[bytes, ...], last: int, keep: int) -> Iterator[bool]:
        """Remove what is to go. Yields where a slice is over."""
        while filters and not self._stream.store.prepare(filters, 1):
            yield True
        for passed in range(1, keep + 1):
            found = self._stream.store.previous(filters, min(self._stop - 1, last))
            self._stop = found
            if not found:
                return
            if passed % PASSED == 0:
                yield True
        yield from self._remove(filters) if filters else self._drop()

    def _remove(self, filters: tuple[bytes, ...]) -> Iterator[bool]:
        """Remove those that match one by one."""
        store = self._stream.store
        sequence = store.next(filters, 1)
        while 0 < sequence < self._stop:
            self.purged += store.remove(sequence)
            if self.purged % SLICE == 0:
                yield True
            sequence = store.next(filters, sequence + 1)

    def _drop(self) -> Iterator[bool]:
        """Let all go from the front."""
        store = self._stream.store
        while store.messages and store.first < self._stop:
            self.purged += store.drop(min(store.first + DROPPED, self._stop))
            yield True
