"""``midge serve``: the server as a program of its own, with nats-server's flags, log lines, signals and exit codes.

A supervisor or a test suite that starts nats-server can start this instead. It differs on purpose where nats-server is silent:

- A flag that does not exist exits with 1; nats-server prints its usage and exits with 0, which no supervisor notices.
- A flag of nats-server's that midge does not support yet is refused with 1, never accepted and ignored.
- What is wrong with a command line is one line that begins with ``midge:``, as from every other command, and no page of usage.

As with nats-server, the PID file stays behind and the ports file does not.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from midge.cli import flags, logs
from midge.cli.process import EXE, Process
from midge.cli.version import banner
from midge.server.hub import NATS_VERSION
from midge.server.options import ServerOptions
from midge.server.thread import new_event_loop

__all__ = ["USAGE", "Settings", "serve", "settings_of"]

_DEFAULT_HOST = "0.0.0.0"
_DEFAULT_PORT = 4222
GC_THRESHOLDS = (50_000, 20, 50)

USAGE = """
Usage: midge serve [options]

Server Options:
    -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)
    -p, --port <port>                Use port for clients
                                     (default: 4222; -1 takes a free one)
    -m, --http_port <port>           Use port for http monitoring
    -ms,--https_port <port>          Use port for https monitoring
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
        --log_size_limit <limit>     Logfile size limit (default: unlimited)
        --max_traced_msg_len <len>   Maximum printable length for traced
                                     messages (default: unlimited)
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
    log_size_limit: int = 0
    log_max_files: int = 0
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
        print(f"{EXE}: v{NATS_VERSION}\n{banner()}")
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
        handler = logs.start(
            settings.log_file,
            debug=settings.debug,
            trace=settings.trace,
            stamp=settings.stamp,
            utc=settings.utc,
            limit=settings.log_size_limit,
            max_files=settings.log_max_files,
        )
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
    return await Process(settings, handler).run()


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
        http_port=_port(values, "http_port"),
        https_port=_port(values, "https_port"),
        max_traced_msg_len=max(int(values.get("max_traced_msg_len", 0)), 0),
    )
    return Settings(
        options,
        debug=bool(values.get("debug", False)),
        trace=bool(values.get("trace", False)),
        stamp=bool(values.get("logtime", True)),
        utc=bool(values.get("logtime_utc", False)),
        log_file=str(values.get("log_file", "")),
        log_size_limit=max(int(values.get("log_size_limit", 0)), 0),
        pid_file=str(values.get("pid_file", "")),
        ports_dir=str(values.get("ports_dir", "")),
    )


def _port(values: dict[str, bool | int | str], name: str) -> int | None:
    """Return a port that may be left out; nats-server takes 0 for that, too."""
    return int(values.get(name, 0)) or None


def _secret(values: dict[str, bool | int | str], name: str, flag: str) -> str | None:
    """Return what clients must present, None where the flag was not given.

    Raises:
        ValueError: it is empty. nats-server takes that for none, and lets everybody in where a variable was not set.
    """
    value = values.get(name)
    if value == "":
        raise ValueError(f"{flag} is empty, which would let everybody in: leave it out if that is meant")
    return None if value is None else str(value)


def _reason(error: OSError) -> str:
    """Return the system's text as Go spells it."""
    return (error.strerror or str(error)).lower()
