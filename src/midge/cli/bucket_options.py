"""What buckets and object stores have in common: options, how they are listed, and how one is described to people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click

from midge.cli.answers import stream_answer
from midge.cli.config_options import commas, metadata_option
from midge.cli.jetstream import Api, run
from midge.cli.render import (
    Fields,
    Row,
    cell,
    duration,
    limit,
    moment,
    number,
    print_description,
    print_json,
    print_table,
    rows_of,
    say,
    say_all,
    size,
)  # fmt: skip
from midge.cli.stream_info import cluster_rows, metadata_rows
from midge.cli.target import Target
from midge.cli.units import DURATION, SIZE
from midge.jetstream.configs import Placement

__all__ = ["bucket_keywords", "bucket_options", "changed_bucket", "list_of"]

T = TypeVar("T")
Change = Callable[[Api], Awaitable[Any]]
State = Callable[[dict[str, Any]], list[Row]]
_STORAGES = {"file": "file", "f": "file", "memory": "memory", "m": "memory"}
_CONFIG: Fields = {
    "description": ("Description", cell),
    "max_msgs_per_subject": ("History", number),
    "max_age": ("Lifetime of values", lambda value: duration(value) if value else "unlimited"),
    "subject_delete_marker_ttl": ("Lifetime of markers", duration),
    "max_bytes": ("Maximum bucket size", size),
    "max_msg_size": ("Maximum value size", size),
    "storage": ("Storage", cell),
    "num_replicas": ("Replicas", number),
    "compression": ("Compression", cell),
    "sealed": ("Sealed", cell),
    "placement": ("Placement", cell),
    "republish": ("Republish", cell),
    "mirror": ("Mirror", cell),
    "sources": ("Sources", cell),
    "max_msgs": ("Maximum values", limit),
}
_VALUES = ("max_msgs_per_subject", "max_msg_size", "max_msgs")  # what an object store has nothing of


def bucket_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options of a bucket; ``bucket_keywords`` makes the library's keywords of their values."""
    for option in (
        click.option("--compress/--no-compress", default=None, help="Compress files."),
        click.option("--tag", "tags", metavar="TAG", multiple=True, help="Servers with this tag keep it; may be repeated."),
        click.option("--cluster", metavar="NAME", help="The cluster that keeps it."),
        click.option("--replicas", type=click.IntRange(min=1), help="How many servers of a cluster keep it."),
        click.option("--storage", type=click.Choice(list(_STORAGES)), help="Where it is kept: in files, or in memory."),
        click.option("--max-bucket-size", "max_bytes", type=SIZE, metavar="SIZE", help="How large it may become."),
        click.option("--ttl", type=DURATION, metavar="DURATION", help="How long things are kept."),
        click.option("--description", help="What it is for."),
    ):
        command = option(command)
    return metadata_option(command)


def bucket_keywords(values: dict[str, Any]) -> dict[str, Any]:
    """Return what was given as the library's keywords, by taking it out of the values."""
    tags, cluster, storage, ttl = commas(values.pop("tags")), values.pop("cluster"), values.pop("storage"), values.pop("ttl")
    found = {
        "compression": values.pop("compress"),
        "storage": None if storage is None else _STORAGES[storage],
        "ttl": None if ttl is None else ttl / 1e9,
        "placement": Placement(cluster=cluster, tags=tags or None) if cluster or tags else None,
    }
    found |= {name: values.pop(name) for name in ("replicas", "max_bytes", "description", "metadata")}
    return {name: value for name, value in found.items() if value is not None}


def list_of(
    target: Target, kind: str, prefix: str, columns: Sequence[str], row: Callable[[dict[str, Any]], Sequence[str]], *,
    names_only: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print the buckets, or what else streams of this prefix are beneath.

    Args:
        kind: what one is called.
        columns, row: of the table: what they are called behind the name, and what is in them.
    """

    async def ask(api: Api) -> list[dict[str, Any]]:
        rows = [stream_answer(row) async for row in api.pages("STREAM.LIST", "streams")]
        return [row for row in rows if row["config"]["name"].startswith(prefix)]

    rows = sorted(run(target, f"midge {kind} list", ask), key=lambda row: str(row["config"]["name"]))
    names = [row["config"]["name"].removeprefix(prefix) for row in rows]
    if as_json:
        print_json(names if names_only else rows)
    elif names_only:
        say_all(names)
    elif not rows:
        say(f"There are no {kind}s")
    else:
        print_table((kind, *columns), [(name, *row(each)) for name, each in zip(names, rows, strict=True)], left=2)


def changed_bucket(target: Target, kind: str, bucket: str, stream: str, change: Change, state: State, *, as_json: bool) -> None:
    """Do something to a bucket or an object store, and print what it is then.

    Args:
        kind: what it is called.
        stream: the one beneath.
        state: returns what is said of what the stream holds.
    """

    async def ask(api: Api) -> dict[str, Any]:
        await change(api)
        return await api.stream_info(stream)

    found = run(target, f"midge {kind}", ask)
    if as_json:
        print_json(found)
        return
    fields = {name: row for name, row in _CONFIG.items() if name not in _VALUES or kind != "object store"}
    config = {name: found["config"][name] for name in fields if found["config"].get(name) not in (None, False, "", [], {})}
    print_description(
        f"{kind.capitalize()} {bucket}, created {moment(found.get('created'))}",
        [
            ("Configuration", rows_of(config, fields)),
            ("Metadata", metadata_rows(found["config"])),
            ("Cluster", cluster_rows(found.get("cluster"))),
            ("State", state(found["state"])),
        ],
    )
