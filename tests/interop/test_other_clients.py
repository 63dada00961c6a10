"""The official clients for Go and JavaScript, and the program ``nats``, on our server.

Each is a small program under ``other/``, built in a directory of its own from the public registries, which takes a while and a
network. So they run only with MIDGE_OTHER_CLIENTS=1, and where the toolchain is installed.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Files
from nodes import nats_node

import midge
from midge.cli import main

OTHER = Path(__file__).parent / "other"
NATS_GO = "github.com/nats-io/nats.go@v1"
NATS_CLI = "github.com/nats-io/natscli/nats@v0"
BUILDING = 900.0
RUNNING = 120.0

pytestmark = [
    pytest.mark.skipif(os.environ.get("MIDGE_OTHER_CLIENTS") != "1", reason="set MIDGE_OTHER_CLIENTS=1 to build and run other clients"),
    pytest.mark.timeout(BUILDING + RUNNING),
]


def run(*command: str, cwd: Path, seconds: float, data: str | None = None, **environment: str) -> str:
    """Run a command to its end and return what it wrote; failing shows all of it."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, input=data, text=True, timeout=seconds,
        stdin=subprocess.DEVNULL if data is None else None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def need(program: str) -> str:
    """The path of a toolchain's program; the test is skipped where there is none."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture
def server() -> Iterator[midge.Server]:
    with midge.Server(port=0) as server:
        yield server


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[midge.Server, Files]]:
    """A server with TLS, and WebSockets with and without."""
    files = Files(tmp_path_factory.mktemp("certificates"))
    tls = midge.ServerTLS(cert_file=files.cert, key_file=files.key)
    with midge.Server(port=0, tls=tls, websocket=midge.WebSocketListener(host="127.0.0.1", port=-1, tls=tls, compression=True)) as server:
        yield server, files


def test_nats_go(server: midge.Server, secure: tuple[midge.Server, Files], tmp_path: Path) -> None:
    go = need("go")
    shutil.copytree(OTHER / "go", tmp_path, dirs_exist_ok=True)
    run(go, "get", NATS_GO, cwd=tmp_path, seconds=BUILDING)
    run(go, "build", "-o", "other", ".", cwd=tmp_path, seconds=BUILDING)
    assert run(str(tmp_path / "other"), server.url, cwd=tmp_path, seconds=RUNNING).endswith("done\n")
    guarded, files = secure
    websocket = midge.WebSocketListener(host="127.0.0.1", port=-1, no_tls=True)
    with midge.Server(port=0, websocket=websocket) as plain:
        for url, authority in ((guarded.url, files.ca), (guarded.ws_url, files.ca), (plain.ws_url, "")):
            assert url is not None
            assert run(str(tmp_path / "other"), url, cwd=tmp_path, seconds=RUNNING, AUTHORITY=authority).endswith("done\n")


def test_nats_js(server: midge.Server, secure: tuple[midge.Server, Files], tmp_path: Path) -> None:
    node, npm = need("node"), need("npm")
    shutil.copytree(OTHER / "js", tmp_path, dirs_exist_ok=True)
    run(npm, "install", "--no-audit", "--no-fund", cwd=tmp_path, seconds=BUILDING)
    assert run(node, "other.mjs", server.url, cwd=tmp_path, seconds=RUNNING).endswith("done\n")
    guarded, files = secure
    assert run(node, "other.mjs", guarded.url, cwd=tmp_path, seconds=RUNNING, AUTHORITY=files.ca).endswith("done\n")


class Nats:
    """The program ``nats``, built once."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "nats"
        self._directory = directory
        run(need("go"), "install", NATS_CLI, cwd=directory, seconds=BUILDING, GOBIN=str(directory))

    def environment(self, url: str) -> dict[str, str]:
        """What it is told of where it is, and of the server."""
        return {"HOME": str(self._directory), "XDG_CONFIG_HOME": str(self._directory), "NATS_URL": url}

    def __call__(self, url: str, *args: str) -> str:
        return run(str(self.path), *args, cwd=self._directory, seconds=RUNNING, **self.environment(url))


@pytest.fixture(scope="module")
def nats_program(tmp_path_factory: pytest.TempPathFactory) -> Nats:
    return Nats(tmp_path_factory.mktemp("nats"))


def test_the_program_nats(server: midge.Server, nats_program: Nats, tmp_path: Path) -> None:
    def nats(*args: str) -> str:
        return nats_program(server.url, *args)

    assert "Published 5 bytes" in nats("pub", "a", "hello")
    reply = subprocess.Popen(
        [str(nats_program.path), "reply", "cli.echo", "--echo"], cwd=tmp_path, env=os.environ | nats_program.environment(server.url),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert reply.stdout is not None
    try:
        assert "Listening on" in reply.stdout.readline()
        assert nats("req", "cli.echo", "hello", "--raw", "-H", "Trace:1", "--timeout", "20s").strip() == "hello"
    finally:
        reply.terminate()
        reply.wait(RUNNING)
        reply.stdout.close()
    assert "No responders are available" in nats("req", "cli.nobody", "hello")
    assert nats("rtt", "3").count(server.url) == 2
    assert "msgs/sec" in nats("bench", "pub", "cli.bench", "--clients", "2", "--msgs", "20000", "--no-progress")


def test_backups_of_the_program_nats_and_ours(nats_program: Nats, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each program restores what the other has backed up, on either server; ours takes what ``nats`` has just restored, again and again."""

    def ours(url: str, *args: str) -> str:
        capfd.readouterr()
        assert main([*args, "-s", url]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    def state(url: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(ours(url, "stream", "info", "S", "--json"))
        return {name: found["state"][name] for name in ("messages", "bytes", "first_seq", "last_seq", "consumer_count", "num_deleted")}

    store = tmp_path / "store"
    with midge.Server(port=0, store_dir=str(tmp_path / "ours")) as server, nats_node(f'jetstream {{ store_dir: "{store}" }}') as theirs:
        places = {"ours": server.url, "theirs": theirs}
        url = server.url
        ours(url, "stream", "add", "S", "--subjects", "s.>")
        ours(url, "pub", "s.a", "x" * 500, "--count", "20000", "-H", "A: b")
        ours(url, "consumer", "add", "S", "C")
        ours(url, "consumer", "next", "S", "C", "--count", "3", "--raw")
        ours(url, "stream", "rmm", "S", "7", "-f")
        wanted = state(url)
        for number, (writer, source, reader, target) in enumerate(
            [
                ("nats", "ours", "nats", "ours"), ("nats", "ours", "midge", "theirs"), ("nats", "theirs", "midge", "ours"),
                ("midge", "ours", "nats", "theirs"), ("midge", "theirs", "nats", "ours"), ("nats", "ours", "nats", "theirs"),
            ]
        ):  # fmt: skip
            directory = str(tmp_path / f"backup{number}")
            if writer == "nats":
                nats_program(places[source], "stream", "backup", "S", directory, "--no-progress", "--consumers")
            else:
                ours(places[source], "stream", "backup", "S", directory)
            ours(places[source], "stream", "rm", "S", "-f")
            if reader == "nats":
                nats_program(places[target], "stream", "restore", directory, "--no-progress")
            else:
                ours(places[target], "stream", "restore", directory)
            assert state(places[target]) == wanted, (writer, source, reader, target)
            floor = json.loads(ours(places[target], "consumer", "info", "S", "C", "--json"))["ack_floor"]["stream_seq"]
            assert floor == 3
