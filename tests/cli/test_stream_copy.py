"""``midge stream copy``: from our server to a real one, back, and to a cluster; what is the same then, and what cannot be copied."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import Cli
from nodes import cluster_nodes, nats_node, started
from processes import Spawn
from servers import find_nats_server

import midge
from midge.cli import snapshot as snapshots
from midge.cli.jetstream import opened
from midge.cli.snapshot import Restoring, Snapshot
from midge.cli.stream_republish import MARK
from midge.cli.target import Target
from midge.engine.snapshots import restore as engine_restore

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


# What was cut off


async def sample(url: str, name: str) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Make a stream of some chunks at a server; return the configuration, the state and the chunks of a snapshot."""
    async with opened(Target(url), "test") as api:
        await api.js.create_stream(name=name, subjects=[f"{name}.>"])
        for number in range(20):
            await api.js.publish_async(f"{name}.{number}", os.urandom(60_000))
        await api.js.publish_async_done(10)
        snapshot = Snapshot(api, name, consumers=False)
        try:
            await snapshot.begin()
            return snapshot.config, snapshot.state, [chunk async for chunk in snapshot.chunks()]
        finally:
            await snapshot.end()


@asynccontextmanager
async def halting(
    name: str, found: tuple[dict[str, Any], dict[str, Any], list[bytes]], count: int
) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that sends so many chunks of a snapshot, and then nothing. Gives its URL, and what says that those were taken."""
    description = json.dumps({"config": found[0], "state": found[1]}).encode()
    taken = asyncio.Event()
    async with midge.Server(port=0) as server, midge.connect(server.url) as nc:

        def send(message: midge.Message) -> None:
            message.respond(description)
            for number, chunk in enumerate(found[2][:count]):
                nc.publish(message_of(message)["deliver_subject"], chunk, reply=f"taken.{number}")

        await nc.subscribe("$JS.API.STREAM.SNAPSHOT.*", callback=send)
        await nc.subscribe("$JS.API.STREAM.INFO.*", callback=lambda message: message.respond(description))
        await nc.subscribe(f"taken.{count - 1}", callback=lambda message: taken.set())
        await nc.flush()
        yield server.url, taken


def message_of(message: midge.Message) -> Any:
    return json.loads(message.data)


async def names_at(url: str) -> list[str]:
    async with midge.connect(url) as nc:
        return [name async for name in nc.jetstream().stream_names()]


def test_a_copy_that_is_interrupted_can_begin_again_at_once(shell: Cli, route: tuple[str, str], theirs: str, spawn: Spawn) -> None:
    name = shell.name()
    found = asyncio.run(sample(route[0], name))

    async def interrupt() -> float:
        async with halting(name, found, 3) as (url, taken):
            child = spawn("stream", "copy", name, "-s", url, "--to-server", route[1])
            await asyncio.wait_for(taken.wait(), 20)
            while route[1] == theirs and name not in await names_at(theirs):
                await asyncio.sleep(0.02)  # it has half of a stream there
            code, out, err = await asyncio.to_thread(child.end, signal.SIGINT)
            assert (code, out, err.strip()) == (130, "", "")
            assert name not in await names_at(route[1])
            return time.monotonic()

    ended = asyncio.run(interrupt())
    assert shell.json("stream", "copy", name, "-s", route[0], "--to-server", route[1])["messages"] == 20
    assert time.monotonic() - ended < engine_restore.PATIENCE / 1e9


def test_a_copy_waits_for_one_that_was_killed(shell: Cli, ours: str, theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has taken it back, and our server waits for more of it."""
    name = shell.name()
    config, state, chunks = asyncio.run(sample(theirs, name))
    monkeypatch.setattr(engine_restore, "PATIENCE", 300_000_000)

    async def die() -> None:
        async with opened(Target(ours), "test") as api:
            restoring = Restoring(api, config, state)
            await restoring.begin()
            await restoring.send(chunks[0])

    asyncio.run(die())
    assert shell.json("stream", "copy", name, "-s", theirs, "--to-server", ours)["messages"] == 20


def test_no_longer_than_it_takes(shell: Cli, ours: str, theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = shell.name()
    config, state, chunks = asyncio.run(sample(theirs, name))
    monkeypatch.setattr(snapshots, "_FORGETS_WITHIN", 0.3)

    async def meanwhile() -> str:
        async with opened(Target(ours), "test") as api:
            restoring = Restoring(api, config, state)
            try:
                await restoring.begin()
                await restoring.send(chunks[0])
                copy = ("stream", "copy", name, "-s", theirs, "--to-server", ours)
                return await asyncio.to_thread(shell.refused, *copy)
            finally:
                await restoring.end()

    assert "in use" in asyncio.run(meanwhile())
    assert name not in asyncio.run(names_at(ours))


def test_a_stream_of_somebody_else_is_not_taken_back(shell: Cli, ours: str, theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has forgotten the restore, and somebody has made such a stream, before it is cut off here."""
    name = shell.name()
    config, state, chunks = asyncio.run(sample(theirs, name))
    monkeypatch.setattr(engine_restore, "PATIENCE", 100_000_000)

    async def story() -> None:
        async with opened(Target(ours), "test") as api:
            restoring = Restoring(api, config, state)
            await restoring.begin()
            await restoring.send(chunks[0])
            while True:
                try:
                    await api.js.create_stream(name=name)
                    break
                except midge.JetStreamError:
                    await asyncio.sleep(0.01)
            await restoring.send(chunks[1])
            await restoring.end()

    asyncio.run(story())
    assert name in asyncio.run(names_at(ours))
