"""kill -9 of a process with an origin, its mirror, and streams that take from both: nothing is lost, and nothing doubled.

``MIDGE_LONG`` kills ten thousand times.
"""

import json
import os
import random
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from disks_of_engines import closed, opened
from killing import live_and_die
from trials import LONG, trials
from worlds import World

from midge.store.directory import StoreDirectory

TRIALS = trials(6)
pytestmark = pytest.mark.timeout(36_000 if LONG else 60)
STREAMS = ("S", "M", "D", "E")


def run(path: str, seed: int, output: int) -> None:
    """Publish numbers, which go on behind those that are stored, and never return; a byte is written now and then."""
    dice = random.Random(seed)
    woken = threading.Event()
    directory = StoreDirectory(path, wake=woken.set, workers=3, segment_size=100_000)
    world = World(directory)
    if "S" not in world.account.streams:
        make(world, dice)
    number = last_number(world)
    while True:
        for _ in range(dice.choice([1, 3, 60])):
            number += 1
            world.publish("s.a", b"%d" % number + b"x" * dice.choice([0, 0, 0, 3000]))
        if dice.random() < 0.1:
            world.publish("$JS.API.STREAM.PURGE.D")
        for _ in range(dice.randrange(6)):
            world.engine.step(world.wall)
            directory.begin()
            woken.wait(0.001)
            woken.clear()
            directory.finish()
            calls, world.outside.calls = world.outside.calls, []
            for call in calls:
                call()
        world.outside.sent.clear()
        os.write(output, b".")


def make(world: World, dice: random.Random) -> None:
    for name, config in (
        ("S", {"subjects": ["s.>"]}),
        ("M", {"subjects": None, "mirror": {"name": "S"}}),
        ("D", {"subjects": None, "sources": [{"name": "S"}], "max_msgs": dice.choice([-1, 1, 100])}),
        ("E", {"subjects": None, "sources": [{"name": "M", "filter_subject": "s.a"}]}),
    ):
        world.publish(f"$JS.API.STREAM.CREATE.{name}", json.dumps({"name": name, "storage": "file", **config}).encode(), "R")
        while name not in world.account.streams:  # a worker writes that
            world.turn()


def last_number(world: World) -> int:
    store = world.account.streams["S"].store
    last = store.read(store.last)
    return 0 if last is None else int(last.payload.rstrip(b"x"))


def numbers(world: World, name: str) -> list[int]:
    return [int(each.payload.rstrip(b"x")) for each in world.account.streams[name].store.scan()]


def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path, figure: Callable[[str], None]) -> None:
    dice = random.Random(88)
    taken = 0
    for trial in range(TRIALS):
        path = tmp_path / str(trial // 3)  # three lives each
        if trial % 3 == 0 and trial:
            shutil.rmtree(tmp_path / str(trial // 3 - 1))
        turns = dice.randint(1, 25)
        live_and_die(partial(run, str(path), trial), lambda said: len(said) >= turns, dice.random() * 0.01)
        world = opened(path)
        if not set(STREAMS) <= set(world.account.streams):
            closed(world)
            continue
        origin = numbers(world, "S")
        assert origin == list(range(1, len(origin) + 1))
        assert numbers(world, "M") == origin[: len(numbers(world, "M"))]
        assert numbers(world, "E") == origin[: len(numbers(world, "E"))]
        narrow = numbers(world, "D")
        assert narrow == sorted(set(narrow)) and set(narrow) <= set(origin)
        world.turn()
        assert numbers(world, "M") == numbers(world, "E") == origin
        assert world.account.streams["D"].store.last == len(origin)  # each was taken once, also what is gone
        taken += len(origin)
        closed(world)
    figure(f"{TRIALS} kills, {taken} messages looked at")
    assert taken
