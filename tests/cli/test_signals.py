"""``--signal``: which process is told what."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from processes import Run, Spawn

from midge.cli import signals
from midge.cli.signals import send_signal

SENT: list[tuple[int, int]] = []


@pytest.fixture(autouse=True)
def nobody_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be sent is kept."""
    SENT.clear()
    monkeypatch.setattr(os, "kill", lambda process, number: SENT.append((process, int(number))))


def processes(monkeypatch: pytest.MonkeyPatch, *found: int) -> None:
    monkeypatch.setattr(signals, "_servers", lambda: list(found))


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("stop", signal.SIGKILL),
        ("quit", signal.SIGINT),
        ("reopen", signal.SIGUSR1),
        ("reload", signal.SIGHUP),
        ("ldm", signal.SIGUSR2),
        ("term", signal.SIGTERM),
    ],
)
def test_commands(command: str, number: int, tmp_path: Path) -> None:
    send_signal(f"{command}=123")
    (tmp_path / "pid").write_text("456")
    send_signal(f"{command}={tmp_path / 'pid'}")
    assert SENT == [(123, number), (456, number)]


def test_the_only_process_is_the_one_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    processes(monkeypatch, 77)
    send_signal("reload")
    assert SENT == [(77, signal.SIGHUP)]


def test_a_star_stands_for_all_that_begin_so(monkeypatch: pytest.MonkeyPatch) -> None:
    processes(monkeypatch, 77, 78, 81)
    send_signal("reload=7*")
    assert [process for process, _ in SENT] == [77, 78]
    send_signal("reload=*")
    assert [process for process, _ in SENT] == [77, 78, 77, 78, 81]


@pytest.mark.parametrize(
    ("text", "found", "message"),
    [
        ("reload", (), "no nats-server processes running"),
        ("reload", (1, 2), "multiple nats-server processes running:\n1\n2"),
        ("reload=x", (), "invalid pid: x"),
        ("x=1", (), 'unknown signal "x"'),
        ("reload=1=2", (), "invalid signal parameters: [2]"),
        ("reload=0", (), '\nsignal "reload" 0: not the number of a process'),
        ("stop=-1", (), '\nsignal "stop" -1: not the number of a process'),
    ],
)
def test_what_makes_no_sense(monkeypatch: pytest.MonkeyPatch, text: str, found: tuple[int, ...], message: str) -> None:
    processes(monkeypatch, *found)
    with pytest.raises(ValueError) as caught:
        send_signal(text)
    assert str(caught.value) == message and not SENT


@pytest.mark.parametrize(
    ("line", "is_server"),
    [
        ("nats-server -p 4222", True),
        ("/usr/bin/nats-server", True),
        ("/usr/bin/python3 /opt/bin/midge serve -p 1", True),
        ("python3.11 -m midge serve", True),
        ("python -W error -m midge serve", False),  # a flag with a value of its own: say which process it is
        ("vim nats-server.conf", False),
        ("grep nats-server", False),
        ("midge pub serve x", False),
    ],
)
def test_what_looks_like_a_server(line: str, is_server: bool) -> None:
    assert (signals._SERVER.match(line) is not None) is is_server


def test_a_server_is_told(spawn: Spawn, midge: Run, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    child = spawn("serve", "-a", "127.0.0.1", "-p", "-1", "-P", str(path))
    child.wait_for("Server is ready")
    assert midge("serve", "--signal", f"quit={path}").returncode == 0
    assert child.process.wait(20) == 0
