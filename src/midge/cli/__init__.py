"""The command line: ``midge serve`` and the commands that talk to a server, one per file.

``main`` decides which of two worlds a command line belongs to. ``serve`` and ``--version`` need nothing but midge itself: they
import neither click nor rich, because a supervisor waits for the first and an install without extras must answer the second.
Everything else is a click program (``program``), imported only when it is asked for; without the extra ``cli`` it says so.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

__all__ = ["INTERRUPTED", "main"]

INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line, by default the process's own, and return its exit code."""
    try:
        code = _run(list(sys.argv[1:] if args is None else args))
    except KeyboardInterrupt:  # before the command itself has begun, and can say how it ends
        return INTERRUPTED
    except BrokenPipeError:
        return _cannot_write("")
    try:
        sys.stdout.flush()
    except OSError as error:
        return _cannot_write("" if isinstance(error, BrokenPipeError) else f"midge: cannot write: {error.strerror}")
    return code


def _cannot_write(text: str) -> int:
    """Nobody reads what was printed, or there is no room for it: say so, and see that it is not tried again when the process ends."""
    sys.stdout = open(os.devnull, "w")
    if text:
        print(text, file=sys.stderr)
    return 1


def _run(words: list[str]) -> int:
    if words[:1] == ["serve"]:
        from midge.cli.serve import serve

        return serve(words[1:])
    if words[:1] in (["--version"], ["version"]):
        from midge.cli.version import banner

        print(banner())
        return 0
    from midge.errors import MissingExtraError

    try:
        run = _program()
    except MissingExtraError as error:
        print(f"midge: {error}", file=sys.stderr)
        return 1
    return run(words)


def _program() -> Callable[[Sequence[str]], int]:
    """Return what runs the commands other than ``serve``.

    Raises:
        MissingExtraError: click or rich is not installed.
    """
    from midge.errors import MissingExtraError

    try:
        importlib.import_module("click")
        importlib.import_module("rich")
    except ImportError as error:
        raise MissingExtraError("cli", "every command but serve and --version") from error
    from midge.cli.program import run

    return run
