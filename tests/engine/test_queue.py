"""engine.queue: creations that come together wait for the disk once, and everything is answered in the order in which it came."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from disks_of_engines import closed, opened
from worlds import ACCOUNT, SECOND, World

from midge.model.account import AccountLimits


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = opened(tmp_path)
    yield world
    closed(world)


def ask(world: World, subject: str, **body: object) -> None:
    """Publish a request; the reply is its subject."""
    world.publish(f"$JS.API.{subject}", json.dumps(body).encode() if body else b"", f"R.{subject}")


def stream(world: World, name: str, subject: str = "") -> None:
    ask(world, f"STREAM.CREATE.{name}", name=name, subjects=[subject or f"{name}.>"], storage="file")


def consumer(world: World, name: str) -> None:
    ask(world, f"CONSUMER.CREATE.S.{name}", stream_name="S", config={"durable_name": name, "ack_policy": "explicit"})


def steps(world: World) -> None:
    """Let the engine do what it can before anything is written."""
    while world.engine.step(world.wall):
        pass


def answers(world: World) -> list[tuple[str, int]]:
    """Return who has been answered since the last time, and with which error; 0 for none."""
    sent, world.outside.sent = world.outside.sent, []
    return [(to.decode()[2:], json.loads(payload).get("error", {}).get("err_code", 0)) for to, _, payload in sent]


def test_streams_that_are_created_together_are_noted_in_one_transaction(world: World) -> None:
    for number in range(20):
        stream(world, f"S{number}")
    steps(world)
    assert answers(world) == [] and world.account.streams == {}
    world.directory.begin()
    assert len(world.directory.state.streams()) == 20 and answers(world) == []
    world.turn()
    assert answers(world) == [(f"STREAM.CREATE.S{number}", 0) for number in range(20)]
    assert world.ack("S7.a") == '{"stream":"S7","seq":1}'


def test_so_are_consumers(world: World) -> None:
    stream(world, "S")
    world.turn()
    for number in range(20):
        consumer(world, f"C{number}")
    steps(world)
    answers(world)
    world.directory.begin()
    assert len(world.directory.state.consumers(world.account.name, "S")) == 20 and answers(world) == []
    world.turn()
    assert answers(world) == [(f"CONSUMER.CREATE.S.C{number}", 0) for number in range(20)]


def test_what_is_answered_sooner_is_not_told_sooner(world: World) -> None:
    stream(world, "S")
    ask(world, "STREAM.CREATE.T", name="T", subjects=["a b"], storage="file")
    ask(world, "STREAM.CREATE.M", name="M", subjects=["m"], storage="memory")
    ask(world, "STREAM.NAMES")
    stream(world, "U")
    steps(world)
    assert answers(world) == []
    world.turn()
    told = answers(world)
    assert [subject for subject, _ in told] == ["STREAM.CREATE.S", "STREAM.CREATE.T", "STREAM.CREATE.M", "STREAM.NAMES", "STREAM.CREATE.U"]
    assert [bool(code) for _, code in told] == [False, True, False, False, False]


def test_what_is_being_created_has_its_name_and_its_subjects(world: World) -> None:
    stream(world, "S", "a.*")
    stream(world, "T", "a.b")
    stream(world, "S", "a.*")  # the same again: it waits, and is told the same
    stream(world, "S", "b")
    world.turn()
    assert answers(world) == [("STREAM.CREATE.S", 0), ("STREAM.CREATE.T", 10065), ("STREAM.CREATE.S", 0), ("STREAM.CREATE.S", 10058)]
    assert list(world.account.streams) == ["S"] and world.account.restores == {}


def test_a_consumer_of_a_stream_that_is_being_created_waits_for_it(world: World) -> None:
    stream(world, "S")
    consumer(world, "C")
    stream(world, "T")
    ask(world, "STREAM.DELETE.S")
    stream(world, "S")
    world.turn()
    assert [code for _, code in answers(world)] == [0, 0, 0, 0, 0] and sorted(world.account.streams) == ["S", "T"]
    assert world.account.streams["S"].consumers == {}


def test_one_that_cannot_be_noted_is_not_there(world: World, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as base:
        base.execute("ALTER TABLE streams RENAME TO elsewhere")
        stream(world, "S")
        stream(world, "T")
        world.turn()
        assert answers(world) == [("STREAM.CREATE.S", 10051), ("STREAM.CREATE.T", 10051)]
        assert world.account.streams == {} and world.account.restores == {}
        base.execute("ALTER TABLE elsewhere RENAME TO streams")
    world.wall += 10 * SECOND
    world.directory.handle_timeout(world.wall)
    stream(world, "S")
    world.turn()
    assert answers(world) == [("STREAM.CREATE.S", 0)] and world.ack("S.a") == '{"stream":"S","seq":1}'


def test_an_end_meanwhile(tmp_path: Path) -> None:
    """Nobody is told; what was noted is there at the next start."""
    world = opened(tmp_path)
    stream(world, "S")
    steps(world)
    closed(world)
    assert answers(world) == []
    world = opened(tmp_path)
    assert list(world.account.streams) == ["S"] and world.ack("S.a") == '{"stream":"S","seq":1}'
    closed(world)


def test_a_reload_meanwhile(tmp_path: Path) -> None:
    """JetStream is taken from the account, and may be given back: the stream is there then, and once."""
    world = opened(tmp_path)
    stream(world, "S")
    world.turn()
    for is_given_back in (False, True):
        answers(world)
        stream(world, f"X{is_given_back}")
        steps(world)
        world.directory.begin()
        world.engine.limit_account(ACCOUNT, None)
        if is_given_back:
            world.engine.limit_account(ACCOUNT, AccountLimits())
        world.turn()
        assert world.publish(f"X{is_given_back}.a") == is_given_back
        assert [subject for subject, _ in answers(world)] == ["STREAM.CREATE.XTrue"] * is_given_back
        world.engine.limit_account(ACCOUNT, AccountLimits())
    assert world.ack("XTrue.a") == '{"stream":"XTrue","seq":2}' and world.ack("XFalse.a") == '{"stream":"XFalse","seq":1}'
    closed(world)


def test_a_power_cut_right_after_a_stream_was_created(tmp_path: Path) -> None:
    """What was not waited for is not there: its directory, or the file in it that says whose it is, or the name of that file."""
    for left in ("nothing", "a directory", "a file without its name"):
        world = opened(tmp_path / left)
        stream(world, "S")
        world.turn()
        assert answers(world) == [("STREAM.CREATE.S", 0)]
        shutil.copytree(tmp_path / left, tmp_path / f"{left} left")
        closed(world)
        directory = tmp_path / f"{left} left" / "streams" / "00000001"
        if left == "a file without its name":
            (directory / "store.json").rename(directory / "store.json.made")
            (directory / "store.json.made").write_bytes(b"")
        else:
            shutil.rmtree(directory)
        if left == "a directory":
            directory.mkdir()
        world = opened(tmp_path / f"{left} left")
        assert world.ack("S.a") == '{"stream":"S","seq":1}' and world.directory.quarantine == []
        closed(world)
        assert json.loads((directory / "store.json").read_text())["stream"] == "S"
