"""``midge check DIR``: read every record of a store and tell what is wrong with it. Nothing is changed, and no server may be using it.

The exit code is 0 where nothing is wrong, 3 where something is, and 1 where the store cannot be looked at. What is wrong is told by its
file, its place and the messages that are lost by it, and docs/durability.md tells what a server makes of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from midge.cli.output import counted, json_option, printable
from midge.store.check import Finding, check_stream, find_damages
from midge.store.recovery import Damage
from midge.store.view import Place, StoreView

__all__ = ["DAMAGED", "check", "command", "directory_argument"]

DAMAGED = 3
T = TypeVar("T")


def directory_argument(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command DIR, the path of a store."""
    kind: Any = {"type": click.Path(path_type=Path, exists=True, file_okay=False)}
    return click.argument("path", metavar="DIR", **kind)(command)


@click.command("check", short_help="Check the files of streams.")
@directory_argument
@json_option
def command(path: Path, as_json: bool) -> int:
    """Read every record below DIR, which a server had as its store_dir, and tell what is wrong. Nothing is changed.

    Exits with 3 if something is wrong. A server that is running keeps its store to itself: stop it before.
    """
    with closing(StoreView(str(path))) as view:
        return check(view, view.streams, find_damages(view), as_json=as_json)


def check(view: StoreView, places: Sequence[Place], damages: list[Damage], *, as_json: bool) -> int:
    """Check some streams and print what was found, with what is wrong with the store itself; return the exit code."""
    found: list[Finding] = []
    with _progress(sum(view.size_of(place) for place in places)) as advance:
        for place in places:
            found.append(check_stream(view, place, advance))
            if not as_json:
                click.echo(_line(found[-1]))
                for damage in found[-1].damages:
                    click.echo(f"  {printable(str(damage))}")
    everything = damages + [damage for finding in found for damage in finding.damages]
    if as_json:
        click.echo(
            json.dumps(
                {"path": view.path, "good": not everything, "damages": list(map(_row, damages)), "streams": list(map(_entry, found))}
            )
        )
    else:
        for damage in damages:
            click.echo(printable(str(damage)))
        lost = sum(damage.last - damage.first + 1 for damage in everything)
        wrong = f"{counted(len(everything), 'damage')}, {counted(lost, 'message')} lost" if everything else "nothing is wrong"
        click.echo(f"{counted(len(found), 'stream')}, {counted(sum(each.messages for each in found), 'message')}: {wrong}")
    return DAMAGED if everything else 0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show how much of so many bytes has been read, to people only."""
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda size: progress.advance(task, size)


def _line(finding: Finding) -> str:
    place = finding.place
    name = printable(f"{place.account} {place.stream}") if place.stream else place.path
    range = f" ({finding.first:,} to {finding.last:,})" if finding.messages else ""
    consumers = f", {counted(finding.consumers, 'consumer')}" if finding.consumers else ""
    size = f"{counted(finding.size, 'byte')}, {counted(finding.segments, 'segment')}"
    return f"{name}: {counted(finding.messages, 'message')}{range}, {size}{consumers}"


def _entry(finding: Finding) -> dict[str, object]:
    place = finding.place
    return {
        "account": place.account,
        "stream": place.stream,
        "directory": place.path,
        "messages": finding.messages,
        "bytes": finding.size,
        "first_seq": finding.first,
        "last_seq": finding.last,
        "segments": finding.segments,
        "consumers": finding.consumers,
        "damages": [_row(damage) for damage in finding.damages],
    }


def _row(damage: Damage) -> dict[str, object]:
    return damage._asdict()
