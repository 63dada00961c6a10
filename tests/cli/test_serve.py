"""``midge serve`` as a supervisor or a peer's test suite meets it: log lines, signals, files and exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import Child, Run, Spawn, environment

import midge as package
from midge.cli import main
from midge.cli.version import NOT_COMPILED
from midge.server.info import NATS_VERSION

LOCAL = ("serve", "-a", "127.0.0.1", "-p", "-1")
STAMP = r"\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} "
# What the test suite of nats-py's server package looks for in stderr.
LISTENING = r"Listening for client connections on (.+):(\d+)"
READY = r"Server is ready"
FATAL = r"\[FTL\]\s+(.*)"


def port_of(child: Child) -> int:
    """The port, once the server is ready; the line about the port comes before."""
    port = int(child.wait_for(LISTENING)[2])
    child.wait_for(READY)
    return port


def greeting(port: int, host: str = "127.0.0.1") -> dict[str, object]:
    """What the server says first."""
    with socket.create_connection((host, port)) as connection, connection.makefile("rb") as stream:
        verb, _, info = stream.readline().partition(b" ")
    assert verb == b"INFO"
    found: dict[str, object] = json.loads(info)
    return found


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminated")])
def test_it_runs_until_a_signal(spawn: Spawn, number: int, name: str) -> None:
    child = spawn(*LOCAL, "-n", "one")
    port = port_of(child)
    assert greeting(port)["server_name"] == "one"
    code, out, err = child.end(number)
    lines = [line.rstrip("\n") for line in child.seen + err.splitlines()]
    texts = [re.sub(STAMP, "", line) for line in lines]
    banner = f"midge {package.__version__} ({'compiled' if package.compiled else 'pure Python'})"
    assert (code, out) == (0, "")
    assert texts.pop(0).startswith(f"[INF] {banner} on Python 3.")
    assert package.compiled or texts.pop(0) == f"[WRN] midge is {NOT_COMPILED}"
    assert all(re.match(STAMP, line) for line in lines) and all(text.startswith("[INF] ") for text in texts)
    assert texts[:3] == ["[INF] Starting nats-server", f"[INF]   Version:  {NATS_VERSION}", "[INF]   Name:     one"]
    assert texts[-5:-3] == [f"[INF] Listening for client connections on 127.0.0.1:{port}", "[INF] Server is ready"]
    assert texts[-3:] == [f'[INF] Trapped "{name}" signal', "[INF] Initiating Shutdown...", "[INF] Server Exiting.."]


def test_connected_clients_do_not_keep_it_from_ending(spawn: Spawn) -> None:
    child = spawn(*LOCAL)
    port = port_of(child)
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:
        assert stream.readline().startswith(b"INFO ")
        connection.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert stream.readline() == b"PONG\r\n"
        assert child.end(signal.SIGTERM)[0] == 0
        assert stream.read() == b""


def test_every_address(spawn: Spawn) -> None:
    child = spawn("serve", "-p", "-1")
    assert child.wait_for(LISTENING)[1] == "0.0.0.0"


def test_ipv6_is_logged_in_brackets(spawn: Spawn) -> None:
    if not socket.has_ipv6:
        pytest.skip("there is no IPv6")
    child = spawn("serve", "--net=::1", "--port=-1")
    match = child.wait_for(f"{LISTENING}|{FATAL}")
    if match[3]:
        pytest.skip("there is no IPv6 here")
    assert match[1] == "[::1]"
    assert greeting(int(match[2]), "::1")["host"]


def test_a_killed_server_leaves_its_port_free(spawn: Spawn, free_port: int) -> None:
    args = ("serve", "-a", "127.0.0.1", "-p", str(free_port))
    first = spawn(*args)
    port_of(first)
    with socket.create_connection(("127.0.0.1", free_port)) as connection:
        assert connection.recv(4) == b"INFO"
        assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
        second = spawn(*args)
        assert port_of(second) == free_port


def test_a_busy_port(spawn: Spawn, midge: Run, busy_port: int, nats_server_executable: str) -> None:
    """The line is nats-server's own."""
    args = ("-a", "127.0.0.1", "-p", str(busy_port), "-T=false")
    code, out, err = spawn("serve", *args).end()
    theirs = subprocess.run([nats_server_executable, *args], capture_output=True, text=True)
    fatal, their_fatal = re.search(FATAL, err), re.search(FATAL, theirs.stderr)
    assert fatal and their_fatal and fatal[1] == their_fatal[1]
    assert (code, out) == (1, "") and theirs.returncode == 1


