"""``midge check`` and ``midge store``: what they print, for people and as JSON, and how they exit."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from processes import COMMAND, environment

from midge.cli import main
from midge.engine.consumers.dump import dump
from midge.engine.consumers.ledger import Ledger
from midge.store.directory import StoreDirectory
from midge.store.segment import HEAD_SIZE
from midge.store.state import ConsumerRow
from midge.wire.publication import Publication

SECOND = 1_700_000_000_000_000_007


def opened(path: Path) -> StoreDirectory:
    return StoreDirectory(str(path), wake=lambda: None, workers=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with three streams of two accounts, stopped."""
    directory = opened(tmp_path / "store")
    for account, name in (("A", "ORDERS"), ("A", "\x1b[31mred"), ("B", "ORDERS")):
        store = directory.open(account, name)
        directory.state.put_stream(account, name, json.dumps({"name": name}).encode(), 1)
        for number, data in enumerate((b"one", b"\xff", b"three")):
            header = b"NATS/1.0\r\nTrace: a\r\nTrace: b\r\n\r\n" if number == 2 else b""
            store.append(Publication.compose(b"orders.%d" % number, b"", header, data), SECOND + number)
    directory.begin()
    directory.finish()
    directory.close()
    return tmp_path / "store"


@pytest.fixture
def damaged(path: Path) -> Path:
    """The same, with one byte of the first stream's first message changed."""
    segment = next(path.glob("streams/*1/*.seg"))
    data = bytearray(segment.read_bytes())
    data[HEAD_SIZE + 40] ^= 1
    segment.write_bytes(data)
    return path


Captured = pytest.CaptureFixture[str]


def rows(capsys: Captured, *args: str, code: int = 0) -> list[Any]:
    """Run a command; return the JSON values that it prints."""
    assert main(args) == code
    out, err = capsys.readouterr()
    assert (err == "") is (code == 0 or args[0] == "check" or args[1] == "verify")
    return [json.loads(line) for line in out.splitlines()]


def test_consumers(path: Path, capsys: Captured) -> None:
    ledger = Ledger()
    for sequence in (1, 2, 3):
        ledger.deliver(sequence, SECOND)
    ledger.ack(1)
    directory = opened(path)
    row = ConsumerRow(1, "A", "ORDERS", "packing", b'{"name": "packing"}', SECOND, dump(ledger, SECOND))
    directory.keeper.put(row, 1, lambda error: None)
    directory.close()
    (found,) = rows(capsys, "store", "consumers", str(path), "ORDERS", "--json")
    assert found == {
        "account": "A", "stream": "ORDERS", "consumer": "packing", "created": "2023-11-14T22:13:20.000000007Z",
        "delivered_consumer_seq": 3, "delivered": 3, "ack_floor_consumer_seq": 1, "ack_floor": 1, "pending": 2, "redelivered": 0,
        "config": {"name": "packing"},
    }  # fmt: skip
    assert [each["consumers"] for each in rows(capsys, "store", "list", str(path), "--json")] == [0, 1, 0]
    assert main(["check", str(path)]) == 0
    assert "A ORDERS: 3 messages (1 to 3), 159 bytes, 1 segment, 1 consumer" in capsys.readouterr().out
    assert main(["store", "consumers", str(path)]) == 0
    assert "packing" in capsys.readouterr().out


