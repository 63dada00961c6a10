"""SIGHUP and what belongs to the process: log, PID file and ports file move while it runs, in front of nats-server as well."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from processes import Child, Spawn

NATS_SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
SERVERS = ["midge", pytest.param("nats-server", marks=pytest.mark.skipif(NATS_SERVER is None, reason="no nats-server executable"))]
LISTEN = "listen: 127.0.0.1:-1\n"
NEWS = r"\[INF\] Reloaded: (?!authorization users|accounts)(.*)$"  # nats-server says of these two that they are new, whatever they are


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path / "nats.conf"


def start(spawn: Spawn, conf: Path, name: str, text: str) -> Child:
    conf.write_text(LISTEN + text)
    args = ["serve", "-c", "nats.conf"] if name == "midge" else ["-c", "nats.conf"]
    child = spawn(*args, command=None if name == "midge" else [str(NATS_SERVER)])
    child.wait_for("Server is ready")
    return child


def hang_up(child: Child, conf: Path, text: str) -> None:
    conf.write_text(LISTEN + text)
    child.process.send_signal(signal.SIGHUP)
    child.wait_for('Trapped "hangup" signal')


def wait_until_there(child: Child, path: Path) -> None:
    while not path.exists():
        assert child.process.poll() is None


@pytest.mark.parametrize("name", SERVERS)
def test_files_move(conf: Path, spawn: Spawn, name: str) -> None:
    child = start(spawn, conf, name, "pid_file: one.pid\nports_file_dir: a\n")
    number = str(child.process.pid)
    ports = f"nats-server_{number}.ports"
    wait_until_there(child, Path("a", ports))

    hang_up(child, conf, "pid_file: two.pid\nports_file_dir: b\nlog_file: /dev/stdout\ndebug: true\n")
    told = [child.wait_for(NEWS)[1] for _ in range(4)]
    assert sorted(told) == ["debug = true", "log_file = /dev/stdout", "pid_file = two.pid", "ports_file_dir = b"]
    child.wait_for(r"\[INF\] Reloaded server configuration \(sha256:", "stdout")
    wait_until_there(child, Path("b", ports))
    assert not Path("a", ports).exists()
    assert Path("one.pid").read_text() == Path("two.pid").read_text() == number

    conf.write_text(LISTEN)
    child.process.send_signal(signal.SIGHUP)
    told = [child.wait_for(NEWS, "stdout")[1] for _ in range(3)]
    assert sorted(told) == ["debug = false", "log_file = ", "ports_file_dir = "]  # and of the PID file nothing is said
    child.wait_for(r"\[INF\] Reloaded server configuration \(sha256:")
    assert not Path("b", ports).exists() and Path("two.pid").exists()

    child.process.send_signal(signal.SIGUSR1)
    child.wait_for(r"\[INF\] File log re-open ignored, not a file logger")
    assert child.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize("name", SERVERS)
def test_a_pid_file_that_cannot_be_written(conf: Path, spawn: Spawn, name: str) -> None:
    child = start(spawn, conf, name, "")
    hang_up(child, conf, "pid_file: none/pid\n")
    child.wait_for(r"\[ERR\] Failed to write pidfile: open none/pid: no such file or directory$")
    child.wait_for(r"\[INF\] Reloaded: pid_file = none/pid$")
    child.wait_for(r"\[INF\] Reloaded server configuration ")


@pytest.mark.parametrize("name", SERVERS)
def test_ports_files_that_are_not_there(conf: Path, spawn: Spawn, name: str) -> None:
    child = start(spawn, conf, name, "ports_file_dir: a\n")
    file = f"nats-server_{child.process.pid}.ports"
    wait_until_there(child, Path("a", file))
    Path("a", file).unlink()
    hang_up(child, conf, "ports_file_dir: none\n")
    lines = {
        rf"[ERR] Error cleaning up ports file a/{file}: remove a/{file}: no such file or directory",
        rf"[ERR] Error writing ports file (none/{file}): open none/{file}: no such file or directory",
    }
    pattern = r"\[ERR\] Error .*$"  # nats-server writes it when it comes to it
    assert {child.wait_for(pattern)[0] for _ in lines} == lines
    assert child.end(signal.SIGINT)[0] == 0


def test_a_log_that_cannot_be_opened_changes_nothing(conf: Path, spawn: Spawn) -> None:
    """nats-server ends here."""
    child = start(spawn, conf, "midge", "")
    hang_up(child, conf, "log_file: none/log\nmax_payload: 10\npid_file: pid\n")
    child.wait_for(r"\[ERR\] Failed to reload server configuration: error opening file: open none/log: no such file or directory$")
    hang_up(child, conf, "log_file: log\npid_file: pid\nlogfile_max_num: 3\n")
    child.wait_for(r"config reload not supported for LogMaxFiles: old=0, new=3$")
    assert not Path("pid").exists() and not Path("log").exists()
    hang_up(child, conf, "log_file: log\npid_file: pid\n")
    child.wait_for("Reloaded: pid_file = pid$")
    code, _, err = child.end(signal.SIGTERM)
    assert (code, err) == (0, "")
    assert re.search(r"Reloaded server configuration .*\n.*Trapped \"terminated\" signal\n", Path("log").read_text())
