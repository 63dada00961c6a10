"""``midge consumer next`` and ``sub``: messages of a consumer, some of them, or all that come until it is interrupted.

What was shown is acknowledged, unless something else is asked for; a message that could not be shown is not. ``next`` exits with 1 where
nothing came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import click

from midge.cli import output
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import consumer_argument
from midge.cli.output import Style, format_options
from midge.cli.stream_messages import Place, print_message
from midge.cli.target import Target
from midge.cli.units import DURATION
from midge.errors import MidgeError
from midge.jetstream.consumer import Consumer
from midge.jetstream.consuming import Consuming
from midge.jetstream.message import StreamMessage

__all__ = ["fetch", "subscribe"]

Word = Literal["ack", "nak", "term", "none"]
_BATCH = 256
_WAIT = 30.0  # seconds that a request for the next message stays with the server
_PAUSE = 0.1  # seconds between two looks whether the server is back


@click.command("next", short_help="Take messages.")
@consumer_argument
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many messages.")
@click.option("--wait", type=DURATION, help="How long to wait for them; --timeout without it.")
@click.option("--ack", "word", flag_value="ack", type=str, default="ack", help="Acknowledge them; so it is without another word.")
@click.option("--no-ack", "word", flag_value="none", type=str, help="Say nothing: they come again.")
@click.option("--nak", "word", flag_value="nak", type=str, help="Have them delivered again.")
@click.option("--term", "word", flag_value="term", type=str, help="Have them not delivered again.")
@click.option("--group", metavar="GROUP", help="The priority group.")
@format_options
@js_options
def fetch(
    target: Target, stream: str, consumer: str, count: int, wait: int | None, word: Word, group: str | None, style: Style
) -> int:  # fmt: skip
    """Take COUNT messages from CONSUMER of STREAM, and show and acknowledge them. Exits with 1 if none came."""
    seconds = target.timeout if wait is None else wait / 1e9

    async def take(api: Api) -> int:
        handle = api.js.stream(stream).consumer(consumer)
        options: Any = {"group": group} if group else {}
        taken = 0
        while taken < count:
            found = await handle.fetch(min(count - taken, _BATCH), timeout=seconds, **options)
            for message in found:
                _show(message, style)
                await _say(message, word)
            taken += len(found)
            if not found:
                break
        handle.close()
        return taken

    taken = run(target, "midge consumer next", take)
    output.flush()
    if not taken:
        raise MidgeError(f"no message came within {seconds:g} s")
    return 0


@click.command("sub", short_help="Show messages as they come.")
@consumer_argument
@click.option("--count", type=click.IntRange(min=1), help="End after so many messages.")
@click.option("--ack/--no-ack", default=True, show_default=True, help="Acknowledge them.")
@click.option("--group", metavar="GROUP", help="The priority group.")
@format_options
@js_options
def subscribe(target: Target, stream: str, consumer: str, count: int | None, ack: bool, group: str | None, style: Style) -> None:
    """Show the messages of CONSUMER of STREAM as they come, and acknowledge them."""

    async def take(api: Api) -> None:
        handle = api.js.stream(stream).consumer(consumer)
        config = (await handle.info()).config
        options: Any = {"group": group} if group else {}
        click.echo(f'Subscribed to consumer "{consumer}" of stream "{stream}"', err=True)
        number = 0
        consuming = handle.consume(**options) if count is None or config.deliver_subject else _exactly(api, handle, count, options)
        async for message in consuming:
            _show(message, style)
            output.flush()
            if ack and config.ack_policy != "none":
                await message.ack()
            number += 1
            if number == count:
                break
        if isinstance(consuming, Consuming):
            await consuming.stop()

    run(target, "midge consumer sub", take, for_good=True)


async def _exactly(api: Api, handle: Consumer, count: int, options: Any) -> AsyncIterator[StreamMessage]:
    """Take so many messages and no more: what else was asked for would be delivered, and to nobody."""
    while count:
        found = await handle.fetch(min(count, _BATCH), no_wait=True, **options) or await handle.fetch(1, timeout=_WAIT, **options)
        for message in found:
            yield message
        count -= len(found)
        if not found and not api.client.is_connected:
            await asyncio.sleep(_PAUSE)
    handle.close()


def _show(message: StreamMessage, style: Style) -> None:
    at = message.metadata
    print_message(message, style, Place(at.stream, at.stream_seq, at.timestamp), delivered=at.delivered, pending=at.pending)


async def _say(message: StreamMessage, word: Word) -> None:
    if word == "ack":
        await message.ack_sync()
    elif word == "nak":
        await message.nak()
    elif word == "term":
        await message.term()
