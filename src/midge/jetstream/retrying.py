"""Retrying: publishes that nobody took are sent again. A stream's leader may be elected just then (ADR-22), which takes seconds.

Who is answered "no responders" knows that nothing was stored, so that the same can be sent again without harm. After some attempts it is
asked whether there is a stream for the subject at all: where somebody says that there is none, that is the end; where nobody says
anything, the whole cluster may be electing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from midge.errors import MidgeError
from midge.jetstream.errors import JetStreamNotEnabledError, JetStreamUnavailableError, NoStreamError
from midge.jetstream.requests import Requests

if TYPE_CHECKING:
    from midge.jetstream.async_publisher import AsyncPublisher, PendingAck

__all__ = ["Patience", "Retrying", "has_stream", "no_leader"]

LOOK_EVERY = 3  # so many attempts in vain it is asked whether there is a stream
LOOK_SECONDS = 1.0  # for the answer
SHORTEST_WAIT = 0.01


class Patience:
    """How long a publish is tried again that nobody took.

    Args:
        seconds: for so long; 0 for not at all.
        wait: seconds between two attempts.

    Raises:
        TypeError, ValueError: they are no such numbers.
    """

    __slots__ = ("seconds", "wait")

    def __init__(self, seconds: float, wait: float) -> None:
        for name, number, least in (("retry_time", seconds, 0.0), ("retry_wait", wait, SHORTEST_WAIT)):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise TypeError(f"{name} is a number of seconds, not {number!r}")
            if not least <= number < float("inf"):
                raise ValueError(f"{name}={number}: expected {least} or more")
        self.seconds = seconds
        self.wait = wait

    @property
    def attempts(self) -> int:
        """How many there may be after the first."""
        return int(self.seconds / self.wait)


class Retrying:
    """The publishes of one window that nobody took. There are not more of them than the window has room for.

    Args:
        publisher: whose window.
        requests: who is asked whether there is a stream.
        patience: for how long.

    Attributes:
        tried: how many there are, with those that were sent again and are in the window yet.
    """

    __slots__ = ("_limit", "_looking", "_publisher", "_queue", "_requests", "_timer", "_unsure", "_wait", "tried")

    def __init__(self, publisher: AsyncPublisher, requests: Requests, patience: Patience) -> None:
        self._publisher = publisher
        self._requests = requests
        self._limit = patience.attempts
        self._wait = patience.wait
        self._queue: list[PendingAck] = []  # to be sent again when the timer says so
        self._unsure: dict[str, list[PendingAck]] = {}  # by subject, those of which it is asked first whether there is a stream
        self.tried = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """True if some in the window are to be sent again, or were."""
        return self.tried > 0

    def add(self, ack: PendingAck) -> bool:
        """Send one again in a while. False where that was done often enough, and nobody knows of a stream."""
        if ack.tries >= self._limit:
            if ack.tries < LOOK_EVERY:
                return False
            ack.fail(no_leader(ack.subject))
            return True
        if not ack.tries:
            self.tried += 1
        ack.tries += 1
        self._queue.append(ack)
        self._set_timer()
        return True

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self._publisher.loop.call_later(self._wait, self._go)

    def _go(self) -> None:
        """Send what waits again, in the order in which it came, as far as the connection has room."""
        self._timer = None
        queue, self._queue = [ack for ack in self._queue if not ack.is_done], []
        self._publisher.renew(queue)
        for at, ack in enumerate(queue):
            if self._publisher.is_full:
                self._queue = queue[at:]
                self._set_timer()
                break
            if ack.tries % LOOK_EVERY:
                self._publisher.send_again(ack)
            else:
                self._unsure.setdefault(ack.subject, []).append(ack)
        if self._unsure and (self._looking is None or self._looking.done()):
            self._looking = self._publisher.loop.create_task(self._look())

    async def _look(self) -> None:
        """Ask for each subject whether there is a stream; where nobody answers, that is so for all."""
        while self._unsure:
            subject = next(iter(self._unsure))
            timeout = self._publisher.timeout  # of which the question may take no more than a part, as it begins anew only behind it
            answer = await has_stream(self._requests, subject, LOOK_SECONDS if timeout is None else min(LOOK_SECONDS, timeout / 2))
            found = [subject] if answer is not None else list(self._unsure)
            for each in found:
                for ack in self._unsure.pop(each):
                    if answer is False:
                        ack.fail(NoStreamError(each))
                    elif not ack.is_done:
                        ack.tries += 1  # the question was one
                        self._queue.append(ack)
            if self._queue:
                self._set_timer()


async def has_stream(requests: Requests, subject: str, seconds: float) -> bool | None:
    """True if there is a stream that takes a subject, None if nobody says within so many seconds whether there is."""
    try:
        answer = await requests.ask("STREAM.NAMES", {"subject": subject}, timeout=seconds)
    except JetStreamNotEnabledError:
        return False
    except MidgeError:
        return None
    return bool(answer.get("streams"))


def no_leader(subject: str) -> JetStreamUnavailableError:
    """Return the error for a publish that nobody took in all the time it had."""
    return JetStreamUnavailableError(503, 10008, f"nobody takes what is published on {subject!r}: its stream has no leader at the moment")
