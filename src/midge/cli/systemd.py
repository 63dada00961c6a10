"""Telling systemd how the server is (sd_notify): a unit with ``Type=notify`` is started when clients can connect, and not before.

Where nobody asks, because NOTIFY_SOCKET is not set, nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket
import time

__all__ = ["READY", "RELOADING", "STOPPING", "notify"]

READY = "READY=1"
STOPPING = "STOPPING=1"
RELOADING = "RELOADING=1"

log = logging.getLogger("midge.server")


def notify(state: str) -> None:
    """Send a state. Where it cannot be sent, that is logged: systemd will say what it misses."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if state == RELOADING:
        state = f"{RELOADING}\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)  # nobody has to wait for systemd
            sock.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)
    except OSError as error:
        log.warning("systemd is not told %s: %s", state.partition("\n")[0], error)
