"""A server on a file system without a byte of room: it starts, what is stored is read, changes are refused, and with room it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import midge

CONFIG = {"name": "S", "subjects": ["s.>"]}
CONSUMER = {"stream_name": "S", "config": {"ack_policy": "explicit"}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where one may be mounted."""
    where = tmp_path / "disk"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def fill(path: Path) -> None:
    """Leave no room."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def ask(client: midge.Client, subject: str, body: object = None, data: bytes = b"") -> Any:
    answer = await client.request(subject, data if body is None else json.dumps(body).encode(), timeout=10)
    return json.loads(bytes(answer.data))


async def at_last(client: midge.Client, subject: str, body: object = None) -> Any:
    """Ask until it is not refused."""
    deadline = time.monotonic() + 20
    while "error" in (found := await ask(client, subject, body)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("torn", [False, True])
def test_it_starts_reads_refuses_and_goes_on(disk: Path, torn: bool) -> None:
    ballast = disk / "ballast"

    async def before() -> None:
        async with midge.Server(listen=False, store_dir=disk / "store") as server, midge.connect(server) as client:
            assert "error" not in await ask(client, "$JS.API.STREAM.CREATE.S", CONFIG)
            assert "error" not in await ask(client, "$JS.API.CONSUMER.CREATE.S.C", CONSUMER | {"config": {"durable_name": "C"}})
            for number in range(5):
                assert (await ask(client, "s.a", data=b"%d" % number))["seq"] == number + 1

    async def while_full() -> None:
        async with midge.Server(listen=False, store_dir=disk / "store") as server, midge.connect(server) as client:

            async def error(subject: str, body: object = None, data: bytes = b"") -> int:
                return int((await ask(client, subject, body, data))["error"]["err_code"])

            await read(client)
            assert await error("$JS.API.STREAM.CREATE.T", {"name": "T", "subjects": ["t"]}) == 10051
            assert await error("$JS.API.STREAM.UPDATE.S", CONFIG | {"description": "new"}) == 10051
            assert await error("$JS.API.STREAM.DELETE.S") == 10051
            assert await error("$JS.API.CONSUMER.CREATE.S.D", CONSUMER | {"config": {"durable_name": "D"}}) == 10104
            assert await error("s.a", data=bytes(200_000)) == 10077  # after which the segment gives back what was set aside
            await read(client)
            ballast.unlink()
            assert (await at_last(client, "s.a"))["seq"] == 6
            await at_last(client, "$JS.API.STREAM.CREATE.T", {"name": "T", "subjects": ["t"]})
            await at_last(client, "$JS.API.STREAM.UPDATE.S", CONFIG | {"description": "new"})
            await at_last(client, "$JS.API.CONSUMER.CREATE.S.D", CONSUMER | {"config": {"durable_name": "D"}})
            await read(client)

    async def after() -> None:
        async with midge.Server(listen=False, store_dir=disk / "store") as server, midge.connect(server) as client:
            await read(client)
            info = await ask(client, "$JS.API.STREAM.INFO.S")
            assert (info["state"]["last_seq"], info["config"]["description"]) == (6, "new")
            assert (await ask(client, "$JS.API.CONSUMER.NAMES.S"))["consumers"] == ["C", "D"]
            assert (await ask(client, "$JS.API.STREAM.NAMES"))["streams"] == ["S", "T"]

    async def read(client: midge.Client) -> None:
        for sequence in range(1, 6):
            assert (await ask(client, "$JS.API.STREAM.MSG.GET.S", {"seq": sequence}))["message"]["subject"] == "s.a"
        assert (await ask(client, "$JS.API.CONSUMER.INFO.S.C"))["num_pending"] >= 5

    asyncio.run(before())
    if torn:
        (segment,) = disk.glob("store/streams/*/*.seg")
        data = segment.read_bytes()
        with segment.open("r+b") as file:  # no more room than it has is needed
            file.seek(len(data.rstrip(b"\0")) + 16)
            file.write(b"torn")
    fill(ballast)
    assert os.statvfs(disk).f_bavail == 0
    asyncio.run(while_full())
    asyncio.run(after())
    if torn:
        assert len(list(disk.glob("store/streams/*/quarantine/*"))) == 1


def test_consumers_go_on_while_the_disk_is_full_and_are_kept_when_there_is_room(disk: Path) -> None:
    ballast = disk / "ballast"
    durable = CONSUMER | {"config": {"durable_name": "C", "ack_policy": "explicit", "ack_wait": 500_000_000_000, "max_ack_pending": 5_000}}

    async def pulled(client: midge.Client, batch: int) -> list[midge.Message]:
        body = json.dumps({"batch": batch, "expires": 300_000_000, "no_wait": True}).encode()
        found = []
        async with client.subscribe(inbox := client.new_inbox()) as sub:
            await client.publish("$JS.API.CONSUMER.MSG.NEXT.S.C", body, reply=inbox)
            async for message in sub:
                if message.reply is None or not message.reply:
                    break
                found.append(message)
                if len(found) == batch:
                    break
        return found

    async def full() -> None:
        async with midge.Server(listen=False, store_dir=disk / "store") as server, midge.connect(server) as client:
            assert "error" not in await ask(client, "$JS.API.STREAM.CREATE.S", CONFIG)
            assert "error" not in await ask(client, "$JS.API.CONSUMER.CREATE.S.C", durable)
            for number in range(300):
                await client.publish("s.a", b"%d" % number, reply="nobody")
            assert (await ask(client, "s.a", data=b"last"))["seq"] == 301
            messages = await pulled(client, 200)
            assert len(messages) == 200
            fill(ballast)
            for number in range(40):  # each of them needs room in the end
                confirmed = asyncio.gather(*(client.request(str(each.reply), b"+ACK", timeout=30) for each in messages[number::40]))
                for name in ("D", "E"):
                    answer = await ask(client, f"$JS.API.CONSUMER.CREATE.S.{name}", CONSUMER | {"config": {"durable_name": name}})
                    if "error" in answer:
                        assert answer["error"]["err_code"] == 10104
                        break
                else:
                    await asyncio.wait([confirmed], timeout=1)
                    await ask(client, f"$JS.API.CONSUMER.DELETE.S.{name}")
                    continue
                break
            assert "error" in answer
            assert len(await pulled(client, 50)) == 50  # what is delivered needs none
            async with client.subscribe("core") as sub:
                for number in range(50):
                    await client.publish("core", b"%d" % number)
                assert [bytes((await sub.next(5)).data) for _ in range(50)] == [b"%d" % number for number in range(50)]
            ballast.unlink()
            assert all(not each.data for each in await confirmed)
            await at_last(client, "$JS.API.CONSUMER.CREATE.S.F", CONSUMER | {"config": {"durable_name": "F"}})
            for each in messages:
                await client.request(str(each.reply), b"+ACK", timeout=30)

    async def after() -> None:
        async with midge.Server(listen=False, store_dir=disk / "store") as server, midge.connect(server) as client:
            info = await ask(client, "$JS.API.CONSUMER.INFO.S.C")
            assert info["ack_floor"]["stream_seq"] == 200
            assert info["num_ack_pending"] <= 50
            assert set((await ask(client, "$JS.API.CONSUMER.NAMES.S"))["consumers"]) >= {"C", "F"}

    asyncio.run(full())
    asyncio.run(after())
