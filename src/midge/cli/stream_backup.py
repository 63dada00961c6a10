"""``midge stream backup`` and ``restore``: a stream as a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from midge.cli.backup_files import read_backup, refuse_full, restore_backup, write_backup
from midge.cli.config_options import changed, placement_changes, placement_options, read_config
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import stream_argument
from midge.cli.output import counted, json_option
from midge.cli.render import bar, print_json, say
from midge.cli.target import Target
from midge.cli.units import shown_size

__all__ = ["backup", "restore"]

_DIRECTORY: Any = {"type": click.Path(path_type=Path, file_okay=False)}
_EXISTING: Any = {"type": click.Path(path_type=Path, file_okay=False, exists=True)}


@click.command("backup", short_help="Write a stream to a directory.")
@stream_argument
@click.argument("directory", **_DIRECTORY)
@click.option("--consumers/--no-consumers", default=True, show_default=True, help="With its consumers.")
@click.option("--check", is_flag=True, help="Have the server check the messages before.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@json_option
@js_options
def backup(target: Target, stream: str, directory: Path, consumers: bool, check: bool, progress: bool, as_json: bool) -> None:
    """Write STREAM with its messages to DIRECTORY, which is made; a backup that is in it already is left alone."""
    refuse_full(directory)

    async def save(api: Api) -> dict[str, Any]:
        def shown(total: int) -> Any:
            return bar("backup", total, of_bytes=True, hidden=not progress or as_json)

        return await write_backup(api, stream, directory, shown, consumers=consumers, check=check)

    found = run(target, "midge stream backup", save)
    if as_json:
        print_json(found)
    else:
        say(f"Backed up stream {stream}, {counted(found['state']['messages'], 'message')}, to {directory} ({shown_size(found['bytes'])})")


@click.command("restore", short_help="Bring a stream back from a directory.")
@click.argument("directory", **_EXISTING)
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another configuration."
)
@placement_options
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@json_option
@js_options
def restore(target: Target, directory: Path, config_file: Path | None, progress: bool, as_json: bool, **placement: Any) -> None:
    """Bring back the stream whose backup is in DIRECTORY; there must be none of its name."""
    found = read_backup(directory)
    config = found.config if config_file is None else read_config(config_file)
    if config.get("name") != found.config.get("name"):
        raise click.UsageError("a stream is restored by the name that it had")
    config = changed(config, placement_changes(placement))

    async def send(api: Api) -> dict[str, Any]:
        with bar("restore", found.size, of_bytes=True, hidden=not progress or as_json) as advance:
            return await restore_backup(api, found, config, advance)

    answer = run(target, "midge stream restore", send)
    if as_json:
        print_json(answer)
    else:
        say(f"Restored stream {config['name']}, {counted(answer['state']['messages'], 'message')}")
