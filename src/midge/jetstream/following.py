"""Following: the messages of a stream as they stand and as they come, with a mark between the two. What watches are made of.

What stands at first is counted when the server's consumer is made, and anew where another one takes its place: that one delivers also
what the first would have left out. Some of it may be removed before it is delivered, so a count alone could wait for ever: a message
behind which nothing waits is the last, too, and where nothing comes for a while the server is asked.

In a cluster that consumer may be on a server which is behind the stream's leader, and does not count what the leader has acknowledged. So
the leader is asked what stands there: the mark does not come before that, and who wants only what is new gets nothing older.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Unpack

from midge.errors import MidgeError
from midge.jetstream.caught_up import CAUGHT_UP, Mark
from midge.jetstream.errors import MessageNotFoundError
from midge.jetstream.infos import ConsumerInfo
from midge.jetstream.message import Metadata, StreamMessage
from midge.jetstream.ordered import OrderedOptions

if TYPE_CHECKING:
    from midge.jetstream.stream import Stream

__all__ = ["Following"]

QUIET_SECONDS = 1.0  # without a message, before the server is asked whether there will be one


class Following:
    """What one watch reads. Not for two tasks at a time.

    Args:
        stream: whose messages.
        options: see OrderedOptions. With "new" as ``deliver_policy`` the mark comes first.

    Attributes:
        is_caught_up: the mark has been given, or comes next.
    """

    def __init__(self, stream: Stream, **options: Unpack[OrderedOptions]) -> None:
        self._stream = stream
        self._ordered = stream.ordered_consumer(**options)
        self._filters = options.get("filter_subjects") or [">"]
        self._is_new = options.get("deliver_policy") == "new"
        self._first_seq = options.get("opt_start_seq", 1)
        self._left = -1  # of what stood there at first; -1 before it is known
        self._counted: ConsumerInfo | None = None  # what the server said of the consumer that this is a count of
        self._newest = 0  # the last sequence that belongs to it, where another server than the stream's leader may count
        self._is_mark_due = False
        self._waiting: asyncio.Task[StreamMessage] | None = None  # for a message; it outlives who waits for it, so nothing is lost
        self.is_caught_up = False

    async def begin(self) -> None:
        """Make the server's consumer, where there is none yet. Raises what ``OrderedConsumer.begin`` raises."""
        if self._left < 0:
            await self._ordered.begin()
            info = self._ordered.last_info
            assert info is not None
            if info.cluster is not None:
                self._newest = await self._ask_leader()
            self._left, self._counted = info.num_pending, info
            if self._is_new or (not self._left and not self._newest):
                self._note_caught_up()

    async def next(self) -> tuple[StreamMessage, Metadata] | Mark:
        """Return the next message with where it comes from, or the mark.

        Raises:
            StopAsyncIteration: it was stopped, or the connection was closed.
            StreamNotFoundError: the stream is gone.
            ConnectionClosedError: the connection was lost for good.
        """
        await self.begin()
        if self._is_mark_due:
            self._is_mark_due = False
            return CAUGHT_UP
        while True:
            if self.is_caught_up and self._waiting is None:
                message = await self._ordered.__anext__()
            elif (first := await self._next_of_first()) is not None:
                message = first
            else:
                self._is_mark_due = False
                return CAUGHT_UP
            metadata = message.metadata
            if not self._is_new or metadata.stream_seq > self._newest:
                break
        if not self.is_caught_up:
            info = self._ordered.last_info
            if info is not None and info is not self._counted:
                self._left, self._counted = info.num_pending, info
            self._left = max(self._left - 1, 0)
            if metadata.stream_seq >= self._newest and (not self._left or not metadata.pending):
                self._note_caught_up()
        return message, metadata

    async def stop(self) -> None:
        """Take nothing more, and let go of the server's consumer."""
        await self._ordered.stop()
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
            self._waiting = None

    def __del__(self) -> None:
        """The watch was left; it may be gone in another thread, where the garbage collector happened to run."""
        waiting = getattr(self, "_waiting", None)
        if waiting is not None and not waiting.get_loop().is_closed():
            waiting.get_loop().call_soon_threadsafe(waiting.cancel)

    async def _ask_leader(self) -> int:
        """Return the last sequence of what stands there, 0 for none; where only what is new is wanted, the stream's last."""
        if self._is_new:
            return (await self._stream.info()).state.last_seq
        newest = max(await asyncio.gather(*map(self._last_of, self._filters)))
        return newest if newest >= self._first_seq else 0

    async def _last_of(self, subject: str) -> int:
        try:
            return (await self._stream.get_last(subject, direct=False)).seq
        except MessageNotFoundError:
            return 0

    def _note_caught_up(self) -> None:
        self.is_caught_up = self._is_mark_due = True

    async def _next_of_first(self) -> StreamMessage | None:
        """Return a message, None where there will be no more of what stood there at first."""
        if self._waiting is None:
            if self._ordered.at_hand:
                return await self._ordered.__anext__()
            self._waiting = asyncio.get_running_loop().create_task(self._ordered.__anext__())
        while not self._waiting.done():
            await asyncio.wait([self._waiting], timeout=None if self.is_caught_up else QUIET_SECONDS)
            if not self._waiting.done() and not self.is_caught_up and await self._is_all_there():
                self._note_caught_up()
                return None
        waiting, self._waiting = self._waiting, None
        return waiting.result()

    async def _is_all_there(self) -> bool:
        """True if the server's consumer has delivered all it had, and that was taken."""
        info, delivered = self._ordered.last_info, self._ordered.delivered
        if info is None or self._ordered.at_hand:
            return False
        try:
            info = await self._stream.consumer(info.name).info()
        except MidgeError:
            return False  # it is lost, or the link is: the ordered consumer sees to that
        return not info.num_pending and info.delivered.consumer_seq == delivered == self._ordered.delivered
