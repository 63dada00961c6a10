"""``midge stream get``, ``view`` and ``rmm``: single messages of a stream, as they are stored. Reading leaves nothing behind."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import click

from midge.cli import output
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import stream_argument
from midge.cli.output import Style, describe, format_options, json_option
from midge.cli.render import confirm, force_option, print_json, say
from midge.cli.target import Target
from midge.cli.units import PAST
from midge.jetstream.caught_up import Mark
from midge.jetstream.following import Following
from midge.jetstream.stored_message import StoredMessage
from midge.message import Message

__all__ = ["Place", "get", "print_message", "remove", "view"]

_AT_HAND = 500  # messages at a time


class Place(NamedTuple):
    """Where a message stands in a stream, and since when."""

    stream: str
    seq: int
    time: datetime


@click.command("get", short_help="Show one message.")
@stream_argument
@click.argument("seq", type=click.IntRange(min=1), required=False)
@click.option("--last-for", "-S", metavar="SUBJECT", help="The last message whose subject matches.")
@click.option("--next-for", metavar="SUBJECT", help="The first message from SEQ on whose subject matches.")
@format_options
@js_options
def get(target: Target, stream: str, seq: int | None, last_for: str | None, next_for: str | None, style: Style) -> None:
    """Show the message SEQ of STREAM, or the last of a subject."""
    if last_for is not None and (seq is not None or next_for is not None):
        raise click.UsageError("--last-for takes no sequence and no --next-for")
    if last_for is None and next_for is None and seq is None:
        raise click.UsageError("which message? give a sequence or --last-for")

    async def ask(api: Api) -> StoredMessage:
        handle = api.js.stream(stream)
        if last_for is not None:
            return await handle.get_last(last_for)
        return await handle.get(seq or 1, next_by_subject=next_for)

    show_stored(run(target, "midge stream get", ask), style)
    output.flush()


@click.command("view", short_help="Show messages.")
@stream_argument
@click.argument("count", type=click.IntRange(min=1), default=10)
@click.option("--id", "start", metavar="SEQUENCE", type=click.IntRange(min=1), help="Begin with this message.")
@click.option("--since", type=PAST, help="Begin with what was stored at a time, or so long ago.")
@click.option("--subject", metavar="SUBJECT", help="Only messages whose subject matches.")
@format_options
@js_options
def view(target: Target, stream: str, count: int, start: int | None, since: datetime | None, subject: str | None, style: Style) -> None:
    """Show COUNT messages of STREAM, from the first on that is there."""
    if start is not None and since is not None:
        raise click.UsageError("--id and --since are two beginnings")

    async def show(api: Api) -> None:
        options: Any = {"filter_subjects": [subject]} if subject else {}
        if start is not None:
            options |= {"deliver_policy": "by_start_sequence", "opt_start_seq": start}
        elif since is not None:
            options |= {"deliver_policy": "by_start_time", "opt_start_time": since}
        following = Following(api.js.stream(stream), max_messages=min(count, _AT_HAND), **options)
        try:
            for _ in range(count):
                found = await following.next()
                if isinstance(found, Mark):
                    break
                message, at = found
                print_message(message, style, Place(at.stream, at.stream_seq, at.timestamp))
        finally:
            await following.stop()

    run(target, "midge stream view", show)
    output.flush()


@click.command("rmm", short_help="Remove one message.")
@stream_argument
@click.argument("seq", type=click.IntRange(min=1))
@click.option("--no-erase", is_flag=True, help="Do not overwrite what was kept of it.")
@force_option
@json_option
@js_options
def remove(target: Target, stream: str, seq: int, no_erase: bool, force: bool, as_json: bool) -> None:
    """Remove the message SEQ of STREAM, and overwrite what was kept of it."""
    confirm(f"Really remove message {seq} of stream {stream}?", force=force)
    run(target, "midge stream rmm", lambda api: api.js.stream(stream).delete_message(seq, erase=not no_erase))
    if as_json:
        print_json({"success": True})
    else:
        say(f"Removed message {seq} of stream {stream}")


def show_stored(stored: StoredMessage, style: Style) -> None:
    """Write a message that was read from a stream to standard output."""
    message = Message(stored.subject, stored.data, headers=stored.headers)
    print_message(message, style, Place(stored.stream, stored.seq, stored.time))


def print_message(message: Message, style: Style, place: Place, **more: Any) -> None:
    """Write a message to standard output, with where it stands and more that is known of it."""
    if style == "json":
        at = {"stream": place.stream, "seq": place.seq, "time": place.time.isoformat()}
        print_json(at | more | {name: value for name, value in describe(message).items() if name != "reply"})
        return
    extra = "".join(f", {name} {value}" for name, value in more.items())
    output.show(message, style, f"[{place.seq}] {message.subject} at {place.time.astimezone():%Y-%m-%d %H:%M:%S}{extra}")