def test_an_address_that_is_not_ours(midge: Run) -> None:
    result = midge("serve", "-a", "192.0.2.1")
    found = re.search(FATAL, result.stderr.decode())
    assert found and found[1] == (
        'Error listening on port: 192.0.2.1:4222, "listen tcp 192.0.2.1:4222: bind: cannot assign requested address"'
    )
    assert result.returncode == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--wrong"], "flag provided but not defined: -wrong. Try 'midge serve --help'."),
        (["-p", "abc"], "invalid value \"abc\" for flag -p: parse error. Try 'midge serve --help'."),
        (["-s"], "flag -s is not supported yet by midge"),
        (["-m", "70000"], "http_port 70000: expected 1 to 65535, or 0 or -1 for a free one"),
        (["-m", "8222", "-ms", "8223"], "can't specify both HTTP (8222) and HTTPs (8223) ports"),
        (["foo"], 'unrecognized command: "foo"'),
        (["-p", "70000"], "port 70000: expected 1 to 65535, or -1 for a free one"),
        (["-l", "missing/log"], "error opening file: open missing/log: no such file or directory"),
    ],
)
def test_a_command_line_that_makes_no_sense(capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    assert main(["serve", *args]) == 1
    assert capsys.readouterr() == ("", f"midge: {message}\n")


def test_a_supervisor_sees_a_wrong_flag(midge: Run) -> None:
    result = midge("serve", "--wrong")
    assert (result.returncode, result.stderr) == (1, b"midge: flag provided but not defined: -wrong. Try 'midge serve --help'.\n")


@pytest.mark.parametrize("word", ["-v", "version"])
def test_version(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["serve", word]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines()[0] == f"nats-server: v{NATS_VERSION}"


@pytest.mark.parametrize("word", ["--help", "help"])
def test_help(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["serve", word]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith("\nUsage: midge serve [options]\n")


def test_a_log_file_a_pid_file_and_a_ports_file(spawn: Spawn, tmp_path: Path) -> None:
    log, pid, ports = tmp_path / "log", tmp_path / "pid", tmp_path / "ports"
    ports.mkdir()
    child = spawn(*LOCAL, "-l", str(log), "--pid", str(pid), "--ports_file_dir", str(ports))
    expected = ports / f"nats-server_{child.process.pid}.ports"
    while not expected.exists():  # written last: the server is ready
        assert child.process.poll() is None
    match = re.search(LISTENING, log.read_text())
    assert match and json.loads(expected.read_text()) == {"nats": [f"nats://127.0.0.1:{match[2]}"]}
    assert pid.read_text() == str(child.process.pid)
    log.rename(tmp_path / "log.1")
    child.process.send_signal(signal.SIGUSR1)
    while not log.exists() or "File log re-opened" not in log.read_text():
        assert child.process.poll() is None
    assert child.end(signal.SIGTERM) == (0, "", "")
    assert "Server Exiting.." in log.read_text() and "Server is ready" in (tmp_path / "log.1").read_text()
    assert pid.exists() and not list(ports.iterdir())  # as nats-server leaves them


def test_a_pid_file_that_cannot_be_written(midge: Run) -> None:
    result = midge("serve", "-P", "missing/pid", "-T=false")
    assert result.returncode == 1
    assert b"[FTL] Could not write pidfile: open missing/pid: no such file or directory\n" in result.stderr


def test_a_store_that_cannot_be_used(midge: Run, spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = midge("serve", "--port=-1", "-js", "-sd", str(tmp_path / "file"))
    assert ended.returncode == 1
    assert b"[FTL] Can't start JetStream: storage directory is not a directory\n" in ended.stderr and b"Traceback" not in ended.stderr
    child = spawn("serve", "--port=-1", "-js", "-sd", str(tmp_path / "store"))
    port_of(child)
    ended = midge("serve", "--port=-1", "-js", "-sd", str(tmp_path / "store"))
    assert ended.returncode == 1
    assert re.search(rb"\[FTL\] Can't start JetStream: the store at \S*store is in use by process \d+\n", ended.stderr)


def test_signals_that_do_not_end_it(spawn: Spawn) -> None:
    child = spawn(*LOCAL)
    port = port_of(child)
    for number, answer in (
        (
            signal.SIGHUP,
            r"\[ERR\] Failed to reload server configuration: can only reload config when a file is provided using -c or --config",
        ),
        (signal.SIGUSR1, r"\[INF\] File log re-open ignored, not a file logger"),
    ):
        child.process.send_signal(number)
        child.wait_for(answer)
    assert greeting(port)
    assert child.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize(("flag", "labels"), [("-T=true", "INF"), ("-D", "DBG INF"), ("-V", "INF TRC"), ("-DV", "DBG INF TRC")])
def test_debug_and_trace(spawn: Spawn, flag: str, labels: str) -> None:
    child = spawn(*LOCAL, flag)
    port = port_of(child)

    async def talk() -> None:
        async with package.connect(f"nats://127.0.0.1:{port}") as nc:
            await nc.publish("foo", b"hello")
            await nc.flush()

    asyncio.run(talk())
    _, _, err = child.end(signal.SIGTERM)
    assert sorted(set(re.findall(r"\[([A-Z]{3})\] ", "".join(child.seen) + err)) - {"WRN"}) == labels.split()
    assert ("<<- [PUB foo 5]" in err) is ("TRC" in labels)
    assert ('<<- MSG_PAYLOAD: ["hello"]' in err) is ("TRC" in labels)


@pytest.mark.parametrize(
    ("flags", "good"), [(["--user", "u", "--pass", "p"], {"user": "u", "password": "p"}), (["--auth=secret"], {"token": "secret"})]
)
def test_credentials(spawn: Spawn, flags: list[str], good: dict[str, str]) -> None:
    child = spawn(*LOCAL, *flags)
    url = f"nats://127.0.0.1:{port_of(child)}"

    async def talk() -> None:
        async with package.connect(url, **good):  # type: ignore[arg-type]
            pass
        with pytest.raises(package.ConnectError):
            await package.connect(url)

    asyncio.run(talk())
    child.wait_for(r"\[ERR\] .*authentication error")


def test_no_colours_where_nobody_sees_them(spawn: Spawn) -> None:
    child = spawn(*LOCAL)
    port_of(child)
    assert "\x1b" not in "".join(child.seen)


def test_serve_and_version_need_no_extra() -> None:
    """Neither click nor rich is imported, and where they are missing the other commands say how to get them."""
    code = """if True:
        import sys
        sys.modules["click"] = sys.modules["rich"] = None
        from midge.cli import main
        assert main(["serve", "--version"]) == 0 and main(["--version"]) == 0
        sys.exit(main(["pub", "foo"]))
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment({}))
    kind = "compiled" if package.compiled else "pure Python"
    assert result.stdout.splitlines()[0] == f"nats-server: v{NATS_VERSION}"
    assert result.stdout.splitlines()[-1] == f"midge {package.__version__} ({kind})"
    assert result.stderr == "midge: every command but serve and --version needs an extra: pip install 'midge[cli]'\n"
    assert result.returncode == 1
