"""``midge serve``: the server as a program of its own, with nats-server's flags, log lines, signals and exit codes.

A supervisor or a test suite that starts nats-server can start this instead. It differs on purpose where nats-server is silent:

- A flag that does not exist exits with 1; nats-server prints its usage and exits with 0, which no supervisor notices.
- A flag of nats-server's that midge does not support yet is refused with 1, never accepted and ignored.
- What is wrong with a command line is one line that begins with ``midge:``, as from every other command, and no page of usage.
- SIGUSR2 (lame duck) and SIGHUP (reload) are answered with an error in the log, and the server goes on.

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
from collections.abc import Sequence
from dataclasses import dataclass

import midge
from midge.cli import flags, logs
from midge.cli.version import NOT_COMPILED, banner
from midge.errors import ServerStartError
from midge.server.hub import NATS_VERSION
from midge.server.options import ServerOptions
from midge.server.server import Server
from midge.server.thread import new_event_loop

__all__ = ["USAGE", "Settings", "serve", "settings_of"]

log = logging.getLogger("midge.server")

_EXE = "nats-server"  # how its version and its ports file begin: what other programs look for
_DEFAULT_HOST = "0.0.0.0"
_DEFAULT_PORT = 4222
GC_THRESHOLDS = (50_000, 20, 50)
_PERMISSIONS = 0o640
_SIGNALS = {
    signal.SIGINT: "interrupt",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hangup",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}

USAGE = """
Usage: midge serve [options]

Server Options:
    -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)
    -p, --port <port>                Use port for clients
                                     (default: 4222; -1 takes a free one)
    -n, --name
        --server_name <server_name>  Server name (default: auto)
    -P, --pid <file>                 File to store PID
        --ports_file_dir <dir>       Creates a ports file in the specified
                                     directory (nats-server_<pid>.ports)

Logging Options:
    -l, --log <file>                 File to redirect log output
                                     (SIGUSR1 opens it anew)
    -T, --logtime                    Timestamp log entries (default: true)
        --logtime_utc                Timestamps in UTC instead of local
                                     timezone (default: false)
    -D, --debug                      Enable debugging output
    -V, --trace                      Trace the raw protocol
    -VV                              The same: there is no system account
    -DV, -DVV                        Debug and trace

Authorization Options:
        --user <user>                User required for connections
        --pass <password>            Password required for connections
        --auth <token>               Token required for connections

Common Options:
    -h, --help                       Show this message
    -v, --version                    Show version
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for: the server's options, and what belongs to the process around it."""

    options: ServerOptions
    debug: bool = False
    trace: bool = False
    stamp: bool = True
    utc: bool = False
    log_file: str = ""
    pid_file: str = ""
    ports_dir: str = ""


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
    try:
        settings = settings_of(parsed)
    except ValueError as error:
        print(f"midge: {error}", file=sys.stderr)
        return 1
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


def settings_of(parsed: flags.Parsed) -> Settings:
    """Return what a command line asks for, with nats-server's defaults.

    Raises:
        ValueError: it asks for something that midge does not do, or that makes no sense.
    """
    if parsed.rest:
        raise ValueError(f"unrecognized command: {flags.in_quotes(parsed.rest[0])}")
    if parsed.refused:
        one = len(parsed.refused) == 1
        names = ", ".join(f"-{name}" for name in parsed.refused)
        raise ValueError(f"flag{'' if one else 's'} {names} {'is' if one else 'are'} not supported yet by midge")
    values = dict(parsed.values)
    for both, debug in (("DV", True), ("DVV", True), ("VV", False)):  # the order in which nats-server lets them win
        if both in values:
            values["trace"] = values[both]
            if debug:
                values["debug"] = values[both]
    name = str(values.get("name", ""))
    if " " in name:
        raise ValueError("server name cannot contain spaces")
    port = int(values.get("port") or _DEFAULT_PORT)
    if not -1 <= port <= 65535:
        raise ValueError(f"port {port}: expected 1 to 65535, or -1 for a free one")
    options = ServerOptions(
        host=str(values.get("host") or _DEFAULT_HOST),
        port=port,
        name=name,
        user=_secret(values, "user", "--user"),
        password=_secret(values, "password", "--pass"),
        token=_secret(values, "token", "--auth"),
    )
    return Settings(
        options,
        debug=bool(values.get("debug", False)),
        trace=bool(values.get("trace", False)),
        stamp=bool(values.get("logtime", True)),
        utc=bool(values.get("logtime_utc", False)),
        log_file=str(values.get("log_file", "")),
        pid_file=str(values.get("pid_file", "")),
        ports_dir=str(values.get("ports_dir", "")),
    )


def _secret(values: dict[str, bool | int | str], name: str, flag: str) -> str | None:
    """Return what clients must present, None where the flag was not given.

    Raises:
        ValueError: it is empty. nats-server takes that for none, and lets everybody in where a variable was not set.
    """
    value = values.get(name)
    if value == "":
        raise ValueError(f"{flag} is empty, which would let everybody in: leave it out if that is meant")
    return None if value is None else str(value)


async def _run(settings: Settings, handler: logging.Handler) -> int:
    """Run the server until a signal ends it; return the exit code."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _on_signal, number, ended, handler)
    log.info("%s on Python %d.%d, %s", banner(), *sys.version_info[:2], type(loop).__module__.partition(".")[0])
    if not midge.compiled:
        log.warning("midge is %s", NOT_COMPILED)
    if settings.pid_file:
        try:
            _write(settings.pid_file, str(os.getpid()))
        except OSError as error:
            log.critical("Could not write pidfile: open %s: %s", settings.pid_file, _reason(error))
            return 1
    server = Server(settings.options)
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


def _on_signal(number: signal.Signals, ended: asyncio.Event, handler: logging.Handler) -> None:
    log.info('Trapped "%s" signal', _SIGNALS[number])
    if number in (signal.SIGINT, signal.SIGTERM):
        ended.set()
    elif number == signal.SIGHUP:
        log.error("Failed to reload server configuration: midge has no configuration file yet")
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
