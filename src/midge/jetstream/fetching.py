"""Fetching: one call for a number of messages: what is held first, then one request for the rest, as long as there is time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from midge.errors import MidgeError
from midge.jetstream.errors import ConsumerNotFoundError, JetStreamNotEnabledError, JetStreamUnavailableError, StreamNotFoundError
from midge.jetstream.message import StreamMessage
from midge.jetstream.pull import Pull, Watcher
from midge.jetstream.statuses import Kind

__all__ = ["check_bounds", "check_heartbeat", "fetch"]

log = logging.getLogger("midge.jetstream")

Look = Callable[[float], Awaitable[object]]

AGAIN_SECONDS = 0.25  # before a request that nobody took is made again
LOOK_SECONDS = 1.0  # for an answer whether there is a consumer
MANY = 1_000_000  # what is asked for where bytes are the bound
GUARD = 1.0  # seconds that the end of a request may be late, and what it has brought later than that
HEARTBEAT = 5.0  # asked for where a request lasts at least twice as long
SHORTEST_HEARTBEAT = 0.01
MOST = 1 << 48  # messages or bytes that are asked for at a time: many such requests together are still counted in 64 bits
AGAIN = ("409 Leadership Change", "409 Server Shutdown")


async def fetch(
    pull: Pull, batch: int, max_bytes: int | None, timeout: float, no_wait: bool, more: dict[str, Any], look: Look
) -> list[StreamMessage]:
    """Return up to so many messages, none where there is none in time.

    Where nobody takes the request, a leader may be elected just then: it is asked whether there is such a consumer, and unless somebody
    says that there is none, the request is made again as long as there is time.

    Args:
        max_bytes: ask for no more than so many, counted as the server does; None for no bound.
        no_wait: return what there is now.
        more: other fields of the request.
        look: asks whether there is such a consumer, within so many seconds, and raises where there is none.

    Raises:
        JetStreamError: the request was refused.
        ConsumerNotFoundError: there is no such consumer.
        JetStreamUnavailableError: it had no leader in all that time.
        JetStreamNotEnabledError: nobody answers there at all.
        MidgeError: the connection has ended. Whatever is raised, nothing that came is lost: the next call gets it.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    found: list[StreamMessage] = []
    watcher: Watcher | None = None
    try:
        while True:
            while pull.held and len(found) < batch:
                found.append(pull.take())
            if len(found) >= batch or (max_bytes is not None and found and watcher is None):
                return found  # what is left over from before counts for all the bytes
            left = deadline - loop.time()
            if watcher is None:
                if left <= 0 and not no_wait:
                    return found
                if not pull.is_connected:
                    if not await _has_link(pull, batch - len(found), deadline):
                        return found
                    continue
                watcher = _ask(pull, batch - len(found), max_bytes, max(left, 0.0), no_wait, more)
            watcher.wanted = batch - len(found)
            if not await _has_heard(pull, watcher, deadline):
                pull.give_up()
                watcher = None
            elif (status := watcher.status) is not None:
                if (owed := watcher.owed(pull.received)) > 0:
                    await pull.wait(Watcher("", len(pull.held) + owed), loop.time() + GUARD)
                while pull.held and len(found) < batch:
                    found.append(pull.take())
                watcher = None
                if status.kind is Kind.UNHEARD and not found:
                    await _find(look, pull.subject, deadline)
                    continue
                error = status.error()
                if error is not None and not found:
                    raise error
                if status.kind not in (Kind.PIN, Kind.UNPINNED) and status.text not in AGAIN:
                    return found
            elif watcher.is_lost:
                watcher = None
            elif loop.time() >= deadline + GUARD and not pull.held:
                return found
    except BaseException:
        pull.put_back(found)
        raise


def check_bounds(msgs: int, max_bytes: int | None, name: str) -> None:
    """See that so many messages, and bytes, can be asked for.

    Raises:
        ValueError: they cannot: less than one, or more than can be counted.
    """
    for what, number in ((name, msgs), ("max_bytes", 1 if max_bytes is None else max_bytes)):
        if not 1 <= number <= MOST:
            raise ValueError(f"{what}={number}: expected 1 to {MOST}")


def check_heartbeat(seconds: float) -> float:
    """Return the seconds within which a server has to let itself be heard.

    Raises:
        ValueError: they are so few that requests would do nothing but follow one another.
    """
    if not seconds >= SHORTEST_HEARTBEAT:
        raise ValueError(f"heartbeat={seconds}: the shortest is {SHORTEST_HEARTBEAT} s")
    return seconds


async def _has_link(pull: Pull, wanted: int, deadline: float) -> bool:
    """Wait for a link: a request that waits for one itself may be over when it gets there. False where none comes in time."""
    pull.begin()
    await pull.wait(Watcher("", wanted), deadline)
    return pull.is_connected or len(pull.held) > 0


async def _find(look: Look, subject: str, deadline: float) -> None:
    """Nobody took a request: return, after a moment, if it is worth asking again.

    Raises:
        ConsumerNotFoundError: somebody says that there is no such consumer.
        JetStreamNotEnabledError: nobody answers there at all.
        JetStreamUnavailableError: nobody says so, and there is no more time.
    """
    left = deadline - asyncio.get_running_loop().time()
    if left > 0:
        try:
            await look(min(LOOK_SECONDS, left))
        except (ConsumerNotFoundError, StreamNotFoundError) as error:
            raise ConsumerNotFoundError(404, 10014, f"nobody answers on {subject}: there is no such consumer") from error
        except JetStreamNotEnabledError:
            raise
        except MidgeError as error:  # it may be that the link is lost, or that everybody is electing
            log.debug("nobody says whether there is a consumer: %s", error)
        left = deadline - asyncio.get_running_loop().time()
    if left <= AGAIN_SECONDS:
        raise JetStreamUnavailableError(503, 10008, f"nobody answers on {subject}: the consumer has no leader at the moment")
    await asyncio.sleep(AGAIN_SECONDS)


def _ask(pull: Pull, batch: int, max_bytes: int | None, left: float, no_wait: bool, more: dict[str, Any]) -> Watcher:
    """Send a request."""
    fields = dict(more)
    heartbeat = fields.pop("idle_heartbeat", None)
    if no_wait:
        fields["no_wait"] = True
    else:
        if heartbeat is None and left >= 2 * HEARTBEAT:
            heartbeat = HEARTBEAT
        if heartbeat is not None:
            heartbeat = min(heartbeat, left / 2)  # the server refuses more
            fields["idle_heartbeat"] = round(heartbeat * 1e9)
    if max_bytes is not None:
        fields["max_bytes"] = max_bytes
    received = pull.received
    return Watcher(pull.ask(batch, 0.0 if no_wait else left, **fields), batch, heartbeat, received)


async def _has_heard(pull: Pull, watcher: Watcher, deadline: float) -> bool:
    """Return when the watcher has reason to look. False where the server does not let itself be heard, though it should."""
    loop = asyncio.get_running_loop()
    limit = deadline + GUARD
    while True:
        pull.has_heard = False
        until = limit if watcher.heartbeat is None else min(limit, loop.time() + 2 * watcher.heartbeat)
        await pull.wait(watcher, until)
        if watcher.has_reason(len(pull.held)) or loop.time() >= limit:
            return True
        if not pull.has_heard:
            return False
