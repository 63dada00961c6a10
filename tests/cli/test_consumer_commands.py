"""``midge consumer``: on our server and on a real one."""

from __future__ import annotations

import pytest
from commands import Cli


@pytest.fixture
def stream(cli: Cli) -> str:
    """The name of a stream with five messages."""
    name = cli.name()
    cli("stream", "add", name, "--subjects", f"{name}.>")
    cli("pub", f"{name}.a", "hello", "--count", "5")
    return name


def test_add_says_what_the_server_has_made(cli: Cli, stream: str) -> None:
    found = cli.json(
        "consumer", "add", stream, "C", "--wait", "1m", "--max-deliver", "4", "--filter", f"{stream}.a,{stream}.b", "--deliver", "2",
        "--backoff", "1s,5s", "--max-pending", "9", "--sample", "50", "--description", "why", "--metadata", "team=a", "--replicas", "1",
    )  # fmt: skip
    config = found["config"]
    assert (config["durable_name"], config["ack_policy"], config["opt_start_seq"]) == ("C", "explicit", 2)
    assert config["filter_subjects"] == [f"{stream}.a", f"{stream}.b"] and config["backoff"] == [10**9, 5 * 10**9]
    out = cli("consumer", "info", stream, "C")
    for text in ("Maximum deliveries  4", "Backoff  1s, 5s", "team  a", "Unprocessed  4"):
        assert text in out
    assert "Added consumer P" in cli("consumer", "add", stream, "P", "--target", "to.me", "--heartbeat", "5s", "--flow-control")
    assert [row["name"] for row in cli.json("consumer", "ls", stream)] == ["C", "P"]
    assert "push" in cli("consumer", "ls", stream) and cli("consumer", "names", stream) == "C\nP\n"


def test_an_ephemeral_one(cli: Cli, stream: str) -> None:
    found = cli.json("consumer", "add", stream, "--ephemeral", "--deliver", "new", "--inactive-threshold", "1h")
    assert "durable_name" not in found["config"] and found["config"]["deliver_policy"] == "new"
    assert "--ephemeral" in cli.refused("consumer", "add", stream, code=2)


def test_edit_changes_what_is_given(cli: Cli, stream: str) -> None:
    cli("consumer", "add", stream, "C", "--filter", f"{stream}.a,{stream}.b", "--max-deliver", "4")
    assert "Ack wait: 30s -> 1m0s" in cli("consumer", "edit", stream, "C", "--wait", "1m", "--dry-run")
    found = cli.json("consumer", "edit", stream, "C", "--wait", "1m", "--filter", f"{stream}.>", "-f")
    config = found["config"]
    assert (config["ack_wait"], config["max_deliver"], config["filter_subject"]) == (60 * 10**9, 4, f"{stream}.>")
    assert "filter_subjects" not in config


def test_next(cli: Cli, stream: str) -> None:
    cli("consumer", "add", stream, "C")
    assert cli("consumer", "next", stream, "C", "--raw") == "hello\n"
    (found,) = cli.lines("consumer", "next", stream, "C")
    assert (found["seq"], found["delivered"], found["pending"]) == (2, 1, 3)
    cli("consumer", "next", stream, "C", "--term")
    (found,) = cli.lines("consumer", "next", stream, "C", "--nak")
    assert [each["seq"] for each in cli.lines("consumer", "next", stream, "C", "--count", "2")] == [4, 5]
    assert "no message came within 0.05 s" in cli.refused("consumer", "next", stream, "C", "--wait", "50ms")
    assert cli.json("consumer", "info", stream, "C")["num_ack_pending"] == 0
    assert "no such consumer" in cli.refused("consumer", "next", stream, "NIX", "--wait", "5s")


def test_sub(cli: Cli, stream: str) -> None:
    cli("consumer", "add", stream, "C")
    out, err = cli.both("consumer", "sub", stream, "C", "--count", "3", "--json")
    assert out.count("\n") == 3 and err == f'Subscribed to consumer "C" of stream "{stream}"\n'
    assert cli.json("consumer", "info", stream, "C")["delivered"]["stream_seq"] == 3


def test_pause_resume_and_reset(cli: Cli, stream: str) -> None:
    cli("consumer", "add", stream, "C")
    cli("consumer", "next", stream, "C", "--count", "3")
    assert cli.json("consumer", "pause", stream, "C", "1h", "-f")["paused"]
    assert "Paused  yes" in cli("consumer", "info", stream, "C")
    assert not cli.json("consumer", "resume", stream, "C", "-f").get("paused")
    assert cli("consumer", "reset", stream, "C", "--sequence", "2", "-f").endswith("goes on at 2\n")
    assert cli.lines("consumer", "next", stream, "C")[0]["seq"] == 2


def test_unpin(cli: Cli, stream: str) -> None:
    cli("consumer", "add", stream, "C", "--pinned-groups", "g", "--pinned-ttl", "1m")
    cli("consumer", "next", stream, "C", "--group", "g")
    assert "pinned to" in cli("consumer", "info", stream, "C")
    cli("consumer", "unpin", stream, "C", "g", "-f")
    assert "nobody is pinned" in cli("consumer", "info", stream, "C")


def test_rm(cli: Cli, stream: str) -> None:
    cli("consumer", "add", stream, "C")
    for args in (["rm"], ["pause", "1h"], ["resume"], ["reset"], ["unpin", "g"], ["edit", "--wait", "1m"]):
        assert "needs --force" in cli.both("consumer", args[0], stream, "C", *args[1:], code=2)[1]
    assert cli.json("consumer", "rm", stream, "C", "-f")["success"]
    assert "consumer not found" in cli.refused("consumer", "rm", stream, "C", "-f")
    assert "has no consumers" in cli("consumer", "ls", stream)


def test_what_makes_no_sense_is_said_in_one_line(cli: Cli) -> None:
    assert "neither a policy" in cli.refused("consumer", "add", "S", "C", "--deliver", "sometimes", code=2)
    assert "is not a duration" in cli.refused("consumer", "add", "S", "C", "--backoff", "1,2", code=2)
    assert "one kind" in cli.refused("consumer", "add", "S", "C", "--pinned-groups", "a", "--overflow-groups", "b", code=2)
    assert "two ways" in cli.refused("consumer", "add", "S", "C", "--pull", "--target", "x", code=2)
    assert "10059" in cli.refused("consumer", "ls", "NIX")
