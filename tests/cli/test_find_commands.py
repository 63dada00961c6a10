"""``midge stream find`` and ``midge consumer find``: each filter, and the same inverted."""

from __future__ import annotations

import pytest
from commands import Cli


@pytest.fixture
def three(cli: Cli) -> list[str]:
    """An empty stream, one with a message and a consumer, and a mirror of it, by their names; the first has the other as its source."""
    empty, full, mirror = cli.name(), cli.name(), cli.name()
    cli("stream", "add", full, "--subjects", f"{full}.>")
    cli("stream", "add", empty, "--subjects", f"{empty}.>", "--source", full, "--max-age", "1h")
    cli("stream", "add", mirror, "--mirror", empty)
    cli("consumer", "add", full, "C")
    return [empty, full, mirror]


def found(cli: Cli, among: list[str], *options: str) -> list[str]:
    """What is found of those, told by what they are called here."""
    names = cli.json("stream", "find", "-n", *options)
    return [label for label, name in zip(("empty", "full", "mirror"), among, strict=True) if name in names]


def test_streams(cli: Cli, three: list[str]) -> None:
    assert found(cli, three) == ["empty", "full", "mirror"]
    assert found(cli, three, "--sourced") == ["empty"] and found(cli, three, "--sourced", "--invert") == ["full", "mirror"]
    assert found(cli, three, "--mirrored") == ["mirror"] and found(cli, three, "--mirrored", "--invert") == ["empty", "full"]
    assert found(cli, three, "--empty") == ["empty", "full", "mirror"] and found(cli, three, "--empty", "--invert") == []
    assert found(cli, three, "--consumers", "0", "--sourced") == ["empty"]
    assert found(cli, three, "--consumers", "0", "--invert") == ["full"]
    assert found(cli, three, "--replicas", "1") == ["empty", "full", "mirror"] and found(cli, three, "--replicas", "1", "--invert") == []
    assert found(cli, three, "--subject", f"{three[1]}.a") == ["full"]
    assert found(cli, three, "--subject", f"{three[1]}.a", "--invert") == ["empty", "mirror"]
    assert found(cli, three, "--created", "1h") == [] and found(cli, three, "--created", "0s") == ["empty", "full", "mirror"]
    assert found(cli, three, "--leader", "n1") == [] and found(cli, three, "--server-name", ".") in ([], ["empty", "full", "mirror"])
    assert found(cli, three, "--cluster", "^x$") == [] and found(cli, three, "--api-level", "9") == []


def test_what_got_nothing_for_long_is_idle(cli: Cli) -> None:
    old, new = cli.name(), cli.name()
    for name in (old, new):
        cli("stream", "add", name, "--subjects", f"{name}.>")
    cli("pub", f"{new}.a", "x")
    names = cli("stream", "find", "--names", "--idle", "1h").split()
    assert old in names and new not in names
    names = cli("stream", "find", "--names", "--idle", "1h", "--invert").split()
    assert old not in names and new in names
    (row,) = [row for row in cli.json("stream", "find", "--idle", "1h", "--invert") if row["config"]["name"] == new]
    assert row["state"]["messages"] == 1


def test_consumers(cli: Cli) -> None:
    name = cli.name()
    cli("stream", "add", name, "--subjects", f"{name}.>")
    cli("pub", f"{name}.a", "x", "--count", "5")
    cli("consumer", "add", name, "pulled")
    cli("consumer", "add", name, "pushed", "--target", f"to.{name}")
    cli("consumer", "next", name, "pulled", "--no-ack", "--count", "2")

    def consumers(*options: str) -> list[str]:
        names: list[str] = cli.json("consumer", "find", name, "-n", *options)
        return names

    assert consumers() == ["pulled", "pushed"]
    for option in (
        ("--pull",),
        ("--push", "--invert"),
        ("--ack-pending", "1", "--invert"),
        ("--pending", "5"),
        ("--idle", "1h", "--invert"),
    ):
        assert consumers(*option) == ["pulled"], option
    for option in (("--push",), ("--ack-pending", "1"), ("--idle", "1h"), ("--pending", "5", "--invert")):
        assert consumers(*option) == ["pushed"], option
    assert consumers("--bound") == [] and consumers("--waiting", "1") == ["pulled", "pushed"] and consumers("--pinned") == []
    assert consumers("--replicas", "1") == ["pulled", "pushed"] and consumers("--created", "1h") == []
    assert cli("consumer", "find", name, "--pinned") == "No consumer is so\n"
    assert "pushed" in cli("consumer", "find", name, "--push")


def test_what_is_no_pattern(cli: Cli) -> None:
    assert "is no regular expression" in cli.both("stream", "find", "--cluster", "(", code=2)[1]
