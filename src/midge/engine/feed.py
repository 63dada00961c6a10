"""Feed: how a stream follows another one of its account, for a mirror or a source.

A feed reads what its origin has committed, in the origin's order and by its index, and hands message after message to a taker, a slice in
a turn. It is woken when the origin commits more, when the origin appears, and when its own stream has written what it was given: what
waits to be written is bounded. What cannot be taken is offered again later, never passed over.

Only committed messages are handed on, so that after a crash no stream has a message that its origin has not. A change that the taker's
store has undone calls ``restart``: the taker says anew where to go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from midge.engine.errors import ApiError
from midge.engine.jobs import Job, run_of
from midge.engine.selection import Selection
from midge.engine.timers import Timer
from midge.model.stream import StreamSource, StreamSourceInfo
from midge.store.base import ELSEWHERE, Stored

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Feed", "Taker"]

SLICE = 64  # messages of one slice
SLICE_SIZE = 1 << 18  # or so many bytes
WINDOW = 8 << 20  # bytes that may wait to be written
FIRST_DELAY, LAST_DELAY = 250_000_000, 2_000_000_000  # nanoseconds between attempts
HEARTBEAT = 1_000_000_000  # how often an origin without messages counts as heard, as nats-server's consumers


class Taker(Protocol):
    """What a feed gives messages to."""

    def begin(self, origin: Stream) -> int:
        """Return the first sequence of the origin that is wanted, from 1, now that it is there or reading begins anew.

        Raises:
            OSError: not now.
        """

    def resume(self, origin: Stream, sequence: int) -> int:
        """Return the last sequence of the origin that is had; it has nothing more up to the one that is given, reading begins behind.

        Raises:
            OSError: not now.
        """

    def take(self, message: Stored, subject: bytes) -> None:
        """Store a message under a subject.

        Raises:
            ApiError, OSError: not now.
        """


class Feed:
    """What one stream gets from another.

    Args:
        stream: the one that follows.
        source: whom, and what of it.
        taker: gets the messages.

    Attributes:
        origin: the stream that is followed, None while there is none.
        was_even: the stream had everything once that its origin had then.
    """

    __slots__ = (
        "_at", "_delay", "_error", "_has_taken", "_heard", "_is_paused", "_is_reading", "_round", "_selection", "_source", "_taker",
        "_timer", "_waiting", "origin", "stream", "was_even",
    )  # fmt: skip

    def __init__(self, stream: Stream, source: StreamSource, taker: Taker) -> None:
        self.stream = stream
        self.origin: Stream | None = None
        self._source = source
        self._taker = taker
        self._selection = Selection(source, stream.engine.choose)
        self._at = 0  # the next sequence to look at; 0 where the taker was not asked yet
        self.was_even = False
        self._round = 0  # counts how often reading began anew: what belongs to an earlier round is nobody's any more
        self._is_reading = self._is_paused = self._has_taken = False
        self._waiting = 0  # bytes taken that may not be written yet
        self._error: ApiError | None = None
        self._heard = 0  # when the last message came
        self._delay = 0
        self._timer: Timer | None = None

    def open(self) -> None:
        """Follow the origin, now or as soon as it is there."""
        origin = self.stream.account.streams.get(self._source.name)
        if origin is None:
            self._error = ApiError(10059)
        else:
            self.connect(origin)

    def close(self) -> None:
        """Follow it no more."""
        self.disconnect()

    def connect(self, origin: Stream) -> None:
        """The origin is there."""
        self.origin = origin
        origin.followers[self] = None
        origin.see_who_follows()
        self._error = None
        self._heard = self.stream.engine.wall
        self.restart()

    def disconnect(self) -> None:
        """The origin is gone, or of no interest any more."""
        self._forget()
        if self.origin is not None:
            del self.origin.followers[self]
            self.origin.see_who_follows()
            self.origin = None
            self._error = ApiError(10059)

    def restart(self) -> None:
        """Read from where the taker says when its turn comes, nothing where there is no origin."""
        self._forget()
        self._at = 0
        self.wake()

    def wake(self) -> None:
        """There may be more to read."""
        if self.origin is None or self._is_reading or self._is_paused or self._timer is not None:
            return
        self._is_reading = True
        self.stream.engine.feeding.add(self.origin.store, self._read(self._round))

    def describe(self, wall: int) -> StreamSourceInfo:
        """Return how far it has come."""
        source, lag, active = self._source, 0, -1
        if self.origin is not None and self._at:
            lag = self.origin.store.pending(self._selection.filters, self._at)
        if self._heard:
            active = max(wall - self._heard, 0)
            active = active % HEARTBEAT if self.origin is not None else active
        return StreamSourceInfo(
            name=source.name,
            lag=lag,
            active=active,
            error=None if self._error is None else self._error.body(),
            filter_subject=source.filter_subject,
            subject_transforms=source.subject_transforms,
        )

    # Inside

    def _forget(self) -> None:
        """Nothing that is under way goes on."""
        self._round += 1
        self._is_reading = self._is_paused = False
        self._waiting = 0
        self.stream.engine.timers.cancel(self._timer)
        self._timer = None

    def _read(self, round: int) -> Job:
        if round != self._round or self.origin is None or not (self._at or self._has_begun()):
            return
        store = self.origin.store
        messages = size = 0
        while round == self._round:
            sequence = self._next(self._at)
            if not sequence:
                self._is_reading, self.was_even = False, True
                break
            message = store.peek(sequence)
            wanted = run_of(store, self._selection.filters, sequence, store.committed) if message is ELSEWHERE else [sequence]
            if message is ELSEWHERE:
                self._tell()
            try:
                found = (yield wanted) if message is ELSEWHERE else [message]
            except Exception as error:  # whatever reading found: it is told, and tried again
                if round == self._round:
                    self._retry(ApiError(10051, err=error))
                break
            for sequence, message in zip(wanted, found):
                if round != self._round or (message is not None and not self._took(message)):
                    break
                self._at = sequence + 1
                messages += 1
                size += 0 if message is None else len(message.payload)
            if not self._is_reading or self._must_wait():
                break
            if messages >= SLICE or size >= SLICE_SIZE:
                messages = size = 0
                self._tell()
                yield None
        if round == self._round:
            self._tell()

    def _has_begun(self) -> bool:
        """Ask the taker where to begin. False where it cannot say."""
        assert self.origin is not None
        try:
            self._at = self._taker.begin(self.origin)
        except OSError as error:
            self._retry(ApiError(10077, err=error))
            return False
        return True

    def _next(self, start: int) -> int:
        """Return the next sequence to read, 0 where all that is committed was."""
        assert self.origin is not None
        store = self.origin.store
        sequence = store.next(self._selection.filters, start)
        return sequence if sequence <= store.committed else 0

    def _tell(self) -> None:
        """Let the stream see to what it was given; only where that was something, as streams may follow each other in a circle."""
        if self._has_taken:
            self._has_taken = False
            self.stream.changed()

    def _took(self, message: Stored) -> bool:
        """Hand over a message. False where it was refused, or all begins anew."""
        round, self._has_taken = self._round, True
        try:
            self._taker.take(message, self._selection.renamed(message.subject))
        except ApiError as error:
            self._retry(error)
            return False
        except Exception as error:  # the store's, or a subject that a transform has made too long: told, and tried again
            self._retry(ApiError(10077, err=error))
            return False
        self._error = None
        self._delay = 0
        self._heard = self.stream.engine.wall
        self._waiting += len(message.subject) + len(message.header) + len(message.payload)
        return round == self._round

    def _must_wait(self) -> bool:
        """True where the stream has to write first what it was given."""
        if self._waiting < WINDOW:
            return False
        round = self._round
        self._is_reading, self._is_paused = False, True

        def go_on(error: Exception | None) -> None:
            if round == self._round:
                self._is_paused = False
                self._waiting = 0
                if error is None:
                    self.wake()

        self.stream.store.settle(go_on)
        return True

    def _retry(self, error: ApiError) -> None:
        """Come back later."""
        engine = self.stream.engine
        self._is_reading = False
        self._error = error
        self._delay = min(max(2 * self._delay, FIRST_DELAY), LAST_DELAY)
        self._timer = engine.timers.add(engine.wall + self._delay, self._again)
        engine.outside.failed(f"taking messages of stream {self._source.name} into stream {self.stream.name}", error)

    def _again(self, _: int) -> None:
        self._timer = None
        self.wake()
