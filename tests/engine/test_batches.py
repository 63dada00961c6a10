"""Atomic batches: what only a clock in the hand and a look inside show. tests/interop/test_streams.py compares what both servers say."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from worlds import World

from midge.engine import batch_limits
from midge.engine.batch_limits import BatchLimits
from midge.store.directory import StoreDirectory
from midge.store.files import Files

INCOMPLETE = 10176


@pytest.fixture
def world() -> World:
    world = World()
    world.create(allow_atomic=True)
    return world


def part(world: World, number: int, batch: str = "b", subject: str = "s.a", commit: str = "", **headers: str) -> str:
    """Publish one message of a batch; return its answer."""
    more = {"Nats_Batch_Commit": commit} if commit else {}
    return world.ack(subject, b"x", Nats_Batch_Id=batch, Nats_Batch_Sequence=str(number), **more, **headers)


def code(answer: str) -> int:
    found: int = json.loads(answer)["error"]["err_code"]
    return found


def test_nothing_is_there_before_the_commit(world: World) -> None:
    assert part(world, 1) == part(world, 2) == ""
    assert world.state()["last_seq"] == 0
    assert part(world, 3, commit="1") == '{"stream":"S","seq":3,"batch":"b","count":3}'
    assert world.state()["messages"] == 3


def test_a_batch_that_is_silent_for_long_is_abandoned(world: World) -> None:
    world.outside.listeners.append(b"$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S")
    part(world, 1)
    world.wait(9)
    part(world, 2)
    world.wait(9)
    part(world, 3)
    assert not advisories(world)
    world.wait(10)
    assert advisories(world) == [("b", "timeout")]
    assert world.engine.next_deadline() is None
    assert code(part(world, 4, commit="1")) == INCOMPLETE
    assert world.engine.batches.open == world.engine.batches.bytes == 0


def test_why_a_batch_is_abandoned_is_told(world: World) -> None:
    world.outside.listeners.append(b"$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S")
    world.engine.batches.max_size = 2
    part(world, 1, "gap")
    part(world, 3, "gap")
    for number in (1, 2, 3):
        part(world, number, "big")
    part(world, 1, "level", Nats_Required_Api_Level="1000")
    assert advisories(world) == [("gap", "incomplete"), ("big", "large"), ("level", "unsupported")]
    assert len(world.account.streams["S"].batches) == world.engine.batches.open == 0


def test_the_limits_are_the_servers() -> None:
    world = World(batches=BatchLimits(per_stream=2, total=3, size=2, timeout=5_000_000_000))
    world.create(allow_atomic=True)
    world.create("T", subjects=["t.>"], allow_atomic=True)
    assert part(world, 1, "1") == part(world, 1, "2") == ""
    assert code(part(world, 1, "3")) == 10210
    assert part(world, 1, "3", "t.a") == ""
    assert code(part(world, 1, "4", "t.a")) == 10210
    assert code(part(world, 4, "5")) == 10199
    world.wait(5)
    assert world.engine.batches.open == 0


def test_open_batches_take_no_more_memory_than_they_may(world: World) -> None:
    assert world.engine.batches.max_bytes == batch_limits.MAX_BYTES
    world.engine.batches.max_bytes = 1_000
    for number in range(1, 4):
        assert world.ack("s.a", b"x" * 200, Nats_Batch_Id="b", Nats_Batch_Sequence=str(number)) == ""
    assert code(world.ack("s.a", b"x" * 200, Nats_Batch_Id="b", Nats_Batch_Sequence="4")) == 10210
    assert world.engine.batches.bytes == world.engine.batches.open == 0
    assert part(world, 1, commit="1").endswith('"count":1}')


def test_a_stream_that_goes_takes_its_batches_along(world: World) -> None:
    part(world, 1)
    world.api("STREAM.DELETE.S")
    assert world.engine.batches.open == world.engine.batches.bytes == 0
    assert world.engine.next_deadline() is None


def test_a_batch_is_republished_in_order() -> None:
    world = World()
    world.create(allow_atomic=True, republish={"src": "s.>", "dest": "copy.>"})
    world.ack("s.a")
    for number, commit in ((1, ""), (2, ""), (3, "1")):
        part(world, number, subject="s.b" if number == 2 else "s.a", commit=commit)
    sent = [(subject, header) for subject, header, _ in world.outside.sent if subject.startswith(b"copy.")]
    assert [subject for subject, _ in sent] == [b"copy.a", b"copy.a", b"copy.b", b"copy.a"]
    assert [header.split(b"Nats-Last-Sequence: ")[1] for _, header in sent] == [b"0\r\n\r\n", b"1\r\n\r\n", b"0\r\n\r\n", b"2\r\n\r\n"]


def test_an_account_that_has_no_room_gets_nothing_of_a_batch() -> None:
    from midge.model.account import AccountLimits

    world = World(limits=AccountLimits(max_memory=200))
    world.create(allow_atomic=True)
    part(world, 1)
    part(world, 2)
    assert code(part(world, 3, commit="1")) == 10002
    assert world.state()["messages"] == 0


def test_a_batch_in_files_is_there_again_with_what_it_brought(tmp_path: Path) -> None:
    world = opened(tmp_path, Files())
    world.create(allow_atomic=True, storage="file")
    part(world, 1, Nats_Msg_Id="1")
    assert part(world, 2, commit="eob").endswith('"count":1}')
    part(world, 1, "open")
    closed(world)
    world = opened(tmp_path, Files())
    assert world.state()["messages"] == 1
    stored = world.account.streams["S"].store.read(1)
    assert stored is not None and stored.header.endswith(b"Nats-Batch-Commit: 1\r\n\r\n")
    assert code(part(world, 1, "c", commit="1", Nats_Msg_Id="1")) == 10201
    assert code(part(world, 2, "open", commit="1")) == INCOMPLETE
    closed(world)


def test_a_batch_that_cannot_be_written_is_refused_as_a_whole(tmp_path: Path) -> None:
    disk = FullDisk()
    world = opened(tmp_path, disk)
    world.create(allow_atomic=True, storage="file")
    part(world, 1)
    disk.is_full = True
    assert code(part(world, 2, commit="1")) == 10077
    assert world.state()["messages"] == 0
    disk.is_full = False
    closed(world)
    world = opened(tmp_path, disk)
    assert world.state()["last_seq"] == 0
    closed(world)


def test_every_torn_end_of_a_batch_leaves_none_of_it(tmp_path: Path) -> None:
    world = opened(tmp_path / "a", Files())
    world.create(allow_atomic=True, storage="file")
    world.ack("s.a", b"before")
    for number in range(1, 4):
        part(world, number, subject=f"s.{number}", commit="1" if number == 3 else "")
    assert world.state()["messages"] == 4
    closed(world)
    (log,) = (tmp_path / "a").glob("streams/*/*.seg")
    data = log.read_bytes()
    end = len(data.rstrip(b"\0"))
    for length in range(end - 1, 0, -29):
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        (copy,) = (tmp_path / "b").glob("streams/*/*.seg")
        copy.write_bytes(data[:length])
        copy.with_suffix(".idx").unlink(missing_ok=True)  # written when the store was closed, as it is not when a process is killed
        world = opened(tmp_path / "b", Files())
        assert world.state()["messages"] in (0, 1)
        closed(world)


class FullDisk(Files):
    """A disk that can be full."""

    is_full = False

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().pwrite(fd, data, offset)


def opened(path: Path, files: Files) -> World:
    path.mkdir(exist_ok=True)
    return World(StoreDirectory(str(path), wake=lambda: None, workers=0, files=files))


def closed(world: World) -> None:
    world.engine.close()
    world.directory.close()


def advisories(world: World) -> list[tuple[str, str]]:
    found = [json.loads(body) for subject, _, body in world.outside.sent if subject.startswith(b"$JS.EVENT.ADVISORY.STREAM.BATCH")]
    return [(each["batch"], each["reason"]) for each in found]
