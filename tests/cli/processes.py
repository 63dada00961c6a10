"""The command line as a process of its own: how to start one, and how to read what it says.

A test waits for a line, never for time to pass; pytest's timeout bounds it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import midge

__all__ = ["COMMAND", "Child", "Run", "Spawn", "environment"]

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Spawn = Callable[..., "Child"]

COMMAND = [sys.executable, "-W", "error", "-m", "midge"]


def environment(more: dict[str, str]) -> dict[str, str]:
    """The environment of a command: this package first on its path, and no server of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "PYTHONWARNINGS"))}
    kept["PYTHONPATH"] = os.pathsep.join([str(Path(midge.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"COLUMNS": "160", "XDG_CONFIG_HOME": os.devnull} | more


class Child:
    """A running command."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.seen: list[str] = []

    def wait_for(self, pattern: str, stream: str = "stderr") -> re.Match[str]:
        """Return the first match in the lines that are still to come."""
        while True:
            line = self.line(stream)
            match = re.search(pattern, line)
            if match:
                return match
            assert line, f"ended without {pattern!r}: {self.seen}"

    def line(self, stream: str = "stdout") -> str:
        """Return the next line, "" at the end."""
        file = getattr(self.process, stream)
        line: str = file.readline().decode("utf-8", "replace")
        self.seen.append(line)
        return line

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Send a signal if there is one; return the exit code and what was left to read."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
