"""Progress bars on a terminal: they are there, end full, leave nothing behind; and nowhere else is anything of them."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from commands import Cli
from processes import COMMAND, environment
from test_snapshot import sender

import midge
from midge.cli import main

Run = Callable[..., str]
END = b"(the end)"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal that somebody reads.

    Attributes:
        slave: the end that a program has.
    """

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self._text = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: bytes, seconds: float = 20) -> None:
        with self._news:
            assert self._news.wait_for(lambda: text in self._text, seconds), self._text

    def close(self) -> str:
        """Return all that was written to it."""
        if self._reader.is_alive():
            os.write(self.slave, END)
            self._reader.join()
            os.close(self.slave)
            os.close(self._master)
        return self._text.removesuffix(END).decode()

    def _read(self) -> None:
        while not self._text.endswith(END):
            data = os.read(self._master, 1 << 16)
            with self._news:
                self._text += data
                self._news.notify_all()


def assert_tidy(text: str) -> None:
    """What the bar was drawn on is erased, and the cursor is there again."""
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
    assert "\x1b[2K" in text
    assert ESCAPE.sub("", text[text.rindex("\x1b[2K") :]).strip() == ""


def last_shown(text: str) -> tuple[str, str]:
    """Return how much of how much the bar showed last."""
    found = re.findall(r"([\d,.]+)/([\d,.]+)", ESCAPE.sub("", text))
    assert found, text
    done, total = found[-1]
    return done, total


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run commands whose standard error is a terminal; return what they write to it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    terminals: list[Terminal] = []

    def run(*commands: Sequence[str]) -> str:
        terminals.append(terminal := Terminal())
        with io.TextIOWrapper(os.fdopen(os.dup(terminal.slave), "wb", 0), write_through=True) as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", file)
            for command in commands:
                assert main(command) == 0
        return terminal.close()

    yield run
    for terminal in terminals:
        terminal.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two servers, of which the first has a stream and an object."""
    directory = tmp_path_factory.mktemp("progress")
    here, there = (midge.Server(port=0, store_dir=str(directory / name)) for name in ("here", "there"))
    with here, there:
        asyncio.run(fill(here.url))
        yield here.url, there.url


async def fill(url: str) -> None:
    async with midge.connect(url) as nc:
        js = nc.jetstream()
        await js.create_stream(name="S", subjects=["s"])
        for _ in range(20):
            await js.publish_async("s", bytes(50_000))  # which is next to nothing in an archive
        await js.publish_async_done(10)
        store = await js.create_object_store("b")
        await store.put("x", os.urandom(400_000))


def commands(places: tuple[str, str], path: Path) -> dict[str, list[tuple[str, ...]]]:
    """What to run, the last of it with a bar."""
    (path / "file").write_bytes(os.urandom(400_000))
    here, there = ("-s", places[0]), ("-s", places[1])
    backup = ("stream", "backup", "S", str(path / "backup"), *here)
    return {
        "backup": [backup],
        "restore": [backup, ("stream", "restore", str(path / "backup"), *there)],
        "copy": [("stream", "copy", "S", *here, "--to-server", places[1])],
        "republish": [("stream", "copy", "S", "T", *here, "--to-server", places[1], "--subjects", "s")],
        "put": [("object", "put", "b", str(path / "file"), "--name", "y", "-f", *here)],
        "get": [("object", "get", "b", "x", "-O", str(path / "x"), "-f", *here)],
    }


def clear(places: tuple[str, str]) -> None:
    async def remove() -> None:
        async with midge.connect(places[1]) as nc:
            for name in [name async for name in nc.jetstream().stream_names()]:
                await nc.jetstream().delete_stream(name)

    asyncio.run(remove())


@pytest.mark.parametrize("what", ["backup", "restore", "copy", "republish", "put", "get"])
def test_a_bar_on_a_terminal(places: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], run: Run, what: str) -> None:
    clear(places)
    *before, command = commands(places, tmp_path)[what]
    for each in before:
        assert run([*each, "--no-progress"]) == ""
    text = run(command)
    assert ("copy" if what == "republish" else what) in text
    done, total = last_shown(text)
    assert done == total
    assert_tidy(text)
    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.parametrize("what", ["backup", "restore", "copy", "put", "get"])
def test_none_with_json(places: tuple[str, str], tmp_path: Path, run: Run, what: str) -> None:
    clear(places)
    assert run(*([*each, "--json"] for each in commands(places, tmp_path)[what])) == ""


@pytest.mark.parametrize("what", ["backup", "restore", "copy", "put", "get"])
def test_none_in_a_pipe(places: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], what: str) -> None:
    clear(places)
    cli = Cli(places[0], capfd)
    for each in commands(places, tmp_path)[what]:
        out, err = cli.both(*each)
        assert err == "" and "\x1b" not in out


def test_an_interrupt_at_a_terminal_leaves_it_tidy(tmp_path: Path) -> None:
    terminal = Terminal()
    target = tmp_path / "backup"

    def has_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    async def story() -> int:
        async with midge.Server(port=0) as server, midge.connect(server.url) as nc:
            await sender(nc, 1)
            command = [*COMMAND, "stream", "backup", "S", str(target), "-s", server.url]
            process = subprocess.Popen(
                command, stdin=terminal.slave, stdout=subprocess.DEVNULL, stderr=terminal.slave, start_new_session=True,
                preexec_fn=has_terminal, env=environment({"TERM": "xterm-256color"}),
            )  # fmt: skip
            try:
                await asyncio.to_thread(terminal.wait_for, b"backup")
                terminal.type(b"\x03")
                return await asyncio.to_thread(process.wait, 20)
            finally:
                process.kill()
                process.wait()

    try:
        assert asyncio.run(story()) == 130
    finally:
        text = terminal.close()
    assert_tidy(text)
    assert not list(tmp_path.rglob("stream*"))
