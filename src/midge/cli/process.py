"""The process of ``midge serve``: starts the server, answers signals, keeps the PID and the ports file, and ends with an exit code.

INT, TERM    shut down, exit 0; TERM is ignored in lame duck mode, which ends by itself
USR1         open the log file anew
USR2         lame duck mode, then exit 0; a second one is ignored
HUP          reload the configuration
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys

import midge
from midge.cli import files, systemd
from midge.cli.reload import Reload
from midge.cli.serve_options import Settings
from midge.cli.version import NOT_COMPILED, banner
from midge.errors import ServerStartError, StoreError
from midge.server.listener import MonitorStartError
from midge.server.server import Server

__all__ = ["Process"]

log = logging.getLogger("midge.server")

_SIGNALS = {
    signal.SIGINT: "interrupt",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hangup",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}


class Process:
    """One server as a process.

    Args:
        settings: what the command line asks for.
        handler: where the log goes.
    """

    def __init__(self, settings: Settings, handler: logging.Handler) -> None:
        self._settings = settings
        self._server = Server(settings.options)
        self._reload = Reload(settings, self._server, handler)
        self._ended = asyncio.Event()
        self._lame_duck: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run the server until a signal ends it; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        log.info("%s on Python %d.%d, %s", banner(), *sys.version_info[:2], type(loop).__module__.partition(".")[0])
        if not midge.compiled:
            log.warning("midge is %s", NOT_COMPILED)
        if not self._write_pid() or not await self._start():
            return 1
        if self._settings.ports_dir:
            files.write_ports(self._settings.ports_dir, self._server)
        systemd.notify(systemd.READY)
        await self._ended.wait()
        systemd.notify(systemd.STOPPING)
        await self._server.stop()
        if self._lame_duck is not None:
            await self._lame_duck
        if self._reload.settings.ports_dir:
            files.remove_ports(self._reload.settings.ports_dir)
        return 0

    def _write_pid(self) -> bool:
        path = self._settings.pid_file
        try:
            if path:
                files.write_pid(path)
        except OSError as error:
            log.critical("Could not write pidfile: open %s: %s", path, files.reason(error))
            return False
        return True

    async def _start(self) -> bool:
        server, options = self._server, self._settings.options
        try:
            await server.start()
        except MonitorStartError as error:
            port = options.http_port if options.http_port is not None else options.https_port
            text = _listen_error(error, _bracketed(options.http_host or options.host), max(port or 0, 0))
            log.critical("Can't start monitoring: can't listen to the monitor port: %s", text)
        except ServerStartError as error:
            host = _bracketed(server.host)
            log.critical('Error listening on port: %s:%d, "%s"', host, server.port, _listen_error(error, host, server.port))
        except OSError as error:
            log.critical("Can't start JetStream: %s", _store_error(error))
        else:
            return True
        return False

    # Signals

    def _on_signal(self, number: signal.Signals) -> None:
        log.info('Trapped "%s" signal', _SIGNALS[number])
        if number == signal.SIGINT or (number == signal.SIGTERM and self._lame_duck is None):
            self._ended.set()
        elif number == signal.SIGHUP:
            self._on_hangup()
        elif number == signal.SIGUSR1:
            self._reopen_log()
        elif number == signal.SIGUSR2 and self._lame_duck is None and self._server.is_running:
            systemd.notify(systemd.STOPPING)
            self._lame_duck = asyncio.create_task(self._server.lame_duck())
            self._lame_duck.add_done_callback(lambda _: self._ended.set())

    def _on_hangup(self) -> None:
        systemd.notify(systemd.RELOADING)
        try:
            self._reload()
        except (ValueError, OSError, ServerStartError) as error:
            log.error("Failed to reload server configuration: %s", error)
        finally:
            systemd.notify(systemd.READY)

    def _reopen_log(self) -> None:
        try:
            is_file = self._reload.reopen_log()
        except OSError as error:
            log.error("File log re-open failed: %s", files.reason(error))
        else:
            log.info("File log re-opened" if is_file else "File log re-open ignored, not a file logger")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _store_error(error: OSError) -> str:
    """Why streams cannot be kept; for a place that is no directory in nats-server's words."""
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return "storage directory is not a directory"
    return f"the storage directory cannot be used: {files.reason(error)}"


def _listen_error(error: ServerStartError, host: str, port: int) -> str:
    """Return why the server cannot listen, in Go's words."""
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return f"listen tcp: lookup {host}: {files.reason(cause)}"
    if isinstance(cause, OSError) and cause.errno is not None and not cause.filename:
        return f"listen tcp {host}:{port}: bind: {files.reason(cause)}"
    return str(error)
