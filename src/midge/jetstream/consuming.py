"""Consuming: a consumer's messages for as long as wanted, with more always asked for before those at hand are used up.

    async for message in consumer.consume():            one after the other; leaving the loop ends it
    async with consumer.consume(handle) as consuming:    a callback, for as long as the block lasts; ``drain`` at its end

It goes on by itself after a reconnect, a change of leader, a heartbeat that is missing, and a refusal that may pass, and ends where the
consumer is gone or the connection is closed. With a callback, what it returns from is acknowledged, and what it raises for is
delivered again, a little later each time, or goes to a dead letter subject.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from midge.client.consumers import Consumer as Seat
from midge.client.consumers import is_end
from midge.errors import ConnectionClosedError, JetStreamError, MidgeError
from midge.jetstream.errors import ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.fetching import check_bounds, check_heartbeat
from midge.jetstream.handling import Handling
from midge.jetstream.message import StreamMessage
from midge.jetstream.pull import Pull, Watcher
from midge.jetstream.statuses import Kind, Status

if TYPE_CHECKING:
    from midge.jetstream.consumer import Consumer

__all__ = ["ConsumeOptions", "Consuming", "ConsumingLoop", "leave_from_anywhere"]

log = logging.getLogger("midge.jetstream")

MESSAGES = 500
EXPIRES = 30.0
MANY = 1_000_000
FIRST_DELAY, LAST_DELAY = 0.5, 10.0  # seconds before a request that was refused is made again
SOON = 0.1  # seconds within which a request that has brought nothing was no use
TURN_MSGS = 256  # messages that are taken without a wait before everybody else has a turn of the event loop

Callback = Callable[[StreamMessage], Awaitable[Any]] | Callable[[StreamMessage], Any]


class ConsumeOptions(TypedDict, total=False):
    """How to consume.

    Attributes:
        max_messages: how many may be on their way and at hand, 500.
        max_bytes: the same in bytes, as the server counts them; without ``max_messages`` it is the only bound.
        threshold: more is asked for when so many, or bytes, are left; half of the above.
        expires: seconds that one request lasts, 30.
        heartbeat: seconds within which the server has to let itself be heard; half of ``expires``.
        group, min_pending, min_ack_pending, priority: as for ``fetch``.
        max_concurrency: how many callbacks may run at a time, 1.
        auto_ack: acknowledge what the callback returns from, unless it has; True.
        auto_progress: tell the server that a message is being worked on for as long as its callback runs.
        backoff: seconds after which a message is delivered again for which the callback has raised: the first time, the second, and so on.
        dead_letter: the subject that gets a message whose last delivery has failed, with headers that say what it was; it should be a
            stream's. It is the last where the consumer's ``max_deliver`` says so, or ``dead_letter_after``.
        dead_letter_after: so many deliveries, where the consumer has no ``max_deliver``.
    """

    max_messages: int
    max_bytes: int
    threshold: int
    expires: float
    heartbeat: float
    group: str
    min_pending: int
    min_ack_pending: int
    priority: int
    max_concurrency: int
    auto_ack: bool
    auto_progress: bool
    backoff: Sequence[float]
    dead_letter: str
    dead_letter_after: int


class Consuming:
    """Messages of one consumer, as they come; made by ``Consumer.consume``. Iterate over it, once, or give a callback.

    Attributes:
        missed_heartbeats: how often the server was silent for too long.
        errors: how many messages the callback has raised for.
        last_error: what it raised last, or why the server refused a request; None where neither has happened.
    """

    def __init__(self, consumer: Consumer, pull: Pull, callback: Callback | None, options: ConsumeOptions) -> None:
        self._consumer = consumer
        self._pull = pull
        if unknown := sorted(options.keys() - ConsumeOptions.__annotations__.keys()):
            raise TypeError(f"consume has no option {unknown[0]!r}")
        max_bytes, expires = options.get("max_bytes"), options.get("expires", EXPIRES)
        max_messages = options.get("max_messages", MESSAGES if max_bytes is None else MANY)
        _check(max_messages, max_bytes, expires)
        self._max_messages, self._max_bytes, self._expires = max_messages, max_bytes, expires
        bound = max_messages if max_bytes is None else max_bytes
        self._threshold = options.get("threshold", bound // 2)
        if not 0 <= self._threshold < bound:
            raise ValueError(f"threshold={self._threshold}: expected 0 to {bound - 1}")
        self._heartbeat = min(check_heartbeat(options.get("heartbeat", min(expires / 2, 30.0))), expires / 2)
        names = ("group", "min_pending", "min_ack_pending", "priority")
        self._more: dict[str, Any] = {name: options.get(name) for name in names} | {"idle_heartbeat": round(self._heartbeat * 1e9)}
        pull.is_grouped = options.get("group") is not None
        pull.counts_bytes = max_bytes is not None
        pull.on_status = self._hear
        pull.on_link = self._relink
        self._received, self._asked_at = 0, 0.0  # when more was asked for last, and how many had come then
        self._error: MidgeError | None = None  # what ends it, when what is at hand has been taken
        self._has_begun = self._is_stopping = self._has_ended = False
        self._delay = 0.0
        self._run = 0
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self.missed_heartbeats = 0
        self.last_error: BaseException | None = None
        self._handling = None if callback is None else Handling(self, callback, options)

    @property
    def errors(self) -> int:
        """How many messages the callback has raised for."""
        return 0 if self._handling is None else self._handling.errors

    @property
    def consumer(self) -> Consumer:
        """Whose messages these are."""
        return self._consumer

    @property
    def pending(self) -> int:
        """Messages that are at hand and nobody has taken yet."""
        return len(self._pull.held)

    async def __aenter__(self) -> Consuming:
        return self.start()

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None and self._handling is not None:
            await self.drain()
        else:
            await self.stop()

    def __aiter__(self) -> ConsumingLoop:
        if self._handling is not None:
            raise RuntimeError("a callback takes these messages")
        self.begin()
        return ConsumingLoop(self)

    async def __anext__(self, loop: ConsumingLoop | None = None) -> StreamMessage:
        """Return the next message. The loop that it is for lives as long as this does.

        Raises:
            StopAsyncIteration: it was stopped, or drained and nothing is left.
            ConsumerNotFoundError: the consumer is gone.
            JetStreamError: what is asked for makes no sense to the server.
            ConnectionClosedError: the connection was lost for good.
        """
        pull = self._pull
        self._run += 1
        if not pull.held or self._run >= TURN_MSGS:
            await self._wait()
        message = pull.take()
        left = pull.outstanding + len(pull.held) if self._max_bytes is None else pull.outstanding_bytes + pull.held_bytes
        if left <= self._threshold:
            self._refill()
        return message

    def start(self) -> Consuming:
        """Let the callback have messages from now on, until ``drain`` or ``stop``; for those who have no block for it."""
        self.begin()
        if self._handling is not None:
            self._handling.start()
        return self

    async def stop(self) -> None:
        """Take nothing more, now. A callback that runs is cancelled; what was not worked on is delivered again after ``ack_wait``."""
        self.leave()
        if self._handling is not None:
            await self._handling.stop()

    async def drain(self) -> None:
        """Ask for nothing more, and return when all that is at hand has been worked on. For a loop: it ends then."""
        self._ask_no_more()
        await self._pull.drain()
        self._finish()
        if self._handling is not None:
            await self._handling.drain()

    async def wait(self) -> None:
        """Return when the callback gets nothing more: it was stopped or drained.

        Raises:
            ConsumerNotFoundError, JetStreamError, ConnectionClosedError: what has ended it.
        """
        if self._handling is None:
            raise RuntimeError("there is no callback to wait for")
        await self._handling.wait()

    # For the callbacks and loops

    def begin(self) -> None:
        """Ask for messages, where that was not done yet. Raises ConnectionClosedError where the connection is closed."""
        if not self._has_begun and not self._is_stopping:
            self._pull.begin()
            self._has_begun = True
            self._refill()
            self._look_again(0)

    def seat(self, kind: type[Seat] = Seat) -> Seat | None:
        """Return who takes messages, for whom a drain of the client waits; None where nothing more will come."""
        return self._pull.seat(kind)

    def leave(self) -> None:
        """Take nothing more, and forget what is at hand."""
        self._finish()
        self._pull.forget()

    @property
    def is_over(self) -> bool:
        """True if nothing more will come."""
        return self._has_ended

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that this runs in, where it has begun."""
        return self._pull.loop

    async def take(self) -> StreamMessage | None:
        """Return the next message, None where it is over. Raises what ``__anext__`` raises."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None

    # Inside

    def _finish(self) -> None:
        """Nothing more comes; who waits is told."""
        self._ask_no_more()
        self._has_ended = True
        self._pull.close()
        self._pull.wake_all()

    def _ask_no_more(self) -> None:
        self._is_stopping = True
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _left(self) -> int:
        """Return how many messages, or bytes, are on their way or at hand."""
        pull = self._pull
        return pull.outstanding + len(pull.held) if self._max_bytes is None else pull.outstanding_bytes + pull.held_bytes

    def _fail(self, error: MidgeError) -> None:
        self._error = self.last_error = error
        self._finish()

    def _refill(self) -> None:
        """Ask for as much as there is room for."""
        pull = self._pull
        if self._is_stopping or self._again is not None or not pull.is_connected or pull.is_closed:
            return  # there is a time for it, or a link to come; or the client is drained
        room = (self._max_messages if self._max_bytes is None else self._max_bytes) - self._left()
        if room <= 0:
            return  # what is at hand comes first: the server takes 0, or less, for something else
        self._received, self._asked_at = pull.received, self._now()
        try:
            if self._max_bytes is None:
                pull.ask(room, self._expires, **self._more)
            else:
                pull.ask(self._max_messages, self._expires, max_bytes=room, **self._more)
        except MidgeError as error:
            self._fail(error)

    async def _wait(self) -> None:
        """Return when a message is at hand, and everybody else has had a turn of the event loop."""
        self._run = 0
        await asyncio.sleep(0)
        pull = self._pull
        while not pull.held:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                raise StopAsyncIteration
            try:
                await pull.wait(Watcher("", 1), None)
            except MidgeError as error:
                if self._consumer.was_closed or (self._error is None and (self._is_stopping or is_end(error))):
                    self._finish()
                    raise StopAsyncIteration from None
                raise self._error or ConnectionClosedError("the connection was lost") from None

    def _hear(self, status: Status) -> None:
        """A request has ended."""
        kind = status.kind
        if kind is Kind.GONE or kind is Kind.REFUSED:
            error = status.error()
            assert error is not None
            self._fail(error)
        elif kind is Kind.UNHEARD:
            self._look_for_it()
        elif kind is Kind.WARNING:
            self.last_error = status.error()
            if self._again is None:  # else that was said
                log.warning("consumer %s of stream %s: %.200s", self._consumer.name, self._consumer.stream_name, status.text)
            self._pull.give_up()
            self._later()
        else:
            if self._left() > self._threshold:
                return
            has_come = self._pull.received != self._received or self._pull.outstanding > 0
            if not has_come and self._now() < self._asked_at + SOON:
                self.last_error = JetStreamError(int(status.text.partition(" ")[0]), 0, status.text.partition(" ")[2])
                self._later()  # it has brought nothing, and would do so again: a message that is larger than max_bytes, for example
            else:
                self._delay = 0.0
                self._refill()

    def _later(self) -> None:
        """Ask again in a while."""
        if self._again is None and not self._is_stopping:
            self._delay = min(max(2 * self._delay, FIRST_DELAY), LAST_DELAY)
            self._again = asyncio.get_running_loop().call_later(self._delay, self._ask_again)

    def _ask_again(self) -> None:
        self._again = None
        self._refill()

    def _look_for_it(self) -> None:
        """Nobody takes requests: the consumer is gone, or will have a leader again."""
        self._pull.give_up()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._find())

    async def _find(self) -> None:
        try:
            await self._consumer.info()
        except ConsumerNotFoundError as error:
            self._fail(error)
        except MidgeError as error:
            self.last_error = error
            if isinstance(error, StreamNotFoundError):
                self._fail(error)
        self._later()

    def _relink(self) -> None:
        """There is a link again: ask anew."""
        if self._has_begun and not self._is_stopping:
            if self._again is not None:
                self._again.cancel()
                self._again = None
            self._refill()

    def _look(self, silent: int) -> None:
        """See whether the server was heard of lately."""
        pull = self._pull
        if pull.has_heard or not pull.is_connected or not self._is_owed():
            silent = 0
            pull.has_heard = False
        else:
            silent += 1
            if silent >= 2:
                silent = 0
                self._miss()
        self._look_again(silent)

    def _is_owed(self) -> bool:
        """True if something was asked for that has not come."""
        return self._pull.outstanding > 0

    def _look_again(self, silent: int) -> None:
        """See again in a while, as long as something may come, and there are heartbeats to wait for."""
        if self._heartbeat and not self._is_stopping and not self._has_ended and not self._pull.is_closed:
            self._timer = asyncio.get_running_loop().call_later(self._heartbeat, self._look, silent)

    def _miss(self) -> None:
        """Nothing was heard for too long: what was asked for is lost."""
        self.missed_heartbeats += 1
        self._pull.give_up()
        self._refill()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class LoopSeat(Seat):
    """A loop's: it does not keep the task, which keeps the loop, also when it has ended in an error."""

    __slots__ = ("_task",)

    @property
    def task(self) -> asyncio.Task[Any] | None:
        return None if self._task is None else self._task()

    @task.setter
    def task(self, task: asyncio.Task[Any] | None) -> None:
        self._task = None if task is None else weakref.ref(task)


