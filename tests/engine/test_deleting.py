"""Deleting and changing streams whose disk is slow: nobody but who asks for that waits for it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from disks_of_engines import Disk, closed, opened
from worlds import ACCOUNT, START, World

from midge.model.account import AccountLimits
from midge.store.directory import StoreDirectory
from midge.store.files import Files

PATIENCE = 20.0  # seconds that a test waits for a thread, which is ready at once


class HeldDisk(Files):
    """A disk whose syncs of files take as long as the test likes."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.waiting = threading.Event()  # somebody waits for it

    def fdatasync(self, fd: int) -> None:
        if not self.free.is_set():
            self.waiting.set()
            assert self.free.wait(PATIENCE), "whoever should have freed the disk waited for it"
        super().fdatasync(fd)


class CountingDisk(Files):
    """Knows how many files it has removed, and does not sync."""

    removed = 0

    def fdatasync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass

    def unlink(self, path: str) -> None:
        self.removed += 1
        super().unlink(path)


class Slow:
    """A world over a disk that can be held, with workers, and a stream with a round under way that waits for it."""

    def __init__(self, path: Path) -> None:
        self.disk = HeldDisk()
        self.woken = threading.Event()
        directory = StoreDirectory(str(path), wake=self.woken.set, workers=2, files=self.disk)
        self.world = World(directory)
        self.world.publish("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["s.>"],"storage":"file","allow_direct":true}', "R.create")
        self.until(lambda: "S" in self.world.account.streams)
        self.world.publish("s.a", b"x", "R.first")
        self.until(lambda: self.answered("R.first"))
        self.disk.free.clear()
        self.world.publish("s.a", b"y", "R.second")
        self.world.turn()
        assert self.disk.waiting.wait(PATIENCE)

    def until(self, condition: Callable[[], bool]) -> None:
        """Take turns until something is so."""
        self.world.turn()
        while not condition():
            assert self.woken.wait(PATIENCE)
            self.woken.clear()
            self.world.turn()

    def answered(self, reply: str) -> bool:
        return any(to == reply.encode() for to, _, _ in self.world.outside.sent)

    def answer(self, reply: str) -> dict[str, Any]:
        self.until(lambda: self.answered(reply))
        (found,) = [payload for to, _, payload in self.world.outside.sent if to == reply.encode()]
        decoded: dict[str, Any] = json.loads(found)
        return decoded

    def release(self) -> None:
        self.disk.free.set()

    def end(self) -> None:
        self.release()
        closed(self.world)


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


def delete(slow: Slow) -> None:
    """Ask for the deletion, and take turns as long as the stream is there."""
    slow.world.publish("$JS.API.STREAM.DELETE.S", b"", "R.delete")
    slow.until(lambda: "S" not in slow.world.account.streams)


def test_who_deletes_a_stream_waits_for_its_round_and_nobody_else_does(slow: Slow, tmp_path: Path) -> None:
    world = slow.world
    delete(slow)
    assert not slow.answered("R.delete")
    assert not world.publish("s.a", b"z", "R.third"), "nobody listens any more"
    assert not world.publish("$JS.API.DIRECT.GET.S", b'{"seq":1}', "R.get")
    world.publish("$JS.API.STREAM.CREATE.M", b'{"name":"M","subjects":["m"],"storage":"memory"}', "R.memory")
    world.publish("$JS.API.STREAM.INFO.S", b"", "R.info")
    world.publish("$JS.API.STREAM.DELETE.S", b"", "R.again")
    world.publish("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["s.>"],"storage":"file"}', "R.anew")
    other = world.engine.open_account("B", AccountLimits())
    world.turn()
    assert not slow.answered("R.memory"), "an account's requests are answered in order"
    assert other.limits is not None and not slow.answered("R.second")
    slow.release()
    assert slow.answer("R.delete")["success"]
    assert slow.answer("R.memory")["did_create"]
    assert slow.answer("R.info")["error"]["err_code"] == slow.answer("R.again")["error"]["err_code"] == 10059
    assert slow.answer("R.anew")["state"]["last_seq"] == 0
    assert [path.name for path in (tmp_path / "streams").iterdir()] == ["00000002"]
    slow.end()


def test_a_stop_in_between(slow: Slow, tmp_path: Path) -> None:
    delete(slow)
    slow.end()
    assert list((tmp_path / "streams").iterdir()) == []
    world = opened(tmp_path)
    assert world.account.streams == {} and world.directory.state.gone() == set()
    closed(world)


@pytest.mark.parametrize("turns", [0, 1])
def test_an_account_that_goes_and_comes_in_between(slow: Slow, tmp_path: Path, turns: int) -> None:
    """Who asked gets an answer, and the stream does not come back with the account."""
    world = slow.world
    world.publish("$JS.API.STREAM.DELETE.S", b"", "R.delete")
    world.engine.step(world.wall)  # asked for, and not begun to be noted,
    if turns:
        world.directory.begin()  # or being noted
    slow.release()
    world.engine.limit_account(ACCOUNT, None)
    world.engine.limit_account(ACCOUNT, AccountLimits())
    assert slow.answer("R.delete")["success"]
    assert world.engine.accounts[ACCOUNT].streams == {}
    slow.end()
    world = opened(tmp_path)
    assert world.account.streams == {}
    closed(world)
    assert list((tmp_path / "streams").iterdir()) == []


def test_what_is_created_while_its_account_is_closed_stops_with_it(slow: Slow, tmp_path: Path) -> None:
    """Closing the others waits for the disk, and meanwhile it is noted."""
    world = slow.world
    before = set(world.outside.ears.values())
    world.publish("$JS.API.STREAM.CREATE.T", b'{"name":"T","subjects":["t"],"storage":"file"}', "R.create")
    world.engine.step(world.wall)
    world.directory.begin()
    threading.Timer(0.05, slow.release).start()
    world.engine.limit_account(ACCOUNT, None)
    assert not world.publish("t", b"x", "R.t"), "nobody listens any more"
    world.engine.limit_account(ACCOUNT, AccountLimits())
    assert sorted(world.engine.accounts[ACCOUNT].streams) == ["S", "T"]
    world.publish("t", b"x", "R.t")
    assert slow.answer("R.t") == {"stream": "T", "seq": 1}
    assert len(world.outside.ears) == len(before) + 1 and not world.outside.failures
    slow.end()


def test_what_cannot_be_noted_has_not_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = opened(tmp_path)
    world.create(storage="file")

    def fail(*given: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as failing:
        failing.setattr("midge.store.directory.remove_stream", fail)
        failing.setattr("midge.store.directory.put_stream", fail)
        assert world.api("STREAM.DELETE.S")["error"]["err_code"] == 10051
        assert world.api("STREAM.UPDATE.S", name="S", subjects=["s.>", "t"], storage="file")["error"]["err_code"] == 10051
    assert world.ack("s.a") == '{"stream":"S","seq":1}' and not world.publish("t")
    assert world.api("STREAM.UPDATE.S", name="S", subjects=["s.>", "t"], storage="file")["config"]["subjects"] == ["s.>", "t"]
    assert world.ack("t") == '{"stream":"S","seq":2}'
    assert world.api("STREAM.DELETE.S")["success"]
    closed(world)


def test_a_transform_without_a_destination_is_none(tmp_path: Path) -> None:
    """Nor does it keep a stream from being opened."""
    transform = {"src": "s.a", "dest": ""}
    world = opened(tmp_path)
    world.create(storage="file")
    assert world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="file", subject_transform=transform).get("error") is None
    assert world.api("STREAM.CREATE.T", name="T", subjects=["t"], storage="file", republish=transform)["config"]["republish"] == transform
    assert world.ack("s.a") == '{"stream":"S","seq":1}' and world.api("STREAM.MSG.GET.S", seq=1)["message"]["subject"] == "s.a"
    assert not world.outside.failures
    closed(world)
    world = opened(tmp_path)
    assert list(world.account.streams) == ["S", "T"] and world.ack("s.a") == '{"stream":"S","seq":2}'
    closed(world)


def test_what_cannot_be_changed_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the next start, where making the change fails when it has been noted."""
    world = opened(tmp_path)
    world.create(storage="file")
    stream = world.account.streams["S"]
    subscribe = stream._subscribe

    def fail() -> None:
        if "t" in stream.config.subjects:
            raise ValueError("odd")
        subscribe()

    with monkeypatch.context() as failing:
        failing.setattr(type(stream), "_subscribe", lambda each: fail())
        assert world.api("STREAM.UPDATE.S", name="S", subjects=["s.>", "t"], storage="file")["error"]["err_code"] == 10051
    assert stream.config.subjects == ["s.>"] and world.ack("s.a") == '{"stream":"S","seq":1}' and not world.publish("t")
    closed(world)
    world = opened(tmp_path)
    assert world.account.streams["S"].config.subjects == ["s.>"]
    closed(world)


def test_a_change_is_noted_in_a_worker(tmp_path: Path) -> None:
    """And takes place when it is."""
    world = opened(tmp_path)
    world.create(storage="file")
    world.publish("$JS.API.STREAM.UPDATE.S", b'{"name":"S","subjects":["t"],"storage":"file"}', "R.update")
    world.engine.step(world.wall)
    assert world.account.streams["S"].config.subjects == ["s.>"]
    assert json.loads(world.directory.state.streams()[0].config)["subjects"] == ["s.>"]
    world.engine.limit_account(ACCOUNT, None)  # the stream that there is then is what is changed
    world.engine.limit_account(ACCOUNT, AccountLimits())
    world.turn()
    assert world.engine.accounts[ACCOUNT].streams["S"].config.subjects == ["t"]
    closed(world)


def test_many_segments_are_removed_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not wait for all of them, and no other stream's round for more than some."""
    monkeypatch.setattr("midge.store.clearing._SOME", 8)
    disk = CountingDisk()
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, files=disk, segment_size=4_096)
    world = World(directory, wall=START)
    world.create(storage="file")
    for number in range(60):
        world.publish(f"s.{number}", bytes(2_000))
    world.turn()
    files = len(list((tmp_path / "streams" / "00000001").iterdir()))
    assert files > 3 * 8
    world.publish("$JS.API.STREAM.DELETE.S", b"", "R.delete")
    world.engine.step(world.wall)
    answered_at = -1
    directory.begin()
    for _ in range(100):
        before = disk.removed
        if not directory._workers.wait():  # one call of a worker is over; the next one runs at once, as there are none here
            break
        directory._departures.look()
        directory.begin()
        assert disk.removed - before <= 8
        world.engine.step(world.wall)
        if answered_at < 0 and b"R.delete" in [to for to, _, _ in world.outside.sent]:
            answered_at = disk.removed
    assert 0 < answered_at <= 16 and disk.removed == files
    world.turn()
    closed(world)
    assert list((tmp_path / "streams").iterdir()) == []


def test_what_fails_in_an_odd_way_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Neither who asked, nor who closes the directory."""

    class OddDisk(Files):
        def unlink(self, path: str) -> None:
            if path.endswith(".json"):
                raise MemoryError("odd")
            super().unlink(path)

    woken = threading.Event()
    world = World(StoreDirectory(str(tmp_path), wake=woken.set, workers=1, files=OddDisk()))
    world.publish("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["s"],"storage":"file"}', "R.create")
    raised = 0

    def until(condition: Callable[[], bool]) -> None:
        nonlocal raised
        while True:
            try:
                world.turn()
            except MemoryError:
                raised += 1
                continue
            if condition():
                return
            assert woken.wait(PATIENCE)
            woken.clear()

    until(lambda: "S" in world.account.streams)
    world.publish("$JS.API.STREAM.DELETE.S", b"", "R.delete")
    until(lambda: b"R.delete" in [to for to, _, _ in world.outside.sent])
    assert raised == 1 and [damage.why for damage in world.directory.quarantine if "cannot be removed: odd" in damage.why]
    world.publish("$JS.API.STREAM.CREATE.T", b'{"name":"T","subjects":["t"],"storage":"file"}', "R.create")
    until(lambda: "T" in world.account.streams)
    world.publish("$JS.API.STREAM.DELETE.T", b"", "R.delete")
    until(lambda: "T" not in world.account.streams)
    with suppress(MemoryError):
        closed(world)
    world = opened(tmp_path)
    assert not world.account.streams
    closed(world)


def test_a_stream_with_limits_refuses_while_it_goes_back(tmp_path: Path) -> None:
    """Whoever publishes while what was written last is read again is told so, also where the oldest message would have to go."""
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create(storage="file", max_msgs=1)
    assert world.ack("s.a") == '{"stream":"S","seq":1}'
    disk.full = True
    world.publish("s.a", b"", "R.first")
    world.engine.step(world.wall)
    world.directory.begin()
    world.directory._workers.wait()  # the round has failed, and the files are not read again yet
    assert world.account.streams["S"].store.failure is not None
    world.publish("s.a", b"", "R.second")
    world.turn()
    answers = {to: json.loads(payload) for to, _, payload in world.outside.sent if to.startswith(b"R.")}
    assert answers[b"R.first"]["error"]["err_code"] == answers[b"R.second"]["error"]["err_code"] == 10077
    disk.full = False
    world.wall += 10**10
    world.directory.handle_timeout(world.wall)
    world.turn()
    assert world.ack("s.a") == '{"stream":"S","seq":2}'
    closed(world)


def test_a_removal_that_was_interrupted_goes_on_beside_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.store.clearing._SOME", 8)
    left = tmp_path / "streams" / "00000007.gone"
    left.mkdir(parents=True)
    for number in range(30):
        (left / f"{number:010}.seg").touch()
    world = opened(tmp_path)
    assert 0 < len(list(left.iterdir())) < 30, "some at once, as there are no workers here"
    world.create(storage="file")
    assert not left.exists() and (tmp_path / "streams" / "00000008").exists()
    closed(world)


def test_what_is_kept_of_a_damaged_message_is_waited_for_by_nobody(slow: Slow, tmp_path: Path) -> None:
    """Not by who asks for it either: it is not there. It is reported when it is kept."""
    slow.end()
    disk, woken = HeldDisk(), threading.Event()
    directory = StoreDirectory(str(tmp_path), wake=woken.set, workers=2, files=disk)
    slow.world, slow.disk, slow.woken = World(directory), disk, woken
    (path,) = (tmp_path / "streams").glob("*/*.seg")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"s.ay", b"s.az"))
    assert path.read_bytes() != data
    disk.free.clear()
    slow.world.publish("$JS.API.DIRECT.GET.S", b'{"seq":2}', "R.get")
    slow.until(lambda: slow.answered("R.get"))
    assert disk.waiting.wait(PATIENCE) and directory.quarantine == []
    slow.release()
    slow.until(lambda: bool(directory.quarantine))
    (damage,) = directory.quarantine
    assert damage.first == damage.last == 2 and Path(damage.kept_as).exists()
    slow.end()
