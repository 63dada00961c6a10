"""``midge stream``: the streams of an account, on any server. Names and flags are those of the ``nats`` command.

Here is what looks at streams, and what removes from them as a whole; what else there is has modules of its own.
"""

from __future__ import annotations

from typing import Any

import click

from midge.cli.answers import stream_answer
from midge.cli.jetstream import Api, js_options, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.names import stream_argument
from midge.cli.output import counted, json_option
from midge.cli.render import confirm, force_option, number, print_json, print_table, say, say_all
from midge.cli.stream_info import show_state, show_stream, show_streams
from midge.cli.target import Target
from midge.jetstream.names import check_name
from midge.jetstream.requests import whole

__all__ = ["info", "list_streams", "names", "purge", "remove", "state", "subjects"]

command = LazyGroup(
    "stream",
    help="Manage the streams of an account, on any server.",
    short_help="Manage streams.",
    places={
        "list": "stream:list_streams",
        "names": "stream:names",
        "find": "find:find_streams",
        "info": "stream:info",
        "state": "stream:state",
        "subjects": "stream:subjects",
        "add": "stream_edit:add",
        "edit": "stream_edit:edit",
        "seal": "stream_edit:seal",
        "purge": "stream:purge",
        "rm": "stream:remove",
        "get": "stream_messages:get",
        "view": "stream_messages:view",
        "rmm": "stream_messages:remove",
        "backup": "stream_backup:backup",
        "restore": "stream_backup:restore",
        "copy": "stream_copy:copy",
        "cluster": "cluster:stream_group",
    },
    aliases={
        "ls": "list", "create": "add", "new": "add", "update": "edit", "delete": "rm", "del": "rm", "delete-message": "rmm", "nfo": "info",
        "snapshot": "backup", "cp": "copy", "subs": "subjects", "query": "find", "c": "cluster",
    },
)  # fmt: skip


@click.command("list", short_help="List the streams.")
@click.option("--subject", metavar="SUBJECT", help="Only those with a subject that matches.")
@click.option("--all", "-a", "everything", is_flag=True, help="List those beneath buckets and objects, too.")
@click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone.")
@json_option
@js_options
def list_streams(target: Target, subject: str | None, everything: bool, names_only: bool, as_json: bool) -> None:
    """List the streams and what they hold."""
    if names_only:
        _print_names(target, subject, everything=everything, as_json=as_json)
        return
    body = {"subject": subject} if subject else {}

    async def ask(api: Api) -> list[dict[str, Any]]:
        rows = [stream_answer(row) async for row in api.pages("STREAM.LIST", "streams", body)]
        return [row for row in rows if everything or not _is_beneath(row["config"]["name"])]

    rows = sorted(run(target, "midge stream list", ask), key=lambda row: str(row["config"]["name"]))
    if as_json:
        print_json(rows)
    elif not rows:
        say("There are no streams")
    else:
        show_streams(rows)


@click.command("names", short_help="Print the names of the streams.")
@click.option("--subject", metavar="SUBJECT", help="Only those with a subject that matches.")
@click.option("--all", "-a", "everything", is_flag=True, help="Print those beneath buckets and objects, too.")
@json_option
@js_options
def names(target: Target, subject: str | None, everything: bool, as_json: bool) -> None:
    """Print the names of the streams, one a line."""
    _print_names(target, subject, everything=everything, as_json=as_json)


@click.command("info", short_help="Tell everything about a stream.")
@stream_argument
@json_option
@js_options
def info(target: Target, stream: str, as_json: bool) -> None:
    """Tell how STREAM is configured, what it holds and where it is."""
    found = run(target, "midge stream info", lambda api: api.stream_info(stream))
    if as_json:
        print_json(found)
    else:
        show_stream(found)


@click.command("state", short_help="Tell what a stream holds.")
@stream_argument
@json_option
@js_options
def state(target: Target, stream: str, as_json: bool) -> None:
    """Tell what STREAM holds, with the sequences that are missing."""
    found = run(target, "midge stream state", lambda api: api.stream_info(stream, {"deleted_details": True}))
    if as_json:
        print_json(found["state"])
    else:
        show_state(found)


@click.command("subjects", short_help="List the subjects of a stream's messages.")
@stream_argument
@click.argument("filter", default=">")
@click.option("--names", "-n", "names_only", is_flag=True, help="Print subjects alone.")
@click.option("--sort", type=click.Choice(["messages", "subject"]), default="messages", show_default=True, help="In which order.")
@json_option
@js_options
def subjects(target: Target, stream: str, filter: str, names_only: bool, sort: str, as_json: bool) -> None:
    """List the subjects of STREAM's messages that match FILTER, each with how many messages it has."""

    async def ask(api: Api) -> dict[str, int]:
        return {subject: count async for subject, count in api.js.stream(stream).subjects(filter)}

    found = sorted(run(target, "midge stream subjects", ask).items())
    if sort == "messages":
        found.sort(key=lambda pair: -pair[1])
    if as_json:
        print_json([subject for subject, _ in found] if names_only else dict(found))
    elif names_only:
        say_all([subject for subject, _ in found])
    else:
        print_table(("subject", "messages"), [(subject, number(count)) for subject, count in found])


@click.command("purge", short_help="Remove messages.")
@stream_argument
@click.option("--subject", metavar="SUBJECT", help="Only those whose subject matches.")
@click.option("--seq", type=click.IntRange(min=1), help="Only those before this sequence.")
@click.option("--keep", type=click.IntRange(min=0), help="All but the last so many.")
@force_option
@json_option
@js_options
def purge(target: Target, stream: str, subject: str | None, seq: int | None, keep: int | None, force: bool, as_json: bool) -> None:
    """Remove all messages of STREAM, or those that the options say."""
    if seq is not None and keep is not None:
        raise click.UsageError("--seq and --keep are not for one purge")
    confirm(f"Really purge stream {stream}?", force=force)
    wanted = {"filter": subject, "seq": seq, "keep": keep}
    body = {name: value for name, value in wanted.items() if value is not None}
    found = run(target, "midge stream purge", lambda api: api.ask(f"STREAM.PURGE.{check_name(stream)}", body))
    if as_json:
        print_json(found)
    else:
        say(f"Purged {counted(whole(found, 'purged'), 'message')} of stream {stream}")


@click.command("rm", short_help="Remove a stream.")
@stream_argument
@force_option
@json_option
@js_options
def remove(target: Target, stream: str, force: bool, as_json: bool) -> None:
    """Remove STREAM, with its messages and consumers."""
    confirm(f"Really delete stream {stream} with everything in it?", force=force)
    found = run(target, "midge stream rm", lambda api: api.ask(f"STREAM.DELETE.{check_name(stream)}"))
    if as_json:
        print_json(found)
    else:
        say(f"Deleted stream {stream}")


def _print_names(target: Target, subject: str | None, *, everything: bool, as_json: bool) -> None:
    async def ask(api: Api) -> list[str]:
        return sorted([name async for name in api.js.stream_names(subject) if everything or not _is_beneath(name)])

    found = run(target, "midge stream names", ask)
    if as_json:
        print_json(found)
    else:
        say_all(found)


def _is_beneath(name: str) -> bool:
    """True if it is the stream of a bucket or an object store."""
    return name.startswith(("KV_", "OBJ_", "MQTT_"))