class ConsumingLoop:
    """One loop over the messages of a Consuming, which ends with it. A drain of the client waits for it, unless its task asked for that."""

    __slots__ = ("_consuming", "_is_seated", "_seat")

    def __init__(self, consuming: Consuming) -> None:
        self._consuming = consuming
        self._seat = consuming.seat(LoopSeat)
        self._is_seated = self._seat is None

    def __aiter__(self) -> ConsumingLoop:
        return self

    def __anext__(self) -> Coroutine[Any, Any, StreamMessage]:
        if not self._is_seated and self._seat is not None:
            self._is_seated, self._seat.task = True, asyncio.current_task()
        return self._consuming.__anext__(self)

    def __del__(self) -> None:
        """The loop was left. It may be gone in another thread, where the garbage collector happened to run."""
        leave_from_anywhere(self._consuming)


def leave_from_anywhere(consuming: Consuming, then: Callable[[], None] | None = None) -> None:
    """Let a Consuming take nothing more, and do something then; called in any thread."""
    loop = consuming.loop
    if loop is None or loop.is_closed() or consuming.is_over:
        return
    loop.call_soon_threadsafe(consuming.leave)
    if then is not None:
        loop.call_soon_threadsafe(then)


def _check(max_messages: int, max_bytes: int | None, expires: float) -> None:
    check_bounds(max_messages, max_bytes, "max_messages")
    if expires < 1:
        raise ValueError(f"expires={expires}: the shortest is a second")
