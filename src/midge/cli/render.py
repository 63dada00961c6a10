"""What commands about streams, buckets and objects show: tables, a description of one thing, JSON, progress; and the question before harm.

People get rich's tables on standard output, with what comes from the network escaped; programs get JSON, one object a line where there
are many. Progress bars are drawn on standard error, on a terminal only. Nothing is destroyed without a yes: that of a person at a
terminal, or ``--force``.

rich takes as long to import as the client: it is when the first table or bar is drawn.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midge.cli.output import printable
from midge.cli.units import shown_duration, shown_moment, shown_size
from midge.errors import MidgeError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Advance", "Fields", "Row", "bar", "cell", "confirm", "duration", "force_option", "limit", "moment", "number", "print_description",
    "print_json", "print_table", "rows_of", "say", "say_all", "size",
]  # fmt: skip

T = TypeVar("T")
_WIDE = 240
_TEXT_WIDTH = 16  # what is longer is folded where there is no room for it
Row = tuple[str, str]
Fields = Mapping[str, tuple[str, Callable[[Any], str]]]  # of JSON: what people call them, and how their values are shown
Advance = Callable[[int], None]


def print_json(value: Any) -> None:
    """Print a JSON value on a line of its own."""
    click.echo(json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first ``left`` columns are texts, and the others numbers.

    Where the terminal is too narrow for it, nothing is cut off: each row is a paragraph of its own then.
    """
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    cells = [[printable(value) for value in row] for row in rows]
    console = _console()
    if _width(columns, cells, left) > console.width:
        for row in cells:
            for name, value in zip(columns, row, strict=True):
                click.echo(f"{name}: {value}")
            click.echo()
        return
    table = Table(box=SIMPLE)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < left else "right", overflow="fold", no_wrap=place >= left)
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def _width(columns: Sequence[str], cells: Sequence[Sequence[str]], left: int) -> int:
    """Return how wide a table is at least: texts can be folded, and numbers cannot."""
    from rich.cells import cell_len

    widest = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    needed = [width if place >= left else min(width, _TEXT_WIDTH) for place, width in enumerate(widest)]
    return sum(needed) + 3 * len(needed) + 1  # with blanks around each, and between them


def print_description(title: str, sections: Iterable[tuple[str, Sequence[Row]]]) -> None:
    """Print what there is to say of one thing: sections of labels and values; those without any are left out."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", style="dim", overflow="fold")
    table.add_column(overflow="fold")
    for heading, rows in sections:
        if rows:
            table.add_row("", "")
            table.add_row("", f"[bold]{escape(printable(heading))}[/bold]")
            for label, value in rows:
                table.add_row(escape(printable(label)), escape(printable(value, "\n")))
    console = _console()
    console.print(f"[bold]{escape(printable(title))}[/bold]", highlight=False, soft_wrap=True)
    console.print(table)


def say(text: str) -> None:
    """Print a line for people."""
    click.echo(printable(text))


def say_all(texts: Sequence[str]) -> None:
    """Print many lines for people, at one go."""
    if texts:
        click.echo("\n".join(map(printable, texts)))


def _console() -> Console:
    """Return standard output; what is no terminal has no right edge that a table would have to keep clear of."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console


# Values of JSON, as people read them


def cell(value: Any) -> str:
    """Return any value as a text: lists with commas, objects as pairs."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {cell(each)}" for name, each in value.items())
    return number(value) if isinstance(value, int) else "" if value is None else str(value)


def rows_of(values: Mapping[str, Any], fields: Fields) -> list[Row]:
    """Return labels and values in the order of the fields, and then what is not known."""
    known = [(label, show(values[name])) for name, (label, show) in fields.items() if values.get(name) is not None]
    return known + [(name, cell(value)) for name, value in values.items() if name not in fields]


def number(value: Any) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def limit(value: Any) -> str:
    """Return a limit, of which -1 or 0 is none."""
    return number(value) if isinstance(value, int) and value > 0 else "unlimited"


def size(value: Any) -> str:
    """Return a size in bytes, of which -1 is no limit."""
    return (shown_size(value) if value >= 0 else "unlimited") if isinstance(value, int) else str(value)


def duration(value: Any) -> str:
    """Return nanoseconds."""
    return shown_duration(value) if isinstance(value, int) else str(value)


def moment(value: Any) -> str:
    """Return a time."""
    return shown_moment(value) if isinstance(value, str) else ""


# Before harm


def force_option(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command ``--force``."""
    return click.option("--force", "-f", is_flag=True, help="Do not ask.")(command)


def confirm(question: str, *, force: bool) -> None:
    """Return if it may be done.

    Raises:
        click.UsageError: there is nobody to ask.
        MidgeError: the answer is no.
    """
    if force:
        return
    if not _has_terminal():
        raise click.UsageError(f"nobody is here to ask, so it needs --force: {question.rstrip('?')}")
    if not click.confirm(printable(question), err=True):
        raise MidgeError("nothing was done")


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


# Progress


@contextmanager
def bar(what: str, total: int | None, *, of_bytes: bool = False, hidden: bool = False) -> Iterator[Advance]:
    """Show how much of so many has been done, to people only. Gives what to call with how much more it is.

    The number may be a guess: it is never exceeded, and what has been done in the end is all.
    """
    if hidden or not sys.stderr.isatty():
        yield lambda more: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    measure = (DownloadColumn(), TransferSpeedColumn()) if of_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *measure, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(printable(what)), total=total)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress.update(task, completed=done if total is None else min(done, total))

        yield advance
        progress.update(task, completed=done if total is None else total, total=done if total is None else total)
