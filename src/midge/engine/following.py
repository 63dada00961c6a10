"""Following: that a stream follows another one of its account, and which way: by reading its store (``Feed``), or through a durable
consumer (``DurableFeed``), where one is named, or where the origin keeps messages only for those who have asked for them.

It stands in the account under its origin's name, which need not be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.durable_feed import DurableFeed
from midge.engine.feed import Feed, Taker
from midge.model.stream import StreamSource, StreamSourceInfo

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Following"]


class Following:
    """What one stream gets from another.

    Args:
        stream: the one that follows.
        source: whom, and what of it.
        taker: gets the messages.
    """

    __slots__ = ("_source", "_taker", "_way", "stream")

    def __init__(self, stream: Stream, source: StreamSource, taker: Taker) -> None:
        self.stream = stream
        self._source = source
        self._taker = taker
        self._way: Feed | DurableFeed = Feed(stream, source, taker)

    @property
    def name(self) -> str:
        """Whom it follows."""
        return self._source.name

    @property
    def origin(self) -> Stream | None:
        """The stream that is followed, None while there is none."""
        return self.stream.account.streams.get(self.name)

    @property
    def was_even(self) -> bool:
        """True if the stream had everything once that its origin had then."""
        return self._way.was_even

    def open(self) -> None:
        """Follow the origin, now or as soon as it is there."""
        self.stream.account.followings.setdefault(self.name, {})[self] = None
        self._choose()
        self._way.open()

    def close(self) -> None:
        """Follow it no more."""
        followings = self.stream.account.followings[self.name]
        del followings[self]
        if not followings:
            del self.stream.account.followings[self.name]
        self._way.close()

    def leave(self) -> None:
        """It is not configured any more: nor needs to be there what was made for it alone. Next: ``close``."""
        if isinstance(self._way, DurableFeed):
            self._way.leave()

    def connect(self, origin: Stream) -> None:
        """The origin is there."""
        self._choose()
        self._way.connect(origin)

    def review(self) -> None:
        """The stream's or the origin's configuration has changed: maybe there is another way now, or another consumer."""
        before = self._way
        if isinstance(before, DurableFeed) and before.is_misnamed:
            before.close()
            self._way = after = DurableFeed(self.stream, self._source, self._taker)
            after.replace(before)
        self._choose()
        if self._way is not before:
            self._way.open()

    def replace(self, old: Following) -> None:
        """Take over from another one of the same origin, which is closed. Next: ``open``."""
        self._choose()
        if isinstance(self._way, DurableFeed) and isinstance(old._way, DurableFeed):
            self._way.replace(old._way)
        else:
            old.leave()

    def restart(self) -> None:
        """Begin anew where the taker says, when what is going on just now is over."""
        self._way.restart()

    def describe(self, wall: int) -> StreamSourceInfo:
        """Return how far it has come."""
        return self._way.describe(wall)

    def _choose(self) -> None:
        origin = self.origin
        is_durable = self._source.consumer is not None or (origin is not None and origin.config.retention != "limits")
        kind = DurableFeed if is_durable else Feed
        if type(self._way) is not kind:
            self.leave()
            self._way.close()
            self._way = kind(self.stream, self._source, self._taker)
