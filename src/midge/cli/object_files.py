"""The commands of ``midge object`` about objects: files in and out, with a progress bar, and whatever else becomes of them.

What is got is written under another name first, and gets its own when all of it is there and right; ``-`` is standard input or output.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import click

from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import optional_store_argument, store_argument
from midge.cli.object import change_store, show_stores
from midge.cli.output import json_option
from midge.cli.payload import blocks, header_option
from midge.cli.render import Advance, bar, cell, confirm, force_option, print_description, print_json, print_table, say, say_all
from midge.cli.target import Target
from midge.cli.units import SIZE, shown_size
from midge.errors import MidgeError
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.entity import to_json
from midge.jetstream.object_store.info import ObjectInfo
from midge.jetstream.object_store.store import CHUNK_SIZE
from midge.jetstream.object_store.target import save
from midge.message import Headers

__all__ = ["get", "info", "link", "list_objects", "put", "remove", "watch"]

_FILE: Any = {"type": click.Path(path_type=Path, dir_okay=False, allow_dash=True)}
_BLOCK = 1 << 20
_STANDARD = Path("-")


@click.command("info", short_help="Tell everything about an object, or a store.")
@store_argument
@click.argument("name", required=False)
@json_option
@js_options
def info(target: Target, bucket: str, name: str | None, as_json: bool) -> None:
    """Tell everything about the object NAME of BUCKET, or about BUCKET."""
    if name is None:
        change_store(target, bucket, lambda api: api.js.object_store(bucket).status(), as_json=as_json)
        return
    found = run(target, "midge object info", lambda api: api.js.object_store(bucket).info(name))
    _print(found, as_json=as_json)


@click.command("ls", short_help="List the objects of a store, or the stores.")
@optional_store_argument
@click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone.")
@json_option
@js_options
def list_objects(target: Target, bucket: str | None, names_only: bool, as_json: bool) -> None:
    """List the objects of BUCKET, or the object stores."""
    if bucket is None:
        show_stores(target, names_only=names_only, as_json=as_json)
        return

    async def ask(api: Api) -> list[ObjectInfo]:
        return [each async for each in api.js.object_store(bucket).list()]

    found = sorted(run(target, "midge object ls", ask), key=lambda each: each.name)
    if as_json:
        print_json([each.name if names_only else to_json(each) for each in found])
    elif names_only:
        say_all([each.name for each in found])
    elif not found:
        say(f"Object store {bucket} is empty")
    else:
        print_table(("name", "description", "size", "stored"), map(_row, found), left=2)


@click.command("put", short_help="Store a file.")
@store_argument
@click.argument("file", **_FILE)
@click.option("--name", help="The object's name; the file's without it.")
@click.option("--description", default="", help="What it is.")
@header_option
@click.option("--chunk-size", type=SIZE, default=CHUNK_SIZE, metavar="SIZE", help="How large the chunks are; 128KiB without it.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@force_option
@json_option
@js_options
def put(
    target: Target,
    bucket: str,
    file: Path,
    name: str | None,
    description: str,
    headers: Headers | None,
    chunk_size: int,
    progress: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Store FILE in BUCKET, instead of what has its name there, after asking. With - it is standard input, and needs a --name."""
    if name is None and file == _STANDARD:
        raise click.UsageError("standard input needs a --name")
    chosen = name or file.name
    lists = None if headers is None else {key: headers.get_all(key) for key in headers}

    async def send(api: Api) -> ObjectInfo:
        store = api.js.object_store(bucket)
        if not force and [each async for each in store.list() if each.name == chosen]:
            await asyncio.to_thread(confirm, f"Really replace object {chosen} of {bucket}?", force=False)
        total = None if file == _STANDARD else file.stat().st_size
        with bar("put", total, of_bytes=True, hidden=not progress or as_json) as advance:
            source = _counted(blocks() if file == _STANDARD else _read(file), advance)
            return await store.put(chosen, source, description=description, headers=lists, chunk_size=chunk_size)

    _print(run(target, "midge object put", send), as_json=as_json)


@click.command("get", short_help="Read an object into a file.")
@store_argument
@click.argument("name")
@click.option("--output", "-O", metavar="FILE", help="Where to; the object's name without it.", **_FILE)
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@force_option
@json_option
@js_options
def get(target: Target, bucket: str, name: str, output: Path | None, progress: bool, force: bool, as_json: bool) -> None:
    """Read the object NAME of BUCKET into a file. Its digest is checked before the file is there. With - it is standard output."""
    path = output if output is not None else Path(name.replace("\\", "/").rpartition("/")[2])
    if path.name in ("", ".."):
        raise click.UsageError(f"{name!r} is no name of a file: say --output")
    if as_json and path == _STANDARD:
        raise click.UsageError("standard output takes the object or --json")
    if path != _STANDARD and path.exists():
        confirm(f"Really replace {path}?", force=force)

    async def read(api: Api) -> ObjectInfo:
        async with api.js.object_store(bucket).get(name) as reader, _target(path) as target:
            with bar("get", reader.info.size, of_bytes=True, hidden=not progress or as_json) as advance:
                await save(_counted(reader, advance), target)
            return reader.info

    found = run(target, "midge object get", read)
    if as_json:
        print_json(to_json(found) | {"file": str(path)})
    elif path != _STANDARD:
        say(f"Wrote {shown_size(found.size)} to {path}")


