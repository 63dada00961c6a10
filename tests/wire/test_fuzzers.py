"""The fuzzers in fuzz/ still run, and find nothing in a few hundred streams."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"


@pytest.mark.parametrize("name", ["fuzz_parser", "fuzz_server"])
def test_a_short_run(name: str) -> None:
    command = [sys.executable, str(FUZZ / f"{name}.py"), "--runs", "400", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{name}: 400 runs, seed 7, nothing found\n"
