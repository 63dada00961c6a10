"""Nothing is told before it is safe: file streams whose disk is slow, fails, and is read again."""

import errno
import os
from pathlib import Path

import pytest
from disks_of_engines import Disk, closed, opened
from worlds import SECOND, World


@pytest.fixture
def disk() -> Disk:
    return Disk()


def answers(world: World, prefix: bytes = b"R.") -> list[bytes]:
    return [payload for subject, _, payload in world.outside.sent if subject.startswith(prefix)]


def test_no_answer_before_it_is_on_disk(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    world.create(storage="file", allow_direct=True)
    world.outside.sent.clear()
    world.publish("s.a", b"x", "R.1")
    world.publish("s.a", b"x", "R.2", Nats_Msg_Id="1")
    world.publish("s.a", b"x", "R.3", Nats_Msg_Id="1")
    world.publish("s.a", b"x", "R.4", Nats_Expected_Last_Sequence="9")
    world.publish("$JS.API.DIRECT.GET.S", b'{"seq":2}', "G.1")
    world.engine.step(world.wall)
    assert world.outside.sent == []
    world.turn()
    assert [payload[:20] for payload in answers(world)] == [b'{"stream":"S","seq":'] * 3 + [b'{"error":{"code":400']
    assert answers(world, b"G.") == [b"x"]
    world.outside.sent.clear()
    world.publish("$JS.API.STREAM.PURGE.S", b"", "R.5")
    world.engine.step(world.wall)
    assert world.outside.sent == []
    world.turn()
    assert b'"purged":2' in answers(world)[0]
    closed(world)


def test_requests_wait_for_the_one_before(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    world.create(storage="file")
    world.publish("s.a")
    world.turn()
    world.outside.sent.clear()
    world.publish("$JS.API.STREAM.MSG.DELETE.S", b'{"seq":1}', "R.1")
    world.publish("$JS.API.STREAM.NAMES", b"", "R.2")
    for _ in range(3):
        world.engine.step(world.wall)
    assert answers(world) == []
    world.turn()
    assert [b"success" in payload for payload in answers(world)] == [True, False]
    closed(world)


def test_a_full_disk_is_told_and_everything_goes_on_afterwards(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    world.create(storage="file", allow_direct=True)
    world.ack("s.a", b"kept", Nats_Msg_Id="1")
    disk.full = True
    assert "10077" in world.ack("s.a", b"lost", Nats_Msg_Id="2")
    assert "10077" in world.ack("s.a", b"lost")
    assert world.outside.failures
    assert world.ask("$JS.API.DIRECT.GET.S", b'{"seq":1}')[0][1] == b"kept"
    disk.full = False
    for _ in range(60):
        world.wall += 1_000_000_000
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert world.ack("s.a", b"stored", Nats_Msg_Id="2") == '{"stream":"S","seq":2}'
    assert world.ack("s.a", b"again", Nats_Msg_Id="1") == '{"stream":"S","seq":1,"duplicate": true}'
    closed(world)


def test_a_stream_is_there_again(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    created = world.create(storage="file", allow_msg_ttl=True, subjects=["s.>"])["created"]
    world.ack("s.a", b"x", Nats_Msg_Id="1")
    world.ack("s.b", b"y", Nats_TTL="100s", Nats_Msg_Id="2")
    closed(world)
    wall = world.wall
    world = opened(tmp_path, disk)
    world.wall = wall
    assert world.api("STREAM.INFO.S")["created"] == created
    assert world.ack("s.a", Nats_Msg_Id="2") == '{"stream":"S","seq":2,"duplicate": true}'
    assert '"seq":3' in world.ack("s.a", b"z", Nats_Expected_Last_Msg_Id="2")
    world.wait(100)
    assert world.state(subjects_filter=">")["subjects"] == {"s.a": 2}
    world.api("STREAM.DELETE.S")
    closed(world)
    world = opened(tmp_path, disk)
    assert world.api("STREAM.NAMES")["streams"] is None
    closed(world)


def test_what_was_updated_stays_updated(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    world.create(storage="file")
    world.api("STREAM.UPDATE.S", name="S", subjects=["t"], storage="file", max_msgs=7)
    closed(world)
    world = opened(tmp_path, disk)
    assert world.api("STREAM.INFO.S")["config"]["max_msgs"] == 7
    assert world.ack("t") == '{"stream":"S","seq":1}'
    closed(world)


class Shut(Disk):
    """A disk on which no segment can be opened or made."""

    shut = False

    def create(self, path: str) -> int:
        if self.shut:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return super().create(path)

    def open(self, path: str) -> int:
        if self.shut and "00000001/" in path:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return super().open(path)


def test_a_stream_that_could_not_be_made_is_not_there_after_a_restart(tmp_path: Path) -> None:
    disk = Shut()
    world = opened(tmp_path, disk)
    disk.shut = True
    assert world.create(storage="file")["error"]["err_code"] == 10051
    assert not world.publish("s.a")
    closed(world)
    disk.shut = False
    world = opened(tmp_path, disk)
    assert world.account.streams == {}
    assert world.create(storage="file")["did_create"]
    assert world.ack("s.a") == '{"stream":"S","seq":1}'
    closed(world)


def test_a_stream_that_cannot_be_opened_keeps_no_other_one_away(tmp_path: Path) -> None:
    disk = Shut()
    world = opened(tmp_path, disk)
    world.create("A", subjects=["a"], storage="file")
    world.create("B", subjects=["b"], storage="file")
    assert world.ack("a") and world.ack("b")
    closed(world)
    disk.shut = True
    world = opened(tmp_path, disk)
    assert list(world.account.streams) == ["B"]
    assert "opening stream A of account A" in world.outside.failures[0]
    assert world.create("A", subjects=["a"], storage="file")["error"]["err_code"] == 10051
    closed(world)
    disk.shut = False
    world = opened(tmp_path, disk)
    assert world.state("A")["messages"] == world.state("B")["messages"] == 1
    closed(world)


class Ended(Exception):
    """The process is gone."""


class Mortal(Disk):
    """A disk after one of whose steps in removing a stream the process ends."""

    left = -1

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Ended

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self._step()

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        self._step()

    def unlink(self, path: str) -> None:
        self._step()
        super().unlink(path)

    def remove_directory(self, path: str) -> None:
        self._step()
        super().remove_directory(path)


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_stream_is_removed_as_a_whole(tmp_path: Path, steps: int) -> None:
    disk = Mortal()
    world = opened(tmp_path, disk)
    world.create(storage="file")
    world.ack("s.a")
    disk.left = steps
    with pytest.raises(Ended):
        world.engine.remove_stream(world.account.streams["S"], lambda error: None)
        world.turn()
    disk.left = -1
    world.directory.keeper.let_go()
    world.directory._workers.close()
    world.directory.state.close()
    world.directory._lock.let_go()
    world = opened(tmp_path, disk)
    assert world.account.streams == {}
    assert world.create(storage="file")["state"]["messages"] == 0
    assert world.ack("s.a") == '{"stream":"S","seq":1}'
    closed(world)


def test_what_could_not_be_ended_on_disk_is_ended_later(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    world.create(storage="file", allow_msg_ttl=True)
    world.ack("s.a")
    world.ack("s.a", Nats_TTL="5")
    disk.full = True
    world.wait(6)
    disk.full = False
    for _ in range(10):
        world.wait(1)
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert world.state()["messages"] == 1
    closed(world)


def test_what_is_too_old_is_ended_later_too(tmp_path: Path, disk: Disk) -> None:
    world = opened(tmp_path, disk)
    world.create(storage="file", max_age=5_000_000_000)
    world.ack("s.a")
    disk.full = True
    world.wait(6)
    disk.full = False
    for _ in range(10):
        world.wait(1)
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert world.state()["messages"] == 0
    closed(world)


@pytest.mark.parametrize("fails", ["already", "then"])
@pytest.mark.parametrize("limit", ["max_msgs", "max_msgs_per_subject"])
def test_a_limit_that_comes_while_the_disk_fails_holds_when_it_works_again(tmp_path: Path, limit: str, fails: str) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create(storage="file")
    for _ in range(5):
        world.ack("s.a")
    disk.full = True
    if fails == "already":
        assert "error" in world.ack("s.a")
    updated = world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="file", **{limit: 2})
    assert updated["config"][limit] == 2 and world.state()["messages"] == 5
    disk.full = False
    for _ in range(4):
        world.wall += SECOND
        world.directory.handle_timeout(world.wall)
        world.wait(1)
    assert world.state()["messages"] == 2
    closed(world)


def test_dropping_in_slices_goes_on_when_the_disk_works_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.engine.stream.TRIM", 2)
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create(storage="file")
    for _ in range(9):
        world.ack("s.a")
    world.publish("$JS.API.STREAM.UPDATE.S", b'{"name":"S","subjects":["s.>"],"storage":"file","max_msgs":2}')
    world.turn()
    disk.full = True
    assert "error" in world.ack("s.b")
    world.wait(0)
    disk.full = False
    for _ in range(4):
        world.wall += SECOND
        world.directory.handle_timeout(world.wall)
        world.wait(1)
    assert world.state()["messages"] == 2
    closed(world)


def test_a_limit_of_many_subjects_is_seen_to_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.engine.trimming.SLICE", 3)
    world = World()
    world.create()
    for number in range(20):
        world.ack(f"s.{number % 4}")
    world.publish("$JS.API.STREAM.UPDATE.S", b'{"name":"S","subjects":["s.>"],"storage":"memory","max_msgs_per_subject":1}')
    world.engine.step(world.wall)
    store = world.account.streams["S"].store
    assert 10 < store.messages < 20
    world.turn()
    assert [stored.sequence for stored in store.scan()] == [17, 18, 19, 20]
