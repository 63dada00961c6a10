"""The official clients for Go and JavaScript, and the program ``nats``, on our server.

Each is a small program under ``other/``, built in a directory of its own from the public registries, which takes a while and a
network. So they run only with MIDGE_OTHER_CLIENTS=1, and where the toolchain is installed.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Files

import midge

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


def test_the_program_nats(server: midge.Server, tmp_path: Path) -> None:
    go = need("go")
    run(go, "install", NATS_CLI, cwd=tmp_path, seconds=BUILDING, GOBIN=str(tmp_path))
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "NATS_URL": server.url}

    def nats(*args: str) -> str:
        return run(str(tmp_path / "nats"), *args, cwd=tmp_path, seconds=RUNNING, **home)

    assert "Published 5 bytes" in nats("pub", "a", "hello")
    reply = subprocess.Popen(
        [str(tmp_path / "nats"), "reply", "cli.echo", "--echo"], cwd=tmp_path, env=os.environ | home,
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
