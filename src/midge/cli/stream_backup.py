"""``midge stream backup`` and ``restore``: a stream as a directory, the same that the ``nats`` command writes and reads.

In it are ``backup.json``, with the configuration and what the stream held, and the server's archive: ``stream.arc.s2`` of nats-server
2.15 and midge, ``stream.tar.s2`` of earlier ones. The files are there under these names only when all of the backup is.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from midge.cli.config_options import changed, commas, read_config
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import stream_argument
from midge.cli.output import counted, json_option
from midge.cli.render import Advance, bar, print_json, say
from midge.cli.snapshot import CHUNK_SIZE, Restoring, Snapshot, is_archive
from midge.cli.target import Target
from midge.cli.units import shown_size
from midge.errors import MidgeError

__all__ = ["backup", "restore"]

_META, _ARCHIVE, _TAR = "backup.json", "stream.arc.s2", "stream.tar.s2"
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
    _refuse_full(directory)

    async def save(api: Api) -> tuple[dict[str, Any], int, str]:
        snapshot = Snapshot(api, stream, consumers=consumers, check=check)
        try:
            await snapshot.begin()
            directory.mkdir(parents=True, exist_ok=True)
            with bar("backup", snapshot.state.get("bytes"), of_bytes=True, hidden=not progress or as_json) as advance:
                size, name = await _write(snapshot, directory, advance)
        finally:
            await snapshot.end()
        return {"config": snapshot.config, "state": snapshot.state}, size, name

    meta, size, name = run(target, "midge stream backup", save)
    _replace(directory / _META, json.dumps(meta, indent=2).encode())
    messages = meta["state"]["messages"]
    if as_json:
        print_json({"stream": stream, "directory": str(directory), "file": name, "bytes": size, "state": meta["state"]})
    else:
        say(f"Backed up stream {stream}, {counted(messages, 'message')}, to {directory} ({shown_size(size)})")


@click.command("restore", short_help="Bring a stream back from a directory.")
@click.argument("directory", **_EXISTING)
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another configuration."
)
@click.option("--replicas", type=click.IntRange(min=1), help="How many servers of a cluster keep it.")
@click.option("--cluster", metavar="NAME", help="The cluster that keeps it.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Servers with this tag keep it; may be repeated.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@json_option
@js_options
def restore(
    target: Target,
    directory: Path,
    config_file: Path | None,
    replicas: int | None,
    cluster: str | None,
    tags: tuple[str, ...],
    progress: bool,
    as_json: bool,
) -> None:
    """Bring back the stream whose backup is in DIRECTORY; there must be none of its name."""
    meta = _read_meta(directory)
    config = meta["config"] if config_file is None else read_config(config_file)
    if config.get("name") != meta["config"].get("name"):
        raise click.UsageError("a stream is restored by the name that it had")
    placement = ({"cluster": cluster} if cluster else {}) | ({"tags": commas(tags)} if tags else {})
    config = changed(config, ({"num_replicas": replicas} if replicas else {}) | ({"placement": placement} if placement else {}))
    path = _archive(directory)

    async def send(api: Api) -> dict[str, Any]:
        restoring = Restoring(api, config, meta["state"])
        try:
            await restoring.begin()
            with bar("restore", path.stat().st_size, of_bytes=True, hidden=not progress or as_json) as advance, path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_SIZE):
                    await restoring.send(chunk)
                    advance(len(chunk))
                return await restoring.finish()
        finally:
            await restoring.end()

    found = run(target, "midge stream restore", send)
    if as_json:
        print_json(found)
    else:
        say(f"Restored stream {config['name']}, {counted(found['state']['messages'], 'message')}")


async def _write(snapshot: Snapshot, directory: Path, advance: Advance) -> tuple[int, str]:
    """Write the archive; return its size and name."""
    part = directory / f"{_ARCHIVE}.part"
    size, first = 0, b""
    try:
        with part.open("wb") as file:
            async for chunk in snapshot.chunks():
                first = first or chunk
                await asyncio.to_thread(file.write, chunk)
                size += len(chunk)
                advance(len(chunk))
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        name = _ARCHIVE if is_archive(first) else _TAR
        part.replace(directory / name)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return size, name


def _refuse_full(directory: Path) -> None:
    for name in (_META, _ARCHIVE, _TAR):
        if (directory / name).exists():
            raise MidgeError(f"{directory} holds a backup already")


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _read_meta(directory: Path) -> dict[str, Any]:
    try:
        meta = json.loads((directory / _META).read_bytes())
    except ValueError as error:
        raise MidgeError(f"{directory / _META} is damaged: {error}") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("config"), dict) or not isinstance(meta.get("state"), dict):
        raise MidgeError(f"{directory / _META} does not describe a stream")
    return meta


def _archive(directory: Path) -> Path:
    found = [directory / name for name in (_ARCHIVE, _TAR) if (directory / name).exists()]
    if len(found) != 1:
        raise MidgeError(f"{directory} holds {'both archives' if found else 'no archive'}, {_ARCHIVE} and {_TAR}")
    return found[0]
