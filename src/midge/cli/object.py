"""``midge object``: object stores and what is in them, on any server. Names and flags are those of the ``nats`` command.

Here is what is done to a store as a whole; its objects are in ``object_files``.
"""

from __future__ import annotations

from typing import Any

import click

from midge.cli.bucket_options import bucket_keywords, bucket_options, print_bucket
from midge.cli.jetstream import Api, js_options, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.names import store_argument
from midge.cli.output import json_option
from midge.cli.render import confirm, force_option, moment, number, print_json, print_table, say, size
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

    async def ask(api: Api) -> list[dict[str, Any]]:
        rows = api.pages("STREAM.LIST", "streams")
        return [row async for row in rows if row["config"]["name"].startswith(_PREFIX)]

    rows = sorted(run(target, "midge object list", ask), key=lambda row: str(row["config"]["name"]))
    names = [row["config"]["name"].removeprefix(_PREFIX) for row in rows]
    if as_json:
        print_json(names if names_only else rows)
    elif names_only:
        for name in names:
            say(name)
    elif not rows:
        say("There are no object stores")
    else:
        table = [(name, *_row(row)) for name, row in zip(names, rows, strict=True)]
        print_table(("store", "description", "size", "last change"), table, left=2)


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
@json_option
@js_options
def edit(target: Target, bucket: str, as_json: bool, **values: Any) -> None:
    """Change what is given of the configuration of the object store BUCKET; the rest stays as it is."""
    keywords = bucket_keywords(values)
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

    async def ask(api: Api) -> dict[str, Any]:
        await change(api)
        return await api.ask(f"STREAM.INFO.{stream_name(bucket)}")

    found = run(target, "midge object", ask)
    if as_json:
        print_json(found)
    else:
        state = found["state"]
        rows = [("Size", size(state["bytes"])), ("Messages", number(state["messages"])), ("Last change", moment(state.get("last_ts")))]
        print_bucket("Object store", bucket, found, rows)


def _row(found: dict[str, Any]) -> list[str]:
    return [found["config"].get("description") or "", size(found["state"]["bytes"]), moment(found["state"].get("last_ts"))]
