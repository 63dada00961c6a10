"""The log format, the levels and the log file, in this process."""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from midge.cli import logs
from midge.server.trace import LEVEL as TRACE

LEVELS = {TRACE: "TRC", logging.DEBUG: "DBG", logging.INFO: "INF", logging.WARNING: "WRN", logging.ERROR: "ERR", logging.CRITICAL: "FTL"}
CREATED = 1785587696.123456  # 2026-08-01 12:34:56.123456 UTC


def record(text: str = "text", *args: object, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord("midge.server", level, __file__, 1, text, args, None)
    made.created = CREATED
    return made


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The server's logger; what ``start`` changes is put back."""
    root, package = logging.getLogger(), logging.getLogger("midge")
    handlers, level = list(root.handlers), package.level
    yield logging.getLogger("midge.server")
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    package.setLevel(level)


@pytest.mark.parametrize(("level", "label"), LEVELS.items())
def test_a_line(level: int, label: str) -> None:
    line = logs.Format(utc=True).format(record("%d of %s", 1, "two", level=level))
    assert line == f"[{os.getpid()}] 2026/08/01 12:34:56.123456 [{label}] 1 of two"


def test_local_time() -> None:
    line = logs.Format().format(record())
    assert re.fullmatch(r"\[\d+\] 2026/0[78]/\d\d \d\d:\d\d:56\.123456 \[INF\] text", line)


def test_without_a_time() -> None:
    assert logs.Format(stamp=False).format(record()) == f"[{os.getpid()}] [INF] text"


@pytest.mark.parametrize(("level", "colour"), [(logging.INFO, "32"), (logging.WARNING, "0;93"), (logging.CRITICAL, "31")])
def test_colours(level: int, colour: str) -> None:
    line = logs.Format(stamp=False, colours=True).format(record(level=level))
    assert line == f"[{os.getpid()}] [\x1b[{colour}m{LEVELS[level]}\x1b[0m] text"


def test_nobody_can_write_a_line_of_his_own() -> None:
    line = logs.Format(stamp=False).format(record("name %s", "a\n[1] [INF] Server is ready\x1b[2J ü"))
    assert line == f"[{os.getpid()}] [INF] name a\\n[1] [INF] Server is ready\\x1b[2J ü"


def test_a_traceback_follows_its_line() -> None:
    made = record(level=logging.ERROR)
    try:
        raise KeyError("why")
    except KeyError:
        made.exc_info = sys.exc_info()
    lines = logs.Format(stamp=False).format(made).splitlines()
    assert lines[0] == f"[{os.getpid()}] [ERR] text" and lines[1].startswith("Traceback") and lines[-1] == "KeyError: 'why'"


@pytest.mark.parametrize(
    ("debug", "trace", "labels"),
    [(False, False, "INF"), (True, False, "DBG INF"), (False, True, "TRC INF"), (True, True, "TRC DBG INF")],
)
def test_debug_and_trace_are_switched_apart(log: logging.Logger, tmp_path: Path, debug: bool, trace: bool, labels: str) -> None:
    logs.start(str(tmp_path / "log"), debug=debug, trace=trace, stamp=False)
    for level in (TRACE, logging.DEBUG, logging.INFO):
        log.log(level, "x")
    found = (tmp_path / "log").read_text().splitlines()
    assert found == [f"[{os.getpid()}] [{label}] x" for label in labels.split()]
    assert log.isEnabledFor(TRACE) is trace


def test_a_log_file_is_appended_to_and_private(log: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    logs.start(str(path), stamp=False)
    log.info("ü \udcff")
    assert path.read_text("utf-8").splitlines() == ["before", f"[{os.getpid()}] [INF] ü \\udcff"]
    logs.LogFile(str(tmp_path / "new")).close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & ~0o640 == 0


def test_a_log_file_that_was_moved_away_is_opened_anew(log: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "log"
    handler = logs.start(str(path), stamp=False)
    assert isinstance(handler, logs.LogFile)
    log.info("one")
    path.rename(tmp_path / "old")
    log.info("two")
    handler.reopen()
    log.info("three")
    assert [line.split()[-1] for line in (tmp_path / "old").read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["three"]


def test_a_log_file_that_cannot_be_opened_anew_goes_on(log: logging.Logger, tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    handler = logs.start(str(directory / "log"), stamp=False)
    assert isinstance(handler, logs.LogFile)
    directory.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        handler.reopen()
    log.info("still here")
    assert "still here" in (tmp_path / "moved" / "log").read_text()


def test_a_log_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        logs.start(str(tmp_path / "missing" / "log"))


def test_asyncio_logs_to_the_same_place(log: logging.Logger, tmp_path: Path) -> None:
    logs.start(str(tmp_path / "log"), debug=True, stamp=False)
    logging.getLogger("asyncio").error("a task died")
    logging.getLogger("asyncio").debug("Using selector")
    assert (tmp_path / "log").read_text() == f"[{os.getpid()}] [ERR] a task died\n"


def test_a_file_that_is_too_long_moves_away(log: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.start(str(path), stamp=False, limit=100, max_files=3)
    for number in range(30):
        log.info("%d %s", number, "x" * 40)
    names = sorted(os.listdir(tmp_path))
    assert names[0] == "log" and len(names) == 3
    assert all(re.fullmatch(r"log\.\d{4}(\.\d\d){5}\.\d{9}", name) for name in names[1:])
    assert "Rotated log, backup saved as " in path.read_text() and "Purged log file " in path.read_text()


def test_a_file_that_cannot_move_away_goes_on(log: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(13, "Permission denied")

    path = tmp_path / "log"
    monkeypatch.setattr(os, "rename", refuse)
    logs.start(str(path), stamp=False, limit=100)
    for number in range(30):
        log.info("%d %s", number, "x" * 40)
    text = path.read_text()
    assert text.count("Unable to rotate the log") == 5 and "next rotation at size 200" in text and "29 xxx" in text


def test_what_has_another_name_is_not_deleted(log: logging.Logger, tmp_path: Path) -> None:
    for name in ("log.old", "log.2026.01.01", "logs.2026.01.01.00.00.00.000000001"):
        (tmp_path / name).write_text("")
    logs.start(str(tmp_path / "log"), stamp=False, limit=10, max_files=1)
    for _ in range(5):
        log.info("a line that is long")
    assert sorted(os.listdir(tmp_path)) == ["log", "log.2026.01.01", "log.old", "logs.2026.01.01.00.00.00.000000001"]
