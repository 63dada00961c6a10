"""The options that buckets and object stores have in common, and how either is described to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from midge.cli.config_options import commas, metadata_option
from midge.cli.render import Fields, Row, cell, duration, limit, moment, number, print_description, rows_of, size
from midge.cli.stream_info import cluster_rows, metadata_rows
from midge.cli.units import DURATION, SIZE
from midge.jetstream.configs import Placement

__all__ = ["bucket_keywords", "bucket_options", "print_bucket"]

T = TypeVar("T")
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


def print_bucket(kind: str, bucket: str, info: dict[str, Any], state: list[Row]) -> None:
    """Print a bucket, of which the server's description of its stream is given."""
    config = {name: info["config"][name] for name in _CONFIG if info["config"].get(name) not in (None, False, "", [], {})}
    print_description(
        f"{kind} {bucket}, created {moment(info.get('created'))}",
        [
            ("Configuration", rows_of(config, _CONFIG)),
            ("Metadata", metadata_rows(info["config"])),
            ("Cluster", cluster_rows(info.get("cluster"))),
            ("State", state),
        ],
    )
