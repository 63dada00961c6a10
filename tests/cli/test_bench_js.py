"""``midge bench js pub``: figures that add up, a stream that is there for as long as it takes, and refusals that say why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import midge as package
from midge.cli import main
from midge.cli.version import NOT_COMPILED

NOTICE = "" if package.compiled else f"midge: {NOT_COMPILED}\n"


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[package.Server]:
    with package.Server(port=0, jetstream=True, store_dir=str(tmp_path)) as server:
        yield server


def asked(server: package.Server, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with package.connect(server.url) as client:
            answer = await client.request(f"$JS.API.{subject}", json.dumps(body).encode() if body else b"")
            found: dict[str, Any] = json.loads(answer.data)
            return found

    return asyncio.run(ask())


@pytest.mark.parametrize("storage", ["file", "memory"])
def test_json_of_an_embedded_server(capsys: pytest.CaptureFixture[str], storage: str) -> None:
    args = [
        "bench",
        "js",
        "pub",
        "--embedded",
        "--json",
        "--msgs",
        "100",
        "--clients",
        "3",
        "--size",
        "0",
        "--window",
        "7",
        "--storage",
        storage,
    ]
    assert main(args) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == NOTICE
    assert (found["kind"], found["msgs"], found["clients"], found["window"], found["storage"]) == ("js pub", 100, 3, 7, storage)
    assert [one["msgs"] for one in found["results"]] == [34, 33, 33] and found["totals"][0]["msgs"] == 100
    for one in found["results"]:
        assert one["msgs_per_second"] == pytest.approx(one["msgs"] / one["seconds"], rel=0.05)


def test_the_table_and_a_stream_that_is_gone_afterwards(capsys: pytest.CaptureFixture[str], streams: package.Server) -> None:
    assert main(["bench", "js", "pub", "foo", "--msgs", "500", "--window", "1", "-s", streams.url]) == 0
    assert capsys.readouterr().out.startswith('js pub: 500 messages of 128 bytes on "foo"\n')
    assert asked(streams, "STREAM.NAMES")["streams"] is None


def test_a_stream_of_that_name_is_left_alone(capsys: pytest.CaptureFixture[str], streams: package.Server) -> None:
    asked(streams, "STREAM.CREATE.mine", {"name": "mine", "subjects": ["other"]})
    assert main(["bench", "js", "pub", "foo", "--msgs", "5", "--stream", "mine", "-s", streams.url]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "stream name already in use" in err
    assert asked(streams, "STREAM.NAMES")["streams"] == ["mine"]


def test_replicas_are_refused_by_who_has_none(capsys: pytest.CaptureFixture[str], streams: package.Server) -> None:
    assert main(["bench", "js", "pub", "--replicas", "3", "--msgs", "5", "-s", streams.url]) == 1
    assert "replicas > 1 not supported in non-clustered mode" in capsys.readouterr().err
    assert asked(streams, "STREAM.NAMES")["streams"] is None


def test_a_server_without_streams(capsys: pytest.CaptureFixture[str]) -> None:
    with package.Server(port=0) as server:
        assert main(["bench", "js", "pub", "--msgs", "5", "-s", server.url]) == 1
    assert "JetStream is not enabled" in capsys.readouterr().err


def test_a_message_that_is_refused_ends_it(capsys: pytest.CaptureFixture[str], streams: package.Server) -> None:
    """The stream is removed all the same."""
    assert main(["bench", "js", "pub", "--size", "2000000", "--msgs", "5", "-s", streams.url]) == 1
    assert capsys.readouterr().err.startswith("midge: ")
    assert asked(streams, "STREAM.NAMES")["streams"] is None


@pytest.mark.parametrize("kind", ["sub", "fetch"])
@pytest.mark.parametrize("options", [(), ("--no-ack", "--clients", "3", "--batch", "7")], ids=["one", "three"])
def test_consuming(capsys: pytest.CaptureFixture[str], streams: package.Server, kind: str, options: tuple[str, ...]) -> None:
    assert main(["bench", "js", kind, "foo", "--json", "--msgs", "200", "-s", streams.url, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["msgs"], found["ack"]) == (f"js {kind}", 200, not options)
    assert found["totals"][0]["msgs"] == sum(one["msgs"] for one in found["results"]) == 200
    assert asked(streams, "STREAM.NAMES")["streams"] is None


def test_consuming_from_an_embedded_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "js", "sub", "--embedded", "--storage", "memory", "--msgs", "100"]) == 0
    assert capsys.readouterr().out.startswith('js sub: 100 messages of 128 bytes on "midge.bench.js"\n')