def test_check(path: Path, capsys: Captured) -> None:
    assert main(["check", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines() == [
        "A \\x1b[31mred: 3 messages (1 to 3), 159 bytes, 1 segment",
        "A ORDERS: 3 messages (1 to 3), 159 bytes, 1 segment",
        "B ORDERS: 3 messages (1 to 3), 159 bytes, 1 segment",
        "3 streams, 9 messages: nothing is wrong",
    ]
    (found,) = rows(capsys, "check", str(path), "--json")
    assert (found["path"], found["good"], found["damages"]) == (str(path), True, [])
    assert found["streams"][1] == {
        "account": "A", "stream": "ORDERS", "directory": str(path / "streams/00000001"), "messages": 3, "bytes": 159,
        "first_seq": 1, "last_seq": 3, "segments": 1, "consumers": 0, "damages": [],
    }  # fmt: skip


def test_check_tells_what_is_wrong(damaged: Path, capsys: Captured) -> None:
    segment = damaged / "streams/00000001/0000000001.seg"
    assert main(["check", str(damaged)]) == 3
    out, err = capsys.readouterr()
    assert err == "" and f"  {segment} at byte 128: this is no record: message 1 is lost\n" in out
    assert out.endswith("3 streams, 8 messages: 1 damage, 1 message lost\n")
    (found,) = rows(capsys, "check", str(damaged), "--json", code=3)
    assert not found["good"]
    assert found["streams"][1]["damages"] == [
        {"file": str(segment), "offset": 128, "first": 1, "last": 1, "why": "this is no record", "kept_as": ""}
    ]


def test_verify_one_stream(damaged: Path, capsys: Captured) -> None:
    (found,) = rows(capsys, "store", "verify", str(damaged), "ORDERS", "--account", "B", "--json")
    assert [each["account"] for each in found["streams"]] == ["B"]
    (found,) = rows(capsys, "store", "verify", str(damaged), "ORDERS", "--json", code=3)
    assert [each["account"] for each in found["streams"]] == ["A", "B"]
    assert len(rows(capsys, "store", "verify", str(damaged), "--json", code=3)[0]["streams"]) == 3


def test_what_is_wrong_with_the_directory(path: Path, capsys: Captured) -> None:
    directory = opened(path)
    directory.state.put_stream("B", "GONE", b"{}", 1)
    directory.close()
    assert main(["check", str(path)]) == 3
    assert (
        "the files of stream GONE of account B are missing\n3 streams, 9 messages: 1 damage, 0 messages lost\n" in capsys.readouterr().out
    )
    assert main(["store", "verify", str(path), "ORDERS"]) == 0


def test_list(path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(capsys, "store", "list", str(path), "--account", "A", "--json")
    assert found[1] == {
        "account": "A", "stream": "ORDERS", "messages": 3, "bytes": 159, "first_seq": 1, "last_seq": 3, "subjects": 3, "consumers": 0,
        "first_time": "2023-11-14T22:13:20.000000007Z", "last_time": "2023-11-14T22:13:20.000000009Z",
    }  # fmt: skip
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["store", "list", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\\x1b[31mred" in out and "first seq" in out and len(out.splitlines()) >= 5


def test_usage(path: Path, capsys: Captured) -> None:
    found = rows(capsys, "store", "usage", str(path), "--json")[1]
    size = (path / "streams/00000001/0000000001.seg").stat().st_size
    assert found == {
        "account": "A", "stream": "ORDERS", "directory": "00000001", "disk": size, "bytes": 159, "messages": 3, "segments": 1,
        "quarantine": 0,
    }  # fmt: skip
    quarantine = path / "streams/00000001/quarantine"
    quarantine.mkdir()
    (quarantine / "0000000001-128-136").write_bytes(bytes(8))
    assert rows(capsys, "store", "usage", str(path), "--json")[1]["quarantine"] == 8


@pytest.mark.parametrize("command", ["list", "usage"])
def test_a_stream_that_cannot_be_read_hides_no_other(path: Path, capsys: Captured, command: str) -> None:
    (path / "streams/00000001/0000000009.seg").symlink_to(path / "nowhere")
    assert main(["store", command, str(path), "--json"]) == 3
    out, err = capsys.readouterr()
    assert [json.loads(line)["account"] for line in out.splitlines()] == ["A", "B"]
    assert err.startswith(f"midge: {path}/streams/00000001 cannot be read: ") and err.count("\n") == 1


def test_export(path: Path, capsys: Captured) -> None:
    one, two, three = rows(capsys, "store", "export", str(path), "ORDERS", "--account", "A")
    assert one == {"seq": 1, "time": "2023-11-14T22:13:20.000000007Z", "subject": "orders.0", "headers": [], "data": "one"}
    assert two == {"seq": 2, "time": "2023-11-14T22:13:20.000000008Z", "subject": "orders.1", "headers": [], "data_base64": "/w=="}
    assert three["headers"] == [["Trace", "a"], ["Trace", "b"]]
    options = ("--account", "A", "--start", "2", "--limit", "1")
    assert rows(capsys, "store", "export", str(path), "ORDERS", *options) == [two]


def test_export_leaves_out_what_is_damaged_and_says_so(damaged: Path, capsys: Captured) -> None:
    assert main(["store", "export", str(damaged), "ORDERS", "--account", "A"]) == 3
    out, err = capsys.readouterr()
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [2, 3]
    assert err == f"midge: {damaged}/streams/00000001/0000000001.seg at byte 128: this is no record: message 1 is lost\n"


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["store", "export", "DIR", "ORDERS"], 2, "2 accounts have a stream ORDERS: choose one with --account"),
        (["store", "export", "DIR", "NONE"], 2, "there is no stream NONE in DIR"),
        (["store", "verify", "DIR", "ORDERS", "--account", "C"], 2, "there is no stream ORDERS of account C in DIR"),
        (["store", "export", "DIR"], 2, "missing argument 'STREAM'"),
        (["check", "DIR/nowhere"], 2, "does not exist"),
        (["check", "DIR/streams"], 1, "there is no store at DIR/streams"),
        (["store", "list", "DIR/streams"], 1, "there is no store at DIR/streams"),
    ],
)
def test_what_makes_no_sense(path: Path, capsys: Captured, args: list[str], code: int, text: str) -> None:
    assert main([each.replace("DIR", str(path)) for each in args]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("midge: ") and text.replace("DIR", str(path)) in err


def test_a_store_that_a_server_uses(path: Path, capsys: Captured) -> None:
    directory = opened(path)
    for args in (["check"], ["store", "list"], ["store", "usage"], ["store", "verify"], ["store", "export"]):
        assert main([*args, str(path), *(["ORDERS"] if args[-1] == "export" else [])]) == 1
        assert capsys.readouterr().err == f"midge: the store at {path} is in use by process {os.getpid()}\n"
    directory.close()


def test_progress_is_shown_to_people_only(path: Path) -> None:
    """On a terminal, and on standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.run(
        [*COMMAND, "check", str(path)], stdout=subprocess.PIPE, stderr=theirs, env=environment({"TERM": "xterm"}), timeout=30
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert process.returncode == 0 and b"reading" in shown and process.stdout.endswith(b"nothing is wrong\n")
