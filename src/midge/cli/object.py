"""``midge object``: object stores and what is in them, on any server. Names and flags are those of the ``nats`` command.

Here is what is done to a store as a whole; its objects are in ``object_files``.
"""

from __future__ import annotations

from typing import Any

import click

from midge.cli.bucket_options import bucket_keywords, bucket_options, changed_bucket, list_of
from midge.cli.jetstream import js_options
from midge.cli.lazy_group import LazyGroup
from midge.cli.names import store_argument
from midge.cli.output import json_option
from midge.cli.render import Row, confirm, force_option, moment, number, size
from midge.cli.target import Target
from midge.jetstream.object_store.config import stream_name

__all__ = ["add", "change_store", "edit", "list_stores", "seal"]

_PREFIX = "OBJ_"

command = LazyGroup(
    "object",
    help="Manage object stores and what is in them, on any server.",
    short_help="Object stores.",
    places={
        "list": "object:list_stores",
        "add": "object:add",
        "edit": "object:edit",
        "info": "object_files:info",
        "ls": "object_files:list_objects",
        "put": "object_files:put",
        "get": "object_files:get",
        "rm": "object_files:remove",
        "link": "object_files:link",
        "watch": "object_files:watch",
        "seal": "object:seal",
    },
    aliases={"new": "add", "create": "add", "del": "rm", "delete": "rm", "show": "info", "status": "info"},
)


@click.command("list", short_help="List the object stores.")
@click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone.")
@json_option
@js_options
def list_stores(target: Target, names_only: bool, as_json: bool) -> None:
    """List the object stores and what they hold."""
    columns = ("description", "size", "last change")
    list_of(target, "object store", _PREFIX, columns, _row, names_only=names_only, as_json=as_json)


@click.command("add", short_help="Add an object store.")
@store_argument
@bucket_options
@json_option
@js_options
def add(target: Target, bucket: str, as_json: bool, **values: Any) -> None:
    """Add the object store BUCKET."""
    keywords = bucket_keywords(values)
    change_store(target, bucket, lambda api: api.js.create_object_store(bucket, **keywords), as_json=as_json)


@click.command("edit", short_help="Edit an object store's configuration.")
@store_argument
@bucket_options
@force_option
@json_option
@js_options
def edit(target: Target, bucket: str, force: bool, as_json: bool, **values: Any) -> None:
    """Change what is given of the configuration of the object store BUCKET; the rest stays as it is. What is too old then is gone."""
    keywords = bucket_keywords(values)
    confirm(f"Really edit object store {bucket}?", force=force)
    change_store(target, bucket, lambda api: api.js.update_object_store(bucket, **keywords), as_json=as_json)


@click.command("seal", short_help="Let nothing in an object store be changed any more.")
@store_argument
@force_option
@json_option
@js_options
def seal(target: Target, bucket: str, force: bool, as_json: bool) -> None:
    """Let nothing in the object store BUCKET be changed any more. There is no way back."""
    confirm(f"Really seal object store {bucket}, for good?", force=force)
    change_store(target, bucket, lambda api: api.js.object_store(bucket).seal(), as_json=as_json)


def change_store(target: Target, bucket: str, change: Any, *, as_json: bool) -> None:
    """Do something to a store, and print what it is then."""
    changed_bucket(target, "object store", bucket, stream_name(bucket), change, _state, as_json=as_json)


def _state(found: dict[str, Any]) -> list[Row]:
    return [("Size", size(found["bytes"])), ("Messages", number(found["messages"])), ("Last change", moment(found.get("last_ts")))]


def _row(found: dict[str, Any]) -> list[str]:
    return [found["config"].get("description") or "", size(found["state"]["bytes"]), moment(found["state"].get("last_ts"))]
