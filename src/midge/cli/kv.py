"""``midge kv``: key-value buckets, on any server. Names and flags are those of the ``nats`` command.

Here is what is done to a bucket as a whole; its keys are in ``kv_keys``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midge.cli.bucket_options import bucket_keywords, bucket_options, changed_bucket, list_of
from midge.cli.config_options import commas
from midge.cli.jetstream import Api, js_options, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.names import bucket_argument
from midge.cli.output import counted, json_option
from midge.cli.render import Row, confirm, force_option, moment, number, print_json, say, size
from midge.cli.target import Target
from midge.cli.units import DURATION, SIZE
from midge.jetstream.configs import Republish
from midge.jetstream.key_value.config import stream_name

if TYPE_CHECKING:
    from midge.jetstream.key_value.bucket import KeyValue

__all__ = ["add", "compact", "edit", "info", "list_buckets", "remove"]

T = TypeVar("T")
_PREFIX = "KV_"
_OLD_MARKERS = 1800 * 10**9  # nanoseconds

command = LazyGroup(
    "kv",
    help="Manage key-value buckets and what is in them, on any server.",
    short_help="Key-value buckets.",
    places={
        "list": "kv:list_buckets",
        "add": "kv:add",
        "edit": "kv:edit",
        "info": "kv:info",
        "rm": "kv:remove",
        "get": "kv_keys:get",
        "put": "kv_keys:put",
        "create": "kv_keys:create",
        "update": "kv_keys:update",
        "del": "kv_keys:delete",
        "purge": "kv_keys:purge",
        "history": "kv_keys:history",
        "keys": "kv_keys:keys",
        "watch": "kv_keys:watch",
        "revert": "kv_keys:revert",
        "compact": "kv:compact",
    },
    aliases={"ls": "list", "new": "add", "delete": "del", "status": "info"},
)


def _config_options(command: Callable[..., T]) -> Callable[..., T]:
    for option in (
        click.option("--republish-headers", is_flag=True, help="Without the values."),
        click.option("--republish-destination", metavar="SUBJECT", help="Where they are published."),
        click.option("--republish-source", metavar="SUBJECT", help="Publish what is stored again: of these keys."),
        click.option("--marker-ttl", type=DURATION, metavar="DURATION", help="Allow lifetimes of keys, and mark their ends for so long."),
        click.option("--max-value-size", type=SIZE, metavar="SIZE", help="How large a value may be."),
        click.option("--history", type=click.IntRange(1, 64), help="How many values of a key are kept."),
    ):
        command = option(command)
    return bucket_options(command)


@click.command("list", short_help="List the buckets.")
@click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone.")
@json_option
@js_options
def list_buckets(target: Target, names_only: bool, as_json: bool) -> None:
    """List the buckets and what they hold."""
    columns = ("description", "values", "size", "history", "last change")
    list_of(target, "bucket", _PREFIX, columns, _row, names_only=names_only, as_json=as_json)


@click.command("add", short_help="Add a bucket.")
@bucket_argument
@_config_options
@click.option("--mirror", metavar="BUCKET", help="Copy another bucket.")
@click.option("--source", "sources", metavar="BUCKET", multiple=True, help="Have the keys of another bucket, too; may be repeated.")
@json_option
@js_options
def add(target: Target, bucket: str, mirror: str | None, sources: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Add BUCKET."""
    keywords = _keywords(values)
    keywords |= ({"mirror": mirror} if mirror else {}) | ({"sources": commas(sources)} if sources else {})
    _change(target, bucket, lambda api: api.js.create_key_value(bucket, **keywords), as_json=as_json)


@click.command("edit", short_help="Edit a bucket's configuration.")
@bucket_argument
@_config_options
@force_option
@json_option
@js_options
def edit(target: Target, bucket: str, force: bool, as_json: bool, **values: Any) -> None:
    """Change what is given of BUCKET's configuration; the rest stays as it is. Values that are too many then, or too old, are gone."""
    keywords = _keywords(values)
    confirm(f"Really edit bucket {bucket}?", force=force)
    _change(target, bucket, lambda api: api.js.update_key_value(bucket, **keywords), as_json=as_json)


@click.command("info", short_help="Tell everything about a bucket.")
@bucket_argument
@json_option
@js_options
def info(target: Target, bucket: str, as_json: bool) -> None:
    """Tell how BUCKET is configured and what it holds."""
    _change(target, bucket, _nothing(bucket), as_json=as_json)


@click.command("rm", short_help="Remove a bucket.")
@bucket_argument
@force_option
@json_option
@js_options
def remove(target: Target, bucket: str, force: bool, as_json: bool) -> None:
    """Remove BUCKET with everything in it."""
    confirm(f"Really delete bucket {bucket} with everything in it?", force=force)
    run(target, "midge kv rm", lambda api: api.js.delete_key_value(bucket))
    if as_json:
        print_json({"success": True})
    else:
        say(f"Deleted bucket {bucket}")


@click.command("compact", short_help="Remove what is left of deleted keys.")
@bucket_argument
@click.option("--older-than", type=DURATION, default=_OLD_MARKERS, metavar="DURATION", help="Younger markers stay; 30m without it.")
@force_option
@json_option
@js_options
def compact(target: Target, bucket: str, older_than: int, force: bool, as_json: bool) -> None:
    """Remove the history of the deleted keys of BUCKET, and their markers."""
    confirm(f"Really remove what is left of the deleted keys of bucket {bucket}?", force=force)

    async def purge(api: Api) -> int:
        return await (await api.js.key_value(bucket)).purge_deletes(older_than / 1e9)

    count = run(target, "midge kv compact", purge)
    if as_json:
        print_json({"purged": count})
    else:
        say(f"Removed {counted(count, 'value')} of bucket {bucket}")


def _nothing(bucket: str) -> Any:
    """Return what changes nothing, and fails where there is no bucket."""

    async def look(api: Api) -> KeyValue:
        return await api.js.key_value(bucket)

    return look


def _change(target: Target, bucket: str, change: Any, *, as_json: bool) -> None:
    """Do something to a bucket, and print what it is then."""
    changed_bucket(target, "bucket", bucket, stream_name(bucket), change, _state, as_json=as_json)


def _state(found: dict[str, Any]) -> list[Row]:
    rows = [("Values", number(found["messages"])), ("Size", size(found["bytes"])), ("Last revision", number(found["last_seq"]))]
    return [*rows, ("Last change", moment(found.get("last_ts")))]


def _keywords(values: dict[str, Any]) -> dict[str, Any]:
    keywords = bucket_keywords(values)
    source, destination, headers = (values.pop(f"republish_{name}") for name in ("source", "destination", "headers"))
    if destination is not None:
        keywords["republish"] = Republish(src=source, dest=destination, headers_only=headers)
    elif source is not None or headers:
        raise click.UsageError("what is published again needs a --republish-destination")
    marker, largest, history = values.pop("marker_ttl"), values.pop("max_value_size"), values.pop("history")
    more = {"limit_marker_ttl": None if marker is None else marker / 1e9, "max_value_size": largest, "history": history}
    return keywords | {name: value for name, value in more.items() if value is not None}


def _row(found: dict[str, Any]) -> list[str]:
    config, state = found["config"], found["state"]
    return [
        config.get("description") or "",
        number(state["messages"]),
        size(state["bytes"]),
        number(config.get("max_msgs_per_subject", 0)),
        moment(state.get("last_ts")),
    ]
