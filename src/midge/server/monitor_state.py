"""What monitoring looks at: the hub, and what a server knows besides. Read only, in the server's own thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from midge.server.closed import ClosedConnections
from midge.server.hub import Hub

__all__ = ["MonitoredServer"]


class MonitoredServer:
    """One running server as monitoring sees it.

    Args:
        hub: its hub.
        address: where it listens for clients.
        clock: its monotonic clock.
        epoch: when that clock was 0, in nanoseconds since the epoch.
        usage: measures the process: percent of one core, bytes of memory, cores that it may use.
        is_ready: tells whether clients are let in.
        jetstream: its JetStream, None where it has none.

    Attributes:
        started: when it was started, by its clock; ``config_loaded`` is when it read its options, at the start or by a reload.
        closed: the connections that have ended.
        requests: how often each page was asked for.
    """

    def __init__(
        self,
        hub: Hub,
        address: tuple[str, int],
        clock: Callable[[], float],
        epoch: int,
        usage: Callable[[], tuple[float, int, int]],
        is_ready: Callable[[], bool],
        jetstream: Any = None,
    ) -> None:
        self.hub = hub
        self.address = address
        self.clock = clock
        self.usage = usage
        self.is_ready = is_ready
        self.jetstream = jetstream
        self.started = self.config_loaded = clock()
        self.closed = ClosedConnections(hub.options.max_closed_clients, clock)
        self.requests: Counter[str] = Counter()
        self._epoch = epoch
        hub.on_closed.append(self.closed.remember)

    def wall(self, at: float) -> int:
        """Return the nanoseconds since the epoch of a time of the server's clock."""
        return self._epoch + int(at * 1e9)
