"""``midge account backup`` and ``restore``: all streams of an account as a directory, each in one of its own.

What is wrong with one stream stops no other: it is said in the end, and by the exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from midge.cli.answers import stream_answer
from midge.cli.backup_files import read_backup, restore_backup, write_backup
from midge.cli.config_options import changed, placement_changes, placement_options
from midge.cli.jetstream import Api, js_options, run
from midge.cli.output import complain, counted, json_option
from midge.cli.render import bar, print_json, say_all
from midge.cli.target import Target
from midge.cli.units import shown_size
from midge.errors import MidgeError
from midge.jetstream.names import check_name

__all__ = ["backup", "restore"]

_MEMORY = "memory"


class _Outcome:
    """What became of each stream.

    Attributes:
        done: what is told of those that went well.
        failed: of the others, and why.
        left_out: how many of those may fail.
    """

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []
        self.left_out = 0

    async def add(self, name: str, doing: Coroutine[Any, Any, dict[str, Any]], *, may_fail: bool = False) -> None:
        """Wait for one; note what is told of it, or what went wrong."""
        try:
            self.done.append(await doing)
        except (MidgeError, OSError, UnicodeError) as error:
            self.failed.append({"stream": name, "error": str(error)})
            self.left_out += may_fail

    def show(self, verb: str, row: Callable[[dict[str, Any]], str], *, as_json: bool) -> None:
        """Print it.

        Raises:
            MidgeError: something failed.
        """
        if as_json:
            print_json({"streams": self.done, "failed": self.failed})
        else:
            say_all([row(found) for found in self.done])
        for each in self.failed:
            complain(f"stream {each['stream']}: {each['error']}")
        count = len(self.failed) - self.left_out
        if count:
            all_of_them = len(self.done) + len(self.failed)
            raise MidgeError(f"{counted(count, 'stream')} of {all_of_them} could not be {verb}")


@click.command("backup", short_help="Write all streams to a directory.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--consumers/--no-consumers", default=True, show_default=True, help="With their consumers.")
@click.option("--check", is_flag=True, help="Have the server check the messages before.")
@click.option("--critical-warnings", "-w", is_flag=True, help="It is an error, too, where a stream in memory cannot be read.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@json_option
@js_options
def backup(
    target: Target, directory: Path, consumers: bool, check: bool, critical_warnings: bool, progress: bool, as_json: bool
) -> None:  # fmt: skip
    """Write all streams, also those beneath buckets and object stores, to directories of their names in DIRECTORY.

    Servers may have no way to read a stream in memory: that is said, and no error.
    """

    async def save(api: Api) -> _Outcome:
        outcome = _Outcome()
        rows = [stream_answer(row) async for row in api.pages("STREAM.LIST", "streams")]
        if not rows:
            raise MidgeError("there are no streams")
        total = sum(row["state"]["bytes"] for row in rows)
        with bar("backup", total, of_bytes=True, hidden=not progress or as_json) as advance:
            for row in sorted(rows, key=lambda row: str(row["config"]["name"])):
                name = row["config"]["name"]

                async def write(name: str = name) -> dict[str, Any]:
                    path = directory / check_name(name)
                    return await write_backup(api, name, path, lambda _: nullcontext(advance), consumers=consumers, check=check)

                may_fail = row["config"].get("storage") == _MEMORY and not critical_warnings
                await outcome.add(name, write(), may_fail=may_fail)
        return outcome

    def said(found: dict[str, Any]) -> str:
        return f"Backed up stream {found['stream']}, {counted(found['state']['messages'], 'message')} ({shown_size(found['bytes'])})"

    run(target, "midge account backup", save).show("backed up", said, as_json=as_json)


@click.command("restore", short_help="Bring streams back from a directory.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@placement_options
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@json_option
@js_options
def restore(target: Target, directory: Path, progress: bool, as_json: bool, **placement: Any) -> None:
    """Bring back the streams whose backups are in directories in DIRECTORY. Those that are there already are left alone."""
    changes = placement_changes(placement)
    directories = sorted(path for path in directory.iterdir() if path.is_dir())
    if not directories:
        raise MidgeError(f"{directory} holds no backups")
    outcome = _Outcome()

    async def send(api: Api) -> _Outcome:
        total = sum(file.stat().st_size for path in directories for file in path.glob("stream.*"))
        with bar("restore", total, of_bytes=True, hidden=not progress or as_json) as advance:
            for path in directories:

                async def bring_back(path: Path = path) -> dict[str, Any]:
                    found = read_backup(path)
                    return await restore_backup(api, found, changed(found.config, changes), advance)

                await outcome.add(path.name, bring_back())
        return outcome

    def said(found: dict[str, Any]) -> str:
        return f"Restored stream {found['config']['name']}, {counted(found['state']['messages'], 'message')}"

    run(target, "midge account restore", send).show("restored", said, as_json=as_json)
