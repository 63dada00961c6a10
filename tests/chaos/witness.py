"""Who watches while a client is disturbed: what happened to it, and which of the numbered messages arrived where.

Every wait here is bounded by PATIENCE, which only finds what hangs; nothing is decided by a clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import midge
from midge import events

PATIENCE = 30.0
LONG = os.environ.get("MIDGE_LONG", "") not in ("", "0")  # the long forms of what is otherwise short
DIGITS = 8
E = TypeVar("E", bound=events.Event)
T = TypeVar("T")


async def patiently(awaitable: Awaitable[T], what: str = "it") -> T:
    """Await something that must not hang."""
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
    finally:
        task.cancel()
    if not done:
        await asyncio.wait([task], timeout=PATIENCE)
        raise AssertionError(f"{what} hangs")
    return await task


async def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Return when the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} never came true"
        await asyncio.sleep(0.001)


class Chronicle:
    """What happened to a client, in order; to be its ``event_callback``."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, events.Event]] = []

    def __call__(self, event: events.Event) -> None:
        self.entries.append((time.monotonic(), event))

    def of(self, kind: type[E], since: float = 0.0) -> list[E]:
        """The events of one kind."""
        return [event for at, event in self.entries if isinstance(event, kind) and at >= since]

    def last_time(self, kind: type[events.Event]) -> float:
        """When the last event of a kind was heard of."""
        return next(at for at, event in reversed(self.entries) if isinstance(event, kind))

    async def heard(self, kind: type[E], count: int = 1) -> E:
        """Wait for the so manieth event of a kind, and return it."""
        await until(lambda: len(self.of(kind)) >= count, f"{kind.__name__} number {count}")
        return self.of(kind)[count - 1]


def numbered(number: int, size: int = DIGITS) -> bytes:
    """The payload that carries a number."""
    return b"%0*d" % (DIGITS, number) + b"." * (size - DIGITS)


def number_of(message: midge.Message) -> int:
    return int(message.data[:DIGITS])


class Witness:
    """Subscribes on a client that nothing happens to, and notes the numbers that arrive."""

    def __init__(self, nc: midge.Client, subject: str) -> None:
        self.nc = nc
        self.got: list[int] = []
        self.subscription = nc.subscribe(subject, callback=self._note)

    def _note(self, message: midge.Message) -> None:
        self.got.append(number_of(message))

    async def settle(self, publisher: midge.Client) -> None:
        """Return when everything that the publisher has published by now and the server has taken was noted, on one server."""
        await patiently(publisher.flush(), "flush")
        await patiently(self.nc.flush(), "flush")


def runs(numbers: list[int]) -> list[range]:
    """Numbers as the runs of consecutive ones that they are."""
    found: list[range] = []
    for number in numbers:
        if found and number == found[-1].stop:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found
