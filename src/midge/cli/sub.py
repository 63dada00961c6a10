"""``midge sub``: show the messages of a subject until interrupted, or until so many have come.

It says on stderr when the server has the subscription, so that a script knows when to publish.
"""

from __future__ import annotations

import click

from midge.cli import output
from midge.cli.output import Style, format_options
from midge.cli.target import Target, run_async, target_options
from midge.message import Message

__all__ = ["command", "title"]


@click.command("sub", short_help="Show the messages of a subject.")
@click.argument("subject")
@click.option("--queue", metavar="NAME", help="Share the messages with the other members of a queue group.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many messages.")
@format_options
@target_options
def command(target: Target, subject: str, queue: str | None, count: int | None, style: Style) -> None:
    """Subscribe to SUBJECT, which may hold the wildcards * and >, and show what comes."""
    run_async(_subscribe(target, subject, queue, count, style))


async def _subscribe(target: Target, subject: str, queue: str | None, count: int | None, style: Style) -> None:
    async with target.connect_for_good("midge sub") as nc:
        sub = await nc.subscribe(subject, queue=queue)
        if count is not None:
            await sub.unsubscribe(limit=count)
        click.echo(f'Subscribed to "{subject}"' + (f' in queue group "{queue}"' if queue else ""), err=True)
        number = 0
        async for message in sub:
            number += 1
            output.show(message, style, title(number, message))
            if not sub.pending:
                output.flush()


def title(number: int, message: Message) -> str:
    """Return the line that introduces a message."""
    return f'[#{number}] Received on "{message.subject}"' + (f' with reply "{message.reply}"' if message.reply else "")
