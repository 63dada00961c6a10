"""Partitioned groups with members of orbit.go: one group, whoever made it, on our server and on a real one.

The other member is a small program, built from the public registries; so this runs only with MIDGE_OTHER_CLIENTS=1, and where Go is
installed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nodes import nats_node
from servers import find_nats_server
from test_other_clients import BUILDING, OTHER, RUNNING, need, run

import midge
from midge.jetstream.configs import ConsumerConfig, SubjectTransform
from midge.jetstream.context import JetStream
from midge.jetstream.message import StreamMessage
from midge.jetstream.partitioned.config import PartitioningFilter

PCGROUPS = "github.com/synadia-io/orbit.go/pcgroups@v0"
QUICK = ConsumerConfig(ack_wait=1.0)

pytestmark = [
    pytest.mark.skipif(os.environ.get("MIDGE_OTHER_CLIENTS") != "1", reason="set MIDGE_OTHER_CLIENTS=1 to build and run other clients"),
    pytest.mark.timeout(BUILDING + RUNNING),
]


@pytest.fixture(scope="module")
def orbit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, built once."""
    go, directory = need("go"), tmp_path_factory.mktemp("orbit")
    shutil.copytree(OTHER / "go_groups", directory, dirs_exist_ok=True)
    run(go, "get", PCGROUPS, cwd=directory, seconds=BUILDING)
    run(go, "build", "-o", "other", ".", cwd=directory, seconds=BUILDING)
    return str(directory / "other")


@pytest.fixture(params=["midge", "nats-server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "midge":
        with midge.Server(port=0, store_dir=str(tmp_path)) as server:
            yield server.url
    elif find_nats_server() is None:
        pytest.skip("there is no nats-server")
    else:
        with nats_node(f'jetstream {{ store_dir: "{tmp_path}" }}') as where:
            yield where


class Record:
    """What came, by who got it: (subject, number)."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, int]] = []

    def callback(self, message: StreamMessage) -> None:
        self.rows.append(("midge", message.subject, int(message.data)))

    async def read(self, stream: asyncio.StreamReader) -> None:
        """What the other member prints."""
        while (words := (await stream.readline()).split()) and words != [b"done"]:
            assert len(words) == 2, words
            self.rows.append(("orbit", words[0].decode(), int(words[1])))

    async def has(self, count: int, who: set[str]) -> None:
        """Return when so many numbers have come, the last ten to these."""
        async with asyncio.timeout(20):
            while len({number for _, _, number in self.rows}) < count:
                await asyncio.sleep(0.01)
        assert {name for name, _, number in self.rows if number >= count - 10} == who

    def check(self) -> None:
        for subject in {subject for _, subject, _ in self.rows}:
            numbers = list(dict.fromkeys(number for _, named, number in self.rows if named == subject))
            assert numbers == sorted(numbers), subject


@asynccontextmanager
async def other_member(orbit: str, record: Record, *args: str) -> AsyncIterator[None]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(orbit, *args, stdin=pipe, stdout=pipe)
    try:
        assert process.stdin is not None and process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"consuming\n"
        reading = asyncio.create_task(record.read(process.stdout))
        yield
        process.stdin.close()
        await asyncio.wait_for(reading, 20)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def orbit_does(orbit: str, *args: str) -> str:
    return await asyncio.to_thread(run, orbit, *args, cwd=Path.cwd(), seconds=RUNNING)


async def write(js: JetStream, numbers: range) -> None:
    for number in numbers:
        await js.publish(f"orders.k{number % 10}", b"%d" % number)


async def test_an_elastic_group(orbit: str, url: str) -> None:
    """Made by midge, found to be the same by orbit, and changed by both while both consume."""
    record = Record()
    async with midge.connect(url) as nc:
        js = nc.jetstream()
        await js.create_stream(name="ORDERS", subjects=["orders.*"])
        by_key = [PartitioningFilter(filter="orders.*", partitioning_wildcards=[1])]
        group = await js.create_elastic_group("ORDERS", "G", max_members=6, partitioning_filters=by_key)
        await orbit_does(orbit, url, "elastic", "create", "ORDERS", "G", "6", "orders.*")
        await orbit_does(orbit, url, "elastic", "create", "ORDERS", "ALL", "6")
        await js.create_elastic_group("ORDERS", "ALL", max_members=6)
        assert sorted([name async for name in js.elastic_group_names("ORDERS")]) == ["ALL", "G"]
        await group.add_members("a")
        async with (
            group.consume("a", record.callback, QUICK) as a,
            other_member(orbit, record, url, "elastic", "consume", "ORDERS", "G", "b"),
        ):
            await write(js, range(30))
            await record.has(30, {"midge"})
            await orbit_does(orbit, url, "elastic", "add", "ORDERS", "G", "b")
            async with asyncio.timeout(20):
                while sorted(await group.active_members()) != ["a", "b"]:
                    await asyncio.sleep(0.05)
            await write(js, range(30, 90))
            await record.has(90, {"midge", "orbit"})
            assert (await orbit_does(orbit, url, "elastic", "active", "ORDERS", "G")).split() == ["a", "b", "done"]
            assert await group.drop_members("a") == ["b"]
            await write(js, range(90, 120))
            await record.has(120, {"orbit"})
            await group.add_members("a")
            await orbit_does(orbit, url, "elastic", "drop", "ORDERS", "G", "b")
            await write(js, range(120, 150))
            await record.has(150, {"midge"})
            await orbit_does(orbit, url, "elastic", "delete", "ORDERS", "G")
            await asyncio.wait_for(a.wait(), 10)
    record.check()


async def test_a_static_group(orbit: str, url: str) -> None:
    """Made by orbit, found to be the same by midge; one member each, and an instance of each at the side of the other's."""
    record = Record()
    async with midge.connect(url) as nc:
        js = nc.jetstream()
        shared = SubjectTransform(src="orders.*", dest="{{Partition(6,1)}}.orders.{{Wildcard(1)}}")
        await js.create_stream(name="ORDERS", subjects=["orders.*"], subject_transform=shared)
        await orbit_does(orbit, url, "static", "create", "ORDERS", "G", "6", "b", "a")
        group = await js.create_static_group("ORDERS", "G", max_members=6, members=["b", "a"])
        await orbit_does(orbit, url, "static", "create", "ORDERS", "G", "6", "b", "a")
        async with (
            group.consume("a", record.callback, QUICK) as a,
            other_member(orbit, record, url, "static", "consume", "ORDERS", "G", "b"),
            group.consume("b", record.callback, QUICK) as spare,
            other_member(orbit, record, url, "static", "consume", "ORDERS", "G", "a"),
        ):
            await write(js, range(60))
            await record.has(60, {"midge", "orbit"})
            assert sorted(await group.active_members()) == ["a", "b"]
            assert a.is_pinned and spare.is_consuming
            await js.delete_static_group("ORDERS", "G")
            await asyncio.wait_for(asyncio.gather(a.wait(), spare.wait()), 10)
    record.check()
