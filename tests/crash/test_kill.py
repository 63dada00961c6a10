"""kill -9 at any moment, again and again, of one store: every message that was acknowledged is there, and no sequence is missing.

``MIDGE_LONG`` kills ten thousand times.
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from killing import live_and_die
from trials import LONG, trials
from writer import payload_of, write

from midge.store.directory import StoreDirectory

TRIALS = trials(24)
pytestmark = pytest.mark.timeout(36_000 if LONG else 60)


def run_and_kill(path: Path, seed: int, dice: random.Random) -> list[tuple[int, int]]:
    """Let a process write until it has said so many lines, and a little longer; return the (first, last) it acknowledged."""
    lines = dice.randint(0, 12)
    said = live_and_die(partial(write, str(path), seed), lambda said: said.count(b"\n") >= lines, dice.random() * 0.01)
    return [(int(first), int(last)) for first, last in map(bytes.split, said[: said.rfind(b"\n") + 1].splitlines())]


def test_what_was_acknowledged_survives(tmp_path: Path, figure: Callable[[str], None]) -> None:
    last = count = 0
    for trial in range(TRIALS):
        dice = random.Random(trial)
        acked = run_and_kill(tmp_path / "store", trial, dice)
        before = last
        first, last = acked[-1] if acked else (1, last)
        count += last - before
        directory = StoreDirectory(str(tmp_path / "store"), wake=lambda: None, workers=0)
        store = directory.open("A", "S")
        assert store.last >= last, f"trial {trial}: {last} was acknowledged"
        sequences = []
        for stored in store.scan():
            assert stored.payload == payload_of(stored.sequence), f"trial {trial}: {stored.sequence}"
            sequences.append(stored.sequence)
        assert sequences == list(range(store.first, store.last + 1)), f"trial {trial}"
        assert store.first <= max(first, store.last - 500)
        assert [damage for damage in directory.quarantine if damage.last >= damage.first] == []
        last = store.last
        directory.close()
    figure(f"{TRIALS} kills, {count} messages acknowledged")
