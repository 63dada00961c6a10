"""The commands of ``midge kv`` about keys and their values. A value is an argument, or standard input, as it is."""

from __future__ import annotations

import base64
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import bucket_argument
from midge.cli.output import Style, flush, format_options, json_option, printable
from midge.cli.payload import payload
from midge.cli.render import confirm, force_option, number, print_json, print_table, say, say_all
from midge.cli.target import Target
from midge.cli.units import DURATION
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.key_value.bucket import KeyValue
from midge.jetstream.key_value.entry import Entry

__all__ = ["create", "delete", "get", "history", "keys", "purge", "put", "revert", "show_entries", "show_keys", "update", "watch"]

T = TypeVar("T")
_TTL: Any = {"type": DURATION, "metavar": "DURATION"}
_SHOWN = 60  # characters of a value in a table


@click.command("get", short_help="Show the value of a key.")
@bucket_argument
@click.argument("key")
@click.option("--revision", type=click.IntRange(min=1), help="What it was at this revision.")
@format_options
@js_options
def get(target: Target, bucket: str, key: str, revision: int | None, style: Style) -> None:
    """Show the value of KEY of BUCKET."""
    _show(_with(target, bucket, lambda kv: kv.get(key, revision)), style)
    flush()


@click.command("put", short_help="Set the value of a key.")
@bucket_argument
@click.argument("key")
@click.argument("value", required=False)
@json_option
@js_options
def put(target: Target, bucket: str, key: str, value: str | None, as_json: bool) -> None:
    """Set the value of KEY of BUCKET. Without VALUE, or with -, it is standard input."""
    data = payload(value)
    _stored(_with(target, bucket, lambda kv: kv.put(key, data)), as_json=as_json)


@click.command("create", short_help="Set the value of a key that has none.")
@bucket_argument
@click.argument("key")
@click.argument("value", required=False)
@click.option("--ttl", help="How long it is kept; the bucket needs --marker-ttl.", **_TTL)
@json_option
@js_options
def create(target: Target, bucket: str, key: str, value: str | None, ttl: int | None, as_json: bool) -> None:
    """Set the value of KEY of BUCKET if it has none. Without VALUE, or with -, it is standard input."""
    data = payload(value)
    _stored(_with(target, bucket, lambda kv: kv.create(key, data, ttl=None if ttl is None else ttl / 1e9)), as_json=as_json)


@click.command("update", short_help="Set the value of a key that nobody has changed.")
@bucket_argument
@click.argument("key")
@click.argument("value")
@click.argument("revision", type=click.IntRange(min=0))
@json_option
@js_options
def update(target: Target, bucket: str, key: str, value: str, revision: int, as_json: bool) -> None:
    """Set the value of KEY of BUCKET if its last one has REVISION. With - the VALUE is standard input."""
    data = payload(value)
    _stored(_with(target, bucket, lambda kv: kv.update(key, data, revision)), as_json=as_json)


@click.command("del", short_help="Delete a key.")
@bucket_argument
@click.argument("key")
@click.option("--revision", type=click.IntRange(min=1), help="Only if its last value has this revision.")
@force_option
@json_option
@js_options
def delete(target: Target, bucket: str, key: str, revision: int | None, force: bool, as_json: bool) -> None:
    """Delete KEY of BUCKET; its history stays."""
    confirm(f"Really delete key {key} of bucket {bucket}?", force=force)
    _stored(_with(target, bucket, lambda kv: kv.delete(key, last_revision=revision)), as_json=as_json)


@click.command("purge", short_help="Delete a key with its history.")
@bucket_argument
@click.argument("key")
@click.option("--revision", type=click.IntRange(min=1), help="Only if its last value has this revision.")
@click.option("--ttl", help="How long the marker is kept.", **_TTL)
@force_option
@json_option
@js_options
def purge(target: Target, bucket: str, key: str, revision: int | None, ttl: int | None, force: bool, as_json: bool) -> None:
    """Delete KEY of BUCKET with its history."""
    confirm(f"Really purge key {key} of bucket {bucket}?", force=force)
    seconds = None if ttl is None else ttl / 1e9
    _stored(_with(target, bucket, lambda kv: kv.purge(key, last_revision=revision, ttl=seconds)), as_json=as_json)


@click.command("history", short_help="Show all that is kept of a key.")
@bucket_argument
@click.argument("key")
@json_option
@js_options
def history(target: Target, bucket: str, key: str, as_json: bool) -> None:
    """Show all that is kept of KEY of BUCKET, the oldest first."""
    entries = _with(target, bucket, lambda kv: kv.history(key))
    if as_json:
        for entry in entries:
            print_json(_described(entry))
    else:
        print_table(("revision", "operation", "created", "size", "value"), map(_row, entries), left=3)


@click.command("keys", short_help="Print the keys.")
@bucket_argument
@click.argument("filters", nargs=-1)
@json_option
@js_options
def keys(target: Target, bucket: str, filters: tuple[str, ...], as_json: bool) -> None:
    """Print the keys of BUCKET, one a line, or those that match one of FILTERS."""
    show_keys(target, bucket, filters, as_json=as_json)


def show_keys(target: Target, bucket: str, filters: tuple[str, ...], *, as_json: bool) -> None:
    """Print the keys of a bucket that match one of the filters, or all where there are none."""

    async def read(kv: KeyValue) -> list[str]:
        return sorted([key async for key in kv.keys(*filters)])

    found = _with(target, bucket, read)
    if as_json:
        print_json(found)
    else:
        say_all(found)


