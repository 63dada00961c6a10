"""What is printed into a pipe comes out whole; one whose reader has gone ends the command, at once and without a word."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from processes import COMMAND, environment

import midge
from midge.cli import main

LARGE = 400_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with a stream, a bucket and an object store that hold more than a pipe."""
    with midge.Server(port=0, jetstream=True) as server:
        asyncio.run(fill(server.url))
        yield server.url


async def fill(url: str) -> None:
    async with midge.connect(url) as nc:
        js = nc.jetstream()
        await js.create_stream(name="S", subjects=["s.>"], storage="memory")
        await js.publish("s.large", bytes(LARGE))
        for number in range(500):
            await js.publish_async(f"s.{number}.{'x' * 200}", b"x" * 200)
        await js.publish_async_done(10)
        await (await js.create_key_value("b", storage="memory")).put("k", b"x" * LARGE)
        await (await js.create_object_store("o", storage="memory")).put("x", b"x" * LARGE)
        for name in ("next-", "next-1", "sub-", "sub-1"):
            await js.stream("S").create_consumer(durable_name=name)


COMMANDS = (
    "stream get S 1 --raw",
    "stream get S 1",
    "stream view S 500 --json",
    "stream subjects S --names",
    "stream subjects S",
    "consumer next S next-{} --count 200",
    "consumer sub S sub-{}",
    "kv get b k --raw",
    "kv watch b",
    "object get o x -O -",
)


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_goes_away(url: str, command: str, unbuffered: str) -> None:
    child = subprocess.Popen(
        [*COMMAND, *command.format(unbuffered).split(), "-s", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment({"PYTHONUNBUFFERED": unbuffered}),
    )
    with child:
        assert child.stdout is not None and child.stderr is not None
        try:
            assert child.stdout.read(1)
            child.stdout.close()
            assert child.wait(20) == 1
            assert [line for line in child.stderr.read().splitlines() if not line.startswith(b"Subscribed to ")] == []
        finally:
            child.kill()


class Slow(io.RawIOBase):
    """A pipe that takes a little at a time."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)[:1000]
        self.data += part
        return len(part)


@pytest.mark.parametrize("style", ["--raw", "--json"])
def test_what_the_system_takes_in_parts_is_written_whole(url: str, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Slow()
    out = io.TextIOWrapper(pipe, "utf-8", write_through=True)  # type: ignore[type-var]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "__stdout__", out)
        assert main(["kv", "get", "b", "k", style, "-s", url]) == 0
    assert len(pipe.data) > LARGE and pipe.data.endswith(b"x\n" if style == "--raw" else b"}\n")
