"""``midge stream copy``: from our server to a real one, back, and to a cluster; what is the same then, and what cannot be copied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Cli
from nodes import cluster_nodes, nats_node, started
from servers import find_nats_server

import midge
from midge.cli.stream_republish import MARK

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with midge.Server(port=0, store_dir=str(tmp_path_factory.mktemp("ours"))) as server:
        yield server.url


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nats_node(f'jetstream {{ store_dir: "{tmp_path_factory.mktemp("theirs")}" }}') as url:
        yield url


@pytest.fixture(params=["there", "back"])
def route(request: pytest.FixtureRequest, ours: str, theirs: str) -> tuple[str, str]:
    """From where to where."""
    return (ours, theirs) if request.param == "there" else (theirs, ours)


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Cli:
    return Cli("", capfd)


def fill(shell: Cli, url: str, *options: str, gap: bool = True) -> str:
    """Make a stream with some messages at a server, one of them missing; return its name."""
    name = shell.name()
    shell("stream", "add", name, "--subjects", f"{name}.>", "-s", url, *options)
    publish(url, name, 300)
    if gap:
        shell("stream", "rmm", name, "17", "-f", "-s", url)
    return name


def publish(url: str, name: str, count: int) -> None:
    """Publish the first so many of its messages."""

    async def publish() -> None:
        async with midge.connect(url) as nc:
            js = nc.jetstream()
            for number in range(count):
                headers = [("Nats-Msg-Id", f"{number}"), ("A", f"{number}"), ("a", "again")] if number % 3 == 0 else None
                await js.publish_async(f"{name}.{number % 7}", b"\xff%d" % number, headers=headers)
            await js.publish_async_done(10)

    asyncio.run(publish())


def states(shell: Cli, route: tuple[str, str], name: str) -> list[dict[str, Any]]:
    return [shell.json("stream", "state", name, "-s", url) for url in route]


def test_a_snapshot_streamed_through(shell: Cli, route: tuple[str, str]) -> None:
    name = fill(shell, route[0])
    shell("consumer", "add", name, "C", "-s", route[0])
    shell("consumer", "next", name, "C", "--count", "5", "-s", route[0])
    found = shell.json("stream", "copy", name, "-s", route[0], "--to-server", route[1], "--consumers")
    assert (found["method"], found["messages"], found["last_seq"]) == ("snapshot", 299, 300)
    before, after = states(shell, route, name)
    assert before == after
    assert shell.lines("stream", "view", name, "20", "-s", route[0]) == shell.lines("stream", "view", name, "20", "-s", route[1])
    assert shell.json("consumer", "info", name, "C", "-s", route[1])["ack_floor"]["stream_seq"] == 5
    assert "in use" in shell.refused("stream", "copy", name, "-s", route[0], "--to-server", route[1])


def test_published_again_under_another_name(shell: Cli, route: tuple[str, str]) -> None:
    name, other = fill(shell, route[0]), shell.name()
    out = shell("stream", "copy", name, other, "-s", route[0], "--to-server", route[1])
    assert out.startswith(f"Copied stream {name} to {other}, 299 messages, by publishing\nChecked: last sequence 299, SHA-256 ")
    config = shell.json("stream", "info", other, "-s", route[1])["config"]
    assert config["duplicate_window"] == 120 * 10**9 and MARK not in config["metadata"]
    assert "messages are missing" in shell.refused("stream", "copy", name, "X", "-s", route[0], "--to-server", route[1], "--consumers")
    assert "no copy" in shell.refused("stream", "copy", name, other, "-s", route[0], "--to-server", route[1])


def test_sequences_are_kept_where_they_can_be(shell: Cli, ours: str, theirs: str) -> None:
    name, other = fill(shell, ours, gap=False), shell.name()
    shell("stream", "purge", name, "--seq", "50", "-f", "-s", ours)
    shell("consumer", "add", name, "C", "-s", ours)
    shell("consumer", "next", name, "C", "--count", "5", "-s", ours)
    found = shell.json("stream", "copy", name, other, "-s", ours, "--to-server", theirs, "--consumers")
    assert (found["first_seq"], found["last_seq"]) == (50, 300)
    assert shell.lines("consumer", "next", other, "C", "-s", theirs)[0]["seq"] == 55


@pytest.mark.parametrize("options", [("--retention", "work"), ("--retention", "work", "--allow-direct")])
def test_a_work_queue(shell: Cli, ours: str, theirs: str, options: tuple[str, ...]) -> None:
    name = fill(shell, ours, *options)
    shell("consumer", "add", name, "C", "-s", ours)
    found = shell.json("stream", "copy", name, "-s", ours, "--to-server", theirs, "--method", "republish")
    assert (found["method"], found["messages"]) == ("republish", 299)


def test_one_that_was_cut_off_is_resumed(shell: Cli, ours: str, theirs: str) -> None:
    name, other = fill(shell, ours), shell.name()
    shell("stream", "add", other, "--subjects", f"{name}.>", "--metadata", f"{MARK}={name} to 300", "-s", theirs)
    publish(theirs, name, 10)
    copy = ("stream", "copy", name, other, "-s", ours, "--to-server", theirs)
    assert "--resume it" in shell.refused(*copy)
    assert shell.json(*copy, "--resume")["messages"] == 299
    assert MARK not in shell.json("stream", "info", other, "-s", theirs)["config"]["metadata"]


def test_what_differs_is_found(shell: Cli, ours: str, theirs: str) -> None:
    name, other = fill(shell, ours), shell.name()
    shell("stream", "add", other, "--subjects", f"{name}.>", "--metadata", f"{MARK}={name} to 300", "-s", theirs)
    shell("pub", f"{name}.0", "something else", "-s", theirs)
    err = shell.refused("stream", "copy", name, other, "-s", ours, "--to-server", theirs, "--resume")
    assert err.startswith("the copy differs, or the stream was changed meanwhile: sha256 ")


def test_what_cannot_be_copied(shell: Cli, ours: str, theirs: str) -> None:
    name = fill(shell, ours)
    there = ("-s", ours, "--to-server", theirs)
    for option, why in ((("--retention", "interest"), "interested in"), (("--mirror", name), "other streams")):
        other = shell.name()
        shell("stream", "add", other, *option, "-s", ours)
        assert why in shell.refused("stream", "copy", other, *there, "--method", "republish")
    assert "stream not found" in shell.refused("stream", "copy", "NIX", *there)
    assert "copy to where?" in shell.refused("stream", "copy", name, "-s", ours, code=2)
    assert "keeps the stream's name" in shell.refused("stream", "copy", name, "X", *there, "--method", "snapshot")


@pytest.mark.timeout(120)
def test_to_a_cluster(shell: Cli, ours: str, tmp_path: Path) -> None:
    nodes = cluster_nodes(3)
    for number, node in enumerate(nodes):
        node._command += ["--jetstream", "--store_dir", str(tmp_path / str(number))]
    name, other = fill(shell, ours), shell.name()
    shell("consumer", "add", name, "C", "--replicas", "0", "-s", ours)
    with started(*nodes):
        there = ("-s", ours, "--to-server", ",".join(node.url for node in nodes), "--replicas", "3")
        elected(shell, nodes[0].url)
        found = shell.json("stream", "copy", name, *there, "--consumers")
        assert (found["method"], found["messages"]) == ("snapshot", 299)
        info = shell.json("stream", "info", name, "-s", nodes[1].url)
        assert info["config"]["num_replicas"] == 3 and len(info["cluster"]["replicas"]) == 2
        assert shell.json("consumer", "names", name, "-s", nodes[2].url) == ["C"]
        assert "Leader" in shell("stream", "info", name, "-s", nodes[1].url)
        shell("stream", "rm", name, "-f", "-s", nodes[0].url)
        assert shell.json("stream", "copy", name, other, *there)["method"] == "republish"


def elected(shell: Cli, url: str) -> None:
    """Return when a cluster has a leader that makes streams."""
    deadline = time.monotonic() + 30
    while shell.code("stream", "add", "PROBE", "--replicas", "3", "-s", url, "--timeout", "1") != 0:
        assert time.monotonic() < deadline
    shell("stream", "rm", "PROBE", "-f", "-s", url)


def test_a_message_id_that_comes_again_is_no_duplicate(shell: Cli, ours: str, theirs: str) -> None:
    """What the source has stored twice is stored twice, although the destination knows the id."""
    name = shell.name()
    shell("stream", "add", name, "--dupe-window", "100ms", "-s", ours)

    async def publish() -> None:
        async with midge.connect(ours) as nc:
            for _ in range(2):
                while (await nc.jetstream().publish(name, b"one", msg_id="same")).duplicate:
                    pass

    asyncio.run(publish())
    there = ("-s", ours, "--to-server", theirs, "--method", "republish")
    assert shell.json("stream", "copy", name, *there)["messages"] == 2
