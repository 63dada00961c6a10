"""``midge serve`` as a process: lame duck mode, monitoring, ports and log files, and what it tells systemd."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
from processes import Child, Spawn

import midge as package
from midge.cli import systemd

LOCAL = ("serve", "-a", "127.0.0.1", "-p", "-1")


def texts(child: Child, rest: str) -> list[str]:
    """The log without its stamps."""
    return [re.sub(r"^\[\d+\] \S+ \S+ ", "", line.rstrip("\n")) for line in child.seen + rest.splitlines()]


def test_monitoring_is_announced_in_its_place(spawn: Spawn) -> None:
    child = spawn(*LOCAL, "-m", "-1")
    port = int(child.wait_for(r"\[INF\] Starting http monitor on 127\.0\.0\.1:(\d+)")[1])
    child.wait_for("Listening for client connections on ")
    child.wait_for("Server is ready")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz") as reply:
        assert json.loads(reply.read())["http_port"] == -1
    assert child.end(signal.SIGTERM)[0] == 0


def test_monitoring_on_a_port_that_is_taken(spawn: Spawn, busy_port: int) -> None:
    child = spawn(*LOCAL, "-m", str(busy_port))
    text = f"[FTL] Can't start monitoring: can't listen to the monitor port: listen tcp 127.0.0.1:{busy_port}: bind: address already in use"
    code, _, err = child.end()
    assert (code, texts(child, err)[-1]) == (1, text)


def test_no_monitoring_where_its_port_is_0(spawn: Spawn) -> None:
    child = spawn(*LOCAL, "-m", "0")
    child.wait_for("Server is ready")
    assert child.end(signal.SIGINT)[0] == 0 and not any("monitor" in line for line in child.seen)


@pytest.mark.parametrize(("text", "is_told"), [("password: b", True), ('password: "$2a$04$%s"' % ("a" * 53), False)])
def test_plain_passwords_are_warned_of(spawn: Spawn, tmp_path: Path, text: str, is_told: bool) -> None:
    path = tmp_path / "nats.conf"
    path.write_text("authorization { user: a, %s }" % text)
    child = spawn(*LOCAL, "-c", str(path))
    child.wait_for("Server is ready")
    child.end(signal.SIGTERM)
    assert any("[WRN] Plaintext passwords detected, use nkeys or bcrypt" in line for line in child.seen) is is_told


def test_ports_file(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn(*LOCAL, "-m", "-1", "--ports_file_dir", str(tmp_path))
    monitoring = child.wait_for(r"Starting http monitor on (\S+)")[1]
    clients = child.wait_for(r"Listening for client connections on (\S+)")[1]
    path = tmp_path / f"nats-server_{child.process.pid}.ports"
    while not path.exists():
        assert child.process.poll() is None
    assert json.loads(path.read_text()) == {"nats": [f"nats://{clients}"], "monitoring": [f"http://{monitoring}"]}
    assert child.end(signal.SIGTERM)[0] == 0 and not path.exists()


def test_lame_duck_mode(spawn: Spawn) -> None:
    child = spawn(*LOCAL)
    port = int(child.wait_for(r"Listening for client connections on .*:(\d+)")[1])
    child.wait_for("Server is ready")
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:
        stream.readline()
        connection.sendall(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
        assert (stream.readline(), stream.readline()[:5]) == (b"PONG\r\n", b"INFO ")
        child.process.send_signal(signal.SIGUSR2)
        assert json.loads(stream.readline()[5:])["ldm"] is True
        for number in (signal.SIGUSR2, signal.SIGTERM):  # both are ignored now
            child.process.send_signal(number)
            child.wait_for(r'Trapped "(user defined signal 2|terminated)" signal')
        connection.sendall(b"PING\r\n")
        assert stream.readline() == b"PONG\r\n"
    code, _, err = child.end(signal.SIGINT)
    shown = texts(child, err)
    assert code == 0 and shown[-2:] == ["[INF] Initiating Shutdown...", "[INF] Server Exiting.."]
    assert shown.count("[INF] Entering lame duck mode, stop accepting new clients") == 1


def test_lame_duck_mode_ends_at_once_where_nobody_is_there(spawn: Spawn) -> None:
    child = spawn(*LOCAL)
    child.wait_for("Server is ready")
    code, _, err = child.end(signal.SIGUSR2)
    assert code == 0 and texts(child, err)[-3:] == [
        "[INF] Entering lame duck mode, stop accepting new clients",
        "[INF] Initiating Shutdown...",
        "[INF] Server Exiting..",
    ]


def test_the_log_moves_away(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "log"
    child = spawn(*LOCAL, "-l", str(path), "--log_size_limit", "600", "-DV", "--ports_file_dir", str(tmp_path))
    ports = tmp_path / f"nats-server_{child.process.pid}.ports"
    while not ports.exists():
        assert child.process.poll() is None
    url = json.loads(ports.read_text())["nats"][0]

    async def talk() -> None:
        async with package.connect(url) as nc:
            await nc.publish("a", b"x" * 600)
            await nc.flush()

    asyncio.run(talk())
    assert child.end(signal.SIGTERM)[0] == 0
    backups = [each for each in os.listdir(tmp_path) if re.fullmatch(r"log\.\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d\.\d{9}", each)]
    assert len(backups) > 1
    lines = path.read_text().splitlines()
    assert re.search(r'\[INF\] Rotated log, backup saved as ".+log\.2.+"$', lines[0])


def test_payloads_are_cut_in_the_trace(spawn: Spawn) -> None:
    child = spawn(*LOCAL, "-V", "--max_traced_msg_len", "3")
    url = f"nats://127.0.0.1:{child.wait_for(r'Listening for client connections on .*:(.*)')[1]}"

    async def talk() -> None:
        async with package.connect(url) as nc:
            await nc.publish("a", b'a"bcdef')
            await nc.publish("a", b"abc")
            await nc.flush()

    child.wait_for("Server is ready")
    asyncio.run(talk())
    assert child.wait_for(r"MSG_PAYLOAD: (.*)$")[1] == '["a\\"b..."]'
    assert child.wait_for(r"MSG_PAYLOAD: (.*)$")[1] == '["abc"]'


class Systemd:
    """What systemd is to a service: a socket that listens."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(30)
        self.socket.bind(address)

    def hears(self) -> str:
        return self.socket.recv(4096).decode()


def test_systemd_is_told(spawn: Spawn, tmp_path: Path) -> None:
    service = Systemd(str(tmp_path / "notify"))
    with service.socket:
        child = spawn(*LOCAL, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert service.hears() == "READY=1"
        port = int(child.wait_for(r"Listening for client connections on .*:(\d+)")[1])
        with socket.create_connection(("127.0.0.1", port)):
            pass
        assert child.end(signal.SIGTERM)[0] == 0
        assert service.hears() == "STOPPING=1"


def test_systemd_listens_at_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Systemd(f"\0midge-{os.getpid()}")
    with service.socket:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@midge-{os.getpid()}")
        systemd.notify(systemd.RELOADING)
        state, _, at = service.hears().partition("\nMONOTONIC_USEC=")
        assert state == "RELOADING=1" and int(at) > 0


def test_a_systemd_that_is_not_there(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.notify(systemd.READY)
    assert "systemd is not told READY=1: " in caplog.text
    caplog.clear()
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify(systemd.READY)
    assert caplog.text == ""
