"""``midge kv``: on our server and on a real one."""

from __future__ import annotations

import pytest
from commands import Cli


@pytest.fixture
def bucket(cli: Cli) -> str:
    """The name of a bucket."""
    name = cli.name()
    cli("kv", "add", name, "--history", "5", "--storage", "memory", "--marker-ttl", "1m")
    return name


def test_buckets(cli: Cli, bucket: str) -> None:
    name = cli.name()
    found = cli.json(
        "kv", "add", name, "--ttl", "1h", "--max-bucket-size", "1MB", "--max-value-size", "1k", "--description", "why", "--compress",
        "--metadata", "team=a", "--republish-destination", "again.>", "--republish-source", ">",
    )  # fmt: skip
    config = found["config"]
    assert (config["name"], config["max_age"], config["max_bytes"], config["max_msg_size"]) == (f"KV_{name}", 3_600 * 10**9, 1 << 20, 1024)
    assert config["compression"] == "s2" and config["republish"]["dest"] == "again.>" and config["metadata"]["team"] == "a"
    out = cli("kv", "info", name)
    for text in (f"Bucket {name}", "Lifetime of values  1h0m0s", "team  a"):
        assert text in out
    assert "needs --force" in cli.refused("kv", "edit", name, "--ttl", "1s", code=2)
    assert cli.json("kv", "edit", name, "--description", "new", "-f")["config"]["description"] == "new"
    assert cli.json("kv", "info", name)["config"]["max_age"] == 3_600 * 10**9
    assert {bucket, name} <= set(cli.json("kv", "ls", "-n")) and bucket in cli("kv", "ls")
    mirror = cli.name()
    assert cli.json("kv", "add", mirror, "--mirror", name)["config"]["mirror"]["name"] == f"KV_{name}"
    assert mirror in cli("kv", "ls", "-n").splitlines() and f"KV_{name}" not in cli("stream", "names").splitlines()
    assert f"KV_{name}" in cli("stream", "names", "-a").splitlines()
    assert "needs --force" in cli.both("kv", "rm", mirror, code=2)[1]
    assert cli.json("kv", "rm", mirror, "-f") == {"success": True}
    assert mirror in cli.refused("kv", "info", mirror)
    assert "--republish-destination" in cli.refused("kv", "add", "X", "--republish-source", "a", code=2)
    assert mirror in cli.refused("kv", "get", mirror, "a")


def test_values(cli: Cli, bucket: str) -> None:
    assert cli("kv", "put", bucket, "color", "red") == "Revision 1\n"
    assert cli.json("kv", "update", bucket, "color", "blue", "1") == {"revision": 2}
    assert "revision 2 by now" in cli.refused("kv", "update", bucket, "color", "green", "1")
    assert cli("kv", "get", bucket, "color", "--raw") == "blue\n"
    assert cli("kv", "get", bucket, "color", "--raw", "--revision", "1") == "red\n"
    assert cli("kv", "get", bucket, "color").startswith("color > PUT, revision 2 at 20")
    found = cli.json("kv", "get", bucket, "color")
    assert (found["bucket"], found["key"], found["value"], found["operation"]) == (bucket, "color", "blue", "PUT")
    assert "has a value" in cli.refused("kv", "create", bucket, "color", "x")
    cli("kv", "create", bucket, "session", "--ttl", "1h", stdin=b"\xff\n")
    assert cli.json("kv", "get", bucket, "session")["value_base64"] == "/wo="
    assert cli.json("kv", "keys", bucket) == ["color", "session"] and cli("kv", "keys", bucket, "a.*", "color") == "color\n"
    assert cli("kv", "revert", bucket, "color", "1", "-f") == "Revision 4\n" and cli("kv", "get", bucket, "color", "--raw") == "red\n"
    assert [each["value"] for each in cli.lines("kv", "history", bucket, "color")] == ["red", "blue", "red"]
    assert "blue" in cli("kv", "history", bucket, "color")


def test_what_is_deleted(cli: Cli, bucket: str) -> None:
    for key in ("a", "b", "c"):
        cli("kv", "put", bucket, key, "1")
    for command in ("del", "purge", "revert", "compact"):
        rest = {"compact": (), "revert": ("a", "1")}.get(command, ("a",))
        assert "needs --force" in cli.both("kv", command, bucket, *rest, code=2)[1]
    assert "by now" in cli.refused("kv", "del", bucket, "a", "--revision", "9", "-f")
    cli("kv", "del", bucket, "a", "-f")
    cli("kv", "purge", bucket, "b", "-f")
    assert bucket in cli.refused("kv", "get", bucket, "a")
    assert [each["operation"] for each in cli.lines("kv", "history", bucket, "a")] == ["PUT", "DEL"]
    assert [each["operation"] for each in cli.lines("kv", "history", bucket, "b")] == ["PURGE"]
    assert cli.json("kv", "keys", bucket) == ["c"]
    assert cli.json("kv", "compact", bucket, "--older-than", "0", "-f") == {"purged": 3}


def test_watch(cli: Cli, bucket: str) -> None:
    for value in ("1", "2"):
        cli("kv", "put", bucket, "a", value)
    cli("kv", "put", bucket, "b", "3")
    out, err = cli.both("kv", "watch", bucket, "--count", "2", "--raw")
    assert out == "2\n3\n" and err == f'Subscribed to bucket "{bucket}"\n'
    assert [each["value"] for each in cli.lines("kv", "watch", bucket, "a", "--history", "--count", "2")] == ["1", "2"]
    assert [each["value"] for each in cli.lines("kv", "watch", bucket, "--revision", "2", "--count", "2")] == ["2", "3"]
    assert "different beginnings" in cli.refused("kv", "watch", bucket, "--history", "--updates", code=2)
