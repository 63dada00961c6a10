"""Sources: each message once, in the order of its origin, whatever is removed and whenever the process ends."""

import json
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disks_of_engines import Disk, closed, opened
from trials import LONG, trials
from worlds import World

import midge.engine.positions as positions_module
from midge.engine.positions import parsed
from midge.model.account import AccountLimits
from midge.store.directory import StoreDirectory
from midge.store.state import put_sources

TRIALS = trials(6)


def sourced(world: World, *sources: dict[str, Any], name: str = "D", **config: Any) -> None:
    answer = world.create(name, **{"subjects": None, "sources": list(sources)} | config)
    assert "error" not in answer, answer
    world.turn()


def fill(world: World, count: int, subject: str = "s.a", start: int = 0) -> None:
    for number in range(start, start + count):
        world.publish(subject, b"%b%d" % (subject.encode(), number))
    world.turn()


def payloads(world: World, name: str = "D") -> list[bytes]:
    return [each.payload for each in world.account.streams[name].store.scan()]


def told(world: World, name: str = "D") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.api(f"STREAM.INFO.{name}")["sources"]
    return found


def crashed(world: World, path: Path, copy: Path) -> World:
    """What another process finds when this one is killed now."""
    shutil.copytree(path, copy)
    closed(world)
    (copy / "lock").unlink(missing_ok=True)
    return opened(copy)


def test_all_of_them_in_their_order() -> None:
    world = World()
    world.create("S")
    world.create("T", subjects=["t.>"])
    fill(world, 100)
    sourced(world, {"name": "S"}, {"name": "T"})
    fill(world, 100, "t.a")
    fill(world, 100, start=100)
    found = payloads(world)
    assert [each for each in found if each.startswith(b"s")] == [b"s.a%d" % number for number in range(200)]
    assert [each for each in found if each.startswith(b"t")] == [b"t.a%d" % number for number in range(100)]
    assert [(each["name"], each["seq"], each["lag"]) for each in told(world)] == [("S", 200, 0), ("T", 100, 0)]


def test_one_that_was_made_anew_is_read_from_its_beginning() -> None:
    world = World()
    world.create("S")
    fill(world, 3)
    sourced(world, {"name": "S"})
    world.api("STREAM.DELETE.S")
    assert told(world)[0]["error"]["err_code"] == 10059
    world.wait(1)
    world.create("S")
    fill(world, 2, start=10)
    assert payloads(world) == [b"s.a0", b"s.a1", b"s.a2", b"s.a10", b"s.a11"]


def test_a_circle_of_subjects_ends() -> None:
    world = World()
    world.create("A", subjects=["a"])
    sourced(world, {"name": "A", "filter_subject": "a"}, name="B", subjects=["b"])
    answer = world.api("STREAM.UPDATE.A", name="A", subjects=["a"], storage="memory", sources=[{"name": "B", "filter_subject": "b"}])
    assert "error" not in answer
    world.publish("a")
    world.publish("b")
    world.turn()
    assert world.state("A")["messages"] == world.state("B")["messages"] == 2


def test_what_is_had_already_is_passed_over() -> None:
    world = World()
    world.create("S")
    sourced(world, {"name": "S"}, subjects=["d"], duplicate_window=60_000_000_000)
    world.publish("d", b"first", Nats_Msg_Id="1")
    world.publish("s.a", b"second", Nats_Msg_Id="1")
    world.publish("s.a", b"third")
    world.turn()
    assert payloads(world) == [b"first", b"third"]
    assert told(world)[0]["seq"] == 2


def test_a_header_that_is_as_long_as_can_be_does_not_hold_up_the_rest() -> None:
    world = World()
    world.create("S")
    world.publish("s.a", b"x", A="x" * 65_500)
    sourced(world, {"name": "S"})
    fill(world, 1)
    assert payloads(world) == [b"x", b"s.a0"]


def test_a_subject_that_becomes_too_long_is_told() -> None:
    world = World()
    world.create("S")
    transform = {"src": "s.*", "dest": ".".join(["$1"] * 1000)}
    sourced(world, {"name": "S", "subject_transforms": [transform]}, storage="memory")
    world.publish("s." + "x" * 1000, b"x")
    world.turn()
    assert world.state("D")["messages"] == 1 or told(world)[0]["error"]["err_code"] == 10077


def test_many_sources_are_noted_together(tmp_path: Path, monkeypatch: Any) -> None:
    world = opened(tmp_path)
    for number in range(100):
        world.create(f"S{number}", subjects=[f"s.{number}"])
    calls: list[int] = []
    monkeypatch.setattr("midge.engine.positions.put_sources", lambda *given: (calls.append(len(given[3])), put_sources(*given)))
    sourced(world, *({"name": f"S{number}"} for number in range(100)), storage="file")
    world.wait(1)
    assert calls == [100]
    closed(world)


