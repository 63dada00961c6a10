"""What command line and file ask for together, -t, and SIGHUP, beside nats-server where it can be asked the same."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import server_certificate
from processes import Run, Spawn

from midge.cli import flags
from midge.cli.reload import Reload
from midge.cli.serve_options import TEMPORARY_STORE, Settings, reload_settings, settings_of
from midge.server.config.errors import ConfigError
from midge.server.config.load import load
from midge.server.jetstream_options import JetStreamOptions
from midge.server.server import Server

NATS_SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


def settings(*args: str) -> Settings:
    return settings_of(flags.parse(args))


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "nats.conf"


def test_flags_have_precedence_over_the_file(conf: Path) -> None:
    conf.write_text(
        "listen: 127.0.0.1:4333\nserver_name: file\nmax_payload: 1kb\nauthorization {user: a, password: b}\n"
        "debug: true\nlogtime: false\nlog_file: l\npid_file: p\nports_file_dir: d\nlogtime_utc: true"
    )
    found = settings("-c", "nats.conf")
    assert (found.options.host, found.options.port, found.options.name, found.options.max_payload) == ("127.0.0.1", 4333, "file", 1024)
    assert (found.debug, found.trace, found.stamp, found.utc) == (True, False, False, True)
    assert (found.log_file, found.pid_file, found.ports_dir) == ("l", "p", "d")
    found = settings("-c", "nats.conf", "-p", "-1", "-a", "::1", "-n", "flag", "-D=false", "-V", "-T", "-l", "x", "--user", "c")
    assert (found.options.host, found.options.port, found.options.name) == ("::1", -1, "flag")
    assert (found.options.user, found.options.password) == ("c", "b")
    assert (found.debug, found.trace, found.stamp, found.utc, found.log_file) == (False, True, True, True, "x")


def test_without_either_the_defaults_are_nats_servers(conf: Path) -> None:
    conf.write_text("max_payload: 0\nport: 0")
    assert settings("-c", "nats.conf").options.host == settings().options.host == "0.0.0.0"
    assert settings("-c", "nats.conf", "-p", "0").options.port == 4222
    assert settings("-c", "nats.conf").options.max_payload == 1 << 20


def test_what_is_read_again_is_what_the_file_says_now(conf: Path) -> None:
    conf.write_text("max_payload: 1kb\nping_max: 5")
    found = settings("-c", "nats.conf", "-n", "x")
    conf.write_text("max_payload: 2kb")
    again = reload_settings(found)
    assert (again.options.max_payload, again.options.ping_max, again.options.name) == (2048, 2, "x")
    with pytest.raises(ValueError, match="can only reload config when a file is provided using -c or --config"):
        reload_settings(settings())


def test_a_warning_is_told_and_does_not_hinder(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text("write_deadline: 5")
    assert settings("-c", "nats.conf").options.write_deadline == 5.0
    assert "write_deadline should be converted to a duration" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="should be converted"):
        settings("-t", "-c", "nats.conf")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--tls"], "TLS Server certificate must be present and valid"),
        (["--tlscert", "x"], "TLS Server private key must be present and valid"),
        (["--tlscert", "no.pem", "--tlskey", "no.key"], "error parsing X509 certificate/key pair: open no.pem: no such file or directory"),
        (["-t"], "must specify [-c, --config] option to check configuration file syntax"),
        (["-c", "no.conf"], "open no.conf: no such file or directory"),
    ],
)
def test_what_makes_no_sense(conf: Path, args: list[str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        settings(*args)
    assert str(caught.value) == message


def test_flags_for_tls(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_certificate().private_key_pem.write_to_path("key.pem")
    server_certificate().cert_chain_pems[0].write_to_path("cert.pem")
    conf.write_text("tls {cert_file: cert.pem, key_file: key.pem, timeout: 5}")
    assert settings("-c", "nats.conf", "--tls=false").options.tls is None
    found = settings("-c", "nats.conf", "--tlscert=cert.pem", "--tlskey=key.pem", "--tlsverify", "--tlscacert=cert.pem").options.tls
    assert found is not None and (found.verify, found.ca_file, found.timeout) == (True, "cert.pem", 5.0)
    found = settings("--tls", "--tlscert=cert.pem", "--tlskey=key.pem").options.tls
    assert found is not None and (found.verify, found.timeout) == (False, 2.0)


@pytest.mark.parametrize(
    ("name", "message"), [("logfile_size_limit", "LogSizeLimit: old=0, new=3"), ("logfile_max_num", "LogMaxFiles: old=0, new=3")]
)
def test_a_process_keeps_the_bounds_of_its_log(conf: Path, name: str, message: str) -> None:
    conf.write_text("max_payload: 100\n")
    found = settings("-c", "nats.conf", "-p", "-1", "-a", "127.0.0.1")
    with Server(found.options) as server:
        conf.write_text(f"max_payload: 10\n{name}: 3\n")
        with pytest.raises(ValueError) as caught:
            Reload(found, server, logging.NullHandler())()
        assert str(caught.value) == f"config reload not supported for {message}"
        assert server.options.max_payload == 100


def test_what_t_says(conf: Path, midge: Run) -> None:
    conf.write_text("port: 4333\n")
    done = midge("serve", "-t", "-c", "nats.conf")
    digest = load("nats.conf").options["config_digest"]
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"nats-server: configuration file nats.conf is valid ({digest})\n"
    conf.write_text("port: 4333\nbogus: 1\n  other: 2")
    done = midge("serve", "-t", "-c", "nats.conf")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == 'nats-server: nats.conf:2:1: unknown field "bogus"\nnats.conf:3:3: unknown field "other"\n'


def test_help_for_tls(midge: Run) -> None:
    done = midge("serve", "--help_tls")
    text = done.stdout.decode()
    assert done.returncode == 0 and "    tls {\n" in text and "TLS_AES_128_GCM_SHA256" in text and "CurveP256" in text


# The same file, changed in the same way, in front of both.


SERVERS = ["midge", pytest.param("nats-server", marks=pytest.mark.skipif(NATS_SERVER is None, reason="no nats-server executable"))]


@pytest.mark.parametrize("name", SERVERS)
def test_a_hangup(conf: Path, spawn: Spawn, name: str) -> None:
    conf.write_text("listen: 127.0.0.1:-1\nmax_payload: 100\n")
    args = ["serve", "-c", "nats.conf"] if name == "midge" else ["-c", "nats.conf"]
    child = spawn(*args, command=None if name == "midge" else [str(NATS_SERVER)])
    child.wait_for(r"Using configuration file: nats\.conf \(sha256:[0-9a-f]{64}\)$")
    port = int(child.wait_for(r"Listening for client connections on 127\.0\.0\.1:(\d+)")[1])
    child.wait_for("Server is ready")

    failed = r"\[ERR\] Failed to reload server configuration: "

    def hang_up(text: str, line: str) -> re.Match[str]:
        conf.write_text(text)
        child.process.send_signal(signal.SIGHUP)
        return child.wait_for(line)

    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as stream:
        assert b'"max_payload":100' in stream.readline()
        client.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert stream.readline() == b"PONG\r\n"
        hang_up("listen: 127.0.0.1:-1\nmax_payload: 10\n", r"\[INF\] Reloaded: max_payload = 10$")
        digest = child.wait_for(r"\[INF\] Reloaded server configuration \((sha256:[0-9a-f]+)\)$")[1]
        assert digest == load("nats.conf").options["config_digest"]
        hang_up("bogus: 1\n", failed + r"nats\.conf:1:0: unknown field \"bogus\"$")
        hang_up("listen: 127.0.0.1:4\nmax_payload: 10\n", failed + r"config reload not supported for Port: "
                rf"old={port if name == 'nats-server' else -1}, new=4$")  # fmt: skip
        hang_up("listen: 127.0.0.1:-1\nmax_payload: 10\ndebug: true\n", r"\[INF\] Reloaded: debug = true$")
        child.wait_for(r"\[INF\] Reloaded server configuration ")
        client.sendall(b"PUB a 11\r\n")
        assert stream.readline() == b"-ERR 'Maximum Payload Violation'\r\n"
    child.wait_for(r"\[DBG\] .*Client connection closed: Maximum Message Payload Exceeded")
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as stream:
        assert b'"max_payload":10,' in stream.readline()
        client.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert stream.readline() == b"PONG\r\n"
        hang_up("listen: 127.0.0.1:-1\nauthorization {token: x}\nmax_payload: 10\n", r"\[INF\] Reloaded server configuration ")
        assert stream.readline() == b"-ERR 'Authorization Violation'\r\n"
        assert stream.readline() == b""
    assert child.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("system_account: X\n", "error resolving system account: account missing"),
        ("max_payload: 2000\nmax_pending: 1000\n", "max_payload (2000) cannot be higher than max_pending (1000)"),
        ("no_auth_user: x\n", 'no_auth_user: "x" present, but users/nkeys are not defined'),
    ],
)
def test_what_t_does_not_look_at(conf: Path, nats_server_executable: str, text: str, problem: str) -> None:
    """nats-server finds that out when it starts."""
    conf.write_text(text)
    theirs = [nats_server_executable, "-a", "127.0.0.1", "-p", "-1", "-c", "nats.conf"]
    done = subprocess.run([*theirs, "-t"], capture_output=True, timeout=20)
    digest = load("nats.conf").options["config_digest"]
    assert (done.returncode, done.stderr.decode()) == (0, f"nats-server: configuration file nats.conf is valid ({digest})\n")
    assert settings("-t", "-c", "nats.conf").options.config_digest == digest
    done = subprocess.run(theirs, capture_output=True, timeout=20)
    assert (done.returncode, done.stderr.decode()) == (1, f"nats-server: {problem}\n")
    with pytest.raises(ConfigError) as caught:
        settings("-c", "nats.conf")
    assert str(caught.value) == problem


def test_t_looks_at_the_rest(conf: Path) -> None:
    conf.write_text("system_account: X\naccounts {A {imports: [{stream: {account: A, subject: x}}]}}\n")
    with pytest.raises(ConfigError, match="not authorized"):
        settings("-t", "-c", "nats.conf")


def test_streams_are_switched_on_and_off_by_flags_and_kept_where_they_say(conf: Path) -> None:
    assert settings("-sd", "x").options.jetstream is None
    assert settings("-js", "-sd", "x").options.store_dir == "x"
    assert settings("--jetstream").options.store_dir == TEMPORARY_STORE
    assert settings("-js").options.jetstream == JetStreamOptions()
    conf.write_text("jetstream {domain: hub, store_dir: y}")
    assert settings("-c", str(conf)).options.jetstream == JetStreamOptions(domain="hub")
    found = settings("-c", str(conf), "-js", "--store_dir", "z").options
    assert (found.store_dir, found.jetstream) == ("z", JetStreamOptions(domain="hub"))
    assert settings("-c", str(conf), "-js=false").options.jetstream is None
    conf.write_text("store_dir: y")
    assert settings("-c", str(conf)).options.jetstream is None
    assert settings("-c", str(conf), "-js").options.store_dir == "y"
