"""The click program: every command but ``serve``, imported when it is run, and the one place where errors become exit codes.

0 is success, 1 an error of the network or the server, 2 a command line that makes no sense, 130 an interrupt,
143 a SIGTERM; ``req`` adds two of
its own. What is expected to go wrong is one line on stderr, ``midge: ...``; a traceback is a bug in midge.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
from collections.abc import Sequence

import click

from midge.cli import INTERRUPTED
from midge.cli.lazy_group import LazyGroup
from midge.cli.output import complain
from midge.cli.version import banner
from midge.errors import ConnectError, MidgeError

__all__ = ["run"]

_COMMANDS = (
    "demo", "pub", "sub", "req", "reply", "stream", "consumer", "kv", "object", "account", "context", "bench", "check", "store", "nkey",
    "completion",
)  # fmt: skip


def run(args: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    _write_whole()
    logging.getLogger("midge").addHandler(logging.NullHandler())  # what goes wrong is said once, by a line of ours
    try:
        result = _program.main(list(args), prog_name="midge", standalone_mode=False)
    except click.UsageError as error:
        _complain(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ConnectError as error:
        tried = "; ".join(f"{url}: {_reason(cause)}" for url, cause in error.attempts)
        complain(f"could not connect to {tried}")
        return 1
    except (MidgeError, OSError) as error:
        complain(str(error))
        return 1
    return result if isinstance(result, int) else 0


def _write_whole() -> None:
    """With PYTHONUNBUFFERED, nobody goes on where the system has written a part only, nor hears that a pipe is broken: be the one who does.

    What is to be seen at once is flushed by who writes it.
    """
    is_own = sys.stdout is sys.__stdout__
    out = sys.stdout
    raw = getattr(out, "buffer", None)
    if is_own and isinstance(raw, io.RawIOBase):
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), out.encoding, out.errors, line_buffering=bool(out.line_buffering))


def _complain(error: click.UsageError) -> None:
    """Say in one line what is wrong with a command line; without any command there is nothing wrong: show what there is."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    text = " ".join(error.format_message().split()).rstrip(".")
    path = error.ctx.command_path if error.ctx else "midge"
    complain(f"{text[:1].lower()}{text[1:]}. Try '{path} --help'.")


def _reason(error: BaseException) -> str:
    """Return why connecting failed, in the system's words rather than asyncio's."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(banner())
        ctx.exit()


_program = LazyGroup(
    "midge",
    places={"serve": "program:serve"} | {name: f"{name}:command" for name in _COMMANDS},
    aliases={"str": "stream", "con": "consumer", "obj": "object", "ctx": "context"},
    help="NATS for Python, whole: a server, and the commands that talk to one.",
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version and exit."
        )
    ],
)


@click.command("serve", help="Run a NATS server; it takes nats-server's flags.", add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def serve(args: tuple[str, ...]) -> int:
    """Listed here; ``main`` runs it without this module."""
    from midge.cli import serve as server

    return server.serve(args)


serve.ignore_unknown_options = True
