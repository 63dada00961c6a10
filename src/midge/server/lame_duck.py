"""Lame duck mode: how a server sends its clients away little by little, so that they do not all come to another one at once.

Clients that can be told are told by an INFO with ``ldm``, and go by themselves if they know better. After the grace period, in which the
other servers of a fleet may be told the same, the rest are closed one by one, spread over what is left of the duration but never more
than a second apart, as nats-server does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from midge.server.connection import Connection
from midge.server.hub import Hub
from midge.server.options import ServerOptions
from midge.server.reasons import SERVER_SHUTDOWN

__all__ = ["pace", "send_away", "tell_clients"]

LONGEST_GAP = 1.0  # seconds between two clients
SHORTEST_GAP = 0.001  # what the event loop can tell apart: where it would have to be less, several are closed at once
LEAST = 1.0  # seconds to send clients away in, where the grace period takes all of the time

log = logging.getLogger("midge.server")


def tell_clients(hub: Hub) -> None:
    """Tell every client that can be told. Next: flush."""
    for session in list(hub.sessions.values()):
        session.send_info(hub.info.first(session)[:-1] + b',"ldm":true}')


async def send_away(connections: Sequence[Connection], options: ServerOptions, jitter: Callable[[], float], end: asyncio.Event) -> None:
    """Wait for the grace period, and close these connections one after the other. Ends early where ``end`` is set."""
    if not await _pass(options.lame_duck_grace_period, end):
        return
    log.info("Closing existing clients")
    gap, batch = pace(options.lame_duck_duration - options.lame_duck_grace_period, len(connections))
    for at, connection in enumerate(connections, 1):
        connection.close(SERVER_SHUTDOWN)
        if at < len(connections) and at % batch == 0 and not await _pass(gap * max(jitter(), 0.5), end):
            return


def pace(seconds: float, clients: int) -> tuple[float, int]:
    """Return how long to wait at most after so many clients, to be done with all of them in that time."""
    gap = (seconds if seconds > 0 else LEAST) / clients
    if gap >= SHORTEST_GAP:
        return min(gap, LONGEST_GAP), 1
    return SHORTEST_GAP, max(int(SHORTEST_GAP / gap), 1)


async def _pass(seconds: float, end: asyncio.Event) -> bool:
    """Let time pass. False where the end has come meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await end.wait()
    except TimeoutError:
        return True
    return False
