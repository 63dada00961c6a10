"""Purges in slices: what others may do meanwhile, and what they see."""

import json
import shutil
from pathlib import Path

import pytest
from disks_of_engines import closed
from worlds import World

from midge.engine.purging import SLICE
from midge.store.base import Stored
from midge.store.directory import StoreDirectory

MANY = 3_000


def filled(**config: object) -> World:
    world = World()
    world.create(**config)
    for number in range(MANY):
        world.publish(f"s.{number % 2}")
    world.turn()
    return world


def ask(world: World, **body: object) -> None:
    world.publish("$JS.API.STREAM.PURGE.S", json.dumps(body).encode(), "R.purge")


def answers(world: World, subject: bytes = b"R.purge") -> list[bytes]:
    return [payload for to, _, payload in world.outside.sent if to == subject]


@pytest.mark.parametrize("body", [{"filter": "s.0"}, {"filter": "s.*", "keep": 5}, {"keep": 5}, {"seq": MANY}])
def test_no_step_does_more_than_its_share(body: dict[str, object]) -> None:
    world = filled()
    ask(world, **body)
    store = world.account.streams["S"].store
    steps, before = 0, store.messages
    while not answers(world):
        world.engine.step(world.wall)
        assert before - store.messages <= (2 * SLICE if "filter" in body else MANY)
        before = store.messages
        steps += 1
        for call in world.outside.calls[:]:
            world.outside.calls.remove(call)
            call()
    assert steps > (MANY // SLICE // 4 if "filter" in body else 0)
    kept = {"filter": MANY // 2, "keep": 5, "seq": 1}[next(iter(reversed(body)))]
    assert store.messages == kept and b'"purged":%d' % (MANY - kept) in answers(world)[0]


def test_what_is_published_meanwhile_stays() -> None:
    world = filled()
    ask(world, filter="s.*")
    world.engine.step(world.wall)
    world.publish("s.1", b"new")
    world.turn()
    store = world.account.streams["S"].store
    assert (store.messages, store.first) == (1, MANY + 1)
    assert b'"purged":%d' % MANY in answers(world)[0]


def test_who_could_tell_has_it_finished() -> None:
    world = filled()
    ask(world, filter="s.*")
    world.engine.step(world.wall)
    assert world.account.streams["S"].store.messages > 0
    world.publish("s.1", b"", "R.ack", Nats_Expected_Last_Subject_Sequence="0")
    world.turn()
    assert answers(world, b"R.ack") == [b'{"stream":"S","seq":%d}' % (MANY + 1)]
    assert b'"purged":%d' % MANY in answers(world)[0]


def test_a_limit_counts_nothing_that_is_purged() -> None:
    world = filled(max_msgs=MANY)
    ask(world, filter="s.0")
    world.engine.step(world.wall)
    world.publish("s.1", b"new")
    world.turn()
    assert world.account.streams["S"].store.messages == MANY // 2 + 1


def test_the_next_request_waits_and_other_accounts_messages_do_not() -> None:
    world = filled()
    ask(world, filter="s.0")
    world.publish("$JS.API.STREAM.INFO.S", b"", "R.info")
    world.engine.step(world.wall)
    assert not answers(world, b"R.info")
    world.publish("s.0", b"", "R.ack")
    world.engine.step(world.wall)
    assert answers(world, b"R.ack") and not answers(world)
    world.turn()
    assert json.loads(answers(world, b"R.info")[0])["state"]["messages"] == MANY // 2 + 1


def test_a_purge_that_is_undone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(StoreDirectory(str(tmp_path), wake=lambda: None, workers=0))
    world.create(storage="file")
    for number in range(MANY):
        world.publish(f"s.{number % 2}")
    world.turn()
    ask(world, filter="s.0")
    world.engine.step(world.wall)
    stream = world.account.streams["S"]
    stream.undone(OSError(5, "a disk that fails"))
    world.turn()
    assert b'"error"' in answers(world)[0]
    assert world.api("STREAM.PURGE.S", filter="s.0")["success"]
    closed(world)


def test_a_stream_that_goes_meanwhile() -> None:
    world = filled()
    ask(world, filter="s.0")
    world.engine.step(world.wall)
    world.engine.remove_stream(world.account.streams["S"], lambda error: None)
    world.turn()
    assert b'"err_code":10059' in answers(world)[0]
    assert world.engine.jobs.active == 0


def test_a_crash_in_the_middle_leaves_it_partly_done(tmp_path: Path) -> None:
    """Nobody was told that it was done; what is gone is the beginning of what was to go, and asking again does the rest."""
    world = World(StoreDirectory(str(tmp_path / "a"), wake=lambda: None, workers=0))
    world.create(storage="file")
    for number in range(MANY):
        world.publish(f"s.{number % 2}")
    world.turn()
    ask(world, filter="s.0")
    for _ in range(3):
        world.engine.step(world.wall)
        assert world.directory is not None
        world.directory.begin()
        world.directory.finish()
    assert not answers(world)
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # as a kill leaves it
    again = World(StoreDirectory(str(tmp_path / "b"), wake=lambda: None, workers=0))
    store = again.account.streams["S"].store
    purged = [sequence for sequence in range(1, MANY + 1) if not isinstance(store.read(sequence), Stored)]
    assert 0 < len(purged) < MANY // 2 and purged == list(range(1, 2 * len(purged), 2))
    found = again.api("STREAM.PURGE.S", filter="s.0")
    assert found["success"] and found["purged"] == MANY // 2 - len(purged)
    assert store.messages == MANY // 2
    closed(world)
    closed(again)
