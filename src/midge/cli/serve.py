"""``midge serve``: the server as a program of its own, with nats-server's flags, log lines, signals and exit codes.

A supervisor or a test suite that starts nats-server can start this instead. It differs on purpose where nats-server is silent:

- A flag that does not exist exits with 1; nats-server prints its usage and exits with 0, which no supervisor notices.
- A flag of nats-server's that midge does not support yet is refused with 1, never accepted and ignored.
- What is wrong with a command line is one line that begins with ``midge:``, as from every other command, and no page of usage.
- SIGUSR2 (lame duck) is answered with an error in the log, and the server goes on.

As with nats-server, the PID file stays behind and the ports file does not.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

import midge
from midge.cli import flags, logs
from midge.cli.reload import Reload
from midge.cli.serve_options import TLS_USAGE, USAGE, Settings, settings_of
from midge.cli.signals import send_signal
from midge.cli.version import NOT_COMPILED, banner
from midge.errors import ServerStartError
from midge.server.config.errors import ConfigError
from midge.server.hub import NATS_VERSION
from midge.server.server import Server
from midge.server.thread import new_event_loop

__all__ = ["serve"]

log = logging.getLogger("midge.server")

_EXE = "nats-server"  # how its version and its ports file begin: what other programs look for
GC_THRESHOLDS = (50_000, 20, 50)
_PERMISSIONS = 0o640
_SIGNALS = {
    signal.SIGINT: "interrupt",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hangup",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}


def serve(args: Sequence[str]) -> int:
    """Run the command line that follows ``midge serve``; return the exit code."""
    try:
        parsed = flags.parse(args)
    except flags.FlagError as error:
        print(f"midge: {error}. Try 'midge serve --help'.", file=sys.stderr)
        return 1
    word = parsed.rest[0] if parsed.rest else ""
    if parsed.values.get("version") or (word.lower() == "version" and not parsed.values.get("help")):
        print(f"{_EXE}: v{NATS_VERSION}\n{banner()}")
        return 0
    if parsed.values.get("help") or word.lower() == "help":
        print(USAGE)
        return 0
    if parsed.values.get("help_tls"):
        print(TLS_USAGE)
        return 0
    try:
        if "signal" in parsed.values:
            send_signal(str(parsed.values["signal"]))
            return 0
        settings = settings_of(parsed)
    except ConfigError as error:
        print(f"{_EXE}: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"midge: {error}", file=sys.stderr)
        return 1
    if parsed.values.get("check"):
        print(f"{_EXE}: configuration file {settings.options.config_file} is valid ({settings.options.config_digest})", file=sys.stderr)
        return 0
    try:
        handler = logs.start(settings.log_file, debug=settings.debug, trace=settings.trace, stamp=settings.stamp, utc=settings.utc)
    except OSError as error:
        print(f"midge: error opening file: open {settings.log_file}: {_reason(error)}", file=sys.stderr)
        return 1
    # The process is the server's own, and the server makes no reference cycles: looking for them among ten thousand connections would
    # hold everybody up for tens of milliseconds at a time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_run(settings, handler))


async def _run(settings: Settings, handler: logging.Handler) -> int:
    """Run the server until a signal ends it; return the exit code."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = Server(settings.options)
    reload = Reload(settings, server, handler)
    for number in _SIGNALS:
        loop.add_signal_handler(number, _on_signal, number, ended, handler, reload)
    log.info("%s on Python %d.%d, %s", banner(), *sys.version_info[:2], type(loop).__module__.partition(".")[0])
    if not midge.compiled:
        log.warning("midge is %s", NOT_COMPILED)
    if settings.pid_file:
        try:
            _write(settings.pid_file, str(os.getpid()))
        except OSError as error:
            log.critical("Could not write pidfile: open %s: %s", settings.pid_file, _reason(error))
            return 1
    try:
        await server.start()
    except ServerStartError as error:
        host = f"[{server.host}]" if ":" in server.host else server.host
        log.critical('Error listening on port: %s:%d, "%s"', host, server.port, _listen_error(error, host, server.port))
        return 1
    ports_file = os.path.join(settings.ports_dir, f"{_EXE}_{os.getpid()}.ports") if settings.ports_dir else ""
    if ports_file:
        _write_ports(ports_file, server)
    await ended.wait()
    await server.stop()
    if ports_file:
        try:
            os.remove(ports_file)
        except OSError as error:
            log.error("Error cleaning up ports file %s: %s", ports_file, _reason(error))
    return 0


def _on_signal(number: signal.Signals, ended: asyncio.Event, handler: logging.Handler, reload: Callable[[], None]) -> None:
    log.info('Trapped "%s" signal', _SIGNALS[number])
    if number in (signal.SIGINT, signal.SIGTERM):
        ended.set()
    elif number == signal.SIGHUP:
        reload()
    elif number == signal.SIGUSR2:
        log.error("Lame duck mode is not supported yet by midge")
    elif not isinstance(handler, logs.LogFile):
        log.info("File log re-open ignored, not a file logger")
    else:
        try:
            handler.reopen()
        except OSError as error:
            log.error("File log re-open failed: %s", _reason(error))
        else:
            log.info("File log re-opened")


def _write_ports(path: str, server: Server) -> None:
    """Write where to connect; whoever waits for the file sees all of it or nothing."""
    part = f"{path}.part"
    try:
        _write(part, json.dumps({"nats": [server.url]}, separators=(",", ":")))
        os.replace(part, path)
    except OSError as error:
        log.error("Error writing ports file (%s): %s", path, _reason(error))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _PERMISSIONS)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _listen_error(error: ServerStartError, host: str, port: int) -> str:
    """Return why the server cannot listen, in Go's words."""
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return f"listen tcp: lookup {host}: {_reason(cause)}"
    if isinstance(cause, OSError):
        return f"listen tcp {host}:{port}: bind: {_reason(cause)}"
    return str(error)


def _reason(error: OSError) -> str:
    """Return the system's text as Go spells it."""
    return (error.strerror or str(error)).lower()
