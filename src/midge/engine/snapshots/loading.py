"""Loading: what a draft is filled from, entry by entry, and what can be said of it when it has ended.

There is one for each format. Bytes come in pieces; what is kept of them is bounded by the longest entry that may be.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from midge.engine.snapshots.archive import CONSUMER, END, MAGIC, STATE, ArchiveReader, Entry
from midge.engine.snapshots.draft import Draft
from midge.engine.snapshots.kept import read_consumer
from midge.model.base import ZERO_TIME, decode, time_of
from midge.model.stream import StreamState
from midge.quote import quote

__all__ = ["ArchiveLoading", "Loading", "is_archive"]

SLICE = 64  # entries that are taken in one call


class Loading(Protocol):
    """What fills a draft."""

    def feed(self, data: bytes) -> None:
        """Take what comes next. Next: ``step`` until it returns False."""
        ...

    def step(self) -> bool:
        """Take some entries. False where there are none without more bytes.

        Raises:
            ValueError, ApiError, OSError: there is something that cannot be taken.
        """
        ...

    def finish(self) -> None:
        """There will be no more bytes.

        Raises:
            ValueError: there should have been.
        """
        ...


def is_archive(start: bytes) -> bool:
    """True if something that begins so is such an archive; it is to be asked with 8 bytes at least."""
    return start.startswith(MAGIC)


class ArchiveLoading:
    """The entries of an archive as nats-server makes them since 2.15.

    Args:
        draft: gets them.
        max_message: bytes that a message may have.
    """

    __slots__ = ("_consumers", "_draft", "_has_ended", "_reader", "_state")

    def __init__(self, draft: Draft, max_message: int) -> None:
        self._draft = draft
        self._reader = ArchiveReader(max_message)
        self._state: StreamState | None = None
        self._consumers = 0  # that are to come
        self._has_ended = False

    def feed(self, data: bytes) -> None:
        if not self._has_ended:  # nats-server reads nothing of what comes behind
            self._reader.feed(data)

    def step(self) -> bool:
        for _ in range(SLICE):
            entry = None if self._has_ended else self._reader.next()
            if entry is None:
                return False
            self._take(entry)
        return True

    def finish(self) -> None:
        if not self._has_ended:
            raise ValueError("EOF" if self._reader.is_between else "archive: invalid archive stream")

    def _take(self, entry: Entry) -> None:
        if self._state is None:
            self._begin(entry)
        elif self._consumers:
            self._consumers -= 1
            if not entry.name.startswith(CONSUMER):
                raise ValueError(f"expected consumer, found {quote(entry.name[:255])}")
            name = entry.name[len(CONSUMER) :].decode("utf-8", "surrogateescape")
            self._draft.add_consumer(name, read_consumer(name, entry.payload))
        elif entry.sequence:
            self._draft.put(entry.sequence, entry.time, entry.name, entry.header, entry.payload)
        elif (entry.time, entry.header, entry.payload) == (END.time, END.header, END.payload):
            self._end()
        else:
            raise ValueError("expected message sequence")

    def _begin(self, entry: Entry) -> None:
        if entry.name != STATE:
            raise ValueError("expected state.json first")
        try:
            self._state = decode(StreamState, entry.payload)
        except msgspec.MsgspecError as error:
            raise ValueError(f"error in state.json: {error}") from error
        self._check(self._state)
        self._consumers = self._state.consumer_count
        self._draft.begin(self._state.first_seq, self._state.bytes, 0 if self._state.messages else self._last_time())

    @staticmethod
    def _check(state: StreamState) -> None:
        """Refuse what no stream can be, as nats-server does."""
        if state.consumer_count < 0:
            raise ValueError("error in state.json: there are less than no consumers")
        if state.messages and not 0 < state.first_seq <= state.last_seq:
            raise ValueError("invalid stream state: inconsistent message count or sequence range")
        if state.messages > state.last_seq - state.first_seq + 1 > 0:
            raise ValueError("invalid stream state: message count exceeds sequence range")

    def _end(self) -> None:
        assert self._state is not None
        self._has_ended = True
        self._draft.skip(self._state.last_seq, self._last_time())

    def _last_time(self) -> int:
        assert self._state is not None
        return max(time_of(self._state.last_ts), 0) if self._state.last_ts != ZERO_TIME else 0