PATIENCE = 20.0  # seconds that a test waits for a thread, which is ready at once


class Held:
    """Sources are noted when the test likes, in a worker."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.waiting, self.woken = threading.Event(), threading.Event(), threading.Event()
        self.free.set()
        self.world = World(StoreDirectory(str(path), wake=self.woken.set, workers=2))
        monkeypatch.setattr("midge.engine.positions.put_sources", self.put)

    def put(self, *given: Any) -> None:
        if not self.free.is_set():
            self.waiting.set()
            assert self.free.wait(PATIENCE), "whoever should have let it be noted waited for it"
        put_sources(*given)

    def until(self, condition: Callable[[], Any]) -> None:
        """Take turns until something is so."""
        self.world.turn()
        while not condition():
            assert self.woken.wait(PATIENCE)
            self.woken.clear()
            self.world.turn()

    def api(self, subject: str, **body: Any) -> None:
        self.world.publish(f"$JS.API.{subject}", json.dumps(body).encode() if body else b"", f"R.{subject}")
        self.until(lambda: self.has(f"R.{subject}"))

    def has(self, reply: str) -> bool:
        return any(to == reply.encode() for to, _, _ in self.world.outside.sent)


def test_a_round_waits_until_it_is_noted_what_it_takes_away_and_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(tmp_path / "a", monkeypatch)
    world = held.world
    held.api("STREAM.CREATE.S", name="S", subjects=["s.>"], storage="file")
    held.api("STREAM.CREATE.D", name="D", sources=[{"name": "S"}], storage="file")
    world.publish("s.a", b"x")
    held.until(lambda: world.account.streams["D"].store.committed == 1)
    store = world.account.streams["D"].store
    held.free.clear()
    world.publish("$JS.API.STREAM.PURGE.D", b"", "R.purge")
    world.turn()
    assert held.waiting.wait(PATIENCE)
    world.publish("s.a", b"y", "R.y")
    held.until(lambda: held.has("R.y"))  # the loop does not wait, nor does another stream
    held.until(lambda: store.last == 2)
    store.remove(2)  # the next one's witness
    world.account.streams["D"].changed()
    world.turn()
    assert not held.has("R.purge") and store.is_pending and store.committed == 1
    copy = tmp_path / "b"
    shutil.copytree(tmp_path / "a", copy)
    held.free.set()
    held.until(lambda: held.has("R.purge") and store.committed == 2)
    last = tmp_path / "c"
    shutil.copytree(tmp_path / "a", last)
    closed(world)
    for path, expected in ((copy, [b"x", b"y"]), (last, [])):  # purged, and noted before; or not purged
        (path / "lock").unlink()
        again = opened(path)
        again.turn()
        assert payloads(again) == expected and told(again)[0]["lag"] == 0
        closed(again)


@pytest.mark.parametrize("how", ["a stop", "a reload"])
def test_who_lets_go_of_a_stream_whose_round_waits_for_a_note(how: str, tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create("S", storage="file")
    sourced(world, {"name": "S"}, storage="file")
    fill(world, 3)
    world.publish("$JS.API.STREAM.PURGE.D")
    world.engine.step(world.wall)
    if how == "a stop":
        closed(world)
        world = opened(tmp_path)
    else:
        world.account.streams["D"].store.start()  # and waits for what nobody has begun to note
        world.engine.limit_account("A", None)
        world.engine.limit_account("A", AccountLimits())
        world.account = world.engine.accounts["A"]
    assert payloads(world) == []
    fill(world, 1, start=3)
    assert payloads(world) == [b"s.a3"] and not world.outside.failures
    closed(world)


def test_what_cannot_be_noted_holds_up_no_round_and_is_noted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = opened(tmp_path)
    world.create("S", storage="file")
    sourced(world, {"name": "S"}, storage="file")
    fill(world, 3)

    def fail(*given: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as failing:
        failing.setattr("midge.engine.positions.put_sources", fail)
        assert world.api("STREAM.PURGE.D")["purged"] == 3
        assert any(each.startswith("noting the sources of stream D") for each in world.outside.failures)
    fill(world, 1, start=3)
    assert world.api("STREAM.PURGE.D")["purged"] == 1
    world = crashed(world, tmp_path, tmp_path.with_name("copy"))
    fill(world, 1, start=4)
    assert payloads(world) == [b"s.a4"]
    closed(world)


def test_a_full_stream_takes_the_rest_when_there_is_room() -> None:
    world = World()
    world.create("S")
    sourced(world, {"name": "S"}, discard="new", max_msgs=2)
    fill(world, 5)
    found = payloads(world)
    while told(world)[0]["lag"]:
        world.api("STREAM.PURGE.D")
        world.wait(5)
        found += payloads(world)
    assert found == [b"s.a%d" % number for number in range(5)]


def test_goes_on_after_a_restart(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create("S", storage="file")
    fill(world, 3)
    sourced(world, {"name": "S"}, storage="file")
    closed(world)
    world = opened(tmp_path)
    world.turn()
    fill(world, 2, start=3)
    assert payloads(world) == [b"s.a%d" % number for number in range(5)]
    closed(world)


@pytest.mark.parametrize("how", ["purge", "delete", "limit", "age", "pass"])
def test_what_was_removed_does_not_come_back(how: str, tmp_path: Path) -> None:
    """The process is killed at once: nothing is noted on the way out."""
    world = opened(tmp_path / "a")
    world.create("S", storage="file")
    fill(world, 3)
    limits = {"limit": {"max_msgs": 1, "subjects": ["d"]}, "age": {"max_age": 1_000_000_000}}.get(how, {})
    sourced(world, {"name": "S"}, storage="file", **limits)
    assert told(world)[0]["seq"] == 3
    if how == "purge":
        world.api("STREAM.PURGE.D")
    elif how == "delete":
        for sequence in (3, 2, 1):
            world.api("STREAM.MSG.DELETE.D", seq=sequence)
    elif how == "limit":
        world.publish("d", b"mine")
        world.turn()
    else:
        world.wait(3)
    world = crashed(world, tmp_path / "a", tmp_path / "b")
    world.turn()
    fill(world, 1, start=3)
    kept = {"limit": [b"s.a3"], "pass": [b"s.a%d" % number for number in range(4)]}
    assert payloads(world) == kept.get(how, [b"s.a3"])
    assert told(world)[0]["seq"] == 4
    closed(world)


def test_a_failing_disk_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create("S")
    sourced(world, {"name": "S"}, storage="file")
    fill(world, 3)
    disk.full = True
    fill(world, 3, start=3)
    assert payloads(world) == [b"s.a%d" % number for number in range(3)]
    disk.full = False
    for _ in range(20):
        world.wait(1)
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert payloads(world) == [b"s.a%d" % number for number in range(6)]
    closed(world)


@pytest.mark.timeout(36_000 if LONG else 60)
def test_killed_at_any_moment(tmp_path: Path, monkeypatch: Any, figure: Callable[[str], None]) -> None:
    """Publishes, purges, limits and kills at random: what comes out of each origin is in order, once, and all of it in the end."""
    monkeypatch.setattr(positions_module, "OFTEN", 7)
    dice = random.Random(8)
    count = 0
    for trial in range(TRIALS):
        path = tmp_path / f"{trial}.0"
        world = opened(path)
        world.create("S", storage="file")
        world.create("T", storage="file", subjects=["t.>"])
        sourced(world, {"name": "S"}, {"name": "T", "filter_subject": "t.a"}, storage="file", max_msgs=dice.choice([-1, 1, 5, 50]))
        sourced(world, {"name": "D"}, name="ALL", storage="file")
        sent = {b"s": 0, b"t": 0}
        for life in range(1, 6):
            for _ in range(dice.randrange(12)):
                for _ in range(dice.randrange(8)):
                    letter = dice.choice([b"s", b"t"])
                    world.publish(f"{letter.decode()}.a", b"%b%d" % (letter, sent[letter]))
                    sent[letter] += 1
                if dice.random() < 0.1:
                    world.publish("$JS.API.STREAM.PURGE.D")
                for _ in range(dice.randrange(4)):
                    world.engine.step(world.wall)
                    world.directory.begin()
                    if dice.random() < 0.7:  # else what workers have done is not known yet
                        world.directory.finish()
            world = crashed(world, path, tmp_path / f"{trial}.{life}")
            shutil.rmtree(path)
            path = tmp_path / f"{trial}.{life}"
            for name, letter in (("S", b"s"), ("T", b"t")):
                origin = [each.payload for each in world.account.streams[name].store.scan()]
                sent[letter] = int(origin[-1][1:]) + 1 if origin else 0
                taken = [each for each in payloads(world, "ALL") if each.startswith(letter)]
                assert taken == sorted(set(taken), key=lambda each: int(each[1:])), (trial, life)
        world.turn()
        for letter in (b"s", b"t"):
            taken = [int(each[1:]) for each in payloads(world, "ALL") if each.startswith(letter)]
            assert taken == sorted(set(taken))
            count += len(taken)
        assert [each["lag"] for each in (*told(world), *told(world, "ALL"))] == [0, 0, 0]
        closed(world)
        shutil.rmtree(path)
    figure(f"{TRIALS} histories of five kills, {count} messages looked at")


def test_few_messages_are_looked_at_when_it_is_opened(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(positions_module, "OFTEN", 10)
    world = opened(tmp_path)
    world.create("S", storage="file", subjects=["s.>"])
    world.create("T", storage="file", subjects=["t.>"])
    fill(world, 1)
    sourced(world, {"name": "S"}, {"name": "T"}, storage="file")
    for _ in range(10):
        fill(world, 50, "t.a")
    rows = {row.name: row for row in world.directory.state.sources("A", "D")}
    assert min(row.through for row in rows.values()) >= 400  # what was safe before the last turn
    world.api("STREAM.DELETE.D")
    assert world.directory.state.sources("A", "D") == []
    closed(world)


def test_sources_that_are_taken_out_go_on_when_they_are_back(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create("S", storage="file")
    fill(world, 3)
    config = {"name": "D", "subjects": ["d"], "storage": "file"}
    sourced(world, {"name": "S"}, subjects=["d"], storage="file")
    world.api("STREAM.PURGE.D")
    assert "error" not in world.api("STREAM.UPDATE.D", **config)
    fill(world, 1, start=3)
    assert "error" not in world.api("STREAM.UPDATE.D", **config, sources=[{"name": "S"}])
    world.turn()
    assert payloads(world) == [b"s.a3"]
    closed(world)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"S 12 > > s.a", ("S > >", 12, "")),
        (b"S 12 s.* t.$1 s.a Ab3", ("S s.* t.$1", 12, "Ab3")),
        (b"S x > > s.a", None),
        (b"S 12", None),
        (b"", None),
        (b"$JS.ACK.S.C.1.12.3.4.5", None),
    ],
)
def test_what_a_header_tells(header: bytes, expected: tuple[str, int, str] | None) -> None:
    assert parsed(header) == expected


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_what_is_noted_ahead_of_what_was_written_does_not_count(rounds: int, tmp_path: Path, monkeypatch: Any) -> None:
    """A power cut took the end of the stream, and left the notes of it."""
    monkeypatch.setattr(positions_module, "OFTEN", 0)
    world = opened(tmp_path / "a")
    world.create("S", storage="file")
    sourced(world, {"name": "S"}, storage="file", subjects=["d"])
    fill(world, 3)
    (files,) = [
        each.relative_to(tmp_path / "a") for each in (tmp_path / "a" / "streams").iterdir() if b'"D"' in (each / "store.json").read_bytes()
    ]
    shutil.copytree(tmp_path / "a" / files, tmp_path / "old")
    for _ in range(rounds):
        fill(world, 3, start=int(payloads(world)[-1][3:]) + 1)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    closed(world)
    shutil.rmtree(tmp_path / "b" / files)
    shutil.copytree(tmp_path / "old", tmp_path / "b" / files)
    world = opened(tmp_path / "b")
    assert world.account.streams["D"].store.last == 3
    for _ in range(20):
        world.publish("d", b"mine")  # has the sequences that the notes count on
    world = crashed(world, tmp_path / "b", tmp_path / "c")
    world.turn()
    assert [each for each in payloads(world) if each != b"mine"] == [b"s.a%d" % number for number in range(3 + 3 * rounds)]
    closed(world)


def test_nor_does_what_is_noted_for_the_first_time(tmp_path: Path) -> None:
    """Killed when a position had been noted, as its witness was to go, and before anything was written that it counts on."""
    world = opened(tmp_path / "a")
    world.create("S", storage="file")
    sourced(world, {"name": "S"}, storage="file")
    streams = tmp_path / "a" / "streams"
    (files,) = [each.relative_to(tmp_path / "a") for each in streams.iterdir() if b'"D"' in (each / "store.json").read_bytes()]
    shutil.copytree(tmp_path / "a" / files, tmp_path / "old")
    fill(world, 4)
    world.api("STREAM.PURGE.D")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    closed(world)
    shutil.rmtree(tmp_path / "b" / files)
    shutil.copytree(tmp_path / "old", tmp_path / "b" / files)
    world = opened(tmp_path / "b")
    assert world.account.streams["D"].store.last == 0
    world.turn()
    assert payloads(world) == [b"s.a%d" % number for number in range(4)]
    closed(world)
