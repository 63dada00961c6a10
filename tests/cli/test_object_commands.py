"""``midge object`` and ``midge account``: on our server and on a real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import Cli


@pytest.fixture
def store(cli: Cli) -> str:
    """The name of an object store."""
    name = cli.name()
    cli("object", "add", name, "--storage", "memory")
    return name


def test_stores(cli: Cli, store: str) -> None:
    name = cli.name()
    found = cli.json("object", "add", name, "--ttl", "1h", "--max-bucket-size", "1MB", "--description", "why", "--metadata", "team=a")
    assert (found["config"]["name"], found["config"]["max_age"], found["config"]["max_bytes"]) == (f"OBJ_{name}", 3_600 * 10**9, 1 << 20)
    assert "team  a" in cli("object", "info", name) and {store, name} <= set(cli("object", "list", "-n").splitlines())
    assert "needs --force" in cli.refused("object", "edit", name, "--ttl", "1s", code=2)
    assert cli.json("object", "edit", name, "--description", "new", "-f")["config"]["description"] == "new"
    assert "new" in cli("object", "list")
    cli("object", "rm", name, "-f")
    assert name in cli.refused("object", "info", name)


def test_files_in_and_out(cli: Cli, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(300_000)
    source = tmp_path / "data.bin"
    source.write_bytes(data)
    found = cli.json("object", "put", store, str(source), "--description", "what for", "-H", "Kind: test")
    assert (found["name"], found["size"], found["chunks"], found["headers"]) == ("data.bin", 300_000, 3, {"Kind": ["test"]})
    assert "what for" in cli("object", "info", store, "data.bin") and "data.bin" in cli("object", "ls", store)
    assert "needs --force" in cli.both("object", "put", store, str(source), code=2)[1]
    cli("object", "put", store, str(source), "-f", "--chunk-size", "1k")
    monkeypatch.chdir(tmp_path)
    assert "needs --force" in cli.both("object", "get", store, "data.bin", code=2)[1]
    source.unlink()
    cli("object", "get", store, "data.bin")
    assert source.read_bytes() == data
    cli("object", "get", store, "data.bin", "-O", "other.bin")
    assert (tmp_path / "other.bin").read_bytes() == data
    cli("object", "put", store, "-", "--name", "../text", stdin=b"hello")
    assert cli("object", "get", store, "../text", "-O", "-") == "hello"
    assert cli.json("object", "get", store, "../text")["file"] == "text" and (tmp_path / "text").read_bytes() == b"hello"
    assert "--name" in cli.refused("object", "put", store, "-", code=2)
    assert "No such file" in cli.refused("object", "put", store, "nothing.bin")
    assert "nothing" in cli.refused("object", "get", store, "nothing")


def test_what_is_no_file_is_written_to_and_a_link_stays(cli: Cli, store: str, tmp_path: Path) -> None:
    cli("object", "put", store, "-", "--name", "a", stdin=b"hello")
    pipe, link, behind = tmp_path / "pipe", tmp_path / "link", tmp_path / "behind"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    cli("object", "get", store, "a", "-O", str(pipe), "-f")
    assert pipe.is_fifo() and os.read(reader, 10) == b"hello"
    os.close(reader)
    behind.write_bytes(b"before")
    link.symlink_to(behind)
    cli("object", "get", store, "a", "-O", str(link), "-f")
    assert link.is_symlink() and behind.read_bytes() == b"hello"


def test_links_watch_rm_and_seal(cli: Cli, store: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    cli("object", "put", store, str(tmp_path / "a"))
    cli("object", "link", store, "latest", store, "a")
    cli("object", "link", store, "everything", store)
    assert f"link to {store} a" in cli("object", "ls", store)
    assert cli("object", "get", store, "latest", "-O", "-") == "one"
    assert "needs --force" in cli.both("object", "rm", store, "latest", code=2)[1]
    cli("object", "rm", store, "everything", "-f")
    assert cli.json("object", "ls", store, "-n") == ["a", "latest"]
    assert [each["name"] for each in cli.lines("object", "watch", store, "--count", "2")] == ["a", "latest"]
    assert cli("object", "watch", store, "--count", "1") == "a: 3 B\n"
    assert cli.json("object", "seal", store, "-f")["config"]["sealed"]
    assert "sealed" in cli.refused("object", "put", store, str(tmp_path / "a"), "--name", "b")


def test_account(cli: Cli, store: str) -> None:
    found = cli.json("account", "info")
    assert found["streams"] >= 1 and found["type"].endswith("account_info_response")
    out = cli("account", "info")
    for text in ("Version".lower(), "Round trip", "Streams", cli.url):
        assert text in out
