"""``midge consumer``: the consumers of a stream, on any server. Names and flags are those of the ``nats`` command."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from midge.cli.answers import consumer_answer
from midge.cli.consumer_info import show_consumer, show_consumers
from midge.cli.jetstream import Api, js_options, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.names import consumer_argument, stream_argument
from midge.cli.output import json_option
from midge.cli.render import confirm, force_option, moment, number, print_json, say, say_all
from midge.cli.target import Target
from midge.cli.units import FUTURE
from midge.jetstream.entity import json_time
from midge.jetstream.names import check_name

__all__ = ["info", "list_consumers", "names", "pause", "remove", "reset", "resume", "unpin"]

command = LazyGroup(
    "consumer",
    help="Manage the consumers of a stream, on any server.",
    short_help="Manage consumers.",
    places={
        "list": "consumer:list_consumers",
        "names": "consumer:names",
        "find": "find:find_consumers",
        "info": "consumer:info",
        "add": "consumer_edit:add",
        "edit": "consumer_edit:edit",
        "next": "consumer_messages:fetch",
        "sub": "consumer_messages:subscribe",
        "pause": "consumer:pause",
        "resume": "consumer:resume",
        "reset": "consumer:reset",
        "unpin": "consumer:unpin",
        "rm": "consumer:remove",
        "cluster": "cluster:consumer_group",
    },
    aliases={
        "ls": "list", "create": "add", "new": "add", "update": "edit", "delete": "rm", "del": "rm", "nfo": "info", "state": "info",
        "query": "find", "c": "cluster",
    },
)  # fmt: skip


@click.command("list", short_help="List the consumers of a stream.")
@stream_argument
@click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone.")
@json_option
@js_options
def list_consumers(target: Target, stream: str, names_only: bool, as_json: bool) -> None:
    """List the consumers of STREAM, and how far they are."""
    if names_only:
        _print_names(target, stream, as_json=as_json)
        return

    async def ask(api: Api) -> list[dict[str, Any]]:
        return [consumer_answer(row) async for row in api.pages(f"CONSUMER.LIST.{check_name(stream)}", "consumers")]

    rows = sorted(run(target, "midge consumer list", ask), key=lambda row: str(row["name"]))
    if as_json:
        print_json(rows)
    elif not rows:
        say(f"Stream {stream} has no consumers")
    else:
        show_consumers(rows)


@click.command("names", short_help="Print the names of a stream's consumers.")
@stream_argument
@json_option
@js_options
def names(target: Target, stream: str, as_json: bool) -> None:
    """Print the names of STREAM's consumers, one a line."""
    _print_names(target, stream, as_json=as_json)


@click.command("info", short_help="Tell everything about a consumer.")
@consumer_argument
@json_option
@js_options
def info(target: Target, stream: str, consumer: str, as_json: bool) -> None:
    """Tell how CONSUMER of STREAM is configured and how far it is."""
    _show(run(target, "midge consumer info", lambda api: api.ask(f"CONSUMER.INFO.{_path(stream, consumer)}")), as_json=as_json)


@click.command("pause", short_help="Let a consumer deliver nothing for a time.")
@consumer_argument
@click.argument("until", type=FUTURE)
@force_option
@json_option
@js_options
def pause(target: Target, stream: str, consumer: str, until: datetime, force: bool, as_json: bool) -> None:
    """Let CONSUMER of STREAM deliver nothing UNTIL a time, or for a duration such as 1h."""
    confirm(f"Really pause consumer {consumer} of stream {stream}?", force=force)
    body = {"pause_until": json_time(until)}
    found = run(target, "midge consumer pause", lambda api: api.ask(f"CONSUMER.PAUSE.{_path(stream, consumer)}", body))
    _done(found, f"Paused consumer {consumer} of stream {stream} until {moment(found.get('pause_until'))}", as_json=as_json)


@click.command("resume", short_help="Let a consumer deliver again.")
@consumer_argument
@force_option
@json_option
@js_options
def resume(target: Target, stream: str, consumer: str, force: bool, as_json: bool) -> None:
    """Let CONSUMER of STREAM deliver again."""
    confirm(f"Really resume consumer {consumer} of stream {stream}?", force=force)
    found = run(target, "midge consumer resume", lambda api: api.ask(f"CONSUMER.PAUSE.{_path(stream, consumer)}", {}))
    _done(found, f"Resumed consumer {consumer} of stream {stream}", as_json=as_json)


@click.command("reset", short_help="Let a consumer begin again.")
@consumer_argument
@click.option("--sequence", type=click.IntRange(min=1), help="Where to begin; at what is acknowledged without it.")
@force_option
@json_option
@js_options
def reset(target: Target, stream: str, consumer: str, sequence: int | None, force: bool, as_json: bool) -> None:
    """Let CONSUMER of STREAM begin again: at a sequence, or behind what is acknowledged."""
    confirm(f"Really reset consumer {consumer} of stream {stream}?", force=force)
    body = None if sequence is None else {"seq": sequence}
    found = run(target, "midge consumer reset", lambda api: api.ask(f"CONSUMER.RESET.{_path(stream, consumer)}", body))
    _done(found, f"Consumer {consumer} of stream {stream} goes on at {number(found.get('reset_seq'))}", as_json=as_json)


@click.command("unpin", short_help="Let another client of a group be pinned.")
@consumer_argument
@click.argument("group")
@force_option
@json_option
@js_options
def unpin(target: Target, stream: str, consumer: str, group: str, force: bool, as_json: bool) -> None:
    """Let another client of a priority GROUP of CONSUMER be pinned."""
    confirm(f"Really unpin the client of group {group} of consumer {consumer}?", force=force)
    found = run(target, "midge consumer unpin", lambda api: api.ask(f"CONSUMER.UNPIN.{_path(stream, consumer)}", {"group": group}))
    _done(found, f"Unpinned the client of group {group} of consumer {consumer}", as_json=as_json)


@click.command("rm", short_help="Remove a consumer.")
@consumer_argument
@force_option
@json_option
@js_options
def remove(target: Target, stream: str, consumer: str, force: bool, as_json: bool) -> None:
    """Remove CONSUMER of STREAM."""
    confirm(f"Really delete consumer {consumer} of stream {stream}?", force=force)
    found = run(target, "midge consumer rm", lambda api: api.ask(f"CONSUMER.DELETE.{_path(stream, consumer)}"))
    _done(found, f"Deleted consumer {consumer} of stream {stream}", as_json=as_json)


def _path(stream: str, consumer: str) -> str:
    return f"{check_name(stream)}.{check_name(consumer, 'consumer name')}"


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        show_consumer(found)


def _done(found: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        say(text)


def _print_names(target: Target, stream: str, *, as_json: bool) -> None:
    async def ask(api: Api) -> list[str]:
        return sorted([name async for name in api.js.stream(stream).consumer_names()])

    found = run(target, "midge consumer names", ask)
    if as_json:
        print_json(found)
    else:
        say_all(found)
