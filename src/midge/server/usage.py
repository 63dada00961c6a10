"""What the process takes of the machine: processor and memory, as nats-server's monitoring shows them."""

from __future__ import annotations

import os
import resource
import sys
import time

__all__ = ["ProcessUsage"]

INTERVAL = 1.0  # seconds that a figure for the processor is good for: what is measured over a shorter time says nothing


class ProcessUsage:
    """Measures this process, whenever it is asked."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._spent = time.process_time()
        self._percent = 0.0

    def measure(self) -> tuple[float, int, int]:
        """Return how busy the process was of late, in percent of one core; its bytes of memory; and how many cores it may use."""
        return self._cpu(), _memory(), _cores()

    def _cpu(self) -> float:
        now = time.monotonic()
        if now - self._at >= INTERVAL:
            spent = time.process_time()
            self._percent = round((spent - self._spent) / (now - self._at) * 100, 1)
            self._at, self._spent = now, spent
        return self._percent


def _memory() -> int:
    """Return what the process has now; where the system does not tell, the most that it ever had."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
