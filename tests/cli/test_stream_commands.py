"""``midge stream``: on our server and on a real one, what is made, shown, changed and removed; and that nothing goes without a yes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from commands import Cli

from midge.cli.units import DURATION, FUTURE, PAST, SIZE, read_duration, shown_duration, shown_moment, shown_size


@pytest.fixture
def filled(cli: Cli) -> str:
    """The name of a stream with six messages on the subjects ``NAME.a`` and ``NAME.b``."""
    name = cli.name()
    cli("stream", "add", name, "--subjects", f"{name}.>", "--allow-direct")
    for rest, count in (("a", "5"), ("b", "1")):
        cli("pub", f"{name}.{rest}", "hello", "--count", count, "-H", "Trace: 1")
    return name


def test_add_says_what_the_server_has_made(cli: Cli) -> None:
    name = cli.name()
    found = cli.json(
        "stream", "add", name, "--subjects", f"{name}.a,{name}.b", "--subjects", f"{name}.c", "--max-age", "1d12h", "--max-bytes", "1MiB",
        "--storage", "memory", "--retention", "work", "--dupe-window", "90s", "--deny-purge", "--metadata", "team=a", "--discard", "new",
        "--transform-source", f"{name}.a", "--transform-destination", f"{name}.d", "--no-ack", "--description", "what for",
    )  # fmt: skip
    config = found["config"]
    assert config["subjects"] == [f"{name}.a", f"{name}.b", f"{name}.c"] and config["retention"] == "workqueue"
    assert (config["max_age"], config["max_bytes"], config["duplicate_window"]) == (129_600 * 10**9, 1 << 20, 90 * 10**9)
    assert config["deny_purge"] and config["no_ack"] and config["metadata"]["team"] == "a" and config["storage"] == "memory"
    assert config["subject_transform"] == {"src": f"{name}.a", "dest": f"{name}.d"}
    out = cli("stream", "info", name)
    for text in ("Retention  workqueue", "Maximum age  1d12h0m0s", "Maximum bytes  1.0 MiB", "team  a", "Deny purge  yes"):
        assert text in out
    assert cli.json("stream", "info", name)["config"] == config


def test_a_configuration_from_a_file(cli: Cli, tmp_path: Path, filled: str) -> None:
    name = cli.name()
    (tmp_path / "info.json").write_text(json.dumps(cli.json("stream", "info", filled)))
    out = tmp_path / "config.json"
    cli("stream", "add", name, "--config", str(tmp_path / "info.json"), "--subjects", f"{name}.x", "--output", str(out))
    assert json.loads(out.read_text())["name"] == name
    cli("stream", "add", name, "--config", str(out))
    assert cli.json("stream", "info", name)["config"]["subjects"] == [f"{name}.x"]
    (tmp_path / "bad.json").write_text("{")
    assert "bad.json is no JSON" in cli.refused("stream", "add", name, "--config", str(tmp_path / "bad.json"))


def test_lists(cli: Cli, filled: str) -> None:
    assert filled in cli("stream", "names").splitlines()
    assert cli.json("stream", "ls", "-n", "--subject", f"{filled}.a") == [filled]
    (row,) = cli.json("stream", "ls", "--subject", f"{filled}.a")
    assert (row["config"]["name"], row["state"]["messages"]) == (filled, 6)
    assert f"{filled}.>" in cli("stream", "list")
    assert cli.json("stream", "subjects", filled) == {f"{filled}.a": 5, f"{filled}.b": 1}
    assert cli("stream", "subjects", filled, f"{filled}.b", "-n") == f"{filled}.b\n"


def test_edit_changes_what_is_given(cli: Cli, filled: str) -> None:
    out = cli("stream", "edit", filled, "--max-msgs", "100", "--dry-run")
    assert out == "Maximum messages: unlimited -> 100\n"
    assert cli.json("stream", "info", filled)["config"]["max_msgs"] == -1
    found = cli.json("stream", "edit", filled, "--max-msgs", "100", "--description", "new", "-f")
    assert (found["config"]["max_msgs"], found["config"]["subjects"], found["config"]["allow_direct"]) == (100, [f"{filled}.>"], True)
    assert "Nothing to change" in cli("stream", "edit", filled, "--max-msgs", "100", "-f")
    assert "10" in cli.refused("stream", "edit", filled, "--storage", "memory", "-f", "--json")


def test_messages_one_by_one(cli: Cli, filled: str) -> None:
    found = cli.json("stream", "get", filled, "1")
    assert (found["stream"], found["seq"], found["subject"], found["data"]) == (filled, 1, f"{filled}.a", "hello")
    assert found["headers"] == [["Trace", "1"]]
    assert cli.json("stream", "get", filled, "-S", f"{filled}.b")["seq"] == 6
    assert cli.json("stream", "get", filled, "2", "--next-for", f"{filled}.b")["seq"] == 6
    assert cli("stream", "get", filled, "1", "--raw") == "hello\n"
    assert "no message found" in cli.refused("stream", "get", filled, "99")
    assert [each["seq"] for each in cli.lines("stream", "view", filled, "3", "--id", "2")] == [2, 3, 4]
    assert [each["seq"] for each in cli.lines("stream", "view", filled, "--subject", f"{filled}.b")] == [6]
    assert [each["seq"] for each in cli.lines("stream", "view", filled, "--since", "1h")] == [1, 2, 3, 4, 5, 6]
    assert cli("stream", "view", filled, "1").startswith(f"[1] {filled}.a at 20")
    assert cli.json("stream", "rmm", filled, "2", "-f") == {"success": True}
    assert cli.json("stream", "state", filled)["deleted"] == [2]
    assert cli.json("stream", "info", filled)["state"]["consumer_count"] == 0


def test_an_empty_stream_has_nothing_to_view(cli: Cli) -> None:
    name = cli.name()
    cli("stream", "add", name)
    assert cli("stream", "view", name) == ""


def test_purge_and_rm(cli: Cli, filled: str) -> None:
    assert cli.json("stream", "purge", filled, "--subject", f"{filled}.a", "--keep", "2", "-f")["purged"] == 3
    assert cli("stream", "purge", filled, "--seq", "6", "-f") == f"Purged 2 messages of stream {filled}\n"
    cli.refused("stream", "purge", filled, "--seq", "6", "--keep", "1", "-f", code=2)
    assert cli("stream", "rm", filled, "-f") == f"Deleted stream {filled}\n"
    assert "stream not found" in cli.refused("stream", "info", filled)


@pytest.mark.parametrize("args", [("purge",), ("rm",), ("rmm", "1"), ("seal",), ("edit", "--max-msgs", "9")], ids=lambda args: str(args[0]))
def test_nothing_is_destroyed_without_a_yes(cli: Cli, filled: str, args: tuple[str, ...]) -> None:
    command, *rest = args
    _, err = cli.both("stream", command, filled, *rest, code=2)
    assert "nobody is here to ask, so it needs --force" in err
    assert cli.json("stream", "info", filled)["state"]["messages"] == 6


def test_seal(cli: Cli, filled: str) -> None:
    cli("stream", "seal", filled, "--force")
    assert cli.json("stream", "info", filled)["config"]["sealed"]
    assert "10109" in cli.refused("stream", "purge", filled, "-f")


def test_backup_and_restore(cli: Cli, filled: str, tmp_path: Path) -> None:
    cli("stream", "rmm", filled, "2", "-f")
    cli("consumer", "add", filled, "C")
    before = cli.json("stream", "view", filled, "1"), cli.json("stream", "state", filled)
    found = cli.json("stream", "backup", filled, str(tmp_path / "backup"))
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["backup.json", "stream.arc.s2"]
    assert found["bytes"] == (tmp_path / "backup" / "stream.arc.s2").stat().st_size and found["state"]["messages"] == 5
    assert "holds a backup already" in cli.refused("stream", "backup", filled, str(tmp_path / "backup"))
    assert "10130" in cli.refused("stream", "restore", str(tmp_path / "backup"))
    cli("stream", "rm", filled, "-f")
    assert cli.json("stream", "restore", str(tmp_path / "backup"))["state"]["messages"] == 5
    assert (cli.json("stream", "view", filled, "1"), cli.json("stream", "state", filled)) == before
    assert cli.json("consumer", "names", filled) == ["C"]
    cli("stream", "rm", filled, "-f")
    data = bytearray((tmp_path / "backup" / "stream.arc.s2").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "backup" / "stream.arc.s2").write_bytes(data)
    cli.refused("stream", "restore", str(tmp_path / "backup"))
    assert "stream not found" in cli.refused("stream", "info", filled)


def test_what_makes_no_sense_is_said_in_one_line(cli: Cli, tmp_path: Path) -> None:
    assert "it holds ' '" in cli.refused("stream", "info", "a b")
    assert "which message?" in cli.refused("stream", "get", "X", code=2)
    assert "is not a duration" in cli.refused("stream", "add", "X", "--max-age", "7x", code=2)
    assert "is not a size" in cli.refused("stream", "add", "X", "--max-bytes", "many", code=2)
    assert "KEY=VALUE" in cli.refused("stream", "add", "X", "--metadata", "a", code=2)
    assert "backup.json" in cli.refused("stream", "restore", str(tmp_path))
    assert "stream not found" in cli.refused("stream", "backup", "NIX", str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_a_yes_at_a_terminal(cli: Cli, filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.cli.render._has_terminal", lambda: True)
    assert "nothing was done" in cli.both("stream", "rm", filled, code=1, stdin=b"n\n")[1]
    cli("stream", "rm", filled, stdin=b"y\n")
    cli.refused("stream", "info", filled)


def test_units() -> None:
    assert (
        read_duration("1h30m") == 5_400 * 10**9 and read_duration("1.5s") == 1_500_000_000 and read_duration("2w1d") == 15 * 86_400 * 10**9
    )
    assert (shown_duration(90_000 * 10**9), shown_duration(250_000_000), shown_duration(-(10**9))) == ("1d1h0m0s", "250ms", "-1s")
    assert (shown_size(1023), shown_size(1024), shown_size(5 << 30), shown_size(3 << 50)) == (
        "1,023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3,072.0 TiB",
    )
    assert [SIZE.convert(text, None, None) for text in ("10", "1k", "1.5KiB", "2MB", "-1")] == [10, 1024, 1536, 2 << 20, -1]
    assert DURATION.convert("-1", None, None) == 0
    assert PAST.convert("1h", None, None) < FUTURE.convert("0", None, None) < FUTURE.convert("1h", None, None)
    assert PAST.convert("2026-01-31T12:00:00Z", None, None).isoformat() == "2026-01-31T12:00:00+00:00"
    assert shown_moment("0001-01-01T00:00:00Z") == "never" and shown_moment("odd") == "odd"
    for kind, text in ((SIZE, "1" * 30), (DURATION, "9" * 30 + "y"), (DURATION, ""), (PAST, "yesterday"), (FUTURE, "9" * 12 + "y")):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)
