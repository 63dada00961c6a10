"""``midge stream cluster`` and ``midge consumer cluster``: on a cluster of three, and where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from commands import Cli
from js_places import cluster
from servers import find_nats_server

import midge
from midge.cli import cluster as module


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A URL of a cluster that takes streams."""
    if find_nats_server() is None:
        pytest.skip("there is no nats-server")
    with cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


def test_leaders_and_replicas(place: str, capfd: pytest.CaptureFixture[str]) -> None:
    cli = Cli(place, capfd)
    name, there = cli.name(), ("-s", place)
    cli("stream", "add", name, "--replicas", "3", *there)
    cli("consumer", "add", name, "C", *there)
    before = cli.json("stream", "info", name, *there)["cluster"]
    wanted = before["replicas"][0]["name"]
    assert wanted in cli("stream", "cluster", "step-down", name, "--preferred", wanted, *there)
    assert cli.json("stream", "find", "-n", "--leader", wanted, "--subject", name, *there) == [name]
    assert cli.json("stream", "find", "-n", "--server-name", f"^{wanted}$", *there) == [name]
    leader = cli.json("consumer", "info", name, "C", *there)["cluster"]["leader"]
    assert cli.json("consumer", "cluster", "elect", name, "C", *there)["cluster"]["leader"] != leader
    assert "nobody" in cli.refused("stream", "c", "sd", name, "--preferred", "nobody", *there)
    assert "nobody is here to ask" in cli.refused("stream", "cluster", "peer-remove", name, wanted, *there, code=2)
    assert "peer" in cli.refused("stream", "cluster", "peer-remove", name, "nobody", "-f", *there)
    cli("stream", "edit", name, "--replicas", "1", "-f", *there)


def test_without_a_cluster(cli: Cli) -> None:
    name = cli.name()
    cli("stream", "add", name)
    cli("consumer", "add", name, "C")
    for command in (("stream", "cluster", "step-down", name), ("consumer", "cluster", "step-down", name, "C")):
        assert "cluster" in cli.refused(*command)
    assert "cluster" in cli.refused("stream", "cluster", "peer-remove", name, "n1", "-f")


def test_a_leader_that_goes_on_leading(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "_ELECTED_WITHIN", 0.2)
    info = b'{"config":{"name":"S"},"state":{"messages":0,"bytes":0,"last_seq":0},"cluster":{"leader":"%s"}}'
    leader = [b"n1"]

    async def story() -> None:
        async with midge.Server(port=0) as server, midge.connect(server.url) as nc:
            cli = Cli(server.url, capfd)
            await nc.subscribe("$JS.API.STREAM.INFO.S", callback=lambda message: message.respond(info % leader[0]))
            await nc.subscribe("$JS.API.STREAM.LEADER.STEPDOWN.S", callback=lambda message: message.respond(b'{"success":true}'))
            await nc.flush()
            command = ("stream", "cluster", "step-down", "S", "-s", server.url)
            assert await asyncio.to_thread(cli.refused, *command) == "n1 leads stream S still, or again"
            leader[0] = b""
            assert await asyncio.to_thread(cli.refused, *command) == "nobody leads stream S"
            assert await asyncio.to_thread(cli.refused, *command, "-f") == "nobody leads stream S after 0.2 seconds"
            remove = ("stream", "cluster", "peer-remove", "S", "n1", "-s", server.url)
            monkeypatch.setattr(module, "confirm", lambda question, force: None)
            assert "its messages would be lost" in await asyncio.to_thread(cli.refused, *remove)

    asyncio.run(story())
