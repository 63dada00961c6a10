"""Fast batches: what a clock in the hand, a disk that fails and a look inside show. tests/interop compares what both servers say."""

import errno
import json
import os
from pathlib import Path

import pytest
from worlds import World

from midge.engine.batch_limits import BatchLimits
from midge.store.directory import StoreDirectory
from midge.store.files import Files

START, APPEND, COMMIT, END, PING = range(5)


@pytest.fixture
def world() -> World:
    world = World()
    world.create(allow_batched=True)
    return world


def send(world: World, number: int, operation: int = APPEND, gap: str = "fail", batch: str = "b", flow: int = 10, **headers: str) -> None:
    """Publish one message of a batch; nothing else happens yet."""
    world.publish("s.a", b"x", f"P.{batch}.{flow}.{gap}.{number}.{operation}.$FI", **headers)


def heard(world: World) -> list[bytes]:
    """What the publisher has heard since the last time."""
    world.turn()
    answers = [payload for subject, _, payload in world.outside.sent if subject.startswith(b"P.")]
    world.outside.sent.clear()
    return answers


def test_a_publisher_hears_now_and_then(world: World) -> None:
    send(world, 1, START, flow=100)
    for number in range(2, 1000):
        send(world, number, flow=100)
    answers = heard(world)
    assert answers[0] == b'{"type":"ack","seq":0,"msgs":100}'
    assert [json.loads(answer)["seq"] for answer in answers] == list(range(0, 1000, 100))
    send(world, 1000, COMMIT, flow=100)
    assert heard(world) == [b'{"stream":"S","seq":1000,"batch":"b","count":1000}']
    assert world.engine.ingests.open == 0 and world.engine.next_deadline() is None


def test_many_publishers_hear_more_often() -> None:
    world = World()
    world.create(allow_batched=True)
    for batch in range(100):
        send(world, 1, START, batch=str(batch), flow=500)
    for number in range(2, 200):
        send(world, number, batch="7", flow=500)
    flows = [told["msgs"] for told in map(json.loads, heard(world)) if told["seq"] > 1]
    assert flows[0] < flows[-1] == 500 // 100
    assert sorted(flows) == flows


def test_a_silent_batch_ends(world: World) -> None:
    send(world, 1, START)
    world.wait(9)
    send(world, 1, PING)
    world.wait(9)
    assert len(world.account.streams["S"].ingest) == 1
    world.wait(1)
    assert len(world.account.streams["S"].ingest) == world.engine.ingests.open == 0
    heard(world)
    send(world, 2)
    assert b"10208" in heard(world)[0]


def test_the_limits_are_the_servers() -> None:
    world = World(batches=BatchLimits(per_stream=2, total=3))
    world.create(allow_batched=True)
    for batch in "123":
        send(world, 1, START, batch=batch)
    assert b"10211" in heard(world)[-1]
    assert world.engine.ingests.max_open == 3


def test_a_stream_that_goes_takes_its_batches_along(world: World) -> None:
    send(world, 1, START)
    world.api("STREAM.DELETE.S")
    assert world.engine.ingests.open == 0 and world.engine.next_deadline() is None


class FullDisk(Files):
    """A disk that can be full."""

    is_full = False

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().pwrite(fd, data, offset)


def test_nothing_is_acknowledged_that_is_not_on_disk(tmp_path: Path) -> None:
    disk = FullDisk()
    world = World(StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, files=disk))
    world.create(allow_batched=True, storage="file")
    world.outside.sent.clear()
    send(world, 1, START, flow=1)
    world.engine.step(world.wall)
    assert [json.loads(payload)["seq"] for _, _, payload in world.outside.sent] == [0]
    assert heard(world)[1:] == [b'{"type":"ack","seq":1,"msgs":1}']
    disk.is_full = True
    send(world, 2, flow=1)
    send(world, 3, COMMIT, flow=1)
    send(world, 1, START, batch="c", flow=1)
    answers = heard(world)
    assert [json.loads(answer)["error"]["err_code"] for answer in answers] == [10077, 10077]
    assert world.engine.ingests.open == 0
    assert world.state()["last_seq"] == 1
    disk.is_full = False
    world.engine.close()
    world.directory.close()


def test_a_batch_that_may_have_no_gaps_ends_where_the_disk_fails(tmp_path: Path) -> None:
    disk = FullDisk()
    world = World(StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, files=disk))
    world.create(allow_batched=True, storage="file")
    send(world, 1, START, flow=1)
    heard(world)
    disk.is_full = True
    world.publish("s.a")
    world.turn()
    send(world, 2, flow=1)
    error, end = heard(world)
    assert json.loads(error)["type"] == "err" and json.loads(error)["error"]["err_code"] == 10077
    assert end == b'{"stream":"S","seq":1,"batch":"b","count":1}'
    disk.is_full = False
    world.engine.close()
    world.directory.close()
