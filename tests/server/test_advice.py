"""What the server warns of when it starts, beside nats-server with the same file."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import server_certificate
from servers import need_nats_server

import midge

HASH = "$2a$04$P/.bd.7unw9Ew7yWJqXsl.f4oNRLQGvadEL2YnqQXbbb.IVQajRdK"
CASES = [
    "",
    "authorization {user: a, password: b}",
    f"authorization {{user: a, password: '{HASH}'}}",
    "authorization {token: a}",
    "authorization {users: [{user: a, password: b}]}",
    f"authorization {{users: [{{user: a, password: '{HASH}'}}]}}",
    f"authorization {{users: [{{user: a, password: '{HASH}'}}, {{user: b}}]}}",
    "authorization {users: [{nkey: UC6NLCN7AS34YOJVCYD4PJ3QB7QGLYG5B5IMBT25VW5K4TNUJODM7BOX}]}",
    "accounts {A {users: [{user: a, password: b}]}}",
    "max_payload: 8388608",
    "max_payload: 8388609",
    "max_payload: 9MB, authorization {user: a, password: b}",
    "websocket {port: -1, no_tls: true, authorization {username: a, password: b}}",
    "tls {cert_file: cert.pem, key_file: key.pem, ca_file: cert.pem, verify_and_map: true}, authorization {users: [{user: a}]}",
    "tls {cert_file: cert.pem, key_file: key.pem, ca_file: cert.pem, verify: true}, authorization {users: [{user: a}]}",
    "tls {cert_file: cert.pem, key_file: key.pem, ca_file: cert.pem, verify_and_map: true}, "
    "authorization {users: [{user: a, allowed_connection_types: [WEBSOCKET ]}]}",
    "tls {cert_file: cert.pem, key_file: key.pem, handshake_first: true}",
]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server_certificate().private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server_certificate().cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def theirs(executable: str) -> list[str]:
    """The lines of nats-server's that matter, until it is ready."""
    command = [executable, "-a", "127.0.0.1", "-p", "-1", "-T=false", "-c", "nats.conf"]
    lines = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(re.sub(r"^\[\d+\] ", "", line.rstrip("\n")))
            if "Server is ready" in line:
                break
        process.terminate()
    return that_matter(lines)


def that_matter(lines: list[str]) -> list[str]:
    """Warnings, and between which other lines they stand."""
    kept = ("[WRN]", "Starting nats-server", "Using configuration file", "Listening for", "Server is ready")
    return [re.sub(r":\d+$|\(.*\)$", "", line) for line in lines if any(each in line for each in kept)]


@pytest.mark.parametrize("text", CASES)
def test_both_servers_warn_alike(directory: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    executable = need_nats_server()
    (directory / "nats.conf").write_text(f"server_name: x\n{text}\n")
    with caplog.at_level(logging.INFO, "midge.server"), midge.Server(config="nats.conf", host="127.0.0.1", port=0):
        ours = [f"[{'WRN' if record.levelno == logging.WARNING else 'INF'}] {record.getMessage()}" for record in caplog.records]
    assert that_matter(ours) == theirs(executable)


def test_nobody_looks_at_users_beside_an_authorizer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "midge.server"), midge.Server(port=0, authorizer=lambda request: True):
        assert caplog.records == []


def test_an_embedded_server_without_logging_is_silent() -> None:
    """Python prints warnings for which nobody has set up anything."""
    text = 'import midge\nwith midge.Server(port=0, user="a", password="b", max_payload=9 << 20):\n    print("up")\n'
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("up\n", "")
