"""Runs the command line in this process, and gives what it prints."""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from midge.cli import main

__all__ = ["Cli"]

_NUMBERS = itertools.count(1)


class Cli:
    """The command line, against one server.

    Attributes:
        url: where that is.
    """

    def __init__(self, url: str, capture: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capture = capture

    def name(self) -> str:
        """A name that nobody has used."""
        return f"N{next(_NUMBERS)}"

    def __call__(self, *args: str, code: int = 0, stdin: bytes = b"") -> str:
        """Run a command; return what it prints on standard output."""
        out, err = self.both(*args, code=code, stdin=stdin)
        assert code or "midge: " not in err, err
        return out

    def both(self, *args: str, code: int = 0, stdin: bytes = b"") -> tuple[str, str]:
        """The same, with standard error."""
        self._capture.readouterr()
        with _stdin(stdin):
            found = main(args)
        out, err = self._capture.readouterr()
        assert found == code, err
        assert "Traceback" not in err
        return out, err

    def code(self, *args: str) -> int:
        """Run a command; return how it ends."""
        return main(args)

    def refused(self, *args: str, code: int = 1) -> str:
        """Run a command that does not succeed; return its one line on standard error."""
        out, err = self.both(*args, code=code)
        assert out == "" and err.startswith("midge: ") and err.count("\n") == 1, (out, err)
        return err.removeprefix("midge: ").rstrip("\n")

    def json(self, *args: str) -> Any:
        """Run a command with --json; return what it prints."""
        return json.loads(self(*args, "--json"))

    def lines(self, *args: str) -> list[Any]:
        """The same for a command that prints an object a line."""
        return [json.loads(line) for line in self(*args, "--json").splitlines()]


@contextmanager
def _stdin(data: bytes) -> Iterator[None]:
    before = sys.stdin
    with tempfile.TemporaryFile("w+") as file:
        file.buffer.write(data)
        file.seek(0)
        sys.stdin = cast(io.TextIOWrapper, file)
        try:
            yield
        finally:
            sys.stdin = before
