"""``midge account backup`` and ``restore``: all streams, and what becomes of the others where one fails."""

from __future__ import annotations

import asyncio
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


def test_reports(own: Cli, request: pytest.FixtureRequest) -> None:
    if "midge" in request.node.callspec.id:
        assert "no server tells of its connections" in own.refused("account", "report", "connections")
        return
    own("pub", "a", "x", "--count", "3")
    (row,) = own.json("account", "report", "connections", "--sort", "in-msgs")
    assert row["name"].startswith("midge account report") and row["server"]["ver"]
    assert "midge account report" in own("account", "report", "conns", "-R")
    assert "no such connections" in own("account", "report", "connections", "--subject", "nothing.here")
    assert len(own.json("account", "report", "connections", "--state", "all", "--top", "1")) == 1
    (row,) = own.json("account", "report", "statistics")
    assert row["acc"] == "$G" and row["received"]["msgs"] >= 3
    assert "slow consumers" in own("account", "report", "stats")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"x", "not the report"),
        (b"[]", "not the report"),
        (b'{"server":{},"data":7}', "not the report"),
        (b'{"server":7,"data":{}}', "not the report"),
        (b'{"server":{},"data":{"account_statz":[7]}}', "not the report"),
        (b'{"error":{"description":"no\\u001b[31m"}}', "refused: no"),
        (b'{"error":7}', "not the report"),
    ],
)
def test_reports_that_make_no_sense(answer: bytes, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    async def story() -> None:
        async with midge.Server(port=0) as server, midge.connect(server.url) as nc:
            await nc.subscribe("$SYS.REQ.ACCOUNT.PING.STATZ", callback=lambda message: message.respond(answer))
            await nc.flush()
            said = await asyncio.to_thread(Cli(server.url, capfd).refused, "account", "report", "statistics", "-s", server.url)
            assert text in said and "\x1b" not in said

    asyncio.run(story())
