"""The build: a wheel says by its tag whether it is compiled, and holds extensions only then.

Built in a copy of the source, with what is installed here: nothing is fetched. A compiled wheel takes half a minute, so it is not
built here: every compiled leg of the tests is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
NOTICE = "midge: NOT COMPILED"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What a build needs, and nothing that a former build left behind."""
    copy = tmp_path / "midge"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.so", "*.c", "*.egg-info", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def build(source: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel into ``dist`` by the hook that pip calls."""
    if find_spec("setuptools") is None or int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("there is no setuptools 77")
    kept = {name: value for name, value in os.environ.items() if name not in ("MIDGE_EXT", "CC", "CXX", "LDSHARED")}
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    return subprocess.run([sys.executable, "-c", code], cwd=source, env=kept | env, capture_output=True, text=True)


def has_cython() -> bool:
    """True if the build gets as far as the compiler."""
    try:
        return bool(version("Cython"))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("env", [{"MIDGE_EXT": "skip"}, {"CC": "false", "CXX": "false"}], ids=["skip", "broken compiler"])
def test_a_wheel_that_is_not_compiled_is_tagged_as_pure_and_says_so(source: Path, env: dict[str, str]) -> None:
    result = build(source, **env)
    assert result.returncode == 0, result.stderr
    assert NOTICE in result.stderr
    (wheel,) = (source / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (tags,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/WHEEL"))
    assert "Root-Is-Purelib: true\n" in tags and "Tag: py3-none-any\n" in tags
    assert {"midge/py.typed", "midge/message.py", "midge/message.pxd"} <= set(names)
    assert not [name for name in names if name.endswith((".so", ".pyd", ".c")) or ".data/" in name]


def test_a_required_compiler_that_does_not_work_fails_the_build(source: Path) -> None:
    if not has_cython():
        pytest.skip("there is no Cython")
    result = build(source, MIDGE_EXT="require", CC="false", CXX="false")
    assert result.returncode != 0 and not list((source / "dist").glob("*.whl"))


def test_a_mode_that_does_not_exist(source: Path) -> None:
    result = build(source, MIDGE_EXT="maybe")
    assert result.returncode != 0 and "MIDGE_EXT=maybe: expected require or skip" in result.stderr
