"""``midge account backup`` and ``restore``: all streams, and what becomes of the others where one fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli
from nodes import nats_node
from servers import find_nats_server

import midge


@pytest.fixture(params=["midge", "nats-server"])
def own(
    request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cli]:
    """The command line on a server that has no other streams."""
    if request.param == "midge":
        with midge.Server(port=0, store_dir=str(tmp_path / "store")) as server:
            monkeypatch.setenv("NATS_URL", server.url)
            yield Cli(server.url, capfd)
    elif find_nats_server() is None:
        pytest.skip("there is no nats-server")
    else:
        with nats_node(f'jetstream {{ store_dir: "{tmp_path / "store"}" }}') as url:
            monkeypatch.setenv("NATS_URL", url)
            yield Cli(url, capfd)


def test_everything_there_and_back(own: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "backup"
    assert own.refused("account", "backup", str(directory)) == "there are no streams"
    own("stream", "add", "A", "--subjects", "a.>")
    own("pub", "a.x", "hello", "--count", "3")
    own("consumer", "add", "A", "C")
    own("kv", "add", "settings")
    own("kv", "put", "settings", "color", "red")
    found = own.json("account", "backup", str(directory))
    assert [(each["stream"], each["state"]["messages"]) for each in found["streams"]] == [("A", 3), ("KV_settings", 1)]
    assert found["failed"] == [] and sorted(path.name for path in directory.iterdir()) == ["A", "KV_settings"]
    own("stream", "rm", "A", "-f")
    # one is there still, which fails, and the other comes back
    out, err = own.both("account", "restore", str(directory), code=1)
    assert out == "Restored stream A, 3 messages\n"
    first, last = err.splitlines()
    assert first.startswith("midge: stream KV_settings: ") and last == "midge: 1 stream of 2 could not be restored"
    assert own.json("consumer", "names", "A") == ["C"]
    own("kv", "rm", "settings", "-f")
    own("stream", "rm", "A", "-f")
    assert own("account", "restore", str(directory)) == "Restored stream A, 3 messages\nRestored stream KV_settings, 1 message\n"
    assert own("kv", "get", "settings", "color", "--raw") == "red\n"


def test_what_is_damaged_stops_nothing_else(own: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "backup"
    for name in ("A", "B", "D"):
        own("stream", "add", name, "--subjects", f"{name}.>")
        own("pub", f"{name}.x", "hello")
    assert "Backed up stream B, 1 message" in own("account", "backup", str(directory), "--no-consumers")
    assert "holds a backup already" in own.both("account", "backup", str(directory), code=1)[1]
    for name in ("A", "B", "D"):
        own("stream", "rm", name, "-f")
    (directory / "A" / "backup.json").write_text("{")
    shutil.rmtree(directory / "D")
    (directory / "D").mkdir()
    (directory / "README").write_text("no directory")
    out, err = own.both("account", "restore", str(directory), "--json", code=1)
    found = json.loads(out)
    assert [each["config"]["name"] for each in found["streams"]] == ["B"]
    assert [each["stream"] for each in found["failed"]] == ["A", "D"] and "2 streams of 3" in err
    shutil.rmtree(directory)
    directory.mkdir()
    assert "holds no backups" in own.refused("account", "restore", str(directory))


def test_streams_in_memory(own: Cli, tmp_path: Path) -> None:
    own("stream", "add", "FILE")
    own("stream", "add", "MEMORY", "--storage", "memory")
    out, err = own.both("account", "backup", str(tmp_path / "backup"))
    assert "stream FILE" in out
    can_be_read = "stream MEMORY" in out
    assert can_be_read is not ("stream MEMORY" in err)
    own.both("account", "backup", str(tmp_path / "again"), "-w", code=0 if can_be_read else 1)
