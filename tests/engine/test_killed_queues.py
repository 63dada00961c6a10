"""kill -9 of a process with a work queue and a stream for interest, and streams that take from both by consumers: nothing is lost, and
nothing doubled.

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
from worlds import SECOND, World

from midge.store.directory import StoreDirectory

TRIALS = trials(6)
pytestmark = pytest.mark.timeout(36_000 if LONG else 60)
BY_CONSUMER = {"consumer": {"name": "C", "deliver_subject": "to.D"}}
FOLLOWING = {"D": "Q", "M": "I", "E": "P"}  # who takes from whom


def run(path: str, seed: int, output: int) -> None:
    """Publish numbers, which go on behind those that are stored, and never return; a byte is written now and then."""
    dice = random.Random(seed)
    woken = threading.Event()
    directory = StoreDirectory(path, wake=woken.set, workers=3, segment_size=100_000)
    world = World(directory)
    if "E" not in world.account.streams:
        make(world)
    while True:
        for origin in FOLLOWING.values():
            for _ in range(dice.choice([1, 3, 60])):
                world.publish(f"{origin}.a", b"%d" % (world.account.streams[origin].store.last + 1) + b"x" * dice.choice([0, 0, 3000]))
        world.wall += dice.choice([0, SECOND // 100, SECOND])
        world.outside.wall = world.wall
        world.engine.handle_timeout(world.wall)
        directory.handle_timeout(world.wall)
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
        world.outside.delivered.clear()
        os.write(output, b".")


def make(world: World) -> None:
    consumer = {"durable_name": "C", "deliver_subject": "to.D", "ack_policy": "flow_control", "max_ack_pending": 50}
    for subject, body in (
        ("STREAM.CREATE.Q", {"name": "Q", "subjects": ["Q.>"], "retention": "workqueue"}),
        ("STREAM.CREATE.I", {"name": "I", "subjects": ["I.>"], "retention": "interest"}),
        ("STREAM.CREATE.P", {"name": "P", "subjects": ["P.>"], "retention": "workqueue"}),
        ("CONSUMER.CREATE.P.C", {"stream_name": "P", "config": consumer}),
        ("STREAM.CREATE.D", {"name": "D", "sources": [{"name": "Q"}]}),
        ("STREAM.CREATE.M", {"name": "M", "mirror": {"name": "I"}}),
        ("STREAM.CREATE.E", {"name": "E", "sources": [{"name": "P"} | BY_CONSUMER]}),
    ):
        whole = body if subject.startswith("CONSUMER") else {"storage": "file"} | body
        world.publish(f"$JS.API.{subject}", json.dumps(whole).encode(), "R")
        while not any(to == b"R" for to, *_ in world.outside.sent):  # a worker writes that
            world.turn()
        assert b'"error"' not in world.outside.sent[-1][2], world.outside.sent
        world.outside.sent.clear()
    while not world.account.streams["I"].consumers:
        world.wait(0.1)


def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path, figure: Callable[[str], None]) -> None:
    dice = random.Random(60)
    taken = 0
    for trial in range(TRIALS):
        path = tmp_path / str(trial // 3)  # three lives each
        if trial % 3 == 0 and trial:
            shutil.rmtree(tmp_path / str(trial // 3 - 1))
        turns = dice.randint(1, 25)
        live_and_die(partial(run, str(path), trial), lambda said: len(said) >= turns, dice.random() * 0.01)
        world = opened(path)
        if "E" not in world.account.streams:
            closed(world)
            continue
        world.wait(5)
        for name, origin in FOLLOWING.items():
            found = [int(each.payload.rstrip(b"x")) for each in world.account.streams[name].store.scan()]
            last = world.account.streams[origin].store.last
            assert found == list(range(1, last + 1)), (name, trial)
            assert world.account.streams[origin].store.messages == 0
            taken += last
        assert world.outside.failures == []
        closed(world)
    figure(f"{TRIALS} kills, {taken} messages looked at")
    assert taken