@click.command("rm", short_help="Remove an object, or a store.")
@store_argument
@click.argument("name", required=False)
@force_option
@json_option
@js_options
def remove(target: Target, bucket: str, name: str | None, force: bool, as_json: bool) -> None:
    """Remove the object NAME of BUCKET, or BUCKET with everything in it."""
    what = f"object store {bucket} with everything in it" if name is None else f"object {name} of {bucket}"
    confirm(f"Really delete {what}?", force=force)

    async def delete(api: Api) -> None:
        if name is None:
            await api.js.delete_object_store(bucket)
        else:
            await api.js.object_store(bucket).delete(name)

    run(target, "midge object rm", delete)
    if as_json:
        print_json({"success": True})
    else:
        say(f"Deleted {what}")


@click.command("link", short_help="Store a link to an object, or to a store.")
@store_argument
@click.argument("name")
@click.argument("to_bucket")
@click.argument("to_name", required=False)
@json_option
@js_options
def link(target: Target, bucket: str, name: str, to_bucket: str, to_name: str | None, as_json: bool) -> None:
    """Store in BUCKET, as NAME, a link to the object TO_NAME of TO_BUCKET, or to TO_BUCKET."""

    async def add(api: Api) -> ObjectInfo:
        store = api.js.object_store(bucket)
        if to_name is None:
            await api.js.object_store(to_bucket).status()
            return await store.add_bucket_link(name, to_bucket)
        return await store.add_link(name, await api.js.object_store(to_bucket).info(to_name))

    _print(run(target, "midge object link", add), as_json=as_json)


@click.command("watch", short_help="Show what becomes of objects.")
@store_argument
@click.option("--updates", "updates_only", is_flag=True, help="Begin with what changes from now on.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many.")
@json_option
@js_options
def watch(target: Target, bucket: str, updates_only: bool, count: int | None, as_json: bool) -> None:
    """Show what becomes of the objects of BUCKET, until interrupted."""

    async def show(api: Api) -> None:
        left = count
        async with api.js.object_store(bucket).watch(updates_only=updates_only) as watcher:
            click.echo(f'Subscribed to object store "{bucket}"', err=True)
            async for found in watcher:
                if found is CAUGHT_UP:
                    continue
                if as_json:
                    print_json(to_json(found))
                else:
                    say(f"{found.name}: {'deleted' if found.deleted else _what(found)}")
                left = None if left is None else left - 1
                if left == 0:
                    break

    run(target, "midge object watch", show, for_good=True)


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block


@asynccontextmanager
async def _target(path: Path) -> AsyncIterator[Path | IO[bytes]]:
    """What an object is saved to: a file that is replaced, behind links to it; what is no file, such as /dev/null, is written to."""
    if path == _STANDARD:
        yield sys.stdout.buffer
    elif path.exists() and not path.is_file():
        with await asyncio.to_thread(path.open, "wb", 0) as file:
            yield file
    else:
        yield Path(os.path.realpath(path))


async def _counted(chunks: AsyncIterator[bytes], advance: Advance) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        advance(len(chunk))


def _print(found: ObjectInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(to_json(found))
        return
    rows = [("Description", found.description), ("Stored", _stored(found))]
    if found.link is not None:
        rows.append(("Link to", f"{found.link.bucket} {found.link.name}".rstrip()))
    else:
        rows += [("Size", shown_size(found.size)), ("Chunks", f"{found.chunks:,}"), ("Digest", found.digest)]
    rows += [(name, cell(values)) for name, values in (found.headers or {}).items()] + list((found.metadata or {}).items())
    print_description(f"Object {found.name} of {found.bucket}", [("Object", [row for row in rows if row[1]])])


def _row(found: ObjectInfo) -> list[str]:
    return [found.name, found.description, _what(found), _stored(found)]


def _what(found: ObjectInfo) -> str:
    return shown_size(found.size) if found.link is None else f"link to {found.link.bucket} {found.link.name}".rstrip()


def _stored(found: ObjectInfo) -> str:
    if found.mtime is None:
        raise MidgeError(f"nobody knows when object {found.name!r} was stored")
    return f"{found.mtime.astimezone():%Y-%m-%d %H:%M:%S}"
