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

from midge.cli import flags, logs
from midge.cli.files import EXE, reason
from midge.cli.process import Process
from midge.cli.serve_options import TEMPORARY_STORE, USAGE, Settings, settings_of, tls_usage
from midge.cli.signals import send_signal
from midge.cli.version import banner
from midge.server.config.errors import ConfigError
from midge.server.info import NATS_VERSION
from midge.server.thread import new_event_loop

__all__ = ["serve"]

log = logging.getLogger("midge.server")

GC_THRESHOLDS = (50_000, 20, 50)


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
    if parsed.values.get("help_tls"):
        print(tls_usage())
        return 0
    try:
        if "signal" in parsed.values:
            send_signal(str(parsed.values["signal"]))
            return 0
        settings = settings_of(parsed)
    except ConfigError as error:
        print(f"{EXE}: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"midge: {error}", file=sys.stderr)
        return 1
    if parsed.values.get("check"):
        print(f"{EXE}: configuration file {settings.options.config_file} is valid ({settings.options.config_digest})", file=sys.stderr)
        return 0
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
        print(f"midge: error opening file: open {settings.log_file}: {reason(error)}", file=sys.stderr)
        return 1
    if settings.options.store_dir == TEMPORARY_STORE:
        log.warning("Temporary storage directory used, data could be lost on system reboot")
    # The process is the server's own, and the server makes no reference cycles: looking for them among ten thousand connections would
    # hold everybody up for tens of milliseconds at a time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_run(settings, handler))


async def _run(settings: Settings, handler: logging.Handler) -> int:
    return await Process(settings, handler).run()
