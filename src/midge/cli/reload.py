"""SIGHUP: ``midge serve`` reads command line and file again, and goes on with what they say now."""

from __future__ import annotations

import logging

from midge.cli import logs
from midge.cli.serve_options import Settings, reload_settings
from midge.server.config.settings import NAMES
from midge.server.reload import changes
from midge.server.server import Server

__all__ = ["Reload"]

log = logging.getLogger("midge.server")

# What a process has from its start to its end, and what nats-server calls it.
_FIXED = {
    "log_file": "LogFile",
    "log_size_limit": "LogSizeLimit",
    "log_max_files": "LogMaxFiles",
    "pid_file": "PidFile",
    "ports_dir": "PortsFileDir",
}
_FREE = ("debug", "trace", "stamp", "utc")


class Reload:
    """Called to reload.

    Args:
        settings: what the process runs with.
        server: the server.
        handler: writes the log.
    """

    def __init__(self, settings: Settings, server: Server, handler: logging.Handler) -> None:
        self._settings = settings
        self._server = server
        self._handler = handler

    def __call__(self) -> None:
        """Go on with what is new.

        Raises:
            ValueError, ServerStartError: something is wrong with it, and nothing has changed.
        """
        found = reload_settings(self._settings)
        self._check(found)
        self._server.reload(found.options)
        logs.set_levels(self._handler, debug=found.debug, trace=found.trace, stamp=found.stamp, utc=found.utc)
        self._settings = found

    def _check(self, found: Settings) -> None:
        """Raise a ValueError unless all can be changed that is new; say what will be."""
        for name, shown in _FIXED.items():
            old, new = getattr(self._settings, name), getattr(found, name)
            if old != new:
                raise ValueError(f"config reload not supported for {shown}: old={old}, new={new}")
        changes(self._server.options, found.options)
        for name in _FREE:
            if getattr(self._settings, name) != getattr(found, name):
                log.info("Reloaded: %s = %s", NAMES[name], str(getattr(found, name)).lower())
