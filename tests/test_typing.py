"""What type checkers see of the package: a sample program passes them at their strictest, and its mistakes are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import midge

PROGRAM = Path(__file__).parent / "typing" / "program.py"
SOURCE = Path(midge.__file__).parents[1]


def mistakes() -> set[int]:
    """The lines of the program that are wrong on purpose."""
    return {number for number, line in enumerate(PROGRAM.read_text("utf-8").splitlines(), 1) if line.endswith("  # error")}


def run(*args: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a checker from a directory that has no configuration."""
    elsewhere = (
        {} if SOURCE.name == "site-packages" else {"MYPYPATH": str(SOURCE), "PYTHONPATH": str(SOURCE)}
    )  # it is found there by itself
    env = {name: value for name, value in os.environ.items() if name != "MYPYPATH"} | elsewhere
    return subprocess.run([sys.executable, "-m", *args], cwd=directory, env=env, capture_output=True, text=True)


@pytest.mark.timeout(240)
def test_mypy_strict(tmp_path: Path) -> None:
    if find_spec("mypy") is None:
        pytest.skip("there is no mypy")
    result = run("mypy", "--strict", "--config-file=", "--output=json", f"--cache-dir={tmp_path}", str(PROGRAM), directory=tmp_path)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    ours = {one["line"] for one in found if one["severity"] == "error" and Path(one["file"]).name == PROGRAM.name}
    assert ours == mistakes(), result.stdout + result.stderr


@pytest.mark.timeout(240)
def test_pyright_strict(tmp_path: Path) -> None:
    """basedpyright is pyright as a wheel that brings its own node."""
    if find_spec("basedpyright") is None:
        pytest.skip("there is no basedpyright")
    settings = {"include": [str(PROGRAM)], "typeCheckingMode": "strict", "extraPaths": [str(SOURCE)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    result = run("basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path), directory=tmp_path)
    found = json.loads(result.stdout)["generalDiagnostics"]
    assert {one["range"]["start"]["line"] + 1 for one in found} == mistakes(), result.stdout


def test_the_program_runs() -> None:
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    result = subprocess.run([sys.executable, "-W", "error", str(PROGRAM)], env=env, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
