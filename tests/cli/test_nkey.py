"""``midge nkey``, and the commands that log in with what it makes: --creds and --nkey."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from processes import Run, Spawn

from midge.nkeys import KeyPair, Prefix

KEY = KeyPair.create()


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "user.nk"
    path.write_text(KEY.seed() + "\n")
    return path


@pytest.mark.parametrize("kind", ["user", "account", "operator", "server", "cluster"])
def test_create(midge: Run, kind: str) -> None:
    result = midge("nkey", "create", "--type", kind)
    key = KeyPair.from_seed(result.stdout.strip())
    assert (result.returncode, result.stderr, str(key.prefix)) == (0, b"", kind)
    assert midge("nkey", "public", input=result.stdout).stdout.decode() == key.public_key + "\n"


def test_create_a_user_in_a_file(midge: Run, tmp_path: Path) -> None:
    path = tmp_path / "new.nk"
    result = midge("nkey", "create", "-o", str(path))
    key = KeyPair.from_seed(path.read_text().strip())
    assert (result.returncode, result.stdout.decode(), result.stderr) == (0, key.public_key + "\n", b"")
    assert key.prefix is Prefix.USER and stat.S_IMODE(path.stat().st_mode) == 0o600
    again = midge("nkey", "create", "-o", str(path))
    assert again.returncode == 2 and b"new.nk exists already" in again.stderr
    assert path.read_text().strip() == key.seed()
    nowhere = midge("nkey", "create", "-o", str(tmp_path / "no" / "new.nk"))
    assert nowhere.returncode == 1 and b"No such file" in nowhere.stderr


def test_public(midge: Run, seed: Path) -> None:
    creds = f"-----BEGIN USER NKEY SEED-----\r\n{KEY.seed()}\r\n------END USER NKEY SEED------\r\n".encode()
    for result in (midge("nkey", "public", str(seed)), midge("nkey", "public", "-", input=creds)):
        assert (result.returncode, result.stdout.decode(), result.stderr) == (0, KEY.public_key + "\n", b"")


def test_sign(midge: Run, seed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"any\0thing")
    for result in (
        midge("nkey", "sign", "--seed", str(seed), str(data)),
        midge("nkey", "sign", "--seed", str(seed), input=b"any\0thing"),
        midge("nkey", "sign", "--seed", "-", str(data), input=KEY.seed().encode()),
    ):
        assert (result.returncode, result.stderr) == (0, b"")
        assert KEY.verify(b"any\0thing", base64.urlsafe_b64decode(result.stdout.strip() + b"=="))


@pytest.mark.parametrize(
    ("args", "given", "code", "text"),
    [
        (["public"], "", 1, "midge: nkey seed: there is none"),
        (["public"], KEY.seed()[:-1], 1, "midge: nkey seed: it has 57 characters, not 58"),
        (["public", "nowhere.nk"], "", 2, "'nowhere.nk': No such file or directory"),
        (["public", KEY.seed()], "", 2, "what it names: No such file or directory"),
        (["sign"], "", 2, "missing option '--seed'"),
        (["sign", "--seed", KEY.seed()], "", 2, "what it names: No such file or directory"),
        (["sign", "--seed", "-"], KEY.seed(), 2, "cannot both come from standard input"),
        (["create", "--type", "curve"], "", 2, "'curve' is not one of"),
        (["nothing"], "", 2, "no such command 'nothing'"),
        ([], "", 2, "Make and use nkeys"),
    ],
)  # fmt: skip
def test_what_goes_wrong(midge: Run, args: list[str], given: str, code: int, text: str) -> None:
    result = midge("nkey", *args, input=given.encode())
    assert (result.returncode, result.stdout) == (code, b"")
    said = result.stderr.decode()
    assert text in said and "Traceback" not in said
    assert KEY.seed() not in said and (not given or given not in said)


def test_commands_log_in_with_an_nkey(midge: Run, spawn: Spawn, seed: Path, tmp_path: Path, nats_server_executable: str) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(f"authorization {{ users: [ {{ nkey: {KEY.public_key} }} ] }}")
    server = spawn(command=[nats_server_executable, "--addr", "127.0.0.1", "--port", "-1", "--config", str(config)])
    url = "nats://127.0.0.1:" + server.wait_for(r"Listening for client connections on \S+:(\d+)")[1]
    refused = midge("pub", "a", "x", "-s", url)
    assert refused.returncode == 1 and b"Authorization Violation" in refused.stderr
    for args, env in ((["--nkey", str(seed)], {}), ([], {"NATS_NKEY": str(seed)})):
        result = midge("pub", "a", "x", "-s", url, *args, **env)
        assert (result.returncode, result.stderr) == (0, b"")


def test_commands_read_a_creds_file(midge: Run, server: str, tmp_path: Path) -> None:
    """Our own server does not ask for one yet: what is seen is that it is read."""
    missing = midge("pub", "a", "x", "-s", server, "--creds", str(tmp_path / "me.creds"))
    assert missing.returncode == 1
    assert (
        missing.stderr.decode()
        == f"midge: could not connect to {server}: creds: {str(tmp_path / 'me.creds')!r}: No such file or directory\n"
    )
    path = tmp_path / "me.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n"
        f"-----BEGIN USER NKEY SEED-----\n{KEY.seed()}\n------END USER NKEY SEED------\n"
    )
    assert midge("pub", "a", "x", "-s", server, NATS_CREDS=str(path)).returncode == 0
    both = midge("pub", "a", "x", "-s", server, "--creds", str(path), "--nkey", str(path))
    assert (both.returncode, both.stderr) == (1, b"midge: creds and nkey_seed exclude each other\n")
