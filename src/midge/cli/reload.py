"""SIGHUP: ``midge serve`` reads command line and file again, and goes on with what they say now: the server, and what is around it."""

from __future__ import annotations

import logging

from midge.cli import files, logs
from midge.cli.serve_options import Settings, reload_settings
from midge.server.config.settings import NAMES
from midge.server.reload import changes
from midge.server.server import Server

__all__ = ["Reload"]

log = logging.getLogger("midge.server")

# What a process has from its start to its end, and what nats-server calls it.
_FIXED = {"log_size_limit": "LogSizeLimit", "log_max_files": "LogMaxFiles"}
_TOLD = ("debug", "trace", "stamp", "utc", "log_file")


class Reload:
    """Called to reload.

    Args:
        settings: what the process runs with.
        server: the server.
        handler: writes the log.

    Attributes:
        settings: what the process runs with now.
    """

    def __init__(self, settings: Settings, server: Server, handler: logging.Handler) -> None:
        self.settings = settings
        self._server = server
        self._handler = handler

    def __call__(self) -> None:
        """Go on with what is new.

        Raises:
            ValueError, ServerStartError: something is wrong with it, and nothing has changed. Where the log cannot be opened, nats-server
                ends; we do not.
        """
        found = reload_settings(self.settings)
        self._check(found)
        handler = self._open_log(found)
        try:
            self._server.reload(found.options, lambda: self._go_on(found, handler))
        finally:
            if handler is not self._handler:
                handler.close()

    def reopen_log(self) -> bool:
        """Open the log file anew; False where the log is no file.

        Raises:
            OSError: it cannot be opened, and the old one goes on.
        """
        if not isinstance(self._handler, logs.LogFile):
            return False
        self._handler.reopen()
        return True

    def _check(self, found: Settings) -> None:
        """Raise a ValueError unless all can be changed that is new."""
        for name, shown in _FIXED.items():
            old, new = getattr(self.settings, name), getattr(found, name)
            if old != new:
                raise ValueError(f"config reload not supported for {shown}: old={old}, new={new}")
        changes(self._server.options, found.options)

    def _open_log(self, found: Settings) -> logging.Handler:
        """Return what is to write the log: what writes it now, where that is the same."""
        path = found.log_file
        if path == self.settings.log_file:
            return self._handler
        try:
            return logs.open_log(path, found.log_size_limit, found.log_max_files)
        except OSError as error:
            raise ValueError(f"error opening file: open {path}: {files.reason(error)}") from None

    def _go_on(self, found: Settings, handler: logging.Handler) -> None:
        """Tell what is new, in the old log, and go on with it."""
        old, self.settings = self.settings, found
        for name in _TOLD:
            value = getattr(found, name)
            if getattr(old, name) != value:
                log.info("Reloaded: %s = %s", NAMES[name], str(value).lower() if isinstance(value, bool) else value)
        if found.pid_file and found.pid_file != old.pid_file:
            self._write_pid(found.pid_file)
        if found.ports_dir != old.ports_dir:
            self._move_ports(old.ports_dir, found.ports_dir)
        before, self._handler = self._handler, handler
        logs.replace(before, handler)
        logs.set_levels(handler, debug=found.debug, trace=found.trace, stamp=found.stamp, utc=found.utc)

    def _write_pid(self, path: str) -> None:
        """The old file stays, as in nats-server."""
        try:
            files.write_pid(path)
        except OSError as error:
            log.error("Failed to write pidfile: open %s: %s", path, files.reason(error))
        log.info("Reloaded: pid_file = %s", path)

    def _move_ports(self, old: str, new: str) -> None:
        if old:
            files.remove_ports(old)
        if new:
            files.write_ports(new, self._server)
        log.info("Reloaded: ports_file_dir = %s", new)