def show_entries(target: Target, bucket: str, filters: tuple[str, ...], *, with_values: bool, as_json: bool) -> None:
    """Print what the keys of a bucket are at present, with their values or without."""

    async def read(kv: KeyValue) -> list[Entry]:
        found: dict[str, Entry] = {}  # one that is put meanwhile comes again, and one that is deleted meanwhile goes
        async with kv.watch(*filters, meta_only=not with_values) as watcher:
            async for entry in watcher:
                if entry is CAUGHT_UP:
                    break
                found[entry.key] = entry
        return sorted((entry for entry in found.values() if not entry.is_deleted), key=lambda entry: entry.key)

    entries = _with(target, bucket, read)
    if as_json:
        shown = [_described(entry) | {"size": entry.size} for entry in entries]
        print_json(shown if with_values else [{name: each[name] for name in each if not name.startswith("value")} for each in shown])
    else:
        rows = [[entry.key, *_row(entry)] for entry in entries]
        columns = ("key", "revision", "operation", "created", "size", "value")
        print_table(columns if with_values else columns[:-1], [row if with_values else row[:-1] for row in rows], left=4)


@click.command("watch", short_help="Show what becomes of keys.")
@bucket_argument
@click.argument("filters", nargs=-1)
@click.option("--history", "include_history", is_flag=True, help="Begin with all that is kept.")
@click.option("--updates", "updates_only", is_flag=True, help="Begin with what changes from now on.")
@click.option("--deletes/--no-deletes", default=True, show_default=True, help="Show what is deleted.")
@click.option("--revision", type=click.IntRange(min=1), help="Begin with this revision.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many.")
@format_options
@js_options
def watch(
    target: Target,
    bucket: str,
    filters: tuple[str, ...],
    include_history: bool,
    updates_only: bool,
    deletes: bool,
    revision: int | None,
    count: int | None,
    style: Style,
) -> None:
    """Show what becomes of the keys of BUCKET, or of those that match one of FILTERS, until interrupted."""
    if sum((include_history, updates_only, revision is not None)) > 1:
        raise click.UsageError("--history, --updates and --revision are different beginnings")

    async def show(kv: KeyValue) -> None:
        options: Any = {"include_history": include_history, "updates_only": updates_only, "ignore_deletes": not deletes}
        left = count
        async with kv.watch(*filters, from_revision=revision, **options) as watcher:
            click.echo(f'Subscribed to bucket "{bucket}"', err=True)
            async for entry in watcher:
                if entry is CAUGHT_UP:
                    continue
                _show(entry, style)
                flush()
                left = None if left is None else left - 1
                if left == 0:
                    break

    _with(target, bucket, show, for_good=True)


@click.command("revert", short_help="Set a key to an earlier value.")
@bucket_argument
@click.argument("key")
@click.argument("revision", type=click.IntRange(min=1))
@force_option
@json_option
@js_options
def revert(target: Target, bucket: str, key: str, revision: int, force: bool, as_json: bool) -> None:
    """Set KEY of BUCKET to the value that it had at REVISION, unless somebody changes it meanwhile."""
    confirm(f"Really set key {key} of bucket {bucket} back to revision {revision}?", force=force)

    async def change(kv: KeyValue) -> int:
        entries = await kv.history(key)
        return await kv.update(key, (await kv.get(key, revision)).value, entries[-1].revision)

    _stored(_with(target, bucket, change), as_json=as_json)


def _with(target: Target, bucket: str, main: Callable[[KeyValue], Awaitable[T]], *, for_good: bool = False) -> T:
    async def find(api: Api) -> T:
        return await main(api.js.key_value(bucket))

    return run(target, "midge kv", find, for_good=for_good)


def _stored(revision: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"revision": revision})
    else:
        say(f"Revision {revision}")


def _show(entry: Entry, style: Style) -> None:
    if style == "json":
        print_json(_described(entry))
    elif style == "raw":
        sys.stdout.buffer.write(entry.value + b"\n")
    else:
        head = f"{entry.key} > {entry.operation}, revision {number(entry.revision)} at {entry.created.astimezone():%Y-%m-%d %H:%M:%S}"
        body = printable(entry.value.decode("utf-8", "backslashreplace"), "\n\t")
        text = printable(head) + ("" if entry.is_deleted else f"\n\n{body}\n") + "\n"
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))


def _described(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "bucket": entry.bucket,
        "key": entry.key,
        "revision": entry.revision,
        "created": entry.created.isoformat(),
        "operation": entry.operation,
        "delta": entry.delta,
    }
    try:
        return found | {"value": entry.value.decode()}
    except UnicodeDecodeError:
        return found | {"value_base64": base64.b64encode(entry.value).decode()}


def _row(entry: Entry) -> list[str]:
    value = entry.value[: 4 * _SHOWN].decode("utf-8", "backslashreplace")
    shown = value if len(value) <= _SHOWN and len(entry.value) <= 4 * _SHOWN else value[: _SHOWN - 1] + "…"
    return [number(entry.revision), entry.operation, f"{entry.created.astimezone():%Y-%m-%d %H:%M:%S}", number(entry.size), shown]
