"""TLS of the commands that talk to a server: the options are those of the ``nats`` command."""

from __future__ import annotations

from pathlib import Path

from certificates import Files
from processes import Run, Spawn


def test_commands_over_tls(midge: Run, spawn: Spawn, tmp_path: Path, nats_server_executable: str) -> None:
    files = Files(tmp_path)
    cert, key = files.client()
    config = tmp_path / "nats.conf"
    config.write_text(files.conf("verify: true"))
    server = spawn(command=[nats_server_executable, "--addr", "127.0.0.1", "--port", "-1", "--config", str(config)])
    url = "nats://127.0.0.1:" + server.wait_for(r"Listening for client connections on \S+:(\d+)")[1]
    result = midge("pub", "a", "x", "-s", url)
    assert result.returncode == 1 and b"the certificate of 127.0.0.1 is not accepted" in result.stderr
    result = midge("pub", "a", "x", "-s", url, "--tlsca", files.ca)
    assert result.returncode == 1 and b"certificate required" in result.stderr
    options = ["--tlsca", files.ca, "--tlscert", cert, "--tlskey", key]
    for args, env in ((options, {}), ([], {"NATS_CA": files.ca, "NATS_CERT": cert, "NATS_KEY": key})):
        result = midge("pub", "a", "x", "-s", url, *args, **env)
        assert (result.returncode, result.stderr) == (0, b"")
    result = midge("bench", "pubsub", "--msgs", "1000", "-s", url, *options, "--no-progress")
    assert result.returncode == 0, result.stderr


def test_handshake_first(midge: Run, spawn: Spawn, tmp_path: Path, nats_server_executable: str) -> None:
    files = Files(tmp_path)
    config = tmp_path / "nats.conf"
    config.write_text(files.conf("handshake_first: true"))
    server = spawn(command=[nats_server_executable, "--addr", "127.0.0.1", "--port", "-1", "--config", str(config)])
    url = "nats://127.0.0.1:" + server.wait_for(r"Listening for client connections on \S+:(\d+)")[1]
    assert midge("pub", "a", "x", "-s", url, "--tlsfirst", "--tlsca", files.ca).returncode == 0
    assert midge("pub", "a", "x", "-s", url, "--tlsca", files.ca, "--timeout", "0.3").returncode == 1


def test_a_server_without_tls_and_options_that_do_not_fit(midge: Run, server: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    result = midge("pub", "a", "x", "-s", server, "--tlsca", files.ca)
    assert result.returncode == 1 and b"nothing was sent" in result.stderr
    result = midge("pub", "a", "x", "-s", server, "--tlskey", files.key)
    assert (result.returncode, result.stderr) == (1, b"midge: a key_file needs a cert_file\n")
