"""Consumers that outlive the engine: what is there again after a stop, after a crash, and what a failing disk changes about it."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from consuming import Consuming, numbers
from disks_of_engines import Disk
from worlds import SECOND, World

from midge.engine.consumers.consumer import Consumer
from midge.model.consumer import ConsumerInfo
from midge.store.directory import StoreDirectory
from midge.store.files import Files


class Kept(Consuming):
    """A world in files."""

    def __init__(self, path: Path, disk: Files | None = None, **config: Any) -> None:
        super().__init__(StoreDirectory(str(path), wake=lambda: None, workers=0, files=disk), **{"storage": "file"} | config)
        self.path = path

    def consume(self, name: str = "C", **config: Any) -> Consumer:
        return super().consume(name, **{"durable_name": name} | config)

    def write(self) -> None:
        """Let everything be written that nobody waits for."""
        self.wall += SECOND
        self.directory.handle_timeout(self.wall)
        self.turn()

    def close(self) -> None:
        self.engine.close()
        self.directory.close()

    def crashed(self, to: Path) -> "Kept":
        """What there is if the machine stops now: the files as they are."""
        shutil.copytree(self.path, to)
        return Kept(to)


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    opened: list[Kept] = []

    def make(path: Path = tmp_path / "a", **config: Any) -> Kept:
        opened.append(Kept(path, **config))
        return opened[-1]

    yield make
    for world in opened:
        if not world.directory._is_closed:
            world.close()


def info(world: World, name: str = "C") -> ConsumerInfo:
    found: ConsumerInfo = world.account.streams["S"].consumers[name].info(world.wall)
    found.ts = ""
    found.delivered.last_active = found.ack_floor.last_active = None
    return found


def test_they_are_there_again_after_a_stop(worlds: Callable[..., Kept]) -> None:
    world = worlds()
    world.consume("C", ack_wait=30 * SECOND)
    world.consume("D", ack_policy="all", filter_subject="s.b")
    world.consume("P", ack_policy="none")
    world.store("s.a", "s.b", "s.a", "s.b", "s.a")
    messages = world.pull(4, "C")
    world.reply(messages[0])
    world.reply(messages[2])
    world.reply(messages[1], b"-NAK")
    world.reply(world.pull(2, "D")[0])
    world.pull(3, "P")
    before = {name: info(world, name) for name in "CDP"}
    world.close()
    world = worlds()
    after = {name: info(world, name) for name in "CDP"}
    assert after == before
    assert numbers(world.pull(2, "C"))[:1] == [(1, 5, 5, 0)]
    world.wait(31)
    assert [each[1] for each in numbers(world.news())] == [2]
    assert numbers(world.pull(1, "P")) == [(1, 4, 4, 1)]


def test_what_is_in_memory_is_not(worlds: Callable[..., Kept]) -> None:
    world = worlds()
    world.create("M", storage="memory", subjects=["m"])
    world.consume("C", mem_storage=True)
    assert world.directory.state.consumers("A", "S") == []
    world.store("s.a")
    world.reply(world.pull()[0], b"+ACK", "I.ack")
    assert (b"I.ack", b"", b"") in world.outside.sent
    world.close()
    assert worlds().stream.consumers == {}


def test_a_confirmation_waits_until_it_is_written(worlds: Callable[..., Kept], tmp_path: Path) -> None:
    world = worlds()
    world.consume()
    world.store("s.a", "s.b")
    first, second = world.pull(2)
    world.publish(first.reply.decode(), b"+ACK", "I.ack")
    world.engine.step(world.wall)
    assert (b"I.ack", b"", b"") not in world.outside.sent
    world.turn()
    assert (b"I.ack", b"", b"") in world.outside.sent
    after = world.crashed(tmp_path / "b")
    after.wait(11)
    assert [each[1] for each in numbers(after.pull(5))] == [2]
    after.close()


def test_what_was_not_written_is_delivered_again(worlds: Callable[..., Kept], tmp_path: Path) -> None:
    world = worlds()
    world.consume()
    world.store("s.a", "s.b", "s.a")
    messages = world.pull(2)
    world.write()
    world.reply(messages[0])
    world.reply(world.pull(1)[0])
    after = world.crashed(tmp_path / "b")
    after.wait(11)
    assert [each[1] for each in numbers(after.pull(5))] == [1, 2, 3]
    after.close()


def test_a_configuration_and_an_end(worlds: Callable[..., Kept], tmp_path: Path) -> None:
    world = worlds()
    body = {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit"}}
    created = world.api("CONSUMER.CREATE.S.C", **body)
    assert created["name"] == "C"
    world.store("s.a", "s.b")
    world.reply(world.pull(1)[0], b"+ACK", "I.ack")
    body["config"]["description"] = "new"  # type: ignore[index]
    assert world.api("CONSUMER.CREATE.S.C", **body)["config"]["description"] == "new"
    after = world.crashed(tmp_path / "b")
    assert after.stream.consumers["C"].config.description == "new"
    assert info(after).ack_floor.stream_seq == 1
    assert after.api("CONSUMER.DELETE.S.C")["success"]
    gone = after.crashed(tmp_path / "c")
    assert gone.stream.consumers == {}
    gone.close()
    after.close()
    assert world.api("STREAM.DELETE.S")["success"]
    world.create(storage="file")
    assert world.account.streams["S"].consumers == {}
    world.close()
    assert worlds().stream.consumers == {}


def break_rows(world: Kept) -> None:
    with closing(sqlite3.connect(world.path / "state.db")) as base:
        base.execute("ALTER TABLE progress RENAME TO elsewhere")


def mend_rows(world: Kept) -> None:
    with closing(sqlite3.connect(world.path / "state.db")) as base:
        base.execute("ALTER TABLE elsewhere RENAME TO progress")


def test_a_disk_that_fails(worlds: Callable[..., Kept]) -> None:
    world = worlds()
    world.consume()
    world.store("s.a", "s.b", "s.c")
    messages = world.pull(2)
    break_rows(world)
    world.reply(messages[0], b"+ACK", "I.ack")
    assert world.outside.failures == [f"writing down how far consumers have come: {world.path}/state.db: no such table: progress"]
    assert len(world.pull(1)) == 1  # deliveries and acknowledgements go on
    world.reply(messages[1])
    refused = world.api("CONSUMER.CREATE.S.D", stream_name="S", config={"durable_name": "D", "ack_policy": "explicit"})
    assert refused["error"]["err_code"] == 10104 and "D" not in world.stream.consumers
    refused = world.api("CONSUMER.CREATE.S.C", stream_name="S", config={"durable_name": "C", "ack_policy": "explicit", "description": "x"})
    assert "error" in refused and world.stream.consumers["C"].config.description == ""
    assert (b"I.ack", b"", b"") not in world.outside.sent
    mend_rows(world)
    world.write()
    world.write()
    assert (b"I.ack", b"", b"") in world.outside.sent
    assert len(world.outside.failures) == 1
    world.close()
    assert info(worlds()).ack_floor.stream_seq == 2


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_was_acknowledged_does_not_come_again_after_a_crash(worlds: Callable[..., Kept], tmp_path: Path, retention: str) -> None:
    """The row says so, and the removal from the stream was not written yet."""
    world = worlds(retention=retention)
    world.consume()
    world.store("s.a", "s.b", "s.c")
    messages = world.pull(3)
    for place in (0, 2):
        world.publish(messages[place].reply.decode(), b"+ACK", "I.ack")
    world.directory.keeper.begin()
    world.directory._workers.finish()  # the row alone is on the disk
    after = world.crashed(tmp_path / "b")
    assert [stored.sequence for stored in after.stream.store.scan()] == [2]
    assert info(after).num_ack_pending == 1
    after.turn()
    again = after.crashed(tmp_path / "c")
    assert again.stream.store.messages == 1
    again.close()
    after.close()


def test_what_went_does_not_wait_for_anybody_after_a_crash(worlds: Callable[..., Kept], tmp_path: Path) -> None:
    """The removal was written, and the row was not."""
    world = worlds(retention="workqueue")
    world.consume()
    world.store("s.a", "s.b", "s.c")
    messages = world.pull(3)
    world.write()
    world.reply(messages[1])
    after = world.crashed(tmp_path / "b")
    assert [stored.sequence for stored in after.stream.store.scan()] == [1, 3]
    assert info(after).num_ack_pending == 2
    after.wait(11)
    assert [each[1] for each in numbers(after.pull(5))] == [1, 3]
    after.close()


def test_removals_that_a_disk_undoes_are_made_again(tmp_path: Path) -> None:
    disk = Disk()
    world = Kept(tmp_path / "a", disk, retention="workqueue")
    world.consume()
    world.store("s.a", "s.b", "s.c")
    messages = world.pull(3)
    disk.full = True
    world.reply(messages[0])
    world.reply(messages[2])
    assert [stored.sequence for stored in world.stream.store.scan()] == [1, 2, 3]  # as it is on the disk
    disk.full = False
    for _ in range(4):
        world.write()
        world.wait(1)
    assert [stored.sequence for stored in world.stream.store.scan()] == [2]
    assert [each[1] for each in numbers(world.pull(5, expires=SECOND))] == []
    world.close()


def test_one_removal_that_a_disk_undoes_is_made_again(worlds: Callable[..., Kept]) -> None:
    disk = Disk()
    world = worlds(disk=disk, retention="workqueue")
    world.consume()
    world.store("s.a", "s.b")
    (taken,) = world.pull(1)
    disk.full = True
    world.reply(taken)
    assert [stored.sequence for stored in world.stream.store.scan()] == [1, 2]
    assert world.outside.failures == ["storing in stream S: [Errno 28] No space left on device"]
    disk.full = False
    for _ in range(4):
        world.write()
        world.wait(1)
    assert [stored.sequence for stored in world.stream.store.scan()] == [2]


@pytest.mark.parametrize("fails", ["already", "then"])
def test_the_last_one_goes_while_the_disk_fails(worlds: Callable[..., Kept], fails: str) -> None:
    """It is gone, and who has asked is told so; what was kept for it goes when the disk works again."""
    disk = Disk()
    world = worlds(disk=disk, retention="interest")
    world.consume()
    world.store("s.a", "s.b")
    disk.full = True
    if fails == "already":
        assert "error" in world.ack("s.c")
    assert world.api("CONSUMER.DELETE.S.C") | {"type": ""} == {"type": "", "success": True}
    assert world.api("STREAM.NAMES")["streams"] == ["S"]
    assert world.stream.store.messages == 2
    disk.full = False
    for _ in range(3):
        world.wall += SECOND
        world.directory.handle_timeout(world.wall)
        world.wait(1)
    assert world.stream.store.messages == 0 and world.ack("s.d") == '{"stream":"S","seq":3}'


def test_one_that_cannot_be_opened_holds_messages(tmp_path: Path) -> None:
    world = Kept(tmp_path / "a", retention="workqueue")
    world.consume("C", filter_subject="s.c")
    world.consume("D", filter_subject="s.d")
    world.store("s.c", "s.d")
    world.close()
    from midge.store.state import progress_mark

    with closing(sqlite3.connect(tmp_path / "a" / "state.db", isolation_level=None)) as base:
        base.execute("UPDATE progress SET state = x'09', mark = ? WHERE id = 1", (progress_mark(1, b"\x09"),))
    world = Kept(tmp_path / "a")
    assert set(world.stream.consumers) == {"D"} and world.stream.unopened == {"C"}
    assert world.outside.failures == ["opening consumer C of stream S of account A: this is not how far a consumer has come"]
    world.reply(world.pull(1, "D")[0])
    assert world.stream.store.messages == 2
    assert os.path.exists(tmp_path / "a" / "state.db")
    world.close()


def test_less_than_was_delivered(tmp_path: Path) -> None:
    """A disk lost what it had promised: nothing is passed over that comes later under these sequences."""
    world = Kept(tmp_path / "a")
    world.consume()
    world.store("s.a", "s.b", "s.c")
    messages = world.pull(3)
    world.reply(messages[2], b"+ACK", "I.ack")
    world.close()
    for path in (tmp_path / "a" / "streams").rglob("*"):
        if path.suffix == ".seg":
            path.write_bytes(path.read_bytes()[:40])
        elif path.name == "index":
            path.unlink()
    world = Kept(tmp_path / "a")
    assert world.stream.store.last == 0
    world.store("s.x")
    assert [each[1] for each in numbers(world.pull(5, expires=SECOND))] == [1]
    world.close()


def test_the_last_messages_of_subjects_go_on_after_a_start(worlds: Callable[..., Kept], tmp_path: Path) -> None:
    world = worlds()
    world.store("s.a", "s.b", "s.c", "s.x", "s.a", "s.b", "s.b", "s.c")
    world.consume(deliver_policy="last_per_subject", filter_subjects=["s.a", "s.b", "s.c"])
    world.reply(world.pull(1)[0])
    world.store("s.b", "s.d", "s.c")
    assert info(world).num_pending == 4
    world.write()
    after = world.crashed(tmp_path / "b")
    world.close()
    for each in (after, worlds()):
        assert info(each).num_pending == 4
        assert [number[1:] for number in numbers(each.pull(9, no_wait=True))[:-1]] == [(7, 2, 3), (8, 3, 2), (9, 4, 1), (11, 5, 0)]
        each.close()
    world = worlds()
    world.store("s.a")
    assert [number[1] for number in numbers(world.pull(1))] == [12]
