"""The files that say which process a server is and where to connect: the PID file, which stays behind, and the ports file, which does not.

Their errors read as Go's: what was tried, with which file, and the system's words.
"""

from __future__ import annotations

import json
import logging
import os

from midge.server.server import Server

__all__ = ["EXE", "reason", "remove_ports", "write_pid", "write_ports"]

EXE = "nats-server"  # how the server's version and its ports file begin: what other programs look for
_PERMISSIONS = 0o640

log = logging.getLogger("midge.server")


def write_pid(path: str) -> None:
    """Write the process's number.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, str(os.getpid()))


def write_ports(directory: str, server: Server) -> None:
    """Write where to connect; whoever waits for the file sees all of it or nothing. What goes wrong is logged."""
    path = _ports_file(directory)
    part = f"{path}.part"
    urls = {"nats": server.url, "monitoring": server.monitoring_url, "websocket": server.ws_url}
    ports = {name: [url] for name, url in urls.items() if url is not None}
    try:
        _write(part, json.dumps(ports, separators=(",", ":")))
        os.replace(part, path)
    except OSError as error:
        log.error("Error writing ports file (%s): open %s: %s", path, path, reason(error))


def remove_ports(directory: str) -> None:
    """Remove what ``write_ports`` has written there. What goes wrong is logged."""
    path = _ports_file(directory)
    try:
        os.remove(path)
    except OSError as error:
        log.error("Error cleaning up ports file %s: remove %s: %s", path, path, reason(error))


def reason(error: OSError) -> str:
    """Return the system's text as Go spells it."""
    return (error.strerror or str(error)).lower()


def _ports_file(directory: str) -> str:
    return os.path.join(directory, f"{EXE}_{os.getpid()}.ports")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _PERMISSIONS)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
